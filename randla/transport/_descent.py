"""Descent of a cloud on a weighted sum of squared sliced Wasserstein distances, step by step."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from randla._parallel import progress_bar
from randla._random import as_generator, draw_key
from randla._results import axes_or_new
from randla._typing import Array
from randla._validation import as_count, as_flag, as_number
from randla.transport._clouds import Source, prepare
from randla.transport._controls.regression import plain_mean
from randla.transport._directions.designs import Design, as_design
from randla.transport._projections.slopes import ProjectedSlopes
from randla.transport._result import DirectionsResult, MeanCost, directions_interval

Callback: TypeAlias = Callable[[int, Array, float, float], Any]


@dataclass(frozen=True, eq=False, repr=False)
class SlicedWassersteinFlow(DirectionsResult):
    """The path of a cloud under descent, and its distance to the target at each step.

    The result of `sliced_wasserstein_flow` and `sliced_wasserstein_barycenter`.

    Attributes
    ----------
    points : (n, d) ndarray
        The points after the last step.
    trace : (n_steps,) ndarray
        Before each step: :math:`SW_2` to the target (flow), or the square root of the weighted sum
        of the squares (barycenter).
    trace_standard_error : (n_steps,) ndarray
        Standard error of `trace`, due to the random directions of that step.
    degrees_of_freedom : float
        Degrees of freedom of the Student t law of the errors of `trace`: seven if each step draws
        eight blocks of orthogonal directions, as by default; inf if there is no error.
    n_projections : int
        Number of directions in each step.
    snapshots : (k, n, d) ndarray or None
        The points at k times from the start to the end, or to where the callback stopped; None if
        they were not requested.
    snapshot_steps : (k,) ndarray or None
        Number of steps before each snapshot, including those before `first_step`.
    """

    points: Array
    trace: Array
    trace_standard_error: Array
    degrees_of_freedom: float
    n_projections: int
    snapshots: Array | None
    snapshot_steps: NDArray[np.int64] | None
    _first_step: int

    def _interval(self, level: float) -> tuple[Array, Array]:
        error = self.trace_standard_error, self.degrees_of_freedom
        low, high = directions_interval(self.trace, *error, level)
        return np.maximum(low, 0.0), high

    def plot(self, ax: Any = None) -> Any:
        """Plot `trace` against the steps, with its 95 percent interval.

        Needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        steps = self._first_step + np.arange(len(self.trace))
        ax.plot(steps, self.trace)
        ax.fill_between(steps, *self.confidence_interval(0.95), alpha=0.3)
        ax.set(xlabel="step", ylabel="sliced Wasserstein distance", yscale="log")
        return ax


def step_keys(rng: Any, first_step: int) -> Iterator[np.uint64]:
    """Keys of the steps from number `first_step` on: the numbers that `rng` draws, one a step.

    A seed starts again in every call, so that earlier steps are skipped; a Generator continues from
    where earlier calls left it.
    """
    generator: Any = as_generator(rng)
    if not isinstance(rng, (np.random.Generator, np.random.BitGenerator, np.random.RandomState)):
        generator.bit_generator.advance(first_step)  # one 64-bit word a key
    return iter(lambda: draw_key(generator), None)


class Weighted(NamedTuple):
    """Points (n, d) with weights (n,), or None for equal ones."""

    points: NDArray[Any]
    weights: NDArray[Any] | None


