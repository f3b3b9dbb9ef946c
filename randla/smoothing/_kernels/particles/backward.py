"""Drawing the index J of the particle at time t that precedes a particle x of time t + 1.

Given the clouds J has the law B_t(x, j) proportional to W_t^j q_t(X_t^j, x). Each factory below
returns a jitted function ::

    fill(rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, info)

that fills ``indices`` (M, n) of the record ``backward = (indices, work, limit)`` with M draws for
each of the n particles `xn` of time t + 1. `x`, `log_w`, `weights`, `total` are the cloud of time
t with its weights (see `resample`), `ancestors` (n,) the particles from which `xn` were drawn and
`log_wn` (n,) their log weights. `limit` is the number of proposals of ``reject``, `work` is work
space, (2, N) or (3, n) for ``mcmc``, and ``info = (code, time, count)``.

exact
    A cumulative row over all particles, shared by the M draws.
reject
    Proposals from W_t, accepted with probability q / bound; after `limit` of them an exact draw.
    The law is exact, since a failed proposal carries no information.
mcmc
    The first draw is the true ancestor, which has the law B_t given the clouds (with multinomial
    resampling), and each further draw one step of an independence Metropolis-Hastings chain with
    proposals from W_t (Dau and Chopin 2023, section 3).
ancestor
    The true ancestor only: the genealogy.

An event of probability exp(-z) is tested against an exponential variate, without exp, or in a loop
that vectorizes against a uniform one.
"""

import math

from randla._elementary import exp
from randla._jit import kernel, unsaved_inline, unsaved_kernel
from randla._random import exponential, uniform
from randla.smoothing._kernels.particles.resample import guided_draw, search
from randla.smoothing._kernels.particles.status import (
    ABOVE_BOUND,
    NAN_TRANSITION,
    OK,
    ZERO_TRANSITION,
)
from randla.smoothing._kernels.particles.unowned import stack_copy, store_stream
from randla.smoothing._kernels.particles.weights import exponentiate, largest

# A proposal that is accepted with probability below exp(-40) is refused without a draw.
_HOPELESS = 40.0
# Densities may exceed their bound by rounding.
_ROUNDING = 1e-9


@kernel
def cumulate(row):
    """Replace a row by its cumulative sums but the last, which is inf; return the sum."""
    total = 0.0
    for k in range(row.size):
        total += row[k]
        row[k] = total
    row[row.size - 1] = math.inf
    return total


@kernel
def report(info, code, t):
    """Keep the first error and its time, and count all of them."""
    if info[0] == OK:
        info[0], info[1] = code, t
    info[2] += 1


def make_backward_row(log_transition):
    @unsaved_kernel
    def fill_logs(t, theta, x, log_w, xi, logs):
        for k in range(logs.size):
            logs[k] = log_transition(t, x[k], xi, theta) + log_w[k]

    @unsaved_kernel
    def backward_row(t, theta, x, log_w, xi, log_wi, work, info):
        """Fill work[0] with W_t^j q_t(X_t^j, xi) up to a factor; returns their sum, or zero."""
        row, logs = work[0], work[1]  # two arrays: in place the exponentials would not vectorize
        fill_logs(t, theta, x, log_w, xi, logs)
        top = largest(logs)  # subtracted, so that the largest weight is one: no underflow of all
        total, _, n_nan = exponentiate(logs, row, top)
        if n_nan > 0 and top != -math.inf:
            report(info, NAN_TRANSITION, t)
            return 0.0
        if top == -math.inf:  # then all differences are NaN: check the logarithms themselves
            for k in range(logs.size):
                if logs[k] != logs[k]:
                    report(info, NAN_TRANSITION, t)
                    return 0.0
            if log_wi > -math.inf:  # else a proposal put the particle where q is zero: no matter
                report(info, ZERO_TRANSITION, t)
            return 0.0
        return total

    return backward_row


def make_exact(log_transition):
    backward_row = make_backward_row(log_transition)

    @unsaved_kernel
    def fill(rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, info):
        indices, work, _ = backward
        row = work[0]
        for i in range(indices.shape[1]):
            mass = backward_row(t, theta, x, log_w, xn[i], log_wn[i], work, info)
            if mass > 0.0:
                mass = cumulate(row)
            for m in range(indices.shape[0]):  # one row, O(N), for all M draws, O(log N) each
                j = search(row, uniform(rng) * mass) if mass > 0.0 else ancestors[i]
                indices[m, i] = j

    return fill


