"""Clouds of particles whose likelihoods are compared, and how many particles they have."""

import math
from collections.abc import Generator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._kernels.particles import resample
from randla.smoothing._particles.checks import WeightError
from randla.smoothing._particles.ffbs import PathSmoother
from randla.smoothing._particles.problem import SmoothingProblem
from randla.smoothing._particles.sweeps import surviving_start
from randla.smoothing._posterior.moves import Point
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.tuning import Pilot, Schedule

N_LOOK = 100  # particles of the first estimate of the variance of log Zhat
LEAST = 40  # particles of a cloud
_N_FILTERS, _WORST_VARIANCE, _MOST_TO_LOOK = 30, 9.0, 6400
_N_POINTS, _N_FILTERS_AT_POINT = 10, 10  # where the variance is compared with that at the center
_VARIANCES = 1e-6, 50.0  # limit of what so few can show
_FEWEST, _MOST = -1.0, 3.0  # doublings of the particles away from the center
#: Target standard deviations of log Zhat, and the maximum number of particles, by method.
_AIM = {"particle": (1.5, 5000), "pmmh": (1.0, 20000)}


class Size(NamedTuple):
    """Particles as a function of the parameters, such that log Zhat is equally noisy everywhere.

    If a posterior extends to precise observations, a number suited to its center gives chains that
    rarely get there and then stick. A fixed function does not change the posterior: the target has
    a cloud of N(theta) particles at theta.
    """

    n: int  # at the center
    mean: Array  # (m,)
    doublings: Array  # (m,), log2 N for each unit of z
    most: int

    def at(self, z: Array) -> int:
        """Particles at z, in powers of two times `n`, so that there are few work spaces."""
        doublings = round(min(max(float(self.doublings @ (z - self.mean)), _FEWEST), _MOST))
        n = round(self.n * 2.0**doublings)
        return min(max(n, min(self.n, LEAST)), max(self.n, self.most))


def constant(n: int, z: Array) -> Size:
    """The same number n for all parameters."""
    return Size(n, z, np.zeros(len(z)), n)


class ParticleProblem(NamedTuple):
    """The common data of all chains. Picklable."""

    prior: Prior
    series: list[SmoothingProblem]  # independent ones, usually one
    schedule: Schedule
    method: str  # "particle" or "pmmh"; "auto" until the pilot has chosen
    n_particles: int | None  # of collapsed and marginal moves; None: by the rules
    pilot: Pilot | None = None
    size: Size | None = None  # by the pilot; None: no collapsed moves

    @property
    def has_densities(self) -> bool:
        """Whether there can be steps given a path."""
        model = self.prior.model
        return model.log_transition is not None and model.log_initial is not None

    @property
    def n_times(self) -> int:
        """Times of all series."""
        return sum(len(one.y) for one in self.series)

    def arguments(self, theta: Array) -> Array:
        """The `theta` of the functions of the model."""
        return self.prior.model._at(read_only(theta))._arguments


class Smoother:
    """A filter for each series, and a path drawn backward through each; `paths` (1, T[, d])."""

    def __init__(self, problem: ParticleProblem, n: int, stream: Any) -> None:
        self.parts = [PathSmoother(s._replace(n_particles=n), stream, 1) for s in problem.series]

    def forward(self, paths: list[Array] | None, theta: Array) -> Generator[int, None, None]:
        """Run the filters, conditional on the paths, if there are any."""
        for i, part in enumerate(self.parts):
            yield from part.forward(None if paths is None else paths[i][0], theta)

    def backward(self, paths: list[Array]) -> Generator[int, None, None]:
        """Draw paths through the filters that were run."""
        for part, path in zip(self.parts, paths, strict=True):
            yield from part.backward(path)

    def start(self, paths: list[Array], theta: Array) -> Generator[int, None, None]:
        """Draw first paths, from filters that are not conditional."""
        for part, path in zip(self.parts, paths, strict=True):
            draw = partial(part.draw, path, theta=theta)
            yield from surviving_start(part, draw)

    def log_likelihood(self) -> float:
        """Log Zhat of all series."""
        return sum(part.filter.log_likelihood() for part in self.parts)

    def changed(self) -> NDArray[np.int64]:
        """Sweeps in which the paths changed at each time, one series after another."""
        return np.concatenate([part.changed for part in self.parts])

    def start_counting(self) -> None:
        """Reset these counts."""
        for part in self.parts:
            part.changed[:] = 0


