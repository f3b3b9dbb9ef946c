"""A quantile problem that is made small: rows far from a fit are summed into two."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.regression._panels.weighted_data import WeightedData, stacked
from randla.regression._quantile.weighted import WeightedSolution, solve_rows


@dataclass
class Screened:
    """The rows near a fit one by one, all rows above it and all rows below it as one row each.

    rho_tau is sublinear: the loss of a sum is at most the sum of the losses, with equality where
    the signs agree. So the small problem is a lower bound for any choice, and its solution
    solves the whole problem as soon as every row lies on the side where it was put. (Portnoy and
    Koenker's "globs".)

    Attributes
    ----------
    near : WeightedData
        Rows that stay, dense; (k,) `index` are their numbers.
    extra : (e, d) ndarray
        Rows of weight one with b = 0 that stay as well.
    sums : (2, d + 1) ndarray
        The weighted rows of [A b] above the fit, and below it, summed.
    """

    near: WeightedData
    index: NDArray[np.intp]
    extra: Array
    sums: Array

    def solve(
        self, tau: float, x0: Array, residual_scale: float, **options: Any
    ) -> WeightedSolution:
        """`solve_rows` of the small problem, from x0; its dual is (near, extra, above, below)."""
        d, zeros = self.near.d, np.zeros(len(self.extra))  # b of the extra rows
        small = self.near.below(
            np.vstack([self.extra, self.sums[:, :d]]), np.append(zeros, self.sums[:, d])
        )
        known_side = np.zeros(small.n)
        known_side[-2:] = 1.0, -1.0  # the sums stay above and below
        return solve_rows(
            small, tau, x0=x0, known_side=known_side, residual_scale=residual_scale, **options
        )

    def near_loss_and_gap(self, tau: float, solution: WeightedSolution) -> Array:
        """Loss and gap of the near and of the extra rows."""
        r = np.append(self.near.residuals(solution.x), -(self.extra @ solution.x))  # 0 - A x
        return np.array(loss_and_gap(tau, r, solution.z[:-2]))

    def dual_of_extra(self, solution: WeightedSolution) -> Array:
        """The dual of the extra rows."""
        return solution.z[len(self.index) : -2]

    def fill_dual(self, solution: WeightedSolution, side: NDArray[Any]) -> Array:
        """The dual of all rows (n,): that of a sum is that of each of its rows."""
        above, below = solution.z[-2:]  # feasible: A'z is the same sum
        z = np.where(side > 0, above, below)
        z[self.index] = solution.z[: len(self.index)]
        return z

    def release(self, index: NDArray[np.intp], rows: WeightedData, above: NDArray[Any]) -> None:
        """Let rows stay that were in the sums; `above` has the sum they were in."""
        weighted = rows.weighted(np.column_stack([rows.A, rows.b]))
        self.sums -= np.stack([weighted[above].sum(axis=0), weighted[~above].sum(axis=0)])
        self.index = np.append(self.index, index)
        self.near = stacked([self.near, rows])


def loss_and_gap(tau: float, r: Array, z: Array) -> tuple[float, float]:
    """Sums of pinball losses, and of their differences from the dual terms."""
    loss = np.maximum(tau * r, (tau - 1.0) * r)  # rho_tau(r) >= z r for z in the box
    return float(loss.sum()), float((loss - z * r).sum())
