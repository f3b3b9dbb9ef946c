"""Where `maximum_likelihood` gets its gradients: exact, or from chains of particle sweeps."""

from collections.abc import Callable, Generator
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from randla._random import new_stream
from randla._typing import Array
from randla.smoothing._exact.hmm import HMMSmootherResult
from randla.smoothing._exact.kalman import linear_gaussian_score
from randla.smoothing._likelihood.em import Family
from randla.smoothing._model.observations import as_symbols
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._models.discrete_hmm import DiscreteHMM
from randla.smoothing._models.linear_gaussian import LinearGaussian
from randla.smoothing._particles.chains import run_chains
from randla.smoothing._particles.ffbs import PathSmoother, path_sums
from randla.smoothing._particles.problem import Backward, SmoothingProblem, make_problem
from randla.smoothing._particles.sweeps import GibbsChain, surviving_start

# Numbers in the paths that are held at once: 64 MB.
_BATCH = 1 << 23


class ExactScores:
    """Log-likelihood and gradient of a model that is known exactly."""

    def __init__(self, model: StateSpaceModel, y: Any, family: Family | None = None) -> None:
        self.model, self.family = model, family
        if isinstance(model, LinearGaussian):
            self.y: Any = model._as_rows(y)
        elif isinstance(model, DiscreteHMM):
            self.y = as_symbols(y, model.emission_probs.shape[1])
        else:
            raise ValueError(
                "method='exact' needs a LinearGaussian or DiscreteHMM model, "
                f"got {type(model).__name__}"
            )

    def value_and_score(self, model: Any) -> tuple[float, Array]:
        """Log-likelihood and its gradient (p,) in theta."""
        if isinstance(model, LinearGaussian):
            return linear_gaussian_score(model, self.y)
        result = HMMSmootherResult.of(self.y, model._tables)
        return result.log_likelihood, result.expectation("score")

    def at(self, theta: Array) -> tuple[float, Array]:
        """The same at a value of theta."""
        return self.value_and_score(self.model.replace(theta))

    def expect(self, model: StateSpaceModel) -> Array:
        """What a step needs: the gradient, or the statistics of EM."""
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

    def problem(
        self, model: StateSpaceModel, y: Any, inputs: Any, functional: Any, *, trace: bool
    ) -> SmoothingProblem:
        """Check model, observations and functional."""
        return make_problem(
            model, y, functional, self.n_particles, self.n_backward, self.backward,
            paths=("n_sweeps", 1) if trace else None, inputs=inputs,
        )  # fmt: skip

    def run(
        self,
        make: Callable[..., Generator[int, None, Any]],
        arguments: list[tuple[Any, ...]],
        problem: SmoothingProblem,
        model: StateSpaceModel,
        n_sweeps: int,
    ) -> list[Any]:
        """Run all chains to the end; errors get a note with the parameters."""
        seconds = problem.seconds() * len(arguments) * n_sweeps
        try:
            return run_chains(make, arguments, executor=self.executor, seconds=seconds)
        except ValueError as error:
            error.add_note(f"This was for {model!r}.")
            raise


class ParticleScores:
    """Smoothed expectations at a value of theta that changes from call to call.

    They are of the score, or of the statistics of a family for EM. Each chain keeps its path from
    one call to the next ("ppg", "path"), so that its bias does not start anew; "paris" begins each
    sweep without a path.
    """

    def __init__(
        self,
        model: StateSpaceModel,
        y: Any,
        inputs: Any,
        settings: ParticleSettings,
        family: Family | None = None,
    ) -> None:
        self.y, self.inputs, self.settings = y, inputs, settings
        functional = "score" if family is None else family.functional
        # Expected counts are probabilities times their scores.
        self.are_counts = family is not None and functional == "score"
        self.trace = settings.method != "paris"  # whether paths are drawn
        self.problem = settings.problem(model, y, inputs, functional, trace=self.trace)
        self.chains = [
            GibbsChain(self.problem, settings.key, c, trace=self.trace)
            for c in range(settings.n_chains)
        ]

    def expect(self, model: StateSpaceModel) -> Array:
        """Mean (p,) of the estimates of the next sweeps of each chain."""
        n_sweeps = self.settings.n_sweeps
        arguments = [(chain, model, n_sweeps) for chain in self.chains]  # a task each
        make = partial(_estimate, problem=self.problem, method=self.settings.method)
        results = self.settings.run(make, arguments, self.problem, model, n_sweeps)
        self.chains = [chain for _, chain in results]  # copies, where processes ran them
        mean = np.mean([estimate for estimate, _ in results], axis=0)
        return mean * model.theta if self.are_counts else mean

    def paths(self) -> list[Array | None]:
        """Return the present path of each chain, None where there is none."""
        return [c.path if self.trace and c.started else None for c in self.chains]

    def gradient_from(self, model: StateSpaceModel) -> Callable[[Array], Array]:
        """Gradient near a model's theta, from the complete-data scores of a path of each chain."""
        none: list[Array | None] = [None] * self.settings.n_chains
        scores = PathScores(model, self.y, self.inputs, self.settings, none, 1)
        drawn = scores.draw(model, 1)
        paths = drawn.reshape(-1, *drawn.shape[2:])
        return lambda theta: scores.along(model.replace(theta), paths).mean(0)


def _estimate(
    chain: GibbsChain,
    model: StateSpaceModel,
    n_sweeps: int,
    *,
    problem: SmoothingProblem,
    method: str,
) -> Generator[int, None, tuple[Array, GibbsChain]]:
    """Mean estimate of the next sweeps of a chain, and the chain after them."""
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
    """Chains of whole paths at fixed parameters, `per_sweep` from each filter."""

    def __init__(
        self,
        model: StateSpaceModel,
        y: Any,
        inputs: Any,
        settings: ParticleSettings,
        paths: list[Array | None],
        per_sweep: int,
    ) -> None:
        self.settings = settings
        self.problem = settings.problem(model, y, inputs, "score", trace=True)
        self.conditional, self.per_sweep = settings.method != "paris", per_sweep
        self.present = [None if p is None else p.copy() for p in paths]  # frozen ones, by chain
        self.smoothers = [  # streams of their own, behind those of the optimizer
            PathSmoother(self.problem, new_stream(settings.key, settings.n_chains + c), per_sweep)
            for c in range(settings.n_chains)
        ]

    def batch_size(self) -> int:
        """Sweeps whose paths may be held at once."""
        problem = self.problem
        size = len(problem.y) * (problem.model.dim or 1) * len(self.smoothers) * self.per_sweep
        return max(1, _BATCH // size)  # size: numbers in the paths of one sweep of all chains

    def draw(self, model: StateSpaceModel, n_sweeps: int) -> Array:
        """Paths (n_chains, n_sweeps * per_sweep, T[, d])."""
        arguments = [
            (smoother, path, model, n_sweeps)
            for smoother, path in zip(self.smoothers, self.present, strict=True)
        ]
        make = partial(_draw, per_sweep=self.per_sweep, conditional=self.conditional)
        results = self.settings.run(make, arguments, self.problem, model, n_sweeps)
        paths, self.smoothers, self.present = map(list, zip(*results, strict=True))
        return np.array(paths)

    def along(self, model: StateSpaceModel, paths: Array) -> Array:
        """Complete-data scores (n, p) along paths (n, T[, d])."""
        return path_sums(self.problem._replace(model=model), paths)


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
