"""A trial of users' functions in plain Python, where an index out of bounds is an error.

Compiled code does not look at bounds: what lies behind the end of `theta` or of a row of `y` is
read as if it belonged to them, and a state that is too long is written over the next one. So
before a model meets new observations its functions are called a few times as plain Python
functions, with states that they draw themselves. That takes about a millisecond, compiles
nothing, and is not repeated for the same model and data. Only an index out of bounds counts:
other errors that plain Python knows and Numba does not (a division by zero, say), and whatever
cannot be run without Numba, are left to the kernels.
"""

from collections.abc import Callable
from types import CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

from randla._random import new_stream
from randla.smoothing._model_functions import FIRST, NEXT
from randla.smoothing._specialise import is_library, names_in

if TYPE_CHECKING:
    from randla.smoothing._functional import AdditiveFunctional
    from randla.smoothing._model import StateSpaceModel

FloatArray = NDArray[np.float64]

# A fault at a time that was reached by no path is believed if it shows on a path, up to this time.
_LONGEST_WALK = 10_000


class Tried(NamedTuple):
    """A function to be tried, the names of its arguments, and the size of its `out`."""

    function: Any
    arguments: tuple[str, ...]
    out_size: int = 0


def try_functions(model: "StateSpaceModel", y: NDArray[Any], observed: NDArray[Any]) -> None:
    """Raise ValueError if a function of a user's model uses an index out of bounds.

    `y` and `observed` are as `as_observations` returns them.
    """
    if not model.is_ready:
        functions = _of_model(model, lambda name: name != "observe")
        _try(model, functions, y, observed, _telling_times(y))


def try_functional(
    functional: "AdditiveFunctional", model: "StateSpaceModel", y: NDArray[Any]
) -> None:
    """Raise ValueError if a user's functional uses an index out of bounds."""
    functions = {
        "initial of functional": Tried(functional.initial, FIRST, functional.n_out),
        "step of functional": Tried(functional.step, NEXT, functional.n_out),
    }
    _try(model, functions, y, np.broadcast_to(True, len(y)), _telling_times(y))


def try_drawing(model: "StateSpaceModel", start_time: int, n_steps: int, largest: int) -> None:
    """Raise ValueError if a function that `simulate` and `forecast` call is at fault.

    `largest` is the size of the array that `observe` is given if nobody knows how much it writes.
    """
    if not model.is_ready:
        drawing = ("transition", "observe") if start_time else ("initial", "transition", "observe")
        functions = _of_model(model, lambda name: name in drawing)
        if model.observation_dim is None:
            functions["observe"] = functions["observe"]._replace(out_size=largest)
        end = start_time + n_steps
        times = sorted({start_time, min(start_time + 1, end - 1), end - 1})
        _try(model, functions, np.broadcast_to(0.0, end), np.broadcast_to(True, end), times)


def _of_model(model: "StateSpaceModel", wanted: Callable[[str], bool]) -> dict[str, Tried]:
    """Functions of a model that are to be tried."""
    sizes = {"observe": model.observation_dim or 0}
    sizes |= dict.fromkeys(("score_initial", "score_step"), model.theta.size)
    return {
        name: Tried(function, arguments, sizes.get(name, model.dim or 0))
        for name, (function, arguments) in model.signatures().items()
        if wanted(name)
    }


def _try(
    model: "StateSpaceModel",
    functions: dict[str, Tried],
    y: NDArray[Any],
    observed: NDArray[Any],
    times: list[int],
) -> None:
    key = "dry run", tuple(tried.function for tried in functions.values())
    data = len(y), y.shape[1:], y[times].tobytes()
    if model._kernels.get(key) == data:
        return
    trial = _Trial(model, functions, y, observed)
    with np.errstate(all="ignore"):
        for time in times:
            fault = trial.fault(time, trial.start())
            if fault and time > 1:
                fault = trial.fault(time, trial.walk(time - 1)) if time < _LONGEST_WALK else ""
            if fault:
                raise ValueError(fault)
    model._kernels[key] = data


def _telling_times(y: NDArray[Any]) -> list[int]:
    """The first two times, the last one, and those of the extremes of each component."""
    columns, missing = y.reshape(len(y), -1), np.isnan(y).reshape(len(y), -1)
    least = np.where(missing, np.inf, columns).argmin(0)
    greatest = np.where(missing, -np.inf, columns).argmax(0)
    return sorted({0, min(1, len(y) - 1), len(y) - 1, *least.tolist(), *greatest.tolist()})


