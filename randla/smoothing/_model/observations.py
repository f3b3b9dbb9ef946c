"""Observations: a series of numbers or rows, NaN where they are missing."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._typing import Array
from randla._validation import as_array, read_only


def as_observations(
    y: ArrayLike, row_shape: tuple[int, ...] | None, row_ndim: Callable[[int], int]
) -> tuple[Array, NDArray[np.bool_]]:
    """`y` as read-only float64, (T,) or (T, k), and which rows are not wholly NaN.

    (T,) and (T, 1) are equivalent: the functions of the model receive what they take, single
    observations of ``row_ndim(k)`` dimensions, 0 or 1; k if `log_potential` takes both. `row_shape`
    is the shape of one observation, if it is known without the functions.
    """
    values = as_array(y, "y", finite=False)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"y must be non-empty with shape (T,) or (T, k), got shape {values.shape}")
    if np.isinf(values).any():
        raise ValueError("y must contain numbers, or NaN where an observation is missing, got inf")
    if row_shape is not None and values.shape[1:] != row_shape:  # maybe (T,) for (T, 1)
        if values.size != len(values) or row_shape not in ((), (1,)):
            expected = f"({', '.join(['T', *map(str, row_shape)])}{'' if row_shape else ','})"
            raise ValueError(
                f"y must have shape {expected} as the model observes it, got shape {values.shape}"
            )
        values = values.reshape(len(values), *row_shape)
    if values.size == len(values):  # one number a time
        values = values.reshape(len(values), *[1] * row_ndim(values.ndim - 1))
    elif row_shape is None and row_ndim(1) == 0:  # rows, for a function of numbers
        raise ValueError(
            "y must have shape (T,), since log_potential takes an observation as a number, got "
            f"shape {values.shape}"
        )
    values = np.ascontiguousarray(values, dtype=np.float64)
    # A row that is partly missing counts: the functions handle it.
    observed = np.asarray(~np.isnan(values).reshape(len(values), -1).all(axis=1))
    return read_only(values), read_only(observed)


def as_rows(y: Any, k: int) -> Array:
    """Observations `y` as a read-only (T, k) array that may hold NaN, T at least 1."""
    array = as_array(y, "y", finite=False)
    if array.ndim == 1 and k == 1:  # (T,) for (T, 1)
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] != k or len(array) == 0:
        expected = "(T,) or (T, 1)" if k == 1 else f"(T, {k})"
        raise ValueError(f"y must have shape {expected} with T >= 1, got shape {np.shape(y)}")
    if np.isinf(array).any():
        time = int(np.argmax(np.isinf(array).any(1)))  # the first one
        raise ValueError(f"y must be finite, or NaN where missing, got inf at time {time}")
    return read_only(np.ascontiguousarray(array, np.float64))


def as_symbols(y: Any, n_symbols: int) -> NDArray[np.int64]:
    """`y` as int64 symbols, -1 where it is NaN."""
    array = as_rows(y, 1)[:, 0]
    missing = np.isnan(array)
    # Floats are allowed if their values are integers.
    bad = ~missing & ~((array >= 0) & (array < n_symbols) & (array == np.floor(array)))
    if bad.any():
        time = int(np.argmax(bad))
        raise ValueError(
            f"y must hold symbols 0..{n_symbols - 1}, or NaN where missing, "
            f"got {array[time]:g} at time {time}"
        )
    return np.where(missing, -1.0, array).astype(np.int64)
