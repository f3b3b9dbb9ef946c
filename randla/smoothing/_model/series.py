"""Series of observations, and the arguments of a model's functions besides a state.

The kernels pass `theta` to the functions without reading it. For most models it is the array of
parameters. If a function takes a row of the inputs, or the transition one of the observations, it
is a record `Arguments` for all of the model's functions instead, from which their wrappers
(`functions.UserFunction.called`) take what each needs: the kernels are the same.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla._validation import as_array, read_only


class Arguments(NamedTuple):
    """Parameters, inputs and observations, all read-only; the rows are those of the times
    ``first``, ``first + 1``, ...; those that no function takes are empty.
    """

    theta: Array  # (p,), or what a ready model packs for its functions
    u: Array  # (T,) or (T, m)
    y: Array  # (T,) or (T, k)
    first: int

    @classmethod
    def of(cls, theta: Array, u: Array | None, y: Array | None, first: int) -> "Arguments":
        """The record of what there is."""
        none = read_only(np.empty(0))
        return cls(theta, none if u is None else u, none if y is None else y, first)


class Series(NamedTuple):
    """Observations and parameters, all read-only."""

    y: Array  # (T,) or (T, k)
    observed: NDArray[np.bool_]  # (T,), rows that are not wholly NaN
    theta: Array | Arguments  # (p,), or what a ready model packs for its functions

    def at(self, theta: Array) -> "Series":
        """The same series, with other parameters."""
        old = self.theta
        return self._replace(theta=old._replace(theta=theta) if isinstance(old, tuple) else theta)


def unpickled(series: Series) -> Series:
    """The series with read-only arrays, as kernels are compiled for: pickling forgets that."""

    def restored(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            return read_only(part)
        return Arguments(*map(restored, part)) if isinstance(part, Arguments) else part

    return Series(*map(restored, series))


def as_inputs(inputs: Any, wanted: bool) -> Array | None:
    """`inputs` as read-only float64, (T,) or (T, m), or None if no function takes them."""
    if not wanted:
        if inputs is not None:
            raise ValueError(
                "inputs must be None, since no function of the model or functional has an "
                "argument u"
            )
        return None
    if inputs is None:
        raise ValueError(
            "inputs must be given, (T,) or (T, m), since a function has an argument u, got None"
        )
    values = as_array(inputs, "inputs")
    if values.ndim not in (1, 2):
        raise ValueError(f"inputs must have shape (T,) or (T, m), got shape {values.shape}")
    return read_only(np.ascontiguousarray(values, dtype=np.float64))


def require_rows(inputs: Array, n_rows: int, reason: str) -> None:
    """Raise ValueError unless there are `n_rows` rows of inputs."""
    if len(inputs) != n_rows:
        raise ValueError(f"inputs must have {n_rows} rows ({reason}), got shape {inputs.shape}")


def require_seen(y: Array) -> None:
    """Raise ValueError if a row that a transition depends on is missing, wholly or in part."""
    missing = np.isnan(y[:-1]).reshape(len(y) - 1, -1).any(axis=1)  # none leads on from the last
    if missing.any():
        raise ValueError(
            f"y must not be missing if the transition depends on it, got NaN at t = "
            f"{int(missing.argmax())}: make missing values part of the state, or remove y from "
            "the transition"
        )
