"""Smoothed means of linear Gaussian models in which some observations have no noise.

The regression of x_t on x_{t+1} (`kalman`) loses digits where the filter determines a direction
better from time to time, as it does the last shock of a moving average: an error of the mean at
t + 1 in that direction grows back in time like the standard deviation, by up to 1e14. Smoothed
disturbances are stable there: with r of t + 1 the smoothed mean is m + P_f A' r. But after a nearly
diffuse start r is a small difference of large numbers, and P_f is huge. So at each time the form
is taken whose rounding error is expected to be smaller.

Source: Koopman, "Disturbance smoother for state space models", Biometrika 80 (1993), 117-126.
"""

from randla._jit import kernel, summing_kernel
from randla.smoothing._kernels.exact.kalman import at
from randla.smoothing._kernels.particles.unowned import unowned

_EPS = 2.0**-52


@kernel
def smooth_means(system, c, past, means, e, work):
    """From filtered means (T, q, d) to smoothed ones, in place; e (T, q, k) are their innovations.

    `c` is the intercept, zero for the columns of a diffuse start; `work` has 6 rows of d numbers.
    """
    system, c, past = unowned(system), unowned(c), unowned(past)
    means, e, work = unowned(means), unowned(e), unowned(work)
    last = means.shape[0] - 1
    for h in range(means.shape[1]):
        work[:] = 0.0
        error = 0.0  # of the smoothed mean at t + 1
        for t in range(last, -1, -1):
            if t < last:
                m, later = means[t, h], means[t + 1, h]
                error = step_back(
                    at(system.A, t), at(c, t), past.G[t], past.roots[t], m, later, error, work
                )
            n, H = past.counts[t], at(system.B, t)
            observe_back(n, past.seen[t], H, past.K[t], past.U[t], e[t, h], work)


@summing_kernel
def step_back(A, c, G, root, m, later, error, work):
    """Smooth the mean m, in place; r and the size of what it was summed from go from r to A' r.

    `error` is that of `later`, the smoothed mean at t + 1; returns that of m.
    """
    r, size, rho, reach, by_gain, by_r = work[0], work[1], work[2], work[3], work[4], work[5]
    d = r.size
    for j in range(d):
        rho[j] = reach[j] = 0.0
        for i in range(d):
            rho[j] += A[i, j] * r[i]
            reach[j] += abs(A[i, j]) * size[i]
    for j in range(d):
        r[j], size[j] = rho[j], reach[j]
        by_gain[j] = by_r[j] = 0.0
    gain_error, r_error = 0.0, 0.0
    for b in range(d):  # P_f A' r = S S' A' r, and the same of the sizes
        total = bound = 0.0
        for j in range(d):
            total += root[j, b] * r[j]
            bound += abs(root[j, b]) * size[j]
        for i in range(d):
            by_r[i] += root[i, b] * total
            reach[i] = abs(root[i, b]) * bound + (reach[i] if b > 0 else 0.0)
    for b in range(d):  # G (later - A m - c)
        move, bound = later[b] - c[b], abs(later[b])
        for j in range(d):
            move -= A[b, j] * m[j]
        for i in range(d):
            by_gain[i] += G[i, b] * move
    for i in range(d):
        r_error = max(r_error, _EPS * reach[i])
        total = 0.0
        for b in range(d):
            total += abs(G[i, b]) * (error + _EPS * abs(later[b]))
        gain_error = max(gain_error, total)
    for i in range(d):
        m[i] += by_gain[i] if gain_error < r_error else by_r[i]
    return min(gain_error, r_error)


@summing_kernel
def observe_back(n, seen, H, K, U, e, work):
    """One row of y: r = A' r + H' u with u = F^-1 v - K' A' r."""
    r, size = work[0], work[1]
    d = r.size
    for j in range(d):  # their values before the row are needed for each of its entries
        work[2, j], work[3, j] = r[j], size[j]
        size[j] = max(size[j] if n == 0 else 0.0, abs(r[j]))
    for a in range(n):
        u = bound = 0.0
        for b in range(a, n):
            u += U[b, a] * e[b]
            bound += abs(U[b, a] * e[b])
        for j in range(d):
            u -= K[j, a] * work[2, j]
            bound += abs(K[j, a] * work[2, j])
        for j in range(d):
            r[j] += H[seen[a], j] * u
            size[j] += abs(H[seen[a], j]) * bound
