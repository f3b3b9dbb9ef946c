"""The functionals that have a name: sums over time of x_t, x_t^2 and x_t x_{t+1}."""

import math

from randla._jit import kernel, unsaved_kernel


@kernel
def state_first(x, y, theta, out):
    out[0] = x


@kernel
def state_next(t, x, xn, y, theta, out):
    out[0] = xn


@kernel
def square_first(x, y, theta, out):
    out[0] = x * x


@kernel
def square_next(t, x, xn, y, theta, out):
    out[0] = xn * xn


@kernel
def lag_product_first(x, y, theta, out):
    out[0] = 0.0


@kernel
def lag_product_next(t, x, xn, y, theta, out):
    out[0] = x * xn


@kernel
def vector_state_first(x, y, theta, out):
    for k in range(x.size):
        out[k] = x[k]


@kernel
def vector_state_next(t, x, xn, y, theta, out):
    for k in range(x.size):
        out[k] = xn[k]


@kernel
def vector_square_first(x, y, theta, out):
    for k in range(x.size):
        out[k] = x[k] * x[k]


@kernel
def vector_square_next(t, x, xn, y, theta, out):
    for k in range(x.size):
        out[k] = xn[k] * xn[k]


@kernel
def vector_lag_product_first(x, y, theta, out):
    for k in range(x.size):
        out[k] = 0.0


@kernel
def vector_lag_product_next(t, x, xn, y, theta, out):
    for k in range(x.size):
        out[k] = x[k] * xn[k]


# The score by central differences. Behind the p entries of the gradient `out` has p more for the
# shifted parameters: the steps are relative to the parameters, at the cube root of the rounding
# unit, where the errors of truncation and of rounding balance.

_STEP = 6e-6


@kernel
def is_missing_number(y):
    return math.isnan(y)


@kernel
def is_missing_row(y):
    for k in range(y.size):  # noqa: SIM110
        if not math.isnan(y[k]):
            return False
    return True


def numeric_score_forms(log_initial, log_transition, log_potential, is_missing):
    @unsaved_kernel
    def log_first(x, y, missing, theta):
        value = log_initial(x, theta)
        return value if missing else value + log_potential(0, x, y, theta)

    @unsaved_kernel
    def log_next(t, x, xn, y, missing, theta):
        value = log_transition(t, x, xn, theta)
        return value if missing else value + log_potential(t + 1, xn, y, theta)

    @unsaved_kernel
    def score_first(x, y, theta, out):
        p = theta.size
        shifted, missing = out[p : 2 * p], is_missing(y)
        for k in range(p):
            shifted[k] = theta[k]
        for k in range(p):
            step = _STEP * max(abs(theta[k]), 1e-3)
            shifted[k] = theta[k] + step
            up, high = log_first(x, y, missing, shifted), shifted[k]
            shifted[k] = theta[k] - step
            down, low = log_first(x, y, missing, shifted), shifted[k]
            out[k] = (up - down) / (high - low)
            shifted[k] = theta[k]

    @unsaved_kernel
    def score_next(t, x, xn, y, theta, out):
        p = theta.size
        shifted, missing = out[p : 2 * p], is_missing(y)
        for k in range(p):
            shifted[k] = theta[k]
        for k in range(p):
            step = _STEP * max(abs(theta[k]), 1e-3)
            shifted[k] = theta[k] + step
            up, high = log_next(t, x, xn, y, missing, shifted), shifted[k]
            shifted[k] = theta[k] - step
            down, low = log_next(t, x, xn, y, missing, shifted), shifted[k]
            out[k] = (up - down) / (high - low)
            shifted[k] = theta[k]

    return score_first, score_next
