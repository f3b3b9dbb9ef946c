"""
Volatility with leverage: what bad news does to the oil price
=============================================================

The volatility of a price is often larger after a fall than after a rise of the same size. Then the
noise of a return and the noise of the next step of the volatility are correlated, and the
transition of the hidden state uses the observation. The posterior distribution shows how strong
this effect is in the data.
"""

# %%
# The state is the log variance of the weekly return,
#
# .. math::
#     y_t = e^{x_t / 2} \varepsilon_t, \qquad
#     x_{t+1} = \mu + \phi (x_t - \mu) + \sigma (\rho\,\varepsilon_t + \sqrt{1 - \rho^2}\,\eta_t) .
#
# The transition has an argument ``y``, row t of the observations, from which :math:`\varepsilon_t`
# follows. Everything else is as in a model without leverage.
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
# Returns of crude oil over five trading days, in percent, from 2008 to 2013.
dates, prices = datasets.crude_oil()
window = (dates >= np.datetime64("2008-01-01")) & (dates < np.datetime64("2014-01-01"))
dates, prices = dates[window][::5], prices[window][::5]
weeks, y = dates[1:], 100.0 * np.diff(np.log(prices))
y -= y.mean()

# %%
# Is there leverage in the data? Two filters of eight runs each compare two values of rho, with the
# other parameters equal. The error of the difference contains both errors.
with_leverage = model.replace([3.0, 0.96, 0.22, -0.6])
logs, errors = [], []
for each in (model.replace([3.0, 0.96, 0.22, 0.0]), with_leverage):
    runs = randla.particle_filter(each, y, n_particles=500, n_runs=8, rng=0)
    logs.append(runs.log_likelihood)
    errors.append(runs.log_likelihood_standard_error)
print(f"log likelihood ratio {logs[1] - logs[0]:.1f} +- {math.hypot(*errors):.1f}")

# %%
# The posterior distribution of all four parameters. A few dozen particles are enough for a
# log-likelihood with an error near one, and parameters drawn given a path move slowly. So "auto"
# compares likelihoods alone here (``method="pmmh"``).
prior = {
    "mu": stats.norm(2.5, 2.0),
    "phi": stats.beta(20.0, 1.5, loc=-1.0, scale=2.0),
    "sigma": stats.halfnorm(scale=0.5),
    "rho": stats.uniform(-1.0, 2.0),
}
posterior = randla.posterior(model, y, prior, n_iterations=3000, rng=0)
print(f"method {posterior.method}, {posterior.n_particles} particles in each chain")
low, high = posterior.quantile([0.025, 0.975])
for k, name in enumerate(posterior.names):
    print(
        f"{name:6s} {posterior.mean[k]:6.3f} +- {posterior.standard_error[k]:.3f}, "
        f"95% from {low[k]:6.3f} to {high[k]:6.3f}, R-hat {posterior.r_hat[k]:.3f}"
    )

# %%
# The volatility given all returns, including the uncertainty of the parameters: the quantiles of
# :math:`e^{x/2}` over the paths that were drawn with them. Then follows half a year of forecasts,
# each with its own parameters and last volatility.
volatility = np.exp(posterior.paths[..., 0] / 2.0)
low, middle, high = np.quantile(volatility, [0.05, 0.5, 0.95], axis=(0, 1))
future = posterior.forecast(26, rng=0)
ahead = weeks[-1] + np.timedelta64(7, "D") * np.arange(1, 27)
low_ahead, middle_ahead, high_ahead = np.quantile(
    np.exp(future.states[..., 0] / 2.0), [0.05, 0.5, 0.95], axis=(0, 1)
)

fig, ax = plt.subplots(layout="constrained")
ax.plot(weeks, np.abs(y), ".", color="0.5", alpha=0.6, ms=4, label="size of the return")
ax.fill_between(weeks, low, high, color="C0", alpha=0.3, lw=0)
ax.plot(weeks, middle, color="C0", label="volatility, with 90%")
ax.fill_between(ahead, low_ahead, high_ahead, color="C5", alpha=0.4, lw=0)
ax.plot(ahead, middle_ahead, color="C5", label="forecast, with 90%")
ax.set(ylabel="percent in five days", title="volatility of the oil price")
ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
ax.legend()

fig, ax = plt.subplots(layout="constrained")
posterior.plot(ax, name="rho")
ax.axhline(0.5, color="0.5", ls=":", label="prior")
ax.set(xlim=(-1, 1), title="leverage, four chains")
ax.legend()
plt.show()
