"""Derivatives of one-dimensional transport costs with respect to the points.

With t = u_i - v_j + shift over the pairs of the monotone coupling, of masses m_ij, the derivative
of a cost with respect to u_i is r_i = sum_j m_ij p sign(t) |t|^{p-1}. A linear function of the
projection, a_i (alpha + beta u_i), may be subtracted: it is a control variate, whose part in the
gradient is known exactly.
"""

import numpy as np

from randla._elementary import power
from randla._jit import inline, kernel
from randla.transport._kernels.cost import STRETCH, next_stretch


@inline
def _slope(t, unit, p):
    """Derivative of (|t| unit)^p."""
    if p == 2.0:
        return 2.0 * t * unit * unit  # d (t unit)^2 / dt
    sign = 1.0 if t > 0.0 else (-1.0 if t < 0.0 else 0.0)
    if p == 1.0:
        return sign * unit  # one of several at t = 0
    return sign * p * unit * power(abs(t) * unit, p - 1.0)  # p sign(t) unit^p |t|^(p-1)


@kernel
def add_slopes_equal(U, V, order, shifts, alphas, beta, factor, unit, p, R):
    """R[r, order[r, k]] += factor r_k for sorted rows of equal size, uniform weights."""
    for row in range(U.shape[0]):
        u, v, index, out, scale = U[row], V[row], order[row], R[row], factor / U.shape[1]
        for k in range(u.size):
            value = np.float64(u[k])
            t = value - np.float64(v[k]) + shifts[row]
            slope = _slope(t, unit, p) - alphas[row] - beta * value  # less the control variate
            out[np.uint64(index[k])] += scale * slope  # of the point of this rank


@kernel
def add_slopes_planned(U, V, order, left, right, mass, shifts, alphas, beta, factor, unit, p, R):
    """`add_slopes_equal` for uniform weights and unequal sizes, along the common plan."""
    for row in range(U.shape[0]):
        u, v, index, out = U[row], V[row], order[row], R[row]
        for k in range(np.uint64(left.size)):
            value = np.float64(u[left[k]])
            t = value - np.float64(v[right[k]]) + shifts[row]
            slope = _slope(t, unit, p) - alphas[row] - beta * value
            if mass[k] > 0.0:  # else the slope of points that do not meet may be inf
                out[np.uint64(index[left[k]])] += factor * mass[k] * slope  # r_i, a sum over j


@kernel
def add_slopes_weighted(U, V, order, A, B, shifts, alphas, beta, factor, unit, p, R):
    """`add_slopes_equal` for weighted clouds; A, B are the rows' accumulated integer weights."""
    n_rows, total = U.shape[0], U.shape[1] + V.shape[1] - 1
    at, reached = np.empty((4, 2), np.uint64), np.empty(4, np.int64)
    left, right = np.empty((4, STRETCH), np.uint32), np.empty((4, STRETCH), np.uint32)
    mass = np.empty((4, STRETCH))
    for first in range(0, n_rows, 4):
        last = min(first + 4, n_rows)
        at[:] = 0  # where the plans of these four rows stand
        reached[:] = 0  # up to which level of mass
        for start in range(0, total, STRETCH):
            k = min(STRETCH, total - start)
            next_stretch(A[first:last], B[first:last], at, reached, left, right, mass, k)
            for r in range(last - first):
                row = slice(first + r, first + r + 1)
                pairs = left[r, :k], right[r, :k], mass[r, :k]
                line = shifts[row], alphas[row], beta, factor, unit, p, R[row]
                add_slopes_planned(U[row], V[row], order[row], *pairs, *line)
