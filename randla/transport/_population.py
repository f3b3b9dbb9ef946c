"""The distance of the laws that two clouds were drawn from: sampling error and bias.

The cost of two samples, on each direction, differs from that of the laws for three reasons: it
varies with the samples, it is too large on average, and there are finitely many directions.

*Variance.* By the central limit theorem for p > 1 the cost varies like the means of phi(X) and
psi(Y), with phi and psi the means over the directions of the Kantorovich potentials. The square of
an estimated mean over directions is too large by its own noise. The product of those from two
independent halves of the directions is not.

*Bias.* The cost is convex in the two measures. The second term of its expansion is an integral over
products of quantile densities of the two samples, which are independent: products of spacings
estimate it without bias (`fill_biases`). It is subtracted on each direction.

If the laws are (nearly) equal the potentials vanish and the rest of the expansion matters: the
error then includes a third of the bias, or the noise of the spacings if that is larger.

Sources: del Barrio, González Sanz and Loubes, "Central limit theorems for general transportation
costs", Ann. Inst. H. Poincaré Probab. Statist. 60 (2024), 847-873; for the sliced distance,
Rodríguez-Vítores, del Barrio and Loubes, "An improved central limit theorem for the empirical
sliced Wasserstein distance", arXiv:2503.18831 (2025).
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._results import RandlaWarning, warn_caller
from randla._typing import Array
from randla.transport._clouds import Cloud, Clouds
from randla.transport._directions.designs import Design, on_the_line
from randla.transport._estimation import SlicedEstimator
from randla.transport._projections.costs import ProjectedCosts
from randla.transport._projections.potentials import Potentials
from randla.transport._projections.projector import SAFE_POWER, Projector, Side
from randla.transport._result import MeanCost, SlicedWassersteinResult

_LEAST_POINTS, _LEAST_POWER = 20, 1.5
_LEAST_PROJECTIONS = 100
_TIED, _NOISY = 0.1, 0.4  # equal neighbors, and noise over bias, above which there is a warning
_ROUND_NUMBERS = 1 << 21  # potentials held at a time: 16 MiB
_POINTS = 4096  # of a part of their sums


class PopulationWarning(RandlaWarning):
    """The estimated distance of the laws of two samples may be wrong for these data.

    Issued by `sliced_wasserstein` with ``population=True``.
    """


def projections_for(n: int, dim: int) -> int:
    """Number of directions, as requested or by default."""
    return max(n, _LEAST_PROJECTIONS, 2 * dim)


def require_samples(clouds: Any, p: float) -> None:
    """Refuse cases that the theory, or its tests, do not cover."""
    if not isinstance(clouds, Clouds):
        raise ValueError("population=True needs X and Y in memory, got Dask arrays of many points")
    if not _LEAST_POWER <= p <= SAFE_POWER:
        why = " (at p = 1 the limit is not normal: see sliced_wasserstein_test)" * (p < 2.0)
        raise ValueError(
            f"population=True needs p from {_LEAST_POWER:g} to {SAFE_POWER:g}, got {p:g}{why}"
        )
    for cloud, name in zip(clouds.items, "XY", strict=True):
        n = effective_size(cloud)
        if n < _LEAST_POINTS * (1.0 - 1e-12):
            by = "" if cloud.weights is None else " (1 / sum of squared weights)"
            raise ValueError(
                f"population=True needs {name} to have at least {_LEAST_POINTS} points{by}, "
                f"got {n:.3g}"
            )


def effective_size(cloud: Cloud) -> float:
    """1 / sum of a_i^2: the number of points for equal weights."""
    return float(cloud.size if cloud.weights is None else 1.0 / (cloud.weights @ cloud.weights))


class SampledCosts(ProjectedCosts):
    """Costs that collect, for the directions of a design in order, the sums for the laws.

    Attributes
    ----------
    factor : float
        (1/n + 1/m) / 2, with effective sizes if there are weights.
    """

    def __init__(self, x: Cloud, y: Cloud, p: float, design: Design) -> None:
        super().__init__(x, y, p)
        weighted = self._coupling.weighted
        self._projector = Projector((x, y), (weighted, weighted), (True, True))
        self._potentials = Potentials(x, y, p)
        self._design, self._n_seen = design, 0
        n, m = effective_size(x), effective_size(y)
        self.factor, self._levels = 0.5 / n + 0.5 / m, math.floor(min(n, m) * (1.0 + 1e-12))
        # two halves, of alternate blocks; one of all directions if these are not random
        self._n_halves = 1 if design.kind == "array" else 2
        self._sums = tuple(np.zeros((self._n_halves, cloud.size)) for cloud in (x, y))
        self._tables: list[Array] = []  # of `fill_biases`
        self.seconds *= 3.0

    def __call__(self, theta: Array, variances: Array | None = None) -> Array:
        """Costs (L,) for directions (L, d), the next ones of the design; fills `variances`."""
        out = np.empty(len(theta))
        step = max(_ROUND_NUMBERS // (self._x.size + self._y.size), 1)
        for first in range(0, len(theta), step):
            rows = slice(first, min(first + step, len(theta)))
            known = None if variances is None else variances[:, rows]
            self._collect(theta[rows], out[rows], known)
        return out

    def _collect(self, theta: Array, costs: Array, variances: Array | None) -> None:
        shifts, L = self._shifts(theta), len(theta)
        rows_of = tuple(np.empty((L, sums.shape[1])) for sums in self._sums)
        table = np.empty((3, L))

        def task(rows: slice, sides: list[Side]) -> None:
            left, right = sides
            self._coupling.costs(left, right, shifts[rows], self.p, costs[rows])
            self._potentials.fill(left, right, shifts[rows], *(R[rows] for R in rows_of))
            self._potentials.biases(left, right, shifts[rows], self._levels, table[:, rows])

        self._projector.visit(theta, self._batch(L), task, L * self.seconds, variances)
        self._tables.append(table)
        number = np.arange(self._n_seen, self._n_seen + L)
        half = number // self._design.block % self._n_halves
        is_in = (half == np.arange(self._n_halves)[:, None]).astype(np.float64)  # (halves, L)
        for sums, R in zip(self._sums, rows_of, strict=True):
            bounds = part_bounds(R.shape[1], -(-R.shape[1] // _POINTS))

            def add(part: int, sums: Array = sums, R: Array = R, bounds: Any = bounds) -> None:
                points = slice(*bounds[part])
                sums[:, points] += is_in @ R[:, points]

            run_parts(add, len(bounds), seconds=1e-9 * R.size, blas=True)
        self._n_seen += L

    @property
    def biases(self) -> Array:
        """The bias to subtract from the costs (L,)."""
        return self.factor * np.concatenate(self._tables, axis=1)[0]

    @property
    def noise(self) -> float:
        """Error of the mean of the biases, as that of dependent products of spacings."""
        return self.factor * float(np.concatenate(self._tables, axis=1)[1].mean())

    @property
    def tied(self) -> float:
        """Fraction of equal neighbors among the sorted projections."""
        n_pairs = self._n_seen * (self._x.size + self._y.size - 2)
        return sum(float(table[2].sum()) for table in self._tables) / n_pairs

    @property
    def variance(self) -> float:
        """Variance of the mean cost over samples: sum of a_i^2 phi_i^2 and of b_j^2 psi_j^2, with
        the square as the product of two halves.
        """
        number = np.arange(self._n_seen) // self._design.block % self._n_halves
        counts, total = np.bincount(number), 0.0
        for masses, sums in zip(self._potentials.masses, self._sums, strict=True):
            halves = sums / counts[:, None] * masses  # a_i phi_i of each half
            total += float(halves[0] @ halves[-1])
        return max(total, 0.0)


def with_population(
    clouds: Clouds,
    p: float,
    control: Any,
    cross_fit: bool | None,
    design: Design | None,
    result: SlicedWassersteinResult | None,
) -> SlicedWassersteinResult:
    """The result of `SlicedEstimator` on a design (None on the line), unless it is given,
    and the part about the laws.
    """
    x, y = clouds.items
    costs = SampledCosts(x, y, p, on_the_line() if design is None else design)
    estimator = SlicedEstimator(clouds, costs, control, cross_fit)
    if design is None:
        result = estimator.exact()
        mean, error = result._cost.mean - float(costs.biases[0]), 0.0
    else:
        draws = estimator.draw(design)
        result = result or estimator.final(estimator.estimate(design, draws))
        fair = estimator.estimate(design, replace(draws, costs=draws.costs - costs.biases))
        mean, error = fair._cost.mean, fair._cost.error or 0.0
    bias = float(costs.biases.mean())
    second = max((bias / 3.0) ** 2, 0.75 * costs.noise**2)  # of the rest of the expansion
    error = math.sqrt(costs.variance + error**2 + second)
    cost = MeanCost.of(mean, error, math.inf, p, clouds.exponent)
    _warn(costs.tied, bias, costs.noise)
    return replace(
        result,
        population_power=float(cost.powers(mean)),
        population_standard_error=float(cost.powers(error)),
        bias=float(cost.powers(result._cost.mean - mean)),
        near_equal=bool(mean <= 2.0 * error),
        _population=cost,
    )


def _warn(tied: float, bias: float, noise: float) -> None:
    if tied > _TIED:
        warn_caller(
            f"{100.0 * tied:.0f}% of the sorted projections equal their neighbors, as on a "
            "lattice: the error of the population distance is for continuous laws; "
            "sliced_wasserstein_test is exact",
            PopulationWarning,
        )
    elif bias == 0.0 or noise > _NOISY * bias:
        warn_caller(
            "the bias of the population distance is not well estimated, as with gaps, heavy "
            "tails or few points: its interval may be off",
            PopulationWarning,
        )
