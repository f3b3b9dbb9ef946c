"""Errors in users' functions, reported with the name of the function and the time.

Compiled code reports neither which function an error comes from nor its arguments. So when a kernel
fails its functions are called again one by one: for an error of compilation each is compiled alone,
and for a runtime error each is called as plain Python, at the time that the kernel had reached,
with the states that it was working on. The traceback of plain Python then also shows the expression
whose index is out of bounds.
"""

import inspect
import linecache
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from numba import typeof
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.core.registry import cpu_target
from numba.core.types import Array, BaseTuple, Boolean, Float, Integer, Type, float64, int64, uint64
from numpy.typing import NDArray

from randla._random import new_stream
from randla.smoothing._kernels.particles.unowned import unowned
from randla.smoothing._model.content import is_library, plain_function, values_used
from randla.smoothing._model.functions import UserFunction
from randla.smoothing._model.series import Arguments
from randla.smoothing._model.specialize import compiled_type, rebuild

_STATE = Array(float64, 1, "C")  # also of `out`
_ROW = Array(float64, 1, "C", readonly=True)  # of y
_STREAM = Array(uint64, 1, "C")

_COMPILER_ERRORS = (NumbaError, UnsupportedBytecodeError)

# Pairs of states that a function is tried with: about 0.1 s of plain Python if it is short.
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
    """Return `kernel` with errors that name the function at fault.

    One of its arguments, or of the fields of its records, is `y`, unless none of its functions is
    given observations; ``info[1]`` keeps the time of the state that it works on. `functions` are
    the user's by name, in the order of their calls; a state is a number if `scalar`.
    """
    names = tuple(inspect.signature(plain_function(kernel)).parameters)

    def call(*arguments: Any) -> Any:
        try:  # Numba looks up the type of a plain tuple in a third of the time
            return kernel(*[tuple(a) if isinstance(a, tuple) else a for a in arguments])
        except Exception as error:
            values: dict[str, Any] = {}  # of the kernel's arguments, and of the fields of records
            for name, value in zip(names, arguments, strict=True):
                record = hasattr(value, "_asdict") and not isinstance(value, Arguments)
                values |= value._asdict() if record else {name: value}
            if isinstance(error, (*_COMPILER_ERRORS, TypeError)):  # TypeError: None, not a number
                row = float64 if getattr(values.get("y"), "ndim", 1) < 2 else _ROW
                message = _not_compiled(functions, scalar, row, typeof(_theta(values)))
                if message is None and isinstance(error, _COMPILER_ERRORS):
                    everyone = "functions of the model or functional"
                    message = f"{everyone} must compile under Numba: {_reason(error)}"
                if message is not None:
                    raise TypeError(message) from error
            named = _named(error, functions, values)
            if named is error:
                raise
            raise named from error

    return call


# Errors of compilation ---------------------------------------------------------------------------


def _not_compiled(
    functions: Mapping[str, UserFunction], scalar: bool, row: Type, theta: Type
) -> str | None:
    """Which function does not compile alone, and why; None if all do."""
    state = float64 if scalar else _STATE
    types = {"rng": _STREAM, "t": int64, "x": state, "xn": state, "y": row, "theta": theta}
    types["out"] = _STATE
    for name, (function, arguments) in functions.items():
        if not isinstance(function, Dispatcher):  # the compiler is off
            continue
        try:
            result = compiled_type(function, tuple(types[a] for a in arguments))
        except Exception as error:  # not all errors that Numba raises are its own
            reason = _unknown_value(function) or _reason(error)
            hint = ""
            if "array(uint64" in str(error):
                hint = " (rng is a stream for the functions of randla.random)"
            if "getitem(float64" in str(error) and isinstance(theta, BaseTuple):
                hint = " (u is a number, as is y, where it is given with shape (T,))"
            return f"{name} must compile under Numba: {reason}{hint}"
        if "out" not in arguments and not isinstance(result, (Float, Integer, Boolean)):
            return f"{name} must return a number, got {result}"
    return None


@global_compiler_lock
def _unknown_value(function: Any) -> str | None:
    """The problem with a value that `function` uses and Numba does not know, or None."""
    for name, value in values_used(function):
        if isinstance(value, list):
            return f"{name} is a list: make it a NumPy array"
        if inspect.isfunction(value):
            try:
                cpu_target.typing_context.resolve_value_type(value)
            except Exception:  # Numba's TypingError, or its replacement
                return f"{name} is a plain Python function: decorate it with numba.njit"
    return None


