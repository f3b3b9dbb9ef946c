"""Drawing states and observations from a model: `simulate` and `forecast`."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from randla._random import draw_key
from randla._validation import read_only
from randla.smoothing._kernels.particles.simulate import simulate_template

if TYPE_CHECKING:
    from randla.smoothing._model.state_space import StateSpaceModel

FloatArray = NDArray[np.float64]

# To find the size of an observation, `observe` is given so many entries of this value.
_LARGEST_OBSERVATION, _UNTOUCHED = 4096, 1.2345678e300


def draw_paths(
    model: "StateSpaceModel", start: NDArray[Any] | None, start_time: int, n_steps: int, rng: Any
) -> tuple[FloatArray, FloatArray]:
    """States (n, h, d) and observations (n, h[, k]) of the times from `start_time` on.

    A path for each row of `start` (n, d), a state of the time before; one from time 0 if None.
    """
    key = draw_key(rng)
    if model.observe is None:
        raise ValueError("observe must be given to the model to draw observations, got None")
    n_paths, scalar, d = 1 if start is None else len(start), model.dim is None, model.dim or 1
    first = np.array(np.empty((0, d)) if start is None else start, dtype=np.float64, order="C")
    first = read_only(first[:, 0].copy() if scalar else first)
    states = np.full((n_paths, n_steps) if scalar else (n_paths, n_steps, d), np.nan)
    forms = model._forms(guided=False)
    kernel = model._kernel(simulate_template, forms.draw_first, forms.draw_next, model.observe)

    info = np.zeros(3, np.int64)

    def run(states: FloatArray, observations: FloatArray) -> None:
        stream = np.empty(4, np.uint64)
        kernel(stream, key, first, start_time, model._arguments, states, observations, info)

    k = model.observation_dim or model._kernels.get("size of an observation")
    if k is None:
        one = np.full((1, 1, _LARGEST_OBSERVATION), _UNTOUCHED)
        run(states[:1, :1], one)
        touched = np.flatnonzero(one != _UNTOUCHED)
        k = 1 if touched.size in (0, one.size) else int(touched[-1]) + 1
        model._kernels["size of an observation"] = k
    observations = np.full((n_paths, n_steps, k), np.nan)
    run(states, observations)
    single = model.observation_dim is None and k == 1
    return states.reshape(n_paths, n_steps, d), observations[..., 0] if single else observations
