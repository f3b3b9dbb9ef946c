"""The functions of a linear Gaussian model with intercepts or a time axis.

`theta` holds the parameters, a piece for each time t (one for all, if only intercepts are new),
and the number and the size of the pieces. A piece is the packed array of `linear_gaussian` for the
step to time t and the row of time t, behind the intercepts c and d. With x' - c instead of
the new state and y - d in that of the observation all functions are the ones there.
"""

import numpy as np

from randla._jit import kernel
from randla.smoothing._kernels.entries import component
from randla.smoothing._kernels.models import linear_gaussian as constant
from randla.smoothing._kernels.models.linear_gaussian import B, block, dot, observed_size


@kernel
def piece(theta, t):
    """The packed array of time t."""
    n, size = int(theta[-2]), int(theta[-1])
    first = theta.size - 2 - (n - min(t, n - 1)) * size
    return theta[first : first + size]


@kernel
def less(x, at, first, n):
    """The difference x - at[first : first + n]; an observation x may be a number."""
    out = np.empty(n)
    for i in range(n):
        out[i] = component(x, i) - at[first + i]
    return out


@kernel
def less_row(y, at, d):
    """The observation less its intercept, y - d."""
    return less(y, at, d, observed_size(at))


@kernel
def add(at, first, out):
    for i in range(out.size):
        out[i] += at[first + i]


@kernel
def initial(rng, theta, out):
    constant.initial(rng, piece(theta, 0), out)


@kernel
def transition(rng, t, x, theta, out):
    at = piece(theta, t + 1)
    constant.transition(rng, t, x, at, out)
    add(at, 0, out)


@kernel
def log_initial(x, theta):
    return constant.log_initial(x, piece(theta, 0))


@kernel
def log_transition(t, x, xn, theta):
    at = piece(theta, t + 1)
    return constant.log_transition(t, x, less(xn, at, 0, x.size), at)


@kernel
def log_transition_bound(t, theta):
    return constant.log_transition_bound(t, piece(theta, t + 1))


@kernel
def log_potential(t, x, y, theta):
    at = piece(theta, t)
    return constant.log_potential(t, x, less_row(y, at, x.size), at)


@kernel
def observe(rng, t, x, theta, out):
    at = piece(theta, t)
    constant.observe(rng, t, x, at, out)
    add(at[: x.size + observed_size(at)], x.size, out[: observed_size(at)])


@kernel
def initial_proposal(rng, y, theta, out):
    at = piece(theta, 0)
    constant.initial_proposal(rng, less_row(y, at, out.size), at, out)


@kernel
def log_initial_proposal(x, y, theta):
    at = piece(theta, 0)
    return constant.log_initial_proposal(x, less_row(y, at, x.size), at)


@kernel
def less_both(y, at, d):
    """The row y - d - B c: what x' - c, which begins at A x, is observed as."""
    out = less_row(y, at, d)
    for i in range(out.size):
        out[i] -= dot(at, block(at, B) + i * d, d, at)
    return out


@kernel
def proposal(rng, t, x, y, theta, out):
    at = piece(theta, t + 1)
    constant.proposal(rng, t, x, less_both(y, at, x.size), at, out)
    add(at, 0, out)


@kernel
def log_proposal(t, x, xn, y, theta):
    at = piece(theta, t + 1)
    rest = less_both(y, at, x.size)
    return constant.log_proposal(t, x, less(xn, at, 0, x.size), rest, at)
