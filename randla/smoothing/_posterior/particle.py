"""Chains on parameters and path together: particle Gibbs, with moves that renew both at once.

Three moves, each of which leaves p(theta, x | y) as it is (Andrieu, Doucet and Holenstein, J. R.
Statist. Soc. B 72 (2010), 269-342; Mendes, Scharth and Kohn, "Markov interacting importance
samplers", arXiv:1502.07039, for the two together):

sweep
    (a) a filter conditional on the path x, (c) a new path drawn backward through its cloud, (d)
    steps of a random walk of theta given the path. Cheap and good for any length of the series,
    but slow where theta and x depend on one another.
collapsed
    (a) a filter conditional on x, with the likelihood Zhat of *this* cloud, (b) proposals of theta,
    each with a fresh filter, accepted by the ratio of prior times Zhat, which replace theta and
    cloud, (c) a new path. Blind to that dependence, but the particles must grow with the series.
marginal
    (b) alone, by kept values of Zhat (PMMH). Needs no density of the transition.

On the extended target prior(theta) Zhat(cloud) psi(cloud) the cloud of (a) has the law psi of a
multinomial filter with one path added: so in a collapsed move all filters are multinomial, and
Zhat of a *fresh* filter in place of (a) would be another target. A marginal move may resample as
it likes.
"""

import math
from collections.abc import Generator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from randla._random import new_stream
from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._kernels.particles import resample
from randla.smoothing._kernels.particles.path_density import path_density_template
from randla.smoothing._particles.checks import WeightError
from randla.smoothing._particles.ffbs import PathSmoother
from randla.smoothing._particles.problem import SmoothingProblem
from randla.smoothing._particles.sweeps import surviving_start
from randla.smoothing._posterior.moves import Independent, Laws, Point, Walk, random_walk
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.tuning import Chain, Pilot, Schedule, learned, run

N_SWEEP = 20  # particles of a sweep
N_STEPS = 10  # of the walk given the path
N_PROPOSALS = 4  # of a collapsed or marginal move, from two laws in turn
N_START = 100  # particles of the first path, and of the first look at the variance of Zhat
_ACCEPTED_GIVEN_PATH, _ACCEPTED = 0.3, 0.2
_N_FILTERS, _WORST_VARIANCE, _MOST_TO_LOOK = 50, 9.0, 6400
_PILOT_SWEEPS, _PILOT_KEPT = 300, 200
#: Standard deviations of log Zhat that are aimed at, and the most particles, by move.
_AIM = {"particle": (1.5, 5000), "pmmh": (1.2, 20000)}


