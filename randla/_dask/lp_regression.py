"""Regression of a Dask array in the l_p norm and of quantiles, from few rows at a time.

A weighted sample gives a first plane. For p = 1 and quantiles the rows far from it are summed into
two, as in `_quantile.preprocessing`: the small problem is solved, and rows that lie on the wrong
side of its plane are taken out of the sums until there are none. For 1 < p < inf Newton's method
goes on over all rows (`newton`), for p = inf the rows that bind are added (`minimax`). Each step
is one to three passes, and each plane has a dual point for all rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from randla._dask import minimax, newton
from randla._dask.certificate import proven, span_of_some
from randla._dask.residuals import (
    Data,
    draw,
    fitted,
    joined_columns,
    norm_from,
    norms,
    residuals,
    residuals_and_rounding,
    stacked,
    taken,
)
from randla._scaling import power_of_two_scale
from randla._tall import dask_arrays
from randla._validation import as_weights
from randla.regression._lp.lp_regression import LpRegressionResult, wrap
from randla.regression._lp.options import Options, read_options
from randla.regression._lp.quantile import Plane, penalty_rows, quantile_planes
from randla.regression._lp.sampled import band, rows_near
from randla.regression._quantile.preprocessing import sample_size
from randla.regression._quantile.weighted import (
    ROUNDING,
    Rows,
    RowsSolution,
    condition,
    solve_rows,
)

Array = NDArray[np.float64]

_MAX_REPAIRS = 12
#: Rows near the plane that are taken one by one, for each column, at least.
_FEWEST = 50
#: Rows are kept up to this multiple of the mean residual, however many there are.
_TIES = 1e-3
#: Relative gap of the small problem that only proves how good the plane of a sample is.
_TOLERANCE = 1e-3


def lp_regression(
    A: Any, b: Any, p: Any, *, tau: Any, weights: Any, l1: Any, method: Any, size: Any, rtol: Any,
    rng: Any,
) -> LpRegressionResult:  # fmt: skip
    """`randla.lp_regression` of a Dask array."""
    A = dask_arrays.as_rows(A)
    n, d = A.shape
    b = dask_arrays.as_columns(b, A, "b", single=True)
    options = read_options(
        n, d, p, tau=tau, l1=l1, method=method, size=size, rtol=rtol, rng=rng, column=b.ndim == 2
    )
    b = b if b.ndim == 1 else b[:, 0]
    p, taus, rtol, generator = options.p, options.taus, options.rtol, options.generator
    method = _method_for(options)
    weight, unit, n = _read_weights(weights, A, p)
    data = Data(A, b, weight, n)
    m = options.sample_rows(n)
    if p > 1.0:
        few, indices = draw(data, p, m, generator)
        if p == np.inf:
            plane = minimax.solve(data, few, indices, rtol)
        else:
            plane = newton.solve(data, few, p, rtol, exact=method != "sample")
        planes, factor = [plane], unit ** (-1.0 if p == np.inf else -1.0 / p)
        extra = penalty_rows(options.penalty)
    else:
        factor = 1.0 / (options.half * unit)
        if method == "preprocess":
            m = min(n, max(sample_size(n, d, t) for t in taus))
        few, _ = draw(data, 1.0, m, generator)
        charge = options.penalty / factor
        found = quantile_planes(few, charge, taus, method="auto", rtol=rtol, generator=generator)
        extra = penalty_rows(charge)
        planes = [
            _plane(data, extra, t, start, few.n, rtol, exact=method == "preprocess")
            for t, start in zip(taus, found, strict=True)
        ]
    planes = _shortest(data, few.below(extra, np.zeros(len(extra))), planes)
    duals = [
        factor * (z if data.weight is None else z * data.weight) for z in (q.z for q in planes)
    ]

    def rounding(x: Array) -> float:
        table = dask_arrays.compute(norms(data, residuals_and_rounding, 2, p, x=x))
        return float(norm_from(table, p)[1])

    return wrap(planes, da.stack(duals, axis=1), factor, options, rounding)


def _shortest(data: Data, some: Rows, planes: list[Plane]) -> list[Plane]:
    """The planes with the x of least norm where columns depend, in all rows as in some of them."""
    null = condition(some).null
    if null is None:
        return planes
    found = []
    for plane in planes:
        shift = null @ (null.T @ plane.x)
        shorter = replace(plane, x=plane.x - shift)
        if np.isfinite(shift).all():
            moved = norms(data, _moved_and_rounding, 2, np.inf, x=shorter.x, shift=shift)
            size, noise = norm_from(dask_arrays.compute(moved), np.inf)
            plane = shorter if size <= ROUNDING * noise else plane
        found.append(plane)
    return found


def _moved_and_rounding(A: Any, b: Any, weight: Any, *, x: Array, shift: Array) -> Array:
    """What a shift of x adds to the residuals, and bounds for their rounding errors."""
    table = residuals_and_rounding(A, b, weight, x=x)
    table[:, 0] = residuals(A, np.zeros(len(table)), weight, shift)
    return table


def _method_for(options: Options) -> str:
    """The method, of those that a Dask array allows."""
    if options.method == "auto":
        return "preprocess" if options.p == 1.0 else "full"
    if options.method == "full" and options.p == 1.0:
        raise ValueError(
            "method must be 'auto', 'preprocess' or 'sample' for p = 1 or quantiles of a Dask "
            "array, got 'full': use A.compute()"
        )
    return options.method


def _read_weights(weights: Any, A: Any, p: float) -> tuple[Any, float, int]:
    """Weights of the rows, numbers up to one, lazy; their unit; and how many are positive."""
    if weights is None:
        return None, 1.0, A.shape[0]
    w = dask_arrays.as_vector(weights, A, "weights")
    found = dask_arrays.join_rows(_top_and_count, w, shape=(1, 2), join=_joined_tops_and_counts)
    top, n_positive = dask_arrays.compute(found)[0]
    if top == 0.0:
        raise ValueError("weights must have a positive sum, got only zeros")
    unit = float(power_of_two_scale(top))
    root = 1.0 if p in (1.0, np.inf) else 1.0 / p
    return dask_arrays.map_rows(_root, w, width=None, unit=unit, root=root), unit, int(n_positive)


def _top_and_count(first: int, w: Any) -> Array:
    w = np.asarray(as_weights(w, len(w), "weights", positive_sum=False))
    return np.array([[w.max(), np.count_nonzero(w)]])


def _joined_tops_and_counts(x: Array, y: Array) -> Array:
    return np.array([[max(x[0, 0], y[0, 0]), x[0, 1] + y[0, 1]]])


def _root(first: int, w: Any, *, unit: float, root: float) -> Array:
    return (unit * np.asarray(w, np.float64)) ** root


def _plane(
    data: Data,
    extra: Array,
    tau: float,
    start: Plane,
    size: int,
    rtol: float,
    *,
    exact: bool,
) -> Plane:
    """The plane of a sample with its certificate, or the plane of all rows."""
    n, d = data.n, data.A.shape[1]
    k = rows_near(n, d, size, tau)
    if exact:
        k = min(n, max(int(band(n, d, size, tau)), _FEWEST * d))
    x, n_iterations = start.x, start.n_iterations
    nearest, table = dask_arrays.compute(
        dask_arrays.join_rows(
            _nearest, *data.operands, shape=(1, k), join=_joined_nearest, x=x, k=k
        ),
        norms(data, residuals_and_rounding, 2, 1.0, x=x),
    )
    loss, noise = norm_from(table, 1.0)
    if loss <= ROUNDING * noise and not (extra @ x).any():
        value = dask_arrays.compute(
            dask_arrays.join_rows(_pinball, *data.operands, shape=(1, 1), x=x, tau=tau)
        )
        value = float(value[0, 0])
        return replace(fitted(data, x, value, size, n_iterations), rank=start.rank)
    spread = float(loss) / n
    globs = Globs(data, extra, tau, x, max(float(nearest[0, -1]), _TIES * spread))
    for _ in range(_MAX_REPAIRS):
        solution = globs.solve(x, spread, rtol if exact else _TOLERANCE, crossover=exact)
        n_iterations += solution.n_iterations
        if exact:
            x = solution.x
        n_wrong, value, gap = globs.check(x, solution.z, repair=exact)
        if not (exact and n_wrong):
            break
    method = "preprocess" if exact else "sample"
    n_rows = len(globs.kept) if exact else size
    plane = Plane(x, globs.dual(solution.z), value, gap, method, n_rows, n_iterations)
    zeros, z_extra = np.zeros(len(extra)), solution.z[len(globs.kept) : -2]
    span, c = span_of_some(data, globs.rows.below(extra, zeros)), 1.0 / min(tau, 1.0 - tau)
    return proven(data, plane, span, c, (Rows(extra, zeros), z_extra))


class Globs:
    """Rows near a plane, and the sums of those above and of those below it."""

    def __init__(self, data: Data, extra: Array, tau: float, x0: Array, edge: float) -> None:
        self.data, self.extra, self.tau = data, extra, tau
        self.sides: dict[str, Any] = {"x0": x0, "edge": edge}
        parts = dask_arrays.gather(_globbed, *data.operands, **self.sides)
        self.kept = np.concatenate([part[0] for part in parts])
        self.rows = stacked([part[1] for part in parts])
        self.sums = np.sum([part[2] for part in parts], axis=0)  # (2, d + 1), of [A b]

    def solve(self, x: Array, spread: float, rtol: float, *, crossover: bool) -> RowsSolution:
        """Solve the small problem: the kept rows, the penalty, and the two sums."""
        A = np.vstack([self.extra, self.sums[:, :-1]])
        small = self.rows.below(A, np.append(np.zeros(len(self.extra)), self.sums[:, -1]))
        far = np.zeros(small.n)
        far[-2:] = 1.0, -1.0
        return solve_rows(
            small,
            self.tau,
            x0=x,
            known_side=far,
            residual_scale=spread,
            rtol=rtol,
            crossover=crossover,
        )

    def check(self, x: Array, z: Array, *, repair: bool) -> tuple[int, float, float]:
        """Rows of the sums on the wrong side of a plane, its loss and its gap over all rows.

        With `repair` those rows leave the sums.
        """
        parts = dask_arrays.gather(
            _checked, *self.data.operands, **self.sides, x=x, kept=self.kept, tau=self.tau,
            z_far=z[-2:],
        )  # fmt: skip
        value, gap = np.sum([part[2] for part in parts], axis=0)
        near = np.append(self.rows.residuals(x), -(self.extra @ x))
        loss = np.maximum(self.tau * near, (self.tau - 1.0) * near)
        value, gap = value + loss.sum(), gap + (loss - z[:-2] * near).sum()
        wrong = np.concatenate([part[0] for part in parts])
        if repair and len(wrong):
            rows = stacked([part[1] for part in parts])
            above = residuals(rows.A, rows.b, rows.weight, self.sides["x0"]) > 0.0
            joined = joined_columns(0, rows.A, rows.b, rows.weight)
            self.sums -= np.stack([joined[above].sum(axis=0), joined[~above].sum(axis=0)])
            self.kept = np.append(self.kept, wrong)
            self.rows = stacked([self.rows, rows])
        return len(wrong), float(value), float(gap)

    def dual(self, z: Array) -> Any:
        """The dual of the weighted rows, lazy."""
        order = np.argsort(self.kept)
        return dask_arrays.map_rows(
            _dual, *self.data.operands, width=None, **self.sides,
            kept=self.kept[order], z_kept=z[: len(order)][order], z_far=z[-2:],
        )  # fmt: skip


def _distance(A: Any, b: Any, weight: Any, x: Array) -> Array:
    """Unweighted distances; infinite for rows without weight."""
    size = np.abs(residuals(A, b, None, x))
    return size if weight is None else np.where(np.asarray(weight) > 0.0, size, np.inf)


def _sides(A: Any, b: Any, weight: Any, x0: Array, edge: float) -> Array:
    """+1 for rows far above the plane, -1 far below, else 0; +1 for those that add nothing."""
    r = residuals(A, b, None, x0)
    side = np.sign(r) * (np.abs(r) > edge)
    return side if weight is None else np.where(np.asarray(weight) > 0.0, side, 1.0)


def _pinball(first: int, A: Any, b: Any, weight: Any, *, x: Array, tau: float) -> Array:
    r = residuals(A, b, weight, x)
    return np.maximum(tau * r, (tau - 1.0) * r).sum().reshape(1, 1)


def _nearest(first: int, A: Any, b: Any, weight: Any, *, x: Array, k: int) -> Array:
    return _joined_nearest(_distance(A, b, weight, x)[None], np.full((1, k), np.inf))


def _joined_nearest(x: Array, y: Array) -> Array:
    """The smallest of both, rising, as many as y has."""
    k = y.shape[1]
    both = np.append(x, y)
    return np.sort(np.partition(both, k - 1)[:k])[None]


def _globbed(
    first: int, A: Any, b: Any, weight: Any, *, x0: Array, edge: float
) -> tuple[NDArray[np.int64], Rows, Array]:
    """Numbers and rows of the near ones, and the sums of the others above and below."""
    side = _sides(A, b, weight, x0, edge)
    near = np.flatnonzero(side == 0.0)
    sums = np.empty((2, A.shape[1] + 1))
    for k, sign in enumerate((1.0, -1.0)):
        mask = (side == sign) * (1.0 if weight is None else weight)
        sums[k, :-1], sums[k, -1] = A.T @ mask, mask @ b
    return near + first, taken(A, b, weight, near), sums


def _checked(
    first: int, A: Any, b: Any, weight: Any, *, x0: Array, edge: float, x: Array,
    kept: NDArray[np.int64], tau: float, z_far: Array,
) -> tuple[NDArray[np.int64], Rows, Array]:  # fmt: skip
    """Far rows on the wrong side of the plane x; loss and gap of all far rows."""
    side = _sides(A, b, weight, x0, edge)
    side[kept[(kept >= first) & (kept < first + len(side))] - first] = 0.0
    r = residuals(A, b, weight, x)
    wrong = np.flatnonzero(side * r < 0.0)
    loss = np.where(side == 0.0, 0.0, np.maximum(tau * r, (tau - 1.0) * r))
    z = np.where(side > 0.0, z_far[0], np.where(side < 0.0, z_far[1], 0.0))
    return wrong + first, taken(A, b, weight, wrong), np.array([loss.sum(), (loss - z * r).sum()])


def _dual(
    first: int, A: Any, b: Any, weight: Any, *, x0: Array, edge: float,
    kept: NDArray[np.int64], z_kept: Array, z_far: Array,
) -> Array:  # fmt: skip
    z = np.where(_sides(A, b, weight, x0, edge) > 0.0, z_far[0], z_far[1])
    here = slice(*np.searchsorted(kept, [first, first + len(z)]))
    z[kept[here] - first] = z_kept[here]
    return z
