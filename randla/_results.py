"""The base of all results: frozen, picklable, a short repr, and Student t intervals.

Each function that returns more than an array has its own frozen dataclass (``eq=False``, since
comparing arrays has no single truth value) derived from `Result`. Each estimate comes with its
uncertainty, and a number that is exact has standard error zero.
"""

import dataclasses
import html
import os
import sys
import warnings
from types import FrameType
from typing import Any, ClassVar

import numpy as np

from randla._typing import Array
from randla._validation import as_level

_MAX_LINES = 10  # of a repr, with its first and last
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep  # where our own frames are


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Base of the frozen result dataclasses."""

    #: Names shown by ``repr``, in order; empty means the dataclass fields.
    _shown: ClassVar[tuple[str, ...]] = ()

    def _summary(self) -> dict[str, Any]:
        names = self._shown or tuple(f.name for f in dataclasses.fields(self))
        names = tuple(name for name in names if not name.startswith("_"))  # internal fields
        return {name: getattr(self, name) for name in names[: _MAX_LINES - 2]}

    def __repr__(self) -> str:
        lines = [f"  {name}={short_repr(value)}," for name, value in self._summary().items()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self._summary())


def html_table(title: str, values: dict[str, Any]) -> str:
    """A table for notebooks: a row for each value, with its name."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(_for_readers(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"


def _for_readers(value: Any) -> str:
    """Like `short_repr`, with thousands separators, and the shape and memory of large arrays."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, str):
        return value
    text = short_repr(value)
    if not text.startswith("<") or not isinstance(value, np.ndarray):
        return text
    shape = " \N{MULTIPLICATION SIGN} ".join(f"{k:,}" for k in value.shape)
    return f"{shape or 'scalar'} {value.dtype}, {_memory(value.nbytes)}"


def _memory(n_bytes: int) -> str:
    """A number of bytes, rounded to three digits before its unit is chosen."""
    size, unit = float(f"{n_bytes:.3g}"), 0
    while size >= 1000 and unit < 4:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def short_repr(value: Any) -> str:
    """The repr of a value, or dtype and shape of an array that is not short."""
    if isinstance(value, np.ndarray):
        if value.ndim == 0 or value.size == 0 or value.size > 8 or value.ndim > 1:
            return f"<{value.dtype} array of shape {value.shape}>"
        return np.array2string(value, precision=4, separator=", ", max_line_width=72).replace(
            "\n", ""
        )
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, (int, str, bool, np.integer, np.bool_, type(None))):
        return repr(value)
    if isinstance(getattr(value, "shape", None), tuple):  # of Dask
        return f"<{type(value).__module__.split('.')[0]} array of shape {value.shape}>"
    text = repr(value)
    if len(text) <= 60 and "\n" not in text:
        return text
    if isinstance(value, tuple) and "\n" not in text:  # as many entries as there is room for
        shown = text[:55].rpartition(", ")[0]
        return f"{shown}, ...)" if shown else "<tuple>"
    return f"<{type(value).__name__}>"


def t_of_tail(tail: float, degrees_of_freedom: Any) -> Any:
    """The t that a Student t variable (normal for infinite degrees of freedom) exceeds with
    probability `tail`, at most 1/2.

    A tail near 0 keeps all its digits; a level near 1 would lose them.
    """
    from scipy.special import ndtri, stdtrit

    df = np.asarray(degrees_of_freedom, dtype=float)
    t = np.abs(stdtrit(df, tail))  # which overflows far out, at 3 degrees of freedom from 1e-300
    return np.where(np.isinf(df), -ndtri(tail), t)


def t_interval(
    estimate: Any,
    standard_error: Any,
    degrees_of_freedom: Any,
    level: float = 0.95,
    *,
    n_together: int = 1,
) -> tuple[Array, Array]:
    """``estimate -+ t * standard_error``, elementwise.

    With `n_together` that many intervals hold simultaneously at `level` (Bonferroni).
    """
    tail = 0.5 * (1.0 - as_level(level)) / n_together  # of each side of each interval
    half = t_of_tail(tail, degrees_of_freedom) * np.asarray(standard_error, dtype=float)
    return np.asarray(estimate - half), np.asarray(estimate + half)


def axes_or_new(ax: Any) -> Any:
    """`ax`, or the axes of a new figure if it is None; needs matplotlib."""
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(layout="constrained").add_subplot()
    return ax


class RandlaWarning(UserWarning):
    """Base of the warnings of this library, so that they can be filtered by class.

    Examples
    --------
    Raise an error if a solution is less accurate than requested:

    >>> import warnings
    >>> import randla
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", randla.RandlaWarning)
    ...     x = randla.lstsq([[1.0], [2.0]], [2.0, 4.0]).x
    >>> x
    array([2.])
    """


def warn_caller(message: str, category: type[RandlaWarning]) -> None:
    """Warn at the line outside this library that called it, at any depth of calls."""
    frame: FrameType | None = sys._getframe(1)
    level = 2  # 1 is this function
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def caller_frame() -> FrameType | None:
    """The frame outside this library that called it, at any depth of calls."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame
