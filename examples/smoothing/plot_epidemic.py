"""
An epidemic, its reported cases, and a policy
=============================================

Twenty visitors infect a town of 50,000. Its schools and shops are closed for a month, and only a
third of the infections is reported. What do the reports say about the reproduction number and about
the effect of the closing? What would happen if the town opened, or if it did not?
"""

# %%
# The state counts the susceptible, infectious and newly infected people. Each day every susceptible
# is infected with the same probability, so infections are binomial, and so are recoveries. The
# functions take an argument ``u``: row t of a table of *inputs*, here the share of the town that is
# closed on day t. Reports are counts with a larger variance than Poisson (negative binomial). Draws
# come from :mod:`randla.random`.
#
# There is no ``log_transition``: given the state, most earlier states are impossible, so drawing
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
# Check what the model does before any inference: ``simulate`` draws states and reports, with the
# inputs of all days. These draws are the data of this example.
days = np.arange(45)
closed = np.where(days < 20, 0.0, 1.0)
_, cases = model.simulate(len(days), inputs=closed, rng=1)

# %%
# A filter at the true parameters gives the state day by day, and the likelihood with its error.
# Eight runs show how far one run may be off; ``suggested_n_particles`` is the number for which the
# error would be about one.
runs = randla.particle_filter(model, cases, inputs=closed, n_particles=200, n_runs=8, rng=0)
low, high = runs.log_likelihood_interval(0.95)
print(
    f"log Z = {runs.log_likelihood:.2f}, 95% from {low:.2f} to {high:.2f}, "
    f"suggested: {runs.suggested_n_particles} particles"
)

# %%
# The posterior distribution of the parameters. It needs only filters (``method="pmmh"``, the
# default for models without densities). The uncertainty of a parameter is in ``quantile``; ``+-``
# is the error of the sampler.
prior = {
    "r0": stats.uniform(1.0, 4.0),
    "effect": stats.uniform(0.0, 1.0),
    "size": stats.gamma(2.0, scale=10.0),
}
posterior = randla.posterior(model, cases, prior, inputs=closed, rng=0)
low, high = posterior.quantile([0.025, 0.975])
for k, name in enumerate(posterior.names):
    print(
        f"{name:6s} {posterior.mean[k]:.3f} +- {posterior.standard_error[k]:.3f}, "
        f"95% from {low[k]:.3f} to {high[k]:.3f}, true {model.theta[k]}"
    )

# %%
# Two futures: everything stays closed, or the town opens tomorrow. Each future has its own
# parameters, its own present state and its own chance events. The inputs are those of today and of
# the days to come.
ahead = np.arange(len(days) - 1, len(days) + 60)
futures = {
    "stays closed": posterior.forecast(60, inputs=np.ones(61), rng=0),
    "opens": posterior.forecast(60, inputs=np.where(ahead == ahead[0], 1.0, 0.0), rng=0),
}

# %%
# Quantiles of a forecast have an error too, which comes from the chains. At the peak of the open
# town it is small compared with the width of the band.
peak = futures["opens"].mean.argmax()
for q in (0.05, 0.5, 0.95):
    value = futures["opens"].quantile(q)[peak]
    error = futures["opens"].quantile_standard_error(q)[peak]
    print(f"day {ahead[1 + peak]}, quantile {q}: {value:.0f} +- {error:.0f} cases")

fig, ax = plt.subplots(layout="constrained")
ax.axvspan(20, len(days) - 1, color="0.5", alpha=0.2, lw=0, label="closed")
ax.plot(days, cases, "o", ms=3, color="0.5", label="reported")
for (name, future), color in zip(futures.items(), ("C0", "C3"), strict=True):
    low, middle, high = future.quantile([0.05, 0.5, 0.95])
    ax.fill_between(ahead[1:], low, high, color=color, alpha=0.25, lw=0)
    ax.plot(ahead[1:], middle, color=color, label=f"{name}, with 90%")
ax.set(xlabel="day", ylabel="cases a day", title="two futures", ylim=(0, 800))
ax.legend()
plt.show()

# %%
# What the reports say about the reproduction number and the effect of the closing: the posterior
# distribution of each, chain by chain, with the true value.
for name, true in zip(("r0", "effect"), model.theta, strict=False):
    fig, ax = plt.subplots(layout="constrained")
    posterior.plot(ax, name=name)
    ax.axvline(true, color="0.5", lw=1)
plt.show()
