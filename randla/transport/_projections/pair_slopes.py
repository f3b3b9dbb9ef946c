"""Costs of two clouds, and their derivatives in the points and the weights of both, in one pass."""

from typing import NamedTuple

import numpy as np

from randla._typing import Array
from randla.transport._clouds import Cloud
from randla.transport._directions.designs import Design
from randla.transport._projections.potentials import Potentials
from randla.transport._projections.projector import Coupling, Projector, Side, along, batch_rows
from randla.transport._projections.slopes import BlockMeans, ProjectedSlopes, rounds


class Estimate(NamedTuple):
    """A mean over the blocks of a design, and its standard error."""

    mean: Array
    error: Array


class PairSlopes:
    """E W_p^p(theta' x, theta' y) and its derivatives, of lengths times `unit`.

    Parameters
    ----------
    x, y : Cloud
    p : float
    points : str
        The points to differentiate by: "X", "Y" or "both".
    weights : bool
        Whether to differentiate by the weights of both clouds, too.
    unit : float
    """

    def __init__(
        self, x: Cloud, y: Cloud, p: float, *, points: str, weights: bool, unit: float
    ) -> None:
        self._clouds, self.p, self.unit = (x, y), p, unit
        pairs = {"X": (x, y), "Y": (y, x)}
        wanted = list(pairs) if points == "both" else [points]
        self._slopes = {name: ProjectedSlopes(pairs[name][0], [pairs[name][1]], [1.0], p, unit)
                        for name in wanted}  # fmt: skip
        self._potentials = Potentials(x, y, p, unit) if weights else None
        is_weighted = x.weights is not None or y.weights is not None
        self._coupling = Coupling(x.size, y.size, weighted=is_weighted)
        ordered = [weights or name in wanted for name in pairs]
        self._projector = Projector((x, y), (is_weighted, is_weighted), ordered)

    def __call__(
        self, design: Design, progress: bool = False
    ) -> tuple[Array, dict[str, Estimate], dict[str, Estimate]]:
        """Costs (L,), gradients (n, d) by the name of the cloud, and weight gradients (n,)."""
        costs = np.empty(design.n)
        sizes = dict(zip("XY", (cloud.size for cloud in self._clouds), strict=True))
        gradients = {name: BlockMeans(sizes[name], design) for name in self._slopes}
        weights = {} if self._potentials is None else {
            name: BlockMeans(n, design, is_plain=True) for name, n in sizes.items()
        }  # fmt: skip
        for slopes in self._slopes.values():
            slopes.begin(design)
        held = sum(sums.size for sums in (*gradients.values(), *weights.values()))
        for first, last in rounds(design, held, progress):
            theta = design.rows(first, last)
            R = {name: np.zeros((len(theta), sizes[name])) for name in gradients}
            S = {name: np.empty((len(theta), sizes[name])) for name in weights}
            self._fill(theta, costs[first:last], R, S)
            for name in gradients:
                gradients[name].add(R[name], theta)
            for name in weights:
                weights[name].add(S[name])
        made = {
            name: Estimate(*self._slopes[name].finish(sums)) for name, sums in gradients.items()
        }
        flat = {name: Estimate(*(x[:, 0] for x in sums.result())) for name, sums in weights.items()}
        return costs, made, flat

    def _fill(self, theta: Array, costs: Array, R: dict[str, Array], S: dict[str, Array]) -> None:
        """Set costs (L,) and add derivatives in points R and in weights S, each (L, n)."""
        x, y = self._clouds
        shifts = along(theta, x.center - y.center)
        adders = {name: self._slopes[name].adder(theta, rows) for name, rows in R.items()}

        def task(rows: slice, sides: list[Side]) -> None:
            left, right = sides
            units, cost = np.full(rows.stop - rows.start, self.unit), costs[rows]
            self._coupling.costs(left, right, shifts[rows], self.p, cost, units)
            if "X" in adders:
                adders["X"](rows, left, 0, right)
            if "Y" in adders:
                adders["Y"](rows, right, 0, left)
            if self._potentials is not None:
                self._potentials.fill(left, right, shifts[rows], S["X"][rows], S["Y"][rows])

        batch = batch_rows(x.size, y.size, x.dim, len(theta), weighted=self._coupling.weighted)
        seconds = len(theta) * next(iter(self._slopes.values())).seconds
        self._projector.visit(theta, batch, task, seconds)
