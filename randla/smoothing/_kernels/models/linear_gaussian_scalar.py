"""The functions of a linear Gaussian model with one state and one observed component.

As `randla.smoothing._kernels.models.linear_gaussian` and its scores, with numbers instead of
blocks: each block of the packed `theta` is one entry, counted from the end.
"""

import math

from randla._jit import kernel
from randla._random import normal
from randla.smoothing._kernels.entries import component
from randla.smoothing._kernels.models.linear_gaussian import N_BLOCKS

(
    _NORM_Q, _NORM_R, _NORM_0, _A, _ROOT_Q, _W_Q, _WA, _Q_INV, _Q_INV_A, _ROOT_0, _W_0, _P0_INV,
    _M0, _W_M0, _P0_INV_M0, _B, _WB, _R_INV_B, _ROOT_R, _W_R, _R_INV, _,
    _NORM_P, _NORM_P0, _ROOT_P, _W_P, _M, _WM, _K, _WK, _ROOT_P0, _W_P0, _C0, _WC0, _K0, _WK0,
) = range(-2 * N_BLOCKS - 1, -N_BLOCKS - 1)  # fmt: skip


@kernel
def initial(rng, theta):
    return theta[_M0] + theta[_ROOT_0] * normal(rng)


@kernel
def transition(rng, t, x, theta):
    return theta[_A] * x + theta[_ROOT_Q] * normal(rng)


@kernel
def log_initial(x, theta):
    e = theta[_W_0] * x - theta[_W_M0]  # (x - m_0) / sd
    return theta[_NORM_0] - 0.5 * e * e


@kernel
def log_transition(t, x, xn, theta):
    e = theta[_W_Q] * xn - theta[_WA] * x  # Q^(-1/2) (x' - A x)
    return theta[_NORM_Q] - 0.5 * e * e


@kernel
def log_transition_bound(t, theta):
    return theta[_NORM_Q]


@kernel
def log_potential(t, x, y, theta):
    e = theta[_W_R] * component(y, 0) - theta[_WB] * x  # R^(-1/2) (y - B x)
    return theta[_NORM_R] - 0.5 * e * e


@kernel
def observe(rng, t, x, theta, out):
    out[0] = theta[_B] * x + theta[_ROOT_R] * normal(rng)


@kernel
def initial_proposal(rng, y, theta):
    return theta[_C0] + theta[_K0] * component(y, 0) + theta[_ROOT_P0] * normal(rng)


@kernel
def log_initial_proposal(x, y, theta):
    e = theta[_W_P0] * x - theta[_WC0] - theta[_WK0] * component(y, 0)
    return theta[_NORM_P0] - 0.5 * e * e


@kernel
def proposal(rng, t, x, y, theta):
    return theta[_M] * x + theta[_K] * component(y, 0) + theta[_ROOT_P] * normal(rng)


@kernel
def log_proposal(t, x, xn, y, theta):
    e = theta[_W_P] * xn - theta[_WM] * x - theta[_WK] * component(y, 0)
    return theta[_NORM_P] - 0.5 * e * e


@kernel
def observation_score(x, y, theta, out):
    value = component(y, 0)
    if math.isnan(value):
        out[2] = 0.0
        out[3] = 0.0
    else:
        u = theta[_R_INV] * value - theta[_R_INV_B] * x  # R^-1 (y - B x)
        out[2] = u * x  # in B
        out[3] = 0.5 * (u * u - theta[_R_INV])  # in R


@kernel
def score_initial(x, y, theta, out):
    out[0] = 0.0
    out[1] = 0.0
    observation_score(x, y, theta, out)
    if out.size > 4:  # the initial law is not constant
        u = theta[_P0_INV] * x - theta[_P0_INV_M0]  # P_0^-1 (x - m_0)
        out[4] = u  # in m_0
        out[5] = 0.5 * (u * u - theta[_P0_INV])  # in P_0


@kernel
def score_step(t, x, xn, y, theta, out):
    u = theta[_Q_INV] * xn - theta[_Q_INV_A] * x  # Q^-1 (x' - A x)
    out[0] = u * x  # in A
    out[1] = 0.5 * (u * u - theta[_Q_INV])  # in Q
    observation_score(xn, y, theta, out)
    for i in range(4, out.size):
        out[i] = 0.0
