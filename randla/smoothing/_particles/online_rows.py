"""The observations and inputs of a stream: each is checked, and the last ones are kept."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._typing import Array
from randla._validation import as_array, read_only
from randla.smoothing._model.series import Series
from randla.smoothing._model.state_space import StateSpaceModel

_SEEN = read_only(np.ones(1, np.bool_))


class Rows(NamedTuple):
    """The row of one time, copied and read-only; None before the first one, or if not needed."""

    y: Array | None  # (1,) or (1, k)
    u: Array | None  # (1,) or (1, m)


def following(
    model: StateSpaceModel, time: int, last: Rows, y_t: ArrayLike, u_t: ArrayLike | None
) -> tuple[Series, Rows]:
    """The arrays that the kernels read at `time`, and the rows that arrived."""
    wants = model._compiled.functions.wants
    if (u_t is None) == ("u" in wants):
        which = ("be given", "a") if u_t is None else ("be None", "no")
        raise ValueError(f"u_t must {which[0]}, since {which[1]} function has an argument u")
    u = None if u_t is None else _as_row(u_t, "u_t", last.u)
    y, observed = _as_observation(model, y_t, last.y, u)
    if not wants:
        return Series(y, observed, model._arguments), Rows(y, u)
    if "y" in wants and np.isnan(y).any():
        raise ValueError("y_t must not be missing, as the transition depends on it, got NaN")
    # The functions may ask for the rows of this time and of the one before.
    handed = model._handed(_joined(last.u, u), _joined(last.y, y), max(time - 1, 0))
    return Series(y, observed, handed), Rows(y, u)


def like(rows: Array, known: Array, name: str) -> Array:
    """Rows with the shape of known rows, up to one number for (1,)."""
    k = known[0].size
    if rows[0].size != k:
        expected = "a number" if k == 1 else f"an array of shape ({k},)"
        raise ValueError(f"{name} must be {expected} at each time, got shape {rows[0].shape}")
    return rows.reshape(len(rows), *known.shape[1:])


def _as_observation(
    model: StateSpaceModel, y_t: ArrayLike, known: Array | None, u: Array | None
) -> tuple[Array, NDArray[np.bool_]]:
    """`y_t` as a row, and whether it is not wholly missing, (1,)."""
    if isinstance(y_t, float) and known is not None and known.size == 1:
        any_number = type(model)._as_observations is StateSpaceModel._as_observations
        if any_number and math.isfinite(y_t):  # most observations, by a short path
            return read_only(np.array(y_t, ndmin=known.ndim)), _SEEN
    k = model.observation_dim
    if k is not None:
        known = np.empty((1, k))
    elif known is None and (model._is_ready or model._row_ndim(1, u) == 0):
        known = np.empty(1)  # a number a time
    return model._as_observations(_as_row(y_t, "y_t", known, finite=False), u)


def _as_row(value: ArrayLike, name: str, known: Array | None, *, finite: bool = True) -> Array:
    """A row of a series, copied, with as many entries as a known row."""
    row = as_array(value, name, finite=finite).astype(np.float64)
    if not finite and np.isinf(row).any():
        raise ValueError(f"{name} must be finite, or NaN where it is missing, got inf")
    if row.ndim > 1 or row.size == 0:
        raise ValueError(f"{name} must be a number or 1-D, got shape {row.shape}")
    return read_only(row[None] if known is None else like(row[None], known, name))


def _joined(last: Array | None, row: Array | None) -> Array | None:
    return row if last is None or row is None else read_only(np.concatenate((last, row)))
