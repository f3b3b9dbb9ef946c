"""Regression in the l_inf norm by linear programs on the rows that matter.

A row that is not near the largest residual does not bind. A linear program on a few rows gives
a lower bound and a point; the rows that violate it most join, until none does. This ends after
finitely many rounds at the exact minimum.

A program is solved for the correction of the best point so far, in units of its gap: the tolerance
of the solver is then relative to the gap.

Source: Gleixner, Steffy and Wolter, "Iterative refinement for linear programming", INFORMS J.
Comput. 28 (2016), 449-464.
"""

import numpy as np
from numpy.typing import NDArray

from randla._panels import Panels
from randla._typing import Array
from randla.regression._panels.cholesky import Cholesky
from randla.regression._solvers.newton import NormSolution, solve_power

#: Rows at the start and rows that join a round, for each column.
_FIRST, _MORE = 10, 4
#: The exponent whose solution shows which rows are likely to bind.
_NEARBY = 32.0
_MAX_ROUNDS = 200
#: Relative gap of an exact vertex, for which corrections go on below the tolerance.
_VERTEX = 1e-12
#: A correction on the same rows must leave at most this fraction of the gap, or it is the last.
_SHRINK = 0.5
#: Rounds that may add rows with no such progress, once the tolerance is reached.
_LATE = 8
#: Dual values of a scaled program that count as zero.
_NEGLIGIBLE = 1e-9
#: Entries that count as zero relative to the largest of their column.
_ROUNDING = 1e-14


def solve_minimax(rows: Panels, factor: Cholesky, rtol: float) -> NormSolution:
    """Minimize max_i |b_i - a_i'x| over well conditioned rows."""
    n, d = rows.n, rows.d
    near = solve_power(rows, factor, _NEARBY, 1e-3)
    residuals = near.residuals
    if near.value == 0.0:
        return NormSolution(near.x, residuals, near.z, 0.0, 0.0, n, near.n_iterations)
    chosen = largest_places(np.abs(residuals.ravel()[:n]), _FIRST * (d + 1))
    x, z = near.x, near.z / float(np.abs(near.z).sum())
    value, bound = float(np.abs(residuals).max()), float((residuals * z).sum())
    n_rounds = n_late = 0
    while n_rounds < _MAX_ROUNDS and value - bound > min(rtol, _VERTEX) * value:
        n_rounds += 1
        solution = _program(rows.rows(chosen), residuals.ravel()[chosen], value, value - bound)
        if solution is None:
            break
        gap, (step, z_chosen) = value - bound, solution
        new = np.zeros_like(residuals)
        new.ravel()[chosen] = z_chosen
        moved = rows.residuals(step, residuals)
        errors = np.abs(moved.ravel()[:n])
        if float((moved * new).sum()) > bound:  # z'(r - A y) = z'r is a lower bound, |z|_1 = 1
            z, bound = new, float((moved * new).sum())
        if float(errors.max()) < value:
            x, residuals, value = x + step, moved, float(errors.max())
        errors[chosen] = -1.0
        worst = largest_places(errors, _MORE * (d + 1))
        worst = worst[errors[worst] > bound]
        if value - bound > _SHRINK * gap:
            n_late += value - bound <= rtol * value
            if len(worst) == 0 or n_late > _LATE:  # only rounding is left
                break
        chosen = np.append(chosen, worst)
    return NormSolution(x, residuals, z, value, max(value - bound, 0.0), len(chosen), n_rounds)


def largest_places(values: Array, k: int) -> NDArray[np.intp]:
    """Indices of the k largest numbers, or of all."""
    k = min(k, len(values))
    return np.sort(np.argpartition(values, len(values) - k)[len(values) - k :])


def _program(A: Array, r: Array, value: float, unit: float) -> tuple[Array, Array] | None:
    """Minimize max |r - A y| as a linear program; y and the dual z with |z|_1 = 1.

    Its variables are y and the change of the maximum from `value`, both over `unit`.
    """
    from scipy.optimize import linprog

    m, d = A.shape
    scale = _column_scale(A)
    # -t <= r - A y <= t, each row over its largest entry; the variables are (y / scale, t) / unit.
    lengths = np.maximum(np.abs(A * scale).max(axis=1, initial=0.0), 1.0)
    rows, share = A * scale / lengths[:, None], 1.0 / lengths[:, None]
    solution = linprog(
        np.append(np.zeros(d), 1.0),
        A_ub=np.vstack([np.hstack([-rows, -share]), np.hstack([rows, -share])]),
        b_ub=np.append(value - r, value + r) / unit / np.tile(lengths, 2),
        bounds=[(None, None)] * d + [(-value / unit, None)],
        method="highs",
    )
    if solution.x is None:
        return None
    z = solution.ineqlin.marginals[m:] - solution.ineqlin.marginals[:m]
    active = np.flatnonzero(np.abs(z) > _NEGLIGIBLE)
    signs = np.sign(z[active])
    # The program stops at its tolerance; the rows that bind give the vertex to full precision.
    binding = np.hstack([rows[active], signs[:, None] * share[active]])
    off = (r[active] - signs * value) / unit / lengths[active]
    vertex, *_ = np.linalg.lstsq(binding, off, rcond=None)  # a_i'y + sign_i t = r_i
    sharp, *_ = np.linalg.lstsq(binding.T, np.append(np.zeros(d), 1.0), rcond=None)  # its dual
    z = np.zeros(m)
    z[active] = np.where(sharp * signs > 0.0, sharp, 0.0) / lengths[active]
    points = unit * scale * vertex[:d], unit * scale * solution.x[:d]
    worst = [float(np.abs(r - A @ y).max()) for y in points]
    total = np.abs(z).sum()
    return points[int(worst[1] < worst[0])], z / total if total > 0.0 else z


def _column_scale(A: Array) -> Array:
    """Scales that bring the median size of entries in each column to one, without zeros and noise.

    A row that is far longer than the others has a column of orthonormal ones to itself: without
    scales the program would lose their entries, and the dual value that balances them.
    """
    entries = np.abs(A)
    largest = entries.max(axis=0)
    entries[entries <= _ROUNDING * largest] = np.nan
    entries[0, largest == 0.0] = 1.0
    return 1.0 / np.nanmedian(entries, axis=0)
