"""The functionals that have a name: sums over time of x_t, x_t^2 and x_t x_{t+1}."""

import math

from randla._jit import inline, kernel, unsaved_inline, unsaved_kernel
from randla.smoothing._kernels.entries import component, length


def make_named(name, scalar):
    """The functions of "state", "square" or "lag_product", entry by entry of a state."""
    square, lag = name == "square", name == "lag_product"

    @unsaved_inline
    def term(x, xn):
        return x * xn if lag else xn * xn if square else xn  # chosen when it is compiled

    @unsaved_kernel
    def next_number(t, x, xn, y, theta, out):
        out[0] = term(x, xn)

    @unsaved_kernel
    def first_number(x, y, theta, out):
        out[0] = 0.0 if lag else term(x, x)

    @unsaved_kernel
    def next_vector(t, x, xn, y, theta, out):
        for k in range(x.size):
            out[k] = term(x[k], xn[k])

    @unsaved_kernel
    def first_vector(x, y, theta, out):
        for k in range(x.size):
            out[k] = 0.0 if lag else term(x[k], x[k])

    return (first_number, next_number) if scalar else (first_vector, next_vector)


# The score by central differences. After the p entries of the gradient, `out` has p more for the
# shifted parameters. A step is small on the unconstrained scale, so that it is relative to a
# positive parameter and stays inside a bounded range; its size is the cube root of the
# rounding unit, where the errors of truncation and of rounding balance. The scale of an unbounded
# parameter is known only from its size; near zero, for a parameter of order 1 and for one of order
# 1e-8, the error is below 1e-3.

_STEP, _SMALLEST = 6e-6, 1e-5
REAL, LOG, LOGIT, TANH = range(4)


@inline
def difference_step(value, kind):
    """Step in a parameter whose support is `kind`."""
    if kind == LOG:
        return _STEP * value  # d theta / d log theta = theta
    if kind == LOGIT:
        return _STEP * value * (1.0 - value)
    if kind == TANH:
        return _STEP * (1.0 - value) * (1.0 + value)
    return _STEP * max(abs(value), _SMALLEST)


@kernel
def is_missing(y):
    missing = True
    for k in range(length(y)):
        missing &= math.isnan(component(y, k))
    return missing


def make_access(packed):
    """The parameters in the `theta` of the functions, and `theta` with other parameters."""
    if packed:  # a record `randla.smoothing._model.series.Arguments`

        @unsaved_inline
        def parameters(theta):
            return theta[0]

        @unsaved_inline
        def replaced(theta, others):
            return (others, theta[1], theta[2], theta[3])

    else:

        @unsaved_inline
        def parameters(theta):
            return theta

        @unsaved_inline
        def replaced(theta, others):
            return others

    return parameters, replaced


def make_numeric_score(log_initial, log_transition, log_potential, kinds, packed):
    """Functions that write the score; `kinds` are the supports of the parameters, as above."""
    parameters, replaced = make_access(packed)

    @unsaved_kernel
    def log_term(t, x, xn, y, missing, theta):
        value = log_initial(xn, theta) if t < 0 else log_transition(t, x, xn, theta)
        return value if missing else value + log_potential(t + 1, xn, y, theta)

    @unsaved_kernel
    def score_next(t, x, xn, y, theta, out):
        values = parameters(theta)
        p = values.size
        shifted, missing = out[p : 2 * p], is_missing(y)  # the potential of a missing row is 1
        for k in range(p):
            shifted[k] = values[k]
        other = replaced(theta, shifted)
        for k in range(p):
            step = difference_step(values[k], kinds[k])
            shifted[k] = values[k] + step
            up, high = log_term(t, x, xn, y, missing, other), shifted[k]
            shifted[k] = values[k] - step
            down, low = log_term(t, x, xn, y, missing, other), shifted[k]
            out[k] = (up - down) / (high - low)  # by the step as it was rounded
            shifted[k] = values[k]

    @unsaved_kernel
    def score_first(x, y, theta, out):  # t = -1: log_initial, and the potential of time 0
        score_next(-1, x, x, y, theta, out)

    return score_first, score_next
