"""Chains on parameters and path: particle Gibbs with moves that renew both at once, and PMMH.

Three moves, each of which leaves p(theta, x | y) invariant:

sweep
    (a) a filter conditional on the path x, (c) a new path drawn backward through its cloud, (d)
    steps of a random walk of theta given the path. Cheap and good for any length of the series,
    but slow if theta and x depend on each other.
collapsed
    (a) a filter conditional on x, with the likelihood Zhat of *this* cloud, (b) proposals of theta,
    each with a fresh filter, accepted by the ratio of prior times Zhat, which replace theta and
    cloud, (c) a new path. Insensitive to that dependence, but N must grow with the series.
marginal
    (b) alone, by kept values of Zhat (PMMH). Needs no density of the transition.

On the extended target prior(theta) Zhat(cloud) psi(cloud) the cloud of (a) has the law psi of a
multinomial filter with one path added: so in a collapsed move all filters are multinomial, and Zhat
of a *fresh* filter instead of (a) would define another target. A marginal move may use any
resampling.

Sources: Andrieu, Doucet and Holenstein, "Particle Markov chain Monte Carlo methods", J. R. Statist.
Soc. B 72 (2010), 269-342; Mendes, Carter, Gunawan and Kohn, "A flexible particle Markov chain Monte
Carlo method", Stat. Comput. 30 (2020), 783-798, arXiv:1401.1667 (the two together).
"""

import math
from collections.abc import Generator
from typing import Any

import numpy as np

from randla._random import new_stream
from randla._typing import Array
from randla.smoothing._kernels.particles.path_density import path_density_template
from randla.smoothing._particles.checks import WeightError
from randla.smoothing._posterior.clouds import (
    N_LOOK,
    Clouds,
    ParticleProblem,
    Size,
    Smoother,
    choose,
)
from randla.smoothing._posterior.diagnostics import ess_mean
from randla.smoothing._posterior.moves import Independent, Laws, Point, Walk, random_walk
from randla.smoothing._posterior.tuning import Chain, Pilot, learned, run

N_SWEEP = 20  # particles of a sweep
N_STEPS = 10  # of the walk given the path
N_PROPOSALS = 4  # of a collapsed move, from two laws in turn
_N_MARGINAL = 6  # of an iteration of marginal moves, so that 2000 of them bring R-hat below 1.02
_ACCEPTED_GIVEN_PATH, _ACCEPTED = 0.3, 0.2
_PILOT_SWEEPS, _PILOT_KEPT = 300, 200
_MOST_STARTS = 20
_MOST_SWEEPS = 4  # of an iteration
_SWEEP = 2 * N_SWEEP + N_STEPS  # particles moved at each time in a sweep
_WORTH = 0.04  # independent draws that a marginal proposal is worth, as measured
_DEAR = 1.5e6  # particles times steps of a collapsed move, about 25 ms


