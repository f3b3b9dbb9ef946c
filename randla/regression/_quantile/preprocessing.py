"""Exact quantile regression of many rows by solving for few of them.

The plane of a random sample lies close to the plane of all rows, so that most rows can be told to
lie above or below the optimal plane. All rows above are summed into one row, and all below into
another: rho_tau is sublinear, hence the loss of a sum is at most the sum of the losses, with
equality where the signs agree. The small problem is therefore a lower bound whatever the choice,
and its solution solves the whole problem as soon as every row lies on the side where it was put.
Rows that do not are taken out of the sums and the small problem is solved again.

Source: Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise: computability of
squared-error versus absolute-error estimators", Statist. Sci. 12 (1997), 279-300 (preprocessing),
with the true sums of the rows in place of their large constant.
"""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._panels import PACE, PANEL, Panels
from randla._parallel import run_parts
from randla._scaling import power_of_two_scale
from randla._typing import Array
from randla.regression._kernels import screening as kernels
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.passes import RowPasses
from randla.regression._quantile.smoothed import SamplePlanes
from randla.regression._quantile.weighted import (
    Conditioned,
    Rows,
    condition,
    exact_fit,
    shortest,
    solve_rows,
    with_rhs,
)

#: Rows that are sampled, as a multiple of the rows that would be kept if as many were sampled.
_SAMPLE = 3.0
#: Rows of the sample that measure the band.
_MEASURED = 8000
#: Rows are kept up to this multiple of the median distance, however many there are.
_TIES = 1e-3
#: Ridge, relative to the Gram matrix of the sample, for columns that the sample does not see.
_RIDGE = 1e-10
_MAX_REPAIRS = 8
#: Share of wrong rows, relative to the sample, from which on a larger sample is taken.
_TOO_MANY = 0.1
#: Effective number of weighted rows, for each column, below which all rows are taken.
_FEW = 20.0
#: Below so many rows, or this ratio of all rows to those that stay, it is as fast to take all.
_MANY, _WORTHWHILE = 8000, 3.0
#: Iterations of a small solve; more mean that the band does not hold the optimal plane, and it
#: is made to hold so many times the rows.
_PATIENCE, _WIDER = 25, 2.0


@dataclass
class GlobbedSolution:
    """Minimiser; rows that stayed; duals of these, the extra rows and the sums; loss and gap."""

    x: Array
    keep: NDArray[np.intp]
    z_kept: Array
    z_extra: Array
    z_sums: Array
    value: float
    gap: float
    n_iterations: int
    z: Array = field(default_factory=lambda: np.empty(0))  # dual of the weighted rows (n,)


@dataclass
class _Plane:
    """One quantile: its plane, its band, and what its small problem gave."""

    tau: float
    x: Array
    share: float  # of all rows, those that stay
    spread: float  # mean residual
    limit: float  # a row stays if |b - a'x| is at most this times its size
    n_iterations: int
    solution: GlobbedSolution | None = None


@dataclass
class _Sample:
    """Some rows, conditioned with the right-hand side of size one, and the metric of all rows."""

    rows: Rows
    conditioned: Conditioned
    panels: Panels
    unit: float  # of the right-hand side
    whitener: Array
    size: Array  # |whitener a| of the rows


def sample_size(n: int, d: int, tau: float) -> int:
    """Rows to sample so that a band of as many rows around their plane holds the optimal plane.

    Where the density of the residuals is f, the plane of m sampled rows is off by about
    sqrt(tau (1 - tau) d / m) / f, and a band of m rows has half-width m / (2 n f): six times the
    one is not above the other. At extreme quantiles the rate of Portnoy and Koenker is larger.
    """
    spread = 6.0 * sqrt(tau * (1.0 - tau) * d) * n
    return int(max(0.8 * sqrt(d) * n ** (2.0 / 3.0), spread ** (2.0 / 3.0)))


def worthwhile(n: int, d: int, tau: float) -> bool:
    """Whether this is faster than to take all rows at once."""
    return n >= _MANY and _WORTHWHILE * sample_size(n, d, tau) < n


