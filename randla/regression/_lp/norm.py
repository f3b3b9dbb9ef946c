"""Regression of weighted rows of any scale and rank in the l_p norm for p > 1."""

import numpy as np

from randla._typing import Array
from randla.regression._lp.certificate import Span, prove, span_of
from randla.regression._lp.minimax import solve_minimax
from randla.regression._lp.newton import norm, solve_power
from randla.regression._lp.quantile import Plane, proven_plane
from randla.regression._quantile.weighted import (
    FEASIBLE,
    SHARP,
    Conditioned,
    Rows,
    condition,
    exact_fit,
    shortest,
    with_rhs,
)

#: Largest residual of least squares beside b for which it is worth to start there.
_NEAR = 1e-2


def norm_plane(rows: Rows, p: float, rtol: float) -> Plane:
    """Minimise the l_p norm of the weighted residuals, 1 < p <= inf."""
    problem, n = condition(rows), rows.n
    fit = exact_fit(rows, problem)
    if fit is not None:
        value = norm(rows.residuals(fit), p)
        rank = span_of(problem).rank
        return Plane(fit, np.zeros(n), value, value, "full", n, 0, rank, True)
    x0 = least_squares(rows, problem)
    start = rows.accurate_residuals(x0, problem.scale) if x0.any() else rows.residuals(x0)
    panels, unit = with_rhs(problem.panels, start)
    if p == np.inf:
        minimax = solve_minimax(panels, problem.factor, rtol)
        y, z, n_rows, n_iterations = minimax.x, minimax.z, minimax.n_rows, minimax.n_iterations
    else:
        power = solve_power(panels, problem.factor, p, rtol)
        y, z, n_rows, n_iterations = power.x, power.z, n, power.n_iterations
    z = z.ravel()[:n]
    x = x0 + problem.transform @ (unit * y)  # if it overflows, the caller tells
    if np.isfinite(x).all() and not (problem.plain and rows.infeasibility(z) <= SHARP):
        polish = _polished_minimax if p == np.inf else _polished_power
        sharp, z = polish(rows, problem, x, z)
        if norm(rows.residuals(sharp), p) <= norm(rows.residuals(x), p):
            x = sharp
        z /= max(norm(z, p / (p - 1.0) if p < np.inf else 1.0), 1e-300)
    x = shortest(rows, problem, x)
    if rows.infeasibility(z) > FEASIBLE:
        z = np.zeros(n)
    return certified_norm(
        rows, span_of(problem), p, Plane(x, z, 0.0, 0.0, "full", n_rows, n_iterations)
    )


def least_squares(rows: Rows, problem: Conditioned) -> Array:
    """A first fit where it is near, so that residuals have all digits beside large b, else zero."""
    panels, unit = with_rhs(problem.panels, rows.residuals(np.zeros(rows.d)))
    y = problem.factor.solve(panels.transposed_product(panels.rhs))
    near = np.abs(panels.residuals(y)).max() <= _NEAR
    x = problem.transform @ (unit * y)
    return x if near and np.isfinite(x).all() else np.zeros(rows.d)


def certified_norm(rows: Rows, span: Span, p: float, plane: Plane) -> Plane:
    """The plane with its norm and proven gap."""
    x, z = plane.x, plane.z

    def measure(residuals: list[Array], duals: list[Array]) -> tuple[float, float]:
        value = norm(residuals[0], p)
        return value, max(value - float(residuals[0] @ duals[0]), 0.0)

    value, gap = measure([rows.residuals(x)], [z])
    if not np.isfinite(value):
        return plane  # x overflows, which the caller tells
    longest = float(rows.n) ** max(0.5 - 1.0 / p, 0.0)  # |r|_2 beside |r|_p, at most
    return proven_plane(plane, span, prove(span, [(rows, z)], x, value, gap, longest, measure))


def _polished_power(rows: Rows, problem: Conditioned, x: Array, z: Array) -> tuple[Array, Array]:
    """Make A'z = 0 in the columns of A: those of A T have rounding errors of their own."""
    panels = problem.panels
    for _ in range(2):
        left = problem.scaled_transform.T @ rows.dual_sums(z, problem.scale)[0]
        off = panels.residuals(problem.factor.solve(left), np.zeros_like(panels.rhs))
        z = z + off.ravel()[: rows.n]
    return x, z


def _polished_minimax(rows: Rows, problem: Conditioned, x: Array, z: Array) -> tuple[Array, Array]:
    """The same for a vertex: its rows have residuals of one size, and A'z = 0 on them."""
    index, columns, scale = np.flatnonzero(z), problem.columns, problem.scale
    basis = rows.take(index)
    binding = np.column_stack([(basis.weighted() * scale)[:, columns], np.sign(z[index])])
    size = np.abs(binding).max(axis=1, initial=0.0)  # rows carry weights of any size
    binding /= size[:, None]
    x, z = x.copy(), z.copy()
    for _ in range(2):
        step, *_ = np.linalg.lstsq(binding, basis.residuals(x) / size, rcond=None)
        x[columns] += scale[columns] * step[:-1]
        off = np.append(rows.dual_sums(z, scale)[0][columns], 0.0)
        step, *_ = np.linalg.lstsq(binding.T, off, rcond=None)
        z[index] -= step / size
    return x, z
