"""
Tracking by radar: particles that use the observation
=====================================================

A radar observes a ship as a distance and a bearing. Both are far more precise than what is known
about the ship one minute earlier, so few particles land where the ship is observed. The filter
warns of this, and a *proposal* that uses the observation solves the problem.
"""

# %%
# The state is (east, north, velocity east, velocity north) in kilometers and minutes. In each
# minute, a white acceleration of standard deviation ``s`` acts on each axis, and gives position
# and velocity of that axis the covariance :math:`s^2 \binom{1/3 \;\; 1/2}{1/2 \;\; 1}`. A vector
# state has ``dim=4``, and functions that draw write to ``out``.
import math
import textwrap
import warnings

import matplotlib.pyplot as plt
import numba
import numpy as np
from scipy import stats

import randla
from randla import random

LOG_2PI = math.log(2.0 * math.pi)
START = np.array([8.0, 6.0, -0.15, 0.10])  # where the harbor reports the ship, and its course
START_SD = np.array([0.5, 0.5, 0.05, 0.05])


@numba.njit
def initial(rng, theta, out):
    for k in range(4):
        out[k] = START[k] + START_SD[k] * random.normal(rng)


@numba.njit
def log_initial(x, theta):
    value = -2.0 * LOG_2PI
    for k in range(4):
        value -= 0.5 * ((x[k] - START[k]) / START_SD[k]) ** 2 + math.log(START_SD[k])
    return value


@numba.njit
def transition(rng, t, x, theta, out):
    for k in range(2):
        e, f = random.normal(rng), random.normal(rng)
        out[k] = x[k] + x[k + 2] + theta[0] * (e / math.sqrt(12.0) + 0.5 * f)
        out[k + 2] = x[k + 2] + theta[0] * f


@numba.njit
def log_transition(t, x, xn, theta):
    value = -2.0 * LOG_2PI - 4.0 * math.log(theta[0]) + math.log(12.0)
    for k in range(2):
        f = (xn[k + 2] - x[k + 2]) / theta[0]
        e = math.sqrt(12.0) * ((xn[k] - x[k] - x[k + 2]) / theta[0] - 0.5 * f)
        value -= 0.5 * (e * e + f * f)
    return value


@numba.njit
def log_potential(t, x, y, theta):
    z = (y[0] - math.hypot(x[0], x[1])) / theta[1]
    angle = y[1] - math.atan2(x[1], x[0])
    turn = (angle + math.pi) % (2.0 * math.pi) - math.pi  # bearings are angles
    w = turn / theta[2]
    return -0.5 * (z * z + w * w) - math.log(theta[1] * theta[2]) - LOG_2PI


@numba.njit
def observe(rng, t, x, theta, out):
    out[0] = math.hypot(x[0], x[1]) + theta[1] * random.normal(rng)
    out[1] = math.atan2(x[1], x[0]) + theta[2] * random.normal(rng)


functions = dict(
    initial=initial,
    log_initial=log_initial,
    transition=transition,
    log_transition=log_transition,
    log_potential=log_potential,
    observe=observe,
    dim=4,
    theta=[0.05, 0.02, 0.002],
    names=["acceleration", "range_sd", "bearing_sd"],
    support=["log", "log", "log"],
)
bootstrap = randla.StateSpaceModel(**functions)

# %%
# Half an hour, with one lost echo. Missing rows are NaN.
states, y = bootstrap.simulate(30, rng=4)
y[15] = np.nan

# %%
# The first filter moves its particles without using the observation. It warns.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    blind = randla.particle_filter(bootstrap, y, n_particles=1000, rng=0)
for warning in caught:
    print(textwrap.fill(f"{warning.category.__name__}: {warning.message}", 90))
print(f"log Z = {blind.log_likelihood:.1f} +- {blind.log_likelihood_standard_error}")

# %%
# A proposal draws the next state given what the radar observed. It need not be exact, because the
# weights correct for it. Here the echo becomes a point with one variance for both axes, and each
# axis takes the step of a Kalman filter: first the position, then the velocity given the position.


@numba.njit
def echo(y, theta):
    return y[0] * math.cos(y[1]), y[0] * math.sin(y[1]), theta[1] ** 2 + (y[0] * theta[2]) ** 2


@numba.njit
def draw_axis(rng, position, velocity, p, c, v, z, r):
    # Prior: variances p, v and covariance c; z is the position observed with variance r.
    e, f = random.normal(rng), random.normal(rng)
    new = position + p / (p + r) * (z - position) + math.sqrt(p * r / (p + r)) * e
    return new, velocity + c / p * (new - position) + math.sqrt(v - c * c / p) * f


@numba.njit
def log_axis(new, new_velocity, position, velocity, p, c, v, z, r):
    e = (new - position - p / (p + r) * (z - position)) / math.sqrt(p * r / (p + r))
    f = (new_velocity - velocity - c / p * (new - position)) / math.sqrt(v - c * c / p)
    return -0.5 * (e * e + f * f + math.log(p * r / (p + r) * (v - c * c / p))) - LOG_2PI


@numba.njit
def proposal(rng, t, x, y, theta, out):
    east, north, r = echo(y, theta)
    q = theta[0] ** 2
    out[0], out[2] = draw_axis(rng, x[0] + x[2], x[2], q / 3.0, q / 2.0, q, east, r)
    out[1], out[3] = draw_axis(rng, x[1] + x[3], x[3], q / 3.0, q / 2.0, q, north, r)