class Globbing:
    """Planes of several quantiles of `rows` and of `extra`, (e, d) more rows with b = 0.

    The extra rows have weight one and stay in every small problem.
    """

    def __init__(self, rows: Rows, extra: Array, generator: np.random.Generator) -> None:
        self.rows, self.extra, self.generator = rows, extra, generator
        self._passes = RowPasses(rows)
        self._mass = None if rows.weight is None else np.cumsum(rows.weight)

    def solve(self, taus: list[float], rtol: float) -> list[GlobbedSolution | None]:
        """A solution for each quantile; None where too many rows would have to stay."""
        n, d = self.rows.n, self.rows.d
        results: list[GlobbedSolution | None] = [None] * len(taus)
        weight = self.rows.weight
        if weight is not None and weight.sum() ** 2 < _FEW * d * np.square(weight).sum():
            return results  # a few rows outweigh all others
        growth = 1
        while True:
            sizes = {k: growth * sample_size(n, d, tau) for k, tau in enumerate(taus)}
            todo = [k for k in sizes if results[k] is None and _WORTHWHILE * sizes[k] < n]
            if not todo:
                return results
            found = self._attempt([taus[k] for k in todo], [sizes[k] for k in todo], rtol)
            for k, solution in zip(todo, found, strict=True):
                results[k] = solution
            growth *= 2

    def _attempt(
        self, taus: list[float], sizes: list[int], rtol: float
    ) -> list[GlobbedSolution | None]:
        n, m = self.rows.n, min(int(_SAMPLE * max(sizes)), self.rows.n)
        sample = self._sample(m)
        if sample is None:
            return [None] * len(taus)
        found = SamplePlanes(sample.panels, sample.conditioned.factor, sample.size)

        def plane(k: int) -> _Plane:
            near = found.plane(taus[k])
            # The band shrinks with the error of the plane.
            share = sizes[k] / n * sqrt(sizes[k] / near.n_rows)
            x = sample.conditioned.transform @ (sample.unit * near.x)
            spread, limit = _band(sample, x, share)
            return _Plane(taus[k], x, share, spread, limit, near.n_iterations)

        planes = run_parts(plane, len(taus), seconds=len(taus) * _solve_time(m, self.rows.d))
        return self._settle(planes, sample, max(sizes), rtol)

    def _settle(
        self, planes: list[_Plane], sample: _Sample, size: int, rtol: float
    ) -> list[GlobbedSolution | None]:
        """Solve, check and repair until all rows agree; None where that fails."""
        side = np.zeros((-(-self.rows.n // PANEL), len(planes), PANEL), np.int8)
        sums = np.empty((len(planes), 2, self.rows.d + 1))
        active = list(range(len(planes)))
        if not self._split(planes, active, sample, side, sums):
            return [None] * len(planes)
        for _ in range(_MAX_REPAIRS):
            self._solve_small_problems(planes, active, side, sums, rtol)
            solved = [q for q in active if planes[q].solution is not None]
            lost = [q for q in active if planes[q].solution is None]
            again = []
            for q, index in zip(solved, self._check(planes, solved, side), strict=True):
                if len(index) > _TOO_MANY * size:
                    planes[q].solution = None
                elif len(index):
                    self._take_out(index, side[:, q], sums[q])
                    again.append(q)
            lost = [q for q in lost if planes[q].share * _WIDER * _WORTHWHILE < 1.0]
            for plane in (planes[q] for q in lost):
                plane.share *= _WIDER
                plane.spread, plane.limit = _band(sample, plane.x, plane.share)
            if lost and self._split(planes, lost, sample, side, sums):
                again += lost
            active = again
            if not active:
                break
        for q in active:
            planes[q].solution = None

        def finished(q: int) -> GlobbedSolution | None:
            found = planes[q].solution
            if found is None or found.gap > rtol * found.value:
                return None
            found.x = shortest(self.rows, sample.conditioned, found.x)
            found.z = self._dual(found, side, q)
            return found

        seconds = 2.0 * PACE * self.rows.n * len(planes)
        return run_parts(finished, len(planes), seconds=seconds)

    def _dual(self, solution: GlobbedSolution, side: NDArray[np.int8], q: int) -> Array:
        """The dual of a sum is that of each of its rows."""
        z = np.empty(self.rows.n)
        kernels.spread_duals(side, q, *solution.z_sums, z)
        z[solution.keep] = solution.z_kept
        return z

    # The sample ----------------------------------------------------------------------------------

    def _sample(self, m: int) -> _Sample | None:
        """Some rows, and the metric in which rows are measured; None where a plane fits them."""
        mass = self.rows.n if self._mass is None else self._mass[-1]
        sample = self.rows.take(self._draw(m))
        sample.weight = None  # drawn in proportion to it
        few = sample.below(self.extra * (m / mass), np.zeros(len(self.extra)))
        conditioned = condition(few)
        if exact_fit(few, conditioned) is not None or not conditioned.transform.any():
            return None
        panels, unit = with_rhs(conditioned.panels, few.residuals(np.zeros(few.d)))
        if conditioned.plain:
            whitener = conditioned.factor.whitener() * conditioned.scale
            size = panels.norms(conditioned.factor.whitener()).ravel()[:m]
        else:
            whitener = _whitener(sample.A)
            size = np.sqrt(np.square(sample.A @ whitener.T).sum(axis=1))
        return _Sample(sample, conditioned, panels, unit, whitener, size)

    def _draw(self, m: int) -> NDArray[np.int64]:
        """Draw m rows in proportion to their weights, one from each of m equal strata."""
        places = (np.arange(m) + self.generator.random(m)) / m
        if self._mass is None:
            index = np.floor(places * self.rows.n).astype(np.int64)
        else:
            index = np.searchsorted(self._mass, places * self._mass[-1], side="right")
        return np.minimum(index, self.rows.n - 1)

    # The small problem ---------------------------------------------------------------------------

    def _solve_small_problems(
        self,
        planes: list[_Plane],
        active: list[int],
        side: NDArray[np.int8],
        sums: Array,
        rtol: float,
    ) -> None:
        """Give these planes the solutions of their small problems."""

        def task(k: int) -> None:
            q = active[k]
            planes[q].solution = self._solve_small(planes[q], side[:, q], sums[q], rtol)

        seconds = len(active) * _solve_time(_MEASURED, self.rows.d)
        run_parts(task, len(active), seconds=seconds)

    def _solve_small(
        self, plane: _Plane, side: NDArray[np.int8], sums: Array, rtol: float
    ) -> GlobbedSolution | None:
        """Solve on the rows that stay, the extra rows and the two sums, from the plane's x."""
        rows, d = self.rows, self.rows.d
        flat = side.reshape(-1)[: rows.n]
        keep = np.flatnonzero(flat == 0)
        few = rows.take(keep).below(
            np.vstack([self.extra, sums[:, :d]]), np.append(np.zeros(len(self.extra)), sums[:, d])
        )
        far = np.zeros(few.n)
        far[-2:] = 1.0, -1.0
        found = solve_rows(
            few,
            plane.tau,
            x0=plane.x,
            known_side=far,
            residual_scale=plane.spread,
            rtol=rtol,
            max_iterations=_PATIENCE,
        )
        plane.n_iterations += found.n_iterations
        if found.stalled:
            return None
        plane.x = found.x
        residuals, own = few.residuals(found.x)[:-2], found.z[:-2]
        loss = np.maximum(plane.tau * residuals, (plane.tau - 1.0) * residuals)
        return GlobbedSolution(
            x=found.x,
            keep=keep,
            z_kept=own[: len(keep)],
            z_extra=own[len(keep) :],
            z_sums=found.z[-2:],
            value=float(loss.sum()),
            gap=float((loss - own * residuals).sum()),
            n_iterations=plane.n_iterations,
        )

    def _take_out(self, index: NDArray[np.intp], side: NDArray[np.int8], sums: Array) -> None:
        """Let rows stay that were in the sums."""
        signs = side[index // PANEL, index % PANEL]
        for row, sign in enumerate((1, -1)):
            moved = self.rows.take(index[signs == sign])
            weight = np.ones(moved.n) if moved.weight is None else moved.weight
            sums[row] -= weight @ np.column_stack([moved.A, moved.b])
        side[index // PANEL, index % PANEL] = 0

    def _split(
        self,
        planes: list[_Plane],
        some: list[int],
        sample: _Sample,
        side: NDArray[np.int8],
        sums: Array,
    ) -> bool:
        """Decide which rows stay near some of the planes, and sum the others.

        Returns False where a plane goes through so many rows that the band has no width.
        """
        X = np.array([planes[q].x for q in some])
        limits = np.array([planes[q].limit for q in some])
        if not limits.all():
            return False
        chosen = side if len(some) == len(planes) else np.zeros_like(side[:, some])
        sums[some] = self._passes.split(X, limits, sample.whitener, chosen)
        if chosen is not side:
            side[:, some] = chosen
        return True

    def _check(
        self, planes: list[_Plane], some: list[int], side: NDArray[np.int8]
    ) -> list[NDArray[np.intp]]:
        """Add loss and gap of the summed rows to solutions; return the rows that are wrong."""
        if not some:
            return []
        solutions = [planes[q].solution for q in some]
        X = np.array([planes[q].x for q in some])
        taus = np.array([planes[q].tau for q in some])
        duals = np.array([solution.z_sums for solution in solutions if solution is not None])
        chosen = side if len(some) == len(planes) else np.ascontiguousarray(side[:, some])
        wrong, totals = self._passes.check(X, taus, duals, chosen)
        for solution, (value, gap) in zip(solutions, totals, strict=True):
            if solution is not None:
                solution.value += value
                solution.gap += gap
        return wrong


def _band(sample: _Sample, x: Array, share: float) -> tuple[float, float]:
    """The mean residual at x, and the limit of a band that holds a share of all rows."""
    some = slice(0, None, max(len(sample.size) // _MEASURED, 1))
    distance, size = np.abs(sample.rows.take(some).residuals(x)), sample.size[some]
    score = np.full(len(distance), np.inf)
    np.divide(distance, size, out=score, where=size > 0.0)
    rank, middle = min(int(share * len(score)), len(score) - 1), len(score) // 2
    ordered = np.partition(score, (rank, middle))
    return float(distance.mean()), float(max(ordered[rank], _TIES * ordered[middle]))


def _solve_time(n: int, d: int) -> float:
    """Seconds that an interior point solve of n rows takes, roughly."""
    return 10.0 * (1e-4 + 5.0 * PACE * n * (d + 8))


def _whitener(A: NDArray[Any]) -> Array:
    """W with W'W the inverse of A'A, triangular; large on columns that A lacks."""
    scale = power_of_two_scale(np.abs(A).max(axis=0))
    scaled = (A * scale).astype(np.float64, copy=False)
    G = scaled.T @ scaled
    norms = np.sqrt(np.where(np.diagonal(G) > 0.0, np.diagonal(G), 1.0))
    G = G / np.outer(norms, norms) + _RIDGE * np.eye(len(G))
    return Cholesky(G).whitener() / norms * scale
