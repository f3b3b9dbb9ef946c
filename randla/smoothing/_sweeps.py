"""Chains of PaRIS sweeps, the engine of `paris` and `ppg`, and how chains run side by side."""

import time
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import map_chains, progress_bar, run_parts
from randla._random import new_stream
from randla._results import RandlaWarning
from randla._validation import as_choice, as_count
from randla.smoothing._checks import (
    PIECE_SECONDS,
    as_model,
    as_observations,
    pieces,
    raise_for_status,
)
from randla.smoothing._filter import use_proposal
from randla.smoothing._functional import AdditiveFunctional, as_functional
from randla.smoothing._kernels import backward as forms
from randla.smoothing._kernels.sweep import (
    full_update_form,
    sampled_update_form,
    sweep_template,
)
from randla.smoothing._model import StateSpaceModel

T = TypeVar("T")

BACKWARD = ("auto", "exact", "reject", "mcmc", "ancestor")
#: A history of more bytes than this is refused before it is allocated, for each chain.
MAX_HISTORY_BYTES = 1 << 33


class DegenerateSmoothingWarning(RandlaWarning):
    """Only the genealogy of the particles can be used, as the model has no transition density."""


class Problem(NamedTuple):
    """A model with observations, and how to smooth; the same for all chains. Picklable."""

    model: StateSpaceModel
    y: NDArray[np.float64]
    observed: NDArray[np.bool_]
    functional: AdditiveFunctional
    n_particles: int
    n_backward: int | None  # None: all particles instead of draws
    backward: str
    limit: int  # proposals of "reject" before an exact draw

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one state in the kernels' arrays."""
        return () if self.model.dim is None else (self.model.dim,)

    def seconds(self) -> float:
        """Rough duration of one sweep."""
        n, draws = self.n_particles, self.n_backward or 1
        each = 3e-9 * n if self.n_backward is None or self.backward == "exact" else 2e-8
        each = 1e-7 if self.backward == "reject" else each
        return len(self.y) * n * (5e-8 + draws * each) * (self.model.dim or 1)


