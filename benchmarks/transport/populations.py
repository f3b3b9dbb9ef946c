"""Coverage of population intervals, and the level of the test, for `benchmarks.calibration`.

Mostly Y has the law of s X + c, so that on a direction the best coupling is this map, and SW_2^2 of
the laws is |(1 - s) E X - c|^2 / d + (1 - s)^2 tr S / d.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, roots_gegenbauer

from benchmarks.calibration import LEVELS, Study
from randla import sliced_wasserstein, sliced_wasserstein_test


class Law(NamedTuple):
    """Points of one law (n, d), and of a copy of it that is moved and scaled."""

    draw: Callable  # (rng, (n, d)) -> points
    mean: float  # of each coordinate
    variance: float  # of each coordinate, but for the first one where there are modes
    shift: float
    scale: float
    modes: tuple = (0.0,)  # added to the first coordinate, with equal probability

    def sample(self, rng, n, d):
        x = self.draw(rng, (n, d)).astype(float)
        x[:, 0] += rng.choice(self.modes, n)
        return x

    def pair(self, rng, n, m, d):
        """Samples of the two laws."""
        return self.sample(rng, n, d), self.scale * self.sample(rng, m, d) + self.shift

    def distance(self, d):
        """SW_2 of the two laws."""
        total = d * self.variance + float(np.var(self.modes))
        gap = (1.0 - self.scale) * self.mean - self.shift
        return math.sqrt(gap**2 + (1.0 - self.scale) ** 2 * total / d)


class Masses(NamedTuple):
    """Normal points about two modes, c e_1 and -c e_1, with different masses in the two laws."""

    mode: float
    masses: tuple  # of the first mode, in each law

    def pair(self, rng, n, m, d):
        """Samples of the two laws."""
        samples = rng.standard_normal((n, d)), rng.standard_normal((m, d))
        for points, mass in zip(samples, self.masses, strict=True):
            points[:, 0] += np.where(rng.random(len(points)) < mass, self.mode, -self.mode)
        return samples

    def distance(self, d):
        """SW_2 of the two laws, by quadrature over theta_1, of density (1 - t^2)^((d - 3) / 2)."""
        x = np.linspace(-self.mode - 10.0, self.mode + 10.0, 20_001)
        levels = (np.arange(50_000) + 0.5) / 50_000
        nodes, weights = roots_gegenbauer(40, 0.5 * d - 1.0)
        total = 0.0
        for t, weight in zip(nodes, weights, strict=True):
            near, far = ndtr(x - t * self.mode), ndtr(x + t * self.mode)
            of = [np.interp(levels, q * near + (1.0 - q) * far, x) for q in self.masses]
            total += weight * np.mean((of[0] - of[1]) ** 2)
        return math.sqrt(total / weights.sum())


def _normal(rng, shape):
    return rng.standard_normal(shape)


LAWS = {
    "normal, shift .3, scale 1.3": Law(_normal, 0.0, 1.0, 0.3, 1.3),
    "exponential, scale 1.5": Law(lambda r, n: r.exponential(size=n), 1.0, 1.0, 0.0, 1.5),
    "Laplace, shift .5": Law(lambda r, n: r.laplace(size=n), 0.0, 2.0, 0.5, 1.0),
    "two modes 6 apart, shift .5": Law(_normal, 0.0, 1.0, 0.5, 1.0, (-3.0, 3.0)),
    "two modes 6 apart, masses .5 and .3": Masses(3.0, (0.5, 0.3)),
    "two modes 20 apart, shift 1": Law(_normal, 0.0, 1.0, 1.0, 1.0, (-10.0, 10.0)),
    "three modes 5 apart, shift .7": Law(_normal, 0.0, 1.0, 0.7, 1.0, (-5.0, 0.0, 5.0)),
    "lognormal, scale 1.5": Law(
        lambda r, n: r.lognormal(size=n), math.exp(0.5), math.e * (math.e - 1.0), 0.0, 1.5
    ),
    "gamma 2, scale 1.3": Law(lambda r, n: r.gamma(2.0, size=n), 2.0, 2.0, 0.0, 1.3),
    "uniform, shift .3, scale .8": Law(lambda r, n: r.random(n), 0.5, 1.0 / 12.0, 0.3, 0.8),
    "chi-square 1, scale 1.5": Law(lambda r, n: r.chisquare(1.0, n), 1.0, 2.0, 0.0, 1.5),
    "t 3, shift .5": Law(lambda r, n: r.standard_t(3.0, n), 0.0, 3.0, 0.5, 1.0),
    "Poisson 2, shift 1": Law(lambda r, n: r.poisson(2.0, n), 2.0, 2.0, 1.0, 1.0),
    "bits, shift .5": Law(lambda r, n: r.integers(0, 2, n), 0.5, 0.25, 0.5, 1.0),
    "geometric, shift 1": Law(lambda r, n: r.geometric(0.5, n), 2.0, 2.0, 1.0, 1.0),
}
EQUAL = {
    "normal": Law(_normal, 0.0, 1.0, 0.0, 1.0),
    "exponential": Law(lambda r, n: r.exponential(size=n), 1.0, 1.0, 0.0, 1.0),
    "t 3": Law(lambda r, n: r.standard_t(3.0, n), 0.0, 3.0, 0.0, 1.0),
    "Poisson 2": Law(lambda r, n: r.poisson(2.0, n), 2.0, 2.0, 0.0, 1.0),
}


def interval(law, n, m, d):
    """Shares of `population_interval`."""

    def cover(draws):
        held, truth = [], law.distance(d)
        for k in range(draws):
            rng = np.random.default_rng([k, n, d])
            result = sliced_wasserstein(*law.pair(rng, n, m, d), population=True, rng=rng)
            ends = [result.population_interval(level) for level in LEVELS]
            held.append([low <= truth <= high for low, high in ends])
        return held

    return cover


def level(law, n, m, d, p):
    """Shares of samples of one law that the test does not reject."""

    def keep(draws):
        kept = []
        for k in range(draws):
            rng = np.random.default_rng([k, n, m, d])
            X, Y = law.sample(rng, n, d), law.sample(rng, m, d)
            result = sliced_wasserstein_test(X, Y, p=p, n_permutations=99, rng=rng)
            kept.append([result.p_value > 1.0 - at + 1e-12 for at in LEVELS])
        return kept

    return keep


def studies():
    for n, m, d in ((200, 120, 2), (50, 30, 8), (200, 120, 8), (200, 120, 30)):
        for laws, kind in ((LAWS, ""), (EQUAL, " twice")):
            for name, law in laws.items():
                data = f"d = {d}, {n} and {m}: {name}{kind}"
                yield Study("population_interval", data, 400, interval(law, n, m, d))
    for name, n, m, d, p in (
        ("normal", 30, 30, 5, 2),
        ("normal", 40, 25, 20, 1),
        ("t 3", 30, 30, 5, 1),
        ("Poisson 2", 30, 20, 2, 2),
    ):
        data = f"level, d = {d}, {n} and {m}, p = {p}: {name}"
        yield Study("sliced_wasserstein_test", data, 2000, level(EQUAL[name], n, m, d, p))
