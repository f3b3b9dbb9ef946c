"""Records of work arrays for the exact kernels of linear Gaussian models.

Shapes: T times, d states, k observed components, q columns of a diffuse start.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.smoothing._models.linear_blocks import System

IntArray = NDArray[np.int64]


class Work(NamedTuple):
    """What filter and smoother carry."""

    m: Array  # (d,), the mean
    S: Array  # (d, d), the root of the covariance
    M: Array  # pre-arrays
    floor: Array  # of the norms of their rows
    pivots: IntArray

    @classmethod
    def of(cls, system: System) -> "Work":
        k, d = system.B.shape[1:]
        wide, rows = max(k, d) + d, k + 2 * d
        M, pivots = np.empty((wide, wide)), np.empty(rows, np.int64)
        return cls(system.m0.copy(), system.P0_root.copy(), M, np.empty(rows), pivots)


class Past(NamedTuple):
    """What the filter keeps of each time; the first axis is T, or one where only the last is."""

    mean: Array  # (T, d)
    G: Array  # (T - 1, d, d), the gains of the smoother; empty where none is wanted
    C: Array  # (T, d, d), roots of the covariances that these leave
    seen: IntArray  # (T, k), observed components
    counts: IntArray  # (T,), of them
    e: Array  # (T, k), innovations
    K: Array  # (T, d, k), gains of the filter
    U: Array  # (T, k, k), inverse roots of the covariances of the innovations
    roots: Array  # (T, d, d), of the filtered covariances; one where they are not needed

    @classmethod
    def of(cls, system: System, mean: Array, G: Array, C: Array, n: int, n_roots: int) -> "Past":
        k, d = system.B.shape[1:]
        integers = np.empty((n, k), np.int64), np.empty(n, np.int64)
        sizes = ((n, k), (n, d, k), (n, k, k), (n_roots, d, d))
        return cls(mean, G, C, *integers, *map(np.empty, sizes))


class Start(NamedTuple):
    """What is known of a diffuse start."""

    triangle: Array  # (q + 1, q + 1)
    largest: Array  # (q,), entry of each column of E
    delta: Array  # (q,)
    inverse: Array  # (q, q)
    inflation: Array  # (q,)
    row: Array  # (q + 1,), work, as those below
    D: Array  # (q, d)
    v: Array  # (max(k, d),)

    @classmethod
    def of(cls, system: System) -> "Start":
        (q, d), k = system.directions.shape, system.B.shape[1]
        sizes = ((q + 1, q + 1), q, q, (q, q), q, q + 1, (q, d), max(k, d))
        return cls(*(np.empty(size) for size in sizes))


class Backward(NamedTuple):
    """What the backward pass of the score carries, and its work arrays."""

    r: Array  # (d,)
    rho: Array
    move: Array
    u: Array  # (k,)
    N: Array  # (d, d), as those below
    Y: Array
    ANA: Array
    AY: Array
    J: Array
    W: Array

    @classmethod
    def zeros(cls, d: int, k: int) -> "Backward":
        return cls(*(np.zeros(size) for size in (d, d, d, k, *[(d, d)] * 6)))