class _Trial:
    """Plain twins of a model's functions, and what they are called with."""

    def __init__(
        self, model: "StateSpaceModel", functions: dict[str, Tried], y: NDArray[Any], observed: Any
    ) -> None:
        done: dict[Any, Any] = {}
        extra = () if model.dim is None else ("out",)
        size, first, step = model.dim or 0, _plain(model.initial, done), model.transition
        self.initial = Tried(first, ("rng", "theta", *extra), size)
        self.transition = Tried(_plain(step, done), ("rng", "t", "x", "theta", *extra), size)
        self.functions = {
            name: tried._replace(function=_plain(tried.function, done))
            for name, tried in functions.items()
        }
        self.dim, self.y, self.observed = model.dim, y, observed
        self.common = {"rng": new_stream(np.uint64(0)), "theta": _named("theta", model.arguments)}

    def call(self, tried: Tried, **values: Any) -> Any:
        """What a function returns or writes to `out`; IndexError is passed on, others give None."""
        values |= self.common
        values = {
            k: _named(k, v) if k in ("x", "xn") and self.dim is not None else v
            for k, v in values.items()
        }
        out = values["out"] = _named("out", np.full(tried.out_size, np.nan))
        try:
            result = tried.function(*(values[name] for name in tried.arguments))
        except IndexError:
            raise
        except Exception:  # of plain Python alone, or a mistake that the kernel will tell
            return None
        return np.array(out) if "out" in tried.arguments else result

    def start(self) -> Any:
        """A state of time 0, or None."""
        return self._draw(self.initial)

    def walk(self, time: int) -> Any:
        """A state of `time` at the end of a path, or None."""
        x = self.start()
        for t in range(time):
            x = None if x is None else self._draw(self.transition, t=t, x=x)
        return x

    def _draw(self, tried: Tried, **values: Any) -> Any:
        try:
            return self.call(tried, **values)
        except IndexError:
            return None

    def fault(self, time: int, x: Any) -> str:
        """What is wrong with the calls for one time, given a state of the time before; else "".

        For time 0 `x` is the state of time 0.
        """
        xn = x if time == 0 or x is None else self._draw(self.transition, t=time - 1, x=x)
        row = self.y[time] if self.y.ndim == 1 else _named("y", self.y[time])
        for name, tried in self.functions.items():
            values = {"y": row, "t": max(time - 1, 0), "x": x, "xn": xn}
            if name in _OF_ONE_TIME:
                values |= {"t": time, "x": xn}
            if not self._is_called(name, tried, time, values):
                continue
            try:
                self.call(tried, **values)
            except IndexError as error:
                if "out of bounds" in str(error):
                    return f"{name} must keep its indices within bounds, but at t = {time} {error}"
        return ""

    def _is_called(self, name: str, tried: Tried, time: int, values: dict[str, Any]) -> bool:
        if any(values[a] is None for a in tried.arguments if a in ("x", "xn")):
            return False
        if not self.observed[time] and name in _LOOKS_AT_Y:
            return False
        is_step = "t" in tried.arguments
        return name in _OF_ONE_TIME or is_step == (time > 0)


# Functions of the state at t, at any t; others with an argument `t` make the step from t - 1.
_OF_ONE_TIME = ("log_potential", "observe")
# Functions that are not called for a missing row.
_LOOKS_AT_Y = (
    "log_potential", "initial_proposal", "log_initial_proposal", "proposal", "log_proposal",
)  # fmt: skip


class _Argument(np.ndarray[Any, Any]):
    """An array that says its name when an index is out of bounds; its parts have no name."""

    name = ""

    def __getitem__(self, index: Any) -> Any:
        try:
            return super().__getitem__(index)
        except IndexError as error:
            raise self._told(index, error) from None

    def __setitem__(self, index: Any, value: Any) -> None:
        try:
            super().__setitem__(index, value)
        except IndexError as error:
            raise self._told(index, error) from None

    def _told(self, index: Any, error: IndexError) -> IndexError:
        if not self.name or "out of bounds" not in str(error):
            return error
        size = f"{self.name} with {self.size} {'entry' if self.size == 1 else 'entries'}"
        return IndexError(f"{self.name}[{index}] is out of bounds for {size}")


def _named(name: str, values: Any) -> Any:
    argument = np.array(values).view(_Argument)
    argument.name = name
    return argument


def _plain(function: Any, done: dict[Any, Any]) -> Any:
    """Plain twin of a jitted function, which calls plain twins itself."""
    if function in done:
        return done[function]
    original = function.py_func if isinstance(function, Dispatcher) else function
    scope = dict(original.__globals__)
    cells = tuple(CellType() for _ in original.__closure__ or ())
    twin = FunctionType(
        original.__code__, scope, original.__name__, original.__defaults__, cells or None
    )
    twin.__kwdefaults__ = original.__kwdefaults__
    done[function] = twin  # first: recursion
    names, attributes = names_in(original.__code__)
    for cell, old in zip(cells, original.__closure__ or (), strict=True):
        cell.cell_contents = _plain_value(old.cell_contents, attributes, done)
    for name in names & scope.keys():
        scope[name] = _plain_value(scope[name], attributes, done)
    return twin


def _plain_value(value: Any, attributes: frozenset[str], done: dict[Any, Any]) -> Any:
    """`value`, or its twin if it is a jitted function, a module with some, or a tuple of some."""
    if isinstance(value, Dispatcher):
        return _plain(value, done)
    if type(value) is tuple:
        return tuple(_plain_value(item, attributes, done) for item in value)
    if isinstance(value, ModuleType) and not is_library(value.__name__):
        if value not in done:
            done[value] = ModuleType(value.__name__)
            done[value].__dict__.update(vars(value))
        for name in attributes & vars(value).keys():
            vars(done[value])[name] = _plain_value(vars(value)[name], attributes, done)
        return done[value]
    return value
