"""Filter and score of one observed number with a sparse transition matrix: O(d (d + q)) a time.

For the hundreds of evaluations of maximum likelihood in structural models, whose transition
matrices have a few entries a row. Covariances are stored directly, where `kalman` has factors: the
diffuse part of the start is not in the covariance but in columns next to the mean (de Jong, "The
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
_DETERMINED = 1e-10  # remainder of a column, relative to it, that still determines a state
_ROUNDING = 1e-15  # change of a covariance, relative to its scale, that counts as none
#: Codes that `sparse_filter` returns instead of a time.
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


@kernel
def is_settled(X, before):
    """Whether a covariance or N differs from the one before by no more than rounding."""
    for i in range(X.shape[0]):
        for j in range(i + 1):
            change = X[i, j] - before[i, j]
            if not change * change <= _ROUNDING * _ROUNDING * X[i, i] * X[j, j]:
                return False
    return True


@summing_kernel
def sparse_filter(y, rows, columns, values, Q, B, R, start, P0, X, W, F, E, gains, M, P, same):
    """Returns log L without its constant and rho^2 / 2, and `DONE`; or why there is none.

    That is `UNDETERMINED` if y does not determine the diffuse states, or the time at which F is not
    positive. y (T,); Q (d,) a diagonal; B (T, d), or (1, d) for all times; start (d, q + 1) and P0.
    Kept are the triangle X (q + 1, q + 1) and its solution W, variances F (T,), zero where y is
    missing, innovations E (T, q + 1), gains (T, d), filtered columns M (T, d, q + 1) and
    covariances P (T, d, d), and whether F, gains and P are the `same` (T,) as one time before.
    """
    d, width = start.shape
    work, row, squares = np.empty((d, d)), np.empty(width), np.zeros(width - 1)
    total, half_log = 0.0, 0.0
    for i in range(width):
        for j in range(width):
            X[i, j] = 0.0
    for t in range(y.size):
        seen = not math.isnan(y[t])
        same[t] = seen and t > 0 and same[t - 1]
        if t == 0:
            for i in range(d):
                for c in range(width):
                    M[0, i, c] = start[i, c]
                for j in range(d):
                    P[0, i, j] = P0[i, j]
        else:
            times_sparse(rows, columns, values, M[t - 1], M[t])  # m_t = A m_{t-1|t-1}
        if t > 0 and not same[t]:  # P_t = A P_{t-1|t-1} A' + Q
            times_sparse(rows, columns, values, P[t - 1], work)  # A P
            for i in range(d):
                for j in range(i):
                    work[i, j], work[j, i] = work[j, i], work[i, j]
            times_sparse(rows, columns, values, work, P[t])  # A (A P)'
            for i in range(d):
                P[t, i, i] += Q[i]
        F[t] = 0.0
        if not seen:
            continue
        s = min(t, B.shape[0] - 1)
        for c in range(width):  # innovations: y - b'm of the mean, -b'm of the columns
            E[t, c] = 0.0
        E[t, width - 1] = y[t]
        for i in range(d):
            b = B[s, i]
            if b != 0.0:  # few of a long season are
                for c in range(width):
                    E[t, c] -= b * M[t, i, c]
        if same[t]:
            F[t] = F[t - 1]
            for i in range(d):
                gains[t, i] = gains[t - 1, i]
                for j in range(d):
                    P[t, i, j] = P[t - 1, i, j]
        else:
            f = R
            for i in range(d):  # P b, and F = b'P b + R
                gains[t, i] = 0.0
            for i in range(d):
                b = B[s, i]
                if b != 0.0:
                    for j in range(d):
                        gains[t, j] += b * P[t, i, j]
            for i in range(d):
                f += B[s, i] * gains[t, i]
            if not f > 0.0:
                return 0.0, t
            F[t], inverse, half_log = f, 1.0 / f, 0.5 * math.log(f)
            for i in range(d):  # P_{t|t} = P - P b b'P / F, and the gain P b / F
                for j in range(d):
                    P[t, i, j] -= gains[t, i] * gains[t, j] * inverse
            for i in range(d):
                gains[t, i] *= inverse
            if B.shape[0] == 1 and t > 0 and F[t - 1] > 0.0:
                same[t] = is_settled(P[t], P[t - 1])
        total -= half_log
        root = 1.0 / math.sqrt(F[t])
        for c in range(width):
            row[c] = E[t, c] * root
        for i in range(d):
            for c in range(width):
                M[t, i, c] += gains[t, i] * E[t, c]
        rotate_in(row, X, squares)
    for j in range(width - 1):  # - log |det R| of the integral over delta
        if not X[j, j] > _DETERMINED * math.sqrt(squares[j]):
            return 0.0, UNDETERMINED
        total -= math.log(X[j, j])
    solve_triangle(X, W)
    return total, DONE


@summing_kernel
def sparse_score(rows, columns, values, B, W, F, E, gains, M, P, same, gA, gQ, gP):
    """Returns dl/dR; gQ (d,) gets dl/d diag(Q), gA and gP (m, m) those in the last m states.

    All is as `sparse_filter` left it. M W and E W are q columns for a root of the covariance that
    is due to the diffuse directions, and one for the mean given all of y.
    """
    n_steps, d = gains.shape
    width, m, gR, D = E.shape[1], gA.shape[0], 0.0, 0.0
    first, settled = d - m, False  # whether N is that of one time later
    r, rho, N, before = (
        np.zeros((d, width)),
        np.zeros((d, width)),
        np.zeros((d, d)),
        np.zeros((d, d)),
    )
    work, h, u, NAP = np.empty((d, d)), np.empty(d), np.empty(width), np.zeros((m, m))
    for i in range(d):
        gQ[i] = 0.0
    for i in range(m):
        for j in range(m):
            gA[i, j] = 0.0
    for t in range(n_steps - 1, -1, -1):
        last = t == n_steps - 1
        settled = settled and same[t + 1]
        if not last:  # r and N belong to the prediction of time t + 1
            for i in range(d):
                gQ[i] += 0.5 * (dot(r[i], r[i]) - N[i, i])
            times_sparse(columns, rows, values, r, rho)  # A' r
            for c in range(width):  # gA = r m_f' + (r r' - N) A P_f, m_f and P_f filtered
                for j in range(first, d):
                    z = 0.0
                    for b in range(c + 1):
                        z += M[t, j, b] * W[b, c]
                    for k in range(d):
                        z += rho[k, c] * P[t, j, k]
                    for i in range(first, d):
                        gA[i - first, j - first] += r[i, c] * z
            r, rho = rho, r
            if not settled:
                times_sparse(columns, rows, values, N, work)  # A' N
                for i in range(m):
                    for j in range(m):
                        z = 0.0
                        for k in range(d):
                            z += work[k, first + i] * P[t, first + j, k]
                        NAP[i, j] = z
                for i in range(d):
                    for j in range(i):
                        work[i, j], work[j, i] = work[j, i], work[i, j]
                times_sparse(columns, rows, values, work, N)  # A' (A' N)'
            for i in range(m):
                for j in range(m):
                    gA[i, j] -= NAP[i, j]
        if F[t] == 0.0:
            continue
        s = min(t, B.shape[0] - 1)
        for c in range(width):  # u = e / F - K'r, e = E W; then r = A'r + b u
            u[c] = 0.0
        for b in range(width):
            e = E[t, b] / F[t]
            for c in range(width):
                u[c] += e * W[b, c]
        for i in range(d):
            for c in range(width):
                u[c] -= gains[t, i] * r[i, c]
        for i in range(d):
            b = B[s, i]
            if b != 0.0:
                for c in range(width):
                    r[i, c] += b * u[c]
        if not settled:  # N = B' F^-1 B + (I - K B)' N (I - K B)
            D = 1.0 / F[t]
            for i in range(d):
                h[i] = dot(N[i], gains[t])
                D += h[i] * gains[t, i]
            for i in range(d):
                b = B[s, i]
                if b != 0.0:
                    for j in range(d):
                        N[i, j] += b * (D * B[s, j] - h[j])
                    for j in range(d):
                        N[j, i] -= b * h[j]
            settled = not last and same[t + 1] and is_settled(N, before)
            for i in range(d):
                for j in range(d):
                    before[i, j] = N[i, j]
        gR += 0.5 * (dot(u, u) - D)
    for i in range(m):  # before time 0: the initial law
        for j in range(m):
            a, c = first + i, first + j
            gP[i, j] = 0.5 * (dot(r[a], r[c]) - N[a, c])
    return gR
