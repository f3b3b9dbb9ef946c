"""The flat part of a diffuse start: least squares along with the Kalman filter.

With x_0 = m_0 + D delta + P_0^{1/2} e, delta flat, the filter runs on the mean and on the q
columns of D, each a mean that sees zeros for y and the intercepts. The innovations of y given
delta are then e + E delta, E those of the columns, so delta is a least squares problem that grows
by a few rows a time. It is stored as a triangle, [E, e] = orthogonal [R, z; 0, rho]:

    delta_hat = -R^{-1} z,   Cov(delta | y) = R^{-1} R^{-T},
    log L = log L given delta_hat, with rho^2 as sum of squares, - log |det R| + q/2 log 2 pi,

the integral over delta of the density of y. Nothing is subtracted, and the first observations are
not a special case. All further recursions are linear in the means, so they continue with the mean m
+ D delta_hat and the columns D R^{-1} (`resolve`), by which uncertainty about delta adds to a root
of the covariance.

Sources: de Jong, "The diffuse Kalman filter", Ann. Statist. 19 (1991), 1073-1083 (the augmented
filter; there with sums of squares instead of the triangle).
"""

import math

from randla._jit import kernel, summing_kernel
from randla.smoothing._kernels.exact.kalman import at
from randla.smoothing._kernels.particles.unowned import unowned

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_SMALL = 1e-9  # sine of a rotation whose cosine is one
_NEGLIGIBLE = 1e-40  # sine of a rotation that is none
_SMALLEST_NORM, _LARGEST_NORM = 1e-140, 1e150  # whose squares are numbers
_SMALLEST = 1e-290  # below it numbers are slow (subnormal): the start is forgotten


@kernel
def solve_start(system, past, start, columns, E):
    """Least squares for a filter that has run; returns its contribution to the log-likelihood.

    columns (T, q, d) and E (T, q, k) get D R^{-1} of the filtered columns and of their innovations;
    the means and innovations in `past` become those at delta_hat. Arrays of one row are work.
    """
    system, past, start = unowned(system), unowned(past), unowned(start)
    columns, E = unowned(columns), unowned(E)
    n_steps, X, D = past.counts.size, start.triangle, start.D
    q, d = D.shape
    for i in range(q + 1):
        for j in range(q + 1):
            X[i, j] = 0.0
    for i in range(q):
        start.largest[i] = 0.0
        for j in range(d):
            D[i, j] = system.directions[i, j]
    for t in range(n_steps):
        if t > 0:
            predict(at(system.A, t - 1), D, start.v)  # D_t = A D_{t-1|t-1}
        n, E_t = past.counts[t], at(E, t)
        observe(n, past.seen[t], at(system.B, t), past.K[t], past.U[t], D, start.v, E_t)
        absorb(n, past.e[t], E_t, X, start.row, start.largest)
        if columns.shape[0] == n_steps:
            for i in range(q):
                for j in range(d):
                    columns[t, i, j] = D[i, j]
    value = solve(start)
    if columns.shape[0] == n_steps:
        for t in range(n_steps):
            resolve(start.delta, start.inverse, past.mean[t], columns[t])
    if E.shape[0] == n_steps:
        for t in range(n_steps):
            resolve(start.delta, start.inverse, past.e[t], E[t])
    return value


@summing_kernel
def predict(A, D, work):
    """Columns D (q, d) at t to those at t + 1, A D, in place."""
    d = A.shape[0]
    for r in range(D.shape[0]):
        for i in range(d):
            total = 0.0
            for j in range(d):
                total += A[i, j] * D[r, j]
            work[i] = total
        for i in range(d):
            D[r, i] = work[i]


@summing_kernel
def observe(n, seen, H, K, U, D, v, E):
    """Condition the columns D (q, d) on a row of y, which they see as zero: v = -H D."""
    for r in range(D.shape[0]):
        for a in range(n):
            total = 0.0
            for j in range(D.shape[1]):
                total -= H[seen[a], j] * D[r, j]
            v[a] = total
        for a in range(n):
            total = 0.0
            for b in range(a + 1):
                total += U[a, b] * v[b]
            E[r, a] = total  # F_root^{-1} v
        for j in range(D.shape[1]):
            total = D[r, j]
            for a in range(n):
                total += K[j, a] * v[a]
            D[r, j] = total if abs(total) > _SMALLEST else 0.0


@kernel
def absorb(n, e, E, X, row, largest):
    """Rotate the rows [E_a, e_a] into the triangle X, whose last entry gets the squares of rho."""
    q = largest.size
    for a in range(n):
        for j in range(q):
            row[j] = E[j, a]
            largest[j] = max(largest[j], abs(row[j]))
        last = e[a]
        for i in range(q):  # Givens rotations
            x, y = X[i, i], row[i]
            if not abs(y) <= _NEGLIGIBLE * x:  # also for NaN
                if abs(y) < _SMALL * x:
                    c, s = 1.0, y / x
                else:
                    r = math.sqrt(x * x + y * y)
                    if not _SMALLEST_NORM < r < _LARGEST_NORM:
                        r = math.hypot(x, y)
                    c, s = x / r, y / r
                    X[i, i] = r
                for j in range(i + 1, q):
                    z = X[i, j]
                    X[i, j] = c * z + s * row[j]
                    row[j] = c * row[j] - s * z
                z = X[i, q]
                X[i, q] = c * z + s * last
                last = c * last - s * z
        X[q, q] += last * last


