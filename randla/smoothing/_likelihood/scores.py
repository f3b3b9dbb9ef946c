"""The gradients of `maximum_likelihood`: exact, or from chains of particle sweeps."""

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from randla._random import new_stream
from randla._typing import Array
from randla.smoothing._exact.hmm import HMMSmootherResult
from randla.smoothing._exact.kalman import linear_gaussian_score
from randla.smoothing._kernels.particles.resample import SYSTEMATIC
from randla.smoothing._likelihood.em import Family
from randla.smoothing._model.observations import as_symbols
from randla.smoothing._model.several import combined, series_keys, total
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._models.discrete_hmm import DiscreteHMM
from randla.smoothing._models.linear_gaussian import LinearGaussian
from randla.smoothing._particles.chains import run_chains
from randla.smoothing._particles.ffbs import PathSmoother, path_sums
from randla.smoothing._particles.filter import run_filters
from randla.smoothing._particles.filter_run import use_proposal
from randla.smoothing._particles.problem import Backward, SmoothingProblem, make_problem
from randla.smoothing._particles.sweeps import GibbsChain, surviving_start

#: Observations and inputs of each series.
SeriesList = Sequence[tuple[Any, Any]]
# Numbers in the paths that are stored at once: 64 MB.
_BATCH = 1 << 23
_N_FILTERS = 8  # for the log-likelihood and its error


class ExactScores:
    """Log-likelihood and gradient of a model that is known exactly."""

    def __init__(
        self, model: StateSpaceModel, ys: Sequence[Any], family: Family | None = None
    ) -> None:
        self.model, self.family = model, family
        if isinstance(model, LinearGaussian):
            self.ys: list[Any] = [model._as_rows(y) for y in ys]
        elif isinstance(model, DiscreteHMM):
            self.ys = [as_symbols(y, model.emission_probs.shape[1]) for y in ys]
        else:
            raise ValueError(
                "method='exact' needs a LinearGaussian or DiscreteHMM model, "
                f"got {type(model).__name__}: leave method out to use particles"
            )

    def value_and_score(self, model: Any) -> tuple[float, Array]:
        """Log-likelihood and its gradient (p,) in theta, sums over the series."""
        values, scores = zip(*(self._of_one(model, y) for y in self.ys), strict=True)
        return total(values), total(scores)

    @staticmethod
    def _of_one(model: Any, y: Any) -> tuple[float, Array]:
        if isinstance(model, LinearGaussian):
            return linear_gaussian_score(model, y)
        result = HMMSmootherResult.of(y, model._tables)
        return result.log_likelihood, result.expectation("score")

    def log_likelihood(self, model: StateSpaceModel) -> tuple[float, float]:
        """Log-likelihood and its standard error."""
        return self.value_and_score(model)[0], 0.0

    def at(self, theta: Array) -> tuple[float, Array]:
        """Log-likelihood and score at a value of theta."""
        return self.value_and_score(self.model.replace(theta))

    def expect(self, model: StateSpaceModel) -> Array:
        """The input of a step: the gradient, or the statistics of EM."""
        return self.value_and_score(model)[1] if self.family is None else self.family.exact(model)

    def gradient_from(self, model: StateSpaceModel) -> Callable[[Array], Array]:
        """Gradient in theta, for values of theta near those of the model."""
        return lambda theta: self.at(theta)[1]


