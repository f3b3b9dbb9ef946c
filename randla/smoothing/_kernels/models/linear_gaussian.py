"""The functions of a linear Gaussian model with a vector state.

`theta` comes in packed form (`_pack` of the model): the parameters, the blocks that are named
below, the number k of observed components, and where each block begins. In particular it contains
the inverse W of each root of a covariance, computed once. With it the log density -1/2 |W x' - (W
A) x|^2 + const needs neither a division nor memory for W x'.

The optimal proposals are the law of the new state given the old one and the new row of
observations, N(M x + K y, S S') and at time 0 N(c + K y, S S'), where that row is observed wholly;
else the transition (or the initial law), and its density.
"""

import math

import numpy as np

from randla._jit import kernel
from randla._random import normal
from randla.smoothing._kernels.entries import component

# The blocks, in the order in which they lie. Log normalizers of transition, potential, start;
(
    NORM_Q, NORM_R, NORM_0,
    A, ROOT_Q, W_Q, W_A, Q_INV, Q_INV_A,  # (d, d): A, L with L L' = Q, W = L^-1, W A, ...
    ROOT_0, W_0, P0_INV,  # (d, d): the same of the initial covariance P_0
    M0, W_M0, P0_INV_M0,  # (d,): initial mean m_0, W m_0, P_0^-1 m_0
    B, W_B, R_INV_B,  # (k, d): B, W B and R^-1 B, with W the inverse root of R
    ROOT_R, W_R, R_INV, R,  # (k, k)
    NORM_P, NORM_P0,  # log normalizers of the proposals
    ROOT_P, W_P, M, W_M, K, W_K,  # proposal: S, W = S^-1, M and W M (d, d), K and W K (d, k)
    ROOT_P0, W_P0, C0, W_C0, K0, W_K0,  # at time 0: S, W (d, d), c, W c (d,), K, W K (d, k)
) = range(36)  # fmt: skip
N_BLOCKS = 36
LOG_2PI = math.log(2.0 * math.pi)


@kernel
def block(theta, b):
    """Index at which a block begins."""
    return int(theta[theta.size - N_BLOCKS + b])


@kernel
def observed_size(theta):
    """Number k of observed components."""
    return int(theta[theta.size - N_BLOCKS - 1])


@kernel
def any_missing(y, k):
    missing = False
    for i in range(k):
        missing |= math.isnan(component(y, i))
    return missing


@kernel
def dot(theta, first, n, x):
    """Scalar product of x with theta[first : first + n], a row of a block or its beginning."""
    total = 0.0
    for j in range(n):
        total += theta[first + j] * component(x, j)
    return total


@kernel
def draw_noise(rng, theta, root, n, out):
    """Write L z to out, for a lower triangular (n, n) block L and z ~ N(0, I)."""
    for i in range(n):
        out[i] = normal(rng)
    for i in range(n - 1, -1, -1):  # from the last row on, as row i needs z_0, ..., z_i
        out[i] = dot(theta, root + i * n, i + 1, out)


@kernel
def add_product(theta, first, n, m, x, out):
    """Add X x to out, for an (n, m) block X."""
    for i in range(n):
        out[i] += dot(theta, first + i * m, m, x)


@kernel
def initial(rng, theta, out):
    d, mean = out.size, block(theta, M0)
    draw_noise(rng, theta, block(theta, ROOT_0), d, out)
    for i in range(d):
        out[i] += theta[mean + i]


@kernel
def transition(rng, t, x, theta, out):
    d = x.size
    draw_noise(rng, theta, block(theta, ROOT_Q), d, out)  # Q^(1/2) z
    add_product(theta, block(theta, A), d, d, x, out)


@kernel
def log_initial(x, theta):
    d, W, mean, total = x.size, block(theta, W_0), block(theta, W_M0), 0.0
    for i in range(d):
        e = dot(theta, W + i * d, i + 1, x) - theta[mean + i]  # component i of W (x - m_0)
        total += e * e
    return theta[block(theta, NORM_0)] - 0.5 * total


@kernel
def log_transition(t, x, xn, theta):
    d, W, WA, total = x.size, block(theta, W_Q), block(theta, W_A), 0.0
    for i in range(d):
        e = dot(theta, W + i * d, i + 1, xn) - dot(theta, WA + i * d, d, x)  # W (x' - A x)
        total += e * e
    return theta[block(theta, NORM_Q)] - 0.5 * total


