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
    any_missing,
    component,
    observation_block,
    observed_size,
    part_of_noise,
    row_product,
    square_block,
    vector_block,
)


@kernel
def covariance_score(theta, inverse, n, out, first, u, stride):
    """Gradient in a covariance, for u = inverse times residual at out[u], out[u + stride], ..."""
    for i in range(n):
        for j in range(i + 1):
            g = out[u + i * stride] * out[u + j * stride] - theta[inverse + i * n + j]
            out[first] = g if j < i else 0.5 * g
            first += 1


@kernel
def observation_score(x, y, theta, out, first):
    """Gradient in B and R; only the observed components of y count."""
    d, k = x.size, observed_size(theta)
    second = first + k * d
    if any_missing(y, k):
        score_of_part(x, y, theta, out, first)
        return
    inverse, M = observation_block(theta, d, k, 5), observation_block(theta, d, k, 2)
    for i in range(k):  # the first column of the block of B holds u until it is used
        out[first + i * d] = row_product(theta, inverse, i, k, y) - row_product(theta, M, i, d, x)
    covariance_score(theta, inverse, k, out, second, first, d)
    for i in range(k):
        u = out[first + i * d]
        for j in range(d):
            out[first + i * d + j] = u * x[j]


@kernel
def score_of_part(x, y, theta, out, first):
    d, k = x.size, observed_size(theta)
    second, B = first + k * d, observation_block(theta, d, k, 0)
    n, seen, root = part_of_noise(y, theta, d, k)
    for i in range(first, second + k * (k + 1) // 2):
        out[i] = 0.0
    W, u = np.zeros((n, n)), np.zeros(n)
    for j in range(n):
        for i in range(j, n):
            rest = 1.0 if i == j else 0.0
            for c in range(j, i):
                rest -= root[i, c] * W[c, j]
            W[i, j] = rest / root[i, i]
    for i in range(n):
        e = 0.0
        for j in range(i + 1):
            e += W[i, j] * (component(y, seen[j]) - row_product(theta, B, seen[j], d, x))
        for j in range(i + 1):
            u[j] += W[i, j] * e
    for i in range(n):
        for j in range(d):
            out[first + seen[i] * d + j] = u[i] * x[j]
        for j in range(i + 1):
            g = u[i] * u[j]
            for c in range(i, n):
                g -= W[c, i] * W[c, j]
            row = seen[i]
            out[second + row * (row + 1) // 2 + seen[j]] = g if j < i else 0.5 * g


@kernel
def score_initial(x, y, theta, out):
    d, k = x.size, observed_size(theta)
    first = d * d + d * (d + 1) // 2
    last = first + k * d + k * (k + 1) // 2
    for i in range(first):
        out[i] = 0.0
    observation_score(x, y, theta, out, first)
    if out.size > last:
        inverse, mean = square_block(theta, d, P0_INV), vector_block(theta, d, P0_INV_M0)
        for i in range(d):
            out[last + i] = row_product(theta, inverse, i, d, x) - theta[mean + i]
        covariance_score(theta, inverse, d, out, last + d, last, 1)


@kernel
def score_step(t, x, xn, y, theta, out):
    d, k = x.size, observed_size(theta)
    first = d * d + d * (d + 1) // 2
    inverse, M = square_block(theta, d, Q_INV), square_block(theta, d, Q_INV_A)
    for i in range(d):  # the first column of the block of A holds u until it is used
        out[i * d] = row_product(theta, inverse, i, d, xn) - row_product(theta, M, i, d, x)
    covariance_score(theta, inverse, d, out, d * d, 0, d)
    for i in range(d):
        u = out[i * d]
        for j in range(d):
            out[i * d + j] = u * x[j]
    observation_score(xn, y, theta, out, first)
    for i in range(first + k * d + k * (k + 1) // 2, out.size):
        out[i] = 0.0
