"""Regression in the l_inf norm by linear programmes on the rows that matter.

A row that is not near the largest residual does not bind. A linear programme on a few rows gives
a lower bound and a point; the rows that violate it most join, until none does. This ends after
finitely many rounds at the exact minimum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from randla.sampling._factor import Factor
from randla.sampling._newton import solve_power
from randla.sampling._panels import Array, Panels

#: Rows at the start and rows that join a round, for each column.
_FIRST, _MORE = 10, 4
#: The exponent whose solution shows which rows are likely to bind.
_NEARBY = 32.0
_MAX_ROUNDS = 200
#: Dual values of a scaled programme that count as zero.
_NEGLIGIBLE = 1e-9
#: Entries that count as zero beside the largest of their column.
_ROUNDING = 1e-14


@dataclass
class MinimaxSolution:
    """Minimiser, residuals and a dual z of unit 1-norm (both (K, PANEL)), norm and gap."""

    x: Array
    residuals: Array
    z: Array
    value: float
    gap: float
    n_rows: int
    n_iterations: int


def solve_minimax(rows: Panels, factor: Factor, rtol: float) -> MinimaxSolution:
    """Minimise max_i |b_i - a_i'x| over well conditioned rows."""
    n, d = rows.n, rows.d
    near = solve_power(rows, factor, _NEARBY, 1e-3)
    base, residuals = near.x, near.residuals
    if near.value == 0.0:
        return MinimaxSolution(base, residuals, near.z, 0.0, 0.0, n, near.n_iterations)
    chosen = _largest(np.abs(residuals.ravel()[:n]), _FIRST * (d + 1))
    A, r = rows.rows(chosen), residuals.ravel()[chosen]
    x, end = base, residuals
    z = near.z / float(np.abs(near.z).sum())
    value, bound = float(np.abs(residuals).max()), float((residuals * z).sum())
    n_rounds = 0
    while n_rounds < _MAX_ROUNDS:
        n_rounds += 1
        solution = _few_rows(A, r)
        if solution is None:
            break
        step, few_z = solution
        z = np.zeros_like(residuals)
        z.ravel()[chosen] = few_z
        x, end = base + step, rows.residuals(step, residuals)
        size = np.abs(end.ravel()[:n])
        value, bound = float(size.max()), float((end * z).sum())
        if value - bound <= rtol * value or len(chosen) == n:
            break
        size[chosen] = -1.0
        worst = _largest(size, _MORE * (d + 1))
        worst = worst[size[worst] > bound]
        if len(worst) == 0:  # all rows satisfy the bound: only rounding is left
            break
        chosen = np.append(chosen, worst)
        A, r = rows.rows(chosen), residuals.ravel()[chosen]
    return MinimaxSolution(x, end, z, value, max(value - bound, 0.0), len(chosen), n_rounds)


def _largest(size: Array, k: int) -> NDArray[np.intp]:
    """Places of the k largest numbers, or of all."""
    k = min(k, len(size))
    return np.sort(np.argpartition(size, len(size) - k)[len(size) - k :])


def _few_rows(A: Array, r: Array) -> tuple[Array, Array] | None:
    """Minimise max |r - A y| as a linear programme; y and the dual z with |z|_1 = 1."""
    from scipy.optimize import linprog

    m, d = A.shape
    unit = float(np.abs(r).max())
    scale = _column_scale(A)
    size = np.maximum(np.abs(A * scale).max(axis=1, initial=0.0), 1.0)
    rows, scaled, share = A * scale / size[:, None], r / unit / size, 1.0 / size[:, None]
    found = linprog(
        np.append(np.zeros(d), 1.0),
        A_ub=np.vstack([np.hstack([-rows, -share]), np.hstack([rows, -share])]),
        b_ub=np.append(-scaled, scaled),
        bounds=[(None, None)] * d + [(0.0, None)],
        method="highs",
    )
    if found.x is None:
        return None
    z = found.ineqlin.marginals[m:] - found.ineqlin.marginals[:m]
    active = np.flatnonzero(np.abs(z) > _NEGLIGIBLE)
    signs = np.sign(z[active])
    # The programme stops at its tolerance; the rows that bind give the vertex to full precision.
    binding = np.hstack([rows[active], signs[:, None] * share[active]])
    vertex, *_ = np.linalg.lstsq(binding, scaled[active], rcond=None)
    sharp, *_ = np.linalg.lstsq(binding.T, np.append(np.zeros(d), 1.0), rcond=None)
    z = np.zeros(m)
    z[active] = np.where(sharp * signs > 0.0, sharp, 0.0) / size[active]
    y = vertex[:d]
    off = [float((size * np.abs(scaled - rows @ point)).max()) for point in (y, found.x[:d])]
    if off[0] > off[1] + 1e-9:
        y = found.x[:d]
    total = np.abs(z).sum()
    return unit * scale * y, z / total if total > 0.0 else z


def _column_scale(A: Array) -> Array:
    """Scales that bring the median of the sizes in each column to one, zeros and noise apart.

    A row that is far longer than the others has a column of orthonormal ones to itself: beside it
    the programme would not see their entries, nor the dual value that balances them.
    """
    size = np.abs(A)
    top = size.max(axis=0)
    size[size <= _ROUNDING * top] = np.nan
    size[0, top == 0.0] = 1.0
    return 1.0 / np.nanmedian(size, axis=0)