class ParticleSettings(NamedTuple):
    """How particle methods estimate an expectation."""

    method: str  # "ppg", "path" or "paris"
    n_particles: int
    n_backward: int
    backward: Backward
    n_chains: int
    n_sweeps: int  # of each chain in each step
    key: np.uint64
    executor: Executor | None = None

    def problems(
        self, model: StateSpaceModel, several: SeriesList, functional: Any, *, trace: bool
    ) -> list[SmoothingProblem]:
        """Check model, observations and functional, for each series."""
        paths = ("n_sweeps", 1) if trace else None
        return [
            make_problem(
                model, y, functional, self.n_particles, self.n_backward, self.backward,
                paths=paths, inputs=inputs,
            )
            for y, inputs in several
        ]  # fmt: skip

    def with_keys(
        self, problems: list[SmoothingProblem]
    ) -> list[tuple[SmoothingProblem, np.uint64]]:
        """Each series with the key of its streams."""
        return list(zip(problems, series_keys(self.key, len(problems)), strict=True))

    def run(
        self,
        make: Callable[..., Generator[int, None, Any]],
        arguments: list[tuple[Any, ...]],
        problems: list[SmoothingProblem],
        model: StateSpaceModel,
        n_sweeps: int,
    ) -> list[Any]:
        """Run all chains of all series to the end; errors get a note with the parameters."""
        seconds = sum(problem.seconds() for problem in problems) * self.n_chains * n_sweeps
        try:
            return run_chains(make, arguments, executor=self.executor, seconds=seconds)
        except ValueError as error:
            error.add_note(f"This was for {model!r}.")
            raise


class ParticleScores:
    """Smoothed expectations at a value of theta that changes from call to call.

    They are of the score, or of the statistics of a family for EM; sums over the series, each with
    its own chains. Each chain keeps its path from one call to the next ("ppg", "path"), so that its
    bias continues to decay; "paris" begins each sweep without a path.
    """

    def __init__(
        self,
        model: StateSpaceModel,
        several: SeriesList,
        settings: ParticleSettings,
        family: Family | None = None,
    ) -> None:
        self.several, self.settings = several, settings
        functional = "score" if family is None else family.functional
        # Expected counts are probabilities times their scores.
        self.are_counts = family is not None and functional == "score"
        self.trace = settings.method != "paris"  # whether paths are drawn
        self.problems = settings.problems(model, several, functional, trace=self.trace)
        self.chains = [
            GibbsChain(problem, key, c, trace=self.trace)
            for problem, key in settings.with_keys(self.problems)
            for c in range(settings.n_chains)
        ]

    def expect(self, model: StateSpaceModel) -> Array:
        """Mean (p,) over the chains of the estimates of their next sweeps."""
        n_sweeps = self.settings.n_sweeps
        arguments = [(chain, model, n_sweeps) for chain in self.chains]  # a task each
        make = partial(_estimate, method=self.settings.method)
        results = self.settings.run(make, arguments, self.problems, model, n_sweeps)
        self.chains = [chain for _, chain in results]  # copies, where processes ran them
        estimates = np.array([estimate for estimate, _ in results])
        shape = len(self.problems), self.settings.n_chains, -1
        mean = total(estimates.reshape(shape).mean(axis=1))
        return mean * model.theta if self.are_counts else mean

    def log_likelihood(self, model: StateSpaceModel) -> tuple[float, float]:
        """Estimate of the log-likelihood by filters, and its standard error; NaN if they fail."""
        settings, results = self.settings, []
        try:
            for problem, key in settings.with_keys(self.problems):
                results.append(run_filters(
                    model, problem.series(model._arguments), settings.n_particles, key, _N_FILTERS,
                    first_stream=2 * settings.n_chains,  # after those of `PathScores`
                    guided=use_proposal(model, "auto"), store=False, scheme=SYSTEMATIC,
                    threshold=0.5,
                ))  # fmt: skip
        except ValueError:  # no survivors, or numbers out of range: the estimates remain
            return math.nan, math.nan
        both = combined(results)
        return both.log_likelihood, float(both.log_likelihood_standard_error or 0.0)

    def paths(self) -> list[Array | None]:
        """Return the present path of each chain, None where there is none."""
        return [c.path if self.trace and c.started else None for c in self.chains]

    def gradient_from(self, model: StateSpaceModel) -> Callable[[Array], Array]:
        """Gradient near a model's theta, from the complete-data scores of a path of each chain."""
        none: list[Array | None] = [None] * len(self.chains)
        scores = PathScores(model, self.several, self.settings, none, 1)
        paths = merged(scores.draw(model, 1))
        return lambda theta: scores.along(model.replace(theta), paths).mean(0)


