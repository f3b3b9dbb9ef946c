"""The functions of `linear_gaussian_varying` with numbers instead of blocks."""

from randla._jit import kernel
from randla.smoothing._kernels.entries import component
from randla.smoothing._kernels.models import linear_gaussian_scalar as constant
from randla.smoothing._kernels.models.linear_gaussian import B, block
from randla.smoothing._kernels.models.linear_gaussian_varying import piece

_C, _D = 0, 1  # the intercepts, at the beginning of a piece


@kernel
def initial(rng, theta):
    return constant.initial(rng, piece(theta, 0))


@kernel
def transition(rng, t, x, theta):
    at = piece(theta, t + 1)
    return constant.transition(rng, t, x, at) + at[_C]


@kernel
def log_initial(x, theta):
    return constant.log_initial(x, piece(theta, 0))


@kernel
def log_transition(t, x, xn, theta):
    at = piece(theta, t + 1)
    return constant.log_transition(t, x, xn - at[_C], at)


@kernel
def log_transition_bound(t, theta):
    return constant.log_transition_bound(t, piece(theta, t + 1))


@kernel
def log_potential(t, x, y, theta):
    at = piece(theta, t)
    return constant.log_potential(t, x, component(y, 0) - at[_D], at)


@kernel
def observe(rng, t, x, theta, out):
    at = piece(theta, t)
    constant.observe(rng, t, x, at, out)
    out[0] += at[_D]


@kernel
def initial_proposal(rng, y, theta):
    at = piece(theta, 0)
    return constant.initial_proposal(rng, component(y, 0) - at[_D], at)


@kernel
def log_initial_proposal(x, y, theta):
    at = piece(theta, 0)
    return constant.log_initial_proposal(x, component(y, 0) - at[_D], at)


@kernel
def less_both(y, at):
    """The number y - d - B c: what x' - c, which begins at A x, is observed as."""
    return component(y, 0) - at[_D] - at[block(at, B)] * at[_C]


@kernel
def proposal(rng, t, x, y, theta):
    at = piece(theta, t + 1)
    return constant.proposal(rng, t, x, less_both(y, at), at) + at[_C]


@kernel
def log_proposal(t, x, xn, y, theta):
    at = piece(theta, t + 1)
    return constant.log_proposal(t, x, xn - at[_C], less_both(y, at), at)
