"""Square-root Kalman filter, smoother and likelihood gradient.

Every covariance is stored as a factor S with S S' = P, and every update is a product of Householder
reflections that act on the columns of a pre-array (an array algorithm). No covariance is ever
subtracted from another one, so none loses its sign or its digits: with a prior variance of 1e12 the
variances are accurate to about 1e-10, where the textbook recursion keeps 4 digits.

A row of a pre-array that is, up to rounding, a combination of the rows above it gets no pivot
(`triangularize`). That is how zero variances are handled: the regression of x_t on x_{t+1} then
uses a largest set of components of x_{t+1} that are not determined by the others.

Sources: Kaminski, Bryson and Schmidt, "Discrete square root filtering: a survey of current
techniques", IEEE Trans. Automat. Control 16 (1971), 727-736 (array filters); Park and Kailath,
"Square-root Bryson-Frazier smoothing algorithms", IEEE Trans. Automat. Control 40 (1995), 761-766;
de Jong, "Smoothing and interpolation with the state-space model", J. Amer. Statist. Assoc. 84
(1989), 1085-1088 (the backward recursion for r and N); Koopman and Shephard, "Exact score for time
series models in state space form", Biometrika 79 (1992), 823-826 (u and the exact score).
"""

import math

from randla._jit import kernel, summing_kernel
from randla._kernels.panels import fill
from randla.smoothing._kernels.particles.unowned import unowned

_LOG_2PI = math.log(2.0 * math.pi)
_EPS = 2.0**-52


@kernel
def covariance_root(P, root):
    """Lower triangular `root` with root root' = P, zero columns where P is singular.

    Returns 0, or 1 + i if row i shows that P is not positive semidefinite.
    """
    d = P.shape[0]
    for j in range(d):  # Cholesky, column by column
        pivot = P[j, j]
        for k in range(j):
            pivot -= root[j, k] * root[j, k]
        if not (P[j, j] >= 0.0 and pivot >= -1e-8 * P[j, j]):  # negative beyond rounding
            return 1 + j
        singular = pivot <= 4.0 * d * _EPS * P[j, j]  # the rounding error of the pivot
        root[j, j] = 0.0 if singular else math.sqrt(pivot)
        for i in range(j):
            root[i, j] = 0.0
        for i in range(j + 1, d):
            remainder = P[i, j]
            for k in range(j):
                remainder -= root[i, k] * root[j, k]
            if not singular:
                root[i, j] = remainder / root[j, j]
            else:  # semidefinite only if the whole column vanishes with its pivot
                root[i, j] = 0.0
                if abs(remainder) > 1e-7 * math.sqrt(P[i, i] * P[j, j]):
                    return 1 + i
    return 0


@summing_kernel
def triangularize(M, n_pivots, n_rows, n_cols, floor, pivots):
    """Reflect the columns of M[:n_rows, :n_cols] until M[:n_pivots] is lower triangular.

    A row i whose part that is not explained by the rows above has norm <= floor[i] gets no pivot:
    the part is set to zero and ``pivots[i] = -1``. Else ``pivots[i]`` is the column of its last
    entry, which is positive. Returns the number of pivots.
    """
    c = 0  # column of the next pivot
    for i in range(n_pivots):
        norm = 0.0  # of what the rows above leave of row i
        for k in range(c, n_cols):
            norm += M[i, k] * M[i, k]
        norm = math.sqrt(norm)
        if norm <= floor[i]:
            for k in range(c, n_cols):
                M[i, k] = 0.0
            pivots[i] = -1
            continue
        for k in range(c, n_cols):
            M[i, k] /= norm  # to unit length, so that v'v follows from `head`
        head = M[i, c]
        sign = -1.0 if head > 0.0 else 1.0  # the reflection maps the row to sign * norm
        M[i, c] = head - sign  # v = row - sign e_c, without cancellation
        scale = 1.0 / (1.0 + abs(head))  # 2 / (v'v)
        for j in range(i + 1, n_rows):
            dot = 0.0
            for k in range(c, n_cols):
                dot += M[j, k] * M[i, k]
            dot *= scale
            for k in range(c, n_cols):
                M[j, k] -= dot * M[i, k]  # row j times I - 2 v v' / (v'v)
            M[j, c] *= sign  # turns the column, so that the pivot is positive
        M[i, c] = norm
        for k in range(c + 1, n_cols):
            M[i, k] = 0.0
        pivots[i] = c
        c += 1
    return c


