"""Random weights of rows: functions of a key and the number of the row (or of its group)."""

import numpy as np

from randla._jit import kernel
from randla._random import counter_hash, gamma, seed_stream

_S11 = np.uint64(11)
_TO_UNIT = 2.0**-53


@kernel
def uniform_weights(keys, numbers, out):
    """Fill out (m, n): a uniform on (0, 1) for each key and each of n numbers."""
    for r in range(out.shape[0]):
        for i in range(out.shape[1]):
            bits = np.int64(counter_hash(keys[r], numbers[i]) >> _S11)
            out[r, i] = (np.float64(bits) + 0.5) * _TO_UNIT


@kernel
def gamma_weights(keys, numbers, copies, out):
    """Fill out (m, n): the mean of as many standard exponentials as the row has copies."""
    state = np.empty(4, np.uint64)
    for r in range(out.shape[0]):
        for i in range(out.shape[1]):
            seed_stream(state, keys[r], numbers[i])
            out[r, i] = gamma(state, copies[i]) / copies[i] if copies[i] > 0.0 else 1.0
