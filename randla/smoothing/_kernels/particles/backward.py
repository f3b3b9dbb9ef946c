"""Drawing the index J of the particle at time t that precedes a particle x of time t + 1.

Given the clouds J has the law B_t(x, j) proportional to W_t^j q_t(X_t^j, x). Each factory below
returns a jitted function ::

    fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info)

that fills J (M, n) with M draws for each of the n particles `xn` of time t + 1. `x`, `logw`, `w`,
`c`, `total`, `guide` are the cloud of time t with its weights, `A` (n,) the particles from which
`xn` were drawn and `logwn` (n,) their log weights. `limit` is the number of proposals of
``reject``, `work` is work space, (2, N) or (3, n) for ``mcmc``, and ``info = (code, time, count)``.

exact
    A cumulative row over all particles, shared by the M draws.
reject
    Proposals from W_t, accepted with probability q / bound; after `limit` of them an exact draw.
    The law is exact, since a failed proposal carries no information.
mcmc
    J[0] is the true ancestor, which has the law B_t given the clouds (with multinomial
    resampling), and each further draw one step of an independence Metropolis-Hastings chain with
    proposals from W_t (Olsson and Westerborn 2017, section 4; Dau and Chopin 2023, section 3).
ancestor
    The true ancestor only: the genealogy.

An event of probability exp(-z) is tested against an exponential variate, without exp, or in a loop
that vectorises against a uniform one.
"""

import math

from randla._elementary import exp
from randla._jit import kernel, unsaved_inline, unsaved_kernel
from randla._random import exponential, uniform
from randla.smoothing._kernels.particles.borrow import keep, on_stack
from randla.smoothing._kernels.particles.resample import guided_draw, search
from randla.smoothing._kernels.particles.status import (
    ABOVE_BOUND,
    NAN_TRANSITION,
    OK,
    ZERO_TRANSITION,
)
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
    if info[0] == OK:
        info[0], info[1] = code, t
    info[2] += 1


def backward_row_form(log_transition):
    @unsaved_kernel
    def fill_logs(t, x, logw, xi, theta, logs):
        for k in range(logs.size):
            logs[k] = log_transition(t, x[k], xi, theta) + logw[k]

    @unsaved_kernel
    def backward_row(t, x, logw, xi, logwi, theta, work, info):
        """Fill work[0] with weights proportional to B_t(xi, .); returns their sum, or zero."""
        row, logs = work[0], work[1]  # two arrays: in place the exponentials would not vectorise
        fill_logs(t, x, logw, xi, theta, logs)
        top = largest(logs)
        total, _, n_nan = exponentiate(logs, row, top)
        if n_nan > 0 and top != -math.inf:
            report(info, NAN_TRANSITION, t)
            return 0.0
        if top == -math.inf:
            for k in range(logs.size):
                if logs[k] != logs[k]:
                    report(info, NAN_TRANSITION, t)
                    return 0.0
            if logwi > -math.inf:  # else a proposal put the particle where q is zero: no matter
                report(info, ZERO_TRANSITION, t)
            return 0.0
        return total

    return backward_row


def exact_form(log_transition):
    backward_row = backward_row_form(log_transition)

    @unsaved_kernel
    def fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info):
        row = work[0]
        for i in range(J.shape[1]):
            mass = backward_row(t, x, logw, xn[i], logwn[i], theta, work, info)
            if mass > 0.0:
                mass = cumulate(row)
            for m in range(J.shape[0]):
                J[m, i] = search(row, uniform(rng) * mass) if mass > 0.0 else A[i]

    return fill


def reject_form(log_transition, log_transition_bound):
    backward_row = backward_row_form(log_transition)

    @unsaved_kernel
    def fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info):
        bound = log_transition_bound(t, theta)
        tolerance = _ROUNDING * (1.0 + abs(bound))
        row = work[0]
        for i in range(J.shape[1]):
            xi = xn[i]
            mass = -1.0  # of the exact row, once there is one
            for m in range(J.shape[0]):
                j, accepted = A[i], False
                for _ in range(limit):
                    j = guided_draw(rng, c, total, guide)
                    z = bound - log_transition(t, x[j], xi, theta)
                    if not z >= -tolerance:
                        report(info, ABOVE_BOUND if z < 0.0 else NAN_TRANSITION, t)
                    if z < _HOPELESS and exponential(rng) > z:
                        accepted = True
                        break
                if not accepted:
                    if mass < 0.0:
                        mass = backward_row(t, x, logw, xi, logwn[i], theta, work, info)
                        if mass > 0.0:
                            mass = cumulate(row)
                    j = search(row, uniform(rng) * mass) if mass > 0.0 else A[i]
                J[m, i] = j

    return fill


def densities_form(log_transition, scalar):
    """Log densities of the pairs (x[J[i]], xn[i]), into `out`; returns how many are NaN or +inf."""
    if scalar:

        @unsaved_kernel
        def densities(t, x, J, xn, theta, out):
            # Gathered first: the loop over the density then runs on contiguous arrays and
            # vectorises, which made it three times faster for a Gaussian one.
            for i in range(J.size):
                out[i] = x[J[i]]
            n_bad = 0
            for i in range(J.size):
                v = log_transition(t, out[i], xn[i], theta)
                out[i] = v
                n_bad += not v < math.inf
            return n_bad

    else:

        @unsaved_kernel
        def densities(t, x, J, xn, theta, out):
            n_bad = 0
            for i in range(J.size):
                v = log_transition(t, x[J[i]], xn[i], theta)
                out[i] = v
                n_bad += not v < math.inf
            return n_bad

    return densities


@kernel
def draw_proposals(stream, c, total, guide, J, levels):
    """Fill J with independent draws from the weights and `levels` with uniform numbers."""
    rng = on_stack(stream)
    for i in range(J.size):
        J[i] = guided_draw(rng, c, total, guide)
        levels[i] = uniform(rng)
    keep(rng, stream)


@kernel
def choose(levels, last, now, kept, proposed):
    """Metropolis-Hastings choices, u < exp(proposed - kept), in a loop that vectorises."""
    for i in range(now.size):
        j, k, u, v = now[i], last[i], kept[i], proposed[i]
        accepted = levels[i] < exp(min(v - u, 0.0))  # false if both are -inf
        now[i] = j if accepted else k
        kept[i] = v if accepted else u


@kernel
def count_impossible(densities, logw):
    """Pairs of density zero whose particle has a weight all the same."""
    n = 0
    for i in range(densities.size):
        n += densities[i] == -math.inf and logw[i] > -math.inf
    return n


def mcmc_form(log_transition, scalar):
    densities = densities_form(log_transition, scalar)

    @unsaved_kernel
    def fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info):
        kept, proposed, levels = work[0], work[1], work[2]
        first = J[0]
        for i in range(J.shape[1]):
            first[i] = A[i]
        n_bad = densities(t, x, first, xn, theta, kept)
        n_zero = count_impossible(kept, logwn)
        for m in range(1, J.shape[0]):
            draw_proposals(rng, c, total, guide, J[m], levels)
            n_bad += densities(t, x, J[m], xn, theta, proposed)
            choose(levels, J[m - 1], J[m], kept, proposed)
        if n_bad > 0:
            report(info, NAN_TRANSITION, t)
        elif n_zero > 0:
            report(info, ZERO_TRANSITION, t)

    return fill


def ancestor_form():
    @unsaved_inline
    def fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info):
        for m in range(J.shape[0]):
            for i in range(J.shape[1]):
                J[m, i] = A[i]

    return fill
