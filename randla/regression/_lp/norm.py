"""Regression of weighted rows of any scale and rank in the l_p norm for p > 1."""

from functools import partial

import numpy as np

from randla._typing import Array
from randla.regression._lp.certificate import Fit, Span, prove, span_of
from randla.regression._lp.minimax import solve_minimax
from randla.regression._panels.weighted_data import (
    Conditioned,
    WeightedData,
    condition,
    exact_fit,
    shortest,
)
from randla.regression._quantile.weighted import FEASIBLE, SHARP
from randla.regression._solvers.newton import norm, solve_power

#: Largest residual of least squares, relative to b, for a start from least squares.
_NEAR = 1e-2


def norm_fit(data: WeightedData, p: float, rtol: float) -> Fit:
    """Minimize the l_p norm of the weighted residuals, 1 < p <= inf."""
    problem, n = condition(data), data.n
    x = exact_fit(data, problem)
    if x is not None:
        value = norm(data.residuals(x), p)
        return Fit(x, np.zeros(n), value, value, "full", n, 0, span_of(problem).rank, True)
    x0 = least_squares(data, problem)
    start = data.accurate_residuals(x0, problem.scale) if x0.any() else data.residuals(x0)
    panels, unit = problem.with_rhs(start)
    solve = solve_minimax if p == np.inf else partial(solve_power, p=p)
    solution = solve(panels, problem.factor, rtol=rtol)
    z = solution.z.ravel()[:n]  # |z|_q = 1, A'z = 0
    x = x0 + problem.transform @ (unit * solution.x)  # the calling function checks for overflow
    if np.isfinite(x).all() and not (problem.plain and data.infeasibility(z) <= SHARP):
        polish = _polished_minimax if p == np.inf else _polished_power
        polished, z = polish(data, problem, x, z)
        if norm(data.residuals(polished), p) <= norm(data.residuals(x), p):
            x = polished
        z /= max(norm(z, p / (p - 1.0) if p < np.inf else 1.0), 1e-300)
    x = shortest(data, problem, x)
    if data.infeasibility(z) > FEASIBLE:
        z = np.zeros(n)
    fit = Fit(x, z, 0.0, 0.0, "full", solution.n_rows, solution.n_iterations)
    return certified_norm(data, span_of(problem), p, fit)


def least_squares(data: WeightedData, problem: Conditioned) -> Array:
    """A first fit if it is close, so that residuals keep all digits next to large b; else zero."""
    panels, unit = problem.with_rhs(data.residuals(np.zeros(data.d)))
    y = problem.factor.solve(panels.transposed_product(panels.rhs))
    near = np.abs(panels.residuals(y)).max() <= _NEAR
    x = problem.transform @ (unit * y)
    return x if near and np.isfinite(x).all() else np.zeros(data.d)


def certified_norm(data: WeightedData, span: Span, p: float, fit: Fit) -> Fit:
    """The fit with its norm and proven gap."""
    fit.value, fit.gap = norm_and_gap(p, [data.residuals(fit.x)], [fit.z])
    if not np.isfinite(fit.value):
        return fit  # x overflows, which is reported later
    return prove(span, fit, [(data, fit.z)], longest(data.n, p), partial(norm_and_gap, p))


def longest(n: int, p: float) -> float:
    """The largest |r|_2 for |r|_p = 1: n^(1/2 - 1/p), if p > 2."""
    return float(n) ** max(0.5 - 1.0 / p, 0.0)


def norm_and_gap(p: float, residuals: list[Array], duals: list[Array]) -> tuple[float, float]:
    """The norm of residuals in one part, and its excess over z'r."""
    value = norm(residuals[0], p)
    return value, max(value - float(residuals[0] @ duals[0]), 0.0)


def _polished_power(
    data: WeightedData, problem: Conditioned, x: Array, z: Array
) -> tuple[Array, Array]:
    """Make A'z = 0 in the columns of A: the columns of A T have rounding errors."""
    panels = problem.panels
    for _ in range(2):  # z - A T (T'A'A T)^-1 T'A'z
        y = problem.factor.solve(problem.scaled_transform.T @ data.dual_sums(z, problem.scale)[0])
        z = z + panels.residuals(y, np.zeros_like(panels.rhs)).ravel()[: data.n]
    return x, z


def _polished_minimax(
    data: WeightedData, problem: Conditioned, x: Array, z: Array
) -> tuple[Array, Array]:
    """The same for a vertex: its rows have residuals of one size t, and A'z = 0 on them.

    a_i'x + sign(z_i) t = b_i for the rows that bind, and the transposed system for z.
    """
    index, columns, scale = np.flatnonzero(z), problem.columns, problem.scale
    basis = data.take(index)
    binding = np.column_stack([(basis.weighted(basis.A) * scale)[:, columns], np.sign(z[index])])
    lengths = np.abs(binding).max(axis=1, initial=0.0)  # rows carry weights of any size
    binding /= lengths[:, None]
    x, z = x.copy(), z.copy()
    for _ in range(2):
        step, *_ = np.linalg.lstsq(binding, basis.residuals(x) / lengths, rcond=None)
        x[columns] += scale[columns] * step[:-1]
        sums = np.append(data.dual_sums(z, scale)[0][columns], 0.0)
        step, *_ = np.linalg.lstsq(binding.T, sums, rcond=None)
        z[index] -= step / lengths
    return x, z
