"""Sliced Wasserstein distances of clouds in blocks of points.

Some directions at a time, every block is projected, and the projections of one cloud on a few
directions meet in one task, which sorts them. Each such round is a pass over both clouds; a task
holds the projections of all points on one direction at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from randla._parallel import showing_progress, single_thread, single_threaded_blas
from randla._tall import dask_arrays
from randla._typing import Array
from randla._validation import as_points, as_weights, is_dask
from randla.transport._clouds import as_pair, unit_exponent
from randla.transport._costs import ProjectedCosts
from randla.transport._one_dimensional import wasserstein_1d
from randla.transport._projections import SAFE_POWER, SECONDS_PROJECT, SECONDS_SORT, unit_of_costs

#: Bytes of projections that one task sorts, and that one pass makes, unless one direction has more.
_TASK_BYTES, _PASS_BYTES = 1 << 25, 1 << 28


def read_pair(X: Any, Y: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Two clouds, at least one of them a Dask array, and the class of their projected costs."""
    clouds = []
    for points, name in ((X, "X"), (Y, "Y")):
        if is_dask(points):
            points = dask_arrays.as_rows(points, name, ndim=(1, 2))
            points = points[:, None] if points.ndim == 1 else points
        else:
            points = as_points(points, name)
        clouds.append(points)
    x, y = clouds
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"Y must have points of dimension {x.shape[1]} as X has, got shape {y.shape}"
        )
    weights = [
        None if w is None else as_weights(dask_arrays.compute(w) if is_dask(w) else w, len(c), name)
        for w, c, name in ((a, x, "a"), (b, y, "b"))
    ]
    if len(x) + len(y) < x.shape[1]:  # few points: the moments live in their span
        both = dask_arrays.compute(x, y)
        return as_pair(*both, *weights), ProjectedCosts
    return DaskClouds.of(x, y, weights), DaskCosts


@dataclass(frozen=True)
class Units:
    """Points x of the input are ``centre + 2^exponent z``, z in [-16, 16]^d, and `centre` is
    2^exponent `offset` from that of the second cloud.
    """

    centre: Array
    exponent: int
    offset: Array
    dtype: Any

    def read(self, block: Any) -> NDArray[Any]:
        """The z of a block; points without weight may be anywhere, but not out of range."""
        block = as_points(block)
        with np.errstate(over="ignore"):
            z = np.ldexp(block - self.centre.astype(self.dtype), -self.exponent)
        return np.clip(z, -32.0, 32.0).astype(self.dtype, copy=False)


class DaskCloud:
    """What `randla.transport._clouds.Cloud` says of a cloud, from passes over its blocks."""

    def __init__(self, X: Any, weights: Array | None, units: Units) -> None:
        self.X, self.units = X, units
        self.size, self.dim = X.shape
        self.weights = None if weights is None else weights / weights.max()

    @cached_property
    def _moments(self) -> Array:
        w = None if self.weights is None else dask_arrays.as_vector(self.weights, self.X, "weights")
        shape = self.dim + 1, self.dim + 1
        total = dask_arrays.compute(
            dask_arrays.join_rows(_moments, self.X, w, shape=shape, units=self.units)
        )
        return np.array(total / total[-1, -1])

    @property
    def mean(self) -> Array:
        """Weighted mean (d,), about the centre of the second cloud."""
        return self._moments[-1, :-1] + self.units.offset

    @property
    def covariance(self) -> Array:
        """Weighted covariance (d, d), divided by the total weight."""
        about_centre = self._moments[-1, :-1]
        return self._moments[:-1, :-1] - np.outer(about_centre, about_centre)


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
        """Centre each cloud at the middle of its box, and scale both by one power of two."""
        found: list[Any] = []
        for points, w in zip((x, y), weights, strict=True):
            if is_dask(points):
                shape = 2, points.shape[1]
                mass = None if w is None else dask_arrays.as_vector(w, points, "weights")
                found.append(
                    dask_arrays.join_rows(_box, points, mass, shape=shape, join=np.maximum)
                )
            else:
                found.append(_box(0, points, w))
        boxes = np.array(dask_arrays.compute(*found))
        high, low = boxes[:, 0], -boxes[:, 1]
        dtype = np.float32 if x.dtype == y.dtype == np.float32 else np.float64
        centres = (0.5 * high + 0.5 * low).astype(dtype).astype(np.float64)
        if centres.shape[1] == 1:  # a distance on the line is exact: see `snapped`
            centres[:] = 0.0
        half_gap = 0.5 * centres[0] - 0.5 * centres[1]
        reach = [(high - centres).max(), (centres - low).max(), np.abs(half_gap).max()]
        exponent = unit_exponent(float(max(reach)))
        items = []
        offsets = np.ldexp(half_gap, 1 - exponent), np.zeros_like(half_gap)
        for points, w, centre, offset in zip((x, y), weights, centres, offsets, strict=True):
            if not is_dask(points):
                points = dask_arrays.from_memory(points)
            items.append(DaskCloud(points, w, Units(centre, exponent, offset, dtype)))
        return cls((items[0], items[1]), exponent)