def make_reject(log_transition, log_transition_bound):
    backward_row = make_backward_row(log_transition)

    @unsaved_kernel
    def fill(rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, info):
        _, cumulative, guide, _ = weights
        indices, work, limit = backward
        bound = log_transition_bound(t, theta)
        tolerance = _ROUNDING * (1.0 + abs(bound))
        row = work[0]
        for i in range(indices.shape[1]):
            xi = xn[i]
            mass = -1.0  # of the exact row, once there is one
            for m in range(indices.shape[0]):
                j, accepted = ancestors[i], False
                for _ in range(limit):
                    j = guided_draw(rng, cumulative, total, guide)
                    z = bound - log_transition(t, x[j], xi, theta)  # -log of the acceptance
                    if not z >= -tolerance:
                        report(info, ABOVE_BOUND if z < 0.0 else NAN_TRANSITION, t)
                    if z < _HOPELESS and exponential(rng) > z:
                        accepted = True
                        break
                if not accepted:
                    if mass < 0.0:
                        mass = backward_row(t, theta, x, log_w, xi, log_wn[i], work, info)
                        if mass > 0.0:
                            mass = cumulate(row)
                    j = search(row, uniform(rng) * mass) if mass > 0.0 else ancestors[i]
                indices[m, i] = j

    return fill


def make_densities(log_transition, scalar):
    """Log q of the pairs (x[indices[i]], xn[i]), into `out`; returns how many are NaN or +inf."""
    if scalar:

        @unsaved_kernel
        def densities(t, theta, x, indices, xn, out):
            # Gathered first: the loop over the density then runs on contiguous arrays and
            # vectorizes, which made it three times faster for a Gaussian one.
            for i in range(indices.size):
                out[i] = x[indices[i]]
            n_bad = 0
            for i in range(indices.size):
                v = log_transition(t, out[i], xn[i], theta)
                out[i] = v
                n_bad += not v < math.inf
            return n_bad

    else:

        @unsaved_kernel
        def densities(t, theta, x, indices, xn, out):
            n_bad = 0
            for i in range(indices.size):
                v = log_transition(t, x[indices[i]], xn[i], theta)
                out[i] = v
                n_bad += not v < math.inf
            return n_bad

    return densities


@kernel
def draw_proposals(stream, cumulative, total, guide, indices, levels):
    """Fill `indices` with independent draws from W_t and `levels` with uniform numbers."""
    rng = stack_copy(stream)
    for i in range(indices.size):
        indices[i] = guided_draw(rng, cumulative, total, guide)
        levels[i] = uniform(rng)
    store_stream(rng, stream)


@kernel
def choose(levels, last, now, kept, proposed):
    """Metropolis-Hastings choices, in a loop that vectorizes.

    Proposals have the law W_t, so the weights cancel from the ratio of targets and the rest
    is q(X^j, x) / q(X^J, x): accept where u < exp(proposed - kept).
    """
    for i in range(now.size):
        j, k, u, v = now[i], last[i], kept[i], proposed[i]
        accepted = levels[i] < exp(min(v - u, 0.0))  # false if both are -inf
        now[i] = j if accepted else k
        kept[i] = v if accepted else u


@kernel
def count_impossible(densities, log_weights):
    """Pairs of density zero whose particle nevertheless has a weight."""
    n = 0
    for i in range(densities.size):
        n += densities[i] == -math.inf and log_weights[i] > -math.inf
    return n


def make_mcmc(log_transition, scalar):
    densities = make_densities(log_transition, scalar)

    @unsaved_kernel
    def fill(rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, info):
        _, cumulative, guide, _ = weights
        indices, work, _ = backward
        kept, proposed, levels = work[0], work[1], work[2]  # log q of both, uniform numbers
        first = indices[0]
        for i in range(indices.shape[1]):
            first[i] = ancestors[i]
        n_bad = densities(t, theta, x, first, xn, kept)
        n_zero = count_impossible(kept, log_wn)
        for m in range(1, indices.shape[0]):
            draw_proposals(rng, cumulative, total, guide, indices[m], levels)
            n_bad += densities(t, theta, x, indices[m], xn, proposed)
            choose(levels, indices[m - 1], indices[m], kept, proposed)
        if n_bad > 0:
            report(info, NAN_TRANSITION, t)
        elif n_zero > 0:
            report(info, ZERO_TRANSITION, t)

    return fill


def make_ancestor():
    @unsaved_inline
    def fill(rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, info):
        indices, _, _ = backward
        for m in range(indices.shape[0]):
            for i in range(indices.shape[1]):
                indices[m, i] = ancestors[i]

    return fill