def make_problem(
    model: Any,
    y: ArrayLike,
    functional: Any,
    *,
    n_particles: int,
    n_backward: int | None,
    backward: str,
    trace: bool,
) -> Problem:
    """Check what all smoothers take."""
    model = as_model(model)
    values, observed = as_observations(y, model)
    n = as_count(n_particles, "n_particles", minimum=2)
    backward = choose_backward(model, backward)
    if n_backward is not None:
        n_backward = as_count(n_backward, "n_backward")
    elif model.log_transition is None:
        raise ValueError("n_backward=None needs a model with log_transition, got one without")
    if backward == "ancestor":
        n_backward = 1
    if trace:
        require_memory(len(values), n, model.dim or 1)
    chosen = as_functional(functional, model, values)
    return Problem(model, values, observed, chosen, n, n_backward, backward, max(16, n // 4))


def choose_backward(model: StateSpaceModel, backward: str, default: str = "mcmc") -> str:
    """Return the back-end that "auto" stands for, or an error if the model lacks a function."""
    as_choice(backward, "backward", BACKWARD)
    if backward == "auto" and model.log_transition is None:
        warnings.warn(
            "the model has no log_transition, so backward='auto' uses the genealogy of the "
            "particles, which degenerates over time",
            DegenerateSmoothingWarning,
            stacklevel=4,
        )
        return "ancestor"
    if backward == "auto":
        return default
    if backward != "ancestor" and model.log_transition is None:
        raise ValueError(
            f"backward={backward!r} needs a model with log_transition; without one only "
            "backward='ancestor' is possible"
        )
    if backward == "reject" and model.log_transition_bound is None:
        raise ValueError("backward='reject' needs a model with log_transition_bound")
    return backward


def require_memory(n_times: int, n_particles: int, dim: int) -> None:
    """Refuse a history that is too large."""
    size = n_times * n_particles * (8 * dim + 12)
    if size > MAX_HISTORY_BYTES:
        raise ValueError(
            f"n_particles must leave the history of a chain below {MAX_HISTORY_BYTES / 2**30:.0f} "
            f"GiB, but {n_particles} particles at {n_times} times need {size / 2**30:.1f} GiB"
        )


def backward_form(model: StateSpaceModel, backward: str) -> Any:
    """Return the function that fills a table of backward draws, made once for the model."""
    key = ("backward", backward)
    if key not in model._kernels:
        if backward == "ancestor":
            model._kernels[key] = forms.ancestor_form()
        elif backward == "reject":
            model._kernels[key] = forms.reject_form(
                model.log_transition, model.log_transition_bound
            )
        elif backward == "exact":
            model._kernels[key] = forms.exact_form(model.log_transition)
        else:
            model._kernels[key] = forms.mcmc_form(model.log_transition, model.dim is None)
    return model._kernels[key]


def sweep_kernel(problem: Problem) -> Any:
    """Return the kernel of `randla.smoothing._kernels.sweep` for a problem."""
    model, functional = problem.model, problem.functional
    key = ("update", problem.backward, problem.n_backward is None, functional)
    if key not in model._kernels:
        if problem.n_backward is None:
            update = full_update_form(model.log_transition, functional.step, functional.costly)
        else:
            update = sampled_update_form(
                backward_form(model, problem.backward), functional.step, functional.costly
            )
        model._kernels[key] = update
    guided = use_proposal(model, "auto")
    return model.kernel(
        sweep_template, *model.forms(guided=guided), functional.initial, model._kernels[key]
    )


class SweepChain:
    """Work space and state of one chain of sweeps.

    The chain starts with an unconditional sweep; each further sweep is conditional on the path
    that the one before drew. Without `trace` no path is drawn and the memory is O(N).
    """

    def __init__(
        self, problem: Problem, key: np.uint64, chain: int, *, trace: bool, batch: int = 1
    ) -> None:
        n_times, n = len(problem.y), problem.n_particles
        p, state = problem.functional.n_out, problem.state_shape
        rows = n_times if trace else min(2, n_times)
        self.problem, self.trace = problem, trace
        self.kernel = sweep_kernel(problem)
        self.rng = new_stream(key, chain)
        self.path = np.empty((n_times, *state))
        self.X, self.log_weights = np.empty((rows, n, *state)), np.empty((2, n))
        self.chosen = np.empty((rows if trace else 1, n), np.int32)
        self.A, self.J = np.empty(n, np.int32), np.empty((problem.n_backward or 1, n), np.int32)
        self.w, self.c, self.work = np.empty(n), np.empty(n), np.empty((3, n))
        self.guide = np.empty(2 * n, np.int32)
        self.h = problem.functional.buffer()
        in_full = problem.n_backward is None and not problem.functional.costly
        self.values = np.empty((n if in_full else 0, p))
        self.statistics = np.empty((2, n, p))
        self.totals, self.increments = np.empty(n_times), np.empty(n_times)
        self.changed = np.zeros(n_times, np.int64)
        self.info = np.zeros(3, np.int64)
        self.started = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the work space: the state is the stream and the path."""
        return _restored, (self.problem, self.trace, self.rng, self.path, self.started)

    def advance(
        self,
        begin: int,
        end: int,
        estimates: NDArray[np.float64],
        paths: NDArray[np.float64],
        theta: NDArray[np.float64] | None = None,
    ) -> None:
        """Run times begin, ..., end - 1 of one sweep, or as many whole ones as `estimates` has."""
        problem = self.problem
        self.kernel(
            self.rng, problem.y, problem.observed,
            problem.model.arguments if theta is None else theta,
            begin, end, len(estimates), self.started, self.trace, problem.limit, self.path,
            self.X, self.log_weights, self.chosen, self.A, self.J, self.w, self.c, self.guide,
            self.work, problem.functional.within(self.h), self.values, self.statistics, self.totals,
            estimates, paths, self.changed, self.increments, self.info,
        )  # fmt: skip
        problem.functional.require_untouched(self.h)
        raise_for_status(self.info)
        if end == len(problem.y):
            self.started = True

    def sweeps(
        self,
        estimates: NDArray[np.float64],
        paths: NDArray[np.float64],
        theta: NDArray[np.float64] | None = None,
    ) -> Generator[int, None, None]:
        """Fill `estimates` (k, p) and `paths` (k, T[, d]) by k sweeps, in pieces of about 0.2 s.

        Yields the number of sweeps done after each piece.
        """
        n_times, seconds, done = len(self.problem.y), self.problem.seconds(), 0
        while done < len(estimates):
            most = len(estimates) - done if self.started else 1
            n = min(most, int(PIECE_SECONDS / seconds))
            rows = slice(done, done + max(n, 1))
            started = time.perf_counter()
            first_piece = n_times if n > 0 else int(n_times * PIECE_SECONDS / seconds)
            for begin, end in pieces(n_times, first_piece):
                self.advance(begin, end, estimates[rows], paths[rows], theta)
                if end < n_times:
                    yield done
            seconds = max((time.perf_counter() - started) / max(n, 1), 1e-6)
            done += max(n, 1)
            if done < len(estimates):
                yield done


def _restored(
    problem: Problem, trace: bool, rng: Any, path: NDArray[np.float64], started: bool
) -> SweepChain:
    chain = SweepChain(problem, np.uint64(0), 0, trace=trace)
    chain.rng, chain.path, chain.started = rng, path, started
    return chain


def run_chains(
    make: Callable[..., Generator[int, None, T]],
    arguments: list[tuple[Any, ...]],
    *,
    executor: Executor | None,
    seconds: float,
    n_units: int,
    progress: bool,
    description: str,
) -> list[T]:
    """Run one generator for each tuple of arguments to its end and return what they return.

    The generators yield between pieces of work. On our threads they advance in rounds, so that
    Ctrl-C is seen between the rounds; on a user's executor each is one task.
    """
    if executor is not None:
        tasks = [(make, a) for a in arguments]
        return map_chains(
            _exhaust, tasks, executor=executor, progress=progress, description=description
        )
    chains = [make(*a) for a in arguments]
    results: list[Any] = [None] * len(chains)
    done, running = [0] * len(chains), list(range(len(chains)))

    def advance(c: int) -> bool:
        try:
            done[c] = next(chains[c])
        except StopIteration as stop:
            results[c], done[c] = stop.value, n_units
            return False
        return True

    with progress_bar(n_units * len(chains), progress, description) as bar:
        while running:
            order = list(running)
            alive = run_parts(lambda k: advance(order[k]), len(order), seconds=seconds)  # noqa: B023
            running = [c for c, goes_on in zip(order, alive, strict=True) if goes_on]
            bar(sum(done))
    return results


def _exhaust(make: Callable[..., Generator[int, None, T]], arguments: tuple[Any, ...]) -> T:
    chain = make(*arguments)
    while True:
        try:
            next(chain)
        except StopIteration as stop:
            return stop.value
