"""Gradient of the log-likelihood of a linear Gaussian model in all its matrices.

By Fisher's identity the gradient is a smoothed expectation that has Q^{-1} and R^{-1} in it. The
form used here has neither, so it holds for singular Q and R. With r, N and u, D the smoothed
disturbances of Koopman and Shephard (see `kalman`), K the filter gain at time t, P_f the
filtered covariance and m_s the smoothed mean,

    dl/dQ = 1/2 sum (r r' - N),   dl/dA = sum (r m_s' - Y),           Y_t = N_t A P_f,
    dl/dR = 1/2 sum (u u' - D),   dl/dB = sum (u m_s' - K' (I - A' Y)).

With intercepts, dl/dc = sum r and dl/dd = sum u. With a diffuse start (see `diffuse`) all this is
the gradient given delta, and its expectation over delta given y is needed. Only r, u and m_s depend
on delta, linearly: the products of the columns are added to their products.

Y is propagated backward as a whole, Y_{t-1} = (B' K' + (I - K B)' A' Y_t) G_{t-1}' with the
smoother's gain G: a product of N, which is tiny after a nearly diffuse start, with P_f, which is
then huge, would lose all digits.
"""

from randla._jit import kernel, summing_kernel
from randla.smoothing._kernels.exact.kalman import at, copy_root, copy_to
from randla.smoothing._kernels.particles.unowned import unowned


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


@kernel
def gradient(system, past, work, g, is_smoothed):
    """From the filter's arrays in `past` to the gradients, added to the record g.

    Those of covariances are symmetric: dl = sum(g.Q * dQ) for a symmetric dQ. The filtered means
    become the smoothed ones, unless they are. `work` is a record of arrays that begin as zeros.
    """
    system, past, work, g = unowned(system), unowned(past), unowned(work), unowned(g)
    last, r, N, Y = past.mean.shape[0] - 1, work.r, work.N, work.Y
    for t in range(last, -1, -1):
        m, A, c, H = past.mean[t], at(system.A, t), at(system.c, t), at(system.B, t)
        if t < last:  # r, N, Y belong to t + 1
            step_back(
                A, c, past.G[t], past.mean[t + 1], m, r, N, Y, g.c, g.A, g.Q, work, is_smoothed
            )
        observe_back(
            past.counts[t], past.seen[t], H, past.K[t], past.U[t], past.e[t], work.rho, work.ANA,
            work.AY, m, work.u, g.B, g.R, g.d, work.J, work.W, r, N, Y,
        )  # fmt: skip
        if t > 0:  # Y: from N_{t-1} P_t to N_{t-1} A P_f
            multiply_right(Y, past.G[t - 1], work.W)
    copy_to(r, g.m0)  # dl/dm_0 = r and dl/dP_0 = 1/2 (r r' - N), before time 0
    for i in range(r.size):
        for j in range(r.size):
            g.P0[i, j] += 0.5 * (r[i] * r[j] - N[i, j])


@summing_kernel
def multiply_right(Y, G, W):
    """Y G' instead of Y."""
    for i in range(Y.shape[0]):
        for j in range(Y.shape[0]):
            W[i, j] = Y[i, j]
        for j in range(Y.shape[0]):
            Y[i, j] = 0.0
            for b in range(Y.shape[0]):
                Y[i, j] += W[i, b] * G[j, b]


@summing_kernel
def step_back(A, c, G, later, m, r, N, Y, gc, gA, gQ, work, is_smoothed):
    """Smoothed mean m at t from the filtered one and `later`, at t + 1, where r, N and Y belong."""
    d, move, rho = A.shape[0], work.move, work.rho
    for i in range(d):
        move[i] = later[i] - c[i]
        rho[i] = 0.0
        for j in range(d):
            move[i] -= A[i, j] * m[j]
            rho[i] += A[j, i] * r[j]  # A' r
    for i in range(0 if is_smoothed else d):
        for j in range(d):
            m[i] += G[i, j] * move[j]  # m_f + G (m_s at t + 1 - A m_f - c)
    for i in range(d):
        gc[i] += r[i]
        for j in range(d):
            gA[i, j] += r[i] * m[j] - Y[i, j]  # r m_s' - Y
            gQ[i, j] += 0.5 * (r[i] * r[j] - N[i, j])  # 1/2 (r r' - N)
    copy_root(A, work.J)  # else both products would be compiled for read-only arrays as well
    multiply_left(work.J, N, work.W)
    multiply(work.W, work.J, work.ANA)  # A' N A
    multiply_left(work.J, Y, work.AY)  # A' Y


@summing_kernel
def observe_back(n, seen, H, K, U, e, rho, ANA, AY, m, u, gH, gR, gd, J, W, r, N, Y):
    """One row of y in the backward pass: adds to gH, gR and gd; from rho, A'NA, A'Y to r, N, Y."""
    d = ANA.shape[0]
    for a in range(n):  # u = F^-1 v - K' A' r
        u[a] = 0.0
        for b in range(a, n):
            u[a] += U[b, a] * e[b]  # U' e, as e = U v and F^-1 = U' U
        for j in range(d):
            u[a] -= K[j, a] * rho[j]
    for a in range(n):
        i = seen[a]
        gd[i] += u[a]
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
