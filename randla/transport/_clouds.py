"""Point clouds made ready for projection: scaled, centred, transposed, with their moments.

All clouds of one call are scaled by one power of two, so that sizes from 1e-300 to 1e300 give the
same digits, and each is centred by itself: a projected cost needs the sorted projections of the
centred clouds and the shift theta' (c_1 - c_2) between the centres, which loses no digits to a
common offset.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._memory import aligned_empty
from randla._parallel import part_bounds, run_parts
from randla._typing import Array
from randla._validation import as_points, as_weights
from randla.transport._kernels.cost import fill_integer_weights
from randla.transport._kernels.prepare import column_statistics, snap_centres, transpose_centred

T = TypeVar("T")
WithMass: TypeAlias = tuple[NDArray[Any], Array | None, NDArray[np.intp] | None]

_BLOCK_BYTES = 1 << 18  # what is multiplied at a time
_PART_NUMBERS = 1 << 17  # coordinates of a part of the copy
_SAFE_EXPONENT = 900  # of numbers whose sums stay in range
_LAST_EXPONENT = 1020  # of a unit: a length of some units stays in range


@dataclass(frozen=True, eq=False)
class Cloud:
    """n points of dimension d, ready for projection.

    The centre is the mean rounded to a multiple of 1/1024 of the spread, so that a cloud and a
    permutation of it have the same centre.
    """

    points: NDArray[Any]  # (d', n) about the centre; rows of zeros make d' a multiple of four
    centre: Array  # (d,)
    weights: Array | None  # (n,), positive, with sum 1; None means uniform
    dim: int  # d
    kept: NDArray[np.intp] | None  # (n,) rows of the input; None if all weights are positive

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
    def mean(self) -> Array:
        """Weighted mean (d,)."""
        points = self.points[: self.dim]
        if self.weights is None:
            return self.centre + points.mean(axis=1, dtype=np.float64)
        return self.centre + points @ self.weights

    @cached_property
    def total_variance(self) -> float:
        """Trace of the covariance."""
        offset = self.mean - self.centre
        total = 0.0
        for row in self.points[: self.dim]:
            square = np.square(row, dtype=np.float64)
            total += float(square.mean() if self.weights is None else square @ self.weights)
        return max(total - float(offset @ offset), 0.0)

    @cached_property
    def covariance(self) -> Array:
        """Weighted covariance (d, d), divided by the total weight."""
        return self.covariance_of(self.points[: self.dim], self.mean - self.centre)

    def covariance_of(self, coordinates: NDArray[Any], offset: Array) -> Array:
        """Covariance (r, r) of some coordinates (r, n) of the points, given their mean."""
        r, n = coordinates.shape
        second = np.zeros((r, r))
        step = max(_BLOCK_BYTES // (8 * r), 1024)
        for first in range(0, n, step):
            block = coordinates[:, first : first + step].astype(np.float64, copy=False)
            if self.weights is None:
                second += block @ block.T / n  # sum of a_i x_i x_i'
            else:
                second += (block * self.weights[first : first + step]) @ block.T
        return second - np.outer(offset, offset)  # about the mean, not the centre


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Difference of the means and covariances of two clouds, in few coordinates.

    With fewer points than coordinates there is a basis, orthonormal columns that span all
    differences of points; else it is None, and r = d.
    """

    basis: Array | None  # (d, r)
    delta: Array  # (r,)
    first: Array  # (r, r), covariance
    second: Array  # (r, r)

    def coordinates(self, theta: Array) -> Array:
        """Coordinates (L, r) of directions (L, d)."""
        return theta if self.basis is None else theta @ self.basis


def pair_moments(x: Cloud, y: Cloud) -> PairMoments:
    """Moments of two clouds; never an array of d^2 numbers if there are fewer than d points."""
    d, delta = x.dim, x.mean - y.mean
    if np.abs(delta).max() <= 4e-16:  # in units of the clouds: the rounding of equal means
        delta = np.zeros(d)
    if d <= x.size + y.size:
        return PairMoments(None, delta, x.covariance, y.covariance)
    span = np.concatenate([x.points[:d], y.points[:d], delta[:, None]], axis=1, dtype=np.float64)
    basis = np.linalg.qr(span)[0]  # (d, r), r = n + m + 1 columns that span what theta can see
    covariances = [
        cloud.covariance_of(basis.T @ cloud.points[:d], basis.T @ (cloud.mean - cloud.centre))
        for cloud in (x, y)
    ]
    return PairMoments(basis, basis.T @ delta, *covariances)  # B'Delta, B'SB


