"""A tall matrix of any kind, and its passes by name: each reads the rows once, in blocks.

Functions that score or sample rows are written against these passes, so that one body serves an
array in memory and a Dask array. Vectors with an entry for each row are arrays, or lazy Dask
vectors that are chunked like the rows; NumPy's operators work on both.

A function of a block receives the block, a matrix in memory that has the index of its `first` row,
and the same rows of the vectors. A function of vectors alone receives that index instead of the
block. It depends on nothing else, so that the result does not depend on the blocks.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts
from randla._scaling import exponents_of, median_exponents, power_of_two_scale
from randla._tall.passes import LeastSquaresMatrix
from randla._typing import Array

Function = Callable[..., Any]  # of a block, or of the index of its first row, and of vectors
Value = TypeVar("Value")

_BLOCK = 16384  # rows whose logarithms and differences stay in the second-level cache
_MEASURED = 2000  # rows that show how large the entries of a column, and the rows, are
_ZERO = -(1 << 13)  # exponent for the length of a row of zeros


class TallMatrix(LeastSquaresMatrix):
    """A matrix (n, d) with optional scales of its columns.

    Parameters
    ----------
    A : ndarray, csr_array, LinearOperator or Dask array
    ridge : float
        Equivalent to d more rows, ``sqrt(ridge)`` times the identity, in all Gram matrices.

    Attributes
    ----------
    n, d : int
        Rows, and columns that are read.
    column_scale : (d,) ndarray or None
        Powers of two that multiply the columns; set by `rescale_columns`.
    columns : ndarray of int or None
        The columns that are read, all if None.
    entry_error : float
        Relative rounding error of the entries as given, if they are float32; else 0.
    has_shortened_rows : bool
        Whether `shorten_rows` has divided some.
    """

    column_scale: Array | None = None
    columns: NDArray[np.intp] | None = None
    has_shortened_rows = False

    def __init__(self, A: Any, ridge: float = 0.0) -> None:
        self.A, self.ridge = A, ridge
        self.n = A.shape[0]
        self.entry_error = float(np.finfo(np.float32).eps) if A.dtype == np.float32 else 0.0

    @property
    def d(self) -> int:
        """Number of columns that are read."""
        return len(self.columns) if self.columns is not None else int(self.A.shape[1])

    @property
    def ridge_rows(self) -> Array:
        """Diagonal of the rows that the ridge represents."""
        scale = np.ones(self.d) if self.column_scale is None else self.column_scale
        return np.sqrt(self.ridge) * scale

    # Functions of blocks and of vectors: in memory there is one block ----------------------------

    def map_rows(
        self, function: Function, *vectors: Any, width: int | None = None, **constants: Any
    ) -> Any:
        """``function(block, *vectors, **constants)`` for each row, (n,) or (n, width)."""
        return function(self, *vectors, **constants)

    def join_rows(
        self, function: Function, *vectors: Any, shape: Any, join: Any = np.add, **constants: Any
    ) -> Any:
        """Arrays of one shape from all blocks, joined pair by pair; an input of `compute`."""
        return function(self, *vectors, **constants)

    def gather_rows(self, function: Function, *vectors: Any, **constants: Any) -> list[Any]:
        """The results of ``function(block, *vectors, **constants)`` for each block."""
        return [function(self, *vectors, **constants)]

    def map_vectors(
        self, function: Function, *vectors: Any, width: int | None = None, **constants: Any
    ) -> Any:
        """``function(first, *vectors, **constants)`` for each row, without reading A."""
        n = len(vectors[0])
        out = np.empty(n if width is None else (n, width))

        def fill(rows: slice) -> None:
            parts = (None if v is None else v[rows] for v in vectors)
            out[rows] = function(rows.start, *parts, **constants)

        by_blocks(fill, n)  # on several threads
        return out

    def join_vectors(
        self, function: Function, *vectors: Any, shape: Any, join: Any = np.add, **constants: Any
    ) -> Any:
        """`join_rows` of ``function(first, *vectors, **constants)``, without reading A."""
        return function(0, *vectors, **constants)

    def gather_vectors(self, function: Function, *vectors: Any, **constants: Any) -> list[Any]:
        """The results of ``function(first, *vectors, **constants)`` for each block."""
        return [function(0, *vectors, **constants)]

    def compute(self, *values: Any) -> Any:
        """The numbers behind the results of passes (one array, or a tuple), in a single pass."""
        return values[0] if len(values) == 1 else values

    def ones(self) -> Any:
        """A vector of ones."""
        return np.ones(self.n)

    def alongside(self, value: Any, following: Callable[[], Any] | None) -> tuple[Any, Any]:
        """A joined value, and possibly the result of `following`, whose first pass computes it.

        In memory there is no such pass to save, and nothing follows.
        """
        return value, None

    # Passes --------------------------------------------------------------------------------------

    def gram(self, T: Array | None = None, row_scale: Any = None) -> Array:
        """``(V A T)' (V A T) + ridge T'T`` with V the row scales."""
        return self.with_ridge(self._gram(T, row_scale), T)

    @abstractmethod
    def _gram(self, T: Array | None, row_scale: Any) -> Array:
        """The Gram matrix of V A T without the ridge."""

    @abstractmethod
    def row_norms(self, T: Array) -> Any:
        """Norms of the rows of A T."""

    @abstractmethod
    def gram_and_norms(self, T: Array, row_scale: Any = None) -> tuple[Array, Any]:
        """The Gram matrix of V A T without the ridge, and the norms of its rows."""

    @abstractmethod
    def times(self, T: Array) -> Any:
        """A T, (n, k)."""

    @abstractmethod
    def triangular(self, row_scale: Any = None) -> Array:
        """R of the QR factorization of V A (and the ridge), by blocks; at most d rows."""

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> Any:
        """The chosen rows, of ascending indices, in memory and with the same scales."""

    # Scales --------------------------------------------------------------------------------------

    def with_ridge(self, G: Array, T: Array | None) -> Array:
        """A Gram matrix with the contribution of the rows that the ridge represents."""
        if not self.ridge:
            return G
        E = self.ridge_rows[:, None] * (np.eye(self.d) if T is None else T)  # sqrt(ridge) C T
        return G + E.T @ E

    def column_maxima(self) -> Array:
        """The largest absolute entries of the columns."""
        top = self.weighted_maxima()  # of all columns, unscaled
        top = top if self.columns is None else top[self.columns]
        return top if self.column_scale is None else top * self.column_scale

    def rescale_columns(self) -> None:
        """Multiply the columns by powers of two so that their largest entries are about 1."""
        self.column_scale = power_of_two_scale(
            np.maximum(self.column_maxima(), np.sqrt(self.ridge))
        )

    def keep_columns(self, columns: NDArray[np.intp]) -> None:
        """Read only these columns from now on."""
        self.columns = columns if self.columns is None else self.columns[columns]
        if self.column_scale is not None:
            self.column_scale = self.column_scale[columns]

    def shorten_rows(self, limit: float, row_scale: Any = None) -> bool:
        """Divide rows longer than `limit` median rows by powers of two; returns if there are any.

        Such rows leave no digits for what the others have in their columns. Their directions are
        their own, for any such length. (Winsorizing.)
        """
        if self.has_shortened_rows:  # once: T of the first time is for these rows
            return False
        rows = np.arange(0, self.n, max(self.n // _MEASURED, 1))  # 4000 of them at most
        sample = self.take(rows)
        X = sample.rows(0, sample.n)
        if row_scale is not None:
            X = X * np.asarray(self.compute(row_scale[rows]))[:, None]
        unit = median_exponents(X)  # columns are measured by their medians
        exponents = _length_exponents(X, unit)
        exponents = exponents[exponents > _ZERO]  # of rows that are not zero
        if exponents.size == 0:
            return False
        longest = int(np.median(exponents)) + int(np.log2(limit))  # exponent of the longest row
        excess = self.map_rows(_excess, row_scale, unit=unit, longest=longest)
        if not float(self.compute(excess.max())) > 0.0:
            return False
        self._divide_rows(excess)  # exact, and never undone: directions remain
        self.has_shortened_rows = True
        return True

    @abstractmethod
    def _divide_rows(self, exponents: Any) -> None:
        """Divide row i by ``2^exponents[i]``, from now on."""


def _excess(block: Any, row_scale: Array | None, *, unit: Any, longest: int) -> Array:
    """The number of powers of two by which the rows of a block are too long."""
    out = np.empty(block.n)
    for i in range(0, block.n, block.tile_rows):
        j = min(i + block.tile_rows, block.n)
        out[i:j] = _length_exponents(block.rows(i, j, row_scale), unit)
    return np.maximum(out - longest, 0.0)  # powers of two to divide by


def _length_exponents(X: Array, unit: Any) -> Array:
    """Exponent of the largest entry of each row, with its column in units of ``2^unit``."""
    exponents: Array = np.where(X != 0.0, exponents_of(X) - unit, _ZERO).max(axis=1)
    return exponents


def by_blocks(visit: Callable[[slice], Value], n: int) -> list[Value]:
    """The results of `visit` for each block of n rows, on several threads."""
    bounds = part_bounds(n, -(-n // _BLOCK))
    return run_parts(lambda k: visit(slice(*bounds[k])), len(bounds), seconds=1e-8 * n, blas=True)
