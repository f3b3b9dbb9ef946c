"""
An epidemic, its reported cases, and a policy
=============================================

A town of 50,000 is infected by 20 visitors. For a month its schools and shops are closed; a third of
the infections is ever reported. What do the reports tell of the reproduction number and of the effect
of the closing, and what would happen if it were lifted, or not?
"""

# %%
# The state counts susceptible, infectious and newly infected people. Each day every susceptible is
# infected with the same probability, so that infections are binomial, and so are recoveries. The
# functions take an argument ``u``: row t of a table of *inputs*, here the share of the town that is
# closed on day t. Reports are counts with more spread than Poisson's (negative binomial). Draws come
# from :mod:`randla.random`.
#
# There is no ``log_transition``: given the state, most earlier states are impossible, so that drawing
# paths backward would gain nothing. Filters need no density of the transition.
import math

import matplotlib.pyplot as plt
import numba
import numpy as np
from scipy import stats

import randla
from randla import random

PEOPLE, VISITORS, RECOVERY, REPORTED = 50_000, 20, 0.2, 0.3


@numba.njit
def initial(rng, theta, out):
    out[0], out[1], out[2] = PEOPLE - VISITORS, VISITORS, 0.0


@numba.njit
def transition(rng, t, x, u, theta, out):
    r0, effect, _ = theta
    contacts = r0 * RECOVERY * (1.0 - effect * u)
    infected = random.binomial(rng, x[0], -math.expm1(-contacts * x[1] / PEOPLE))
    recovered = random.binomial(rng, x[1], -math.expm1(-RECOVERY))
    out[0], out[1], out[2] = x[0] - infected, x[1] + infected - recovered, infected


@numba.njit
def expected(x):
    return REPORTED * x[2] + 0.5  # one false alarm in two days


@numba.njit
def log_potential(t, x, y, theta):
    size, mean = theta[2], expected(x)
    return (
        math.lgamma(y + size)
        - math.lgamma(size)
        - math.lgamma(y + 1.0)
        + size * math.log(size / (size + mean))
        + y * math.log(mean / (size + mean))
    )


@numba.njit
def observe(rng, t, x, theta, out):
    out[0] = random.negative_binomial(rng, theta[2], theta[2] / (theta[2] + expected(x)))


model = randla.StateSpaceModel(
    initial=initial,
    transition=transition,
    log_potential=log_potential,
    observe=observe,
    dim=3,
    theta=[2.5, 0.7, 10.0],
    names=["r0", "effect", "size"],
    support=["log", "logit", "log"],
)

# %%
# Look at what the model does before any inference: `simulate` draws states and reports, with the
# inputs of all days. These become the data.
days = np.arange(60)
closed = ((days >= 20) & (days < 50)).astype(float)
states, cases = model.simulate(60, inputs=closed, rng=1)
