"""The functions of a hidden Markov model with states 0..K-1 (as floats) and symbols 0..M-1.

`theta` comes in packed form (`_pack` of the model): the probabilities (K, K x K and K x M); the
cumulative sums of their rows; their logarithms; their inverses (0 for 0); and the largest log
transition probability, K and M.
"""

import math

from randla._jit import kernel
from randla._random import uniform
from randla.smoothing._kernels.entries import component


@kernel
def n_states(theta):
    return int(theta[theta.size - 2])


@kernel
def n_symbols(theta):
    return int(theta[theta.size - 1])


@kernel
def table(theta, which, part):
    """Start of a table: which 1 sums, 2 logs, 3 inverses; part 0 initial, 1 moves, 2 emissions."""
    K, M = n_states(theta), n_symbols(theta)
    first = which * (K + K * K + K * M)  # each kind of table holds all three parts
    return first if part == 0 else first + K if part == 1 else first + K + K * K


@kernel
def draw(rng, theta, first, n):
    """Index drawn by the cumulative sums theta[first : first + n], the last of which is 1."""
    u, low, high = uniform(rng), 0, n - 1
    while low < high:  # bisection for the first sum above u
        middle = (low + high) // 2
        if u < theta[first + middle]:
            high = middle
        else:
            low = middle + 1
    return float(low)


@kernel
def initial(rng, theta):
    return draw(rng, theta, table(theta, 1, 0), n_states(theta))


@kernel
def transition(rng, t, x, theta):
    K = n_states(theta)
    return draw(rng, theta, table(theta, 1, 1) + int(x) * K, K)


@kernel
def log_initial(x, theta):
    return theta[table(theta, 2, 0) + int(x)]


@kernel
def log_transition(t, x, xn, theta):
    return theta[table(theta, 2, 1) + int(x) * n_states(theta) + int(xn)]


@kernel
def log_transition_bound(t, theta):
    return theta[theta.size - 3]  # the largest entry of log P


@kernel
def log_potential(t, x, y, theta):
    symbol, M = component(y, 0), n_symbols(theta)
    if not (0.0 <= symbol < M and symbol == math.floor(symbol)):  # no symbol: impossible
        return -math.inf
    return theta[table(theta, 2, 2) + int(x) * M + int(symbol)]


@kernel
def observe(rng, t, x, theta, out):
    M = n_symbols(theta)
    out[0] = draw(rng, theta, table(theta, 1, 2) + int(x) * M, M)


@kernel
def emission_score(x, y, theta, out):
    K, M = n_states(theta), n_symbols(theta)
    symbol = component(y, 0)
    if 0.0 <= symbol < M:  # not where it is missing (NaN)
        place = int(x) * M + int(symbol)
        out[K + K * K + place] = theta[table(theta, 3, 2) + place]  # 1 / G[x, y]


@kernel
def score_initial(x, y, theta, out):
    out[:] = 0.0
    out[int(x)] = theta[table(theta, 3, 0) + int(x)]  # 1 / mu[x], the gradient of log mu[x]
    emission_score(x, y, theta, out)


@kernel
def score_step(t, x, xn, y, theta, out):
    K = n_states(theta)
    out[:] = 0.0
    place = int(x) * K + int(xn)
    out[K + place] = theta[table(theta, 3, 1) + place]  # 1 / P[x, x']
    emission_score(xn, y, theta, out)
