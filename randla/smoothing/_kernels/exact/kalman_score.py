"""Gradient of the log-likelihood of a linear Gaussian model in all its matrices.

By Fisher's identity the gradient is a smoothed expectation that has Q^{-1} and R^{-1} in it. The
form used here has neither, so it holds for singular Q and R. With r, N and u, D the smoothed
disturbances of Koopman and Shephard (see `kalman`), K the filter gain at time t, P_f the
filtered covariance and m_s the smoothed mean,

    dl/dQ = 1/2 sum (r r' - N),   dl/dA = sum (r m_s' - Y),           Y_t = N_t A P_f,
    dl/dR = 1/2 sum (u u' - D),   dl/dB = sum (u m_s' - K' (I - A' Y)).

Y is carried backwards as a whole, Y_{t-1} = (B' K' + (I - K B)' A' Y_t) G_{t-1}' with the
smoother's gain G: a product of N, which is tiny after a nearly diffuse start, with P_f, which is
huge then, would lose all digits.
"""

import numpy as np

from randla._jit import kernel, summing_kernel
from randla.smoothing._kernels.exact.kalman import copy_to, observe_row, predict


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
def keep_gain(M, n, d, e, K, U, Fv):
    """U = F_root^{-1}, Fv = F^{-1} v and the gain K, from the pre-array of one time."""
    for b in range(n):  # forward substitution, column by column
        for a in range(n):
            U[a, b] = 0.0
        for a in range(b, n):
            remainder = 1.0 if a == b else 0.0
            for c in range(b, a):
                remainder -= M[a, c] * U[c, b]
            U[a, b] = remainder / M[a, a]
    for b in range(n):
        Fv[b] = 0.0
        for a in range(b, n):
            Fv[b] += U[a, b] * e[a]  # U' e, as e = U v and F^-1 = U' U
    for j in range(d):
        for b in range(n):
            K[j, b] = 0.0
            for a in range(b, n):
                K[j, b] += M[n + j, a] * U[a, b]  # (K F_root) U


@kernel
def likelihood_gradient(y, A, Q_root, H, R_root, m0, P0_root, gA, gQ, gH, gR, gm, gP):
    """Log-likelihood and -1 (or 0 and a degenerate time); the g arrays get the gradients.

    gQ, gR and gP are symmetric: dl = sum(gQ * dQ) for a symmetric dQ.
    """
    n_steps, k = y.shape
    d = A.shape[0]
    M = np.empty((max(k, d) + d, max(k, d) + d))
    floor, e, C = np.empty(k + 2 * d), np.empty(k), np.empty((d, d))
    pivots, seen = np.empty(k + 2 * d, np.int64), np.empty((n_steps, k), np.int64)
    counts = np.empty(n_steps, np.int64)
    filtered, G = np.empty((n_steps, d)), np.empty((n_steps, d, d))
    K, U, Fv = np.empty((n_steps, d, k)), np.empty((n_steps, k, k)), np.empty((n_steps, k))
    m, S, total = m0.copy(), P0_root.copy(), 0.0
    for t in range(n_steps):  # the filter, which keeps gains and innovations
        if t > 0:
            predict(A, Q_root, m, S, M, floor, pivots, G[t - 1], C)
        n, log_density = observe_row(y[t], H, R_root, m, S, M, floor, pivots, seen[t], e)
        if n < 0:
            return 0.0, t
        keep_gain(M, n, d, e, K[t], U[t], Fv[t])
        counts[t] = n
        copy_to(m, filtered[t])
        total += log_density
    gA[:], gQ[:], gH[:], gR[:] = 0.0, 0.0, 0.0, 0.0
    r, rho, u, move = np.zeros(d), np.zeros(d), np.empty(k), np.empty(d)
    N, AN, ANA = np.zeros((d, d)), np.empty((d, d)), np.zeros((d, d))
    Y, AY, J, W = np.zeros((d, d)), np.zeros((d, d)), np.empty((d, d)), np.empty((d, d))
    for t in range(n_steps - 1, -1, -1):
        n = counts[t]
        if t < n_steps - 1:  # m is the smoothed mean at t + 1; r, N, Y belong to that time, too
            for i in range(d):
                move[i] = m[i]
                rho[i] = 0.0
                for j in range(d):
                    move[i] -= A[i, j] * filtered[t, j]
                    rho[i] += A[j, i] * r[j]  # A' r
            for i in range(d):
                m[i] = filtered[t, i]
                for j in range(d):
                    m[i] += G[t, i, j] * move[j]  # m_f + G (m_s at t + 1 - A m_f)
            for i in range(d):
                for j in range(d):
                    gA[i, j] += r[i] * m[j] - Y[i, j]  # r m_s' - Y
                    gQ[i, j] += 0.5 * (r[i] * r[j] - N[i, j])  # 1/2 (r r' - N)
            multiply_left(A, N, AN)
            multiply(AN, A, ANA)  # A' N A
            multiply_left(A, Y, AY)  # A' Y
        observe_back(n, seen[t], H, K[t], U[t], Fv[t], rho, ANA, AY, m, u, gH, gR, J, W, r, N, Y)
        if t > 0:  # Y: from N_{t-1} P_t to N_{t-1} A P_f
            for i in range(d):
                copy_to(Y[i], W[i])
                for j in range(d):
                    Y[i, j] = 0.0
                    for b in range(d):
                        Y[i, j] += W[i, b] * G[t - 1, j, b]  # Y G'
    copy_to(r, gm)  # dl/dm_0 = r and dl/dP_0 = 1/2 (r r' - N), before time 0
    for i in range(d):
        for j in range(d):
            gP[i, j] = 0.5 * (r[i] * r[j] - N[i, j])
    return total, -1


@summing_kernel
def observe_back(n, seen, H, K, U, Fv, rho, ANA, AY, m, u, gH, gR, J, W, r, N, Y):
    """One row of y in the backward pass: adds to gH and gR; from rho, A'NA, A'Y to r, N, Y."""
    d = ANA.shape[0]
    for a in range(n):  # u = F^-1 v - K' A' r
        u[a] = Fv[a]
        for j in range(d):
            u[a] -= K[j, a] * rho[j]
    for a in range(n):
        i = seen[a]
        for j in range(d):
            gH[i, j] += u[a] * m[j] - K[j, a]  # u m_s' - K'
            for b in range(d):
                gH[i, j] += K[b, a] * AY[b, j]  # + K' A' Y
        for b in range(n):
            D = 0.0  # F^-1 + K' A' N A K
            for c in range(n):
                D += U[c, a] * U[c, b]
            for j in range(d):
                for h in range(d):
                    D += K[j, a] * ANA[j, h] * K[h, b]
            gR[i, seen[b]] += 0.5 * (u[a] * u[b] - D)
    for i in range(d):  # J = I - K H
        for j in range(d):
            J[i, j] = 1.0 if i == j else 0.0
            for a in range(n):
                J[i, j] -= K[i, a] * H[seen[a], j]
    multiply_left(J, AY, Y)  # (I - K H)' A' Y
    multiply_left(J, ANA, W)
    multiply(W, J, N)  # J' A' N A J
    for i in range(d):
        r[i] = rho[i]
        for a in range(n):
            r[i] += H[seen[a], i] * u[a]  # A' r + H' u
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
