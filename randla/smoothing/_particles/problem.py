"""The smoothing problem: the arguments that all smoothers share, checked."""

from typing import Any, Literal, NamedTuple, get_args

from numpy.typing import ArrayLike

from randla._results import RandlaWarning, warn_caller
from randla._typing import Array
from randla._validation import as_choice, as_count
from randla.smoothing._model.additive_functional import AdditiveFunctional
from randla.smoothing._model.series import Series, unpickled
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.checks import as_model

Backward = Literal["auto", "exact", "reject", "mcmc", "ancestor"]
#: A history of more bytes than this is refused before it is allocated, for each chain.
MAX_HISTORY_BYTES = 1 << 33


class DegenerateSmoothingWarning(RandlaWarning):
    """Only the genealogy of the particles can be used, as the model has no transition density.

    Issued by `ppg`, `paris`, `ffbs` and `particle_gibbs` with ``backward="auto"``.
    """


class SmoothingProblem(NamedTuple):
    """A model with observations, and how to smooth; the same for all chains. Picklable."""

    model: StateSpaceModel
    data: Series  # what the kernels read, with the model's parameters
    functional: AdditiveFunctional
    n_particles: int
    n_backward: int | None  # None: all particles instead of draws
    backward: Backward
    limit: int  # proposals of "reject" before an exact draw

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one state in the kernels' arrays."""
        return () if self.model.dim is None else (self.model.dim,)

    @property
    def y(self) -> Array:
        """The observations (T,) or (T, k)."""
        return self.data.y

    def series(self, theta: Array | None = None) -> Series:
        """The input of the kernels, with the model's parameters or others."""
        return self.data.at(self.model._arguments if theta is None else theta)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, tuple(self)

    def seconds(self) -> float:
        """Approximate duration of one sweep."""
        n, draws = self.n_particles, self.n_backward or 1
        # Seconds a backward draw: a row of N exponentials, one Metropolis step, or a few tries.
        each = 3e-9 * n if self.n_backward is None or self.backward == "exact" else 2e-8
        each = 1e-7 if self.backward == "reject" else each
        return len(self.y) * n * (5e-8 + draws * each) * (self.model.dim or 1)


def _unpickled(*fields: Any) -> SmoothingProblem:
    """The problem again, with observations that are read-only."""
    problem = SmoothingProblem(*fields)
    return problem._replace(data=unpickled(problem.data))


def make_problem(
    model: Any,
    y: ArrayLike,
    functional: Any,
    n_particles: int,
    n_backward: int | None,
    backward: Backward,
    *,
    paths: tuple[str, int] | None,
    inputs: ArrayLike | None = None,
) -> SmoothingProblem:
    """Check the common arguments of all smoothers; `paths` names the argument for stored paths."""
    model = as_model(model)._for(functional)
    model._require_start()
    data = model._series(y, inputs)
    n = as_count(n_particles, "n_particles", minimum=2)
    backward = choose_backward(model, backward)
    if n_backward is not None:
        n_backward = as_count(n_backward, "n_backward")
    elif model.log_transition is None:
        raise ValueError("n_backward=None needs a model with log_transition, got one without")
    if backward == "ancestor":
        n_backward = 1  # more draws would repeat the same one
    if paths is not None:
        require_memory(len(data.y), n, model.dim or 1, *paths)
    else:
        require_room(len(data.y), n, model.dim or 1)
    functional = model._compiled.functional(functional)
    limit = max(16, n // 4)  # where the proposals begin to cost more than an exact draw
    return SmoothingProblem(model, data, functional, n, n_backward, backward, limit)


def choose_backward(
    model: StateSpaceModel, backward: Backward, default: Backward = "mcmc"
) -> Backward:
    """Return the back-end that "auto" selects, or an error if the model lacks a function."""
    as_choice(backward, "backward", get_args(Backward))
    if backward == "auto" and model.log_transition is not None:
        return default
    if backward == "auto":
        warn_caller(
            "the model has no log_transition, so backward='auto' uses the genealogy of the "
            "particles, which degenerates over time",
            DegenerateSmoothingWarning,
        )
        return "ancestor"
    if backward != "ancestor" and model.log_transition is None:
        raise ValueError(
            f"backward={backward!r} needs a model with log_transition; without one only "
            "backward='ancestor' is possible"
        )
    if backward == "reject" and model.log_transition_bound is None:
        raise ValueError(
            "backward='reject' needs a model with log_transition_bound, got one without"
        )
    return backward


def require_room(
    n_times: int, n_particles: int, dim: int, n_runs: int = 1, n_lags: int = 0
) -> None:
    """Refuse runs of a filter whose work space is too large."""
    # For each particle two states, log weights and ancestors, the weights, and an ancestor at each
    # lag; for each time the track and the moments.
    one = n_particles * (16 * dim + 56 + (4 * n_lags if n_runs == 1 else 0))
    size = n_runs * (one + n_times * (16 * dim + 32))
    if max(one, size if n_runs > 1 else 0) > MAX_HISTORY_BYTES:
        name = "n_particles" if one > MAX_HISTORY_BYTES else "n_runs"
        raise ValueError(
            f"{name} must leave the work space of all runs below {MAX_HISTORY_BYTES / 2**30:.0f} "
            f"GiB, but {n_runs} runs of {n_particles} particles at {n_times} times need "
            f"{size / 2**30:.3g} GiB"
        )


def require_memory(
    n_times: int, n_particles: int, dim: int, name: str = "", n_paths: int = 0
) -> None:
    """Refuse a history that is too large; `name` is the argument for the number of paths."""
    for argument, count, each in (
        ("n_particles", n_particles, 8 * dim + 12),  # states, log weights, int32 ancestors
        (name, n_paths, 16 * dim),  # as they are drawn, and in the result
    ):
        size = n_times * count * each
        if size > MAX_HISTORY_BYTES:
            what = "particles" if argument == "n_particles" else "paths"
            raise ValueError(
                f"{argument} must leave the history of a chain below "
                f"{MAX_HISTORY_BYTES / 2**30:.0f} GiB, but {count} {what} at {n_times} times need "
                f"{size / 2**30:.1f} GiB"
            )
