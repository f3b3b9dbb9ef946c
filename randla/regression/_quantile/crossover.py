"""From a point inside the box to an optimal vertex: a plane through d of the points.

Near the end of an interior point method q = 1 / (v/a + u/s) is large exactly where the residual
is zero and the dual value inside its box. The plane through d independent points of largest q is
optimal if the other rows, with dual values at their bounds by the sign of their residual, leave
to those points dual values within the box. Rows that the plane happens to meet as well (ties) may
take any value of the box, so that all of them share what is left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._kernels import interior_point as kernels
from randla.regression._panels.cholesky import Factor
from randla.regression._panels.panels import PANEL, Array, Panels

#: A dual value may leave its box by so much.
_BOX = 1e-12
#: Residuals below this fraction of their mean count as zero.
_TIE = 1e-11
#: Rows for each column among which independent ones are looked for.
_LARGEST = 50
#: Attempts to share what is left among ties.
_ROUNDS = 6


@dataclass
class Vertex:
    """The vertex; its dual and residuals, both (K, PANEL); the d rows that define it."""

    x: Array
    z: Array
    residuals: Array
    index: NDArray[np.intp]


def optimal_vertex(
    rows: Panels, start: Array, x: Array, state: Array, tau: float, mean: float
) -> Vertex | None:
    """The vertex next to an interior point if it is optimal; `mean` is the mean loss of a row.

    `start` are the residuals at x = 0. `state` is that of `kernels.interior_point`; its lines E
    and H are overwritten.
    """
    found = _nearest_vertex(rows, state)
    if found is None:
        return None
    step, index, lu, pivots = found
    g = np.zeros((rows.n_parts, rows.data.shape[1]))
    padded = rows.pad(step)

    def task(part: int, span: slice, count: int) -> None:
        work = np.empty((1, PANEL))
        kernels.vertex_pass(
            rows.data[span], count, padded, tau, _TIE * mean, state[span], work, g[part]
        )

    rows.each_part(task, passes=2.0)
    residuals, z = state[:, kernels.H], state[:, kernels.E].copy()
    at, basis = (index // PANEL, index % PANEL), rows.rows(index)
    inside = state[:, kernels.A_][at] - (1.0 - tau)
    left = basis.T @ (z[at] - inside) - g.sum(axis=0)[: rows.d]
    z[at] = inside
    size = np.abs(residuals.ravel()[: rows.n])
    size[index] = np.inf
    ties = np.append(index, np.flatnonzero(size <= _TIE * mean))
    for _ in range(2):  # the second time for what rounding left
        if len(ties) == rows.d:
            z[at] += lapack.dgetrs(lu, pivots, left)[0]
        else:
            at = ties // PANEL, ties % PANEL
            z[at] = _shared(rows.rows(ties), z[at], left, tau)
        if not (z[at].min() >= tau - 1.0 - _BOX and z[at].max() <= tau + _BOX):
            return None
        left = -rows.transposed_product(z)
    if not (np.abs(left) <= _BOX * rows.column_sums()).all():
        return None
    x = x + step
    for _ in range(2):  # the residuals of the state carry the rounding errors of its way
        at = index // PANEL, index % PANEL
        correction, _ = lapack.dgetrs(lu, pivots, rows.residuals(x, start)[at], trans=1)
        x = x + correction
    return Vertex(x, z, rows.residuals(x, start), index)


def _nearest_vertex(
    rows: Panels, state: Array
) -> tuple[Array, NDArray[np.intp], Array, Array] | None:
    """Step to the plane through d independent rows of largest q, those rows, and their factors."""
    n, d = rows.n, rows.d
    if n < d:
        return None
    q = state[:, kernels.Q].ravel()
    pool = np.flatnonzero(q > q.sum() / n)  # few, so that sorting them out is cheap
    k = 3 * d
    while True:
        if len(pool) < k:
            pool = np.arange(n)
        k = min(k, len(pool))
        top = pool[np.argpartition(q[pool], len(pool) - k)[len(pool) - k :]]
        near = rows.rows(top)
        factor, order, _, _, _ = lapack.dgeqp3((near * np.sqrt(q[top])[:, None]).T)
        if abs(factor[d - 1, d - 1]) >= 1e-12 * abs(factor[0, 0]):
            break
        if k == n or k > _LARGEST * d:
            return None
        k *= 4  # equal rows crowd out the others
    chosen = order[:d] - 1
    index = top[chosen]
    lu, pivots, status = lapack.dgetrf(near[chosen].T)
    if status != 0:
        return None
    r = state[index // PANEL, kernels.R, index % PANEL]
    step, _ = lapack.dgetrs(lu, pivots, r, trans=1)
    return step, index, lu, pivots


def _shared(A: Array, z: Array, left: Array, tau: float) -> Array:
    """Add `left` to A'z by the least change in the metric of the slacks, kept in the box.

    Where that cannot be done something is left over.
    """
    for _ in range(_ROUNDS):
        metric = np.maximum((z - (tau - 1.0)) * (tau - z), 0.0)
        change = metric * (A @ Factor(A.T @ (metric[:, None] * A)).solve(left))
        new = np.clip(z + change, tau - 1.0, tau)
        left = left - A.T @ (new - z)
        done = np.abs(new - z).max() <= _BOX
        z = new
        if done:
            break
    return z
