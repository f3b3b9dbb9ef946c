"""Point clouds prepared for projection: their unit, center and moments.

All clouds of one call are scaled by one power of two, so that sizes from 1e-300 to 1e300 give the
same digits, and each cloud has its own center: a projected cost needs the sorted projections of the
centered clouds and the shift theta' (c_1 - c_2) between the centers, which loses no digits to a
common offset. Clouds of few coordinates are copied, centered and transposed; clouds of many
coordinates are read in place, a tile at a time, for each projection.
"""

import math
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._memory import aligned_empty
from randla._parallel import part_bounds, run_parts
from randla._typing import Array
from randla._validation import as_points, as_weights
from randla.transport._kernels.cost import fill_integer_weights
from randla.transport._kernels.prepare import (
    column_moments,
    column_statistics,
    row_variances,
    snap_centers,
    transpose_centered,
)
from randla.transport._kernels.project import PACK, project_packed, project_rows

T = TypeVar("T")

#: Coordinates up to which a cloud is copied.
FEW_COORDINATES = 64

_BLOCK_BYTES = 1 << 18  # multiplied at a time
_PART_NUMBERS = 1 << 17  # coordinates of a part of a pass over the points
_SAFE_EXPONENT = 900  # of numbers whose sums stay in range
_LAST_EXPONENT = 1020  # of a unit: a length of some units stays in range


class Source:
    """Points (n, d) as given, without those of weight zero; a cloud that has no unit yet.

    Attributes
    ----------
    points : (n, d) ndarray
    weights : (n,) ndarray or None
        Positive, with sum 1; None if they are equal.
    kept : (n,) ndarray or None
        Rows of the input; None if all weights are positive.
    """

    def __init__(self, points: NDArray[Any], weights: NDArray[Any] | None) -> None:
        self.points, self.weights, self.kept = points, None, None
        self._ratios: Array | None = None  # of the weights, whose rounding depends on their order
        self._tables: dict[int, Array] = {}
        if weights is None:
            return
        w = np.ldexp(weights, -math.frexp(weights.max())[1])  # so that their sum is in range
        if w.min() == 0.0:
            self.kept = np.flatnonzero(w)
            self.points, w = points[self.kept], w[self.kept]
            self.points.flags.writeable = False
        if w.min() != w.max():
            self._ratios, self.weights = w, w / w.sum()

    @cached_property
    def masses(self) -> Array:
        """The weights (n,), also if they are equal."""
        n = len(self.points)
        return np.full(n, 1.0 / n) if self.weights is None else self.weights

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """The weights as integers with sum 2^62, (1, n)."""
        units = np.empty((1, len(self.points)), np.int64)
        fill_integer_weights(self.masses if self._ratios is None else self._ratios, units[0])
        return units

    def keep_own(self) -> None:
        """Read a copy from now on, as the user may write to the input."""
        self.points = self.points.copy()

    def in_parts(self, task: Callable[[NDArray[Any], NDArray[Any]], T]) -> list[T]:
        """``task(points, weights)`` on ranges of the points, weights of size 0 if equal."""
        x, w = self.points, np.empty(0) if self.weights is None else self.weights
        bounds = part_bounds(len(x), -(-x.size // _PART_NUMBERS))

        def part(k: int) -> T:
            first, last = bounds[k]
            return task(_contiguous(x[first:last]), w[first:last])

        return run_parts(part, len(bounds), seconds=2e-9 * x.size)

    def statistics(self, exponent: int) -> Array:
        """(Weighted) mean, least and largest value of each column, (3, d), in units of 2^exponent;
        the same array each time.
        """
        if exponent not in self._tables:
            scales = _scales(exponent)

            def statistics(points: NDArray[Any], weights: NDArray[Any]) -> Array:
                part = np.empty((3, points.shape[1]))
                column_statistics(points, weights, *scales, part)
                return part

            first, *others = self.in_parts(statistics)
            for part in others:
                first[0] += part[0]  # sums, in the order of the parts
                np.minimum(first[1], part[1], out=first[1])
                np.maximum(first[2], part[2], out=first[2])
            if self.weights is None:
                first[0] /= len(self.points)  # weights have sum 1: there the sum is the mean
            self._tables[exponent] = first
        return self._tables[exponent]


@dataclass(frozen=True, eq=False)
class Cloud:
    """n points of dimension d, ready for projection.

    The center is the mean rounded to a multiple of 1/1024 of the spread, so that a cloud and a
    permutation of it have the same center.
    """

    source: Source
    scales: tuple[float, float]  # from the input to units in which sums are in range ...
    middle: Array  # (d,) ... where the center is this ...
    last_scale: float  # ... and from there to common units
    center: Array  # (d,) in common units, from the origin of the clouds
    reach: float  # largest distance of coordinates from the center
    dtype: np.dtype[Any]  # of projections

    @property
    def size(self) -> int:
        """Number of points."""
        return len(self.source.points)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.source.points.shape[1]

    @property
    def weights(self) -> Array | None:
        """(n,), positive, with sum 1; None means uniform."""
        return self.source.weights

    @property
    def masses(self) -> Array:
        """The weights (n,), also if they are equal."""
        return self.source.masses

    @property
    def units(self) -> NDArray[np.int64]:
        """The weights as integers with sum 2^62, (1, n)."""
        return self.source.units

    @property
    def kept(self) -> NDArray[np.intp] | None:
        """(n,) rows of the input; None if all weights are positive."""
        return self.source.kept

    @property
    def is_copied(self) -> bool:
        """Whether projections read `points` instead of the input."""
        return self.dim <= FEW_COORDINATES

    @cached_property
    def points(self) -> NDArray[Any]:
        """Points about the center (d', n), read-only; rows of zeros make d' a multiple of four."""
        d, n = self.dim, self.size
        copy = aligned_empty((-(-d // 4) * 4, n), self.dtype)
        bounds = part_bounds(n, -(-n * d // _PART_NUMBERS))

        def part(k: int) -> None:
            self._fill(*bounds[k], copy, bounds[k][0])

        run_parts(part, len(bounds), seconds=5e-10 * n * d)
        copy[d:] = 0.0  # the padding of d
        copy.flags.writeable = False
        return copy

    def _fill(self, first: int, last: int, out: NDArray[Any], at: int) -> None:
        """Centered points first..last - 1 to the columns of `out` (d', n') from `at` on."""
        block = _contiguous(self.source.points[first:last])
        units = *self.scales, self.middle, self.last_scale
        transpose_centered(block, 0, last - first, 0, self.dim, *units, out, at)

    def make_ready(self) -> None:
        """Prepare what `project` needs, before several threads call it."""
        if self.is_copied:
            assert self.points is not None

    def new_tile(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The arrays that `project` overwrites, for the clouds of one call; one for each thread."""
        shape = (0, 0) if self.is_copied else PACK
        return aligned_empty(shape, self.dtype), np.empty((4, shape[1]), self.dtype)

    def project(
        self, theta: NDArray[Any], tile: tuple[NDArray[Any], NDArray[Any]], out: NDArray[Any]
    ) -> None:
        """Set ``out = theta @ points`` (B, n) for padded directions theta (B, d'), B in fours."""
        if self.is_copied:
            project_rows(theta, self.points, out)
            return
        x, units = self.source.points, (*self.scales, self.middle, self.last_scale)
        step = len(x) if x.flags.c_contiguous else max(_PART_NUMBERS // self.dim, 1)
        for first in range(0, len(x), step):
            project_packed(theta, _contiguous(x[first : first + step]), *units, *tile, first, out)

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        """Weighted means (d,) of the centered coordinates and of their squares."""
        if self.is_copied:
            points, w = self.points[: self.dim], self.weights
            squares = [np.square(row, dtype=np.float64) for row in points]
            if w is None:
                return points.mean(axis=1, dtype=np.float64), np.array([s.mean() for s in squares])
            return points @ w, np.array([s @ w for s in squares])
        units = *self.scales, self.middle, self.last_scale

        def moments(points: NDArray[Any], weights: NDArray[Any]) -> Array:
            part = np.empty((2, self.dim))
            column_moments(points, weights, *units, part)
            return part

        total = sum(self.source.in_parts(moments), np.zeros((2, self.dim)))
        mean, square = total / (self.size if self.weights is None else 1)
        return mean, square

    @property
    def mean(self) -> Array:
        """Weighted mean (d,)."""
        return self.center + self._moments[0]

    @property
    def total_variance(self) -> float:
        """Trace of the covariance."""
        return total_variance(*self._moments)

    @cached_property
    def covariance(self) -> Array:
        """Weighted covariance (d, d), divided by the total weight."""
        return self.covariance_in(None)

    def covariance_in(self, basis: Array | None) -> Array:
        """Covariance (r, r) of the coordinates of the points in an orthonormal basis (d, r)."""
        offset = self._moments[0] if basis is None else basis.T @ self._moments[0]
        second = np.zeros((len(offset), len(offset)))
        for rows, points in self.blocks():
            block = points.astype(np.float64, copy=False)
            block = block if basis is None else basis.T @ block
            if self.weights is None:
                second += block @ block.T / self.size  # sum of a_i x_i x_i'
            else:
                second += (block * self.weights[rows]) @ block.T
        return second - np.outer(offset, offset)  # about the mean, not the center

    def deviations(self, first: int, last: int) -> Array:
        """Coordinates first..last - 1 about the mean, times the root of the weight, (k, n)."""
        units = *self.scales, self.middle, self.last_scale
        out, x = np.empty((last - first, self.size), self.dtype), _contiguous(self.source.points)
        transpose_centered(x, 0, self.size, first, last, *units, out, 0)
        deviations = out - self._moments[0][first:last, None]  # in float64
        deviations *= np.sqrt(self.masses)
        return deviations

    def variance_along(self, direction: Array) -> float:
        """Variance of the projections on a unit vector (d,)."""
        rows = np.concatenate([direction @ points for _, points in self.blocks()])[None]
        out = np.empty(1)
        row_variances(rows, np.empty(0) if self.weights is None else self.weights, out)
        return float(out[0])

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Ranges of the points, and these points about the center (d, n')."""
        d, n = self.dim, self.size
        step = min(max(_BLOCK_BYTES // (8 * d), 1024), n)
        buffer = np.empty((0, 0) if self.is_copied else (d, step), self.dtype)
        for first in range(0, n, step):
            rows = slice(first, min(first + step, n))
            if self.is_copied:
                yield rows, self.points[:d, rows]
            else:
                self._fill(first, rows.stop, buffer, 0)
                yield rows, buffer[:, : rows.stop - first]


def total_variance(mean: Array, square: Array) -> float:
    """Trace of a covariance from the means (d,) of the coordinates and of their squares.

    Zero if fewer than 8 digits would be accurate.
    """
    shift = float(mean @ mean)
    total = float(square.sum()) - shift
    return total if total > 1e-8 * shift else 0.0


def mean_difference(x: Any, y: Any) -> Array:
    """Difference (d,) of the means of two clouds, zero if it is rounding."""
    delta = np.asarray(x.mean - y.mean)
    # in units of the clouds: the rounding of equal means
    return delta if np.abs(delta).max() > 4e-16 else np.zeros_like(delta)


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Difference of the means and covariances of two clouds, in few coordinates.

    With fewer points than coordinates there is a basis, orthonormal columns that span all
    differences of points; otherwise it is None, and r = d.
    """

    basis: Array | None  # (d, r)
    delta: Array  # (r,)
    first: Array  # (r, r), covariance
    second: Array  # (r, r)


def pair_moments(x: Cloud, y: Cloud) -> PairMoments:
    """Moments of two clouds; never an array of d^2 numbers if there are fewer than d points."""
    d, delta = x.dim, mean_difference(x, y)
    if d <= x.size + y.size:
        return PairMoments(None, delta, x.covariance, y.covariance)
    span = np.concatenate([x.points[:d], y.points[:d], delta[:, None]], axis=1, dtype=np.float64)
    basis = np.linalg.qr(span)[0]  # (d, r), r = n + m + 1, spans all that matters
    covariances = x.covariance_in(basis), y.covariance_in(basis)  # B'SB
    return PairMoments(basis, basis.T @ delta, *covariances)


@dataclass(frozen=True, eq=False)
class Clouds:
    """Several clouds in common units: x here is (x + origin) 2^exponent in the input."""

    items: tuple[Cloud, ...]
    exponent: int
    origin: Array

    def from_common_units(self, points: Array) -> Array:
        """Points about the centers of the clouds, in the units of the input."""
        out = points + self.origin
        times_power_of_two(out, self.exponent, out)
        return out

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.items[0].dim


def as_pair(X: ArrayLike, Y: ArrayLike, a: ArrayLike | None, b: ArrayLike | None) -> Clouds:
    """Validate two weighted clouds and prepare them."""
    x = as_points(X, "X")
    y = as_points(Y, "Y", dim=x.shape[1])
    weights = as_weights_or_none(a, x, "a", "X"), as_weights_or_none(b, y, "b", "Y")
    return prepare([Source(x, weights[0]), Source(y, weights[1])])


def as_weights_or_none(
    w: ArrayLike | None, points: Sized, name: str, of: str
) -> NDArray[Any] | None:
    """Validate the weights of the points of a cloud; None means equal weights."""
    return None if w is None else as_weights(w, len(points), name, each=f"point of {of}")


def prepare(sources: Sequence[Source]) -> Clouds:
    """Scale and center validated clouds; float32 only if all of them are."""
    dtype = np.result_type(*(source.points for source in sources))
    tables = np.array([source.statistics(0) for source in sources])  # mean, least, largest
    exponent = unit_exponent(float(np.abs(tables[:, 1:]).max()))
    if abs(exponent) < _SAFE_EXPONENT:
        tables *= 2.0**-exponent  # now the largest coordinate of all clouds is in [1/2, 1)
    else:  # the sums may have left the range of doubles
        tables = np.array([source.statistics(exponent) for source in sources])
    is_line = tables.shape[2] == 1  # a distance on the line is exact
    centers, reach = snapped(tables[:, 0], tables[:, 1], tables[:, 2], dtype, is_line)
    # Far from the origin the remainder may be small: scale again, so that powers do not underflow.
    again = math.frexp(max(float(np.abs(centers - centers[0]).max()), float(reach.max())))[1]
    about_origin, origin = centers, np.zeros_like(centers[0])
    if again < -1:
        about_origin = np.ldexp(centers - centers[0], -again)  # only differences are used
        origin = np.ldexp(centers[0], -again)
    else:
        again = 0
    scales, last_scale = _scales(exponent), math.ldexp(1.0, -again)
    items = [
        Cloud(source, scales, middle, last_scale, center, float(size), dtype)
        for source, middle, center, size in zip(
            sources, centers, about_origin, reach * last_scale, strict=True
        )
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


def _contiguous(block: NDArray[Any]) -> NDArray[Any]:
    """Points one after another, read-only: one kind of array for the kernels."""
    block = np.ascontiguousarray(block)
    block.flags.writeable = False
    return block


def _scales(exponent: int) -> tuple[float, float]:
    """Two factors whose product is 2^-exponent, each within the range of doubles."""
    half = max(min(exponent, 1000), -1000)
    return math.ldexp(1.0, -half), math.ldexp(1.0, half - exponent)


def snapped(
    mean: Array, low: Array, high: Array, dtype: np.dtype[Any], is_line: bool
) -> tuple[Array, Array]:
    """Means (..., d) rounded to a multiple of 1/1024 of the spread, and to a number of `dtype`; and
    the largest distance of coordinates from them (...).

    So rounding in the mean, which depends on the order of the points, does not affect the center,
    and a float32 cloud is centered exactly. A constant is its own center. On the line the center is
    zero unless the distance of all points from it is at most half of it, where subtracting is
    exact: about the mean of (0, 1, 1e20), zero and one would coincide.
    """
    flat = np.empty(mean.size)
    resolution = -22 if dtype == np.float32 else -51  # bits below the size: exact in the dtype
    snap_centers(mean.ravel(), low.ravel(), high.ravel(), resolution, flat)
    centers = flat.reshape(mean.shape)
    if is_line:
        reach = np.maximum(high - centers, centers - low)  # distance of points from the center
        centers[2.0 * reach > np.abs(centers)] = 0.0
    return centers, np.maximum(high - centers, centers - low).max(axis=-1)
