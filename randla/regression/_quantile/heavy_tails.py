"""The pinball problem on rows in panels, in the presence of heavy tails.

Huge residuals slow an interior point method down: its complementarity products span many orders of
magnitude. They may be winsorized. If the residuals r0 at some x0 are cut to [-c, c] and the optimum
of the cut problem leaves every cut row on its side of the fit, with a margin, then the loss of
these rows differs from the true loss by a constant near that optimum. So it is the optimum of the
true problem (which is convex), and its dual is dual for the true problem too.
"""

import numpy as np
from numpy.typing import NDArray

from randla._panels import Panels
from randla._scaling import EPS
from randla._typing import Array
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.interior_point import (
    MAX_ITERATIONS,
    InteriorPoint,
    PinballSolution,
)

#: Residuals beyond this many medians are cut.
_TAIL = 20.0
#: A cut row must end this fraction of the cut away from the fit.
_MARGIN = 1e-3
#: If a cut row ends too near to the fit, all rows at most this factor farther are freed.
_ALIKE = 2.0
#: A solve without a vertex is repeated if the cut has shrunk to this fraction of the start.
_NEARER = 1e-3
#: Rows of the rough solve for a heavy tail, and its tolerance.
_ROUGH_ROWS, _ROUGH_TOLERANCE = 1000, 1e-2
_MAX_ATTEMPTS = 8
#: Residuals up to this fraction of the largest right-hand side are rounding errors.
_MET = 16.0 * EPS
#: A dual value may leave its box by this much through rounding.
_ROUNDING = 1e-14


def solve_pinball(
    rows: Panels,
    factor: Cholesky,
    tau: float,
    *,
    known_side: Array | None = None,
    residual_scale: float = 1.0,
    rtol: float = 1e-8,
    crossover: bool = True,
    max_iterations: int = MAX_ITERATIONS,
) -> PinballSolution:
    """Minimize sum_i rho_tau(b_i - a_i'x) over well conditioned rows, to a relative gap.

    A solve of `max_iterations` iterations is the last. `factor` is that of A'A. `known_side` and
    `residual_scale`, see `InteriorPoint`, are given if x = 0 is near the solution.
    """
    near = known_side is not None
    x, residuals, n_iterations = np.zeros(rows.d), rows.rhs, 0
    if not near:
        x = factor.solve(rows.transposed_product(residuals))
        residuals = rows.residuals(x)
        if rows.unweighted(residuals).max() > 5.0 * _cutoff(rows, residuals):
            step, n_iterations = _rough_solution(rows, residuals, tau)
            x, residuals = x + step, rows.residuals(step, residuals)
    freed = np.zeros(rows.rhs.shape, bool)
    for attempt in range(_MAX_ATTEMPTS):
        last = near or attempt == _MAX_ATTEMPTS - 1
        cut = np.inf if last else _cutoff(rows, residuals)
        winsorized, is_cut = _winsorized(rows, factor, residuals, cut, ~freed)
        if near:
            step = np.zeros(rows.d)
            inner = InteriorPoint(rows, winsorized, tau, known_side, residual_scale)
        else:  # least squares are a better start than a point near the optimum
            step = factor.solve(rows.transposed_product(winsorized))
            inner = InteriorPoint(rows, rows.residuals(step, winsorized), tau)
        solution = inner.solve(rtol, crossover, max_iterations)
        n_iterations += solution.n_iterations
        x = x + step + solution.x
        end = solution.residuals * np.sign(residuals)  # negative where a row has changed sides
        wrong = is_cut & (end < _MARGIN * np.abs(winsorized))
        residuals = solution.residuals + (residuals - winsorized)
        if solution.stalled:
            break
        distance = rows.unweighted(residuals)
        if crossover and not near and solution.vertex is None:
            start = float(rows.unweighted(winsorized).max())
            if _cutoff(rows, residuals) < _NEARER * start:  # worth more from near
                freed[:] = False
                continue
        if not wrong.any():
            break
        freed |= is_cut & (distance <= _ALIKE * distance[wrong].max())  # or wrong in turn
    z = solution.z
    if solution.vertex is None:
        z = _feasible_dual(rows, z, tau, np.where(is_cut, np.sign(residuals), 0.0))
    z = into_box(z, tau)
    return PinballSolution(x, z, residuals, n_iterations, solution.vertex, solution.stalled)