class DaskCosts:
    """`randla.transport._costs.ProjectedCosts` of clouds in blocks."""

    def __init__(self, x: DaskCloud, y: DaskCloud, p: float) -> None:
        self._sides, self._p = (x, y), p
        self.unit: float | None = 1.0 if p <= SAFE_POWER else None
        weighted = x.weights is not None or y.weights is not None
        per_number = SECONDS_SORT * (2.5 if weighted else 1.0)
        self.seconds = (x.size + y.size) * (per_number + SECONDS_PROJECT * x.dim)

    def __call__(self, theta: Array, *, progress: bool = False) -> Array:
        """Costs (L,) for directions (L, d)."""
        with showing_progress("sliced_wasserstein", progress):
            distances = self._distances(theta)
        if self.unit is None:  # powers of plain distances would leave the range of doubles
            self.unit = unit_of_costs(distances, 1.0)
        return (self.unit * distances) ** self._p

    def _distances(self, theta: Array) -> Array:
        x, y = self._sides
        row_bytes = (x.size + y.size) * np.dtype(x.units.dtype).itemsize
        per_task = max(_TASK_BYTES // row_bytes, 1)
        per_pass = max(_PASS_BYTES // (row_bytes * per_task), 1) * per_task
        blocks = [side.X.to_delayed().ravel() for side in (x, y)]
        weights = [None if s.weights is None else dask.delayed(s.weights) for s in (x, y)]
        project, sort = dask.delayed(_project), dask.delayed(_couple)
        shifts = theta @ x.units.offset
        found: list[Any] = []
        for start in range(0, len(theta), per_pass):
            tasks = []
            for first in range(start, min(start + per_pass, len(theta)), per_task):
                rows = slice(first, min(first + per_task, start + per_pass))
                parts = [
                    [project(block, theta[rows], side.units) for block in of_side]
                    for side, of_side in zip(self._sides, blocks, strict=True)
                ]
                tasks.append(sort(*parts, shifts[rows], *weights, self._p))
            found += dask_arrays.run(tasks)
        return np.concatenate(found)


def _box(first: int, block: Any, weights: Any) -> Array:
    """Largest coordinates, and largest of their negatives, of the points with a weight."""
    block = as_points(block).astype(np.float64, copy=False)
    if weights is not None:
        block = block[weights > 0.0]
    return np.stack([part.max(axis=0, initial=-np.inf) for part in (block, -block)])


def _moments(first: int, block: Any, weights: Any, *, units: Units) -> Array:
    """Weighted sums of the products of z and 1."""
    z = np.append(units.read(block).astype(np.float64), np.ones((len(block), 1)), axis=1)
    return (z if weights is None else z * weights[:, None]).T @ z


def _project(block: Any, theta: Array, units: Units) -> NDArray[Any]:
    with single_thread(), single_threaded_blas():
        return theta.astype(units.dtype) @ units.read(block).T


def _couple(
    left: list[Any],
    right: list[Any],
    shifts: Array,
    a: Array | None,
    b: Array | None,
    p: float,
) -> Array:
    """Distances of the projections on a few directions, the left ones moved by `shifts`."""
    with single_thread(), single_threaded_blas():
        u, v = np.concatenate(left, axis=1), np.concatenate(right, axis=1)
        if shifts.any():
            u = u + shifts[:, None]  # in float64
        return np.asarray(wasserstein_1d(u, v, a, b, p=p))
