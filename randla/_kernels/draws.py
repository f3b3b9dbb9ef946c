"""Draws of counts and proportions for users' models: binomial, beta and what is made of them.

Sources: Kachitvichyanukul and Schmeiser, "Binomial random variate generation", Comm. ACM 31 (1988),
216-222 (inversion); Hörmann, "The generation of binomial random variates", J. Stat. Comput.
Simul. 46 (1993), 101-110 (BTRS: transformed rejection with squeeze); Devroye, "Non-uniform random
variate generation", Springer (1986), XI.1.2 (multinomial), X.4.7 (negative binomial), IX.3.1 and
XI.4 (beta and Dirichlet as ratios of gammas).
"""

import math

import numpy as np

from randla._jit import kernel
from randla._random import exponential, gamma, poisson, uniform

_LARGEST = 9007199254740992  # 2^53: beyond, not every count is a float
_INVERT_BELOW = 10.0  # expected counts from which rejection is faster, and its constants hold
#: Shapes of beta and Dirichlet from which log U / shape is finite for any U.
_LEAST_SHAPE = 1e-300

# log k! = log(2 pi) / 2 + (k + 1/2) log(k + 1) - (k + 1) + _stirling(k)
_STIRLING = np.array(
    [math.lgamma(j) - 0.5 * math.log(2 * math.pi) - (j - 0.5) * math.log(j) + j
     for j in range(1, 11)]
)  # fmt: skip


@kernel
def _stirling(k):
    if k < 10.0:
        return _STIRLING[np.int64(k)]
    j = k + 1.0
    s = 1.0 / (j * j)
    return (1.0 / 12.0 - s * (1.0 / 360.0 - s / 1260.0)) / j  # the rest is below 3e-11


@kernel
def _inversion(state, n, p):
    """Binomial count for n p < 10, p <= 1/2: the first k with P(X <= k) > U."""
    odds, first = p / (1.0 - p), math.exp(n * math.log1p(-p))
    while True:
        left, k, mass = uniform(state), 0.0, first
        while left >= mass and k < n:
            left -= mass
            k += 1.0
            mass *= (n - k + 1.0) / k * odds
        if left < mass:  # else rounding: the masses add up to less than U
            return k


@kernel
def _rejection(state, n, p):
    """Binomial count for n p >= 10, p <= 1/2, by BTRS."""
    mean, odds = n * p, p / (1.0 - p)
    m = math.floor((n + 1.0) * p)  # the mode
    sd = math.sqrt(mean * (1.0 - p))
    b = 1.15 + 2.53 * sd  # constants here and below: Hörmann (1993), BTRS
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * sd
    v_r = 0.92 - 4.2 / b
    center = mean - m + 0.5
    h, slope = -1.0, 0.0
    while True:
        u = uniform(state) - 0.5
        v = 1.0 - uniform(state)
        us = 0.5 - abs(u)
        if us == 0.0:
            continue
        step = math.floor((2.0 * a / us + b) * u + center)  # from the mode: no digit is lost
        k = m + step
        if us >= 0.07 and v <= v_r:  # the squeeze: most draws end here
            return k
        if not 0.0 <= k <= n:
            continue
        if h < 0.0:
            h = _stirling(m) + _stirling(n - m)
            slope = math.log(odds) + math.log((n - m + 1.0) / (m + 1.0))
        # log P(k) / P(m). The logarithms that Hörmann multiplies by n + 1 and k + 1/2 differ by
        # rounding only where n is near 2^53; log1p of the step does not.
        log_ratio = (
            step * slope
            - (k + 0.5) * math.log1p(step / (m + 1.0))
            - (n - k + 0.5) * math.log1p(-step / (n - m + 1.0))
            + (h - _stirling(k) - _stirling(n - k))
        )
        if math.log(v * alpha / (a / (us * us) + b)) <= log_ratio:
            return k


@kernel
def _binomial(state, n, p):
    """Binomial count as a float, of a whole float n and p <= 1/2."""
    return _inversion(state, n, p) if n * p < _INVERT_BELOW else _rejection(state, n, p)


