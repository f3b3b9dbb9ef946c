"""Chains on the exact likelihood of linear Gaussian and hidden Markov models."""

import copy
import math
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._exact.hmm import HMMSmootherResult, hmm_smoother
from randla.smoothing._exact.kalman import kalman_smoother, log_likelihood
from randla.smoothing._model.observations import as_symbols
from randla.smoothing._models.discrete_hmm import DiscreteHMM
from randla.smoothing._models.linear_gaussian import LinearGaussian
from randla.smoothing._posterior.moves import Independent, Point, Walk, random_walk
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.tuning import Chain, Pilot, Schedule, learned, run

_PILOT_STEPS = 1000
_STEPS = 3  # of the walk in an iteration, in addition to one independent proposal
_ACCEPTED = 0.3
_MOST_STARTS = 100


class ExactProblem(NamedTuple):
    """The common data of all chains. Picklable."""

    prior: Prior
    rows: list[Any]  # of each series
    schedule: Schedule
    pilot: Pilot | None = None

    def log_likelihood(self, theta: Array) -> float:
        """Exact log-likelihood, -inf if the parameters or the observations are impossible."""
        try:
            return self.strict(theta)
        except ValueError:
            return -math.inf

    def strict(self, theta: Array) -> float:
        """Exact log-likelihood; an error if the parameters or observations are impossible."""
        model = self.prior.model._at(read_only(theta))
        return sum(likelihood_of(model, rows) for rows in self.rows)


def is_exact(model: Any) -> bool:
    """Whether the likelihood of a model is known."""
    return isinstance(model, (LinearGaussian, DiscreteHMM))


def rows_of(model: Any, y: Any) -> Any:
    """Observations as the exact algorithms take them."""
    if isinstance(model, LinearGaussian):
        return model._as_rows(y)
    return as_symbols(y, model.emission_probs.shape[1])


def likelihood_of(model: Any, rows: Any) -> float:
    """Exact log-likelihood, or ValueError if the observations are impossible."""
    if isinstance(model, LinearGaussian):
        return log_likelihood(model, rows)
    return HMMSmootherResult.of(rows, model._tables).log_likelihood


def pilot(problem: ExactProblem, rng: np.random.Generator) -> Generator[int, None, Pilot]:
    """Walk from the model's own parameters, and record the end and the spread."""
    prior = problem.prior
    point, walk = Point(prior, prior.start), Walk(np.diag(prior.spread() ** 2), _ACCEPTED)
    value, line = problem.strict(point.theta), np.empty((_PILOT_STEPS, prior.size))
    for k in range(_PILOT_STEPS):
        point, value, accepted = random_walk(
            prior, problem.log_likelihood, point, value, walk.draw(rng, 1), rng
        )
        walk.adapt(accepted)
        line[k] = point.z
        if k in (_PILOT_STEPS // 4, _PILOT_STEPS // 2):  # from then on along the posterior
            walk.learn(*learned(line[k // 2 : k + 1], walk.reached()))
        yield 0
    return learned(line[_PILOT_STEPS // 2 :], walk.reached())


class ExactChain:
    """One chain: a proposal from around the mean of the posterior, then steps of a walk."""

    def __init__(self, problem: ExactProblem, rng: np.random.Generator) -> None:
        prior, first = problem.prior, problem.pilot
        assert first is not None
        self.problem, self.prior, self.rng = problem, prior, rng
        self.walk, self.independent = Walk(first.shape, _ACCEPTED), Independent(*first)
        self.point = Point(prior, prior.start)
        self.value = -math.inf
        for attempt in range(_MOST_STARTS + 1):  # more scattered than the posterior itself
            z = (
                prior.start
                if attempt == _MOST_STARTS
                else self.independent.propose(first.mean, rng)[0]
            )
            self.point = Point(prior, z)
            if self.point.log_prior > -math.inf:
                self.value = problem.log_likelihood(self.point.theta)
            if self.value > -math.inf:
                break
        self.start_counting()

    @property
    def z(self) -> Array:
        return self.point.z

    @property
    def theta(self) -> Array:
        return self.point.theta

    def learn(self, pilot: Pilot) -> None:
        self.walk.learn(*pilot)
        self.independent.learn(*pilot)

    def retune(self, line: Array) -> Iterator[int]:
        return iter(())

    def path(self) -> None:
        return None  # drawn afterwards, for a few of the draws

    def start_counting(self) -> None:
        self.n_steps = self.n_accepted = 0

    def iterate(self, k: int, adapt: bool) -> Iterator[int]:
        likelihood, moves = self.problem.log_likelihood, self.walk.draw(self.rng, _STEPS)
        self._jump()
        self.point, self.value, accepted = random_walk(
            self.prior, likelihood, self.point, self.value, moves, self.rng
        )
        self.n_steps, self.n_accepted = self.n_steps + _STEPS, self.n_accepted + accepted
        if adapt:
            self.walk.adapt(accepted / _STEPS)
        return iter(())

    def _jump(self) -> None:
        """One Metropolis-Hastings step with a proposal independent of the current point."""
        here = self.point
        z, log_ratio = self.independent.propose(here.z, self.rng)
        there = Point(self.prior, z)
        if there.log_prior == -math.inf:
            return
        value = self.problem.log_likelihood(there.theta)
        gain = there.log_prior + value - here.log_prior - self.value + log_ratio
        if gain > -self.rng.standard_exponential():
            self.point, self.value = there, value


def exact_chain(problem: ExactProblem, key: int, c: int) -> Generator[int, None, Chain]:
    """Run chain c."""
    sampler = ExactChain(problem, np.random.default_rng([key, c]))
    assert problem.pilot is not None
    kept = yield from run(sampler, problem.schedule, problem.prior.free, problem.pilot.shape)
    return Chain(*kept, sampler.n_accepted / max(sampler.n_steps, 1))


def last_state(model: Any, y: Any, rng: np.random.Generator) -> Array:
    """A draw (d,) of the last state given all observations."""
    if isinstance(model, DiscreteHMM):
        probs = hmm_smoother(model, y).probs[-1]
        return np.array([float(rng.choice(len(probs), p=probs / probs.sum()))])
    result = kalman_smoother(model, y)
    return rng.multivariate_normal(result.mean[-1], result.covariance[-1], method="eigh")


def path_given_all(model: Any, y: Any, rng: np.random.Generator) -> Array:
    """A draw (T, d) of all states given all observations.

    Linear Gaussian: a path x+ is drawn with its observations y+, and x+ + E[x | y] - E[x | y+]
    has the law of x given y; what is diffuse in x+ may start anywhere, as E[x | y+] moves along.
    Otherwise forward through the smoothed probabilities of pairs.

    Source: Durbin and Koopman, "A simple and efficient simulation smoother for state space time
    series analysis", Biometrika 89 (2002), 603-616.
    """
    if isinstance(model, DiscreteHMM):
        result = hmm_smoother(model, y)
        path = [int(rng.choice(len(result.probs[0]), p=result.probs[0]))]
        for pair in result.pair_probs:
            row = pair[path[-1]]
            path.append(int(rng.choice(len(row), p=row / row.sum())))
        return np.array(path, float)[:, None]
    known = copy.copy(model)
    known.__dict__["diffuse"] = None  # its directions have no variance in initial_cov
    states, drawn = known.simulate(len(y), rng=rng)
    drawn = np.where(np.isnan(y), np.nan, np.reshape(drawn, np.shape(y)))
    return states + kalman_smoother(model, y).mean - kalman_smoother(model, drawn).mean