@dataclass(frozen=True, eq=False)
class Clouds:
    """Several clouds in common units: x here is (x + origin) 2^exponent in the input."""

    items: tuple[Cloud, ...]
    exponent: int
    origin: Array

    def from_common_units(self, points: Array) -> Array:
        """Points about the centres of the clouds, in the units of the input."""
        out = points + self.origin
        times_power_of_two(out, self.exponent, out)
        return out

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.items[0].dim


def as_pair(X: ArrayLike, Y: ArrayLike, a: ArrayLike | None, b: ArrayLike | None) -> Clouds:
    """Validate two weighted clouds and make them ready."""
    x = as_points(X, "X")
    y = as_points(Y, "Y", dim=x.shape[1])
    return prepare([x, y], [as_weights_or_none(a, len(x), "a"), as_weights_or_none(b, len(y), "b")])


def as_weights_or_none(w: ArrayLike | None, n: int, name: str) -> NDArray[Any] | None:
    """Validate the weights of n points; None stands for equal ones."""
    return None if w is None else as_weights(w, n, name)


def prepare(points: list[NDArray[Any]], weights: list[NDArray[Any] | None]) -> Clouds:
    """Scale and centre validated clouds; float32 only if all of them are."""
    dtype = np.result_type(*points)
    with_mass = [_drop_zeros(x, w) for x, w in zip(points, weights, strict=True)]
    tables = _statistics(with_mass, 0)  # (K, 3, d): mean, least, largest
    exponent = unit_exponent(float(np.abs(tables[:, 1:]).max()))
    if abs(exponent) < _SAFE_EXPONENT:
        tables *= 2.0**-exponent  # now the largest coordinate of all clouds is in [1/2, 1)
    else:  # the sums may have left the range of doubles
        tables = _statistics(with_mass, exponent)
    is_line = tables.shape[2] == 1  # a distance on the line is exact
    centres, farthest = snapped(tables[:, 0], tables[:, 1], tables[:, 2], dtype, is_line)
    # Far from the origin what is left may be small: scale again, so that powers do not vanish.
    again = math.frexp(max(float(np.abs(centres - centres[0]).max()), farthest))[1]
    about_origin, origin = centres, np.zeros_like(centres[0])
    if again < -1:
        about_origin = np.ldexp(centres - centres[0], -again)  # only differences are used
        origin = np.ldexp(centres[0], -again)
    else:
        again = 0
    copies = _centred([x for x, _, _ in with_mass], centres, exponent, again, dtype)
    items = [
        Cloud(copy, centre, w, x.shape[1], kept)
        for copy, centre, (x, w, kept) in zip(copies, about_origin, with_mass, strict=True)
    ]
    return Clouds(tuple(items), exponent + again, origin)


def unit_exponent(largest: float) -> int:
    """Exponent of the power of two in whose unit numbers up to `largest` are of order one."""
    return min(math.frexp(largest)[1], _LAST_EXPONENT)


def times_power_of_two(x: NDArray[Any], exponent: Any, out: NDArray[Any]) -> None:
    """Set ``out = x * 2^exponent``, exact unless the result leaves the range of doubles.

    `exponent` is an integer or an integer array that broadcasts against x. (Multiplying is ten
    times faster than ``np.ldexp``.)
    """
    half = np.clip(exponent, -1000, 1000)  # 2^exponent itself may leave the range
    np.multiply(x, np.ldexp(1.0, half), out=out, casting="same_kind")
    if np.any(half != exponent):
        np.multiply(out, np.ldexp(1.0, exponent - half), out=out, casting="same_kind")


def _drop_zeros(x: NDArray[Any], w: NDArray[Any] | None) -> WithMass:
    """Points of positive weight, weights with sum 1 (None if they are equal), and row numbers."""
    if w is None:
        return x, None, None
    w = np.ldexp(w, -math.frexp(w.max())[1])  # so that their sum is in range
    kept = None
    if w.min() == 0.0:
        kept = np.flatnonzero(w)
        x, w = x[kept], w[kept]
    return x, None if w.min() == w.max() else w / w.sum(), kept  # equal weights are none


