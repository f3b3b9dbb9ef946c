"""Errors of compilation that name the function of the model, instead of a page on the kernel."""

from collections.abc import Callable
from typing import Any

from numba.core.errors import NumbaError
from numba.core.types import Array, Boolean, Float, Integer, Type, float64, int64, uint64

from randla.smoothing._specialise import compiled_type

_STATE = Array(float64, 1, "C")
_ROW = Array(float64, 1, "C", readonly=True)
_STREAM = Array(uint64, 1, "C")


def naming_errors(
    kernel: Any, signatures: dict[str, tuple[Any, tuple[str, ...]]], scalar: bool
) -> Callable[..., Any]:
    """Return `kernel`, whose compilation errors say which of the functions in it is to blame.

    Parameters
    ----------
    kernel : jitted function
        One of its arguments is `y`, unless none of its functions is given observations.
    signatures : dict
        The model's functions by name, each with the names of its arguments.
    scalar : bool
        Whether a state is a number.
    """

    def call(*arguments: Any) -> Any:
        try:
            return kernel(*arguments)
        except (NumbaError, TypeError) as error:  # TypeError: a number was expected, None came
            y = dict(zip(kernel.py_func.__code__.co_varnames, arguments, strict=False)).get("y")
            row = float64 if getattr(y, "ndim", 1) < 2 else _ROW
            message = _explain(signatures, scalar, row)
            if message is None and not isinstance(error, NumbaError):
                raise
            if message is None:
                everyone = "functions of the model or functional"
                message = f"{everyone} must compile under Numba: {_reason(error)}"
            raise TypeError(message) from error

    return call


def _explain(
    signatures: dict[str, tuple[Any, tuple[str, ...]]], scalar: bool, row: Type
) -> str | None:
    """Which function does not compile alone, and why; None if all do."""
    state = float64 if scalar else _STATE
    types = {"rng": _STREAM, "t": int64, "x": state, "xn": state, "y": row, "theta": _ROW}
    types["out"] = _STATE
    for name, (function, arguments) in signatures.items():
        try:
            result = compiled_type(function, tuple(types[a] for a in arguments))
        except NumbaError as error:
            hint = ""
            if "array(uint64" in str(error):
                hint = " (rng is a stream for the functions of randla.random)"
            return f"{name} must compile under Numba: {_reason(error)}{hint}"
        if "out" not in arguments and not isinstance(result, (Float, Integer, Boolean)):
            return f"{name} must return a number, got {result}"
    return None


def _reason(error: Exception) -> str:
    """The first line of the message that says something, and what it announces."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("Failed in nopython")]
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1].removeprefix('>>> ')}"
    return lines[0] if lines else type(error).__name__
