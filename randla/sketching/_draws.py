"""Small random choices that are made once, as functions of a key, the same on every machine.

NumPy promises no fixed stream for ``Generator.choice`` or ``permutation``, and a pickled sketch
must not depend on a version. So these are made of `randla._random.counter_hash`, with NumPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from randla._random import hashes


def random_signs(key: np.uint64, n: int) -> NDArray[np.float64]:
    """The first n bits of the stream of bits that the kernels use, as +1 and -1."""
    words = hashes(key, -(-n // 64))
    bits = (words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    return 1.0 - 2.0 * bits.reshape(-1)[:n].astype(np.float64)


def random_permutation(key: np.uint64, n: int) -> NDArray[np.int64]:
    """A uniform permutation of n, the same on every machine."""
    return np.argsort(hashes(key, n), kind="stable").astype(np.int64)


def sample_without_replacement(key: np.uint64, n: int, m: int) -> NDArray[np.int64]:
    """Draw m different numbers below n = 2^k, uniformly, the same on every machine."""
    if 2 * m > n:
        return random_permutation(key, n)[:m]
    size = m + m // 2 + 16
    while True:
        numbers = (hashes(key, size) % np.uint64(n)).astype(np.int64)
        _, first = np.unique(numbers, return_index=True)
        if len(first) >= m:
            return numbers[np.sort(first)[:m]]
        size *= 2