@kernel
def copy_to(v, out):
    """Copy a vector. Numba needs 2 seconds to compile ``out[:] = v``."""
    for i in range(v.size):
        out[i] = v[i]


@summing_kernel
def row_norm(M, i, n_cols):
    total = 0.0
    for k in range(n_cols):
        total += M[i, k] * M[i, k]
    return math.sqrt(total)


@kernel
def copy_root(S, out):
    """Copy a matrix."""
    for i in range(S.shape[0]):
        for j in range(S.shape[1]):
            out[i, j] = S[i, j]


@kernel
def find_observed(y, seen):
    """Write the indices of the entries that are not NaN to `seen`; returns how many."""
    n = 0
    for i in range(y.size):
        if not math.isnan(y[i]):
            seen[n] = i
            n += 1
    return n


@kernel
def at(blocks, t):
    """Block of time t of an array with a leading time axis, of length one where it is constant."""
    return blocks[min(t, blocks.shape[0] - 1)]


@summing_kernel
def observe_row(y, H, R_root, d, m, S, M, floor, pivots, seen, e):
    """Condition the prediction (m, S) on the observed part of one row y, in place.

    The pre-array [[R_root, H S], [0, S]] becomes [[F_root, 0], [K F_root, S_new]] in the work
    array M; `seen` gets the observed components and `e` the innovations
    F_root^{-1} (y - d - H m).
    Returns the number of observed components, the log normalizer of the density of the row and the
    half of its sum of squares, or (-1, 0, 0) if its law is degenerate.
    """
    k, dim = H.shape
    n = find_observed(y, seen)
    if n == 0:  # a missing row: the prediction stands
        return 0, 0.0, 0.0
    width = n + dim
    if n == k:
        for a in range(n):
            for b in range(n):
                M[a, b] = R_root[a, b]
    else:  # the root of a part of R is made triangular first, so that M stays (n + dim) square
        for a in range(n):
            for b in range(k):
                M[a, b] = R_root[seen[a], b]
        fill(floor[:n], 0.0)
        triangularize(M, n, n, k, floor, pivots)
    tiny = 16.0 * _EPS * width  # relative rounding error of a row of the pre-array
    for a in range(n):
        i = seen[a]
        for b in range(n, width):
            M[a, b] = 0.0
        scale = row_norm(R_root, i, k)  # of the row before cancellation
        for j in range(dim):
            if H[i, j] != 0.0:
                scale += abs(H[i, j]) * row_norm(S, j, dim)
                for b in range(dim):
                    M[a, n + b] += H[i, j] * S[j, b]  # H S next to R_root
        floor[a] = tiny * scale
    for j in range(dim):  # the second block row, [0, S]
        for b in range(n):
            M[n + j, b] = 0.0
        for b in range(dim):
            M[n + j, n + b] = S[j, b]
    if triangularize(M, n, width, width, floor, pivots) < n:
        return -1, 0.0, 0.0
    log_norm, half = -0.5 * n * _LOG_2PI, 0.0  # log N(y; H m + d, F) = log_norm - half
    for a in range(n):  # e = F_root^-1 (y - d - H m) by forward substitution
        remainder = y[seen[a]] - d[seen[a]]
        for j in range(dim):
            remainder -= H[seen[a], j] * m[j]
        for b in range(a):
            remainder -= M[a, b] * e[b]
        e[a] = remainder / M[a, a]
        log_norm -= math.log(M[a, a])
        half += 0.5 * e[a] * e[a]
    for j in range(dim):
        for a in range(n):
            m[j] += M[n + j, a] * e[a]  # m + K (y - d - H m), as M[n:, :n] = K F_root
        before = row_norm(S, j, dim)
        for b in range(dim):
            S[j, b] = M[n + j, n + b]
        if row_norm(S, j, dim) <= tiny * before:  # determined by the observation: rounding only
            for b in range(dim):
                S[j, b] = 0.0
    return n, log_norm, half


