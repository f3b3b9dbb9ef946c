"""Reading a cloud of points: column statistics, and a centred transposed copy."""

import numpy as np

from randla._jit import kernel

_TILE = 128  # points that are transposed at a time: some cache lines of each coordinate


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
            value = np.float64(X[i, j]) * first_scale * second_scale
            total[j] += weight * value
            low[j] = value if value < low[j] else low[j]
            high[j] = value if value > high[j] else high[j]


@kernel
def transpose_centred(X, first_scale, second_scale, centre, last_scale, out):
    """out[j, i] = (X[i, j] scaled - centre[j]) last_scale. Floor: read X and write `out` once."""
    n, d = X.shape
    for first in range(0, n, _TILE):
        last = min(first + _TILE, n)
        for j in range(d):
            row, c = out[j], centre[j]
            for i in range(first, last):
                value = np.float64(X[i, j]) * first_scale * second_scale
                row[i] = (value - c) * last_scale
