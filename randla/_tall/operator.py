"""Rows of a regression whose A is sparse, or known by its products only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from randla._tall.problem import CarefulSum, Rows
from randla._validation import require_finite
from randla.sketching._operators import RowsOnDemand, Sketch

Matrix = NDArray[np.float64]
#: Rows that are made dense at a time.
_TILE_ROWS = 2048
#: Parts of a product with the transpose.
_MAX_CHUNKS = 64
#: Share of stored entries from which a Gram matrix of dense tiles is faster than a sparse one.
_DENSE_SHARE = 0.07
#: Columns of a sketch that are sent through an operator at a time.
_OPERATOR_COLUMNS = 64


class ProductRows(Rows):
    """What follows from products with A and its transpose."""

    def _residual(self, X: Matrix) -> tuple[Matrix, Matrix]:
        R = self.B - self._times(X)
        return self._transposed(R), (R * R).sum(axis=0)

    def _normal_product(self, X: Matrix) -> Matrix:
        return self._transposed(self._times(X))


class SparseRows(ProductRows):
    """Rows of a CSR array."""

    def _prepare(self) -> None:
        A = self.A if self.A.dtype == np.float64 else self.A.astype(np.float64)
        if self.active is not None:
            A = A[:, self.active]
        if self.exponents is not None or self.root_weights is not None:
            data = A.data.copy()
            if self.exponents is not None:
                data = np.ldexp(data, self.exponents[A.indices])
            if self.root_weights is not None:
                data *= np.repeat(self.root_weights, np.diff(A.indptr))
            A = type(A)((data, A.indices, A.indptr), shape=A.shape)
        self._scaled, self._adjoint = A, A.T
        # Sums over some thousands of rows at a time: see `CarefulSum`.
        step = max(-(-self.n // _MAX_CHUNKS), _TILE_ROWS)
        self._chunks = []
        for i in range(0, self.n, step):
            pointers = A.indptr[i : i + step + 1]
            first, last = pointers[0], pointers[-1]
            parts = A.data[first:last], A.indices[first:last], pointers - first
            chunk = type(A)(parts, shape=(len(pointers) - 1, self.d))
            self._chunks.append((i, i + step, chunk.T))

    def _times(self, X: Matrix) -> Matrix:
        return self._scaled @ X

    def _transposed(self, R: Matrix) -> Matrix:
        total = CarefulSum(compensated=True)
        for first, last, adjoint in self._chunks:
            total.add([adjoint @ R[first:last]])
        return total.value()[0]

    def toarray(self) -> Matrix:
        """The unscaled A as a dense array."""
        return self.A.toarray().astype(np.float64, copy=False)

    def _gram(self) -> tuple[Matrix, Matrix]:
        if self._scaled.nnz < _DENSE_SHARE * self.n * self.d:
            return (self._adjoint @ self._scaled).toarray(), self._transposed(self.B)
        G = np.zeros((self.d, self.d))
        for i in range(0, self.n, _TILE_ROWS):
            tile = self._scaled[i : i + _TILE_ROWS].toarray()
            G += tile.T @ tile
        return G, self._transposed(self.B)

    def _gram_after(self, P: Matrix, triangular: bool) -> tuple[Matrix, Matrix]:
        r = P.shape[1]
        G, C = np.zeros((r, r)), np.zeros((r, self.k))
        for i in range(0, self.n, _TILE_ROWS):
            Y = self._scaled[i : i + _TILE_ROWS] @ P
            G += Y.T @ Y
            C += Y.T @ self.B[i : i + _TILE_ROWS]
        return G, C

    def _column_maxima(self) -> Matrix:
        data = np.abs(self.A.data)
        if self.root_weights is not None:
            data = data * np.repeat(self.root_weights, np.diff(self.A.indptr))
        top = np.zeros(self.n_columns)
        np.maximum.at(top, self.A.indices, data)
        return top

    def _require_finite(self) -> None:
        require_finite(self.A.data, "A")

    def _sketch(self, S: Sketch, with_b: bool) -> tuple[Matrix, Matrix | None]:
        A = self.A if self.A.dtype == np.float64 else self.A.astype(np.float64)
        return S._sketch(A, self._unweighted if with_b else None, row_scale=self.root_weights)


class OperatorRows(ProductRows):
    """Rows of a SciPy LinearOperator; its columns are never scaled."""

    scalable = False

    def _times(self, X: Matrix) -> Matrix:
        return self._weighted(_product(self.A.matmat, X, (self.n, X.shape[1])))

    def _transposed(self, R: Matrix) -> Matrix:
        try:
            return _product(self.A.rmatmat, self._weighted(R), (self.d, R.shape[1]))
        except (NotImplementedError, TypeError) as error:
            raise TypeError(
                f"A must have a product with its transpose (rmatvec or rmatmat), got {error!r}"
            ) from error

    def _weighted(self, R: Matrix) -> Matrix:
        return R if self.root_weights is None else self.root_weights[:, None] * R

    def toarray(self) -> Matrix:
        """The unscaled A as a dense array, by d products."""
        return _product(self.A.matmat, np.eye(self.d), (self.n, self.d))

    def _gram(self) -> tuple[Matrix, Matrix]:
        return self._gram_after(np.eye(self.d), False)

    def _gram_after(self, P: Matrix, triangular: bool) -> tuple[Matrix, Matrix]:
        G = np.empty((P.shape[1], P.shape[1]))
        for j in range(0, P.shape[1], _OPERATOR_COLUMNS):
            columns = P[:, j : j + _OPERATOR_COLUMNS]
            G[:, j : j + _OPERATOR_COLUMNS] = P.T @ self._normal_product(columns)
        return 0.5 * (G + G.T), P.T @ self._transposed(self.B)

    def require_range(self, norms: NDArray[Any]) -> None:
        """Refuse column norms whose squares leave the range of float64; zeros are welcome."""
        if not np.isfinite(norms).all():
            raise ValueError("A must be finite, got NaN or inf in a product with the operator")
        sizes = norms[norms > 0.0]
        if sizes.size and not (sizes.min() > 1e-140 and sizes.max() < 1e140):
            raise ValueError(
                "A must have columns of norms between 1e-140 and 1e140 if it is a LinearOperator, "
                f"got {sizes.min():.1e} to {sizes.max():.1e}"
            )

    def _sketch(self, S: Sketch, with_b: bool) -> tuple[Matrix, Matrix | None]:
        if isinstance(self.A, RowsOnDemand):
            SA = S._sketch(self.A, row_scale=self.root_weights)[0].astype(np.float64, copy=False)
            return SA, S._sketch(self.B)[0] if with_b else None
        m = S.shape[0]
        SA = np.empty((m, self.d))
        for j in range(0, m, _OPERATOR_COLUMNS):
            unit = np.eye(m, min(_OPERATOR_COLUMNS, m - j), -j)
            SA[j : j + unit.shape[1]] = self._transposed(S._adjoint_product(unit, 0, self.n)).T
        return SA, S._sketch(self.B)[0] if with_b else None


def _product(multiply: Any, X: Matrix, shape: tuple[int, int]) -> Matrix:
    """A product with an operator, checked: it is code of the caller."""
    Y = np.asarray(multiply(X))
    if Y.shape != shape or Y.dtype.kind not in "biuf":
        raise ValueError(f"A must map arrays to real arrays of shape {shape}, got {Y.shape}")
    if not np.isfinite(Y).all():
        raise ValueError("A must be finite, got NaN or inf in a product with the operator")
    return Y.astype(np.float64, copy=False)


def is_operator(A: Any) -> bool:
    """Whether `A` is a LinearOperator."""
    return isinstance(A, LinearOperator)
