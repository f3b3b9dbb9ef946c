"""Filter and score of one observed number with a sparse transition matrix: O(d (d + q)) a time.

For the hundreds of evaluations of maximum likelihood in structural models, whose transition
matrices have a few entries a row. Plain covariances, where `kalman` has factors: the part of the
start that is diffuse is not in the covariance but in columns beside the mean (de Jong, "The
diffuse Kalman filter", Ann. Statist. 19 (1991), 1073-1083), so nothing large is ever subtracted.

The last column of the states is the mean, which sees y; the q before it begin in the diffuse
directions and see zeros. r, N, u and D are those of `kalman_score` and `kalman`; the triangle
is that of `diffuse`.
"""

import math

import numpy as np

from randla._jit import kernel, summing_kernel


_SMALL = 1e-9  # sine of a rotation whose cosine is one
_NEGLIGIBLE = 1e-40  # sine of a rotation that is none
_DETERMINED = 1e-10  # what is left of a column, relative to it, that still determines a state
#: What `sparse_filter` says in the place of a time.
DONE, UNDETERMINED = -1, -2


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
def rotate_in(row, X, squares):
    """Rotate a row (q + 1,) into the triangle X; squares (q,) sums those of its columns."""
    for j in range(squares.size):
        squares[j] += row[j] * row[j]
    for i in range(row.size):
        if not abs(row[i]) <= _NEGLIGIBLE * X[i, i]:  # also for NaN
            c, s = 1.0, row[i] / X[i, i]
            if not abs(s) < _SMALL:
                norm = math.sqrt(X[i, i] * X[i, i] + row[i] * row[i])
                c, s = X[i, i] / norm, row[i] / norm
                X[i, i] = norm
            for j in range(i + 1, row.size):
                X[i, j], row[j] = c * X[i, j] + s * row[j], c * row[j] - s * X[i, j]


@kernel
def solve_triangle(X, W):
    """W = [R^-1, delta_hat; 0, 1], from the triangle X = [R, z; 0, rho]: delta_hat = -R^-1 z."""
    q = X.shape[0] - 1
    for c in range(q + 1):
        for i in range(q, -1, -1):
            total = 1.0 if i == c else 0.0
            if i < q:
                for j in range(i + 1, q):
                    total -= X[i, j] * W[j, c]
                if c == q:
                    total -= X[i, q]
                total /= X[i, i]
            W[i, c] = total


@summing_kernel
def sparse_filter(y, rows, columns, values, Q, B, R, start, P0, X, W, F, E, gains, M, P):
    """Returns log L without its constant and rho^2 / 2, and `DONE`; or why there is none.

    That is `UNDETERMINED` where y does not tell the diffuse states, or the time at which F is not
    positive. y (T,); Q (d,) a diagonal; B (T, d), or (1, d) for all times; start (d, q + 1) and P0.
    Kept are the triangle X (q + 1, q + 1) and its solution W, variances F (T,), zero where y is
    missing, innovations E (T, q + 1), gains (T, d), filtered columns M (T, d, q + 1) and
    covariances P (T, d, d).
    """
    d, width = start.shape
    work, row, squares = np.empty((d, d)), np.empty(width), np.zeros(width - 1)
    total = 0.0
    for i in range(width):
        for j in range(width):
            X[i, j] = 0.0
    for t in range(y.size):
        if t == 0:
            for i in range(d):
                for c in range(width):
                    M[0, i, c] = start[i, c]
                for j in range(d):
                    P[0, i, j] = P0[i, j]
        else:
            times_sparse(rows, columns, values, M[t - 1], M[t])
            times_sparse(rows, columns, values, P[t - 1], work)  # A P
            for i in range(d):
                for j in range(i):
                    work[i, j], work[j, i] = work[j, i], work[i, j]
            times_sparse(rows, columns, values, work, P[t])  # A (A P)'
            for i in range(d):
                P[t, i, i] += Q[i]
        F[t] = 0.0
        if not math.isnan(y[t]):
            s, f = min(t, B.shape[0] - 1), R
            for i in range(d):
                gains[t, i] = 0.0
            for c in range(width):
                E[t, c] = 0.0
            E[t, width - 1] = y[t]
            for i in range(d):
                b = B[s, i]
                if b != 0.0:  # few of a long season are
                    for j in range(d):
                        gains[t, j] += b * P[t, i, j]
                    for c in range(width):
                        E[t, c] -= b * M[t, i, c]
            for i in range(d):
                f += B[s, i] * gains[t, i]
            if not f > 0.0:
                return 0.0, t
            F[t] = f
            total -= 0.5 * math.log(f)
            inverse, root = 1.0 / f, 1.0 / math.sqrt(f)
            for c in range(width):
                row[c] = E[t, c] * root
            for i in range(d):
                for j in range(d):
                    P[t, i, j] -= gains[t, i] * gains[t, j] * inverse
                k = gains[t, i] * inverse
                for c in range(width):
                    M[t, i, c] += k * E[t, c]
            for i in range(d):
                gains[t, i] *= inverse
            rotate_in(row, X, squares)
    for j in range(width - 1):
        if not X[j, j] > _DETERMINED * math.sqrt(squares[j]):
            return 0.0, UNDETERMINED
        total -= math.log(X[j, j])
    solve_triangle(X, W)
    return total, DONE


