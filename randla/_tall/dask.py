"""A Dask array in blocks of rows: each pass joins the results of `MemoryMatrix` for the blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import methodcaller
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from randla._tall import dask_arrays
from randla._tall.base import Function, TallMatrix
from randla._tall.blocks import as_block, open_block
from randla._tall.memory import MemoryMatrix, r_factor
from randla._tall.problem import weighted_rhs
from randla._typing import Array
from randla._validation import as_weights, require_finite

#: Scales and indices of the columns that are read, for the blocks.
View = tuple[Array | None, NDArray[np.intp] | None]


class DaskMatrix(TallMatrix):
    """A Dask array that is chunked along its rows; vectors over the rows are Dask vectors."""

    lazy = True

    def __init__(self, A: Any, ridge: float = 0.0) -> None:
        super().__init__(dask_arrays.as_rows(A), ridge)
        self._waiting: Any = None  # what the next `compute` also computes
        self._brought: Any = None

    @property
    def view(self) -> View:
        """Scales and indices of the columns that are read, for the blocks."""
        return self.column_scale, self.columns

    # Functions of blocks and of vectors: lazy, but for what is gathered ---------------------------

    def map_rows(self, function: Function, *vectors: Any, **options: Any) -> Any:
        options.update(visit=function, view=self.view)
        return dask_arrays.map_rows(_of_block, self.A, *vectors, **options)

    def join_rows(self, function: Function, *vectors: Any, **options: Any) -> Any:
        options.update(visit=function, view=self.view)
        return dask_arrays.join_rows(_of_block, self.A, *vectors, **options)

    def gather_rows(self, function: Function, *vectors: Any, **options: Any) -> list[Any]:
        options.update(visit=function, view=self.view)
        return dask_arrays.gather(_of_block, self.A, *vectors, **options)

    map_vectors = staticmethod(dask_arrays.map_rows)
    join_vectors = staticmethod(dask_arrays.join_rows)
    gather_vectors = staticmethod(dask_arrays.gather)

    def compute(self, *values: Any) -> Any:
        if self._waiting is not None:
            *results, self._brought = dask_arrays.run((*values, self._waiting))
            self._waiting = None
        else:
            results = list(dask_arrays.run(values))
        numbers = [np.array(x) for x in results]  # which may be read-only
        return numbers[0] if len(numbers) == 1 else tuple(numbers)

    def alongside(self, value: Any, following: Callable[[], Any] | None) -> tuple[Any, Any]:
        if following is None:
            return self.compute(value), None
        self._waiting = value
        followed = following()  # its first `compute` computes it, too
        return self._brought, followed

    def vector(self, values: Any, name: str, *, positive_sum: bool = False) -> Any:
        """The user's vector, chunked like the rows, and checked when it is computed."""
        return self.map_vectors(
            _checked, dask_arrays.as_vector(values, self.A, name), argument=name
        )

    def aligned(self, vector: Any) -> Any:
        """A checked vector, of an array in memory or cut into other chunks, as a vector of A."""
        return dask_arrays.as_vector(vector, self.A, "weights")

    def right_hand_sides(self, b: Any, *, single: bool = False, finite: bool = False) -> Any:
        """The user's b, (n,) or (n, k), unchanged: the passes check and cast it."""
        return dask_arrays.as_columns(b, self.A, "b", single=single)

    def ones(self) -> Any:
        return da.ones(self.n, chunks=(self.A.chunks[0],))

    # Passes --------------------------------------------------------------------------------------

    def _gram(self, T: Array | None, row_scale: Any) -> Array:
        k = self.d if T is None else T.shape[1]
        G: Array = self.compute(self.join_rows(_gram, row_scale, shape=(k, k), T=T))
        return G

    def gram_and_norms(self, T: Array, row_scale: Any = None) -> tuple[Array, Any]:
        norms = self.row_norms(T)  # lazy
        return self._gram(T, row_scale), norms if row_scale is None else norms * row_scale

    def row_norms(self, T: Array) -> Any:
        return self.map_rows(MemoryMatrix.row_norms, T=T)

    def times(self, T: Array) -> Any:
        return self.map_rows(MemoryMatrix.times, T=T, width=T.shape[1])

    def triangular(self, row_scale: Any = None) -> Array:
        """R of the QR factorization of V A (and the ridge): those of the blocks, in a tree."""
        shape = self.d, self.d
        factors = [
            self.compute(self.join_rows(_triangular, row_scale, shape=shape, join=_joined_factors))
        ]
        if self.ridge:
            factors.append(np.diag(self.ridge_rows))  # its rows come last
        return r_factor(np.vstack(factors))

    def take(self, rows: NDArray[np.int64]) -> MemoryMatrix:
        return _viewed(dask_arrays.take_rows(self.A, rows), self.view)

    def require_finite(self) -> None:
        self.gather_rows(methodcaller("require_finite"))

    def _divide_rows(self, exponents: Any) -> None:
        self.A = self.map_rows(_divided, exponents, width=self.A.shape[1])

    # Least squares -------------------------------------------------------------------------------

    def _total(self, function: Function, *vectors: Any, **options: Any) -> Array:
        """The sum of the results of a function of a weighted and scaled block and of vectors."""
        options.update(action=function, exponents=self.column_exponents)
        total: Array = self.compute(self.join_rows(_weighted, self.row_scale, *vectors, **options))
        return total  # from one pass over A

    def normal_equations(
        self, B: Any, P: Array | None, *, triangular: bool, single: bool
    ) -> tuple[Array, Array]:
        """``Y'Y``, and ``Y'B`` with the squared norms of the columns of B below."""
        r = self.d if P is None else P.shape[1]
        options = {"P": P, "triangular": triangular, "shape": (r + 1, r + B.shape[1])}
        total = self._total(_normal_equations, B, **options)
        return total[:r, :r], total[:, r:]

    def residual_gradient(self, X: Array, B: Any) -> tuple[Array, Array]:
        total = self._total(_residual_gradient, B, shape=(self.d + 1, X.shape[1]), X=X)
        return total[:-1], total[-1]

    def normal_product(self, X: Array) -> Array:
        return self._total(_normal_product, shape=X.shape, X=X)

    def sketch_with(self, S: Any, B: Any) -> tuple[Array, Array | None]:
        d = self.A.shape[1]
        shape = S.shape[0], d + (0 if B is None else B.shape[1])
        total = self._total(_sketch_with, B, shape=shape, S=S, as_given=True)
        return total[:, :d], None if B is None else total[:, d:]

    def weighted_maxima(self, b: Any = None) -> Array:
        """Largest absolute weighted entries of all columns of A, and of b, which must be finite."""
        k = 0 if b is None else b[:1].size
        shape = 1, self.A.shape[1] + k
        return self._total(_weighted_maxima, b, shape=shape, join=np.maximum, as_given=True)[0]


