"""Models, the errors that kernels report, and pieces of work that can be interrupted."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.smoothing._kernels.particles import status
from randla.smoothing._model.state_space import StateSpaceModel

#: Work after which the smoothers check for Ctrl-C, in seconds: Ctrl-C takes effect within a second
#: even if the first estimate is wrong by a factor of 4.
PIECE_SECONDS = 0.2

_OF_WEIGHTS = (status.ALL_ZERO, status.NAN_WEIGHT, status.INFINITE_WEIGHT)


def as_model(model: Any) -> StateSpaceModel:
    """`model` if it is a model, else an error that names it."""
    if not isinstance(model, StateSpaceModel):
        raise TypeError(f"model must be a StateSpaceModel, got {type(model).__name__}")
    return model


class WeightError(ValueError):
    """Weights that cannot be normalized, as of parameters far from the data."""


class NoSurvivorsError(WeightError):
    """All particles have weight zero: none of them can explain an observation.

    A `ValueError`, raised by `particle_filter`, `start_filter`, `paris`, `ffbs`, `ppg` and
    `particle_gibbs`; the message names the time. With several runs of a filter, it is raised only
    if no run survives. Catch it where parameters that are far from the data are no mistake, as in
    a search over parameters of your own: the estimated likelihood is zero.
    """


def raise_for_status(info: NDArray[np.int64], states: Array | None = None) -> None:
    """Raise the error that a kernel reported in ``info = (code, time, count)``, and clear it.

    Weights are not the cause if one of their `states`, row t modulo their length, has no finite
    square.
    """
    if info[0] == status.OK:
        return
    code, t, count = (int(v) for v in info[:3])
    if states is not None and code in _OF_WEIGHTS:
        with np.errstate(over="ignore"):
            if not np.isfinite(np.square(states[t % len(states)])).all():
                code = status.INFINITE_STATE
    info[0] = status.OK
    message = {
        status.ALL_ZERO: (
            f"log_potential must not be -inf for all particles, as it is at t = {t}: no particle "
            "can explain the observation. Use more particles, a proposal that depends on the "
            "observation, or a potential with heavier tails; check y there for an outlier"
        ),
        status.NAN_WEIGHT: (
            f"log_potential (or a density of the proposal) must be a number, got NaN at t = {t}; "
            "also check that y there and the states it depends on are of moderate size"
        ),
        status.INFINITE_WEIGHT: (
            f"log_potential (or a density of the proposal) must be below +inf, got +inf at t = {t}"
        ),
        status.NAN_TRANSITION: (
            f"log_transition must be a number below +inf, got NaN or +inf for the step from "
            f"t = {t} to {t + 1}; also check that the states it depends on are finite"
        ),
        status.ZERO_TRANSITION: (
            f"log_transition must be the density that transition draws from, but it is -inf for a "
            f"state that transition drew in the step from t = {t} to {t + 1}"
        ),
        status.ABOVE_BOUND: (
            f"log_transition_bound must be at least log_transition, which exceeded it {count} "
            f"times, first in the step from t = {t} to {t + 1}"
        ),
        status.INFINITE_STATE: (
            f"transition (or initial, or the proposal) must draw finite states, got NaN or a state "
            f"that is too large to be squared at t = {t} (an entry of out that they do not write "
            "is NaN); also check that the parameters of the model (as fitted to y, if they are) "
            "are of moderate size"
        ),
        status.NAN_FUNCTIONAL: (
            f"functional must be finite, got NaN or inf at t = {t} (an entry of out that it does "
            "not write is NaN)"
        ),
    }[code]
    kinds: dict[int, type[ValueError]] = {
        status.ALL_ZERO: NoSurvivorsError,
        status.NAN_WEIGHT: WeightError,
        status.INFINITE_STATE: WeightError,
    }
    raise kinds.get(code, ValueError)(message)


def pieces(n: int, first_size: int) -> Iterator[tuple[int, int]]:
    """Cut ``range(n)`` into pieces of work of about 0.2 s, timed as they run.

    Between two pieces Python checks for Ctrl-C. The results must not depend on the cuts.
    """
    begin, size = 0, max(first_size, 1)
    while begin < n:
        end = min(begin + size, n)
        started = time.perf_counter()
        yield begin, end
        elapsed = max(time.perf_counter() - started, 1e-6)
        # As many units as take 0.2 s, but no jump after a piece that was too short to be timed.
        size = max(1, min(4 * size, int(size * PIECE_SECONDS / elapsed)))
        begin = end
