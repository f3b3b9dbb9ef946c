"""Kantorovich potentials of one-dimensional transport, and the bias of its costs from sampling.

The potential of a sorted row u, with masses that sum to A_k after k points, is the derivative of
the cost with respect to these masses. It grows from a point to the next by

    phi(u_{k+1}) - phi(u_k) = |u_{k+1} - g|^p - |u_k - g|^p,    g = G^{-1}(A_k),

since mass that is moved from u_k to u_{k+1} is matched at the level A_k (Santambrogio, "Optimal
transport for applied mathematicians", Birkhäuser (2015), section 2.2). If the other side jumps at
exactly that level, from v_j to v_{j+1}, the mean of both differences is used: the mean of the
one-sided derivatives. Ties of levels are decided in the integers of `accumulate_weights`, or in
those of uniform weights.
"""

import numpy as np

from randla._elementary import power
from randla._jit import kernel
from randla._kernels.panels import fill


@kernel
def _fill_levels(A, B, low, high):
    """low[k], high[k]: between which points of the other side its quantile function lies at A_k."""
    j = 0
    for k in range(A.size - 1):
        while B[j] < A[k]:  # ends, as the last of B is not below any level
            j += 1
        low[k] = j
        high[k] = min(j + np.int64(B[j] == A[k]), B.size - 1)  # two points where it jumps there


@kernel
def _add_costs(u, q, shift, unit, p, factor, out):
    """out[k] += factor (|u[k] + shift - q[k]| unit)^p; p = 1 ignores the unit."""
    if p == 1.0:
        for k in range(out.size):
            out[k] += factor * abs(np.float64(u[k]) + shift - q[k])
    else:
        for k in range(out.size):  # without a branch, so that powers vectorize
            out[k] += factor * power(abs(np.float64(u[k]) + shift - q[k]) * unit, p)


@kernel
def _fill_growth(u, g, shift, unit, p, out):
    """Add half of |u_{k+1} - g_k|^p - |u_k - g_k|^p to `out` (n - 1,), u moved by `shift`.

    Here and below p = None stands for 2: what is compiled for it has no powers.
    """
    if p is None:
        for k in range(out.size):
            s, t = np.float64(u[k + 1]), np.float64(u[k])
            out[k] += 0.5 * (s - t) * ((s + shift - g[k]) + (t + shift - g[k]))
    else:
        _add_costs(u[1:], g, shift, unit, p, 0.5, out)
        _add_costs(u[: out.size], g, shift, unit, p, -0.5, out)


@kernel
def fill_potentials(U, V, A, B, order, masses, shifts, unit, p, R):
    """R[r, order[r, k]] = phi of the k-th of the sorted points U[r], less the mean of phi.

    U (B, n), V (B, m): sorted rows, where points of U are moved by `shifts` (B,). A (B, n) and
    B (B, m): accumulated integer masses, or one row that stands for all. masses (n,): of the points
    in their own order, with sum 1. p = 1 and None ignore `unit`.
    """
    n = U.shape[1]
    low, high = np.empty(n, np.uint32), np.empty(n, np.uint32)
    g, h, growth = np.empty(n - 1), np.empty(n - 1), np.empty(n - 1)
    for row in range(U.shape[0]):
        u, v, index, out = U[row], V[row], order[row], R[row]
        if row < A.shape[0]:
            _fill_levels(A[row], B[row], low, high)
        for k in range(growth.size):
            g[k], h[k], growth[k] = v[low[k]], v[high[k]], 0.0
        _fill_growth(u, g, shifts[row], unit, p, growth)  # half of it for each of the two points
        _fill_growth(u, h, shifts[row], unit, p, growth)
        value, mean = 0.0, 0.0
        for k in range(growth.size):
            value += growth[k]  # phi, from zero at the first point
            mean += masses[np.uint64(index[k + 1])] * value
            growth[k] = value
        out[np.uint64(index[0])] = -mean
        for k in range(growth.size):
            out[np.uint64(index[k + 1])] = growth[k] - mean


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
        if level >= end:
            share[r] = 1.0
        else:
            share[r] = (level - start) / (end - start) if level > start else 0.0


@kernel
def _fill_quantiles(u, place, share, q):
    for r in range(q.size):
        i, t = np.uint64(place[r]), share[r]
        q[r] = (1.0 - t) * np.float64(u[i]) + t * np.float64(u[i + np.uint64(1)])


@kernel
def _fill_weights(x, y, shift, p, out):
    """out[k] = p (p - 1) |x - y|^{p-2} in the middle between quantiles k and k + 1."""
    for k in range(out.size):
        gap = abs(0.5 * (x[k] + x[k + 1]) - 0.5 * (y[k] + y[k + 1]) + shift)
        least = 0.25 * ((x[k + 1] - x[k]) + (y[k + 1] - y[k]))
        # below p = 2 quantiles are resolved by their spacings at best
        out[k] = max(gap, least) if p < 2.0 else gap
    for k in range(out.size):
        out[k] = p * (p - 1.0) * power(out[k], p - 2.0)


@kernel
def fill_biases(U, V, A, B, shifts, p, K, biases, noises, ties):
    """The bias of each row's cost from sampling, the noise of that, and equal neighbors.

    For samples of laws F and G the cost is too large by about (1/n + 1/m) / 2 times the integral of
    t (1 - t) p (p - 1) |F^{-1} - G^{-1}|^{p-2} (F^{-1})' (G^{-1})' (the second derivative of the
    cost, times the variance of the empirical process). With the spacings of the two samples between
    K levels as derivatives, which are independent, the sum over levels is `biases` [r], without the
    factor (1/n + 1/m) / 2, and the root of the sum of squares `noises` [r]. ties[r]: pairs of equal
    neighbors among both rows.
    """
    at_u, at_v = np.empty(K, np.uint32), np.empty(K, np.uint32)
    share_u, share_v, x, y = np.empty(K), np.empty(K), np.empty(K), np.empty(K)
    weights = np.empty(K - 1)  # p (p - 1) |F^{-1} - G^{-1}|^{p-2}
    fill(weights, 2.0)  # at p = 2
    for row in range(U.shape[0]):
        u, v = U[row], V[row]
        if row < A.shape[0]:
            _fill_places(A[row], at_u, share_u)
            _fill_places(B[row], at_v, share_v)
        _fill_quantiles(u, at_u, share_u, x)
        _fill_quantiles(v, at_v, share_v, y)
        if p is not None:
            _fill_weights(x, y, shifts[row], p, weights)
        total, squares = 0.0, 0.0
        for k in range(K - 1):
            t = (k + 1) / K
            term = t * (1.0 - t) * weights[k] * (x[k + 1] - x[k]) * (y[k + 1] - y[k])
            total += term
            squares += term * term
        biases[row], noises[row] = K * total, K * np.sqrt(squares)
        count = 0
        for k in range(u.size - 1):
            count += u[k] == u[k + 1]
        for k in range(v.size - 1):
            count += v[k] == v[k + 1]
        ties[row] = count
