"""Powers, logarithms and exponentials that vectorize: no branches, no tables, no library calls.

The functions are inlined into the loops of kernels, which LLVM then turns into vector code; the
library's `pow` would be a call for each number. Numbers are split into exponent and mantissa by
their bits, and series of fixed length do the rest. Errors, compared with `math` and mpmath:

============  ===================================  ====================================
``log2(x)``   absolute, 2e-16 (1 + abs(log2 x))    x > 0, not subnormal, not inf
``exp2(y)``   relative, 4e-16                      0 below -1074, inf above 1024
``power``     relative, 1e-15 (1 + abs(c log2 x))  as `log2`; subnormal x count as zero
``exp(x)``    relative, 2.2e-16                    x <= 0; 0 below -708 and for NaN
============  ===================================  ====================================

Source: Cody and Waite, "Software Manual for the Elementary Functions", Prentice-Hall (1980).
"""

import math

import numpy as np
from numba.core import config
from numba.core.types import float64, int64
from numba.extending import intrinsic

from randla._jit import expression

_WIDTH, _BIAS = np.int64(52), np.int64(1023)
_LOW52, _ONE_BITS = np.int64((1 << 52) - 1), np.int64(1023 << 52)
_SQRT2 = math.sqrt(2.0)

# log2((1 + z) / (1 - z)) = sum over k of 2 / (ln 2 (2 k + 1)) z^(2k + 1), |z| <= 0.172
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9 = (
    2.0 / (math.log(2.0) * (2 * k + 1)) for k in range(10)
)
# 2^r = sum over k of (r ln 2)^k / k!, |r| <= 1/2
_E1, _E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12 = (
    math.log(2.0) ** k / math.factorial(k) for k in range(1, 13)
)
# exp(r) = 1 + r + sum over k of r^k / k!, |r| <= ln(2) / 2
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (
    1.0 / math.factorial(k) for k in range(2, 14)
)
_LOG2_E = 1.0 / math.log(2.0)
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # k _LN2_HIGH is exact
_TO_INTEGER = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest integer in the low bits

if getattr(config, "DISABLE_JIT", False):

    def bits_of(x):
        return np.float64(x).view(np.int64)

    def of_bits(bits):
        return np.int64(bits).view(np.float64)

else:  # an instruction each, where ``view`` would be a function that is compiled

    @intrinsic
    def bits_of(typingctx, x):
        """The bits of a double as an integer."""
        return int64(float64), _same_bits

    @intrinsic
    def of_bits(typingctx, bits):
        """The double with these bits."""
        return float64(int64), _same_bits

    def _same_bits(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))


@expression
def log2(x):
    """Logarithm to base two of a positive number that is not subnormal."""
    bits = bits_of(x)
    exponent = np.float64((bits >> _WIDTH) - _BIAS)
    mantissa = of_bits((bits & _LOW52) | _ONE_BITS)  # in [1, 2)
    above = mantissa > _SQRT2  # centered on 1: in (1 / sqrt 2, sqrt 2]
    mantissa = 0.5 * mantissa if above else mantissa
    exponent = exponent + 1.0 if above else exponent
    z = (mantissa - 1.0) / (mantissa + 1.0)
    s = z * z
    series = _L5 + s * (_L6 + s * (_L7 + s * (_L8 + s * _L9)))
    series = _L0 + s * (_L1 + s * (_L2 + s * (_L3 + s * (_L4 + s * series))))
    return exponent + z * series


@expression
def exp2(y):
    """2^y."""
    y = -1100.0 if y < -1100.0 else (1100.0 if y > 1100.0 else y)
    k = np.floor(y + 0.5)
    r = y - k
    value = _E7 + r * (_E8 + r * (_E9 + r * (_E10 + r * (_E11 + r * _E12))))
    value = _E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * (_E6 + r * value)))))
    half = np.int64(0.5 * k)  # two factors, as 2^k alone may leave the range of doubles
    first = of_bits((half + _BIAS) << _WIDTH)
    second = of_bits((np.int64(k) - half + _BIAS) << _WIDTH)
    return (1.0 + r * value) * first * second


@expression
def power(x, c):
    """x^c for x >= 0."""
    return exp2(c * log2(x)) if bits_of(x) > _LOW52 else 0.0


@expression
def exp(x):
    """Exponential of a number that is not positive."""
    z = x * _LOG2_E + _TO_INTEGER
    k = z - _TO_INTEGER  # x / ln 2, rounded
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW  # x - k ln 2, in two steps that round once
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
    # k, in the low bits of z, is added to the exponent
    return of_bits(bits_of(p) + (bits_of(z) << _WIDTH)) if x > -708.0 else 0.0
