"""Reading a cloud of points: column statistics, a centered transposed copy; variances of rows."""

import math

import numpy as np

from randla._jit import kernel, summing_kernel

_BLOCK = 8  # points that are transposed at a time: a line of the cache of each coordinate


@kernel
def column_statistics(X, weights, first_scale, second_scale, out):
    """(Weighted) sum, least and largest value of the columns of X (n, d), scaled: out (3, d).

    `weights` (n,), or of size 0 for weight one. The scale is a product of two powers of two, as
    one may leave the range of doubles. Floor: one read of X.
    """
    total, low, high = out[0], out[1], out[2]
    for j in range(X.shape[1]):
        total[j], low[j], high[j] = 0.0, np.inf, -np.inf
    for i in range(X.shape[0]):
        weight = weights[i] if weights.size else 1.0
        for j in range(X.shape[1]):
            value = np.float64(X[i, j]) * first_scale * second_scale  # x 2^-exponent
            total[j] += weight * value  # the mean, but for the division
            low[j] = value if value < low[j] else low[j]  # a branch-free minimum, vectorized over j
            high[j] = value if value > high[j] else high[j]


@kernel
def transpose_centered(
    X, first, last, start, stop, first_scale, second_scale, center, last_scale, out, at
):
    """out[j - start, at + i - first] = (X[i, j] scaled - center[j]) last_scale, for the points i
    from `first` and the coordinates j from `start`. Floor: read X and write `out` once.
    """
    whole = last - (last - first) % _BLOCK
    for i in range(first, whole, _BLOCK):
        for j in range(start, stop):
            row, c, column = out[j - start], center[j], at + i - first
            for k in range(_BLOCK):  # of fixed length, so that it is unrolled
                value = np.float64(X[i + k, j]) * first_scale * second_scale  # x 2^-exponent
                row[column + k] = (value - c) * last_scale  # rounded once, to the dtype of `out`
    for i in range(whole, last):
        for j in range(start, stop):
            value = np.float64(X[i, j]) * first_scale * second_scale
            out[j - start, at + i - first] = (value - center[j]) * last_scale


@kernel
def column_moments(X, weights, first_scale, second_scale, center, last_scale, out):
    """(Weighted) sums of the columns of X (n, d), centered as above, and of squares: out (2, d).

    `weights` (n,), or of size 0 for weight one. Floor: one read of X.
    """
    total, square = out[0], out[1]
    total[:] = 0.0
    square[:] = 0.0
    for i in range(X.shape[0]):
        weight = weights[i] if weights.size else 1.0
        for j in range(X.shape[1]):
            value = np.float64(X[i, j]) * first_scale * second_scale
            value = (value - center[j]) * last_scale
            total[j] += weight * value
            square[j] += weight * value * value


@summing_kernel
def _row_variance(u, weights):
    mean, total = 0.0, 0.0
    if weights.size:
        for i in range(u.size):
            mean += weights[i] * np.float64(u[i])
        for i in range(u.size):
            total += weights[i] * (np.float64(u[i]) - mean) ** 2
        return total
    for i in range(u.size):
        mean += np.float64(u[i])
    mean /= u.size
    for i in range(u.size):
        total += (np.float64(u[i]) - mean) ** 2  # about the mean: no digits are lost
    return total / u.size


@kernel
def row_variances(P, weights, out):
    """out[r] = variance of row r of P (B, n); `weights` (n,) of sum 1, or of size 0 if equal."""
    for r in range(out.size):
        out[r] = _row_variance(P[r], weights)


@kernel
def snap_centers(mean, low, high, resolution, centers):
    """Round means (n,) to multiples of 1/1024 of the spread, or of 2^resolution of the size.

    A constant (low = high) is its own center. Returns the largest distance of `low` and `high`
    from their center.
    """
    farthest = 0.0
    for i in range(mean.size):
        reach = max(high[i] - mean[i], mean[i] - low[i])  # 2^-10 of it changes no significant digit
        size = max(abs(low[i]), abs(high[i]))
        grid = max(math.frexp(reach)[1] - 10, math.frexp(size)[1] + resolution)
        center = math.ldexp(np.rint(math.ldexp(mean[i], -grid)), grid)  # a multiple of 2^grid
        centers[i] = low[i] if low[i] == high[i] else center  # all points equal a constant
        farthest = max(farthest, max(high[i] - centers[i], centers[i] - low[i]))
    return farthest
