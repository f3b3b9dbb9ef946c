"""Powers of many positive numbers, as a loop that vectorises."""

import numpy as np

from randla._jit import fused_kernel

_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_SQRT_HALF = np.int64(0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)
_SHIFT, _BIAS = np.int64(52), np.int64(1023)
_LOG2_E, _LN_2 = 1.4426950408889634, 0.6931471805599453


@fused_kernel
def power(x, c, out, work):
    """``out = x ** c`` for positive x, lane by lane, to 16 |c log2 x| units in the last place.

    The exponent comes from the bits of x, the logarithm of the mantissa m in [sqrt(1/2), sqrt(2))
    from the series of 2 artanh((m - 1)/(m + 1)), and 2^y from Taylor's polynomial on [-1/2, 1/2]:
    a plain loop that vectorises, where the library's pow would be called for each number. Results
    below 2^-1000 or above 2^1000 are cut there. `work` (2, n); x, out and work do not overlap.
    """
    n = x.size
    mantissa, scale = work[0], work[1]
    x_bits, mantissa_bits = x.view(np.int64), work[0].view(np.int64)
    scale_bits = work[1].view(np.int64)
    for k in range(n):
        bits = x_bits[k] - _SQRT_HALF
        mantissa_bits[k] = (bits & _MANTISSA) + _SQRT_HALF  # m in [sqrt(1/2), sqrt(2))
        out[k] = np.float64(bits >> _SHIFT)  # x = m 2^out
    for k in range(n):
        s = (mantissa[k] - 1.0) / (mantissa[k] + 1.0)
        z = s * s  # log m = 2 (s + s^3 / 3 + s^5 / 5 + ...), |s| < 0.172
        t = 1.0 / 21.0
        t = t * z + 1.0 / 19.0
        t = t * z + 1.0 / 17.0
        t = t * z + 1.0 / 15.0
        t = t * z + 1.0 / 13.0
        t = t * z + 1.0 / 11.0
        t = t * z + 1.0 / 9.0
        t = t * z + 1.0 / 7.0
        t = t * z + 1.0 / 5.0
        t = t * z + 1.0 / 3.0
        # y = c log2 x
        y = c * (out[k] + (2.0 * s * z * t + 2.0 * s) * _LOG2_E)
        y = min(max(y, -1000.0), 1000.0)
        whole = np.floor(y + 0.5)
        f = (y - whole) * _LN_2  # 2^(y - whole) = e^f, |f| < 0.35
        e = 1.0 / 479001600.0
        e = e * f + 1.0 / 39916800.0
        e = e * f + 1.0 / 3628800.0
        e = e * f + 1.0 / 362880.0
        e = e * f + 1.0 / 40320.0
        e = e * f + 1.0 / 5040.0
        e = e * f + 1.0 / 720.0
        e = e * f + 1.0 / 120.0
        e = e * f + 1.0 / 24.0
        e = e * f + 1.0 / 6.0
        e = e * f + 0.5
        e = e * f + 1.0
        out[k] = e * f + 1.0
        scale_bits[k] = (np.int64(whole) + _BIAS) << _SHIFT  # the bits of 2^whole
    for k in range(n):
        out[k] *= scale[k]