@numba.njit
def log_proposal(t, x, xn, y, theta):
    east, north, r = echo(y, theta)
    q = theta[0] ** 2
    return log_axis(xn[0], xn[2], x[0] + x[2], x[2], q / 3.0, q / 2.0, q, east, r) + log_axis(
        xn[1], xn[3], x[1] + x[3], x[3], q / 3.0, q / 2.0, q, north, r
    )


@numba.njit
def initial_proposal(rng, y, theta, out):
    east, north, r = echo(y, theta)
    p, v = START_SD[0] ** 2, START_SD[2] ** 2
    out[0], out[2] = draw_axis(rng, START[0], START[2], p, 0.0, v, east, r)
    out[1], out[3] = draw_axis(rng, START[1], START[3], p, 0.0, v, north, r)


@numba.njit
def log_initial_proposal(x, y, theta):
    east, north, r = echo(y, theta)
    p, v = START_SD[0] ** 2, START_SD[2] ** 2
    return log_axis(x[0], x[2], START[0], START[2], p, 0.0, v, east, r) + log_axis(
        x[1], x[3], START[1], START[3], p, 0.0, v, north, r
    )


guided = randla.StateSpaceModel(
    **functions,
    proposal=proposal,
    log_proposal=log_proposal,
    initial_proposal=initial_proposal,
    log_initial_proposal=log_initial_proposal,
)

# %%
# The same number of particles, in eight runs of each filter. The spread of the runs is the error of
# one run, and ``suggested_n_particles`` is the number for which that error is about one.
filters = {"blind": bootstrap, "guided": guided}
runs = {
    name: randla.particle_filter(model, y, n_particles=1000, n_runs=8, rng=0)
    for name, model in filters.items()
}
for name, run in runs.items():
    low, high = run.log_likelihood_interval(0.95)
    print(
        f"{name:6s} log Z = {run.log_likelihood:.1f}, 95% from {low:.1f} to {high:.1f}, "
        f"suggested: {run.suggested_n_particles} particles"
    )

# %%
# The maker of the radar states its errors, but it is not known how the ship is steered. This is the
# posterior distribution of that standard deviation, next to the true value. Parameters without a
# prior keep their values. ``+-`` is the error of the sampler.
prior = {"acceleration": stats.halfnorm(scale=0.1)}
posterior = randla.posterior(guided, y, prior, n_iterations=5000, rng=1)
low, high = posterior.quantile([0.025, 0.975])[:, 0]
print(
    f"acceleration {posterior.mean[0]:.4f} +- {posterior.standard_error[0]:.4f}, "
    f"95% from {low:.4f} to {high:.4f}, true {bootstrap.theta[0]}"
)

# %%
# Where the ship may be after ten more minutes. Each of the points has its own parameter, last state
# and noise.
future = posterior.forecast(10, rng=0)
ahead = future.states[:, :, -1].reshape(-1, 4)
paths = posterior.paths.reshape(-1, len(y), 4)[::40]
echoes = y[:, 0, None] * np.column_stack([np.cos(y[:, 1]), np.sin(y[:, 1])])

fig, ax = plt.subplots(layout="constrained")
ax.plot(*ahead[:, :2].T, ".", ms=2, color="C0", alpha=0.3, label="in ten minutes, drawn")
ax.plot(*states[:, :2].T, color="0.5", label="the ship")
ax.plot(*echoes.T, "x", color="C5", label="echoes")
ax.plot(0, 0, "^", ms=8, color="0.5", label="radar")
ax.set(xlabel="east, km", ylabel="north, km", aspect="equal", ylim=(-1, 16))
ax.legend(loc="lower right")
plt.show()

# %%
# The minutes around the lost echo, with paths drawn given all echoes.
minutes = slice(13, 18)
fig, ax = plt.subplots(layout="constrained")
ax.plot(paths[:, minutes, 0].T, paths[:, minutes, 1].T, color="C0", lw=0.5, alpha=0.1)
ax.plot(*states[minutes, :2].T, color="0.5", label="the ship")
ax.plot(*echoes[minutes].T, "x", color="C5", ms=8, mew=2, label="echoes")
ax.set(xlabel="east, km", ylabel="north, km")
ax.legend()
plt.show()

# %%
# Effective sample sizes, in the worst of eight runs. Below 5, the weights say nothing about the
# error. Then the posterior distribution of the acceleration.
fig, ax = plt.subplots(layout="constrained")
for (name, run), color in zip(runs.items(), ("C3", "C0"), strict=True):
    ax.semilogy(run.ess, "o-", color=color, label=name)
ax.axhline(5, color="0.5", lw=1, ls="--")
ax.set(xlabel="minute", title="effective sample size of 1000")
ax.legend()

fig, ax = plt.subplots(layout="constrained")
grid = np.linspace(1e-3, 0.1, 200)
ax.plot(grid, prior["acceleration"].pdf(grid), ":", color="0.5", label="prior")
posterior.plot(ax, name="acceleration")
ax.axvline(bootstrap.theta[0], color="0.5", lw=1, label="true")
ax.set(xlabel="acceleration, km per minute$^2$", title="posterior, four chains")
ax.legend()
plt.show()
