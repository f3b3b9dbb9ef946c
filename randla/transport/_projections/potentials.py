"""Potentials of projected costs: their derivatives with respect to the weights of the points."""

import math

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.transport._clouds import Cloud
from randla.transport._kernels.potential import fill_biases, fill_potentials
from randla.transport._projections.projector import Side


class Potentials:
    """Potentials of sorted rows of two clouds, on each direction."""

    def __init__(self, x: Cloud, y: Cloud, p: float, unit: float = 1.0) -> None:
        self.unit, self.masses = unit, (x.masses, y.masses)
        self.p = None if p == 2.0 else p  # as the kernels have it
        self._levels: tuple[NDArray[np.int64], ...] | None = None
        if x.weights is None and y.weights is None:  # in units of 1 / lcm(n, m)
            least = math.lcm(x.size, y.size)
            self._levels = tuple(
                np.arange(1, k + 1, dtype=np.int64)[None] * (least // k) for k in (x.size, y.size)
            )

    def _sums(self, left: Side, right: Side, k: int) -> tuple[NDArray[np.int64], ...]:
        if self._levels is not None:
            return self._levels
        assert left.sums is not None
        assert right.sums is not None
        return left.sums[:k], right.sums[:k]

    def fill(self, left: Side, right: Side, shifts: Array, R: Array, S: Array) -> None:
        """Set rows (k, n) and (k, m), each with weighted mean zero; both sides with orders."""
        k = len(shifts)
        A, B = self._sums(left, right, k)
        u, v = left.values[:k], right.values[:k]
        assert left.order is not None
        assert right.order is not None
        how = self.unit, self.p
        fill_potentials(u, v, A, B, left.order[:k], self.masses[0], shifts, *how, R)
        fill_potentials(v, u, B, A, right.order[:k], self.masses[1], -shifts, *how, S)

    def biases(self, left: Side, right: Side, shifts: Array, K: int, out: Array) -> None:
        """Set (3, k): biases, their noises, and numbers of equal neighbors; see the kernel."""
        k = len(shifts)
        sums = self._sums(left, right, k)
        fill_biases(left.values[:k], right.values[:k], *sums, shifts, self.p, K, *out)
