"""Drawing the index J of the particle at time t that precedes a particle x of time t + 1.

Given the clouds J has the law B_t(x, j) proportional to W_t^j q_t(X_t^j, x). Each factory below
returns a jitted function ::

    fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info)

that fills J (M, n) with M draws for each of the n particles `xn` of time t + 1. `x`, `logw`, `w`,
`c`, `total`, `guide` are the cloud of time t with its weights, `A` (n,) the particles from which
`xn` were drawn and `logwn` (n,) their log weights. `limit` is the number of proposals of
``reject``, `work` is work space, (1, N) or (3, n) for ``mcmc``, and ``info = (code, time, count)``.

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

Events of probability exp(-z) are tested against an exponential variate, without exp.
"""

import math

from randla._jit import kernel, unsaved_inline, unsaved_kernel
from randla._random import exponential, uniform
from randla.smoothing._kernels.resample import guided_draw, search
from randla.smoothing._kernels.status import ABOVE_BOUND, NAN_TRANSITION, OK, ZERO_TRANSITION
from randla.smoothing._kernels.weights import exponentiate, largest

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
    def backward_row(t, x, logw, xi, logwi, theta, row, info):
        """Fill row (N,) with weights proportional to B_t(xi, .); returns their sum, or zero."""
        for k in range(row.size):
            row[k] = log_transition(t, x[k], xi, theta) + logw[k]
        top = largest(row)
        total, _, n_nan = exponentiate(row, row, top)
        if n_nan > 0 and top != -math.inf:
            report(info, NAN_TRANSITION, t)
            return 0.0
        if top == -math.inf:
            for k in range(row.size):
                if row[k] != row[k]:
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
            mass = backward_row(t, x, logw, xn[i], logwn[i], theta, row, info)
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
                        mass = backward_row(t, x, logw, xi, logwn[i], theta, row, info)
                        if mass > 0.0:
                            mass = cumulate(row)
                    j = search(row, uniform(rng) * mass) if mass > 0.0 else A[i]
                J[m, i] = j

    return fill


def mcmc_form(log_transition):
    @unsaved_inline
    def fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info):
        n = J.shape[1]
        kept, proposed, waits = work[0], work[1], work[2]
        first = J[0]
        for i in range(n):
            first[i] = A[i]
        n_bad, n_zero = 0, 0
        for i in range(n):
            v = log_transition(t, x[A[i]], xn[i], theta)
            kept[i] = v
            n_bad += not v < math.inf
            n_zero += v == -math.inf and logwn[i] > -math.inf
        for m in range(1, J.shape[0]):
            last, now = J[m - 1], J[m]
            for i in range(n):
                now[i] = guided_draw(rng, c, total, guide)
                waits[i] = exponential(rng)
            for i in range(n):
                v = log_transition(t, x[now[i]], xn[i], theta)
                proposed[i] = v
                n_bad += not v < math.inf
            # A loop of its own, which vectorises: in the one above the choice became a branch
            # that was mispredicted at every second particle.
            for i in range(n):
                j, k, u, v = now[i], last[i], kept[i], proposed[i]
                accepted = waits[i] > u - v
                now[i] = j if accepted else k
                kept[i] = v if accepted else u
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
