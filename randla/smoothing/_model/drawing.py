"""Drawing states and observations forward in time, for `simulate` and `forecast`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._random import draw_key
from randla._typing import Array
from randla._validation import as_array, read_only

# To find the size of an observation, `observe` gets this many entries of this value.
_LARGEST_OBSERVATION, _UNTOUCHED = 4096, 1.2345678e300


def draw_paths(
    model: Any,
    n_steps: int,
    rng: Any,
    *,
    inputs: Array | None,
    start: NDArray[Any] | None = None,
    time: int = 0,
    y: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """States (h, d) and observations (h,) or (h, k) of the times 0, ..., h - 1.

    With `start` (..., d), states of a time, (..., h, d) and (..., h[, k]) of those after it; `y`,
    which is needed if the transition depends on it, is the observation at that time. Row 0 of the
    inputs is that of `time`.
    """
    if model.observe is None:
        raise ValueError(
            "observe must be given to StateSpaceModel before it can draw observations, got None"
        )
    model._require_times(n_steps if start is None else time + 1 + n_steps)
    if start is None:
        model._require_start()
    lead = () if start is None else start.shape[:-1]
    goes_on = start is not None
    first = np.array(np.empty((0, model.dim or 1)) if start is None else start, np.float64)
    first = read_only(first.reshape(-1) if model.dim is None else first.reshape(-1, model.dim))
    sees = "y" in model._compiled.functions.wants  # whether x_{t+1} depends on y_t
    key = draw_key(rng)

    def run(first: Array, n_steps: int, rows: Array) -> Array:
        """Draw a path for each of `rows` (n, ..., k), the last `n_steps` of which are filled."""
        # NaN, so that entries which the functions do not write are seen.
        states = np.full((len(rows), n_steps, *first.shape[1:]), np.nan)
        seen = None
        if sees:
            default = 0 if _is_number(model, rows.shape[2]) else 1
            seen = read_only(rows if model._row_ndim(default, inputs) else rows[..., 0])
        theta = model._handed(inputs, seen, time if len(first) else 0)
        stream, info = np.empty(4, np.uint64), np.zeros(3, np.int64)
        observations = rows[:, rows.shape[1] - n_steps :]
        begin = time + 1 if len(first) else 0
        model._compiled.simulate()(stream, key, first, begin, theta, states, observations, info)
        return states

    k = _observation_size(model, lambda one: run(first[:0], 1, one))
    n_paths, before = (len(first), int(sees)) if goes_on else (1, 0)
    rows = np.full((n_paths, before + n_steps, k), np.nan)
    if before:
        rows[:, 0] = _as_present(y, lead, () if _is_number(model, k) else (k,)).reshape(-1, k)
    states = run(first, n_steps, rows).reshape(*lead, n_steps, model.dim or 1)
    observations = rows[:, before:].reshape(*lead, n_steps, k)
    return states, observations[..., 0] if _is_number(model, k) else observations


def _observation_size(model: Any, draw: Any) -> int:
    """Entries of an observation; ``draw(one)`` draws the first one."""
    size = model.observation_dim or model._compiled.observation_size
    if size is None:
        # One of time 0 is drawn to see how far `observe` writes.
        one = np.full((1, 1, _LARGEST_OBSERVATION), _UNTOUCHED)
        draw(one)
        touched = np.flatnonzero(one != _UNTOUCHED)
        # All of `out` filled, as by ``out[:] = x``, does not show a size: one number then.
        size = 1 if touched.size in (0, one.size) else int(touched[-1]) + 1
        model._compiled.observation_size = size
    return size


def _is_number(model: Any, k: int) -> bool:
    """Whether an observation of k entries is handed over as a number."""
    return model.observation_dim is None and k == 1


def _as_present(y: ArrayLike | None, lead: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """`y`, the observation at the time of states of a leading shape, one for each of them."""
    expected = f"{shape}" if lead == () else f"{shape} or {lead + shape}"
    if y is None:
        raise ValueError(
            f"y must be given, the observation at start_time of shape {expected}, since the "
            "transition depends on it, got None"
        )
    values = as_array(y, "y")
    if values.shape not in (shape, lead + shape):
        raise ValueError(
            f"y must be the observation at start_time of shape {expected}, got shape {values.shape}"
        )
    return np.broadcast_to(values, lead + shape)
