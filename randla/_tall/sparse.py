"""A CSR matrix: products stay sparse; passes that need a dense tile make one."""

from typing import Any

import numpy as np

from randla._tall.memory import CarefulSum, MemoryMatrix, SplitTriangle
from randla._tall.passes import ProductPasses
from randla._typing import Array
from randla._validation import require_finite

_SPARSE_GRAM = 0.05  # density below which the Gram matrix of a tile is a sparse product
#: Rows that are made dense at a time, in least squares.
_TILE_ROWS = 2048
#: Parts of a product with the transpose.
_MAX_CHUNKS = 64
#: Fraction of stored entries from which a Gram matrix of dense tiles is faster than a sparse one.
_DENSE_SHARE = 0.07


class SparseMatrix(ProductPasses, MemoryMatrix):
    """A CSR array, float32 or float64."""

    def __init__(self, A: Any, ridge: float = 0.0, first: int = 0) -> None:
        super().__init__(A, ridge, first)
        self.density = A.nnz / max(A.shape[0] * A.shape[1], 1)

    def _sparse_rows(self, i: int, j: int, row_scale: Array | None = None) -> Any:
        """Rows i..j in CSR, without the column scales."""
        X = self.A[i:j]  # CSR
        if self.columns is not None:
            X = X[:, self.columns]
        if row_scale is not None:
            X = X.astype(np.float64)
            X.data *= np.repeat(row_scale[i:j], np.diff(X.indptr))  # the scale of an entry's row
        return X

    def rows(self, i: int, j: int, row_scale: Array | None = None, out: Array | None = None) -> Any:
        X = self._sparse_rows(i, j, row_scale).toarray().astype(np.float64, copy=False)
        if self.column_scale is not None:
            X *= self.column_scale
        return X

    def _product(
        self, i: int, j: int, T: SplitTriangle, out: Array, scratch: Array | None = None
    ) -> Array:
        if self.column_scale is not None:
            return super()._product(i, j, T, out, scratch)
        return np.ascontiguousarray(self._sparse_rows(i, j) @ T.array)

    def _add_gram(self, i: int, j: int, row_scale: Array | None, tile: Array, total: Array) -> None:
        if self.density < _SPARSE_GRAM and self.column_scale is None:
            X = self._sparse_rows(i, j, row_scale).astype(np.float64)
            total += (X.T @ X).toarray()  # (d, d), mostly zeros in each tile
        else:
            super()._add_gram(i, j, row_scale, tile, total)

    def require_finite(self) -> None:
        require_finite(self.A.data, "A")

    def _divide_rows(self, exponents: Array) -> None:
        self.A = self.A.copy()
        powers = np.repeat(exponents.astype(np.int64), np.diff(self.A.indptr))  # of the entries
        self.A.data = np.ldexp(self.A.data, -powers)

    # Least squares -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        A = self.A if self.A.dtype == np.float64 else self.A.astype(np.float64)
        if self.columns is not None:
            A = A[:, self.columns]
        if self.column_exponents is not None or self.row_scale is not None:
            data = A.data.copy()
            if self.column_exponents is not None:
                # The scale of an entry's column.
                data = np.ldexp(data, self.column_exponents[A.indices])
            if self.row_scale is not None:
                data *= np.repeat(self.row_scale, np.diff(A.indptr))
            A = type(A)((data, A.indices, A.indptr), shape=A.shape)
        self._scaled, self._adjoint = A, A.T
        # Sums over a few thousand rows at a time: see `CarefulSum`.
        step = max(-(-self.n // _MAX_CHUNKS), _TILE_ROWS)
        self._chunks = []
        for i in range(0, self.n, step):
            pointers = A.indptr[i : i + step + 1]  # a chunk of rows, without a copy
            first, last = pointers[0], pointers[-1]
            parts = A.data[first:last], A.indices[first:last], pointers - first
            chunk = type(A)(parts, shape=(len(pointers) - 1, self.d))
            self._chunks.append((i, i + step, chunk.T))

    def image(self, X: Array) -> Array:
        return self._scaled @ X

    def transposed(self, R: Array) -> Array:
        total = CarefulSum(compensated=True)
        for first, last, adjoint in self._chunks:
            total.add([adjoint @ R[first:last]])  # A'R of a chunk
        return total.value()[0]

    def toarray(self) -> Array:
        return self.A.toarray().astype(np.float64, copy=False)

    def normal_equations(
        self, B: Array, P: Array | None, *, triangular: bool, single: bool
    ) -> tuple[Array, Array]:
        if P is None and self._scaled.nnz < _DENSE_SHARE * self.n * self.d:
            return (self._adjoint @ self._scaled).toarray(), self.transposed(B)  # a sparse product
        r = self.d if P is None else P.shape[1]
        G, C = np.zeros((r, r)), np.zeros((r, B.shape[1]))
        for i in range(0, self.n, _TILE_ROWS):
            tile = self._scaled[i : i + _TILE_ROWS]  # (2048, d)
            Y = tile.toarray() if P is None else tile @ P
            G += Y.T @ Y
            if P is not None:
                C += Y.T @ B[i : i + _TILE_ROWS]
        return G, self.transposed(B) if P is None else C

    def weighted_maxima(self) -> Array:
        data = np.abs(self.A.data)
        if self.row_scale is not None:
            data = data * np.repeat(self.row_scale, np.diff(self.A.indptr))
        top = np.zeros(self.A.shape[1])
        np.maximum.at(top, self.A.indices, data)  # unbuffered: columns repeat
        if not np.isfinite(top).all():
            self.require_finite()
        return top

    def sketch_with(self, S: Any, B: Array | None) -> tuple[Array, Array | None]:
        A = self.A if self.A.dtype == np.float64 else self.A.astype(np.float64)
        return S._sketch(A, B, row_scale=self.row_scale)