@kernel
def log_transition_bound(t, theta):
    return theta[block(theta, NORM_Q)]  # the density at its mode


@kernel
def log_potential(t, x, y, theta):
    d, k = x.size, observed_size(theta)
    W, WB, total = block(theta, W_R), block(theta, W_B), 0.0
    for i in range(k):
        e = dot(theta, W + i * k, i + 1, y) - dot(theta, WB + i * d, d, x)  # W (y - B x)
        total += e * e
    if math.isnan(total) and any_missing(y, k):
        return log_part(x, y, theta)
    return theta[block(theta, NORM_R)] - 0.5 * total


@kernel
def observe(rng, t, x, theta, out):
    d, k = x.size, observed_size(theta)
    draw_noise(rng, theta, block(theta, ROOT_R), k, out)  # R^(1/2) z
    add_product(theta, block(theta, B), k, d, x, out)


# Rows that are observed in part: the density of those components, for the root of a part of R.


@kernel
def part_of_noise(y, theta, d, k):
    """The observed components of y (a count and their numbers) and the root of their part of R."""
    seen, n, first = np.empty(k, np.int64), 0, block(theta, R)
    for i in range(k):
        if not math.isnan(component(y, i)):
            seen[n] = i
            n += 1
    root = np.zeros((n, n))
    for i in range(n):  # Cholesky, row by row
        for j in range(i + 1):
            remainder = theta[first + seen[i] * k + seen[j]]
            for c in range(j):
                remainder -= root[i, c] * root[j, c]
            root[i, j] = math.sqrt(remainder) if i == j else remainder / root[j, j]
    return n, seen, root


@kernel
def log_part(x, y, theta):
    """Log density of the observed part of a row."""
    d, k, first = x.size, observed_size(theta), block(theta, B)
    n, seen, root = part_of_noise(y, theta, d, k)
    e, total = np.empty(n), -0.5 * n * LOG_2PI
    for i in range(n):  # e = root^-1 (y - B x) by forward substitution
        remainder = component(y, seen[i]) - dot(theta, first + seen[i] * d, d, x)
        for j in range(i):
            remainder -= root[i, j] * e[j]
        e[i] = remainder / root[i, i]
        total -= 0.5 * e[i] * e[i] + math.log(root[i, i])
    return total


# Optimal proposals.


@kernel
def initial_proposal(rng, y, theta, out):
    d, k, mean = out.size, observed_size(theta), block(theta, C0)
    if any_missing(y, k):
        initial(rng, theta, out)
        return
    draw_noise(rng, theta, block(theta, ROOT_P0), d, out)  # S z
    for i in range(d):
        out[i] += theta[mean + i]
    add_product(theta, block(theta, K0), d, k, y, out)


@kernel
def log_initial_proposal(x, y, theta):
    d, k = x.size, observed_size(theta)
    if any_missing(y, k):
        return log_initial(x, theta)
    W, mean, WK, total = block(theta, W_P0), block(theta, W_C0), block(theta, W_K0), 0.0
    for i in range(d):  # W (x - c - K y)
        e = dot(theta, W + i * d, i + 1, x) - theta[mean + i] - dot(theta, WK + i * k, k, y)
        total += e * e
    return theta[block(theta, NORM_P0)] - 0.5 * total


@kernel
def proposal(rng, t, x, y, theta, out):
    d, k = x.size, observed_size(theta)
    if any_missing(y, k):
        transition(rng, t, x, theta, out)
        return
    draw_noise(rng, theta, block(theta, ROOT_P), d, out)  # S z
    add_product(theta, block(theta, M), d, d, x, out)
    add_product(theta, block(theta, K), d, k, y, out)


@kernel
def log_proposal(t, x, xn, y, theta):
    d, k = x.size, observed_size(theta)
    if any_missing(y, k):
        return log_transition(t, x, xn, theta)
    W, WM, WK, total = block(theta, W_P), block(theta, W_M), block(theta, W_K), 0.0
    for i in range(d):  # W (x' - M x - K y)
        e = dot(theta, W + i * d, i + 1, xn) - dot(theta, WM + i * d, d, x)
        e -= dot(theta, WK + i * k, k, y)
        total += e * e
    return theta[block(theta, NORM_P)] - 0.5 * total


