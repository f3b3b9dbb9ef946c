"""Regression in a few passes over data of any size, and the certificates of samples.

A weighted row sample gives a first fit. For p = 1 and quantiles the rows far from it are summed
into two, as in `_quantile.preprocessing`: the small problem is solved, and rows on the wrong side
of its fit are taken out of the sums until there are none. For 1 < p < inf Newton's method continues
over all rows, for p = inf the rows that bind are added. Each step is one to three passes, and each
fit has a dual point for all rows. The fit of a sample is certified by one such step: its dual point
z = psi - psi' A y has A'z = 0, and the gap is of second order in the step y.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.regression._lp.certificate import Fit, prove
from randla.regression._lp.norm import longest, norm_and_gap, norm_fit
from randla.regression._lp.quantile import penalty_rows, proven, quantile_fits
from randla.regression._lp.sampled import band, rows_near, smoothed_fraction
from randla.regression._lp.tall_data import TallData, joined_powers, norm_from, scaled_sums
from randla.regression._panels.cholesky import Cholesky
from randla.regression._panels.weighted_data import ROUNDING, WeightedData, condition, stacked
from randla.regression._quantile.preprocessing import sample_size
from randla.regression._quantile.screened import Screened, loss_and_gap
from randla.regression._solvers.newton import FLOOR, derivatives, norm

_MAX_REPAIRS = 12
#: Rows near the fit that are kept separately, for each column, at least.
_FEWEST = 50
#: Rows are kept up to this multiple of the mean residual, for any number of rows.
_TIES = 1e-3
#: Relative gap of the small problem that only measures the accuracy of the fit of a sample.
_TOLERANCE = 1e-3
#: Rounds of the minimax problem, and the rows that a round adds, for each column.
_MAX_ROUNDS, _ADDED = 40, 20
#: Newton steps, and the lengths of a step that are tried in one pass.
_MAX_STEPS, _LENGTHS = 40, 2.0 ** -np.arange(-1.0, 7.0)
#: A dual point counts as feasible up to this.
_FEASIBLE = 1e-12
#: |X'z| / |z| up to which X'z is not removed from z in one more pass: rounding errors.
_NEGLIGIBLE = 8.0 * float(np.finfo(np.float64).eps)
#: For p < 2 the loss is smoothed where residuals are below this quantile, at first; then less.
_SMALL, _SHRINK, _SHARPEST = 0.01, 0.1, 1e-13


def tall_quantile_fits(
    data: TallData,
    penalty: Array,
    taus: list[float],
    *,
    size: int,
    rtol: float,
    generator: np.random.Generator,
    exact: bool,
) -> list[Fit]:
    """Fits of quantiles of a sample with loss and gap over all rows, or, if `exact`, of all."""
    if exact:
        size = min(data.n, max(sample_size(data.n, data.d, tau) for tau in taus))
    sample, _ = data.draw(1.0, size, generator)
    extra = penalty_rows(penalty)
    starts = quantile_fits(sample, penalty, taus, method="auto", rtol=rtol, generator=generator)
    fits = [
        _quantile_fit(data, extra, tau, start, sample.n, rtol, exact)
        for tau, start in zip(taus, starts, strict=True)
    ]
    return _shortest(data, sample.below(extra, np.zeros(len(extra))), fits)


def tall_norm_fit(
    data: TallData,
    p: float,
    *,
    size: int,
    rtol: float,
    generator: np.random.Generator,
    exact: bool,
) -> Fit:
    """Minimize the norm over a sample, 1 < p < inf, with its gap over all rows, or over all."""
    sample, index = data.draw(p, size, generator)
    if p == np.inf:
        fit = _minimax(data, sample, index, rtol)
    else:
        fit = _newton(data, sample, p, rtol, exact)
    return _shortest(data, sample, [fit])[0]


def _shortest(data: TallData, sample: WeightedData, fits: list[Fit]) -> list[Fit]:
    """The x of least norm if columns depend, in all rows as in some of them."""
    null = condition(sample).null  # (d, d - rank), orthonormal
    if null is None:
        return fits

    def shorter(fit: Fit) -> Fit:
        shift = null @ (null.T @ fit.x)  # the part of x that A does not see
        if not np.isfinite(shift).all():
            return fit
        moved = data.norms(_moved_and_rounding, 2, np.inf, x=fit.x - shift, shift=shift)
        largest, noise = norm_from(data.compute(moved), np.inf)
        return replace(fit, x=fit.x - shift) if largest <= ROUNDING * noise else fit

    return [shorter(fit) for fit in fits]


def _moved_and_rounding(rows: WeightedData, first: int, *, x: Array, shift: Array) -> Array:
    """The change of the residuals by a shift of x, and bounds for their rounding errors."""
    return np.stack([rows.weighted(rows.A @ shift), rows.rounding(x)])


def residuals_and_rounding(rows: WeightedData, first: int, *, x: Array) -> Array:
    """Weighted residuals, and bounds for their rounding errors up to a small constant."""
    return np.stack([rows.residuals(x), rows.rounding(x)])


def _fitted(
    data: TallData, x: Array, value: float, n_rows: int, n_iterations: int, rank: int
) -> Fit:
    """A fit whose residuals are rounding errors."""
    z = data.map_rows(_scattered, index=np.arange(0), z=np.zeros(0))  # zeros, lazy where A is
    return Fit(x, z, value, value, "sample", n_rows, n_iterations, rank)


def _scattered(rows: WeightedData, first: int, *, index: NDArray[np.int64], z: Array) -> Array:
    """Zeros, but z for the rows of ascending indices `index`."""
    out = np.zeros(rows.n)
    here = slice(*np.searchsorted(index, [first, first + rows.n]))
    out[index[here] - first] = z[here]
    return out


# Quantiles ---------------------------------------------------------------------------------------


def _quantile_fit(
    data: TallData, extra: Array, tau: float, start: Fit, size: int, rtol: float, exact: bool
) -> Fit:
    """The fit of a sample with its certificate, or the fit of all rows."""
    x, n, n_iterations = start.x, data.n, start.n_iterations
    k = rows_near(n, data.d, size, tau)
    if exact:
        k = min(n, max(int(band(n, data.d, size, tau)), _FEWEST * data.d))
    if data.A.lazy:
        nearest, table = data.compute(
            data.join_rows(_nearest, shape=(1, k), join=_joined_nearest, x=x, k=k),
            data.norms(residuals_and_rounding, 2, 1.0, x=x),
        )
        loss, noise = norm_from(table, 1.0)
        fitted = loss <= ROUNDING * noise
    else:  # the same, with less work
        nearest = np.partition(data.map_rows(_distances, x=x), k - 1)[:k]
        r = data.in_memory.residuals(x)
        loss, fitted = norm(r, 1.0), data.in_memory.fitted(x, r)
    if fitted and not (extra @ x).any():
        value = float(data.compute(data.join_rows(_pinball, shape=(1, 1), x=x, tau=tau))[0, 0])
        return _fitted(data, x, value, size, n_iterations, start.rank)
    scale = float(loss) / n  # a typical residual
    x0, edge = x, max(float(nearest.max()), _TIES * scale)
    side = data.map_rows(_sides, x0=x0, edge=edge)
    screened = _screened(data, extra, side)
    options = {"rtol": rtol if exact else _TOLERANCE, "crossover": exact}
    for _ in range(_MAX_REPAIRS):
        solution = screened.solve(tau, x, scale, **options)
        n_iterations += solution.n_iterations
        if exact:
            x = solution.x
        else:  # only the dual is needed
            solution.x = x
        constants: dict[str, Any] = {
            "x": x,
            "kept": screened.index,
            "tau": tau,
            "duals": solution.z[-2:],
        }
        parts = data.gather(_checked, side, **constants)
        # Loss and gap of the far rows, and of the kept rows.
        sums = sum(part[2] for part in parts) + screened.near_loss_and_gap(tau, solution)
        wrong = np.concatenate([part[0] for part in parts])
        if not exact or len(wrong) == 0:
            break
        rows = stacked([part[1] for part in parts])
        above = rows.b - rows.A @ x0 > 0.0  # the sum they were in
        screened.release(wrong, rows, above)
    k = len(constants["kept"])  # the last release came after the last solution
    order = np.argsort(constants["kept"])
    z = data.map_rows(
        _dual, side, kept=constants["kept"][order], z_kept=solution.z[:k][order],
        duals=solution.z[-2:],
    )  # fmt: skip
    method, n_rows = ("preprocess", k) if exact else ("sample", size)
    fit = Fit(x, z, float(sums[0]), float(sums[1]), method, n_rows, n_iterations)
    zeros = np.zeros(len(extra))
    span = data.span(screened.near.below(extra, zeros))
    others = WeightedData(extra, zeros), solution.z[k:-2]
    if data.A.lazy:
        return prove(span, fit, [(data, z), others], 1.0 / min(tau, 1.0 - tau))
    return proven(span, tau, fit, [(data.in_memory, z), others])


def _sides(rows: WeightedData, first: int, *, x0: Array, edge: float) -> Array:
    """+1 for rows far above the fit, -1 far below, else 0; +1 for rows without effect."""
    r = rows.b - rows.A @ x0
    side = np.sign(r) * (np.abs(r) > edge)
    return side if rows.weight is None else np.where(rows.weight > 0.0, side, 1.0)


def _pinball(rows: WeightedData, first: int, *, x: Array, tau: float) -> Array:
    r = rows.residuals(x)
    return np.maximum(tau * r, (tau - 1.0) * r).sum().reshape(1, 1)


def _distances(rows: WeightedData, first: int, *, x: Array) -> Array:
    """Distances from a fit; infinite for rows without weight."""
    distance = np.abs(rows.b - rows.A @ x)
    return distance if rows.weight is None else np.where(rows.weight > 0.0, distance, np.inf)


def _nearest(rows: WeightedData, first: int, *, x: Array, k: int) -> Array:
    return _joined_nearest(_distances(rows, first, x=x)[None], np.full((1, k), np.inf))


def _joined_nearest(x: Array, y: Array) -> Array:
    """The smallest of both, as many as y has."""
    k = y.shape[1]
    return np.partition(np.append(x, y), k - 1)[None, :k]


def _screened(data: TallData, extra: Array, side: Any) -> Screened:
    parts = data.gather(_near_and_sums, side)
    index = np.concatenate([part[0] for part in parts])
    sums = np.sum([part[2] for part in parts], axis=0)
    return Screened(stacked([part[1] for part in parts]), index, extra, sums)


def _near_and_sums(rows: WeightedData, first: int, side: Any) -> tuple[Any, ...]:
    """Indices and rows of the near rows, and the sums of the others above and below."""
    side = np.asarray(side)
    near = np.flatnonzero(side == 0.0)
    masks = np.stack([rows.weighted((side == sign) * 1.0) for sign in (1.0, -1.0)])
    return near + first, rows.take(near), np.column_stack([(rows.A.T @ masks.T).T, masks @ rows.b])


def _checked(
    rows: WeightedData, first: int, side: Any, *, x: Array,
    kept: NDArray[np.int64], tau: float, duals: Array,
) -> tuple[NDArray[np.int64], WeightedData, Array]:  # fmt: skip
    """Far rows on the wrong side of the fit x; loss and gap of all far rows."""
    side = np.array(side)
    side[kept[(kept >= first) & (kept < first + rows.n)] - first] = 0.0  # also those released
    r = np.where(side == 0.0, 0.0, rows.residuals(x))
    wrong = np.flatnonzero(side * r < 0.0)
    sums = loss_and_gap(tau, r, np.where(side > 0.0, duals[0], duals[1]))
    return wrong + first, rows.take(wrong), np.array(sums)


def _dual(
    rows: WeightedData, first: int, side: Any, *,
    kept: NDArray[np.int64], z_kept: Array, duals: Array,
) -> Array:  # fmt: skip
    """The dual of a sum is that of each of its rows."""
    z = np.where(np.asarray(side) > 0.0, duals[0], duals[1])
    here = slice(*np.searchsorted(kept, [first, first + rows.n]))  # of this block
    z[kept[here] - first] = z_kept[here]
    return z


# The largest residual ----------------------------------------------------------------------------


def _minimax(data: TallData, sample: WeightedData, index: NDArray[np.int64], rtol: float) -> Fit:
    """Minimize the largest weighted residual: solve for some rows, add the most violated ones.

    The dual point of the chosen rows, zero elsewhere, is feasible for all rows.
    """
    k, n_iterations = min(_ADDED * (data.d + 1), data.A.n), 0
    for _ in range(_MAX_ROUNDS):
        fit = norm_fit(sample, np.inf, rtol)
        n_iterations += fit.n_iterations
        errors, numbers = data.compute(
            data.join_rows(_largest, shape=(2, k), join=_joined_largest, x=fit.x, k=k)
        )
        value, bound = float(errors[0]), fit.value - fit.gap  # of all rows, from some of them
        new = np.setdiff1d(numbers[errors > fit.value].astype(np.int64), index)
        if value - bound <= rtol * value or len(new) == 0:
            break
        sample, index = stacked([sample, data.take(new)]), np.append(index, new)
    order = np.argsort(index[: len(fit.z)])
    z = data.map_rows(_scattered, index=index[order], z=fit.z[order])
    gap = max(value - bound, 0.0)
    whole = Fit(fit.x, z, value, gap, "full", len(order), n_iterations, fit.rank)
    if bound <= 0.0:  # an exact fit
        return whole
    return prove(data.span(sample), whole, [(data, z)], longest(data.n, np.inf))


def _largest(rows: WeightedData, first: int, *, x: Array, k: int) -> Array:
    """The k largest residuals, descending, above the indices of their rows."""
    errors = np.abs(rows.residuals(x))
    here = np.stack([errors, first + np.arange(rows.n, dtype=np.float64)])
    return _joined_largest(here, np.tile([[-1.0], [0.0]], k))


def _joined_largest(x: Array, y: Array) -> Array:
    both = np.concatenate([x, y], axis=1)
    return both[:, np.lexsort((both[1], -both[0]))[: y.shape[1]]]  # ties by row index


# Newton's method for 1 < p < inf -----------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A point x, the unit of its residuals, its smoothing, and the Newton step y there.

    `remainder` is the part of X'z that z = psi - psi' X y leaves; X = V A `transform` has
    orthonormal columns.
    """

    x: Array
    unit: float
    eps: float
    transform: Array
    p: float
    y: Array
    remainder: Array

    def block(self, rows: WeightedData) -> tuple[Array, Array, Array, Array]:
        """X, residuals over their unit, and first and second derivatives of the loss."""
        X, r = rows.weighted(rows.A @ self.transform), rows.residuals(self.x) / self.unit
        slope, curvature = derivatives(r, self.p, self.eps)
        if self.p > 2.0:  # the largest is p - 1, as the largest residual is one
            curvature = np.maximum(curvature, FLOOR * (self.p - 1.0))
        return X, r, slope, curvature

    def dual(self, rows: WeightedData) -> tuple[Array, Array, Array]:
        """X, residuals and the dual point of a block."""
        X, r, slope, curvature = self.block(rows)
        return X, r, slope - curvature * (X @ self.y) - X @ self.remainder


