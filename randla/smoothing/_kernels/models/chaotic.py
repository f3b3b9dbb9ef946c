"""The functions of the chaotic recurrent neural network, x' = F(x) + noise, y = x + noise.

`theta` comes in packed form (`_pack` of the model): the parameters, the (d, d) weights times the
rate, then thirteen numbers, counted from the end. F(x) = (1 - rate) x + gain (rate W) tanh(x).
"""

import math

import numpy as np

from randla._jit import kernel
from randla._random import normal, student_t

# Standard deviations of the process, of the start and of the proposals (SD_P, SD_P0); log
# normalizers of the transition, of one component of y and of the start.
RATE, GAIN, SD, INV_SD, SCALE, INV_SCALE, DF, SD_0, LOG_Q, LOG_G, LOG_0, SD_P, SD_P0 = range(-13, 0)


@kernel
def drive(x):
    """Return tanh(x)."""
    h = np.empty(x.size)
    for j in range(x.size):
        h[j] = math.tanh(x[j])
    return h


@kernel
def recurrent(theta, i, h):
    """Component i of (rate W) h."""
    d, total = h.size, 0.0
    first = d * d + 3 + i * d  # behind the d^2 + 3 parameters
    for j in range(d):
        total += theta[first + j] * h[j]
    return total


@kernel
def flow(theta, i, x, h):
    """Component i of F(x), for h = tanh(x)."""
    return (1.0 - theta[RATE]) * x[i] + theta[GAIN] * recurrent(theta, i, h)


@kernel
def initial(rng, theta, out):
    for i in range(out.size):
        out[i] = theta[SD_0] * normal(rng)


@kernel
def transition(rng, t, x, theta, out):
    h = drive(x)
    for i in range(x.size):
        out[i] = flow(theta, i, x, h) + theta[SD] * normal(rng)


@kernel
def log_initial(x, theta):
    total = 0.0
    for i in range(x.size):
        total += (x[i] / theta[SD_0]) ** 2
    return theta[LOG_0] - 0.5 * total


@kernel
def log_transition(t, x, xn, theta):
    h, total = drive(x), 0.0
    for i in range(x.size):
        e = (xn[i] - flow(theta, i, x, h)) * theta[INV_SD]  # (x' - F(x)) / s
        total += e * e
    return theta[LOG_Q] - 0.5 * total


@kernel
def log_transition_bound(t, theta):
    return theta[LOG_Q]


@kernel
def log_potential(t, x, y, theta):
    df, total = theta[DF], 0.0
    for i in range(x.size):
        e = (y[i] - x[i]) * theta[INV_SCALE]
        if math.isnan(e):  # a missing entry is left out
            continue
        if df == math.inf:
            total += theta[LOG_G] - 0.5 * e * e
        else:  # Student's t
            total += theta[LOG_G] - 0.5 * (df + 1.0) * math.log1p(e * e / df)
    return total


@kernel
def observe(rng, t, x, theta, out):
    df = theta[DF]
    for i in range(x.size):
        out[i] = x[i] + theta[SCALE] * (normal(rng) if df == math.inf else student_t(rng, df))


# Optimal proposals for normal observation noise: all is diagonal.


@kernel
def posterior(mean, y, prior_sd, posterior_sd, theta):
    """Mean and standard deviation of a component given y; those before it if y is missing.

    The precisions s^-2 and scale^-2 add up to that of the posterior and weigh mean and y.
    """
    if math.isnan(y):
        return mean, prior_sd
    shrink = posterior_sd / prior_sd
    mean = shrink * shrink * mean + (posterior_sd * theta[INV_SCALE]) ** 2 * y
    return mean, posterior_sd


@kernel
def log_normal(e, sd):
    return -0.5 * (e / sd) ** 2 - math.log(sd) - 0.5 * math.log(2.0 * math.pi)


@kernel
def initial_proposal(rng, y, theta, out):
    for i in range(out.size):
        mean, sd = posterior(0.0, y[i], theta[SD_0], theta[SD_P0], theta)
        out[i] = mean + sd * normal(rng)


@kernel
def log_initial_proposal(x, y, theta):
    total = 0.0
    for i in range(x.size):
        mean, sd = posterior(0.0, y[i], theta[SD_0], theta[SD_P0], theta)
        total += log_normal(x[i] - mean, sd)
    return total


@kernel
def proposal(rng, t, x, y, theta, out):
    h = drive(x)
    for i in range(x.size):
        mean, sd = posterior(flow(theta, i, x, h), y[i], theta[SD], theta[SD_P], theta)
        out[i] = mean + sd * normal(rng)


@kernel
def log_proposal(t, x, xn, y, theta):
    h, total = drive(x), 0.0
    for i in range(x.size):
        mean, sd = posterior(flow(theta, i, x, h), y[i], theta[SD], theta[SD_P], theta)
        total += log_normal(xn[i] - mean, sd)
    return total


# Scores, in the order weights, gain, process_sd, observation_scale.


@kernel
def scale_score(x, y, theta):
    df, total = theta[DF], 0.0
    for i in range(x.size):
        e = (y[i] - x[i]) * theta[INV_SCALE]
        if not math.isnan(e):
            weight = 1.0 if df == math.inf else (df + 1.0) / (df + e * e)
            total += (weight * e * e - 1.0) * theta[INV_SCALE]  # d log density / d scale
    return total


@kernel
def score_initial(x, y, theta, out):
    out[:] = 0.0
    out[x.size * x.size + 2] = scale_score(x, y, theta)


@kernel
def score_step(t, x, xn, y, theta, out):
    d = x.size
    h, gain, sd = drive(x), 0.0, 0.0
    factor = theta[RATE] * theta[GAIN] * theta[INV_SD]
    for i in range(d):
        inner = recurrent(theta, i, h)
        e = (xn[i] - (1.0 - theta[RATE]) * x[i] - theta[GAIN] * inner) * theta[INV_SD]
        for j in range(d):
            out[i * d + j] = factor * e * h[j]  # e / s times dF_i / dW_ij = rate gain h_j
        gain += e * theta[INV_SD] * inner  # dF_i / dgain = (rate W h)_i
        sd += (e * e - 1.0) * theta[INV_SD]
    out[d * d] = gain
    out[d * d + 1] = sd
    out[d * d + 2] = scale_score(xn, y, theta)
