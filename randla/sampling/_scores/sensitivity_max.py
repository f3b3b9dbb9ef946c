"""Sensitivities in the maximum norm: simplex method, and linear programs where that fails."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts, showing_progress
from randla._tall.memory import MemoryMatrix
from randla._typing import Array
from randla.sampling._kernels.sensitivity_max import bounds_of_rows
from randla.sampling._scores.bounds import orthonormal_rows

_STEPS = 30  # of the simplex method, for each column, at most
_FIRST, _MORE, _ROUNDS = 12, 4, 50  # rows a column at first, then for each round


def max_norm_sensitivities(
    tall: MemoryMatrix, chosen: NDArray[np.int64] | None, rtol: float, progress: bool
) -> tuple[Array, Array, NDArray[np.int64], bool]:
    """Lower and upper bounds of s_i = max |a_i'x| / |A x|_inf, rounds, and if the rank is certain.

    The simplex method comes first (see its kernel). Where ties keep it from the optimum, the dual
    problem min |z|_1 subject to A'z = a_i is solved on a few rows, and those of largest |A x| are
    added until no other row is above the norm (then x is optimal for all rows). The x of the last
    program gives a lower bound from all rows; its z, moved onto A'z = a_i by the pseudo-inverse,
    gives an upper bound.
    """
    X, (own, rounding), is_certain = orthonormal_rows(tall)
    rows = np.arange(tall.n) if chosen is None else chosen
    low, high = np.zeros(len(rows)), np.zeros(len(rows))
    rounds = np.zeros(len(rows), np.int64)
    n, d = X.shape
    if d > 0 and len(rows) > 0:
        norms = np.sqrt(np.einsum("ij,ij->i", X, X))
        seconds = len(rows) * n * d * (2.0 + d) * 2e-9
        n_parts = min(len(rows), max(8, int(seconds / 0.2)))
        bounds = part_bounds(len(rows), n_parts)

        def part(k: int) -> None:
            bounds_of_rows(X, norms, rows, *bounds[k], _STEPS * d, low, high, rounds)

        with showing_progress("sensitivities", progress):
            run_parts(part, n_parts, seconds=seconds)
    late = np.flatnonzero(high - low > rtol * high)

    def row(k: int) -> None:
        i = int(rows[late[k]])
        least, most, count = _one_row(X, i, rtol)
        low[late[k]], high[late[k]] = max(low[late[k]], least), min(high[late[k]], most)
        rounds[late[k]] += count

    with showing_progress("sensitivities", progress):
        run_parts(row, len(late))
    own = np.minimum(np.broadcast_to(own, tall.n)[rows], 1.0)
    low = np.minimum(np.where(own < 1.0, low, 0.0) * (1.0 - own), 1.0)
    low *= 1.0 - min(rounding, 1.0)
    return low, np.minimum(high * (1.0 + own) * (1.0 + rounding), 1.0), rounds, is_certain


def _one_row(X: Array, i: int, rtol: float) -> tuple[float, float, int]:
    """Bounds of the ratio of row i to all others, the upper bound cut to 1."""
    norm = float(np.sqrt(X[i] @ X[i]))
    residual = np.abs(X @ (X[i] / norm))
    lower, upper = _ratio(norm, residual, i), 1.0  # at x = a / |a|
    active = np.zeros(len(X), bool)
    d = X.shape[1]
    active[_largest(residual, _FIRST * d)] = True
    active[i] = True
    count = 0
    while upper - lower > rtol * upper and count < _ROUNDS:
        count += 1
        kept = np.flatnonzero(active)
        solved = _program(X[kept], X[i])
        if solved is None:
            break
        x, z = solved
        gap = X[i] - X[kept].T @ z  # z + X gap has X'(z + X gap) = a, as X'X = I
        upper = min(upper, float(np.abs(z).sum() + np.abs(X @ gap).sum()))
        scale = abs(float(x @ X[i]))
        residual = np.abs(X @ x)
        if scale > 0.0:
            lower = max(lower, _ratio(scale, residual, i))
        # Rows above the norm of the kept rows join the program.
        over = (residual > residual[kept].max() * (1.0 + 1e-9)) & ~active
        if not over.any():
            break
        active[_largest(np.where(over, residual, 0.0), _MORE * d)] = True
    return lower if upper == 1.0 else min(lower, upper), upper, count


def _ratio(own: float, residual: Array, i: int) -> float:
    others = np.delete(residual, i).max(initial=0.0)
    return own / others if others > 0.0 else np.inf


def _largest(values: Array, k: int) -> NDArray[np.intp]:
    k = min(k, len(values))
    return np.argpartition(values, len(values) - k)[len(values) - k :]


def _program(rows: Array, a: Array) -> tuple[Array, Array] | None:
    """The x and z of min |z|_1 subject to rows' z = a, solved by HiGHS."""
    from scipy.optimize import linprog

    scale = np.abs(a).max()
    result: Any = linprog(
        np.ones(2 * len(rows)), A_eq=np.hstack([rows.T, -rows.T]), b_eq=a / scale, method="highs"
    )
    if result.status != 0:
        return None
    z = scale * (result.x[: len(rows)] - result.x[len(rows) :])
    return np.asarray(result.eqlin.marginals), z
