"""Log weights to weights: exponentials, sums, moments."""

import math

import numpy as np

from randla._elementary import bits_of, exp, of_bits
from randla._jit import kernel, summing_kernel
from randla.smoothing._kernels.particles.status import (
    ALL_ZERO,
    INFINITE_WEIGHT,
    NAN_WEIGHT,
    OK,
)

_MAGNITUDE = np.int64((1 << 63) - 1)
_LEAST = np.int64(-0x7FF0000000000001)  # the key of -inf


@kernel
def largest(a):
    """Largest entry, NaN ignored (-inf if there is none).

    As integers in the order of the numbers, whose maximum LLVM vectorizes: the bits of a double,
    all but the sign inverted if it is negative.
    """
    top = _LEAST
    for i in range(a.size):
        bits = bits_of(a[i])
        key = bits ^ ((bits >> 63) & _MAGNITUDE)
        key = key if a[i] == a[i] else _LEAST
        top = key if key > top else top
    return of_bits(top ^ ((top >> 63) & _MAGNITUDE))


@summing_kernel
def exponentiate(log_weights, w, top):
    """Fill w with exp(log_weights - top); return sum, sum of squares and number of NaN."""
    n_nan = 0
    for i in range(log_weights.size):
        v = log_weights[i] - top  # <= 0, so that nothing overflows
        w[i] = exp(v)
        n_nan += v != v  # without a branch
    total, squares = 0.0, 0.0  # in a loop that stores nothing, see `summing_kernel`
    for i in range(w.size):
        total += w[i]
        squares += w[i] * w[i]
    return total, squares, n_nan


@kernel
def accumulate(w, c, scale):
    """Scale w, fill c with its cumulative sums but the last, which is inf; return the sum.

    By fours, as each sum waits for the one before; rounding leaves them in order.
    """
    total = 0.0
    whole = w.size // 4 * 4
    for i in range(0, whole, 4):
        v0, v1, v2, v3 = w[i] * scale, w[i + 1] * scale, w[i + 2] * scale, w[i + 3] * scale
        w[i], w[i + 1], w[i + 2], w[i + 3] = v0, v1, v2, v3
        two = v0 + v1  # does not wait for `total`
        c[i], c[i + 1], c[i + 2] = total + v0, total + two, total + (two + v2)
        total += two + (v2 + v3)
        c[i + 3] = total
    for i in range(whole, w.size):
        v = w[i] * scale
        w[i] = v
        total += v
        c[i] = total
    c[w.size - 1] = math.inf
    return total


@kernel
def normalize(log_weights, weights, cumulative, t, info):
    """Normalized weights and their cumulative sums.

    Returns log sum exp(log_weights), the end of the cumulative sums (one, up to rounding) and the
    effective sample size; info = (code, t) says what is wrong if they cannot be normalized.
    """
    top = largest(log_weights)  # taken out of the exponentials, so that one of them is 1
    total, squares, n_nan = exponentiate(log_weights, weights, top)
    if top == math.inf:
        info[0] = INFINITE_WEIGHT
    elif top == -math.inf:  # then every difference is NaN: check the weights themselves
        info[0] = ALL_ZERO
        for i in range(log_weights.size):
            if log_weights[i] != log_weights[i]:
                info[0] = NAN_WEIGHT
    elif n_nan > 0:
        info[0] = NAN_WEIGHT
    info[1] = t
    if info[0] != OK:
        return 0.0, 0.0, 0.0
    # ESS = 1 / sum W^2 of the normalized weights W (Kong, Liu and Wong 1994).
    end = accumulate(weights, cumulative, 1.0 / total)
    return top + math.log(total), end, total * total / squares


@summing_kernel
def weighted_moments(w, X, mean, variance):
    """Mean and variance of the columns of X (N, d) under normalized weights, in two passes.

    Rows of weight zero may hold anything. Returns whether the moments are finite.
    """
    n, d = X.shape
    finite = True
    for k in range(d):
        m = v = 0.0
        for i in range(n):
            m += w[i] * X[i, k] if w[i] > 0.0 else 0.0
        for i in range(n):
            e = X[i, k] - m
            v += w[i] * e * e if w[i] > 0.0 else 0.0  # 0 * inf would be NaN
        mean[k], variance[k] = m, v
        finite = finite and v < math.inf
    return finite
