"""What every public function has in common, as one parametrized set of checks.

A family lists its calls in ``tests/<family>/cases.py`` as ``CASES``; `tests/test_conformance.py`
runs every check on every case, and fails if a public name has no case.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import randla


@dataclass(frozen=True)
class Case:
    """One call of a public function with small valid input, and one with larger input.

    Attributes
    ----------
    name : str
        The public name that the case covers, with a suffix after a space if there are several
        (``"lstsq eps"``).
    call : callable
        ``call(**arrays, **options)``; with ``rng=`` among the options if `random` or `takes_rng`.
    arrays : dict
        Valid array arguments by the name that error messages use. Should hold numbers that
        survive a round trip through float32 (multiples of 1/64, say), so that results compare.
    random : bool
        The result depends on the seed.
    takes_rng : bool
        The call has ``rng=``.
    values : callable
        Result -> tuple of arrays that are compared between two runs.
    bad_options : list of (dict, exception type, str)
        Options that must be refused with a message that has the string in it.
    integers : bool
        Rounding the arrays to integers gives a valid call.
    nan : tuple of str
        Arrays in which NaN is legal.
    empty : tuple of str
        Arrays which may have no rows.
    higher : tuple of str
        Arrays which may be 3-D (batched).
    rtol32 : float
        Agreement of float32 input with float64 input, relative to the largest value.
    large : dict
        Arguments that replace some, so that the work is cut into several parts. No multiples of
        1/64, whose sums are the same in any order.
    sparse : tuple of str
        Arrays that may be sparse matrices.
    scaled : dict
        Names of arrays, separated by spaces -> exponents: where these arrays are multiplied by s,
        each of the values is by s to its exponent. None: a value that may leave the range.
    """

    name: str
    call: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    values: Callable[[Any], tuple] = lambda result: (result,)
    random: bool = False
    takes_rng: bool = True
    bad_options: list[tuple[dict, type, str]] = field(default_factory=list)
    integers: bool = True
    nan: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    higher: tuple[str, ...] = ()
    rtol32: float = 1e-3
    large: dict[str, Any] = field(default_factory=dict)
    sparse: tuple[str, ...] = ()
    scaled: dict[str, tuple[float | None, ...]] = field(default_factory=dict)

    @property
    def public_name(self) -> str:
        return self.name.split()[0]

    @property
    def shows_progress(self) -> bool:
        return "progress" in inspect.signature(getattr(randla, self.public_name)).parameters

    def run(self, **changes: Any) -> Any:
        """Call with some arguments changed."""
        arguments = dict(self.arrays)
        if self.takes_rng:
            arguments["rng"] = 0
        arguments.update(changes)
        return self.call(**arguments)

    def run_values(self, **changes: Any) -> list[np.ndarray]:
        return [np.asarray(v) for v in self.values(self.run(**changes))]


@dataclass(frozen=True)
class Input:
    """The small or the large input of a case."""

    case: Case
    changes: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.case.name} large" if self.changes else self.case.name

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.case.arrays, **self.changes}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {k: x for k, x in self.arguments.items() if isinstance(x, np.ndarray)}

    @cached_property
    def expected(self) -> list[np.ndarray]:
        """The values of the plain call, computed once."""
        return self.run_values()

    def run(self, **changes: Any) -> Any:
        return self.case.run(**{**self.changes, **changes})

    def run_values(self, **changes: Any) -> list[np.ndarray]:
        return self.case.run_values(**{**self.changes, **changes})


def inputs_of(cases: list[Case]) -> list[Input]:
    return [Input(case, c) for case in cases for c in ([{}, case.large] if case.large else [{}])]


def grid(rng: np.random.Generator, shape: Any, scale: float = 1.0) -> np.ndarray:
    """Normal numbers rounded to multiples of 1/64: exact in float32."""
    return np.round(64 * scale * rng.standard_normal(shape)) / 64
