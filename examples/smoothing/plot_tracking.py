"""
Tracking by radar: particles that look at the observation
=========================================================

A ship is seen by a radar as a distance and a bearing. Both are precise, far more so than what is known
of the ship one minute earlier, and few particles land where the ship was seen. The filter says so, and
a *proposal* that looks at the observation mends it.
"""

# %%
# The state is (east, north, velocity east, velocity north) in kilometres and minutes. In each minute
# a white acceleration of standard deviation ``s`` acts on each axis, which gives position and velocity
# of that axis the covariance :math:`s^2 \binom{1/3 \;\; 1/2}{1/2 \;\; 1}`. A vector state has ``dim=4``:
# functions that draw write to ``out``.
import math
import warnings

import matplotlib.pyplot as plt
import numba
import numpy as np
from scipy import stats

import randla
from randla import random

LOG_2PI = math.log(2.0 * math.pi)
START = np.array([8.0, 6.0, -0.15, 0.10])  # where the harbour reports the ship, and its course
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
# An hour, in which every tenth echo is lost. Missing rows are NaN.
states, y = bootstrap.simulate(60, rng=4)
y[5::10] = np.nan

# %%
# The first filter moves its particles blindly. It warns.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    blind = randla.particle_filter(bootstrap, y, n_particles=1000, rng=0)
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}")
print(f"log Z = {blind.log_likelihood:.1f} +- {blind.log_likelihood_standard_error}")

# %%
# A proposal draws the next state knowing what the radar saw. It need not be exact, since the weights
# correct for it: here the echo becomes a point with one variance for both axes, and each axis
# takes the step of a Kalman filter. ``moments`` returns mean, gain and spread of an axis: the position
# first, then the velocity given the position.


@numba.njit
def echo(y, theta):
    return y[0] * math.cos(y[1]), y[0] * math.sin(y[1]), theta[1] ** 2 + (y[0] * theta[2]) ** 2


@numba.njit
def draw_axis(rng, position, velocity, p, c, v, z, r):
    # Prior: variances p, v and covariance c; z is the position seen with variance r.
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
    return log_axis(
        xn[0], xn[2], x[0] + x[2], x[2], q / 3.0, q / 2.0, q, east, r
    ) + log_axis(xn[1], xn[3], x[1] + x[3], x[3], q / 3.0, q / 2.0, q, north, r)


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
