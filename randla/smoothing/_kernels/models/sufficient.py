"""Sufficient statistics for EM, as additive functionals."""

import math

from randla._jit import kernel
from randla.smoothing._kernels.entries import component, length
from randla.smoothing._kernels.models.linear_gaussian import any_missing

# Linear Gaussian: x_0, x_0 x_0', S_00, S_11 and S_10 of the transitions, then x x' and y x' of the
# times that are observed wholly. Of symmetric matrices the lower triangle, row by row.


@kernel
def write_square(x, out, first):
    for i in range(length(x)):
        for j in range(i + 1):
            out[first] = component(x, i) * component(x, j)
            first += 1
    return first


@kernel
def write_product(x, z, out, first):
    for i in range(length(x)):
        for j in range(length(z)):
            out[first] = component(x, i) * component(z, j)
            first += 1
    return first


@kernel
def write_observed(x, y, out, first):
    if not any_missing(y, length(y)):
        first = write_square(x, out, first)
        write_product(y, x, out, first)


@kernel
def linear_gaussian_first(x, y, theta, out):
    d = length(x)
    out[:] = 0.0
    for i in range(d):
        out[i] = component(x, i)
    write_square(x, out, d)  # x_0 x_0'; nothing to S_00, S_11, S_10
    write_observed(x, y, out, d + 3 * (d * (d + 1) // 2) + d * d)


@kernel
def linear_gaussian_next(t, x, xn, y, theta, out):
    d = length(x)
    out[:] = 0.0
    first = write_square(x, out, d + d * (d + 1) // 2)  # S_00, behind x_0 and x_0 x_0'
    first = write_square(xn, out, first)  # S_11
    first = write_product(xn, x, out, first)  # S_10
    write_observed(xn, y, out, first)  # x x' and y x'


# Stochastic volatility: x_0^2, sums of x_t^2, x_t x_{t+1} and x_{t+1}^2, and of y_t^2 exp(-x_t).


@kernel
def scaled_square(x, y):
    value = component(y, 0)  # y^2 exp(-x) has mean beta^2
    return 0.0 if math.isnan(value) else value * value * math.exp(-x)


@kernel
def volatility_first(x, y, theta, out):
    out[0] = x * x
    out[1] = 0.0
    out[2] = 0.0
    out[3] = 0.0
    out[4] = scaled_square(x, y)


@kernel
def volatility_next(t, x, xn, y, theta, out):
    out[0] = 0.0
    out[1] = x * x  # the three of the regression of x_{t+1} on x_t
    out[2] = x * xn
    out[3] = xn * xn
    out[4] = scaled_square(xn, y)