class ParticleProblem(NamedTuple):
    """What all chains share. Picklable."""

    prior: Prior
    smoothing: SmoothingProblem
    schedule: Schedule
    method: str  # "particle" or "pmmh"
    n_particles: int | None  # of collapsed and marginal moves; None: by the rules
    pilot: Pilot | None = None
    chosen: int = 0  # by the pilot; 0: no collapsed moves

    @property
    def has_densities(self) -> bool:
        """Whether there can be steps given a path."""
        model = self.prior.model
        return model.log_transition is not None and model.log_initial is not None

    def smoother(self, n: int, stream: Any) -> PathSmoother:
        return PathSmoother(self.smoothing._replace(n_particles=n), stream, 1)

    def arguments(self, theta: Array) -> Array:
        """What the functions of the model are handed as `theta`."""
        return self.prior.model._at(read_only(theta))._arguments

    def period(self, n: int) -> int:
        """Sweeps for each collapsed move of n particles.

        Collapsed moves then take eight ninths of the time up to n = 140, and half of it from 400
        on: where they are dear, in long series, sweeps do more for the same time (both measured).
        """
        share = min(max((n / 400.0) ** 2, 0.125), 1.0)
        ratio = share * (N_PROPOSALS + 2) * n / (2 * N_SWEEP + N_STEPS)
        return min(max(round(ratio), 1), max(1, self.schedule.n_iterations // 100))


class ParticleState:
    """Work space of a chain of any of the moves, and where it stands."""

    def __init__(self, problem: ParticleProblem, key: int, c: int) -> None:
        self.problem, self.prior = problem, problem.prior
        self.rng, self.stream = np.random.default_rng([key, c]), new_stream(np.uint64(key), c)
        shape, n_times = problem.smoothing.state_shape, len(problem.smoothing.y)
        self.paths = np.empty((1, n_times, *shape))  # one
        self.point = Point(self.prior, self.prior.start)
        self.info = np.zeros(3, np.int64)
        self.counts = {"path": [0, 0], "collapsed": [0, 0]}  # accepted, proposed
        if problem.has_densities:
            model = self.prior.model
            f = model._compiled.functions
            laws = f.log_initial, f.log_transition, f.log_potential
            self.density = model._compiled.kernel(path_density_template, *laws)

    @property
    def z(self) -> Array:
        return self.point.z

    @property
    def theta(self) -> Array:
        return self.point.theta

    def path(self) -> Array:
        """The present path (T, d)."""
        return self.paths.reshape(self.paths.shape[1], -1)

    def start_path(self, smoother: PathSmoother) -> Generator[int, None, None]:
        """A first path, from filters that are not conditional."""
        theta = self.problem.arguments(self.theta)
        yield from surviving_start(smoother, lambda: smoother.draw(self.paths, theta=theta))

    def sweep(self, smoother: PathSmoother, walk: Walk, adapt: bool) -> Generator[int, None, None]:
        """(a), (c) and (d)."""
        yield from smoother.forward(self.paths[0], self.problem.arguments(self.theta))
        yield from smoother.backward(self.paths)
        value = self._given_path(self.theta)
        moves = walk.draw(self.rng, N_STEPS)
        self.point, _, accepted = random_walk(
            self.prior, self._given_path, self.point, value, moves, self.rng
        )
        self.counts["path"][0] += accepted
        self.counts["path"][1] += N_STEPS
        if adapt:
            walk.adapt(accepted / N_STEPS)

    def _given_path(self, theta: Array) -> float:
        """Log density of path and observations; -inf where it is no number."""
        try:
            arguments = self.problem.arguments(theta)
        except ValueError:  # no such model
            return -math.inf
        value = float(
            self.density(self.problem.smoothing.series(arguments), self.paths[0], self.info)
        )
        return value if value == value else -math.inf

    def propose(
        self, cloud: "Clouds", value: float, laws: Laws, adapt: bool
    ) -> Generator[int, None, float]:
        """(b): a proposal of each law with a fresh filter. `value` is log Zhat of the cloud.

        Returns that of the cloud afterwards.
        """
        for law in laws * (N_PROPOSALS // len(laws)):
            z, log_ratio = law.propose(self.z, self.rng)
            level, other = self.rng.standard_exponential(), Point(self.prior, z)
            there = yield from cloud.fresh(self.problem, other)
            gain = other.log_prior + there - self.point.log_prior - value + log_ratio
            accepted = gain > -level
            if accepted:
                self.point, value = other, there
                cloud.accept()
            self.counts["collapsed"][0] += accepted
            if adapt:
                law.adapt(accepted)
        self.counts["collapsed"][1] += N_PROPOSALS
        return value


class Clouds:
    """The present cloud, in the filter of a `PathSmoother`, and that of a proposal beside it."""

    def __init__(self, problem: ParticleProblem, n: int, stream: Any) -> None:
        self.n, self.smoother = n, problem.smoother(n, stream)
        self.other = self.smoother.new_filter()
        if problem.method == "pmmh":  # any scheme will do, and this one adds the least noise
            for run in (self.smoother.filter, self.other):
                run.scheme, run.threshold = resample.SYSTEMATIC, 0.5

    def conditional(self, state: ParticleState) -> Generator[int, None, float]:
        """(a): the cloud given the path; returns log Zhat of this cloud."""
        theta = state.problem.arguments(state.theta)
        yield from self.smoother.forward(state.paths[0], theta)
        return self.smoother.filter.log_likelihood()

    def fresh(self, problem: ParticleProblem, point: Point) -> Generator[int, None, float]:
        """Run a filter at another point, beside the present cloud; returns log Zhat."""
        if point.log_prior == -math.inf:
            return -math.inf
        self._swap()
        try:
            theta = problem.arguments(point.theta)
            yield from self.smoother.forward(None, theta)
            value = self.smoother.filter.log_likelihood()
        except WeightError:  # no particle survived, or the parameters are far beyond the data
            value = -math.inf
        finally:
            self._swap()
        return value

    def accept(self) -> None:
        """The last fresh cloud becomes the present one."""
        self._swap()

    def _swap(self) -> None:
        self.smoother.filter, self.other = self.other, self.smoother.filter


def variance(
    problem: ParticleProblem, state: ParticleState, point: Point
) -> Generator[int, None, tuple[int, float]]:
    """Look at the variance of log Zhat at a point: (particles, variance) where it is usable."""
    n = N_START
    while True:
        cloud, logs = Clouds(problem, n, state.stream), []
        for _ in range(_N_FILTERS):
            logs.append((yield from cloud.fresh(problem, point)))
        spread = float(np.var(logs, ddof=1)) if min(logs) > -math.inf else math.inf
        if spread <= _WORST_VARIANCE or n >= _MOST_TO_LOOK:
            return n, spread
        n *= 4


def choose(
    problem: ParticleProblem, state: ParticleState, point: Point
) -> Generator[int, None, int]:
    """Particles of a collapsed or marginal move at a point; 0: collapsed moves are too dear."""
    if problem.n_particles is not None:
        return problem.n_particles
    n, spread = yield from variance(problem, state, point)
    aim, most = _AIM[problem.method]
    wanted = math.inf if spread > _WORST_VARIANCE else math.ceil(n * spread / aim**2)
    if problem.method == "particle" and wanted > most:
        return 0
    return int(min(max(wanted, 2 * N_SWEEP), most))


def pilot(problem: ParticleProblem, key: int, c: int) -> Generator[int, None, tuple[Pilot, int]]:
    """Walk from the model's own parameters: where that leads, how far it swings, and with what.

    By sweeps where the model has its densities, else by marginal moves.
    """
    state = ParticleState(problem, key, c)
    start = np.diag(problem.prior.spread() ** 2)
    line = np.empty((_PILOT_SWEEPS, problem.prior.size))
    if problem.has_densities:
        yield from state.start_path(problem.smoother(N_START, state.stream))
        smoother, walk = problem.smoother(N_SWEEP, state.stream), Walk(start, _ACCEPTED_GIVEN_PATH)
        for k in range(_PILOT_SWEEPS):
            yield from state.sweep(smoother, walk, adapt=True)
            line[k] = state.z
    else:
        n = yield from choose(problem, state, state.point)
        cloud, walk = Clouds(problem, n, state.stream), Walk(start, _ACCEPTED)
        value = yield from cloud.fresh(problem, state.point)
        for k in range(_PILOT_SWEEPS):
            value = yield from state.propose(cloud, value, (walk,), True)
            line[k] = state.z
    found = learned(line[-_PILOT_KEPT:], walk.reached())
    return found, (yield from choose(problem, state, Point(problem.prior, found.mean)))


class MixtureChain(ParticleState):
    """Sweeps, and every so often a collapsed move."""

    def __init__(self, problem: ParticleProblem, key: int, c: int) -> None:
        super().__init__(problem, key, c)
        first = problem.pilot
        assert first is not None
        self.smoother = problem.smoother(N_SWEEP, self.stream)
        self.given_path = Walk(first.shape, _ACCEPTED_GIVEN_PATH)
        self.laws = Independent(*first), Walk(first.shape, _ACCEPTED)
        self._set_cloud(problem.chosen)

    def _set_cloud(self, n: int) -> None:
        self.period = self.problem.period(n) if n else 0
        self.cloud = Clouds(self.problem, n, self.stream) if n else None

    def start(self) -> Generator[int, None, None]:
        yield from self.start_path(self.problem.smoother(N_START, self.stream))

    def iterate(self, k: int, adapt: bool) -> Generator[int, None, None]:
        yield from self.sweep(self.smoother, self.given_path, adapt)
        if self.cloud is not None and k % self.period == self.period - 1:
            value = yield from self.cloud.conditional(self)
            yield from self.propose(self.cloud, value, self.laws, adapt)
            yield from self.cloud.smoother.backward(self.paths)

    def learn(self, pilot: Pilot) -> None:
        for law in (self.given_path, *self.laws):
            law.learn(pilot.mean, pilot.shape)

    def retune(self, mean: Array) -> Generator[int, None, None]:
        self._set_cloud((yield from choose(self.problem, self, Point(self.prior, mean))))

    def start_counting(self) -> None:
        self.smoother.changed[:] = 0
        self.counts = {name: [0, 0] for name in self.counts}

    def rates(self) -> dict[str, Any]:
        (a, n), (b, m) = self.counts["path"], self.counts["collapsed"]
        return {
            "acceptance": a / max(n, 1),
            "collapsed_acceptance": b / m if m else np.nan,
            "changed": self.smoother.changed,
            "n_particles": 0 if self.cloud is None else self.cloud.n,
            "period": self.period,
        }


class MarginalChain(ParticleState):
    """Particle marginal Metropolis-Hastings; Zhat of what was accepted last is kept."""

    def __init__(self, problem: ParticleProblem, key: int, c: int) -> None:
        super().__init__(problem, key, c)
        assert problem.pilot is not None
        self.laws = Independent(*problem.pilot), Walk(problem.pilot.shape, _ACCEPTED)
        self.n = problem.chosen

    def start(self) -> Generator[int, None, None]:
        cloud = Clouds(self.problem, self.n, self.stream)
        value = yield from cloud.fresh(self.problem, self.point)
        if value == -math.inf:
            raise WeightError(
                f"n_particles must be more than {self.n}: no particle survives at the start of a "
                "chain"
            )
        cloud.accept()
        self.cloud, self.value = cloud, value

    def iterate(self, k: int, adapt: bool) -> Generator[int, None, None]:
        self.value = yield from self.propose(self.cloud, self.value, self.laws, adapt)
        if not adapt:
            yield from self.cloud.smoother.backward(self.paths)

    def learn(self, pilot: Pilot) -> None:
        for law in self.laws:
            law.learn(pilot.mean, pilot.shape)

    def retune(self, mean: Array) -> Generator[int, None, None]:
        """Another number of particles, and with it another Zhat of the present point."""
        self.n = yield from choose(self.problem, self, Point(self.prior, mean))
        with suppress(WeightError):  # else all goes on as before
            yield from self.start()

    def start_counting(self) -> None:
        self.counts = {name: [0, 0] for name in self.counts}

    def rates(self) -> dict[str, Any]:
        accepted, proposed = self.counts["collapsed"]
        return {"acceptance": accepted / max(proposed, 1), "n_particles": self.cloud.n}


_MOST_STARTS = 20


def particle_chain(problem: ParticleProblem, key: int, c: int) -> Generator[int, None, Chain]:
    """Run chain c."""
    first = problem.pilot
    assert first is not None
    sampler: Any = (MixtureChain if problem.method == "particle" else MarginalChain)(
        problem, key, c
    )
    law = Independent(*first)  # more scattered than the posterior
    for attempt in range(_MOST_STARTS):
        z = law.propose(first.mean, sampler.rng)[0] if attempt < _MOST_STARTS - 1 else first.mean
        sampler.point = Point(problem.prior, z)
        if sampler.point.log_prior == -math.inf:
            continue
        try:
            yield from sampler.start()
            break
        except ValueError:  # of other parameters it may not be so
            if attempt == _MOST_STARTS - 1:
                raise
    kept = yield from run(sampler, problem.schedule, problem.prior.free, first.shape)
    return Chain(*kept, **sampler.rates())
