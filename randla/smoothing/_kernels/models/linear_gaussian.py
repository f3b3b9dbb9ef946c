"""The functions of a linear Gaussian model with a vector state.

`theta` comes in packed form (`randla.smoothing._models.packing`): behind the parameters stands
what follows from them, above all the inverse W of each root of a covariance, computed once. With
it the log density -1/2 |W x' - (W A) x|^2 + const needs neither a division nor a place for W x'.

Layout behind the parameters, for state dimension d and k observed components: HEAD numbers, nine
(d, d) blocks, three vectors, three (k, d) and four (k, k) blocks, the optimal proposals, then k
and the number of parameters.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from randla._jit import kernel
from randla._random import normal

HEAD = 3  # log normalisers of transition, potential and initial law
A, ROOT_Q, W_Q, WA, Q_INV, Q_INV_A, ROOT_0, W_0, P0_INV = range(9)  # (d, d) blocks
M0, W_M0, P0_INV_M0 = range(3)  # (d,) vectors
LOG_2PI = math.log(2.0 * math.pi)


def component(y, i):
    """Entry i of an observation that is an array, or the observation itself if it is a number."""
    return y if np.ndim(y) == 0 else y[i]


@overload(component)
def _component(y, i):
    if isinstance(y, types.Array):
        return lambda y, i: y[i]
    return lambda y, i: y


@kernel
def start(theta):
    """Number of parameters, behind which the packed numbers begin."""
    return int(theta[theta.size - 1])


@kernel
def observed_size(theta):
    return int(theta[theta.size - 2])


@kernel
def square_block(theta, d, b):
    return start(theta) + HEAD + b * d * d


@kernel
def vector_block(theta, d, b):
    return start(theta) + HEAD + 9 * d * d + b * d


@kernel
def observation_block(theta, d, k, b):
    """(k, d) blocks 0 B, 1 W_R B, 2 R^{-1} B; (k, k) blocks 3 root of R, 4 W_R, 5 R^{-1}, 6 R."""
    first = start(theta) + HEAD + 9 * d * d + 3 * d
    return first + b * k * d if b <= 3 else first + 3 * k * d + (b - 3) * k * k


@kernel
def proposal_block(theta, d, k, b):
    """0 head (2), 1 root, 2 W, 3 M, 4 W M (d, d); 5 K, 6 W K (d, k); 7.. the same at time 0."""
    first = start(theta) + HEAD + 9 * d * d + 3 * d + 3 * k * d + 4 * k * k
    if b == 0:
        return first
    if b <= 5:
        return first + 2 + (b - 1) * d * d
    first += 2 + 4 * d * d
    if b <= 7:
        return first + (b - 5) * d * k
    first += 2 * d * k  # 7 root, 8 W (d, d); 9 c, 10 W c (d,); 11 K, 12 W K (d, k)
    if b <= 9:
        return first + (b - 7) * d * d
    first += 2 * d * d
    return first + (b - 9) * d if b <= 11 else first + 2 * d + d * k


@kernel
def any_missing(y, k):
    missing = False
    for i in range(k):
        missing |= math.isnan(component(y, i))
    return missing


@kernel
def draw_noise(rng, theta, root, n, out):
    """Write root z to out, for a lower triangular (n, n) block."""
    for i in range(n):
        out[i] = normal(rng)
    for i in range(n - 1, -1, -1):
        total = 0.0
        for j in range(i + 1):
            total += theta[root + i * n + j] * out[j]
        out[i] = total


@kernel
def add_product(theta, block, n, m, x, out):
    """Add X x to out, for an (n, m) block."""
    for i in range(n):
        total = 0.0
        for j in range(m):
            total += theta[block + i * m + j] * component(x, j)
        out[i] += total


@kernel
def whitened(theta, W, i, n, x):
    """Component i of W x for a lower triangular (n, n) block."""
    total = 0.0
    for j in range(i + 1):
        total += theta[W + i * n + j] * component(x, j)
    return total


@kernel
def row_product(theta, block, i, m, x):
    """Component i of X x for a block of m columns."""
    total = 0.0
    for j in range(m):
        total += theta[block + i * m + j] * component(x, j)
    return total


@kernel
def initial(rng, theta, out):
    d = out.size
    draw_noise(rng, theta, square_block(theta, d, ROOT_0), d, out)
    mean = vector_block(theta, d, M0)
    for i in range(d):
        out[i] += theta[mean + i]


@kernel
def transition(rng, t, x, theta, out):
    d = x.size
    draw_noise(rng, theta, square_block(theta, d, ROOT_Q), d, out)
    add_product(theta, square_block(theta, d, A), d, d, x, out)


@kernel
def log_initial(x, theta):
    d = x.size
    W, mean, total = square_block(theta, d, W_0), vector_block(theta, d, W_M0), 0.0
    for i in range(d):
        e = whitened(theta, W, i, d, x) - theta[mean + i]
        total += e * e
    return theta[start(theta) + 2] - 0.5 * total


@kernel
def log_transition(t, x, xn, theta):
    d = x.size
    W, M, total = square_block(theta, d, W_Q), square_block(theta, d, WA), 0.0
    for i in range(d):
        e = whitened(theta, W, i, d, xn) - row_product(theta, M, i, d, x)
        total += e * e
    return theta[start(theta)] - 0.5 * total


@kernel
def log_transition_bound(t, theta):
    return theta[start(theta)]


@kernel
def log_potential(t, x, y, theta):
    d, k = x.size, observed_size(theta)
    W, M, total = observation_block(theta, d, k, 4), observation_block(theta, d, k, 1), 0.0
    for i in range(k):
        e = whitened(theta, W, i, k, y) - row_product(theta, M, i, d, x)
        total += e * e
    if math.isnan(total) and any_missing(y, k):
        return log_part(x, y, theta)
    return theta[start(theta) + 1] - 0.5 * total


@kernel
def observe(rng, t, x, theta, out):
    d, k = x.size, observed_size(theta)
    draw_noise(rng, theta, observation_block(theta, d, k, 3), k, out)
    add_product(theta, observation_block(theta, d, k, 0), k, d, x, out)


@kernel
def part_of_noise(y, theta, d, k):
    """The observed components of y (a count and their numbers) and the root of their part of R."""
    seen, n, R = np.empty(k, np.int64), 0, observation_block(theta, d, k, 6)
    for i in range(k):
        if not math.isnan(component(y, i)):
            seen[n] = i
            n += 1
    root = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            rest = theta[R + seen[i] * k + seen[j]]
            for c in range(j):
                rest -= root[i, c] * root[j, c]
            root[i, j] = math.sqrt(rest) if i == j else rest / root[j, j]
    return n, seen, root


@kernel
def log_part(x, y, theta):
    """Log density of the observed part of a row."""
    d, k = x.size, observed_size(theta)
    n, seen, root = part_of_noise(y, theta, d, k)
    e, B, total = np.empty(n), observation_block(theta, d, k, 0), -0.5 * n * LOG_2PI
    for i in range(n):
        rest = component(y, seen[i]) - row_product(theta, B, seen[i], d, x)
        for j in range(i):
            rest -= root[i, j] * e[j]
        e[i] = rest / root[i, i]
        total -= 0.5 * e[i] * e[i] + math.log(root[i, i])
    return total
