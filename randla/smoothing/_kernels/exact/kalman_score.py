"""Gradient of the log-likelihood of a linear Gaussian model in all its matrices.

By Fisher's identity the gradient is a smoothed expectation that has Q^{-1} and R^{-1} in it. The
form used here has neither, so it holds for singular Q and R. With r, N and u, D the smoothed
disturbances of Koopman and Shephard (see `kalman`), K the filter gain at time t, P_f the
filtered covariance and m_s the smoothed mean,

    dl/dQ = 1/2 sum (r r' - N),   dl/dA = sum (r m_s' - Y),           Y_t = N_t A P_f,
    dl/dR = 1/2 sum (u u' - D),   dl/dB = sum (u m_s' - K' (I - A' Y)).

With a diffuse start (see `diffuse`) this is the gradient given delta, and its expectation over
delta given y is wanted. Only r, u and m_s depend on delta, linearly, so their products are summed
over the rows that `resolve` makes: over that of the means, and those of a root of the covariance
of delta.

Y is carried backwards as a whole, Y_{t-1} = (B' K' + (I - K B)' A' Y_t) G_{t-1}' with the
smoother's gain G: a product of N, which is tiny after a nearly diffuse start, with P_f, which is
huge then, would lose all digits.
"""

import numpy as np

from randla._jit import kernel, summing_kernel
from randla.smoothing._kernels.exact.diffuse import absorb, begin, resolve, solve
from randla.smoothing._kernels.exact.kalman import at, copy_to, observe_row, predict


@summing_kernel
def multiply(X, Y, out):
    """Write X Y to out."""
    out[:] = 0.0
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            x = X[i, k]
            if x != 0.0:
                for j in range(Y.shape[1]):
                    out[i, j] += x * Y[k, j]


@summing_kernel
def multiply_left(X, Y, out):
    """Write X' Y to out."""
    out[:] = 0.0
    for k in range(X.shape[0]):
        for i in range(X.shape[1]):
            x = X[k, i]
            if x != 0.0:
                for j in range(Y.shape[1]):
                    out[i, j] += x * Y[k, j]


@summing_kernel
def keep_gain(M, n, d, K, U):
    """U = F_root^{-1} and the gain K, from the pre-array of one time."""
    for b in range(n):  # forward substitution, column by column
        for a in range(n):
            U[a, b] = 0.0
        for a in range(b, n):
            remainder = 1.0 if a == b else 0.0
            for c in range(b, a):
                remainder -= M[a, c] * U[c, b]
            U[a, b] = remainder / M[a, a]
    for j in range(d):
        for b in range(n):
            K[j, b] = 0.0
            for a in range(b, n):
                K[j, b] += M[n + j, a] * U[a, b]  # (K F_root) U


