"""Errors in the functions of users, told by the name of the function and the time.

Compiled code says neither which function an error comes from nor what it was given. So when a
kernel fails its functions are called again one by one: for an error of compilation each is
compiled alone, and for an error that was raised while it ran each is called as plain Python, at
the time that the kernel had reached, with the states that it was working on. An index out of bounds
then also tells which array it was used on.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.core.registry import cpu_target
from numba.core.types import Array, Boolean, Float, Integer, Type, float64, int64, uint64
from numpy.typing import NDArray

from randla._random import new_stream
from randla.smoothing._model.functions import UserFunction
from randla.smoothing._model.specialise import (
    compiled_type,
    is_library,
    plain_function,
    rebuild,
    values_used,
)

FloatArray = NDArray[np.float64]

_STATE = Array(float64, 1, "C")
_ROW = Array(float64, 1, "C", readonly=True)
_STREAM = Array(uint64, 1, "C")

_COMPILER_ERRORS = (NumbaError, UnsupportedBytecodeError)

# Pairs of states that the functions are tried with.
_MOST_STATES = 10_000
# Functions of the state at t, at any t; others with an argument `t` make the step from t - 1.
_OF_ONE_TIME = ("log_potential", "observe")
# Functions that are not called for a missing row.
_LOOKS_AT_Y = (
    "log_potential", "initial_proposal", "log_initial_proposal", "proposal", "log_proposal",
)  # fmt: skip


def naming_errors(
    kernel: Any, functions: Mapping[str, UserFunction], scalar: bool
) -> Callable[..., Any]:
    """Return `kernel`, whose errors say which of the functions in it is to blame.

    Parameters
    ----------
    kernel : jitted function
        One of its arguments is `y`, unless none of its functions is given observations. It keeps
        the time of the state that it works on in ``info[1]``.
    functions : mapping
        The user's functions in it by name, in the order of their calls.
    scalar : bool
        Whether a state is a number.
    """
    names = tuple(inspect.signature(plain_function(kernel)).parameters)

    def call(*arguments: Any) -> Any:
        try:
            return kernel(*arguments)
        except Exception as error:
            values = dict(zip(names, arguments, strict=True))
            if isinstance(error, (*_COMPILER_ERRORS, TypeError)):  # TypeError: None, not a number
                row = float64 if getattr(values.get("y"), "ndim", 1) < 2 else _ROW
                message = _not_compiled(functions, scalar, row)
                if message is None and isinstance(error, _COMPILER_ERRORS):
                    everyone = "functions of the model or functional"
                    message = f"{everyone} must compile under Numba: {_reason(error)}"
                if message is not None:
                    raise TypeError(message) from error
            told = _told(error, functions, values)
            if told is error:
                raise
            raise told from error

    return call


# Errors of compilation ---------------------------------------------------------------------------


def _not_compiled(functions: Mapping[str, UserFunction], scalar: bool, row: Type) -> str | None:
    """Which function does not compile alone, and why; None if all do."""
    state = float64 if scalar else _STATE
    types = {"rng": _STREAM, "t": int64, "x": state, "xn": state, "y": row, "theta": _ROW}
    types["out"] = _STATE
    for name, (function, arguments, _) in functions.items():
        if not isinstance(function, Dispatcher):
            continue
        try:
            result = compiled_type(function, tuple(types[a] for a in arguments))
        except Exception as error:  # not all that Numba raises are its own
            reason = _unknown_value(function) or _reason(error)
            hint = ""
            if "array(uint64" in str(error):
                hint = " (rng is a stream for the functions of randla.random)"
            return f"{name} must compile under Numba: {reason}{hint}"
        if "out" not in arguments and not isinstance(result, (Float, Integer, Boolean)):
            return f"{name} must return a number, got {result}"
    return None


@global_compiler_lock
def _unknown_value(function: Any) -> str | None:
    """What is wrong with a value that `function` uses and Numba does not know; None if all is."""
    for name, value in values_used(function):
        if isinstance(value, list):
            return f"{name} is a list: make it a NumPy array"
        if inspect.isfunction(value):
            try:
                cpu_target.typing_context.resolve_value_type(value)
            except Exception:  # Numba's TypingError, or whatever comes in its place
                return f"{name} is a plain Python function: decorate it with numba.njit"
    return None


def _reason(error: Exception) -> str:
    """The first line of the message that says something, and what it announces."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("Failed in nopython")]
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1].removeprefix('>>> ')}"
    return lines[0] if lines else type(error).__name__


# Errors while it ran -----------------------------------------------------------------------------