@dataclass(frozen=True)
class Watch:
    """Observation of a descent in progress."""

    first_step: int
    callback: Callback | None
    every: int
    moments: NDArray[np.int64]  # (k,) numbers of steps of this call, at which points are kept

    @classmethod
    def of(
        cls, first_step: Any, callback: Any, every: Any, snapshots: Any, n_steps: int
    ) -> "Watch":
        """Validate the options."""
        first_step = as_count(first_step, "first_step", minimum=0)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable or None, got {type(callback).__name__}")
        k = 0
        if snapshots is not None:
            note = ", one before and one after each step"
            k = as_count(snapshots, "snapshots", minimum=2, maximum=n_steps + 1, note=note)
        moments = np.rint(np.linspace(0.0, n_steps, k)).astype(np.int64)
        return cls(first_step, callback, as_count(every, "every"), moments)

    def stops(self, k: int, points: Array, cost: MeanCost) -> bool:
        """Call back after step k of this call; returns whether to stop."""
        step = self.first_step + k
        if self.callback is None or (step + 1) % self.every:
            return False
        shown = points.copy()  # a copy, as the points move on
        shown.flags.writeable = False
        power, error = float(cost.powers(cost.mean)), float(cost.powers(cost.error))
        answer = self.callback(step, shown, power, error)
        return isinstance(answer, (bool, np.bool_)) and bool(answer)


@dataclass(frozen=True)
class Descent:
    """Options of a descent on sum_k share_k SW_2^2(X, Y_k), for flows and barycenters."""

    n_steps: int
    step: float
    n_projections: int | None
    directions: str
    progress: bool

    @classmethod
    def of(
        cls, n_steps: Any, step: Any, n_projections: Any, directions: Any, progress: Any
    ) -> "Descent":
        """Validate the options."""
        n_steps = as_count(n_steps, "n_steps")
        step = as_number(step, "step", low=0.0, high=2.0, closed="right")
        if n_projections is not None:
            n_projections = as_count(n_projections, "n_projections", minimum=2)
        if not isinstance(directions, str):
            raise TypeError(
                f"directions must be 'iid', 'orthogonal', 'rqmc' or 'auto', "
                f"got {type(directions).__name__}"
            )
        return cls(n_steps, step, n_projections, directions, as_flag(progress, "progress"))

    def run(
        self,
        start: Weighted,
        targets: list[Source],
        shares: list[float],
        watch: Watch,
        keys: Iterator[np.uint64],
    ) -> SlicedWassersteinFlow:
        """Move the points of `start`, with the directions of a key for each step."""
        points, n_steps = start.points.astype(np.float64), self.n_steps
        n, dim = self.n_projections, points.shape[1]
        design = as_design(self.directions, dim, n, np.uint64(0), 64)  # its kind and size
        trace: list[float] = []
        errors: list[float] = []
        moving = Weighted(points, start.weights)
        kept = [points.copy() for moment in watch.moments[:1]]  # the start
        with progress_bar(n_steps, self.progress, "flow") as bar:
            for k, key in zip(range(n_steps), keys, strict=False):
                cost = self._move(moving, targets, shares, design.renewed(key))
                trace.append(float(cost.value))
                errors.append(float(cost.value_error))
                if k + 1 in watch.moments:
                    kept.append(points.copy())
                bar(k + 1)
                if watch.stops(k, points, cost):
                    break
        return SlicedWassersteinFlow(
            points=points,
            trace=np.array(trace),
            trace_standard_error=np.array(errors),
            degrees_of_freedom=cost.freedom,
            n_projections=design.n,
            snapshots=np.array(kept) if kept else None,
            snapshot_steps=watch.first_step + watch.moments[: len(kept)] if kept else None,
            _first_step=watch.first_step,
        )

    def _move(
        self, moving: Weighted, targets: list[Source], shares: list[float], design: Design
    ) -> MeanCost:
        """Take one step, in place; its temporary arrays of the size of the clouds are freed.

        Returns the cost before the step.
        """
        clouds = prepare([Source(*moving), *targets])
        own, *others = clouds.items
        slopes = ProjectedSlopes(own, others, shares, 2.0)(design)
        mean = plain_mean(slopes.costs @ shares, design.block)  # of sum_k lambda_k f_k
        # x_i - eta d / (2 a_i) times the gradient, in the units of the input
        move = slopes.gradient * (-0.5 * design.dim * self.step) / own.masses[:, None]
        move *= math.ldexp(1.0, clouds.exponent)
        moving.points[slice(None) if own.kept is None else own.kept] += move
        error, freedom = mean.standard_error, mean.degrees_of_freedom
        return MeanCost.of(mean.estimate, error, freedom, 2.0, clouds.exponent)
