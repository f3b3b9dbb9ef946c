"""The state of the filter of a stream: a dict of arrays, for saving and resuming."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._validation import read_only
from randla.smoothing._kernels.particles.weights import normalize
from randla.smoothing._particles.checks import NoSurvivorsError
from randla.smoothing._particles.filter_run import FilterRun
from randla.smoothing._particles.online_rows import Rows

#: Options of `start_filter` with their defaults.
_OPTIONS = {
    "n_particles": None, "n_runs": 1, "n_lags": 20, "resampling": "systematic",
    "ess_threshold": 0.5, "proposal": "auto",
}  # fmt: skip
#: The part of the genealogy that is passed from one time to the next; the rest is work space.
_GENEALOGY = ("ends", "sizes", "generations", "order", "places", "runs", "variances")


def state_of(online: Any) -> dict[str, NDArray[Any]]:
    """Copies of all that determines the future of an `OnlineFilter`."""
    row, runs, none = (online.time - 1) % 2, online._runs, np.empty(0)
    return {
        **{name: np.array(value) for name, value in online._options.items()},
        "key": np.array(online._key),
        "time": np.array(online.time),
        **{n: none if row is None else row.copy() for n, row in online._last._asdict().items()},
        "seen": np.array(online._seen),
        "worst": np.array(online._worst),
        "log_likelihoods": online._logs.copy(),
        "streams": np.array([run.rng for run in runs]),
        "states": np.array([run.particles.states[row] for run in runs]),
        "log_weights": np.array([run.particles.log_weights[row] for run in runs]),
        **{name: getattr(runs[0].genealogy, name).copy() for name in _GENEALOGY},
    }


def options_in(state: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a state; an option that is given, and not its default, must be the same."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict of arrays, got {type(state).__name__}")
    _require_names(state, _OPTIONS)
    options = {name: np.asarray(state[name]).tolist() for name in _OPTIONS}
    for name, default in _OPTIONS.items():
        if given[name] != default and given[name] != options[name]:
            raise ValueError(
                f"{name} must be {options[name]!r}, as in state, or left out, got {given[name]!r}"
            )
    return options


def go_on_from(online: Any, state: Mapping[str, Any]) -> None:
    """Set a new filter, with the options of a state, to that state."""
    own = state_of(online)
    _require_names(state, own)
    arrays = {name: np.array(state[name]) for name in own}
    for name, expected in own.items():
        array, any_shape = arrays[name], name in (*Rows._fields, *_OPTIONS)
        if not any_shape and (array.dtype, array.shape) != (expected.dtype, expected.shape):
            raise ValueError(
                f"state[{name!r}] must be of {expected.dtype} with shape {expected.shape} for this "
                f"model, got {array.dtype} with shape {array.shape}"
            )
    online._key, online.time = np.uint64(arrays["key"]), int(arrays["time"])
    rows = (arrays[name] for name in Rows._fields)
    online._last = Rows(*(read_only(row) if row.size else None for row in rows))
    online._seen, online._logs = bool(arrays["seen"]), arrays["log_likelihoods"]
    online._worst = float(arrays["worst"][0]), int(arrays["worst"][1])
    row = (online.time - 1) % 2
    for c, run in enumerate(online._runs):
        run.particles.states[row] = arrays["states"][c]
        run.particles.log_weights[row] = arrays["log_weights"][c]
        if np.isneginf(online._logs[c]):
            run.error = NoSurvivorsError()
        else:
            restore(run, online.time, arrays["streams"][c])
    for name in _GENEALOGY:
        getattr(online._runs[0].genealogy, name)[...] = arrays[name]


def restore(run: FilterRun, time: int, stream: NDArray[np.uint64]) -> None:
    """Set a filter to what it was before it took the observation of `time`.

    Its weights follow from their logarithms. Its stream and its genealogy are written at the very
    end of a step, when no error can occur any more.
    """
    run.rng[:] = stream
    if time > 0:
        row, track = (time - 1) % 2, run.track
        track.levels[row], track.totals[row], track.ess[row] = normalize(
            run.particles.log_weights[row], run.weights.normalized, run.weights.cumulative,
            time - 1, track.info,
        )  # fmt: skip


def _require_names(state: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    missing = [name for name in names if name not in state]
    if missing:
        raise ValueError(f"state must be the result of state(), got no entry {missing[0]!r}")
