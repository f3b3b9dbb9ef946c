"""Observations, the errors that kernels report, and pieces of work that can be interrupted."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba.core.types import Array, float64, int64
from numpy.typing import ArrayLike, NDArray

from randla._validation import as_array, read_only
from randla.smoothing._kernels.particles import status
from randla.smoothing._model.specialise import returns_number
from randla.smoothing._model.state_space import StateSpaceModel

#: Work after which the smoothers look for Ctrl-C.
PIECE_SECONDS = 0.2


def as_model(model: Any) -> StateSpaceModel:
    """`model` if it is one, else an error that names it."""
    if not isinstance(model, StateSpaceModel):
        raise TypeError(f"model must be a StateSpaceModel, got {type(model).__name__}")
    return model


def as_observations(
    y: ArrayLike, model: StateSpaceModel
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`y` as read-only float64, (T,) or (T, k), and which rows are not wholly NaN.

    (T,) and (T, 1) stand for one another: the functions of the model are given what they take.
    """
    values = as_array(y, "y", finite=False)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"y must be non-empty with shape (T,) or (T, k), got shape {values.shape}")
    if np.isinf(values).any():
        raise ValueError("y must hold numbers, or NaN where an observation is missing, got inf")
    row = model._observation_shape
    if row is not None and values.shape[1:] != row:
        if values.size != len(values) or row not in ((), (1,)):
            expected = f"({', '.join(['T', *map(str, row)])}{'' if row else ','})"
            raise ValueError(
                f"y must have shape {expected} as the model observes it, got shape {values.shape}"
            )
        values = values.reshape(len(values), *row)
    if values.size == len(values):
        values = values.reshape(len(values), *[1] * _row_ndim(model, values.ndim - 1))
    elif row is None and _row_ndim(model, 1) == 0:
        raise ValueError(
            "y must have shape (T,), since log_potential takes an observation as a number, got "
            f"shape {values.shape}"
        )
    values = np.ascontiguousarray(values, dtype=np.float64)
    model._require_observations(values)
    observed = np.asarray(~np.isnan(values).reshape(len(values), -1).all(axis=1))
    return read_only(values), read_only(observed)


def _row_ndim(model: StateSpaceModel, given: int) -> int:
    """0 if `log_potential` takes single observations as floats, 1 if as arrays of one entry.

    `given` where it takes both, or neither (its own error then tells more).
    """
    row = Array(float64, 1, "C", readonly=True)
    x = float64 if model.dim is None else Array(float64, 1, "C")

    def takes(ndim: int) -> bool:
        return returns_number(model.log_potential, int64, x, row if ndim else float64, row)

    return model._once(
        ("dimensions of a row", given),
        lambda: given if takes(given) or not takes(1 - given) else 1 - given,
    )


class NoSurvivorsError(ValueError):
    """All particles have weight zero."""


def raise_for_status(info: NDArray[np.int64]) -> None:
    """Raise what a kernel reported in ``info = (code, time, count)``, and clear it."""
    code, t, count = (int(v) for v in info[:3])
    if code == status.OK:
        return
    info[0] = status.OK
    message = {
        status.ALL_ZERO: (
            f"log_potential must not be -inf for all particles, as it is at t = {t}: no particle "
            "can explain the observation. Use more particles, a proposal that looks at the "
            "observation, or a potential with heavier tails; look at y there for an outlier"
        ),
        status.NAN_WEIGHT: (
            f"log_potential (or a density of the proposal) must be a number, got NaN at t = {t}; "
            "look also whether y there and the states that it is given are of moderate size"
        ),
        status.INFINITE_WEIGHT: (
            f"log_potential (or a density of the proposal) must be below +inf, got +inf at t = {t}"
        ),
        status.NAN_TRANSITION: (
            f"log_transition must be a number below +inf, got NaN or +inf for the step from "
            f"t = {t} to {t + 1}; look also whether the states that it is given are finite"
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
            "is NaN); look also whether the parameters of the model (as fitted to y, if they are) "
            "are of moderate size"
        ),
        status.NAN_FUNCTIONAL: (
            f"functional must be finite, got NaN or inf at t = {t} (an entry of out that it does "
            "not write is NaN)"
        ),
    }[code]
    raise (NoSurvivorsError if code == status.ALL_ZERO else ValueError)(message)


def pieces(n: int, first_size: int) -> Iterator[tuple[int, int]]:
    """Cut ``range(n)`` into pieces of work of about 0.2 s, timed as they run.

    Between two pieces Python looks for Ctrl-C. The results must not depend on the cuts.
    """
    begin, size = 0, max(first_size, 1)
    while begin < n:
        end = min(begin + size, n)
        started = time.perf_counter()
        yield begin, end
        elapsed = max(time.perf_counter() - started, 1e-6)
        size = max(1, min(4 * size, int(size * PIECE_SECONDS / elapsed)))
        begin = end
