"""Log weights to weights: exponentials, sums, moments.

`exp_negative` is free of branches and of table look-ups, so that the loops which use it vectorise:
x = k log 2 + r with |r| <= log(2)/2, a Taylor polynomial for exp(r), and k added to the exponent
bits. Its error is below one unit in the last place; results that would be subnormal (x < -708) are
zero.

Source: Cody and Waite, "Software Manual for the Elementary Functions", Prentice-Hall (1980).
"""

import math

import numpy as np

from randla._jit import inline, kernel, summing_kernel
from randla.smoothing._kernels.particles.status import (
    ALL_ZERO,
    INFINITE_STATE,
    INFINITE_WEIGHT,
    NAN_WEIGHT,
    OK,
)

_LOG2_E = 1.0 / math.log(2.0)
_TO_INTEGER = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest integer in the low bits
# log(2) in two parts, the high one with 21 zeros at its end: k times it is exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (
    1.0 / math.factorial(k) for k in range(2, 14)
)
_EXPONENT = np.int64(52)


@inline
def exp_negative(x):
    """exp(x) for x <= 0; zero below -708 and for NaN."""
    z = x * _LOG2_E + _TO_INTEGER
    k = z - _TO_INTEGER  # x / log 2, rounded
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = _C13  # Horner: exp(r) = 1 + r + r^2 / 2! + ... + r^13 / 13!, error below 6e-18
    p = p * r + _C12
    p = p * r + _C11
    p = p * r + _C10
    p = p * r + _C9
    p = p * r + _C8
    p = p * r + _C7
    p = p * r + _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r + 1.0
    p = p * r + 1.0
    # exp(x) = 2^k p: k, in the low bits of z, is added to the exponent of p.
    bits = np.int64(np.float64(p).view(np.int64) + (np.float64(z).view(np.int64) << _EXPONENT))
    return np.float64(bits.view(np.float64)) if x > -708.0 else 0.0


@kernel
def largest(a):
    """Largest entry, NaN ignored (-inf if there is none); eight chains, so that it pipelines."""
    m0 = m1 = m2 = m3 = m4 = m5 = m6 = m7 = -math.inf
    whole = a.size // 8 * 8
    for i in range(0, whole, 8):
        m0 = a[i] if a[i] > m0 else m0
        m1 = a[i + 1] if a[i + 1] > m1 else m1
        m2 = a[i + 2] if a[i + 2] > m2 else m2
        m3 = a[i + 3] if a[i + 3] > m3 else m3
        m4 = a[i + 4] if a[i + 4] > m4 else m4
        m5 = a[i + 5] if a[i + 5] > m5 else m5
        m6 = a[i + 6] if a[i + 6] > m6 else m6
        m7 = a[i + 7] if a[i + 7] > m7 else m7
    for i in range(whole, a.size):
        m0 = a[i] if a[i] > m0 else m0
    return max(max(max(m0, m1), max(m2, m3)), max(max(m4, m5), max(m6, m7)))


@summing_kernel
def exponentiate(log_weights, w, top):
    """Fill w with exp(log_weights - top); return sum, sum of squares and number of NaN."""
    n_nan = 0
    for i in range(log_weights.size):
        v = log_weights[i] - top  # <= 0, so that nothing overflows
        w[i] = exp_negative(v)
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
def normalise(log_weights, weights, cumulative, t, info):
    """Normalised weights and their cumulative sums.

    Returns log sum exp(log_weights), the end of the cumulative sums (one, up to rounding) and the
    effective sample size; info = (code, t) says what is wrong if they cannot be normalised.
    """
    top = largest(log_weights)  # taken out of the exponentials, so that one of them is 1
    total, squares, n_nan = exponentiate(log_weights, weights, top)
    if top == math.inf:
        info[0] = INFINITE_WEIGHT
    elif top == -math.inf:  # then every difference is NaN: look at the weights themselves
        info[0] = ALL_ZERO
        for i in range(log_weights.size):
            if log_weights[i] != log_weights[i]:
                info[0] = NAN_WEIGHT
    elif n_nan > 0:
        info[0] = NAN_WEIGHT
    info[1] = t
    if info[0] != OK:
        return 0.0, 0.0, 0.0
    # ESS = 1 / sum W^2 of the normalised weights W (Kong, Liu and Wong 1994).
    end = accumulate(weights, cumulative, 1.0 / total)
    return top + math.log(total), end, total * total / squares


@kernel
def blame_states(X, t, info):
    """Say that the states are at fault, not their weights, if one of X has no finite square."""
    flat = X.reshape(X.size)
    for i in range(X.size):
        if not flat[i] * flat[i] < math.inf:
            info[0], info[1] = INFINITE_STATE, t


@summing_kernel
def weighted_moments(w, X, mean, variance):
    """Mean and variance of the columns of X (N, d) under normalised weights, in two passes.

    Rows of weight zero may hold anything. Returns whether the moments are finite.
    """
    n, d = X.shape
    if d == 1:  # sums in registers, which vectorise
        m = 0.0
        for i in range(n):
            m += w[i] * X[i, 0] if w[i] > 0.0 else 0.0
        v = 0.0
        for i in range(n):
            v += w[i] * (X[i, 0] - m) ** 2 if w[i] > 0.0 else 0.0  # 0 * inf would be NaN
        mean[0], variance[0] = m, v
        return v < math.inf
    mean[:] = 0.0
    variance[:] = 0.0
    for i in range(n):
        if w[i] > 0.0:
            for k in range(d):
                mean[k] += w[i] * X[i, k]
    for i in range(n):
        if w[i] > 0.0:
            for k in range(d):
                variance[k] += w[i] * (X[i, k] - mean[k]) ** 2
    finite = True
    for k in range(d):
        finite = finite and variance[k] < math.inf
    return finite
