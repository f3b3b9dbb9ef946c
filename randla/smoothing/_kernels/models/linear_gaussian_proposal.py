"""Optimal proposals of a linear Gaussian model with a vector state.

The law of the new state given the old one and the new row of observations, where that row is
observed wholly; else the transition (or the initial law), and its density.
"""

from randla._jit import kernel
from randla.smoothing._kernels.models.linear_gaussian import (
    add_product,
    any_missing,
    draw_noise,
    initial,
    log_initial,
    log_transition,
    observed_size,
    proposal_block,
    row_product,
    transition,
    whitened,
)


@kernel
def initial_proposal(rng, y, theta, out):
    d, k = out.size, observed_size(theta)
    if any_missing(y, k):
        initial(rng, theta, out)
        return
    draw_noise(rng, theta, proposal_block(theta, d, k, 7), d, out)
    mean = proposal_block(theta, d, k, 9)
    for i in range(d):
        out[i] += theta[mean + i]
    add_product(theta, proposal_block(theta, d, k, 11), d, k, y, out)


@kernel
def log_initial_proposal(x, y, theta):
    d, k = x.size, observed_size(theta)
    if any_missing(y, k):
        return log_initial(x, theta)
    W, mean, K, total = (
        proposal_block(theta, d, k, 8),
        proposal_block(theta, d, k, 10),
        proposal_block(theta, d, k, 12),
        0.0,
    )
    for i in range(d):
        e = whitened(theta, W, i, d, x) - theta[mean + i] - row_product(theta, K, i, k, y)
        total += e * e
    return theta[proposal_block(theta, d, k, 0) + 1] - 0.5 * total


@kernel
def proposal(rng, t, x, y, theta, out):
    d, k = x.size, observed_size(theta)
    if any_missing(y, k):
        transition(rng, t, x, theta, out)
        return
    draw_noise(rng, theta, proposal_block(theta, d, k, 1), d, out)
    add_product(theta, proposal_block(theta, d, k, 3), d, d, x, out)
    add_product(theta, proposal_block(theta, d, k, 5), d, k, y, out)


@kernel
def log_proposal(t, x, xn, y, theta):
    d, k = x.size, observed_size(theta)
    if any_missing(y, k):
        return log_transition(t, x, xn, theta)
    W, M, K, total = (
        proposal_block(theta, d, k, 2),
        proposal_block(theta, d, k, 4),
        proposal_block(theta, d, k, 6),
        0.0,
    )
    for i in range(d):
        e = whitened(theta, W, i, d, xn) - row_product(theta, M, i, d, x)
        e -= row_product(theta, K, i, k, y)
        total += e * e
    return theta[proposal_block(theta, d, k, 0)] - 0.5 * total