def _viewed(block: Any, view: View, first: int = 0) -> MemoryMatrix:
    matrix = open_block(as_block(block), first=first)
    matrix.column_scale, matrix.columns = view
    return matrix


def _of_block(
    first: int, block: Any, *vectors: Any, visit: Function, view: View, **constants: Any
) -> Any:
    return visit(_viewed(block, view, first), *vectors, **constants)


def _checked(first: int, values: Any, *, argument: str) -> Array:
    return as_weights(values, len(values), argument, positive_sum=False)  # type: ignore[return-value]


def _gram(block: MemoryMatrix, row_scale: Any, *, T: Array | None) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # checked at the end
        return block.gram(T, row_scale)


def _triangular(block: MemoryMatrix, row_scale: Any) -> Array:
    return _padded(block.triangular(row_scale), block.d)


def _joined_factors(R: Array, other: Array) -> Array:
    return _padded(r_factor(np.vstack([R, other])), R.shape[1])  # QR of [R; R'], d rows again


def _padded(R: Array, d: int) -> Array:
    return np.vstack([R, np.zeros((d - len(R), d))])


def _divided(block: MemoryMatrix, exponents: Any) -> Any:
    block._divide_rows(exponents)
    return block.A


# Least squares -----------------------------------------------------------------------------------


@np.errstate(all="ignore")
def _weighted(
    block: Any, root_weights: Any, *vectors: Any, action: Any, exponents: Any,
    as_given: bool = False, **options: Any,
) -> Array:  # fmt: skip
    if as_given:  # all columns, unscaled
        block.row_scale = root_weights
    else:
        block.rescale(root_weights, exponents, block.columns)
    return action(block, *vectors, **options)  # type: ignore[no-any-return]


def _normal_equations(block: Any, B: Array, *, P: Array | None, triangular: bool) -> Array:
    G, C = block.normal_equations(B, P, triangular=triangular, single=False)
    below = np.append(np.zeros(len(G)), (B * B).sum(axis=0))  # |b_j|^2, for a check of their range
    return np.vstack([np.hstack([G, C]), below])


def _residual_gradient(block: Any, B: Array, *, X: Array) -> Array:
    return np.vstack(block.residual_gradient(X, B))


def _normal_product(block: Any, *, X: Array) -> Array:
    return block.normal_product(X)  # type: ignore[no-any-return]


def _sketch_with(block: Any, B: Any, *, S: Any) -> Array:
    """S A of the block, and S B; all columns, unscaled."""
    S = prepared(S).columns(block.first, block.first + block.n)  # those that act on these rows
    SA, SB = block.sketch_with(S, B)
    return SA if SB is None else np.hstack([SA, SB])  # (m, d + k)


def _weighted_maxima(block: Any, b: Any) -> Array:
    """The largest absolute weighted entries of the columns of A and b, which must be finite."""
    top: Array = block.weighted_maxima()
    if b is not None:
        require_finite(np.asarray(b, np.float64), "b")
        B = weighted_rhs(0, np.abs(b), block.row_scale, exponents=None)
        top = np.append(top, B.max(axis=0))
    return top[None]


# Sketches ----------------------------------------------------------------------------------------


def sketch_product(S: Any, A: Any) -> Any:
    """``S @ A`` as a lazy Dask array of one chunk, from one pass over A.

    It is the sum over the blocks of ``S.columns(i, j) @ block``. Each task holds a block of A and
    an (m, d) sketch of it.
    """
    A = dask_arrays.as_rows(A, ndim=(1, 2))
    S._require_rows(A, "A")
    columns = A[:, None] if A.ndim == 1 else A  # (n, k)
    dtype = np.dtype(np.float32 if A.dtype == np.float32 else np.float64)
    shape = S.shape[0], columns.shape[1]
    SA = dask_arrays.join_rows(_sketch_block, columns, shape=shape, dtype=dtype, S=S)
    return SA[:, 0] if A.ndim == 1 else SA


def _sketch_block(first: int, block: Any, S: Any) -> Any:
    return prepared(S)._sketch(as_block(block), first_row=first)[0]


class _Token:
    """A sketch that is hashed and compared by its parameters and its key."""

    def __init__(self, S: Any) -> None:
        self.S, self.key = S, S.__dask_tokenize__()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Token) and self.key == other.key


def prepared(S: Any) -> Any:
    """Return a cached equal sketch, so that tasks of one process share its random numbers."""
    return _remembered(_Token(S))


@lru_cache(maxsize=4)
def _remembered(token: _Token) -> Any:
    return token.S