def _reason(error: Exception) -> str:
    """The first informative line of the message, and the line that it announces."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("Failed in nopython")]
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1].removeprefix('>>> ')}"
    return lines[0] if lines else type(error).__name__


# Errors while it ran -----------------------------------------------------------------------------


def _named(
    error: Exception, functions: Mapping[str, UserFunction], values: dict[str, Any]
) -> Exception:
    """`error` with the name of the function that raises it, or the ValueError of a bad index."""
    time = int(values["info"][1])  # of the state that the kernel was working on
    bad_index = isinstance(error, IndexError) and "out of" in str(error)
    copies: dict[Any, Any] = {}
    with np.errstate(all="ignore"):
        for name, user in functions.items():
            at = time if name in _OF_ONE_TIME else max(time - 1, 0)
            function = _plain(user.function, copies)
            for arguments in _calls(name, user, time, at, values):
                try:
                    function(*arguments)
                except Exception as again:
                    if type(again) is not type(error):
                        continue  # plain Python raises where compiled code gives inf or NaN
                    if bad_index:
                        return ValueError(
                            f"{name} must keep its indices within bounds, but at t = {at} "
                            f"{again}{_expression(again)}"
                        )
                    first, *others = error.args or ("",)
                    error.args = f"{first} (raised by {name} at t = {at})".lstrip(), *others
                    return error
    if bad_index:  # not reproduced: its state may have been overwritten
        return ValueError(
            f"{', '.join(functions)} must keep their indices within bounds, but in one of them "
            f"an {error} before t = {time}"
        )
    return error


def _expression(error: Exception) -> str:
    """The user's expression that raised an error, where its source can be read."""
    trace = error.__traceback__
    *_, place = (
        entry
        for (frame, _), entry in zip(
            traceback.walk_tb(trace), traceback.extract_tb(trace), strict=True
        )
        if frame.f_globals is not globals() and not is_library(frame.f_globals.get("__name__", ""))
    )
    line = linecache.getline(place.filename, place.lineno or 0)
    if place.colno is not None and place.end_lineno == place.lineno:  # offsets count bytes
        line = line.encode()[place.colno : place.end_colno].decode()
    return f" in {line.strip()}" if line.strip() else ""


def _calls(
    name: str, user: UserFunction, time: int, at: int, values: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """Arguments for the calls of a function that a kernel may have made at a time."""
    draws = "observations" in values  # as `simulate` does
    takes_step = "t" in user.arguments and name not in _OF_ONE_TIME
    if (name not in ("initial", "transition", "observe")) if draws else (name == "observe"):
        return
    if name not in _OF_ONE_TIME and takes_step != (time > 0):  # a start is drawn at time 0 only
        return
    y = values["y"][time % len(values["y"])] if "y" in values else None  # of the new state
    if y is not None and np.isnan(y).all() and name in _LOOKS_AT_Y:
        return
    before, now = (_extremes_first(states) for states in _states(values, time))
    states = {"x": before if takes_step else now, "xn": now}
    states = {argument: states[argument] for argument in user.arguments if argument in states}
    size, theta = now.shape[-1], _theta(values)  # size of `out`
    if name == "observe":
        size = values["observations"].shape[-1]
    elif name.endswith("functional"):
        size = values["increment"].size
    elif name.startswith("score"):
        size = len(theta[0] if isinstance(theta, tuple) else theta)
    call = {"rng": new_stream(np.uint64(0)), "t": at, "y": y, "theta": theta}
    for i in range(min(map(len, states.values()), default=_MOST_STATES)):
        call |= {argument: rows[i] for argument, rows in states.items()}
        call["out"] = np.full(size, np.nan)  # as the kernels pass it
        yield tuple(call[argument] for argument in user.arguments)


def _theta(values: dict[str, Any]) -> Any:
    """The `theta` of the functions; that of the first path if each has its own."""
    theta = values["theta"]
    if isinstance(theta, Arguments) and "start" in values and theta.y.size:
        return theta._replace(y=theta.y[0])
    return theta


def _extremes_first(states: NDArray[Any]) -> NDArray[Any]:
    """States that are finite, those with an extreme entry first: indices made of them are large."""
    rows = states[:, None] if states.ndim == 1 else states
    rows, states = (each[np.isfinite(rows).all(axis=1)] for each in (rows, states))
    far = np.abs(rows - np.median(rows, axis=0)).max(axis=1) if len(rows) else np.zeros(0)
    return states[np.argsort(-far, kind="stable")[:_MOST_STATES]]


def _states(values: dict[str, Any], time: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The states of the time before and of a time, as far as a kernel has them."""
    if "start" in values:  # of `simulate`, a path a row
        states, k = values["states"], time - values["start_time"]
        return (states[:, k - 1] if k else values["start"]), states[:, k]
    states = values["states"] if "states" in values else values["paths"].swapaxes(0, 1)
    return states[(time - 1) % len(states)], states[time % len(states)]  # all times, or two


def _plain(function: Any, copies: dict[Any, Any]) -> Any:
    """A plain twin of `function`, which calls plain twins; `copies` holds those made so far."""
    if function in copies:
        return copies[function]

    def finish(copy: FunctionType) -> FunctionType:
        copies[function] = copy
        return copy

    def convert(_: str, value: Any) -> Any:
        if value is unowned:  # of `UserFunction.called`
            return lambda record: record
        original = plain_function(value)
        users = isinstance(original, FunctionType) and not is_library(original.__module__ or "")
        return _plain(value, copies) if users else value

    return rebuild(plain_function(function), finish, convert)