@kernel
def likelihood_gradient(y, system, start, gA, gQ, gc, gH, gR, gd, gm, gP):
    """Log-likelihood and -1 (or 0 and a degenerate time); the g arrays get the gradients.

    gQ, gR and gP are symmetric: dl = sum(gQ * dQ) for a symmetric dQ.
    """
    n_steps, k = y.shape
    d, q = system.means.shape[1], system.means.shape[0] - 1
    M = np.empty((max(k, d) + d, max(k, d) + d))
    floor, C = np.empty(k + 2 * d), np.empty((d, d))
    pivots, seen = np.empty(k + 2 * d, np.int64), np.empty((n_steps, k), np.int64)
    counts, e = np.empty(n_steps, np.int64), np.empty((n_steps, q + 1, k))
    means, G = np.empty((n_steps, q + 1, d)), np.empty((n_steps, d, d))
    K, U = np.empty((n_steps, d, k)), np.empty((n_steps, k, k))
    m, S, total, bad = system.means.copy(), system.P0_root.copy(), 0.0, -1
    begin(start)
    for t in range(n_steps):  # the filter, which keeps gains and innovations
        if t > 0:
            A, Q_root, c = at(system.A, t - 1), at(system.Q_root, t - 1), at(system.c, t - 1)
            predict(A, Q_root, c, m, S, M, floor, pivots, G[t - 1], C)
        H, R_root, b = at(system.B, t), at(system.R_root, t), at(system.d, t)
        n, log_density = observe_row(y[t], H, R_root, b, m, S, M, floor, pivots, seen[t], e[t])
        if n < 0:
            bad = t if bad < 0 else bad
            if q == 0:
                return 0.0, bad
        total += log_density
        absorb(e[t], n, start)
        keep_gain(M, n, d, K[t], U[t])
        counts[t] = n
        for r in range(q + 1):
            copy_to(m[r], means[t, r])
    total += solve(start)
    if bad >= 0:
        return 0.0, bad
    gA[:], gQ[:], gH[:], gR[:], gc[:], gd[:] = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    r, rho, u, move = np.zeros((q + 1, d)), np.zeros((q + 1, d)), np.empty(k), np.empty(d)
    N, AN, ANA = np.zeros((d, d)), np.empty((d, d)), np.zeros((d, d))
    Y, AY, J, W = np.zeros((d, d)), np.zeros((d, d)), np.empty((d, d)), np.empty((d, d))
    for t in range(n_steps - 1, -1, -1):
        n, now = counts[t], means[t]
        resolve(start, now)
        resolve(start, e[t])
        if t < n_steps - 1:  # r, N, Y belong to t + 1
            A, c, later = at(system.A, t), at(system.c, t), means[t + 1]
            for h in range(q + 1):
                for i in range(d):
                    move[i] = later[h, i] - c[i] if h == 0 else later[h, i]
                    rho[h, i] = 0.0
                    for j in range(d):
                        move[i] -= A[i, j] * now[h, j]
                        rho[h, i] += A[j, i] * r[h, j]  # A' r
                for i in range(d):
                    for j in range(d):
                        now[h, i] += G[t, i, j] * move[j]  # m_f + G (m_s at t + 1 - A m_f - c)
                for i in range(d):
                    for j in range(d):
                        gA[i, j] += r[h, i] * now[h, j]  # r m_s'
                        gQ[i, j] += 0.5 * r[h, i] * r[h, j]  # 1/2 r r'
            for i in range(d):
                gc[i] += r[0, i]
                for j in range(d):
                    gA[i, j] -= Y[i, j]
                    gQ[i, j] -= 0.5 * N[i, j]
            multiply_left(A, N, AN)
            multiply(AN, A, ANA)  # A' N A
            multiply_left(A, Y, AY)  # A' Y
        H = at(system.B, t)
        row_back(n, seen[t], H, K[t], U[t], e[t], rho, now, u, gH, gR, gd, r)
        spread_back(n, seen[t], H, K[t], U[t], ANA, AY, gH, gR, J, W, N, Y)
        if t > 0:  # Y: from N_{t-1} P_t to N_{t-1} A P_f
            for i in range(d):
                copy_to(Y[i], W[i])
                for j in range(d):
                    Y[i, j] = 0.0
                    for b in range(d):
                        Y[i, j] += W[i, b] * G[t - 1, j, b]  # Y G'
    copy_to(r[0], gm)  # dl/dm_0 = r and dl/dP_0 = 1/2 (r r' - N), before time 0
    for i in range(d):
        for j in range(d):
            gP[i, j] = -0.5 * N[i, j]
            for h in range(q + 1):
                gP[i, j] += 0.5 * r[h, i] * r[h, j]
    return total, -1


@summing_kernel
def row_back(n, seen, H, K, U, e, rho, means, u, gH, gR, gd, r):
    """What one row of y tells through the means: adds to gH, gR, gd; from rho = A' r to r."""
    d = H.shape[1]
    for h in range(means.shape[0]):
        for a in range(n):  # u = F^-1 v - K' A' r
            u[a] = 0.0
            for b in range(a, n):
                u[a] += U[b, a] * e[h, b]  # U' e, as e = U v and F^-1 = U' U
            for j in range(d):
                u[a] -= K[j, a] * rho[h, j]
        for a in range(n):
            i = seen[a]
            if h == 0:
                gd[i] += u[a]
            for j in range(d):
                gH[i, j] += u[a] * means[h, j]  # u m_s'
            for b in range(n):
                gR[i, seen[b]] += 0.5 * u[a] * u[b]
        for i in range(d):
            r[h, i] = rho[h, i]
            for a in range(n):
                r[h, i] += H[seen[a], i] * u[a]  # A' r + H' u


@summing_kernel
def spread_back(n, seen, H, K, U, ANA, AY, gH, gR, J, W, N, Y):
    """What one row of y tells through the covariances; from A'NA and A'Y to N and Y."""
    d = ANA.shape[0]
    for a in range(n):
        i = seen[a]
        for j in range(d):
            gH[i, j] -= K[j, a]  # - K'
            for b in range(d):
                gH[i, j] += K[b, a] * AY[b, j]  # + K' A' Y
        for b in range(n):
            D = 0.0  # F^-1 + K' A' N A K
            for c in range(n):
                D += U[c, a] * U[c, b]
            for j in range(d):
                for h in range(d):
                    D += K[j, a] * ANA[j, h] * K[h, b]
            gR[i, seen[b]] -= 0.5 * D
    for i in range(d):  # J = I - K H
        for j in range(d):
            J[i, j] = 1.0 if i == j else 0.0
            for a in range(n):
                J[i, j] -= K[i, a] * H[seen[a], j]
    multiply_left(J, AY, Y)  # (I - K H)' A' Y
    multiply_left(J, ANA, W)
    multiply(W, J, N)  # J' A' N A J
    for a in range(n):
        for i in range(d):
            for j in range(d):
                Y[i, j] += H[seen[a], i] * K[j, a]  # + H' K'
    for c in range(n):  # N += H' F^-1 H = (U H)' (U H)
        for i in range(d):
            W[0, i] = 0.0
            for a in range(c + 1):
                W[0, i] += U[c, a] * H[seen[a], i]
        for i in range(d):
            for j in range(d):
                N[i, j] += W[0, i] * W[0, j]