@kernel
def _is_count(n):
    """Whether n is a whole number from 0 to 2^53."""
    return 0.0 <= n <= 9007199254740992.0 and n == np.int64(n) and np.int64(n) <= _LARGEST


@kernel
def binomial(state, n, p):
    """Successes of n trials as an int64; -1 unless n is whole, 0 <= n <= 2^53, 0 <= p <= 1."""
    if not (_is_count(n) and 0.0 <= p <= 1.0):
        return np.int64(-1)
    count = _binomial(state, np.float64(n), min(p, 1.0 - p))  # 1 - p is exact for p >= 1/2
    return np.int64(count if p <= 0.5 else n - count)


@kernel
def negative_binomial(state, r, p):
    """Failures before the r-th success, real r, as an int64: Poisson of a gamma mean.

    -1 unless r > 0 and 0 < p <= 1, or where the mean that is drawn is not below 2^53.
    """
    if not (r > 0.0 and 0.0 < p <= 1.0):
        return np.int64(-1)
    return poisson(state, gamma(state, r) * ((1.0 - p) / p))


@kernel
def _log_gamma_draw(state, shape):
    """Logarithm of a gamma number, finite where the number itself would be zero."""
    if shape >= 1.0:
        return math.log(gamma(state, shape))
    return math.log(gamma(state, shape + 1.0)) - exponential(state) / shape  # G U^(1/shape)


@kernel
def _is_shape(a):
    return _LEAST_SHAPE <= a < math.inf


@kernel
def beta(state, a, b):
    """Beta on [0, 1]; NaN unless 1e-300 <= a, b < inf."""
    if not (_is_shape(a) and _is_shape(b)):
        return math.nan
    log_odds = _log_gamma_draw(state, a) - _log_gamma_draw(state, b)
    odds = math.exp(-abs(log_odds))  # of the rarer side, which keeps its digits
    return odds / (1.0 + odds) if log_odds < 0.0 else 1.0 - odds / (1.0 + odds)


@kernel
def dirichlet(state, alpha, out):
    """Proportions into `out`; NaN unless all alpha are in [1e-300, inf), as many as `out`."""
    good = alpha.size == out.size
    for k in range(alpha.size):
        good = good and _is_shape(alpha[k])
    top = -math.inf if good else math.nan
    for k in range(out.size):
        out[k] = _log_gamma_draw(state, alpha[k]) if good else math.nan
        top = max(top, out[k])
    total = 0.0
    for k in range(out.size):
        out[k] = math.exp(out[k] - top)  # the largest is 1: their sum is not zero
        total += out[k]
    for k in range(out.size):
        out[k] /= total


@kernel
def _minus(high, low, p):
    """Return high + low - p in two floats, by the rounding error of a sum (Knuth's two-sum)."""
    total = high - p
    part = total - high
    return total, low + ((high - (total - part)) - (p + part))


@kernel
def multinomial(state, n, probs, out):
    """Counts of n trials into `out`, by conditional binomials; probs need not sum to one.

    -1 unless n is as for `binomial`, there are as many probs as `out` has entries, and they are as
    for `categorical`.
    """
    high, low, lowest, last = 0.0, 0.0, 0.0, -1
    for k in range(probs.size):  # the sum in two floats, so that the rest keeps its digits
        p = probs[k]
        high, low = _minus(high, low, -p) if not p <= 0.0 else (high, low)
        lowest = min(lowest, p)
        last = k if p > 0.0 else last
    good = _is_count(n) and probs.size == out.size
    good = good and 0.0 < high < math.inf and lowest >= -1e-12 * high
    left = np.float64(n)
    for k in range(out.size):
        if not good:
            out[k] = -1
            continue
        count, p = left, max(probs[k], 0.0)
        if k < last and left > 0.0:  # the last category takes the rest
            whole = high + low
            high, low = _minus(high, low, p)
            rest = high + low  # not whole - p: the smaller of p and the rest keeps its digits
            count = _binomial(state, left, min(p, rest) / whole)
            count = count if p <= rest else left - count
        out[k] = count
        left -= count
