"""Kantorovich potentials of one-dimensional transport, and what sampling adds to its costs.

The potential of a sorted row u, with masses that sum to A_k after k points, is the derivative of
the cost with respect to these masses. It grows from a point to the next by

    phi(u_{k+1}) - phi(u_k) = |u_{k+1} - g|^p - |u_k - g|^p,    g = G^{-1}(A_k),

since a mass that is moved from u_k to u_{k+1} is matched at the level A_k (Santambrogio, "Optimal
Transport for Applied Mathematicians", section 2.2). Where the other side jumps at that very level,
from v_j to v_{j+1}, the mean of both differences is taken: the mean of the one-sided derivatives.
Whether it does is decided in the integers of `accumulate_weights`, or in those of uniform weights.
"""

import numpy as np

from randla._elementary import power
from randla._jit import inline, kernel


@kernel
def _fill_levels(A, B, low, high):
    """low[k], high[k]: between which points of the other side its quantile function lies at A_k."""
    j = 0
    for k in range(A.size - 1):
        while B[j] < A[k]:  # ends, as the last of B is not below any level
            j += 1
        low[k] = j
        high[k] = min(j + np.int64(B[j] == A[k]), B.size - 1)  # two points where it jumps there


@inline
def _growth(first, second, g, unit, p):
    """(|second - g| unit)^p - (|first - g| unit)^p; p = 1, 2 ignore the unit."""
    s, t = second - g, first - g
    if p == 2.0:
        return (s - t) * (s + t)
    if p == 1.0:
        return abs(s) - abs(t)
    return power(abs(s) * unit, p) - power(abs(t) * unit, p)


@kernel
def fill_potentials(U, V, A, B, order, masses, shifts, unit, p, R):
    """R[r, order[r, k]] = phi of the k-th of the sorted points U[r], less the mean of phi.

    U (B, n), V (B, m): sorted rows, where points of U are moved by `shifts` (B,). A (B, n) and
    B (B, m): accumulated integer masses, or one row that stands for all. masses (n,): of the points
    in their own order, with sum 1.
    """
    n = U.shape[1]
    low, high, phi = np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n)
    for row in range(U.shape[0]):
        u, v, index, out = U[row], V[row], order[row], R[row]
        if row < A.shape[0]:
            _fill_levels(A[row], B[row], low, high)
        value, mean, last = 0.0, 0.0, np.float64(u[0]) + shifts[row]
        phi[0] = 0.0
        for k in range(np.uint64(n - 1)):
            following = np.float64(u[k + np.uint64(1)]) + shifts[row]
            g, h = np.float64(v[low[k]]), np.float64(v[high[k]])
            growth = _growth(last, following, g, unit, p)
            if low[k] != high[k]:
                growth = 0.5 * (growth + _growth(last, following, h, unit, p))
            value += growth
            phi[k + np.uint64(1)] = value
            last = following
        for k in range(np.uint64(n)):
            mean += masses[np.uint64(index[k])] * phi[k]
        for k in range(np.uint64(n)):
            out[np.uint64(index[k])] = phi[k] - mean


@kernel
def _fill_places(A, place, share):
    """Where the quantile function that joins the points at their middle levels, (A_{k-1} + A_k) /
    2, takes the levels (r + 1/2) / K: q_r = (1 - share_r) u[place_r] + share_r u[place_r + 1].
    """
    total, n, i = np.float64(A[A.size - 1]), A.size, 0
    start, end = 0.5 * A[0] / total, 0.5 * (np.float64(A[0]) + np.float64(A[1])) / total
    for r in range(place.size):
        level = (r + 0.5) / place.size
        while end <= level and i < n - 2:
            i += 1
            start, end = end, 0.5 * (np.float64(A[i]) + np.float64(A[i + 1])) / total
        place[r] = i
        share[r] = min(max((level - start) / (end - start), 0.0), 1.0) if end > start else 1.0


@inline
def _quantile(u, place, share, r):
    i = np.uint64(place[r])
    return (1.0 - share[r]) * np.float64(u[i]) + share[r] * np.float64(u[i + np.uint64(1)])


@kernel
def fill_biases(U, V, A, B, shifts, p, K, biases, noises, ties):
    """What sampling adds to the mean cost of each row, the noise of that, and equal neighbours.

    For samples of laws F and G the cost is too large by some (1/n + 1/m) / 2 times the integral of
    t (1 - t) p (p - 1) |F^{-1} - G^{-1}|^{p-2} (F^{-1})' (G^{-1})' (the second derivative of the
    cost, times the variance of the empirical process). With the spacings of the two samples between
    K levels as derivatives, which are independent, the sum over levels is `biases` [r], without the
    factor (1/n + 1/m) / 2, and the root of the sum of squares `noises` [r]. ties[r]: pairs of equal
    neighbours among both rows.
    """
    at_u, at_v = np.empty(K, np.uint32), np.empty(K, np.uint32)
    share_u, share_v = np.empty(K), np.empty(K)
    for row in range(U.shape[0]):
        u, v = U[row], V[row]
        if row < A.shape[0]:
            _fill_places(A[row], at_u, share_u)
            _fill_places(B[row], at_v, share_v)
        total, squares = 0.0, 0.0
        left, right = _quantile(u, at_u, share_u, 0), _quantile(v, at_v, share_v, 0)
        for k in range(1, K):
            x, y = _quantile(u, at_u, share_u, k), _quantile(v, at_v, share_v, k)
            du, dv, t = x - left, y - right, k / K
            weight = 2.0
            if p != 2.0:
                gap = abs(0.5 * (x + left) - 0.5 * (y + right) + shifts[row])
                # below p = 2 quantiles are told apart by their spacings at best
                gap = max(gap, 0.25 * (du + dv)) if p < 2.0 else gap
                weight = p * (p - 1.0) * power(gap, p - 2.0)
            term = t * (1.0 - t) * weight * du * dv
            total += term
            squares += term * term
            left, right = x, y
        biases[row], noises[row] = K * total, K * np.sqrt(squares)
        count = 0
        for k in range(u.size - 1):
            count += u[k] == u[k + 1]
        for k in range(v.size - 1):
            count += v[k] == v[k + 1]
        ties[row] = count