def into_box(z: Array, tau: float) -> Array:
    """Bring dual values into the box: by clipping rounding errors, else by shrinking all."""
    over = max(float(z.max(initial=0.0)) - tau, tau - 1.0 - float(z.min(initial=0.0)))
    if over <= _ROUNDING:
        return np.clip(z, tau - 1.0, tau)
    return z / max(1.0, z.max() / tau, z.min() / (tau - 1.0))


def _feasible_dual(rows: Panels, z: Array, tau: float, side: Array) -> Array:
    """Make A'z = 0 to rounding, by the least change in the metric of the slacks; else z = 0.

    Rows that were cut go to the bound of their side, if the others can compensate: the distance of
    an interior point z from its bound would be multiplied by their whole residual.
    """
    feasible, clipped = np.zeros_like(z), np.clip(z, tau - 1.0, tau)
    bound = np.where(side > 0.0, tau, tau - 1.0)
    for start in (np.where(side == 0.0, clipped, bound), clipped):
        z, metric = start, (start - (tau - 1.0)) * (tau - start)
        factor = Cholesky(rows.gram(metric))
        for _ in range(3):  # z - D A (A'DA)^-1 A'z
            step = factor.solve(rows.transposed_product(z))
            z = z + metric * rows.residuals(step, np.zeros_like(z))
        off = np.abs(rows.transposed_product(z))
        if (off <= 1e-12 * rows.column_sums()).all():
            feasible = z
            if z.max() <= tau + 1e-12 and z.min() >= tau - 1.0 - 1e-12:
                break
    return feasible


def _cutoff(rows: Panels, residuals: Array) -> float:
    """The cut for residuals: a multiple of the median (or of a tenth of the upper quartile).

    Measured without the weights: a large weight does not mean that a row is far from the fit. Rows
    on the fit have only rounding errors, which carry no information about the others.
    """
    sample = rows.unweighted(residuals).ravel()[: rows.n]
    sample = sample[:: max(rows.n // 4000, 1)]
    sample = sample[sample > _MET * rows.unweighted(rows.rhs).max()]
    if len(sample) == 0:
        return np.inf
    middle, upper = len(sample) // 2, (3 * len(sample)) // 4
    ordered = np.partition(sample, (middle, upper))
    return _TAIL * float(max(ordered[middle], 0.1 * ordered[upper]))


def _winsorized(
    rows: Panels, factor: Cholesky, residuals: Array, cut: float, allowed: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_]]:
    """Residuals cut where allowed, and which ones were cut.

    A fit that moves moves most at the longest rows, in the metric of A'A: they are cut that many
    mean lengths farther out.
    """
    is_cut = (rows.unweighted(residuals) > cut) & allowed
    index = np.flatnonzero(is_cut)
    if len(index) == 0:
        return residuals, is_cut
    length = np.sqrt(np.square(rows.rows(index) @ factor.whitener().T).sum(axis=1))
    limit = cut * np.maximum(length * np.sqrt(rows.n / rows.d), 1.0)  # mean length sqrt(d / n)
    if rows.weight is not None:
        limit *= rows.weight.ravel()[index]
    winsorized, original = residuals.copy(), residuals.ravel()[index]
    winsorized.ravel()[index] = np.clip(original, -limit, limit)
    is_cut.ravel()[index[np.abs(original) <= limit]] = False
    return winsorized, is_cut


def _rough_solution(rows: Panels, residuals: Array, tau: float) -> tuple[Array, int]:
    """A step toward the quantile, from a sample of the rows: least squares may be far from it.

    The cut shrinks with the residuals until it settles.
    """
    n = min(rows.n, _ROUGH_ROWS)
    index = np.random.default_rng(0).choice(rows.n, n, replace=False)  # any rows suffice
    sample = rows.subset(index, residuals)
    everywhere = np.ones(sample.rhs.shape, bool)
    factor = Cholesky(sample.gram())
    total, end, cut, n_iterations = np.zeros(rows.d), sample.rhs, np.inf, 0
    for _ in range(_MAX_ATTEMPTS):
        previous, cut = cut, _cutoff(sample, end)
        if cut > 0.5 * previous:
            break
        winsorized, _ = _winsorized(sample, factor, end, cut, everywhere)
        step = factor.solve(sample.transposed_product(winsorized))
        inner = InteriorPoint(sample, sample.residuals(step, winsorized), tau)
        solution = inner.solve(_ROUGH_TOLERANCE, crossover=False)
        n_iterations += solution.n_iterations
        total = total + step + solution.x
        end = solution.residuals + (end - winsorized)
    return total, n_iterations