@summing_kernel
def predict(A, Q_root, c, m, S, M, floor, pivots, G, C):
    """From the filtered (m, S) at t to the prediction at t + 1, in place.

    The pre-array [[A S, Q_root], [S, 0]] becomes [[S_next, 0], [G S_next, C]]. G is the gain of
    the regression of x_t on x_{t+1} and C a root of the remaining covariance of x_t.
    For an empty G the second row of blocks is left out.
    """
    d = A.shape[0]
    tiny, n_rows = 32.0 * _EPS * d, 2 * d if G.size else d
    for i in range(d):
        scale = row_norm(Q_root, i, d)
        for b in range(d):
            M[i, b] = 0.0
            M[i, d + b] = Q_root[i, b]
            if n_rows > d:
                M[d + i, b] = S[i, b]
                M[d + i, d + b] = 0.0
        for j in range(d):
            if A[i, j] != 0.0:
                scale += abs(A[i, j]) * row_norm(S, j, d)
                for b in range(d):
                    M[i, b] += A[i, j] * S[j, b]  # A S next to Q_root
        floor[i] = tiny * scale
    fill(floor[d:], 0.0)
    triangularize(M, n_rows, n_rows, 2 * d, floor, pivots)
    rank = d  # of the predicted covariance A P A' + Q
    for i in range(d):
        rank -= pivots[i] < 0
    for i in range(d):
        for b in range(d):
            S[i, b] = M[i, b] if b < rank else 0.0  # S_next
    if n_rows > d:
        read_gain(M, rank, pivots, G, C)
    for i in range(d):  # m = A m + c, temporarily in the memory of floor
        floor[i] = c[i]
        for j in range(d):
            floor[i] += A[i, j] * m[j]
    for i in range(d):
        m[i] = floor[i]


@summing_kernel
def read_gain(M, rank, pivots, G, C):
    """G and C of `predict` from its pre-array after the reflections."""
    d = G.shape[0]
    for i in range(d):
        fill(G[i], 0.0)
        for b in range(d):
            C[i, b] = M[d + i, rank + b]
    for p in range(d - 1, -1, -1):  # G S_next = M[d:, :rank], from the last pivot to the first
        c = pivots[p]
        if c >= 0:
            for i in range(d):
                remainder = M[d + i, c]
                for q in range(p + 1, d):
                    remainder -= G[i, q] * M[q, c]
                G[i, p] = remainder / M[p, c]


@summing_kernel
def step_back(A, c, mean, S, m, G, C, M, pivots, move, covariance, lag):
    """Smoothed moments at t from those at t + 1: mean (in: t + 1, out: t), root S likewise.

    `m` is the filtered mean at t. `lag` (which may be the memory of G) gets
    Cov(x_t, x_{t+1}) = G P_{t+1} and `covariance` (that of C) gets P_t.
    """
    d = A.shape[0]
    for i in range(d):  # E(x_{t+1} | y) - A m - c, what the later observations move
        move[i] = mean[i] - c[i]
        for j in range(d):
            move[i] -= A[i, j] * m[j]
    for i in range(d):
        mean[i] = m[i]
        for b in range(d):
            mean[i] += G[i, b] * move[b]  # m + G (E(x_{t+1} | y) - A m - c)
            M[i, b] = C[i, b]
            M[i, d + b] = 0.0
        for j in range(d):
            for b in range(d):
                M[i, d + b] += G[i, j] * S[j, b]  # the pre-array [C, G S] of P_t
    for i in range(d):
        for j in range(d):
            lag[i, j] = 0.0
            for b in range(d):
                lag[i, j] += M[i, d + b] * S[j, b]  # G S S'
    fill(move, 0.0)  # as the floor: each row keeps what it has
    triangularize(M, d, d, 2 * d, move, pivots)  # [S_t, 0], S_t S_t' = C C' + G P_{t+1} G'
    for i in range(d):
        for b in range(d):
            S[i, b] = M[i, b]
    square(S, covariance)