def _newton(data: TallData, sample: WeightedData, p: float, rtol: float, exact: bool) -> Fit:
    """The minimizer of a sample with its gap over all rows, or, with `exact`, of all rows.

    A step is two passes: the Gram matrix with the second derivatives; the norms for several lengths
    of the step, and that of the dual point z = psi(r) - psi'(r) A y. If A'z exceeds rounding
    errors, a third pass removes it from z. See `randla.regression._solvers.newton`.
    """
    start = norm_fit(sample, p, rtol)
    x, q, n_rows = start.x, p / (p - 1.0), data.n if exact else sample.n
    white, scale = data.whiten()
    T = (
        white.transform if white.rank else np.zeros((data.d, 1))
    )  # one zero column for a zero matrix
    r = T.shape[1]
    table = data.compute(data.norms(residuals_and_rounding, 2, p, x=x))
    (value, noise), unit = norm_from(table, p), float(table[0, 0])
    if value <= ROUNDING * noise:
        return _fitted(data, x, float(value), sample.n, start.n_iterations, white.rank)
    fraction = _SMALL if exact else smoothed_fraction(data.d, sample.n)
    rows = replace(sample, weight=None) if data.A.lazy else data.in_memory  # no pass needed
    errors = np.abs(rows.residuals(x))
    eps = float(np.quantile(errors[errors > 0.0], fraction)) / unit if p < 2.0 else 0.0
    best, best_point, best_norm, steps = -np.inf, None, 1.0, 0

    def dual_sums(point: Point) -> Any:
        join, shape = partial(_joined_dual, q=q), (1, r + 4)
        return data.join_rows(_dual_sums, shape=shape, join=join, point=point, q=q)

    while True:
        point = Point(x, unit, eps, scale[:, None] * T, p, np.zeros(r), np.zeros(r))
        total = data.compute(data.join_rows(_gram_and_gradient, shape=(r, r + 1), point=point))
        # (X' psi' X) y = X' psi; then the gain of several lengths of the step.
        point = replace(point, y=Cholesky(total[:, :r]).solve(total[:, r]))
        sums, table = data.compute(
            dual_sums(point),
            data.norms(_shorter_residuals, len(_LENGTHS), p, point=point) if exact else table,
        )
        if np.linalg.norm(sums[0, 4:]) > _NEGLIGIBLE * sums[0, 3] ** 0.5:
            point = replace(point, remainder=sums[0, 4:])
            sums = data.compute(dual_sums(point))
        sums = sums[0]
        norm_z, bound = float(norm_from(sums[None, :2], q)[0]), -np.inf
        limit = _FEASIBLE * (data.A.n * sums[3]) ** 0.5  # |X'z| relative to sqrt(n) |z|
        if norm_z > 0.0 and np.linalg.norm(sums[4:]) <= limit:
            bound = unit * float(sums[2]) / norm_z  # Hoelder: z'r <= |z|_q |r|_p
        if bound > best:
            best, best_point, best_norm = bound, point, norm_z
        if not exact or value - best <= rtol * value or steps == _MAX_STEPS:
            break
        values = unit * norm_from(table, p)
        k = int(np.argmin(values))
        sharper = max(eps * (_SHRINK if _LENGTHS[k] == 1.0 else 0.5), _SHARPEST)
        if values[k] >= value and (p >= 2.0 or eps <= _SHARPEST):
            break
        if values[k] < value:  # else only the smoothing falls
            x = x + _LENGTHS[k] * unit * (point.transform @ point.y)
            value, unit = values[k], unit * float(table[k, 0])
        eps, steps = (sharper if p < 2.0 else 0.0), steps + 1
    if best_point is None:
        z, best = _fitted(data, x, 0.0, 0, 0, 0).z, 0.0
    else:
        z = data.map_rows(_dual_of_point, point=best_point) / best_norm
    gap, method = max(float(value) - best, 0.0), "full" if exact else "sample"
    fit = Fit(x, z, float(value), gap, method, n_rows, start.n_iterations + steps)
    measure = None if data.A.lazy else partial(norm_and_gap, p)
    span = data.span(white=(white, scale))
    return prove(span, fit, [(data, z)], longest(data.n, p), measure)


def _gram_and_gradient(rows: WeightedData, first: int, *, point: Point) -> Array:
    X, _, slope, curvature = point.block(rows)
    return np.hstack([X.T @ (curvature[:, None] * X), (slope @ X)[:, None]])


def _shorter_residuals(rows: WeightedData, first: int, *, point: Point) -> Array:
    X, r, _, _ = point.block(rows)
    return r - np.multiply.outer(_LENGTHS, X @ point.y)


def _dual_sums(rows: WeightedData, first: int, *, point: Point, q: float) -> Array:
    """The numbers from which `norm_from` computes |z|_q, with r'z, z'z and X'z."""
    X, r, z = point.dual(rows)
    return np.hstack([scaled_sums(np.abs(z)[None], q), [[r @ z, z @ z, *(z @ X)]]])


def _joined_dual(x: Array, y: Array, *, q: float) -> Array:
    return np.hstack([joined_powers(x[:, :2], y[:, :2], p=q), x[:, 2:] + y[:, 2:]])


def _dual_of_point(rows: WeightedData, first: int, *, point: Point) -> Array:
    return point.dual(rows)[2]
