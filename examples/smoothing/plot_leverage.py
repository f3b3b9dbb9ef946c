"""
Volatility with leverage: what bad news does to the oil price
=============================================================

After a fall of a price its volatility is often larger than after a rise of the same size. Then the
noise of a return and the noise of the next step of the volatility are correlated, and the transition
of the hidden state looks at the observation. The posterior law says how much of that is in the data.
"""

# %%
# The state is the log variance of the return of a week,
#
# .. math::
#     y_t = e^{x_t / 2} \varepsilon_t, \qquad
#     x_{t+1} = \mu + \phi (x_t - \mu) + \sigma (\rho\,\varepsilon_t + \sqrt{1 - \rho^2}\,\eta_t) .
#
# The transition has an argument ``y``: it is row t of the observations, from which
# :math:`\varepsilon_t` follows. Everything else is as in a model without it.
import math

import matplotlib.pyplot as plt
import numba
import numpy as np
from matplotlib.dates import ConciseDateFormatter
from scipy import stats

import randla
from randla import datasets, random

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@numba.njit
def initial(rng, theta):
    mu, phi, sigma, _ = theta
    return mu + sigma / math.sqrt(1.0 - phi * phi) * random.normal(rng)


@numba.njit
def log_initial(x, theta):
    mu, phi, sigma, _ = theta
    sd = sigma / math.sqrt(1.0 - phi * phi)
    return -0.5 * ((x - mu) / sd) ** 2 - math.log(sd) - HALF_LOG_2PI


@numba.njit
def next_mean_and_sd(x, y, theta):
    mu, phi, sigma, rho = theta
    shock = y * math.exp(-0.5 * x)
    return mu + phi * (x - mu) + sigma * rho * shock, sigma * math.sqrt(1.0 - rho * rho)


@numba.njit
def transition(rng, t, x, y, theta):
    mean, sd = next_mean_and_sd(x, y, theta)
    return mean + sd * random.normal(rng)


@numba.njit
def log_transition(t, x, xn, y, theta):
    mean, sd = next_mean_and_sd(x, y, theta)
    return -0.5 * ((xn - mean) / sd) ** 2 - math.log(sd) - HALF_LOG_2PI


@numba.njit
def log_potential(t, x, y, theta):
    return -0.5 * (x + y * y * math.exp(-x)) - HALF_LOG_2PI


@numba.njit
def observe(rng, t, x, theta, out):
    out[0] = math.exp(0.5 * x) * random.normal(rng)


model = randla.StateSpaceModel(
    initial=initial,
    log_initial=log_initial,
    transition=transition,
    log_transition=log_transition,
    log_potential=log_potential,
    observe=observe,
    theta=[2.5, 0.95, 0.3, 0.0],
    names=["mu", "phi", "sigma", "rho"],
    support=["real", "tanh", "log", "tanh"],
)

# %%
# Weekly returns of crude oil in percent, from 2000 to 2009.
dates, prices = datasets.crude_oil()
decade = (dates >= np.datetime64("2000-01-01")) & (dates < np.datetime64("2010-01-01"))
dates, prices = dates[decade][::5], prices[decade][::5]
weeks, y = dates[1:], 100.0 * np.diff(np.log(prices))
y -= y.mean()
filtered = randla.particle_filter(model, y, n_particles=1000, rng=0)
print(filtered)