class Clouds:
    """The present cloud, that of the last proposal, and the work spaces of both."""

    present: Smoother
    other: Smoother

    def __init__(self, problem: ParticleProblem, size: Size, stream: Any) -> None:
        self.problem, self.size, self.stream = problem, size, stream
        self._spaces: dict[int, list[Smoother]] = {}
        self.present = self._space(size.mean, None)

    def _space(self, z: Array, taken: Smoother | None) -> Smoother:
        """A filter with the particles for z that is not `taken`."""
        spaces = self._spaces.setdefault(self.size.at(z), [])
        for space in spaces:
            if space is not taken:
                return space
        space = Smoother(self.problem, self.size.at(z), self.stream)
        if self.problem.method == "pmmh":  # any scheme is valid, and this one adds the least noise
            for part in space.parts:
                part.filter.scheme, part.filter.threshold = resample.SYSTEMATIC, 0.5
        spaces.append(space)
        return space

    def conditional(self, point: Point, paths: list[Array]) -> Generator[int, None, float]:
        """(a): the cloud given the path; returns log Zhat of this cloud."""
        self.present = self._space(point.z, None)
        yield from self.present.forward(paths, self.problem.arguments(point.theta))
        return self.present.log_likelihood()

    def fresh(self, point: Point) -> Generator[int, None, float]:
        """Run a filter at another point, next to the present cloud; returns log Zhat."""
        if point.log_prior == -math.inf:
            return -math.inf
        self.other = self._space(point.z, self.present)
        try:
            yield from self.other.forward(None, self.problem.arguments(point.theta))
            return self.other.log_likelihood()
        except WeightError:  # no particle survived, or the parameters are far beyond the data
            return -math.inf

    def accept(self) -> None:
        """The last fresh cloud becomes the present one."""
        self.present = self.other

    def backward(self, paths: list[Array]) -> Generator[int, None, None]:
        """(c): a path through the present cloud."""
        return self.present.backward(paths)

    def variance(self, point: Point, n_filters: int) -> Generator[int, None, float]:
        """Sample variance of log Zhat at a point; infinite if a cloud dies out."""
        logs = []
        for _ in range(n_filters):
            logs.append((yield from self.fresh(point)))
        return float(np.var(logs, ddof=1)) if min(logs) > -math.inf else math.inf


def choose(problem: ParticleProblem, stream: Any, line: Array) -> Generator[int, None, Size | None]:
    """Particles of collapsed or marginal moves along a stretch of a chain (n, m).

    None: collapsed moves are too expensive.
    """
    center = line.mean(axis=0)
    if problem.n_particles is not None:
        return constant(problem.n_particles, center)
    point, n = Point(problem.prior, center), N_LOOK
    while True:
        clouds = Clouds(problem, constant(n, center), stream)
        spread = yield from clouds.variance(point, _N_FILTERS)
        if spread <= _WORST_VARIANCE or n >= _MOST_TO_LOOK:
            break
        n *= 4
    aim, most = _AIM[problem.method]
    wanted = math.inf if spread > _WORST_VARIANCE else math.ceil(n * spread / aim**2)
    if problem.method == "particle" and wanted > most:
        return None
    chosen = int(min(max(wanted, LEAST), most))
    if spread > _WORST_VARIANCE:
        return constant(chosen, center)
    # The variance goes like 1 / N; its logarithm is taken as linear in z (in units of the spread
    # of z, with a penalty of one such unit).
    points = line[:: -(-len(line) // _N_POINTS)]
    sd = line.std(axis=0) + 1e-300
    units, logs = (points - center) / sd, []
    for z in points:
        there = yield from clouds.variance(Point(problem.prior, z), _N_FILTERS_AT_POINT)
        logs.append(math.log(min(max(there, _VARIANCES[0]), _VARIANCES[1])))
    gains = np.array(logs) - math.log(max(spread, _VARIANCES[0]))
    slope = np.linalg.solve(units.T @ units + np.eye(len(sd)), units.T @ gains)
    return Size(chosen, center, slope / sd / math.log(2.0), most)
