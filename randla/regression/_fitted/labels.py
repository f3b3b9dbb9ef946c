"""Names of the columns of A and of b, and new tables in the order of the fit's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from randla._tables import column_names, columns_of, name_of
from randla._typing import Array


@dataclass(frozen=True)
class Labels:
    """Names of a fit, and the formula that made its A, if there is one.

    Attributes
    ----------
    names : tuple of str
        Names of the columns of A if A was a table; otherwise empty.
    responses : tuple of str
        Names of the columns of b; empty if b has no names.
    formula : Model of `randla.formula`, optional
    """

    names: tuple[str, ...] = ()
    responses: tuple[str, ...] = ()
    formula: Any = None

    @classmethod
    def of(cls, A: Any, b: Any) -> Labels:
        """The names in a table A and a table or column b, before they become arrays."""
        if type(A) is type(b) is np.ndarray:
            return PLAIN
        responses = column_names(b, "b")
        if responses is None:
            label = name_of(b)
            responses = () if label is None else (label,)
        return cls(column_names(A, "A") or (), responses)

    def all_names(self, d: int) -> tuple[str, ...]:
        """A name for each of d columns."""
        return self.names or tuple(f"x{j}" for j in range(d))

    def response(self, j: int) -> str | int:
        """The name of column j of b, or its number."""
        return self.responses[j] if j < len(self.responses) else j

    def renamed(self, names: Any, d: int) -> tuple[tuple[str, ...], Labels]:
        """The names of d columns given by the user, by default those of the fit.

        New tables are matched by the names in the fitted table, otherwise by the given names.
        """
        if names is None:
            return self.all_names(d), self
        if isinstance(names, (str, bytes, Mapping)) or not hasattr(names, "__getitem__"):
            raise TypeError(f"names must be a sequence of {d} names, got {type(names).__name__}")
        for name in names:
            if not isinstance(name, (str, int, np.integer)):
                raise TypeError(f"names must hold strings, got {type(name).__name__}")
        found = tuple(str(name) for name in names)
        if len(found) != d:
            raise ValueError(f"names must be {d} names, one for each column, got {len(found)}")
        if len(set(found)) < d:
            twice = next(name for j, name in enumerate(found) if name in found[:j])
            raise ValueError(f"names must differ, got {twice!r} twice")
        return found, self if self.names else replace(self, names=found)

    def design(self, A: Any, d: int, name: str = "A_new") -> Any:
        """The user's A with its d columns in the order of the fit.

        A table is matched by names if the fit has them, and new data of a formula are expanded.
        """
        if self.formula is not None:
            A = self.formula.design(A, name)
        return _with_columns(columns_of(A, self.names, name), d, name)

    def opened(
        self, A: Any, b: Any, d: int | None = None, **vectors: Any
    ) -> tuple[Any, Any, dict[str, Any]]:
        """A, b and vectors over the rows, as in the fit: those of a formula are in its data.

        The number of columns is checked if `d` is given.
        """
        if A is None:
            return A, b, vectors
        if self.formula is not None:
            A, b, vectors = self.formula.opened(A, b, vectors)
        A = columns_of(A, self.names, "A")
        return A if d is None else _with_columns(A, d, "A"), b, vectors


PLAIN = Labels()


def _with_columns(A: Any, d: int, name: str) -> Any:
    shape = getattr(A, "shape", None)
    shape = np.shape(A) if shape is None else shape
    if len(shape) != 2 or shape[1] != d:
        raise ValueError(f"{name} must have {d} columns as in the fit, (m, {d}), got shape {shape}")
    return A


def sorted_rows(values: Any) -> Any:
    """Each row (m, k) of an array, or a lazy one, in ascending order."""
    if isinstance(values, np.ndarray):
        return np.sort(values, axis=1)
    return values.map_blocks(_sorted, dtype=values.dtype)


def _sorted(block: Array) -> Array:
    return np.sort(block, axis=1)
