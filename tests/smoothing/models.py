"""Users' own models for the tests, written as a user would write them.

The chain is small enough to sum over all of its paths. On this one the wrong samplers of
`test_exactness` are seen: on a random chain some of them hide.
"""

import math

import numba
import numpy as np

from randla import AdditiveFunctional, StateSpaceModel, random

INITIAL = np.array([0.5, 0.3, 0.2])
TRANSITION = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
EMISSION = np.array([[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])
LOG_INITIAL, LOG_TRANSITION, LOG_EMISSION = (
    np.log(table) for table in (INITIAL, TRANSITION, EMISSION)
)
SYMBOLS = np.array([0.0, 2.0, 1.0, 0.0])


@numba.njit
def chain_initial(rng, theta):
    return float(random.categorical(rng, INITIAL))


@numba.njit
def chain_transition(rng, t, x, theta):
    return float(random.categorical(rng, TRANSITION[int(x)]))


@numba.njit
def chain_log_initial(x, theta):
    return LOG_INITIAL[int(x)]


@numba.njit
def chain_log_transition(t, x, xn, theta):
    return LOG_TRANSITION[int(x), int(xn)]


@numba.njit
def chain_log_potential(t, x, y, theta):
    return LOG_EMISSION[int(x), int(y)]


def chain_bound(t, theta):  # a plain function: it is jitted by the model
    return math.log(0.8)


# A proposal that ignores the past: uniform on the states.
@numba.njit
def uniform_initial(rng, y, theta):
    return float(int(3.0 * random.uniform(rng)))


@numba.njit
def log_uniform_initial(x, y, theta):
    return -math.log(3.0)


@numba.njit
def uniform_proposal(rng, t, x, y, theta):
    return float(int(3.0 * random.uniform(rng)))


@numba.njit
def log_uniform_proposal(t, x, xn, y, theta):
    return -math.log(3.0)


CHAIN = {
    "initial": chain_initial,
    "transition": chain_transition,
    "log_initial": chain_log_initial,
    "log_transition": chain_log_transition,
    "log_potential": chain_log_potential,
    "log_transition_bound": chain_bound,
}
GUIDED = {
    "initial_proposal": uniform_initial,
    "log_initial_proposal": log_uniform_initial,
    "proposal": uniform_proposal,
    "log_proposal": log_uniform_proposal,
}


# The same chain in the vector form: the state twice, the observation in a row.
@numba.njit
def vector_initial(rng, theta, out):
    out[0] = random.categorical(rng, INITIAL)
    out[1] = -out[0]


@numba.njit
def vector_transition(rng, t, x, theta, out):
    out[0] = random.categorical(rng, TRANSITION[int(x[0])])
    out[1] = -out[0]


@numba.njit
def vector_log_transition(t, x, xn, theta):
    return LOG_TRANSITION[int(x[0]), int(-xn[1])]


@numba.njit
def vector_log_potential(t, x, y, theta):
    return LOG_EMISSION[int(x[0]), int(y[0])]


VECTOR_CHAIN = {
    "initial": vector_initial,
    "transition": vector_transition,
    "log_transition": vector_log_transition,
    "log_potential": vector_log_potential,
    "dim": 2,
}


@numba.njit
def sums_first(x, y, theta, out):
    out[0], out[1], out[2] = x, x * x, 0.0


@numba.njit
def sums_next(t, x, xn, y, theta, out):
    out[0], out[1], out[2] = xn, xn * xn, x * xn


@numba.njit
def vector_sums_first(x, y, theta, out):
    out[0], out[1], out[2] = x[0], x[0] * x[0], 0.0


@numba.njit
def vector_sums_next(t, x, xn, y, theta, out):
    out[0], out[1], out[2] = xn[0], xn[0] * xn[0], x[0] * xn[0]


SUMS = AdditiveFunctional(3, initial=sums_first, step=sums_next)
VECTOR_SUMS = AdditiveFunctional(3, initial=vector_sums_first, step=vector_sums_next)

chain = StateSpaceModel(**CHAIN)
guided_chain = StateSpaceModel(**CHAIN, **GUIDED)
vector_chain = StateSpaceModel(**VECTOR_CHAIN)


# A linear Gaussian model with parameters: (coefficient, step, noise), starting at N(0, 1).
@numba.njit
def walk_initial(rng, theta):
    return random.normal(rng)


@numba.njit
def walk_transition(rng, t, x, theta):
    return theta[0] * x + theta[1] * random.normal(rng)


@numba.njit
def walk_log_initial(x, theta):
    return -0.5 * x * x - 0.5 * math.log(2.0 * math.pi)


@numba.njit
def walk_log_transition(t, x, xn, theta):
    return (
        -0.5 * ((xn - theta[0] * x) / theta[1]) ** 2
        - math.log(theta[1])
        - 0.5 * math.log(2.0 * math.pi)
    )


@numba.njit
def walk_log_potential(t, x, y, theta):
    return -0.5 * ((y - x) / theta[2]) ** 2 - math.log(theta[2]) - 0.5 * math.log(2.0 * math.pi)


@numba.njit
def walk_observe(rng, t, x, theta, out):
    out[0] = x + theta[2] * random.normal(rng)


# The optimal proposal: the law of the new state given its parent and the observation.
@numba.njit
def best_proposal(rng, t, x, y, theta):
    precision = 1.0 / theta[1] ** 2 + 1.0 / theta[2] ** 2
    mean = (theta[0] * x / theta[1] ** 2 + y / theta[2] ** 2) / precision
    return mean + random.normal(rng) / math.sqrt(precision)


@numba.njit
def log_best_proposal(t, x, xn, y, theta):
    precision = 1.0 / theta[1] ** 2 + 1.0 / theta[2] ** 2
    mean = (theta[0] * x / theta[1] ** 2 + y / theta[2] ** 2) / precision
    return -0.5 * precision * (xn - mean) ** 2 + 0.5 * math.log(precision / (2.0 * math.pi))


WALK = {
    "initial": walk_initial,
    "transition": walk_transition,
    "log_initial": walk_log_initial,
    "log_transition": walk_log_transition,
    "log_potential": walk_log_potential,
    "observe": walk_observe,
    "theta": [0.9, 1.0, 1.0],
    "names": ["coefficient", "step", "noise"],
    "support": ["tanh", "log", "log"],
}
walk = StateSpaceModel(**WALK)
guided_walk = StateSpaceModel(**WALK, proposal=best_proposal, log_proposal=log_best_proposal)


# Pushed by inputs: u[0] is added to the next state, u[1] to the observation.
@numba.njit
def pushed_transition(rng, t, x, u, theta):
    return u[0] + walk_transition(rng, t, x, theta)


@numba.njit
def pushed_log_transition(t, x, xn, u, theta):
    return walk_log_transition(t, x, xn - u[0], theta)


@numba.njit
def pushed_log_potential(t, x, y, u, theta):
    return walk_log_potential(t, x, y - u[1], theta)


PUSHED = {
    **WALK,
    "transition": pushed_transition,
    "log_transition": pushed_log_transition,
    "log_potential": pushed_log_potential,
}
pushed_walk = StateSpaceModel(**PUSHED)


# An epidemic in a town of 500: susceptible and infected people, of whom each day some infect others
# at the rate of the day's input and some recover; theta = (recovery, share that is reported).
@numba.njit
def epidemic_initial(rng, theta, out):
    out[0], out[1] = 490.0, 10.0


@numba.njit
def infection(x, u):
    return -math.expm1(-u * x[1] / 500.0)


@numba.njit
def epidemic_transition(rng, t, x, u, theta, out):
    infected = random.binomial(rng, int(x[0]), infection(x, u))
    recovered = random.binomial(rng, int(x[1]), theta[0])
    out[0], out[1] = x[0] - infected, x[1] + infected - recovered


@numba.njit
def log_binomial(k, n, p):
    if k < 0.0 or k > n:
        return -math.inf
    if p <= 0.0 or p >= 1.0:
        return 0.0 if k == (0.0 if p <= 0.0 else n) else -math.inf
    log_count = math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)
    return log_count + k * math.log(p) + (n - k) * math.log1p(-p)


@numba.njit
def epidemic_log_transition(t, x, xn, u, theta):
    infected = x[0] - xn[0]
    recovered = x[1] + infected - xn[1]
    return log_binomial(infected, x[0], infection(x, u)) + log_binomial(recovered, x[1], theta[0])


@numba.njit
def epidemic_log_potential(t, x, y, theta):
    rate = theta[1] * x[1] + 0.1
    return y * math.log(rate) - rate - math.lgamma(y + 1.0)


@numba.njit
def epidemic_observe(rng, t, x, theta, out):
    out[0] = random.poisson(rng, theta[1] * x[1] + 0.1)


epidemic = StateSpaceModel(
    initial=epidemic_initial,
    transition=epidemic_transition,
    log_transition=epidemic_log_transition,
    log_potential=epidemic_log_potential,
    observe=epidemic_observe,
    dim=2,
    theta=[0.2, 0.5],
    names=["recovery", "reported"],
    support=["logit", "logit"],
)