def _estimate(
    chain: GibbsChain,
    model: StateSpaceModel,
    n_sweeps: int,
    *,
    method: str,
) -> Generator[int, None, tuple[Array, GibbsChain]]:
    """Mean estimate of the next sweeps of a chain, and the chain after them."""
    problem = chain.problem
    estimates, trace = np.empty((n_sweeps, problem.functional.n_out)), method != "paris"
    n_times = len(problem.y) if trace else 0
    paths = np.empty((n_sweeps, n_times, *problem.state_shape))
    if trace:
        yield from surviving_start(chain, lambda: chain.sweeps(estimates, paths, model._arguments))
    else:
        for i in range(n_sweeps):
            chain.started = False  # each sweep without a path
            yield from chain.sweeps(estimates[i : i + 1], paths[i : i + 1], model._arguments)
            yield i
    if method == "path":  # the functional of the path itself, not averaged over the particles
        estimates = path_sums(problem._replace(model=model), paths)
    return estimates.mean(0), chain


class PathScores:
    """Chains of whole paths of each series at fixed parameters, `per_sweep` from each filter."""

    def __init__(
        self,
        model: StateSpaceModel,
        several: SeriesList,
        settings: ParticleSettings,
        paths: list[Array | None],
        per_sweep: int,
    ) -> None:
        self.settings = settings
        self.problems = settings.problems(model, several, "score", trace=True)
        self.conditional, self.per_sweep = settings.method != "paris", per_sweep
        self.present = [None if p is None else p.copy() for p in paths]  # frozen ones, by chain
        self.smoothers = [  # separate streams, after those of the optimizer
            PathSmoother(problem, new_stream(key, settings.n_chains + c), per_sweep)
            for problem, key in settings.with_keys(self.problems)
            for c in range(settings.n_chains)
        ]

    def batch_size(self) -> int:
        """Sweeps whose paths may be stored at once."""
        # Numbers in the paths of one sweep of all chains.
        size = sum(len(smoother.problem.y) for smoother in self.smoothers) * self.per_sweep
        return max(1, _BATCH // (size * (self.problems[0].model.dim or 1)))

    def draw(self, model: StateSpaceModel, n_sweeps: int) -> list[Array]:
        """Paths (n_chains, n_sweeps * per_sweep, T[, d]) of each series."""
        arguments = [
            (smoother, path, model, n_sweeps)
            for smoother, path in zip(self.smoothers, self.present, strict=True)
        ]
        make = partial(_draw, per_sweep=self.per_sweep, conditional=self.conditional)
        results = self.settings.run(make, arguments, self.problems, model, n_sweeps)
        paths, self.smoothers, self.present = map(list, zip(*results, strict=True))
        n = self.settings.n_chains
        return [np.array(paths[i : i + n]) for i in range(0, len(paths), n)]

    def along(self, model: StateSpaceModel, paths: list[Array]) -> Array:
        """Complete-data scores (n, p) along paths (n, T[, d]) of each series."""
        pairs = zip(self.problems, paths, strict=True)
        return total([path_sums(problem._replace(model=model), p) for problem, p in pairs])


def merged(paths: list[Array]) -> list[Array]:
    """Paths (n_chains, n, T[, d]) of all chains as (n_chains * n, T[, d])."""
    return [p.reshape(-1, *p.shape[2:]) for p in paths]


def _draw(
    smoother: PathSmoother,
    present: Array | None,
    model: StateSpaceModel,
    n_sweeps: int,
    *,
    per_sweep: int,
    conditional: bool,
) -> Generator[int, None, tuple[Array, PathSmoother, Array | None]]:
    """Paths of the next sweeps of a chain, and its smoother and present path after them."""
    problem = smoother.problem
    paths = np.empty((n_sweeps * per_sweep, len(problem.y), *problem.state_shape))
    for i in range(n_sweeps):
        part = paths[i * per_sweep : (i + 1) * per_sweep]  # given the filter they are independent
        draw = partial(smoother.draw, part, present, model._arguments)
        yield from surviving_start(smoother, draw) if conditional and present is None else draw()
        if conditional:
            present = part[0].copy()  # one of the paths, all of which have the same law
        yield i
    return paths, smoother, present
