"""Quantile regression of weighted rows of any scale and rank, all of them at once."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from randla._scaling import EPS
from randla._typing import Array
from randla.regression._panels.cholesky import Cholesky
from randla.regression._panels.weighted_data import (
    ROUNDING,
    Conditioned,
    WeightedData,
    condition,
    exact_fit,
    shortest,
)
from randla.regression._quantile.heavy_tails import into_box, solve_pinball
from randla.regression._quantile.interior_point import MAX_ITERATIONS

#: A'z relative to its terms: above the first it is polished, above the second refused.
SHARP, FEASIBLE = 1e-12, 1e-10
#: Dual values below this fraction of the largest count as zero where A'z stays zero.
_NEGLIGIBLE = 1e-18


@dataclass
class WeightedSolution:
    """Minimizer (d,), dual of the weighted rows and their residuals (n,), and how it was found.

    The dual lies in the box and A' diag(weight) z = 0, up to rounding.
    """

    x: Array
    z: Array
    residuals: Array
    n_iterations: int
    exact_fit: bool = False
    stalled: bool = False  # iterations ended at their limit
    vertex: NDArray[np.intp] | None = None  # the rows that a vertex passes through


def solve_rows(
    data: WeightedData,
    tau: float,
    *,
    conditioned: Conditioned | None = None,
    x0: Array | None = None,
    known_side: Array | None = None,
    residual_scale: float = 0.0,
    rtol: float = 1e-8,
    crossover: bool = True,
    max_iterations: int = MAX_ITERATIONS,
) -> WeightedSolution:
    """Minimize the weighted sum of rho_tau(b_i - a_i'x); `max_iterations` limits one solve.

    `x0` is given if it is near the solution; known_side (n,) then has +1 or -1 for rows that are
    known to lie above or below the optimal fit, and `residual_scale` is a typical residual.
    """
    problem = condition(data) if conditioned is None else conditioned
    if x0 is None and (x := exact_fit(data, problem)) is not None:
        return WeightedSolution(x, np.zeros(data.n), data.residuals(x), 0, exact_fit=True)
    start = np.zeros(data.d) if x0 is None else x0
    if not problem.transform.any():
        return _nothing_to_choose(data, tau, start)
    options = {"rtol": rtol, "crossover": crossover, "max_iterations": max_iterations}
    fit = _solved(data, problem, tau, start, known_side, residual_scale, **options)
    if not problem.plain and np.isfinite(fit.x).all():  # A'z = 0 in the columns of A, not of A T
        fit = _polished(data, problem, tau, fit)
    if x0 is None and problem.null is not None:  # where many x are equally good
        x = shortest(data, problem, fit.x)
        fit = replace(fit, x=x, residuals=data.residuals(x))
    if fit.vertex is not None:
        fit.x = _with_exact_zeros(data, fit.vertex, fit.x)
    return replace(fit, z=_feasible_or_zero(data, problem, tau, fit.z))


def _nothing_to_choose(data: WeightedData, tau: float, x: Array) -> WeightedSolution:
    """For A = 0 each row takes the bound of its sign."""
    r = data.residuals(x)
    z = np.where(r > 0.0, tau, np.where(r < 0.0, tau - 1.0, 0.0))
    return WeightedSolution(x, z, r, 0)


def _solved(
    data: WeightedData,
    problem: Conditioned,
    tau: float,
    start: Array,
    known_side: Array | None,
    residual_scale: float,
    **options: float,
) -> WeightedSolution:
    """Solve for y in x = start + T y, with residuals of size one."""
    panels, unit = problem.with_rhs(data.residuals(start))
    solution = solve_pinball(
        panels,
        problem.factor,
        tau,
        known_side=None if known_side is None else panels.lines(known_side),
        residual_scale=residual_scale / unit,
        **options,  # type: ignore[arg-type]
    )
    with np.errstate(over="ignore", invalid="ignore"):  # reported later
        x = start + problem.transform @ (unit * solution.x)
    z, r = (values.ravel()[: data.n] for values in (solution.z, solution.residuals))
    return WeightedSolution(
        x, z, unit * r, solution.n_iterations, stalled=solution.stalled, vertex=solution.vertex
    )


def _polished(
    data: WeightedData, problem: Conditioned, tau: float, fit: WeightedSolution
) -> WeightedSolution:
    """The solution recomputed in the columns of A: T has rounding errors."""
    if fit.vertex is not None:
        try:
            x, z = _polished_vertex(data, problem, fit.vertex, fit.x, fit.z)
            return replace(fit, x=x, z=into_box(z, tau), residuals=data.residuals(x))
        except np.linalg.LinAlgError:  # equal rows, which differ in A T by rounding errors only
            pass
    z = into_box(_polished_dual(data, problem, tau, fit.z), tau)
    return replace(fit, z=z, vertex=None)


def _polished_vertex(
    data: WeightedData, problem: Conditioned, vertex: NDArray[np.intp], x: Array, z: Array
) -> tuple[Array, Array]:
    """Newton steps for B x = b_B and for A'z = 0 through z_B, B being the rows of the vertex."""
    columns, scale = problem.columns, problem.scale
    basis = data.take(vertex)
    square = (basis.weighted(basis.A) * scale)[:, columns]
    x, z = x.copy(), z.copy()
    for _ in range(2):
        x[columns] += scale[columns] * np.linalg.solve(square, basis.residuals(x))
        z[vertex] -= np.linalg.solve(square.T, data.dual_sums(z, scale)[0][columns])
    return x, z


def _polished_dual(data: WeightedData, problem: Conditioned, tau: float, z: Array) -> Array:
    """A'z = 0 by the least change in the metric D = (z - tau + 1) (tau - z) of its slacks.

    z - D A T (T'A'D A T)^-1 T'A'z, twice.
    """
    panels = problem.panels
    metric = panels.lines(np.maximum((z - (tau - 1.0)) * (tau - z), 0.0))
    factor = Cholesky(panels.gram(metric))
    for _ in range(2):
        y = factor.solve(problem.scaled_transform.T @ data.dual_sums(z, problem.scale)[0])
        z = z + (metric * panels.residuals(y, np.zeros_like(metric))).ravel()[: data.n]
    return z


def _with_exact_zeros(data: WeightedData, vertex: NDArray[np.intp], x: Array) -> Array:
    """Zeros for the coefficients for which the vertex has a row x_j = 0, as a penalty has."""
    through = data.dense(vertex[data.b[vertex] == 0.0])
    if len(through):
        alone = np.count_nonzero(through, axis=1) == 1
        x = x.copy()
        x[np.abs(through[alone]).argmax(axis=1)] = 0.0
    return x


def _feasible_or_zero(data: WeightedData, problem: Conditioned, tau: float, z: Array) -> Array:
    """A dual point with A'z = 0 up to rounding, without values that are rounding errors."""
    if data.infeasibility(z) > SHARP:  # rows may be of very different sizes
        z = into_box(_polished_dual(data, problem, tau, z), tau)
        if data.infeasibility(z) > FEASIBLE:
            return np.zeros(data.n)
    values = np.abs(z)
    largest = values.max(initial=0.0)
    if largest <= ROUNDING * EPS:  # relative to a box of size one
        return np.zeros(data.n)
    negligible = (values > 0.0) & (values <= _NEGLIGIBLE * largest)
    if negligible.any():
        without = np.where(negligible, 0.0, z)
        z = without if data.infeasibility(without) <= SHARP else z
    return z