def _run(task: Callable[[int, int, int], T], points: list[NDArray[Any]]) -> list[list[T]]:
    """``task(k, first, last)`` on ranges of the points of each cloud k, by the shapes only."""
    n_numbers = sum(x.size for x in points)
    parts = [
        (k, first, last)
        for k, x in enumerate(points)
        for first, last in part_bounds(len(x), -(-x.size // _PART_NUMBERS))
    ]
    if n_numbers <= _PART_NUMBERS:  # not worth the call
        results = [task(*part) for part in parts]
    else:
        results = run_parts(lambda i: task(*parts[i]), len(parts), seconds=5e-10 * n_numbers)
    pairs = list(zip(parts, results, strict=True))
    return [[result for (k, _, _), result in pairs if k == cloud] for cloud in range(len(points))]


def _scales(exponent: int) -> tuple[float, float]:
    """Two factors whose product is 2^-exponent, each within the range of doubles."""
    half = max(min(exponent, 1000), -1000)
    return math.ldexp(1.0, -half), math.ldexp(1.0, half - exponent)


def _statistics(with_mass: Sequence[WithMass], exponent: int) -> Array:
    """(Weighted) mean, least and largest value of each column of each cloud, (K, 3, d), in units
    of 2^exponent.
    """
    points = [x for x, _, _ in with_mass]
    weights = [np.empty(0) if w is None else w for _, w, _ in with_mass]
    scales, d = _scales(exponent), points[0].shape[1]

    def statistics(k: int, first: int, last: int) -> Array:
        part = np.empty((3, d))
        block = np.ascontiguousarray(points[k][first:last])
        column_statistics(block, weights[k][first:last], *scales, part)
        return part

    tables = np.empty((len(points), 3, d))
    for table, parts, x, w in zip(tables, _run(statistics, points), points, weights, strict=True):
        table[:] = parts[0]
        for part in parts[1:]:
            table[0] += part[0]  # sums, in the order of the parts
            np.minimum(table[1], part[1], out=table[1])
            np.maximum(table[2], part[2], out=table[2])
        if not len(w):
            table[0] /= len(x)  # weights have sum 1: there the sum is the mean
    return tables


def _centred(
    points: list[NDArray[Any]], centres: Array, exponent: int, again: int, dtype: np.dtype[Any]
) -> list[NDArray[Any]]:
    """Transposed points (x 2^-exponent - centre) 2^-again of each cloud, read-only."""
    d = centres.shape[1]
    copies = [aligned_empty((-(-d // 4) * 4, len(x)), dtype) for x in points]  # (d', n)
    scales, last_scale = _scales(exponent), math.ldexp(1.0, -again)

    def copy(k: int, first: int, last: int) -> None:
        block = np.ascontiguousarray(points[k][first:last])
        transpose_centred(block, *scales, centres[k], last_scale, copies[k][:, first:last])

    _run(copy, points)
    for rows in copies:
        rows[d:] = 0.0  # what pads d to a multiple of four
        rows.flags.writeable = False
    return copies


def snapped(
    mean: Array, low: Array, high: Array, dtype: np.dtype[Any], is_line: bool
) -> tuple[Array, float]:
    """Means rounded to a multiple of 1/1024 of the spread, and to a number of `dtype`; and how far
    the points are from them at most.

    So rounding in the mean, which depends on the order of the points, does not reach the centre,
    and a float32 cloud is centred exactly. A constant is its own centre. On the line the centre is
    zero unless all points are within half of it from it, where subtracting is exact: about the
    mean of (0, 1, 1e20) zero and one would be the same.
    """
    flat = np.empty(mean.size)
    resolution = -22 if dtype == np.float32 else -51  # bits below the size: exact in the dtype
    farthest = snap_centres(mean.ravel(), low.ravel(), high.ravel(), resolution, flat)
    centres = flat.reshape(mean.shape)
    if is_line:
        reach = np.maximum(high - centres, centres - low)  # how far points are from the centre
        centres[2.0 * reach > np.abs(centres)] = 0.0
        farthest = float(np.maximum(high - centres, centres - low).max())
    return centres, farthest
