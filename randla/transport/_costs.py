"""Costs of the projections of two clouds onto many directions."""

import math
import threading

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._typing import Array
from randla.transport._clouds import Cloud
from randla.transport._kernels.directions import cost_directions
from randla.transport._kernels.project import project_rows
from randla.transport._projections import (
    SAFE_POWER,
    SECONDS_PROJECT,
    SECONDS_SORT,
    Coupling,
    Side,
    SideRequest,
    batch_rows,
    make_sides,
    powers_to,
    safe_unit,
    unit_of_costs,
)

_PART_SECONDS = 3.5e-4


class ProjectedCosts:
    """f(theta) = W_p^p of the projections of two clouds, for many directions at a time.

    Parameters
    ----------
    x, y : Cloud
        In common units.
    p : float
        At least 1.

    Attributes
    ----------
    unit : float
        Costs are those of the clouds in units of 1 / `unit`: 1 unless p is large, where powers
        of plain distances would leave the range of doubles.
    seconds : float
        Rough time for one direction.
    """

    def __init__(self, x: Cloud, y: Cloud, p: float) -> None:
        self._x, self._y = x, y
        self._shift = x.centre - y.centre
        self._weighted = x.weights is not None or y.weights is not None
        self._coupling = Coupling(x.size, y.size, p, weighted=self._weighted)
        self.unit: float | None = 1.0 if p <= SAFE_POWER else None
        per_number = SECONDS_SORT * (2.5 if self._weighted else 1.0)
        self.seconds = (x.size + y.size) * (per_number + SECONDS_PROJECT * x.dim)

    def __call__(self, theta: Array, *, progress: bool = False) -> Array:
        """Costs (L,) for directions (L, d)."""
        self.choose_unit(theta)
        return self._costs(theta, self._coupling, progress)

    def choose_unit(self, theta: Array) -> None:
        """Make the largest W_p^p one, so that squares of costs stay in range; by a power that is
        safe first. Nothing if p itself is.
        """
        if self.unit is not None:
            return
        x, y = self._x, self._y
        self.unit = 1.0
        for q in powers_to(self._coupling.p)[:-1]:
            coupling = Coupling(x.size, y.size, q, weighted=self._weighted)
            largest = self._costs(theta, coupling, False).max() ** (1.0 / q) / self.unit
            self.unit = float(safe_unit(largest, q))
        self.unit *= unit_of_costs(self._costs(theta, self._coupling, False), self._coupling.p)

    def _costs(self, theta: Array, coupling: Coupling, progress: bool) -> Array:
        x, y, L = self._x, self._y, len(theta)
        batch = batch_rows(x.size, y.size, x.dim, L, weighted=self._weighted)
        n_parts = min(math.ceil(L * self.seconds / _PART_SECONDS), max(L // min(batch, 8), 1))
        bounds = part_bounds(L, n_parts, 4)
        shifts, out = theta @ self._shift, np.empty(L)
        units = np.full(L, self.unit)
        padded = np.zeros((L, x.points.shape[0]), x.points.dtype)
        padded[:, : x.dim] = theta
        work = threading.local()

        def task(part: int) -> None:
            if not hasattr(work, "sides"):
                work.sides = self._sides(batch, L)
            left, right = work.sides
            first, last = bounds[part]
            if coupling.is_equal and not left.sorter.uses_numpy(x.size):
                rows = slice(first, last)
                given = padded[rows], x.points, y.points, shifts[rows], units[rows], coupling.p
                cost_directions(*given, left.values, right.values, *left.sorter.work, out[rows])
                return
            for start in range(first, last, batch):
                rows = slice(start, min(start + batch, last))
                k = rows.stop - rows.start
                for side, cloud in ((left, x), (right, y)):
                    project_rows(padded[rows], cloud.points, side.values[:k])
                    side.sort(k)
                coupling.cost(left, right, shifts[rows], units[rows], out[rows])

        run_parts(task, n_parts, seconds=L * self.seconds, progress=progress)
        return out

    def _sides(self, batch: int, L: int) -> list[Side]:
        x, y = self._x, self._y
        requests = [SideRequest(c.size, c.units if self._weighted else None) for c in (x, y)]
        return make_sides(batch, x.points.dtype, requests, L * max(x.size, y.size))
