"""Exact quantile regression of many rows by solving for few of them: preprocessing.

The fit of a random sample lies close to the fit of all rows, so that most rows can be placed above
or below the optimal fit. All rows above are summed into one row, and all below into another
(`Screened`). The small problem is solved; rows on the wrong side of its solution are taken out of
the sums, and it is solved again.

Source: Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise: computability of
squared-error versus absolute-error estimators", Statist. Sci. 12 (1997), 279-300 (preprocessing),
with the true sums of the rows instead of their large constant.
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
from randla.regression._panels.cholesky import Cholesky
from randla.regression._panels.weighted_data import (
    Conditioned,
    WeightedData,
    condition,
    exact_fit,
    shortest,
)
from randla.regression._quantile.passes import RowPasses
from randla.regression._quantile.screened import Screened
from randla.regression._quantile.smoothed import SampleFits
from randla.regression._quantile.weighted import WeightedSolution

#: Rows that are sampled, as a multiple of the rows that would be kept if as many were sampled.
_SAMPLE = 3.0
#: Rows of the sample that measure the band.
_MEASURED = 8000
#: Rows are kept up to this multiple of the median distance, for any number of rows.
_TIES = 1e-3
#: Ridge, relative to the Gram matrix of the sample, for columns that vanish in the sample.
_RIDGE = 1e-10
_MAX_REPAIRS = 8
#: Wrong rows, as a fraction of the sample, from which a larger sample is drawn.
_TOO_MANY = 0.1
#: Effective number of weighted rows, for each column, below which all rows are taken.
_FEW = 20.0
#: Below this many rows, or this ratio of all rows to those that stay, solving for all is as fast.
_MANY, _WORTHWHILE = 8000, 3.0
#: Iterations of a small solve; more mean that the band does not contain the optimal fit, and it
#: is widened to this many times the rows.
_PATIENCE, _WIDER = 25, 2.0


@dataclass(eq=False)
class ScreenedFit:
    """One quantile: its fit, its band, and the result of its small problem."""

    tau: float
    x: Array
    fraction: float  # of all rows, those that stay
    residual_scale: float  # mean residual
    limit: float  # a row stays if |b - a'x| is at most this times its length
    n_iterations: int
    side: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))  # (K, PANEL)
    screened: Screened | None = None
    solution: WeightedSolution | None = None  # None if too many rows would have to stay
    value: float = 0.0
    gap: float = 0.0
    z: Array = field(default_factory=lambda: np.empty(0))  # dual of the weighted rows (n,)


@dataclass
class _Sample:
    """Some rows, conditioned with the right-hand side of size one, and the metric of all rows."""

    data: WeightedData
    conditioned: Conditioned
    panels: Panels
    unit: float  # of the right-hand side
    whitener: Array
    lengths: Array  # |whitener a| of the rows


def sample_size(n: int, d: int, tau: float) -> int:
    """Rows to sample so that a band of as many rows around their fit contains the optimal fit.

    If the density of the residuals is f, the fit of m sampled rows is off by about sqrt(tau (1 -
    tau) d / m) / f, and a band of m rows has half-width m / (2 n f): six times the former must not
    exceed the latter. At extreme quantiles the rate of Portnoy and Koenker is larger.
    """
    error = 6.0 * sqrt(tau * (1.0 - tau) * d) * n
    return int(max(0.8 * sqrt(d) * n ** (2.0 / 3.0), error ** (2.0 / 3.0)))


def worthwhile(n: int, d: int, tau: float) -> bool:
    """Whether this is faster than solving for all rows at once."""
    return n >= _MANY and _WORTHWHILE * sample_size(n, d, tau) < n


class Preprocessing:
    """Fits of several quantiles of `data` and of `extra`, (e, d) more rows with b = 0.

    The extra rows have weight one and stay in every small problem.
    """

    def __init__(self, data: WeightedData, extra: Array, generator: np.random.Generator) -> None:
        self.data, self.extra, self.generator = data, extra, generator
        self._passes = RowPasses(data)
        self._mass = None if data.weight is None else np.cumsum(data.weight)

    def solve(self, taus: list[float], rtol: float) -> list[ScreenedFit | None]:
        """A fit for each quantile; None where too many rows would have to stay."""
        n, d, weight = self.data.n, self.data.d, self.data.weight
        fits: list[ScreenedFit | None] = [None] * len(taus)
        if weight is not None and weight.sum() ** 2 < _FEW * d * np.square(weight).sum():
            return fits  # a few rows outweigh all others
        growth = 1  # of the sample
        while True:
            sizes = {k: growth * sample_size(n, d, tau) for k, tau in enumerate(taus)}
            todo = [k for k in sizes if fits[k] is None and _WORTHWHILE * sizes[k] < n]
            if not todo:
                return fits
            new = self._attempt([taus[k] for k in todo], [sizes[k] for k in todo], rtol)
            for k, fit in zip(todo, new, strict=True):
                fits[k] = fit
            growth *= 2

    def _attempt(
        self, taus: list[float], sizes: list[int], rtol: float
    ) -> list[ScreenedFit | None]:
        n, m = self.data.n, min(int(_SAMPLE * max(sizes)), self.data.n)
        sample = self._sample(m)
        if sample is None:
            return [None] * len(taus)
        fits_of_sample = SampleFits(sample.panels, sample.conditioned.factor, sample.lengths)

        def start(k: int) -> ScreenedFit:
            fit = fits_of_sample.fit(taus[k])
            # The band shrinks with the error of the fit.
            fraction = sizes[k] / n * sqrt(sizes[k] / fit.n_rows)
            x = sample.conditioned.transform @ (sample.unit * fit.x)
            return ScreenedFit(taus[k], x, fraction, *_band(sample, x, fraction), fit.n_iterations)

        fits = run_parts(start, len(taus), seconds=len(taus) * _solve_time(m, self.data.d))
        self._settle(fits, sample, max(sizes), rtol)

        def finish(k: int) -> ScreenedFit | None:
            fit = fits[k]
            if fit.solution is None or fit.gap > rtol * fit.value or fit.screened is None:
                return None
            fit.x = shortest(self.data, sample.conditioned, fit.x)
            fit.z = fit.screened.fill_dual(fit.solution, fit.side.reshape(-1)[:n])
            return fit

        return run_parts(finish, len(fits), seconds=2.0 * PACE * n * len(fits))

    def _settle(self, fits: list[ScreenedFit], sample: _Sample, size: int, rtol: float) -> None:
        """Solve, check and repair until all rows agree; no solution is left where that fails."""
        active = fits if self._screen(fits, sample) else []
        for _ in range(_MAX_REPAIRS):
            self._solve_small_problems(active, rtol)
            repaired = []
            solved = [fit for fit in active if fit.solution is not None]
            for fit, wrong in zip(solved, self._check(solved), strict=True):
                if len(wrong) > _TOO_MANY * size:
                    fit.solution = None
                elif len(wrong):
                    self._release(fit, wrong)
                    repaired.append(fit)
            stalled = [
                fit for fit in active
                if fit not in solved and fit.fraction * _WIDER * _WORTHWHILE < 1.0
            ]  # fmt: skip
            for fit in stalled:
                fit.fraction *= _WIDER
                fit.residual_scale, fit.limit = _band(sample, fit.x, fit.fraction)
            if stalled and self._screen(stalled, sample):
                repaired += stalled
            active = repaired
            if not active:
                return
        for fit in active:
            fit.solution = None

    # The sample ----------------------------------------------------------------------------------

    def _sample(self, m: int) -> _Sample | None:
        """Some rows, and the metric in which rows are measured; None where a fit is exact."""
        mass = self.data.n if self._mass is None else self._mass[-1]
        drawn = self.data.take(self._draw(m))
        drawn.weight = None  # drawn in proportion to it
        sample = drawn.below(self.extra * (m / mass), np.zeros(len(self.extra)))
        conditioned = condition(sample)
        if exact_fit(sample, conditioned) is not None or not conditioned.transform.any():
            return None
        panels, unit = conditioned.with_rhs(sample.residuals(np.zeros(sample.d)))
        if conditioned.plain:
            whitener = conditioned.factor.whitener() * conditioned.scale
            lengths = panels.norms(conditioned.factor.whitener()).ravel()[:m]
        else:
            whitener = _whitener(drawn.A)
            lengths = np.sqrt(np.square(drawn.A @ whitener.T).sum(axis=1))
        return _Sample(drawn, conditioned, panels, unit, whitener, lengths)

    def _draw(self, m: int) -> NDArray[np.int64]:
        """Draw m rows in proportion to their weights, one from each of m equal strata."""
        places = (np.arange(m) + self.generator.random(m)) / m
        if self._mass is None:
            index = np.floor(places * self.data.n).astype(np.int64)
        else:
            index = np.searchsorted(self._mass, places * self._mass[-1], side="right")
        return np.minimum(index, self.data.n - 1)

    # The small problem ---------------------------------------------------------------------------

    def _screen(self, fits: list[ScreenedFit], sample: _Sample) -> bool:
        """Decide which rows stay near these fits, and sum the others.

        Returns False where a fit goes through so many rows that the band has no width.
        """
        limits = np.array([fit.limit for fit in fits])
        if not limits.all():
            return False
        side = np.zeros((-(-self.data.n // PANEL), len(fits), PANEL), np.int8)
        X = np.array([fit.x for fit in fits])
        sums = self._passes.split(X, limits, sample.whitener, side)
        for q, fit in enumerate(fits):
            fit.side = side[:, q]
            index = np.flatnonzero(fit.side.reshape(-1)[: self.data.n] == 0)
            fit.screened = Screened(self.data.take(index), index, self.extra, sums[q])
        return True

    def _solve_small_problems(self, fits: list[ScreenedFit], rtol: float) -> None:
        seconds = len(fits) * _solve_time(_MEASURED, self.data.d)
        run_parts(lambda k: self._solve_small(fits[k], rtol), len(fits), seconds=seconds)

    def _solve_small(self, fit: ScreenedFit, rtol: float) -> None:
        """Solve on the rows that stay, from the fit's x; no solution if iterations do not end."""
        assert fit.screened is not None
        solution = fit.screened.solve(
            fit.tau, fit.x, fit.residual_scale, rtol=rtol, max_iterations=_PATIENCE
        )
        fit.n_iterations += solution.n_iterations
        fit.solution = None if solution.stalled else solution
        if not solution.stalled:
            fit.x = solution.x
            fit.value, fit.gap = fit.screened.near_loss_and_gap(fit.tau, solution)

    def _check(self, fits: list[ScreenedFit]) -> list[NDArray[np.intp]]:
        """Add loss and gap of the summed rows to the fits; return the rows that are wrong."""
        if not fits:
            return []
        X, taus = np.array([fit.x for fit in fits]), np.array([fit.tau for fit in fits])
        duals = np.array([fit.solution.z[-2:] for fit in fits if fit.solution is not None])
        side = np.stack([fit.side for fit in fits], axis=1)
        wrong, totals = self._passes.check(X, taus, duals, side)
        for fit, (value, gap) in zip(fits, totals, strict=True):
            fit.value, fit.gap = float(fit.value + value), float(fit.gap + gap)
        return wrong

    def _release(self, fit: ScreenedFit, index: NDArray[np.intp]) -> None:
        """Let rows stay that were in the sums."""
        assert fit.screened is not None
        at = index // PANEL, index % PANEL
        fit.screened.release(index, self.data.take(index), fit.side[at] > 0)
        fit.side[at] = 0


def _band(sample: _Sample, x: Array, fraction: float) -> tuple[float, float]:
    """The mean residual at x, and the limit of a band that holds a fraction of all rows."""
    subset = slice(0, None, max(len(sample.lengths) // _MEASURED, 1))
    distance, length = np.abs(sample.data.take(subset).residuals(x)), sample.lengths[subset]
    score = np.full(len(distance), np.inf)
    np.divide(distance, length, out=score, where=length > 0.0)
    rank, middle = min(int(fraction * len(score)), len(score) - 1), len(score) // 2
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
