"""A CSR matrix: products stay sparse, what needs a dense tile makes one."""

from typing import Any

import numpy as np

from randla._tall.memory import MemoryMatrix, SplitTriangle
from randla._typing import Array
from randla._validation import require_finite

_SPARSE_GRAM = 0.05  # density below which the Gram matrix of a tile is a sparse product


class SparseMatrix(MemoryMatrix):
    """A CSR array, float32 or float64."""

    def __init__(self, A: Any, ridge: float = 0.0, first: int = 0) -> None:
        super().__init__(A, ridge, first)
        self.density = A.nnz / max(A.shape[0] * A.shape[1], 1)

    def _sparse_rows(self, i: int, j: int, row_scale: Array | None = None) -> Any:
        """Rows i..j in CSR, without the column scales."""
        X = self.A[i:j]
        if self.columns is not None:
            X = X[:, self.columns]
        if row_scale is not None:
            X = X.astype(np.float64)
            X.data *= np.repeat(row_scale[i:j], np.diff(X.indptr))
        return X

    def rows(self, i: int, j: int, row_scale: Array | None = None, out: Array | None = None) -> Any:
        """Rows i..j, scaled, dense, in float64."""
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
            total += (X.T @ X).toarray()
        else:
            super()._add_gram(i, j, row_scale, tile, total)

    def require_finite(self) -> None:
        """Raise ValueError if an entry is NaN or inf."""
        require_finite(self.A.data, "A")

    def _divide_rows(self, exponents: Array) -> None:
        self.A = self.A.copy()
        powers = np.repeat(exponents.astype(np.int64), np.diff(self.A.indptr))
        self.A.data = np.ldexp(self.A.data, -powers)
