"""Drawing states and observations from a model: `simulate` and `forecast`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import draw_key
from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._kernels.particles.simulate import simulate_template
from randla.smoothing._model.compiled import CompiledModel

# To find the size of an observation, `observe` is given so many entries of this value.
_LARGEST_OBSERVATION, _UNTOUCHED = 4096, 1.2345678e300


def draw_paths(
    model: CompiledModel,
    theta: Array,
    observation_dim: int | None,
    start: NDArray[Any] | None,
    start_time: int,
    n_steps: int,
    rng: Any,
) -> tuple[Array, Array]:
    """States (n, h, d) and observations (n, h[, k]) of the times from `start_time` on.

    A path for each row of `start` (n, d), a state of the time before; one from time 0 if None.
    """
    key, dim, observe = draw_key(rng), model.functions.dim, model.functions.observe
    if observe is None:
        raise ValueError("observe must be given to the model to draw observations, got None")
    n_paths, d = 1 if start is None else len(start), dim or 1
    first = np.array(np.empty((0, d)) if start is None else start, dtype=np.float64, order="C")
    first = read_only(first[:, 0].copy() if dim is None else first)
    # NaN, so that entries which the functions do not write are seen.
    states = np.full((n_paths, n_steps) if dim is None else (n_paths, n_steps, d), np.nan)
    draw_first, mutate, _ = model.feynman_kac(guided=False)
    kernel = model.kernel(simulate_template, draw_first, mutate, observe)

    def run(states: Array, observations: Array) -> None:
        stream, info = np.empty(4, np.uint64), np.zeros(3, np.int64)
        kernel(stream, key, first, start_time, theta, states, observations, info)

    k = observation_dim or model.observation_size
    if k is None:
        one = np.full((1, 1, _LARGEST_OBSERVATION), _UNTOUCHED)
        run(states[:1, :1], one)
        # The first observation is drawn to see how far `observe` writes.
        touched = np.flatnonzero(one != _UNTOUCHED)
        # All of `out` filled, as by ``out[:] = x``, tells no size: one number then.
        k = 1 if touched.size in (0, one.size) else int(touched[-1]) + 1
        model.observation_size = k
    observations = np.full((n_paths, n_steps, k), np.nan)
    run(states, observations)
    single = observation_dim is None and k == 1  # then observations are numbers
    return states.reshape(n_paths, n_steps, d), observations[..., 0] if single else observations
