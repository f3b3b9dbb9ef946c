"""The flat part of a diffuse start: least squares beside the Kalman filter.

With x_0 = m_0 + D delta + P_0^{1/2} e, delta flat, the filter runs on the q + 1 rows of means
[m_0, D'] at once. The innovations of y given delta are then e_0 + E delta, with e_0 those of row 0
and E those of the others, so delta is a least squares problem that grows by a few rows a time. A
triangle keeps it, [E, e_0] = orthogonal [R, z; 0, rho]:

    delta_hat = -R^{-1} z,   Cov(delta | y) = R^{-1} R^{-T},
    log L = log L given delta_hat, with rho^2 as sum of squares, - log |det R| + q/2 log 2 pi,

the integral over delta of the density of y. Nothing is subtracted, and the first observations are
no special case. All further recursions are linear in the means, so they go on with the rows
[m_0 + D delta_hat, R^{-T} D'] (`resolve`): the first one is the mean, the others are what delta
adds to a root of the covariance.

Sources: de Jong, "The diffuse Kalman filter", Ann. Statist. 19 (1991), 1073-1083 (the augmented
filter; there with sums of squares in the place of the triangle).
"""

import math

from randla._jit import kernel

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@kernel
def begin(start):
    """Clear the least squares problem."""
    start.triangle[:, :] = 0.0
    start.largest[:] = 0.0


@kernel
def absorb(e, n, start):
    """Rotate n columns of e (q + 1, k), as rows [E, e_0], into the triangle."""
    X, row, q = start.triangle, start.row, start.largest.size
    if q == 0:
        return
    for a in range(n):
        for j in range(q):
            row[j] = e[j + 1, a]
            start.largest[j] = max(start.largest[j], abs(row[j]))
        row[q] = e[0, a]
        for i in range(q + 1):  # Givens rotations
            if row[i] != 0.0:
                r = math.hypot(X[i, i], row[i])
                c, s = X[i, i] / r, row[i] / r
                X[i, i] = r
                for j in range(i + 1, q + 1):
                    x = X[i, j]
                    X[i, j] = c * x + s * row[j]
                    row[j] = c * row[j] - s * x


@kernel
def solve(start):
    """Fill delta and inverse = R^{-1}; returns what the flat start adds to the log-likelihood.

    `inflation` gets the standard error of each delta relative to that by the row which tells most
    of it, if all others were known: 1e14 or more where it is not determined.
    """
    X, V, q = start.triangle, start.inverse, start.largest.size
    if q == 0:
        return 0.0
    value = q * _HALF_LOG_2PI - 0.5 * X[q, q] * X[q, q]
    V[:, :] = 0.0
    for j in range(q - 1, -1, -1):  # R V = I, from the last row on
        pivot = max(X[j, j], 1e-18 * start.largest[j])
        pivot = pivot if pivot > 0.0 else 1.0  # no observation has delta_j: see below
        value -= math.log(pivot)
        total = -X[j, q]
        for i in range(j + 1, q):
            total -= X[j, i] * start.delta[i]
        start.delta[j] = total / pivot
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
def resolve(start, m):
    """Rows [m_0, D'] of m (q + 1, n) to [m_0 + D delta, R^{-T} D'], in place."""
    q, V = start.largest.size, start.inverse
    for i in range(q):
        for j in range(m.shape[1]):
            m[0, j] += start.delta[i] * m[i + 1, j]
    for c in range(q, 0, -1):  # row c needs those up to c
        for j in range(m.shape[1]):
            total = 0.0
            for i in range(c):
                total += V[i, c - 1] * m[i + 1, j]
            m[c, j] = total


@kernel
def add_products(m, n, P):
    """Add the products of rows 1, 2, ... of m and n to P."""
    for r in range(1, m.shape[0]):
        for i in range(m.shape[1]):
            for j in range(n.shape[1]):
                P[i, j] += m[r, i] * n[r, j]
