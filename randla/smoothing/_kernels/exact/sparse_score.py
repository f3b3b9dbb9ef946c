"""Filter and score of one observed number with a sparse transition matrix: O(d (d + q)) a time.

For the hundreds of evaluations of maximum likelihood in structural models, whose transition
matrices have a few entries a row. Plain covariances, where `kalman` has factors: the part of the
start that is diffuse is not in the covariance but in columns beside the mean (de Jong, "The
diffuse Kalman filter", Ann. Statist. 19 (1991), 1073-1083), so nothing large is ever subtracted.

The last column of the states is the mean, which sees y; the q before it begin in the diffuse
directions and see zeros. r, N, u and D are those of `kalman_score` and `kalman`.
"""

import math

import numpy as np

from randla._jit import kernel, summing_kernel


@summing_kernel
def times_sparse(rows, columns, values, X, out):
    """Write A X to out, where A[rows[e], columns[e]] = values[e]."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0.0
    for e in range(rows.size):
        for j in range(X.shape[1]):
            out[rows[e], j] += values[e] * X[columns[e], j]


@kernel
def sandwich(rows, columns, values, P, work):
    """P = A P A' in place, for a symmetric P."""
    times_sparse(rows, columns, values, P, work)  # A P
    for i in range(P.shape[0]):
        for j in range(i):
            work[i, j], work[j, i] = work[j, i], work[i, j]
    times_sparse(rows, columns, values, work, P)  # A (A P)'


@summing_kernel
def dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@kernel
def sparse_filter(y, rows, columns, values, Q, B, R, M, P, F, E, gains, filtered, covariances):
    """Returns -1/2 sum(log F) and -1, or 0 and the time at which F is not positive.

    y (T,); Q (d,) a diagonal; B (T, d), or (1, d) for all times; M (d, q + 1) and P (d, d) are the
    start, and change. Kept are variances F (T,), zero where y is missing, innovations E (T, q + 1),
    gains (T, d) and the filtered columns (T, d, q + 1) and covariances (T, d, d).
    """
    d, width = M.shape
    work, total = np.empty((d, d)), 0.0
    for t in range(y.size):
        b, k = B[min(t, B.shape[0] - 1)], gains[t]
        if t > 0:
            times_sparse(rows, columns, values, filtered[t - 1], M)
            sandwich(rows, columns, values, P, work)
            for i in range(d):
                P[i, i] += Q[i]
        F[t] = 0.0
        if not math.isnan(y[t]):
            for i in range(d):
                k[i] = dot(P[i], b)
            f = R + dot(k, b)
            if not f > 0.0:
                return 0.0, t
            F[t] = f
            total -= 0.5 * math.log(f)
            for i in range(d):
                for j in range(i + 1):
                    P[i, j] -= k[i] * k[j] / f
                    P[j, i] = P[i, j]
            for c in range(width):
                e = y[t] if c == width - 1 else 0.0
                for i in range(d):
                    e -= b[i] * M[i, c]
                E[t, c] = e
                for i in range(d):
                    M[i, c] += k[i] / f * e
            for i in range(d):
                k[i] /= f
        for i in range(d):
            for c in range(width):
                filtered[t, i, c] = M[i, c]
            for j in range(d):
                covariances[t, i, j] = P[i, j]
    return total, -1


@kernel
def sparse_score(rows, columns, values, B, F, E, gains, filtered, covariances, gA, gQ, gP):
    """Returns dl/dR; gQ (d,) gets dl/d diag(Q), gA and gP (m, m) those in the last m states.

    All is as `sparse_filter` left it, but the columns of E and `filtered` are q for a root of
    the covariance that is due to the diffuse directions, and one for the mean given all of y.
    """
    n_steps, d = gains.shape
    width, m, gR = E.shape[1], gA.shape[0], 0.0
    first = d - m
    r, rho, N = np.zeros((d, width)), np.zeros((d, width)), np.zeros((d, d))
    work, h = np.empty((d, d)), np.empty(d)
    gA[:], gQ[:] = 0.0, 0.0
    for t in range(n_steps - 1, -1, -1):
        b, k = B[min(t, B.shape[0] - 1)], gains[t]
        if t < n_steps - 1:  # r and N belong to the prediction of time t + 1
            for i in range(d):
                gQ[i] += 0.5 * (dot(r[i], r[i]) - N[i, i])
            for i in range(first, d):  # gA = r m_f' + (r r' - N) A P_f, m_f and P_f filtered
                h[:] = 0.0
                for e in range(rows.size):
                    g = dot(r[i], r[rows[e]]) - N[i, rows[e]]
                    h[columns[e]] += g * values[e]
                for j in range(first, d):
                    gA[i - first, j - first] += dot(r[i], filtered[t, j]) + dot(
                        h, covariances[t, j]
                    )
            times_sparse(columns, rows, values, r, rho)  # A' r
            r, rho = rho, r
            sandwich(columns, rows, values, N, work)  # A' N A
        if F[t] > 0.0:
            for i in range(d):
                h[i] = dot(N[i], k)
            D = 1.0 / F[t] + dot(h, k)
            gR -= 0.5 * D
            for c in range(width):
                u = E[t, c] / F[t]
                for i in range(d):
                    u -= k[i] * r[i, c]
                gR += 0.5 * u * u
                for i in range(d):
                    r[i, c] += b[i] * u
            for i in range(d):  # N = B' F^-1 B + (I - K B)' N (I - K B)
                for j in range(d):
                    N[i, j] += b[i] * b[j] * D - b[i] * h[j] - h[i] * b[j]
    for i in range(m):  # before time 0: the initial law
        for j in range(m):
            a, c = first + i, first + j
            gP[i, j] = 0.5 * (dot(r[a], r[c]) - N[a, c])
    return gR
