"""Products with a tall matrix that is stored in blocks of rows, each block column by column.

`P` is (blocks, d, LANES): ``P[k, j, l]`` is entry j of row ``k * LANES + l``, zero beyond the last
row. Vectors over the rows are (blocks, LANES). All inner loops run over the lanes of a block, with
unit stride and without branches; a block of a few dozen columns stays in the first cache.
"""

import math

import numpy as np

from randla._jit import fused_kernel, summing_kernel

LANES = 256
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_SQRT_HALF = np.int64(0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)
_SHIFT, _BIAS = np.int64(52), np.int64(1023)
_LOG2_E, _LN_2 = 1.4426950408889634, 0.6931471805599453


@fused_kernel
def fill(values, value):
    """Set a vector to one number (a loop compiles faster than an assignment to a slice)."""
    for k in range(values.size):
        values[k] = value


@fused_kernel
def fill_blocks(X, P):
    """Store the rows of X (n, d) in blocks."""
    n, d = X.shape
    for k in range(P.shape[0]):
        for j in range(d):
            fill(P[k, j], 0.0)
    for i in range(n):
        k, lane = i // LANES, i % LANES
        for j in range(d):
            P[k, j, lane] = X[i, j]


@fused_kernel
def largest(lanes):
    """Largest of LANES numbers, by halves (a loop over one maximum would be serial)."""
    half = LANES // 2
    while half > 0:
        for lane in range(half):
            lanes[lane] = max(lanes[lane], lanes[half + lane])
        half //= 2
    return lanes[0]


@fused_kernel
def product(P, x, out):
    """``out = X x``; two columns at a time."""
    d = P.shape[1]
    for k in range(P.shape[0]):
        row = out[k]
        for lane in range(LANES):
            row[lane] = 0.0
        j = 0
        while j + 1 < d:
            a, b, left, right = P[k, j], P[k, j + 1], x[j], x[j + 1]
            for lane in range(LANES):
                row[lane] += left * a[lane] + right * b[lane]
            j += 2
        if j < d:
            a, left = P[k, j], x[j]
            for lane in range(LANES):
                row[lane] += left * a[lane]


@summing_kernel
def adjoint(P, z, out):
    """``out = X' z``."""
    d = P.shape[1]
    fill(out, 0.0)
    for k in range(P.shape[0]):
        row = z[k]
        for j in range(d):
            a = P[k, j]
            total = 0.0
            for lane in range(LANES):
                total += a[lane] * row[lane]
            out[j] += total


@summing_kernel
def weighted_gram(P, w, scaled, G):
    """``G = X' diag(w) X``; blocks of two by two entries share their loads. `scaled` (2, LANES)."""
    d = P.shape[1]
    for j in range(d):
        fill(G[j], 0.0)
    for k in range(P.shape[0]):
        row = w[k]
        j = 0
        while j < d:
            two = j + 1 < d
            a, b = scaled[0], scaled[1]
            first, second = P[k, j], P[k, j + 1 if two else j]
            for lane in range(LANES):
                a[lane] = row[lane] * first[lane]
                b[lane] = row[lane] * second[lane]
            m = j
            while m < d:
                left, right = P[k, m], P[k, m + 1 if m + 1 < d else m]
                s00, s01, s10, s11 = 0.0, 0.0, 0.0, 0.0
                for lane in range(LANES):
                    s00 += a[lane] * left[lane]
                    s01 += a[lane] * right[lane]
                    s10 += b[lane] * left[lane]
                    s11 += b[lane] * right[lane]
                G[j, m] += s00
                if m + 1 < d:
                    G[j, m + 1] += s01
                if two:
                    G[j + 1, m] += s10
                    if m + 1 < d:
                        G[j + 1, m + 1] += s11
                m += 2
            j += 2
    for j in range(d):
        for m in range(j):
            G[j, m] = G[m, j]


@fused_kernel
def factor(G, d, L):
    """Cholesky factor of G with pivots kept above rounding errors; False if G is zero or worse."""
    trace = 0.0
    for j in range(d):
        trace += G[j, j]
    if not 0.0 < trace < math.inf:
        return False
    for j in range(d):
        pivot = G[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        smallest = 1e-15 * (G[j, j] if G[j, j] > 0.0 else trace)
        L[j, j] = math.sqrt(max(pivot, smallest))
        for i in range(j + 1, d):
            total = G[i, j]
            for m in range(j):
                total -= L[i, m] * L[j, m]
            L[i, j] = total / L[j, j]
    return True


@fused_kernel
def solve(L, d, b, y):
    """``y = (L L')^-1 b``."""
    for j in range(d):
        total = b[j]
        for m in range(j):
            total -= L[j, m] * y[m]
        y[j] = total / L[j, j]
    for j in range(d - 1, -1, -1):
        total = y[j]
        for m in range(j + 1, d):
            total -= L[m, j] * y[m]
        y[j] = total / L[j, j]


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
        mantissa_bits[k] = (bits & _MANTISSA) + _SQRT_HALF
        out[k] = np.float64(bits >> _SHIFT)
    for k in range(n):
        s = (mantissa[k] - 1.0) / (mantissa[k] + 1.0)
        z = s * s
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
        y = c * (out[k] + (2.0 * s * z * t + 2.0 * s) * _LOG2_E)
        y = min(max(y, -1000.0), 1000.0)
        whole = np.floor(y + 0.5)
        f = (y - whole) * _LN_2
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
        scale_bits[k] = (np.int64(whole) + _BIAS) << _SHIFT
    for k in range(n):
        out[k] *= scale[k]
