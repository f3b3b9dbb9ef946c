"""Projected costs of all pairs of several clouds, each projected and sorted once."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.transport._clouds import Clouds
from randla.transport._projections.projector import (
    SECONDS_PROJECT,
    SECONDS_SORT,
    Coupling,
    Projector,
    Side,
    batch_rows,
)

_SMALL = 2.0**-10  # size of a pair over that of all clouds, from which it loses no digits


class PairCosts:
    """Projected costs of all pairs of clouds: each cloud is sorted once for each direction.

    Pairs of clouds that are small and close, compared with all, are left to `groups`, whose costs
    have their own unit and origin.
    """

    def __init__(self, clouds: Clouds, p: float) -> None:
        self.items, self.p = clouds.items, p
        labels = _labels(clouds)
        self.groups = [np.flatnonzero(labels == k) for k in np.flatnonzero(np.bincount(labels) > 1)]
        everyone = combinations(range(len(self.items)), 2)
        self.pairs = [(i, j) for i, j in everyone if labels[i] != labels[j]]
        self._weighted = [x.weights is not None for x in self.items]
        needs_units = any(self._weighted)  # a cloud without weights may meet one with weights
        self._projector = Projector(self.items, [needs_units] * len(self.items))
        kinds = {self._kind(i, j) for i, j in self.pairs}
        self._couplings = {(n, m, w): Coupling(n, m, weighted=w) for n, m, w in kinds}
        self.n_points = sum(x.size for x in self.items)
        sorting = SECONDS_SORT * (1.5 if needs_units else 1.0)
        coupling = (2e-9 if needs_units else 2e-10) * len(self.items)
        self.seconds = self.n_points * (sorting + SECONDS_PROJECT * clouds.dim + coupling)

    def _kind(self, i: int, j: int) -> tuple[int, int, bool]:
        weighted = self._weighted[i] or self._weighted[j]
        return self.items[i].size, self.items[j].size, weighted

    def __call__(self, theta: Array, variances: Array | None = None) -> Array:
        """Costs (L, P) of the pairs at directions (L, d); fills `variances` (K, L)."""
        L, d = theta.shape
        out = np.empty((L, len(self.pairs)))
        centers = np.array([x.center for x in self.items])
        shifts = theta @ (centers - centers[0]).T  # (L, K)

        def task(rows: slice, sides: list[Side]) -> None:
            cost, ones = np.empty((2, rows.stop - rows.start))
            ones[:] = 1.0
            for column, (i, j) in enumerate(self.pairs):
                coupling = self._couplings[self._kind(i, j)]
                difference = shifts[rows, i] - shifts[rows, j]  # theta' (c_i - c_j)
                coupling.costs(sides[i], sides[j], difference, self.p, cost, ones)
                out[rows, column] = cost

        batch = batch_rows(self.n_points, 0, d, L, weighted=any(self._weighted))
        self._projector.visit(theta, batch, task, L * self.seconds, variances)
        return out


def _labels(clouds: Clouds) -> NDArray[np.intp]:
    """Equal for clouds that are linked by pairs of a size below `_SMALL` of the largest."""
    K = len(clouds.items)
    centers = np.array([x.center for x in clouds.items])
    reach = np.array([x.reach for x in clouds.items])
    gaps = np.array([np.abs(centers - center).max(axis=1) for center in centers])  # (K, K)
    sizes = np.maximum(gaps, np.maximum(reach[:, None], reach))
    linked = (sizes < _SMALL * sizes.max()) | np.eye(K, dtype=bool)
    labels = np.arange(K)
    while True:
        joined = np.where(linked, labels, K).min(axis=1)
        if (joined == labels).all():
            # in a chain of a thousand clouds the ends may be far apart: no group at all
            return labels if labels.any() else np.arange(K)
        labels = joined