@kernel
def solve(start):
    """Fill delta and inverse = R^{-1}; returns the contribution of the flat start.

    `inflation` gets the standard error of each delta relative to that from its most informative row
    alone, if all others were known: 1e14 or more if it is not determined.
    """
    X, V, q = start.triangle, start.inverse, start.largest.size
    value = q * _HALF_LOG_2PI - 0.5 * X[q, q]
    for j in range(q - 1, -1, -1):  # R V = I, from the last row on
        pivot = max(X[j, j], 1e-18 * start.largest[j])
        pivot = pivot if pivot > 0.0 else 1.0  # no observation has delta_j: see below
        value -= math.log(pivot)
        total = -X[j, q]
        for i in range(j + 1, q):
            total -= X[j, i] * start.delta[i]
        start.delta[j] = total / pivot
        for c in range(j):
            V[j, c] = 0.0
        V[j, j] = 1.0 / pivot
        for c in range(j + 1, q):
            remainder = 0.0
            for i in range(j + 1, c + 1):
                remainder -= X[j, i] * V[i, c]
            V[j, c] = remainder / pivot
        norm = 0.0
        for c in range(j, q):
            norm = math.hypot(norm, V[j, c])
        start.inflation[j] = norm * start.largest[j] if start.largest[j] > 0.0 else math.inf
    return value


@kernel
def resolve(delta, V, m, D):
    """The mean m and the columns D (q, d) for delta_hat and a root of Cov(delta | y), in place."""
    q = delta.size
    for i in range(q):
        for j in range(m.size):
            m[j] += delta[i] * D[i, j]
    for c in range(q - 1, -1, -1):  # column c needs those up to c
        for j in range(m.size):
            D[c, j] *= V[c, c]
        for i in range(c):
            for j in range(m.size):
                D[c, j] += V[i, c] * D[i, j]


@summing_kernel
def smooth_columns(system, G, columns, move):
    """From the filtered columns to the smoothed ones, in place, with the gains of the smoother."""
    system, G, columns, move = unowned(system), unowned(G), unowned(columns), unowned(move)
    n_steps, q, d = columns.shape
    for t in range(n_steps - 2, -1, -1):  # D_{t|n} = D_{t|t} + G_t (D_{t+1|n} - A D_{t|t})
        A = at(system.A, t)
        for r in range(q):
            for i in range(d):
                total = columns[t + 1, r, i]
                for j in range(d):
                    total -= A[i, j] * columns[t, r, j]
                move[i] = total
            for i in range(d):
                total = columns[t, r, i]
                for b in range(d):
                    total += G[t, i, b] * move[b]
                columns[t, r, i] = total


@kernel
def add_products(columns, covariance, lag):
    """Add the products of the columns of each time, and of neighbors."""
    columns, covariance, lag = unowned(columns), unowned(covariance), unowned(lag)
    n_steps, q, d = columns.shape
    for t in range(n_steps):
        for i in range(d):
            for r in range(q):
                x = columns[t, r, i]
                for j in range(d):
                    covariance[t, i, j] += x * columns[t, r, j]
                if t < n_steps - 1:
                    for j in range(d):
                        lag[t, i, j] += x * columns[t + 1, r, j]


@summing_kernel
def add_gradient(system, past, columns, E, rs, rho, u, g):
    """Add the smoothed columns' part of the gradients: see `kalman_score` for r, u and m_s.

    rs (q, d) begins with zeros.
    """
    system, past, g, rs = unowned(system), unowned(past), unowned(g), unowned(rs)
    columns, E, rho, u = unowned(columns), unowned(E), unowned(rho), unowned(u)
    n_steps, q, d = columns.shape
    for t in range(n_steps - 1, -1, -1):
        A, H, K, U = at(system.A, t), at(system.B, t), past.K[t], past.U[t]
        n, seen = past.counts[t], past.seen[t]
        for h in range(q):
            for j in range(d):
                rho[j] = 0.0
            if t < n_steps - 1:
                for i in range(d):
                    r = rs[h, i]
                    for j in range(d):
                        g.A[i, j] += r * columns[t, h, j]  # r m_s'
                        g.Q[i, j] += 0.5 * r * rs[h, j]
                        rho[j] += A[i, j] * r  # A' r
            for a in range(n):  # u = F^-1 v - K' A' r
                total = 0.0
                for b in range(a, n):
                    total += U[b, a] * E[t, h, b]
                for j in range(d):
                    total -= K[j, a] * rho[j]
                u[a] = total
            for a in range(n):
                for j in range(d):
                    g.B[seen[a], j] += u[a] * columns[t, h, j]  # u m_s'
                    rho[j] += H[seen[a], j] * u[a]  # A' r + H' u
                for b in range(n):
                    g.R[seen[a], seen[b]] += 0.5 * u[a] * u[b]
            for j in range(d):
                rs[h, j] = rho[j]
    for h in range(q):
        for i in range(d):
            for j in range(d):
                g.P0[i, j] += 0.5 * rs[h, i] * rs[h, j]