@summing_kernel
def sparse_score(rows, columns, values, B, W, F, E, gains, M, P, gA, gQ, gP):
    """Returns dl/dR; gQ (d,) gets dl/d diag(Q), gA and gP (m, m) those in the last m states.

    All is as `sparse_filter` left it. M W and E W are q columns for a root of the covariance that
    is due to the diffuse directions, and one for the mean given all of y.
    """
    n_steps, d = gains.shape
    width, m, gR = E.shape[1], gA.shape[0], 0.0
    first = d - m
    r, rho, N = np.zeros((d, width)), np.zeros((d, width)), np.zeros((d, d))
    work, h, x, u = np.empty((d, d)), np.empty(d), np.empty(width), np.empty(width)
    for i in range(d):
        gQ[i] = 0.0
    for i in range(m):
        for j in range(m):
            gA[i, j] = 0.0
    for t in range(n_steps - 1, -1, -1):
        if t < n_steps - 1:  # r and N belong to the prediction of time t + 1
            for i in range(d):
                gQ[i] += 0.5 * (dot(r[i], r[i]) - N[i, i])
            for i in range(first, d):  # gA = r m_f' + (r r' - N) A P_f, m_f and P_f filtered
                for j in range(d):
                    h[j] = 0.0
                for e in range(rows.size):
                    g = dot(r[i], r[rows[e]]) - N[i, rows[e]]
                    h[columns[e]] += g * values[e]
                for c in range(width):  # r_i W', as r_i' (W' m) = (W r_i)' m
                    x[c] = dot(W[c], r[i])
                for j in range(first, d):
                    gA[i - first, j - first] += dot(x, M[t, j]) + dot(h, P[t, j])
            times_sparse(columns, rows, values, r, rho)  # A' r
            r, rho = rho, r
            sandwich(columns, rows, values, N, work)  # A' N A
        if F[t] > 0.0:
            s, D = min(t, B.shape[0] - 1), 1.0 / F[t]
            for i in range(d):
                h[i] = dot(N[i], gains[t])
                D += h[i] * gains[t, i]
            gR -= 0.5 * D
            for c in range(width):
                u[c] = 0.0
            for b in range(width):
                e = E[t, b] / F[t]
                for c in range(width):
                    u[c] += e * W[b, c]
            for i in range(d):
                for c in range(width):
                    u[c] -= gains[t, i] * r[i, c]
            gR += 0.5 * dot(u, u)
            for i in range(d):  # N = B' F^-1 B + (I - K B)' N (I - K B)
                b = B[s, i]
                if b != 0.0:
                    for c in range(width):
                        r[i, c] += b * u[c]
                    for j in range(d):
                        N[i, j] += b * (D * B[s, j] - h[j])
                    for j in range(d):
                        N[j, i] -= b * h[j]
    for i in range(m):  # before time 0: the initial law
        for j in range(m):
            a, c = first + i, first + j
            gP[i, j] = 0.5 * (dot(r[a], r[c]) - N[a, c])
    return gR
