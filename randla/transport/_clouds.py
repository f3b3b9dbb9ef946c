"""Point clouds made ready for projection: scaled, centred, transposed, with their moments.

All clouds of one call are scaled by one power of two, so that sizes from 1e-300 to 1e300 give the
same digits, and each is centred by itself: a projected cost needs the sorted projections of the
centred clouds and the shift theta' (c_1 - c_2) between the centres, which loses no digits to a
common offset.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._validation import as_points, as_weights
from randla.transport._kernels.cost import fill_integer_weights

_BLOCK_BYTES = 1 << 18  # what is transposed at a time


@dataclass(frozen=True, eq=False)
class Cloud:
    """n points of dimension d, ready for projection.

    Attributes
    ----------
    points : (d', n) ndarray
        Coordinates about `centre`, float32 or float64; rows of zeros make d' a multiple of four.
    centre : (d,) ndarray
        Near the mean: the mean rounded to a multiple of 1/1024 of the spread, so that a cloud
        and a permutation of it have the same centre.
    weights : (n,) ndarray or None
        Positive, with sum 1; None means uniform.
    dim : int
        d.
    kept : (n,) ndarray or None
        Row numbers of the points in the input; None if all have a positive weight.
    """

    points: NDArray[Any]
    centre: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    dim: int
    kept: NDArray[np.intp] | None

    @property
    def size(self) -> int:
        """Number of points."""
        return self.points.shape[1]

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """The weights as integers with sum 2^62, (1, n)."""
        weights = np.ones(self.size) if self.weights is None else self.weights
        units = np.empty((1, self.size), np.int64)
        fill_integer_weights(weights, units[0])
        return units

    @cached_property
    def _moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n, d = self.size, self.dim
        offset, second = np.zeros(d), np.zeros((d, d))
        step = max(_BLOCK_BYTES // (8 * d), 1024)
        for first in range(0, n, step):
            block = self.points[:d, first : first + step].astype(np.float64, copy=False)
            if self.weights is None:
                weighted = block
            else:
                weighted = block * self.weights[first : first + step]
            offset += weighted.sum(axis=1)
            second += weighted @ block.T
        if self.weights is None:
            offset, second = offset / n, second / n
        return offset, second - np.outer(offset, offset)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Weighted mean (d,)."""
        return self.centre + self._moments[0]

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Weighted covariance (d, d), divided by the total weight."""
        return self._moments[1]


@dataclass(frozen=True, eq=False)
class Clouds:
    """Several clouds in common units: x here is (x + origin) 2^exponent in the input."""

    items: tuple[Cloud, ...]
    exponent: int
    origin: NDArray[np.float64]

    def from_common_units(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points about the centres of the clouds, in the units of the input."""
        out = points + self.origin
        times_power_of_two(out, self.exponent, out)
        return out

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.items[0].dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the projections."""
        return self.items[0].points.dtype


def as_pair(X: ArrayLike, Y: ArrayLike, a: ArrayLike | None, b: ArrayLike | None) -> Clouds:
    """Validate two weighted clouds and make them ready."""
    x = as_points(X, "X")
    y = as_points(Y, "Y", dim=x.shape[1])
    weights = [
        None if w is None else as_weights(w, len(points), name)
        for w, points, name in ((a, x, "a"), (b, y, "b"))
    ]
    return prepare([x, y], weights)


def prepare(points: list[NDArray[Any]], weights: list[NDArray[Any] | None]) -> Clouds:
    """Scale and centre validated clouds; float32 only if all of them are."""
    dtype = np.result_type(*points)
    with_mass = [_drop_zeros(x, w) for x, w in zip(points, weights, strict=True)]
    exponent = math.frexp(max(_largest(x) for x, _, _ in with_mass))[1]
    items = [
        Cloud(*_centred(x, w, exponent, dtype), w, x.shape[1], kept) for x, w, kept in with_mass
    ]
    # Far from the origin what is left may be small: scale again, so that powers do not vanish.
    centres = np.array([cloud.centre for cloud in items])
    spread = max(max(_largest(cloud.points) for cloud in items), np.ptp(centres, axis=0).max())
    again = math.frexp(spread)[1]
    origin = np.zeros(points[0].shape[1])
    if again < -1:
        origin = centres[0]  # only differences of centres are used
        for cloud in items:
            times_power_of_two(cloud.points, -again, cloud.points)
            times_power_of_two(cloud.centre - origin, -again, cloud.centre)
        origin = np.ldexp(origin, -again)
        exponent += again
    for cloud in items:
        cloud.points.flags.writeable = False
    return Clouds(tuple(items), exponent, origin)


def _largest(x: NDArray[Any]) -> float:
    return float(max(x.max(), -x.min()))


def times_power_of_two(x: NDArray[Any], exponent: Any, out: NDArray[Any]) -> None:
    """Set ``out = x * 2^exponent``, exact unless the result leaves the range of doubles.

    `exponent` is an integer or an integer array that broadcasts against x. (Multiplying is ten
    times faster than ``np.ldexp``.)
    """
    half = np.clip(exponent, -1000, 1000)  # 2^exponent itself may leave the range
    np.multiply(x, np.ldexp(1.0, half), out=out, casting="same_kind")
    if np.any(half != exponent):
        np.multiply(out, np.ldexp(1.0, exponent - half), out=out, casting="same_kind")


def _drop_zeros(
    x: NDArray[Any], w: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[np.intp] | None]:
    """Points of positive weight, weights with sum 1 (None if they are equal), and row numbers."""
    if w is None:
        return x, None, None
    w = np.ldexp(w, -math.frexp(w.max())[1])
    kept = None
    if w.min() == 0.0:
        kept = np.flatnonzero(w)
        x, w = x[kept], w[kept]
    return x, None if w.min() == w.max() else w / w.sum(), kept


def _centred(
    x: NDArray[Any], w: NDArray[np.float64] | None, exponent: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    n, d = x.shape
    points = np.zeros((-(-d // 4) * 4, n), dtype)
    total, low, high = np.zeros(d), np.full(d, np.inf), np.full(d, -np.inf)
    step = max(_BLOCK_BYTES // (8 * d), 1)
    for first in range(0, n, step):
        block = points[:d, first : first + step]
        times_power_of_two(x[first : first + step].T, -exponent, block)
        np.minimum(low, block.min(axis=1), out=low)
        np.maximum(high, block.max(axis=1), out=high)
        if w is None:
            total += block.sum(axis=1, dtype=np.float64)
        else:
            total += block.astype(np.float64, copy=False) @ w[first : first + step]
    centre = snapped(total / n if w is None else total, low, high, dtype)
    points[:d] -= centre.astype(dtype)[:, None]
    return points, centre


def snapped(
    mean: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    dtype: np.dtype[Any],
) -> NDArray[np.float64]:
    """Means rounded to a multiple of 1/1024 of the spread, and to a number of `dtype`.

    So rounding in the mean, which depends on the order of the points, does not reach the centre,
    and a float32 cloud is centred exactly. A constant is its own centre.
    """
    spread = np.maximum(high - mean, mean - low)
    size = np.maximum(abs(low), abs(high))
    resolution = -22 if dtype == np.float32 else -51
    grid = np.maximum(np.frexp(spread)[1] - 10, np.frexp(size)[1] + resolution)
    centre = np.ldexp(np.rint(np.ldexp(mean, -grid)), grid)
    return np.where(low == high, low, centre)