@summing_kernel
def square(S, P):
    """P = S S'."""
    d = S.shape[0]
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for b in range(S.shape[1]):
                total += S[i, b] * S[j, b]
            P[i, j] = P[j, i] = total


@summing_kernel
def keep_gain(M, n, K, U):
    """U = F_root^{-1} and the gain K, from the pre-array of one time."""
    for b in range(n):  # forward substitution, column by column
        for a in range(n):
            U[a, b] = 0.0
        for a in range(b, n):
            remainder = 1.0 if a == b else 0.0
            for c in range(b, a):
                remainder -= M[a, c] * U[c, b]
            U[a, b] = remainder / M[a, a]
    for j in range(K.shape[0]):
        for b in range(n):
            K[j, b] = 0.0
            for a in range(b, n):
                K[j, b] += M[n + j, a] * U[a, b]  # (K F_root) U


@kernel
def run_filter(y, system, work, past, keep):
    """The forward pass; the arrays in `past` have the time axis 0, of length one or T.

    y is (T, k) with NaN where missing. Returns the log-likelihood and -1, or anything and the
    first degenerate time. With a diffuse start the sums of squares are missing: see `diffuse`.
    `keep` says whether gains, roots and innovations are to be kept, too.
    """
    y, system, work, past = unowned(y), unowned(system), unowned(work), unowned(past)
    m, S, M, floor, pivots = work.m, work.S, work.M, work.floor, work.pivots
    G, C, seen, e = past.G, past.C, past.seen[0], past.e[0]
    is_flat, total, bad = system.directions.size > 0, 0.0, -1
    for t in range(y.shape[0]):
        if t > 0:
            A, Q_root, c = at(system.A, t - 1), at(system.Q_root, t - 1), at(system.c, t - 1)
            predict(A, Q_root, c, m, S, M, floor, pivots, at(G, t - 1), at(C, t - 1))
        B, R_root, d = at(system.B, t), at(system.R_root, t), at(system.d, t)
        if keep:
            seen, e = past.seen[t], past.e[t]
        n, log_norm, half = observe_row(y[t], B, R_root, d, m, S, M, floor, pivots, seen, e)
        total += log_norm  # log p(y_t | y_0, ..., y_{t-1}) is log_norm - half
        if not is_flat:
            total -= half
        if n < 0:
            bad = t if bad < 0 else bad
            if not is_flat:
                return total, bad
        if keep:
            past.counts[t] = n
            keep_gain(M, n, past.K[t], past.U[t])
            copy_root(S, past.roots[min(t, past.roots.shape[0] - 1)])
        copy_to(m, past.mean[min(t, past.mean.shape[0] - 1)])
    return total, bad


@kernel
def smooth(As, cs, work, mean, covariance, lag):
    """From the filter to the smoothed moments, in place; As and cs are A and c of the system.

    mean (T, d) has the filtered means, lag (T - 1, d, d) and covariance (T, d, d) have G and C of
    `predict`, work.S the root of the last covariance.
    """
    As, cs, work = unowned(As), unowned(cs), unowned(work)
    mean, covariance, lag = unowned(mean), unowned(covariance), unowned(lag)
    m, S, M, floor, pivots, last = (
        work.m, work.S, work.M, work.floor, work.pivots, mean.shape[0] - 1,
    )  # fmt: skip
    square(S, covariance[last])  # at the last time the filter is the smoother
    copy_to(mean[last], m)
    for t in range(last - 1, -1, -1):
        A, c, G, C = at(As, t), at(cs, t), lag[t], covariance[t]
        step_back(A, c, m, S, mean[t], G, C, M, pivots, floor, C, G)
        copy_to(m, mean[t])