class ParticleState:
    """Work space of a chain with any of the moves, and its position."""

    def __init__(self, problem: ParticleProblem, key: int, c: int) -> None:
        self.problem, self.prior = problem, problem.prior
        self.rng, self.stream = np.random.default_rng([key, c]), new_stream(np.uint64(key), c)
        self.paths = [np.empty((1, len(s.y), *s.state_shape)) for s in problem.series]
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

    def path(self) -> Array | None:
        """The present path (T, d) of a single series."""
        path = self.paths[0]
        return path.reshape(path.shape[1], -1) if len(self.paths) == 1 else None

    def start_path(self, smoother: Smoother) -> Generator[int, None, None]:
        """A first path, from filters that are not conditional."""
        yield from smoother.start(self.paths, self.problem.arguments(self.theta))

    def sweep(self, smoother: Smoother, walk: Walk, adapt: bool) -> Generator[int, None, None]:
        """(a), (c) and (d)."""
        yield from smoother.forward(self.paths, self.problem.arguments(self.theta))
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
        """Log density of path and observations; -inf if it is not a number."""
        try:
            arguments = self.problem.arguments(theta)
        except ValueError:  # no such model
            return -math.inf
        value = 0.0
        for one, path in zip(self.problem.series, self.paths, strict=True):
            value += float(self.density(one.series(arguments), path[0], self.info))
        return value if value == value else -math.inf

    def propose(
        self, clouds: Clouds, value: float, laws: Laws, adapt: bool, n: int = N_PROPOSALS
    ) -> Generator[int, None, float]:
        """(b): n proposals with fresh filters, of the laws in turn.

        `value` is log Zhat of the present cloud; returns that of the cloud afterwards.
        """
        for law in laws * (n // len(laws)):
            z, log_ratio = law.propose(self.z, self.rng)
            level, other = self.rng.standard_exponential(), Point(self.prior, z)
            there = yield from clouds.fresh(other)
            gain = other.log_prior + there - self.point.log_prior - value + log_ratio
            accepted = gain > -level
            if accepted:
                self.point, value = other, there
                clouds.accept()
            self.counts["collapsed"][0] += accepted
            if adapt:
                law.adapt(accepted)
        self.counts["collapsed"][1] += n
        return value


def pilot(
    problem: ParticleProblem, key: int, c: int
) -> Generator[int, None, tuple[Pilot, str, Size | None]]:
    """Walk from the model's own parameters: where it leads, its spread, and the method.

    By sweeps if the model has its densities, else by marginal moves. Returns the method and the
    particles, too.
    """
    state = ParticleState(problem, key, c)
    start = np.diag(problem.prior.spread() ** 2)
    line = np.empty((_PILOT_SWEEPS, problem.prior.size))
    if problem.has_densities:
        yield from state.start_path(Smoother(problem, N_LOOK, state.stream))
        smoother, walk = Smoother(problem, N_SWEEP, state.stream), Walk(start, _ACCEPTED_GIVEN_PATH)
        for k in range(_PILOT_SWEEPS):
            yield from state.sweep(smoother, walk, adapt=True)
            line[k] = state.z
    else:
        size = yield from choose(problem, state.stream, state.z[None])
        assert size is not None
        clouds, walk = Clouds(problem, size, state.stream), Walk(start, _ACCEPTED)
        value = yield from clouds.fresh(state.point)
        for k in range(_PILOT_SWEEPS):
            value = yield from state.propose(clouds, value, (walk,), True)
            line[k] = state.z
    line = line[-_PILOT_KEPT:]
    found, method = learned(line, walk.reached()), problem.method
    methods = ("pmmh", "particle") if method == "auto" else (method,)
    sizes: dict[str, Size | None] = {}
    for each in methods:
        sizes[each] = yield from choose(problem._replace(method=each), state.stream, line)
    if method == "auto":
        marginal, mixed = sizes["pmmh"], sizes["particle"]
        assert marginal is not None
        others = marginal.n if mixed is None else mixed.n
        method = "pmmh" if marginal.n**2 <= _most_marginal(line) * others else "particle"
    return found, method, sizes[method]


def _most_marginal(line: Array) -> float:
    """Particles up to which marginal moves beat the sweeps of a mixture, judged by a pilot.

    Of n sweeps worth e independent draws, each is worth e/n at the cost of `_SWEEP` particles at
    all times; the mixture spends at least half of its time on them. A marginal proposal, a filter
    of N particles, is worth about `_WORTH`, with Zhat as noisy as intended; and so is one of the
    mixture's own, with M particles. As e is known only to a factor of 3, the mixture counts as the
    geometric mean of both: its moves are worth less than the marginal ones if N^2 is at most M
    times the result.
    """
    e = float(np.min(ess_mean(line[None])))
    return _WORTH * 2.0 * _SWEEP * len(line) / e


class MixtureChain(ParticleState):
    """Sweeps, and at regular intervals a collapsed move."""

    def __init__(self, problem: ParticleProblem, key: int, c: int) -> None:
        super().__init__(problem, key, c)
        first = problem.pilot
        assert first is not None
        self.smoother = Smoother(problem, N_SWEEP, self.stream)
        self.given_path = Walk(first.shape, _ACCEPTED_GIVEN_PATH)
        self.laws = Independent(*first), Walk(first.shape, _ACCEPTED)
        self._set_size(problem.size)

    def _set_size(self, size: Size | None) -> None:
        self.size, self.clouds, self.period, self.n_sweeps = size, None, 0, _MOST_SWEEPS
        if size is not None:
            self.clouds = Clouds(self.problem, size, self.stream)
            self.period, self.n_sweeps = self._rhythm(size.n)

    def _rhythm(self, n: int) -> tuple[int, int]:
        """Iterations for each collapsed move of n particles, and sweeps of an iteration.

        Collapsed moves may take nearly all of the time while they are cheap, and half of it if they
        are expensive: in long series, where the posterior is near to normal and sweeps move far.
        """
        steps = (N_PROPOSALS + 2) * n
        share = min((steps * self.problem.n_times / _DEAR) ** 2, 1.0)
        sweeps = share * steps / _SWEEP  # for each collapsed move
        longest = max(1, self.problem.schedule.n_iterations // 100)
        period = min(max(round(sweeps), 1), longest)
        return period, min(max(round(sweeps / longest), 1), _MOST_SWEEPS)

    def start(self) -> Generator[int, None, None]:
        yield from self.start_path(Smoother(self.problem, N_LOOK, self.stream))

    def iterate(self, k: int, adapt: bool) -> Generator[int, None, None]:
        for _ in range(self.n_sweeps):
            yield from self.sweep(self.smoother, self.given_path, adapt)
        if self.clouds is not None and k % self.period == self.period - 1:
            value = yield from self.clouds.conditional(self.point, self.paths)
            yield from self.propose(self.clouds, value, self.laws, adapt)
            yield from self.clouds.backward(self.paths)

    def learn(self, pilot: Pilot) -> None:
        for law in (self.given_path, *self.laws):
            law.learn(pilot.mean, pilot.shape)

    def retune(self, line: Array) -> Generator[int, None, None]:
        self._set_size((yield from choose(self.problem, self.stream, line)))

    def start_counting(self) -> None:
        self.smoother.start_counting()
        self.counts = {name: [0, 0] for name in self.counts}

    def rates(self) -> dict[str, Any]:
        (a, n), (b, m) = self.counts["path"], self.counts["collapsed"]
        return {
            "acceptance": a / max(n, 1),
            "collapsed_acceptance": b / m if m else np.nan,
            "update_rate": self.smoother.changed() * N_STEPS / max(n, 1),
            "n_particles": 0 if self.size is None else self.size.n,
            "period": self.period,
        }


class MarginalChain(ParticleState):
    """Particle marginal Metropolis-Hastings; Zhat of the last accepted point is kept."""

    def __init__(self, problem: ParticleProblem, key: int, c: int) -> None:
        super().__init__(problem, key, c)
        assert problem.pilot is not None
        assert problem.size is not None
        self.laws = Independent(*problem.pilot), Walk(problem.pilot.shape, _ACCEPTED)
        self.size = problem.size

    def start(self) -> Generator[int, None, None]:
        clouds = Clouds(self.problem, self.size, self.stream)
        value = yield from clouds.fresh(self.point)
        if value == -math.inf:
            raise WeightError(
                f"n_particles must be more than {self.size.n}: no particle survives at the start "
                "of a chain"
            )
        clouds.accept()
        self.clouds, self.value = clouds, value

    def iterate(self, k: int, adapt: bool) -> Generator[int, None, None]:
        self.value = yield from self.propose(self.clouds, self.value, self.laws, adapt, _N_MARGINAL)
        if not adapt:
            yield from self.clouds.backward(self.paths)

    def learn(self, pilot: Pilot) -> None:
        for law in self.laws:
            law.learn(pilot.mean, pilot.shape)

    def retune(self, line: Array) -> Generator[int, None, None]:
        """Other numbers of particles, and with them another Zhat of the present point."""
        before = self.size
        self.size = (yield from choose(self.problem, self.stream, line)) or before
        try:
            yield from self.start()
        except WeightError:  # all continues as before
            self.size = before

    def start_counting(self) -> None:
        self.counts = {name: [0, 0] for name in self.counts}

    def rates(self) -> dict[str, Any]:
        accepted, proposed = self.counts["collapsed"]
        return {"acceptance": accepted / max(proposed, 1), "n_particles": self.size.n}


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
        except ValueError:  # for other parameters it may not be
            if attempt == _MOST_STARTS - 1:
                raise
    kept = yield from run(sampler, problem.schedule, problem.prior.free, first.shape)
    return Chain(*kept, **sampler.rates())