# Gradients of the log densities, in the order transition_matrix, transition_cov,
# observation_matrix, observation_cov, initial_mean, initial_cov; of a covariance the lower
# triangle, row by row.


@kernel
def covariance_score(theta, inverse, n, out, first, u, stride):
    """Gradient in a covariance, for u = inverse times residual at out[u], out[u + stride], ..."""
    for i in range(n):
        for j in range(i + 1):
            g = out[u + i * stride] * out[u + j * stride] - theta[inverse + i * n + j]
            out[first] = g if j < i else 0.5 * g  # 1/2 (u u' - P^-1), where i > j counts twice
            first += 1


@kernel
def observation_score(x, y, theta, out, first):
    """Gradient in B and R; only the observed components of y count."""
    d, k = x.size, observed_size(theta)
    second = first + k * d
    if any_missing(y, k):
        score_of_part(x, y, theta, out, first)
        return
    inverse, RB = block(theta, R_INV), block(theta, R_INV_B)
    for i in range(k):  # the first column of the block of B holds u = R^-1 (y - B x) for a while
        out[first + i * d] = dot(theta, inverse + i * k, k, y) - dot(theta, RB + i * d, d, x)
    covariance_score(theta, inverse, k, out, second, first, d)
    for i in range(k):
        u = out[first + i * d]
        for j in range(d):
            out[first + i * d + j] = u * x[j]  # u x'


@kernel
def score_of_part(x, y, theta, out, first):
    d, k = x.size, observed_size(theta)
    second, BX = first + k * d, block(theta, B)
    n, seen, root = part_of_noise(y, theta, d, k)
    for i in range(first, second + k * (k + 1) // 2):
        out[i] = 0.0
    W, u = np.zeros((n, n)), np.zeros(n)
    for j in range(n):  # W = root^-1, column by column
        for i in range(j, n):
            remainder = 1.0 if i == j else 0.0
            for c in range(j, i):
                remainder -= root[i, c] * W[c, j]
            W[i, j] = remainder / root[i, i]
    for i in range(n):  # u = W' W (y - B x)
        e = 0.0
        for j in range(i + 1):
            e += W[i, j] * (component(y, seen[j]) - dot(theta, BX + seen[j] * d, d, x))
        for j in range(i + 1):
            u[j] += W[i, j] * e
    for i in range(n):
        for j in range(d):
            out[first + seen[i] * d + j] = u[i] * x[j]
        for j in range(i + 1):
            g = u[i] * u[j]
            for c in range(i, n):  # minus an entry of W' W
                g -= W[c, i] * W[c, j]
            row = seen[i]
            out[second + row * (row + 1) // 2 + seen[j]] = g if j < i else 0.5 * g


@kernel
def score_initial(x, y, theta, out):
    d, k = x.size, observed_size(theta)
    first = d * d + d * (d + 1) // 2
    last = first + k * d + k * (k + 1) // 2
    for i in range(first):  # nothing about A and Q
        out[i] = 0.0
    observation_score(x, y, theta, out, first)
    if out.size > last:
        inverse, mean = block(theta, P0_INV), block(theta, P0_INV_M0)
        for i in range(d):  # u = P_0^-1 (x - m_0) is the gradient in m_0 itself
            out[last + i] = dot(theta, inverse + i * d, d, x) - theta[mean + i]
        covariance_score(theta, inverse, d, out, last + d, last, 1)


@kernel
def score_step(t, x, xn, y, theta, out):
    d, k = x.size, observed_size(theta)
    first = d * d + d * (d + 1) // 2
    inverse, QA = block(theta, Q_INV), block(theta, Q_INV_A)
    for i in range(d):  # the first column of the block of A holds u = Q^-1 (x' - A x) for a while
        out[i * d] = dot(theta, inverse + i * d, d, xn) - dot(theta, QA + i * d, d, x)
    covariance_score(theta, inverse, d, out, d * d, 0, d)
    for i in range(d):
        u = out[i * d]
        for j in range(d):
            out[i * d + j] = u * x[j]
    observation_score(xn, y, theta, out, first)
    for i in range(first + k * d + k * (k + 1) // 2, out.size):
        out[i] = 0.0
