"""Costs of the projections of two clouds onto many directions."""

import math
import threading
from collections.abc import Callable

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._typing import Array
from randla.transport._clouds import Cloud
from randla.transport._kernels.directions import cost_directions
from randla.transport._projections.projector import (
    OUR_SORT_FROM,
    SAFE_POWER,
    SECONDS_PROJECT,
    SECONDS_SORT,
    Coupling,
    Projector,
    Side,
    along,
    batch_rows,
)

_PART_SECONDS = 3.5e-4  # of directions in one call of a kernel


class PairOfClouds:
    """f(theta) = W_p^p of the projections of two clouds, from their distances.

    Attributes
    ----------
    unit : float
        Costs are those of lengths times `unit`. One unless p is large and powers of plain distances
        would leave the range of doubles: then the largest of the first costs is one.
    n_points : int
        Number of points of both clouds.
    seconds : float
        Approximate time for one direction.
    """

    def __init__(self, p: float, n_points: int, dim: int, weighted: bool) -> None:
        self.p, self.n_points = p, n_points
        self.unit, self._is_unit_known = 1.0, p <= SAFE_POWER
        per_number = SECONDS_SORT * (2.5 if weighted else 1.0)
        self.seconds = n_points * (per_number + SECONDS_PROJECT * dim)

    def __call__(self, theta: Array, variances: Array | None = None) -> Array:
        """Costs (L,) for directions (L, d); fills `variances` (2, L) of the projections."""
        distances = self.distances(theta, variances)
        if not self._is_unit_known:
            self.unit, self._is_unit_known = 1.0 / (float(distances.max()) or 1.0), True
        return (self.unit * distances) ** self.p  # at most one where p is large

    def distances(self, theta: Array, variances: Array | None = None) -> Array:
        """W_p (L,) in units of the clouds; fills `variances` as above."""
        raise NotImplementedError


class ProjectedCosts(PairOfClouds):
    """The costs of two `Cloud` in common units."""

    def __init__(self, x: Cloud, y: Cloud, p: float) -> None:
        weighted = x.weights is not None or y.weights is not None
        super().__init__(p, x.size + y.size, x.dim, weighted)
        self._x, self._y = x, y
        self._coupling = Coupling(x.size, y.size, weighted=weighted)
        self._projector = Projector((x, y), (weighted, weighted))

    def __call__(self, theta: Array, variances: Array | None = None) -> Array:
        """Costs (L,) for directions (L, d); fills `variances` (2, L) of the projections."""
        if self.p > SAFE_POWER:
            return super().__call__(theta, variances)
        x = self._x
        in_one = self._coupling.is_equal and x.is_copied and variances is None
        if in_one and x.size >= OUR_SORT_FROM[x.dtype.itemsize]:
            return self._in_one_call(theta)
        return self._visit(theta, self._coupling.costs, variances)

    def distances(self, theta: Array, variances: Array | None = None) -> Array:
        """W_p (L,) in units of the clouds; fills `variances` as above."""
        return self._visit(theta, self._coupling.distances, variances)

    def _visit(self, theta: Array, couple: Callable[..., None], variances: Array | None) -> Array:
        shifts, out = self._shifts(theta), np.empty(len(theta))

        def task(rows: slice, sides: list[Side]) -> None:
            couple(*sides, shifts[rows], self.p, out[rows])

        L = len(theta)
        self._projector.visit(theta, self._batch(L), task, L * self.seconds, variances)
        return out

    def _shifts(self, theta: Array) -> Array:
        """Difference of the projected centers, theta' (c_1 - c_2)."""
        return along(theta, self._x.center - self._y.center)

    def _batch(self, L: int) -> int:
        x, y = self._x, self._y
        batch = batch_rows(x.size, y.size, x.dim, L, weighted=self._coupling.weighted)
        short = max(int(_PART_SECONDS / self.seconds) // 4 * 4, 8)
        return min(batch, short) if x.is_copied else batch

    def _in_one_call(self, theta: Array) -> Array:
        """Costs of clouds of equal size and weights, by one kernel for all steps of a batch."""
        x, y, L, shifts = self._x, self._y, len(theta), self._shifts(theta)
        out = np.empty(L)
        batch, padded, local = self._batch(L), self._projector.padded(theta), threading.local()
        n_parts = min(math.ceil(L * self.seconds / _PART_SECONDS), max(L // min(batch, 8), 1))
        bounds = part_bounds(L, n_parts, 4)  # four directions are projected at a time

        def task(part: int) -> None:
            if not hasattr(local, "sides"):
                local.sides = self._projector.sides(batch)
            left, right = local.sides
            rows = slice(*bounds[part])
            clouds = padded[rows], x.points, y.points, shifts[rows]
            sides = left.values, right.values, *left.sorting
            cost_directions(*clouds, self.p, *sides, out[rows])

        run_parts(task, n_parts, seconds=L * self.seconds)
        return out
