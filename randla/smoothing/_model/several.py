"""Several independent series: a function is called for each, and the results are added up."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from inspect import signature
from typing import Any, ClassVar, TypeVar

import numpy as np

from randla._random import as_generator, draw_key
from randla._results import Result

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound="SeriesResult")


def as_several(y: Any, inputs: Any = None) -> list[tuple[Any, Any]] | None:
    """The series and their inputs, if `y` is a list of arrays; None if it is one series."""
    if not isinstance(y, (list, tuple)) or not any(map(_is_array, y)):
        return None
    strangers = [part for part in y if not _is_array(part)]
    if strangers:
        raise TypeError(
            "y must be one array or a list of arrays, a series each, got a list with "
            f"{type(strangers[0]).__name__} in it"
        )
    sizes = {part.shape[1:] or (1,) for part in y}  # (T,) and (T, 1) are the same
    if len(sizes) > 1:
        raise ValueError(
            "y must be series of observations with the same number of components, got shapes "
            f"{', '.join(str(part.shape) for part in y)}"
        )
    if inputs is None:
        return [(part, None) for part in y]
    if not isinstance(inputs, (list, tuple)) or len(inputs) != len(y):
        got = len(inputs) if isinstance(inputs, (list, tuple)) else type(inputs).__name__
        raise ValueError(f"inputs must be a list of {len(y)} arrays, as y is, got {got}")
    return list(zip(y, inputs, strict=True))


def _is_array(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.ndim > 0


def each_series(function: Callable[..., Any], several: Sequence[tuple[Any, Any]]) -> list[Any]:
    """``function(i, y, inputs)`` of each series; errors get a note with its number."""
    results = []
    for i, (y, inputs) in enumerate(several):
        try:
            results.append(function(i, y, inputs))
        except (TypeError, ValueError) as error:
            error.add_note(f"This was for series {i} of y.")
            raise
    return results


def series_keys(key: np.uint64, n: int) -> list[np.uint64]:
    """Keys of the streams of n series: of the first one the key itself."""
    return [key, *(draw_key(_seed(key, i)) for i in range(1, n))]


def _seed(key: np.uint64, i: int) -> np.random.SeedSequence:
    return np.random.SeedSequence((int(key), i))


def over_series(function: F) -> F:
    """A function of a model and a series that also takes a list of them."""
    draws = "rng" in signature(function).parameters

    @wraps(function)
    def call(model: Any, y: Any, *arguments: Any, **options: Any) -> Any:
        several = as_several(y, options.get("inputs"))
        if several is None:
            return function(model, y, *arguments, **options)
        rngs: list[Any] = []
        if draws:  # the first series draws as it would alone
            generator = as_generator(options.pop("rng", None))
            first, key = copy.deepcopy(generator), draw_key(generator)
            rngs = [first, *(_seed(key, i) for i in range(1, len(several)))]

        def one(i: int, y: Any, inputs: Any) -> Any:
            own = {"rng": rngs[i]} if draws else {}
            if inputs is not None:
                own["inputs"] = inputs
            return function(model, y, *arguments, **{**options, **own})

        return combined(each_series(one, several))

    return call  # type: ignore[return-value]


# Results -----------------------------------------------------------------------------------------


def stacked(values: list[Any]) -> Any:
    """The times of the series, one below the other."""
    return np.concatenate(values)


def total(values: Sequence[Any]) -> Any:
    """What adds up."""
    return sum(values[1:], start=values[0])


def root_of_squares(values: list[Any]) -> Any:
    """Errors of independent numbers that add up."""
    error = np.sqrt(total([np.square(v) for v in values]))
    return error if error.ndim else float(error)


@dataclass(frozen=True, eq=False, repr=False)
class SeriesResult(Result):
    """Base of results of one series, or of several independent ones.

    For several series, values that belong to a time are stacked, one series below the other.
    """

    series: tuple[Any, ...] = field(default=(), kw_only=True)

    #: How each field of several results is combined; the others are those of the first.
    _combine: ClassVar[dict[str, Callable[[list[Any]], Any]]] = {}


def combined(results: list[R]) -> R:
    """The result of all series from those of each."""
    changes: dict[str, Any] = {}
    for name in {f.name for f in fields(results[0])} & set(results[0]._combine):
        values = [getattr(result, name) for result in results]
        missing = any(value is None for value in values)
        changes[name] = None if missing else results[0]._combine[name](values)
    if len(results) == 1:
        changes = {}  # squares and roots might change the last digit
    return replace(results[0], series=tuple(results), **changes)
