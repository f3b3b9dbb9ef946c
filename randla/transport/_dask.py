"""Sliced Wasserstein distances of clouds in blocks of points.

For a few directions at a time, every block is projected, and the projections of one cloud on a few
directions meet in one task, which sorts them. Each such round is a pass over both clouds; a task
holds the projections of all points on at least one direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask
import dask.array
import numpy as np
from numpy.typing import NDArray

from randla._parallel import single_thread, single_threaded_blas
from randla._tall import dask_arrays
from randla._tall.dask_arrays import compute
from randla._typing import Array
from randla._validation import as_points
from randla.transport._clouds import (
    FEW_COORDINATES,
    as_weights_or_none,
    total_variance,
    unit_exponent,
)
from randla.transport._one_dimensional import wasserstein_1d
from randla.transport._projections.costs import PairOfClouds

#: Bytes of projections that one task sorts, and that one pass makes, unless one direction has more.
_TASK_BYTES, _PASS_BYTES = 1 << 25, 1 << 28


def as_arrays(X: Any, Y: Any, a: Any, b: Any) -> tuple[Any, Any, list[Array | None]]:
    """Validate two clouds, at least one a Dask array: Dask arrays, and their weights in memory."""
    clouds = []
    for points, name in ((X, "X"), (Y, "Y")):
        if isinstance(points, dask.array.Array):
            points = dask_arrays.as_rows(points, name, ndim=(1, 2))
            clouds.append(points[:, None] if points.ndim == 1 else points)
        else:
            clouds.append(dask_arrays.from_memory(as_points(points, name)))
    x, y = clouds
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"Y must have points of dimension {x.shape[1]}, like X, got shape {y.shape}"
        )
    weights = (
        as_weights_or_none(compute(a), x, "a", "X"),
        as_weights_or_none(compute(b), y, "b", "Y"),
    )
    return x, y, list(weights)


@dataclass(frozen=True)
class Units:
    """Points x of the input are ``center + 2^exponent z``, z in [-16, 16]^d, and `center` is
    2^exponent `offset` from that of the second cloud.
    """

    center: Array
    exponent: int
    offset: Array
    dtype: Any

    def read(self, block: Any) -> NDArray[Any]:
        """The z of a block, clipped: points without weight may lie anywhere."""
        block = as_points(block)
        with np.errstate(over="ignore"):
            z = np.ldexp(block - self.center.astype(self.dtype), -self.exponent)  # of order one
        return np.clip(z, -32.0, 32.0).astype(self.dtype, copy=False)


class DaskCloud:
    """The moments and sizes of `randla.transport._clouds.Cloud`, from passes over blocks."""

    def __init__(self, X: Any, weights: Array | None, units: Units) -> None:
        self.X, self.units, self.dtype = X, units, units.dtype
        self.size, self.dim = X.shape
        self.weights = None if weights is None else weights / weights.max()  # sums stay in range

    @cached_property
    def _moments(self) -> Array:
        w = None if self.weights is None else dask_arrays.as_vector(self.weights, self.X, "weights")
        shape = self.dim + 1, self.dim + 1
        total = compute(dask_arrays.join_rows(_moments, self.X, w, shape=shape, units=self.units))
        return np.array(total / total[-1, -1])  # the last entry is the sum of the weights

    @cached_property
    def _sums(self) -> Array:
        """Weighted means (2, d) of the coordinates and of their squares, about the own center."""
        if self.dim <= FEW_COORDINATES:
            return np.array([self._moments[-1, :-1], self._moments.diagonal()[:-1]])
        w = None if self.weights is None else dask_arrays.as_vector(self.weights, self.X, "weights")
        shape = 2, self.dim + 1
        total = compute(dask_arrays.join_rows(_sums, self.X, w, shape=shape, units=self.units))
        return np.array(total[:, :-1] / total[0, -1])

    @property
    def mean(self) -> Array:
        """Weighted mean (d,), about the center of the second cloud."""
        return self._sums[0] + self.units.offset

    @property
    def total_variance(self) -> float:
        """Trace of the covariance."""
        return total_variance(*self._sums)

    @property
    def covariance(self) -> Array:
        """Weighted covariance (d, d), divided by the total weight."""
        about_center = self._moments[-1, :-1]  # of this cloud, not of the second
        return self._moments[:-1, :-1] - np.outer(about_center, about_center)  # E zz' - Ez Ez'


@dataclass(frozen=True)
class DaskClouds:
    """Two clouds in common units."""

    items: tuple[DaskCloud, DaskCloud]
    exponent: int

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.items[0].dim

    @classmethod
    def of(cls, x: Any, y: Any, weights: list[Any]) -> DaskClouds:
        """Center each cloud at the middle of its box, and scale both by one power of two."""
        lazy = []
        for points, w in zip((x, y), weights, strict=True):
            mass = None if w is None else dask_arrays.as_vector(w, points, "weights")
            shape = 2, points.shape[1]
            lazy.append(dask_arrays.join_rows(_box, points, mass, shape=shape, join=np.maximum))
        boxes = np.array(compute(*lazy))  # (2, 2, d)
        high, low = boxes[:, 0], -boxes[:, 1]
        dtype = np.float32 if x.dtype == y.dtype == np.float32 else np.float64
        centers = (0.5 * high + 0.5 * low).astype(dtype).astype(np.float64)
        if centers.shape[1] == 1:  # a distance on the line is exact: see `snapped`
            centers[:] = 0.0
        half_gap = 0.5 * centers[0] - 0.5 * centers[1]  # halves, as the gap may be out of range
        reach = [(high - centers).max(), (centers - low).max(), np.abs(half_gap).max()]
        exponent = unit_exponent(float(max(reach)))
        offset = np.ldexp(half_gap, 1 - exponent)
        first = Units(centers[0], exponent, offset, dtype)
        second = Units(centers[1], exponent, np.zeros_like(offset), dtype)
        return cls((DaskCloud(x, weights[0], first), DaskCloud(y, weights[1], second)), exponent)


class DaskCosts(PairOfClouds):
    """`randla.transport._projections.costs.ProjectedCosts` of clouds in blocks."""

    def __init__(self, x: DaskCloud, y: DaskCloud, p: float) -> None:
        weighted = x.weights is not None or y.weights is not None
        super().__init__(p, x.size + y.size, x.dim, weighted)
        self._sides = x, y

    def distances(self, theta: Array, variances: Array | None = None) -> Array:
        """W_p (L,) in units of the clouds, from some passes over all blocks; fills `variances`."""
        x, y = self._sides
        row_bytes = (x.size + y.size) * np.dtype(x.units.dtype).itemsize
        per_task = max(_TASK_BYTES // row_bytes, 1)  # directions that one task sorts
        per_pass = max(_PASS_BYTES // (row_bytes * per_task), 1) * per_task  # directions a read
        blocks = [side.X.to_delayed().ravel() for side in (x, y)]
        weights = [None if s.weights is None else dask.delayed(s.weights) for s in (x, y)]
        project, sort = dask.delayed(_project), dask.delayed(_couple)
        shifts = theta @ x.units.offset
        distances: list[Any] = []
        for start in range(0, len(theta), per_pass):
            tasks = []
            for first in range(start, min(start + per_pass, len(theta)), per_task):
                rows = slice(first, min(first + per_task, start + per_pass))
                parts = [
                    [project(block, theta[rows], side.units) for block in of_side]
                    for side, of_side in zip(self._sides, blocks, strict=True)
                ]
                tasks.append(sort(*parts, shifts[rows], *weights, self.p))
            distances += dask_arrays.run(tasks)
        found = np.concatenate(distances, axis=1)
        if variances is not None:
            variances[:] = found[1:]
        return found[0]


def _box(first: int, block: Any, weights: Any) -> Array:
    """Largest coordinates, and largest of their negatives, of the points with a weight."""
    block = as_points(block).astype(np.float64, copy=False)
    if weights is not None:
        block = block[weights > 0.0]  # others may be anywhere
    return np.stack([part.max(axis=0, initial=-np.inf) for part in (block, -block)])


def _moments(first: int, block: Any, weights: Any, *, units: Units) -> Array:
    """Weighted sums of the products of z and 1."""
    z = np.append(units.read(block).astype(np.float64), np.ones((len(block), 1)), axis=1)
    return (z if weights is None else z * weights[:, None]).T @ z  # (d + 1, d + 1)


def _sums(first: int, block: Any, weights: Any, *, units: Units) -> Array:
    """Weighted sums of z and of its squares, and of the weights."""
    z = np.append(units.read(block).astype(np.float64), np.ones((len(block), 1)), axis=1)
    w = np.ones(len(z)) if weights is None else weights
    return np.array([w @ z, w @ (z * z)])


def _project(block: Any, theta: Array, units: Units) -> NDArray[Any]:
    with single_thread(), single_threaded_blas():
        return theta.astype(units.dtype) @ units.read(block).T


def _couple(
    left: list[Any], right: list[Any], shifts: Array, a: Array | None, b: Array | None, p: float
) -> Array:
    """W_p of the projections on a few directions, after moving the left ones by `shifts`; and
    the variances of the left and of the right ones, (3, L').
    """
    with single_thread(), single_threaded_blas():
        u, v = np.concatenate(left, axis=1), np.concatenate(right, axis=1)
        if shifts.any():
            u = u + shifts[:, None]  # in float64
        distances = np.asarray(wasserstein_1d(u, v, a, b, p=p))
        return np.array([distances, _variances(u, a), _variances(v, b)])


def _variances(rows: NDArray[Any], weights: Array | None) -> Array:
    if weights is None:
        return np.var(rows, axis=1, dtype=np.float64)
    total = weights.sum()
    deviations = rows - (rows @ weights / total)[:, None]
    return np.asarray(deviations**2 @ weights / total)
