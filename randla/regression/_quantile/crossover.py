"""From a point inside the box to an optimal vertex: a fit through d of the points.

Near the end of an interior point method q = 1 / (v/a + u/s) is large exactly where the residual is
zero and the dual value inside its box. The fit through d independent points of largest q is optimal
if the dual values of these points are within the box when the other rows have dual values at their
bounds by the sign of their residual. Rows that also lie on the fit (ties) may take any value of the
box, so that all of them share the remainder.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._kernels import interior_point as kernels
from randla._panels import PANEL, Panels
from randla._typing import Array
from randla.regression._panels.cholesky import Cholesky

#: A dual value may leave its box by this much.
_BOX = 1e-12
#: Residuals below this fraction of their mean count as zero.
_TIE = 1e-11
#: Rows for each column among which independent ones are searched.
_LARGEST = 50
#: Attempts to share the remainder among ties.
_ROUNDS = 6


def optimal_vertex(
    rows: Panels, start: Array, x: Array, state: Array, tau: float, mean: float
) -> tuple[Array, Array, Array, NDArray[np.intp]] | None:
    """The vertex next to an interior point if it is optimal; `mean` is the mean loss of a row.

    Its x; its dual and residuals, both (K, PANEL); the d rows that define it. `start` are the
    residuals at x = 0, `state` is that of `kernels.interior_point`.
    """
    index = _nearest_rows(rows, state)
    if index is None:
        return None
    at = index // PANEL, index % PANEL
    try:
        inverse = np.linalg.inv(rows.rows(index))  # good enough before refinement
    except np.linalg.LinAlgError:
        return None
    interior = state[:, kernels.DUAL] - (1.0 - tau)
    step = inverse @ state[:, kernels.RESIDUAL][at]
    residuals = rows.residuals(step, state[:, kernels.RESIDUAL])
    distance = np.abs(residuals)
    z = np.where(residuals > 0.0, tau, tau - 1.0)  # the bound of each row's side
    np.copyto(z, interior, where=distance <= _TIE * mean)
    z[at] = interior[at]
    z.ravel()[rows.n :] = 0.0
    remainder = -rows.transposed_product(z)  # for the rows of the vertex and its ties
    distance[at] = np.inf
    ties = np.append(index, np.flatnonzero(distance.ravel()[: rows.n] <= _TIE * mean))
    at_ties = ties // PANEL, ties % PANEL
    for _ in range(2):  # the second time for the rounding error of A'z
        if len(ties) == rows.d:
            z[at] += remainder @ inverse
        else:
            z[at_ties] = _shared(rows.rows(ties), z[at_ties], remainder, tau)
        if not (z[at_ties].min() >= tau - 1.0 - _BOX and z[at_ties].max() <= tau + _BOX):
            return None
        remainder = -rows.transposed_product(z)
    if not (np.abs(remainder) <= _BOX * rows.column_sums()).all():
        return None
    x = x + step
    for _ in range(2):  # the residuals of the state have accumulated rounding errors
        x = x + inverse @ rows.residuals(x, start)[at]
    return x, z, rows.residuals(x, start), index


def _nearest_rows(rows: Panels, state: Array) -> NDArray[np.intp] | None:
    """The d independent rows of largest q, for the vertex to go through; None if there are none."""
    n, d = rows.n, rows.d
    if n < d:
        return None
    q = state[:, kernels.Q].ravel()
    pool = np.flatnonzero(q > q.sum() / n)  # few, so that sorting is cheap
    k = 3 * d
    while True:
        if len(pool) < k:
            pool = np.arange(n)
        k = min(k, len(pool))
        top = pool[np.argpartition(q[pool], len(pool) - k)[len(pool) - k :]]
        weighted = rows.rows(top) * np.sqrt(q[top])[:, None]
        triangle, order, _, _, _ = lapack.dgeqp3(weighted.T)  # QR with column pivoting
        if abs(triangle[d - 1, d - 1]) >= 1e-12 * abs(triangle[0, 0]):
            return top[order[:d] - 1]
        if k == n or k > _LARGEST * d:
            return None
        k *= 4  # equal rows crowd out the others


def _shared(A: Array, z: Array, remainder: Array, tau: float) -> Array:
    """Add `remainder` to A'z by the least change in the metric of the slacks, kept in the box.

    If that is impossible, a remainder is left.
    """
    for _ in range(_ROUNDS):
        metric = np.maximum((z - (tau - 1.0)) * (tau - z), 0.0)
        change = metric * (A @ Cholesky(A.T @ (metric[:, None] * A)).solve(remainder))
        new = np.clip(z + change, tau - 1.0, tau)
        remainder = remainder - A.T @ (new - z)
        done = np.abs(new - z).max() <= _BOX
        z = new
        if done:
            break
    return z
