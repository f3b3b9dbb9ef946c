"""A matrix that is known by its products, or that generates its rows on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla._tall.passes import ProductPasses
from randla._typing import Array

#: Columns that are sent through an operator at a time.
BLOCK_COLUMNS = 64


class FrozenOperator(LinearOperator):
    """A `LinearOperator` with frozen fields, whose attributes SciPy's constructor cannot set."""

    ndim = 2
    #: The array namespace of SciPy 1.18 and later.
    _xp: ClassVar[Any] = getattr(aslinearoperator(np.empty((1, 1))), "_xp", None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class RowsOnDemand(FrozenOperator, ABC):
    """An operand that is too large to be formed and generates blocks of its rows on demand."""

    @abstractmethod
    def row_block(self, first: int, last: int) -> NDArray[Any]:
        """Rows first..last as an array."""


class OperatorMatrix(ProductPasses):
    """A SciPy LinearOperator; its columns are never scaled."""

    scalable = False

    def __init__(self, A: LinearOperator) -> None:
        self.A, (self.n, self.d) = A, A.shape

    def image(self, X: Array) -> Array:
        return self._weighted(product(self.A, X))

    def transposed(self, R: Array) -> Array:
        return adjoint_product(self.A, self._weighted(R))

    def _weighted(self, R: Array) -> Array:
        return R if self.row_scale is None else self.row_scale[:, None] * R

    def toarray(self) -> Array:
        """The unscaled A as a dense array, by d products."""
        return product(self.A, np.eye(self.d))

    def normal_equations(
        self, B: Array, P: Array | None, *, triangular: bool, single: bool
    ) -> tuple[Array, Array]:
        P = np.eye(self.d) if P is None else P
        G = np.empty((P.shape[1], P.shape[1]))
        for j in range(0, P.shape[1], BLOCK_COLUMNS):
            columns = P[:, j : j + BLOCK_COLUMNS]  # (d, 64)
            G[:, j : j + BLOCK_COLUMNS] = P.T @ self.normal_product(columns)
        return 0.5 * (G + G.T), P.T @ self.transposed(B)  # symmetric but for rounding

    def require_range(self, norms: NDArray[Any]) -> bool:
        """Refuse column norms whose squares leave the range of float64; zeros are allowed."""
        if not np.isfinite(norms).all():
            raise ValueError("A must be finite, got NaN or inf in a product with the operator")
        positive = norms[norms > 0.0]
        if positive.size and not (positive.min() > 1e-140 and positive.max() < 1e140):
            raise ValueError(
                "A must have columns of norms between 1e-140 and 1e140 if it is a LinearOperator, "
                f"got {positive.min():.1e} to {positive.max():.1e}"
            )
        return True

    def sketch_with(self, S: Any, B: Array | None) -> tuple[Array, Array | None]:
        SB = None if B is None else S._sketch(B, row_scale=self.row_scale)[0]  # (m, k)
        if isinstance(self.A, RowsOnDemand):
            SA = S._sketch(self.A, row_scale=self.row_scale)[0].astype(np.float64, copy=False)
            return SA, SB
        m = S.shape[0]
        SA = np.empty((m, self.d))
        for j in range(0, m, BLOCK_COLUMNS):
            unit = np.eye(m, min(BLOCK_COLUMNS, m - j), -j)  # columns j.. of the identity
            StE = S._adjoint_product(unit, 0, self.n)
            SA[j : j + unit.shape[1]] = self.transposed(StE).T  # (A'S'E)' = E'S A
        return SA, SB


def product(A: LinearOperator, X: Array) -> Array:
    """``A X`` in float64, some columns at a time. What a user's operator returns is checked."""
    return _by_blocks(A.matmat, X, A.shape[0])


def adjoint_product(A: LinearOperator, Y: Array) -> Array:
    """``A'Y``, likewise."""
    try:
        return _by_blocks(A.rmatmat, Y, A.shape[1])
    except (NotImplementedError, TypeError) as error:
        raise TypeError(
            f"A must have a product with its transpose (rmatvec or rmatmat), got {error!r}"
        ) from error


def _by_blocks(multiply: Any, X: Array, n_rows: int) -> Array:
    if X.shape[1] <= BLOCK_COLUMNS:
        return _checked(multiply, X, n_rows)
    out = np.empty((n_rows, X.shape[1]), order="F")
    for j in range(0, X.shape[1], BLOCK_COLUMNS):
        columns = slice(j, j + BLOCK_COLUMNS)
        out[:, columns] = _checked(multiply, X[:, columns], n_rows)
    return out


def _checked(multiply: Any, X: Array, n_rows: int) -> Array:
    shape = n_rows, X.shape[1]
    try:
        Y = np.asarray(multiply(np.ascontiguousarray(X)))  # the order that sparse products like
    except ValueError as error:
        if "cannot reshape" not in str(error):  # by SciPy, a single column
            raise
        raise ValueError(f"A must map arrays to arrays of shape {shape}, got: {error}") from error
    if Y.shape != shape or Y.dtype.kind not in "biuf":
        raise ValueError(
            f"A must map arrays to real arrays of shape {shape}, got dtype {Y.dtype}, shape "
            f"{Y.shape}"
        )
    if not np.isfinite(Y).all():
        raise ValueError("A must be finite, got NaN or inf in a product with the operator")
    return Y.astype(np.float64, copy=False)
