"""The functions of the stochastic volatility model.

`theta` comes in packed form (`_pack` of the model): phi, sigma, beta, then what is computed from
them once.
"""

import math

from randla._jit import kernel
from randla._random import normal
from randla.smoothing._kernels.entries import component

# phi, sigma, beta; the stationary standard deviation sigma / sqrt(1 - phi^2); inverses; log
# normalizers of transition, start and potential.
_PHI, _SIGMA, _BETA, _SD_0, _INV_SIGMA, _INV_SD_0, _INV_BETA_2, _LOG_Q, _LOG_0, _LOG_G = range(10)


@kernel
def initial(rng, theta):
    return theta[_SD_0] * normal(rng)


@kernel
def transition(rng, t, x, theta):
    return theta[_PHI] * x + theta[_SIGMA] * normal(rng)


@kernel
def log_initial(x, theta):
    e = x * theta[_INV_SD_0]
    return theta[_LOG_0] - 0.5 * e * e


@kernel
def log_transition(t, x, xn, theta):
    e = (xn - theta[_PHI] * x) * theta[_INV_SIGMA]
    return theta[_LOG_Q] - 0.5 * e * e


@kernel
def log_transition_bound(t, theta):
    return theta[_LOG_Q]


@kernel
def log_potential(t, x, y, theta):
    value = component(y, 0)  # of variance beta^2 e^x
    return theta[_LOG_G] - 0.5 * (x + value * value * theta[_INV_BETA_2] * math.exp(-x))


@kernel
def observe(rng, t, x, theta, out):
    out[0] = theta[_BETA] * math.exp(0.5 * x) * normal(rng)


@kernel
def beta_score(x, y, theta):
    """Derivative of the log potential in beta; zero where the row is missing."""
    value = component(y, 0)
    if math.isnan(value):
        return 0.0
    return (value * value * theta[_INV_BETA_2] * math.exp(-x) - 1.0) / theta[_BETA]


@kernel
def score_initial(x, y, theta, out):
    e = x * theta[_INV_SD_0]
    phi, inv_sigma = theta[_PHI], theta[_INV_SIGMA]
    # The variance sigma^2 / (1 - phi^2) of the start depends on both.
    out[0] = phi * (x * x * inv_sigma * inv_sigma - 1.0 / ((1.0 - phi) * (1.0 + phi)))
    out[1] = inv_sigma * (e * e - 1.0)
    out[2] = beta_score(x, y, theta)


@kernel
def score_step(t, x, xn, y, theta, out):
    inv_sigma = theta[_INV_SIGMA]
    e = (xn - theta[_PHI] * x) * inv_sigma  # N(0, 1) under the model
    out[0] = e * x * inv_sigma  # in phi
    out[1] = inv_sigma * (e * e - 1.0)  # in sigma
    out[2] = beta_score(xn, y, theta)