def _told(
    error: Exception, functions: Mapping[str, UserFunction], values: dict[str, Any]
) -> Exception:
    """`error` with the name of the function that raises it, or the ValueError of a bad index."""
    time = int(values["info"][1])
    bad_index = isinstance(error, IndexError) and "out of" in str(error)
    done: dict[Any, Any] = {}
    with np.errstate(all="ignore"):
        for name, tried in functions.items():
            at = time if name in _OF_ONE_TIME else max(time - 1, 0)
            function = _plain(tried.function, done)
            for arguments in _calls(name, tried, time, at, values):
                try:
                    function(*arguments)
                except Exception as again:
                    if type(again) is not type(error):
                        continue
                    if bad_index:
                        return ValueError(
                            f"{name} must keep its indices within bounds, but at t = {at} "
                            f"{_bad_index(again)}"
                        )
                    first, *others = error.args or ("",)
                    error.args = f"{first} (raised by {name} at t = {at})".lstrip(), *others
                    return error
    if bad_index:
        return ValueError(
            f"{', '.join(functions)} must keep their indices within bounds, but in one of them "
            f"an {error} on the way to t = {time}"
        )
    return error


def _bad_index(error: Exception) -> str:
    """What an IndexError says, with the user's line of code if it does not name an array."""
    frames = (
        (frame, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals is not globals() and not is_library(frame.f_globals.get("__name__", ""))
    )
    line = traceback.StackSummary.extract(frames)[-1].line
    return f"{error} in {line}" if line and "]" not in str(error) else str(error)


def _calls(
    name: str, tried: UserFunction, time: int, at: int, values: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """Arguments for the calls of a function that a kernel may have made at a time."""
    draws = "observations" in values  # as `simulate` does
    takes_step = "t" in tried.arguments and name not in _OF_ONE_TIME
    if (name not in ("initial", "transition", "observe")) if draws else (name == "observe"):
        return
    if name not in _OF_ONE_TIME and takes_step != (time > 0):
        return
    y = values["y"][time] if "y" in values else None
    if y is not None and np.isnan(y).all() and name in _LOOKS_AT_Y:
        return
    before, now = (_extremes_first(states) for states in _states(values, time))
    of = {"x": before if takes_step else now, "xn": now}
    needed = [states for a, states in of.items() if a in tried.arguments]
    size = tried.out_size
    if name == "observe":
        size = values["observations"].shape[-1]
    elif name.endswith("functional"):
        size = values["h"].size
    given = {"rng": new_stream(np.uint64(0)), "t": at, "y": y, "theta": values["theta"]}
    for i in range(min(map(len, needed), default=_MOST_STATES)):
        given |= {a: states[i] for a, states in of.items() if a in tried.arguments}
        given["out"] = np.full(size, np.nan)
        yield tuple(_named(a, given[a]) for a in tried.arguments)


def _extremes_first(states: FloatArray) -> FloatArray:
    """States that are finite, those with an extreme entry first: indices made of them are large."""
    rows = states[:, None] if states.ndim == 1 else states
    rows, states = (each[np.isfinite(rows).all(axis=1)] for each in (rows, states))
    far = np.abs(rows - np.median(rows, axis=0)).max(axis=1) if len(rows) else np.zeros(0)
    return states[np.argsort(-far, kind="stable")[:_MOST_STATES]]


def _states(values: dict[str, Any], time: int) -> tuple[FloatArray, FloatArray]:
    """The states of the time before and of a time, as far as a kernel has them."""
    if "states" in values:
        states, k = values["states"], time - values["start_time"]
        return (states[:, k - 1] if k else values["start"]), states[:, k]
    X = values["X"] if "X" in values else values["paths"].swapaxes(0, 1)
    return X[(time - 1) % len(X)], X[time % len(X)]


class _Naming:
    """A table that says its name when an index is out of bounds."""

    name = ""

    def __getitem__(self, index: Any) -> Any:
        try:
            part = super().__getitem__(index)  # type: ignore[misc]
        except IndexError as error:
            raise self._told(index, error) from None
        return _named(self._indexed(index), part)

    def _indexed(self, index: Any) -> str:
        inside = ", ".join(map(str, index)) if isinstance(index, tuple) else str(index)
        return f"{self.name}[{inside}]" if self.name else ""

    def _told(self, index: Any, error: IndexError) -> IndexError:
        return IndexError(f"{error} in {self._indexed(index)}" if self.name else f"{error}")


class _NamedTuple(_Naming, tuple[Any, ...]):
    pass


class _NamedArray(_Naming, np.ndarray[Any, Any]):
    def __setitem__(self, index: Any, value: Any) -> None:
        try:
            super().__setitem__(index, value)
        except IndexError as error:
            raise self._told(index, error) from None


def _named(name: str, value: Any) -> Any:
    """A table that knows its name; other values as they are, and the stream of random numbers."""
    named: Any
    if type(value) is tuple:
        named = _NamedTuple(value)
    elif isinstance(value, np.ndarray) and name != "rng":
        named = value.view(_NamedArray)
    else:
        return value
    named.name = name
    return named


def _plain(function: Any, done: dict[Any, Any]) -> Any:
    """A plain twin of `function`, which calls plain twins and whose tables know their names."""
    if function in done:
        return done[function]

    def finish(copy: FunctionType) -> FunctionType:
        done[function] = copy
        return copy

    def convert(name: str, value: Any) -> Any:
        original = plain_function(value)
        if isinstance(original, FunctionType) and not is_library(original.__module__ or ""):
            return _plain(value, done)
        return _named(name, value)

    return rebuild(plain_function(function), finish, convert)
