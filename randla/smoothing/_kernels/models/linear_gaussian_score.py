"""Gradients of the log densities of a linear Gaussian model with a vector state.

In the order transition_matrix, transition_cov, observation_matrix, observation_cov, initial_mean,
initial_cov; of a covariance the lower triangle, row by row.
"""

import numpy as np

from randla._jit import kernel
from randla.smoothing._kernels.models.linear_gaussian import (
    P0_INV,
    P0_INV_M0,
    Q_INV,
    Q_INV_A,
    R_INV,
    R_INV_B,
    B,
    any_missing,
    block,
    component,
    dot,
    observed_size,
    part_of_noise,
)


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
