"""A square matrix that is known by its products with vectors, which are counted.

The matrix is an array, sparse, a SciPy LinearOperator or a Dask array. Products are float64 and
checked for NaN and inf; they are divided by a power of two, `scale`, so that the callers' squares
stay in range. It is that of the entries where these can be read, else of the first product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import aslinearoperator

from randla._scaling import power_of_two_scale
from randla._typing import Array
from randla._validation import are_in_memory, as_matrix, is_sparse, require_finite
from randla.spectral._matrix import open_matrix
from randla.spectral._matrix.open import is_operator as is_operator

#: Vectors that are sent through an operator at a time.
_COLUMNS = 64


def open_square(A: Any) -> SquareMatrix:
    """`A` with its products, if it is a square matrix of at least one row."""
    if is_operator(A):
        return OperatorProducts(A)
    return ReadableProducts(as_readable(A))


def as_readable(A: Any) -> Any:
    """A square array, CSR matrix or Dask array of whole rows."""
    if are_in_memory(A):
        A = as_matrix(A, sparse=True)
    else:
        from randla._tall import dask_arrays

        A = dask_arrays.as_rows(A)
    _require_square(A.shape)
    return A


def read_diagonal(A: Any) -> Array:
    """The diagonal of what `as_readable` returned."""
    if is_sparse(A) or are_in_memory(A):
        return np.asarray(A.diagonal(), dtype=np.float64)
    from randla._tall import dask_arrays

    return np.asarray(dask_arrays.compute(dask_arrays.map_rows(_block_diagonal, A)))


def _block_diagonal(first: int, block: Any) -> Array:
    block = as_matrix(block, sparse=True)
    return np.asarray(block.diagonal(first), dtype=np.float64)


def _require_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or 0 in shape:
        raise ValueError(f"A must be square and not empty, got shape {shape}")


class SquareMatrix(ABC):
    """The products of a square matrix.

    Attributes
    ----------
    n : int
        Rows and columns.
    scale : float
        The power of two that products are divided by; known after the first product.
    n_products : int
        Vectors that were multiplied by the matrix or its transpose.
    eps : float
        Relative rounding error of a product: that of the dtype of the matrix.
    """

    n: int
    scale: float = 1.0
    n_products: int = 0
    eps: float

    @abstractmethod
    def times(self, X: Array) -> Array:
        """``A X / scale``, (n, s)."""

    @abstractmethod
    def transposed_times(self, X: Array) -> Array:
        """``A'X / scale``, (n, s)."""

    def __init__(self, n: int, dtype: Any) -> None:
        self.n = n
        self.eps = float(np.finfo(dtype if dtype == np.float32 else np.float64).eps)


class ReadableProducts(SquareMatrix):
    """Products of a matrix whose entries can be read."""

    def __init__(self, A: Any) -> None:
        super().__init__(A.shape[0], A.dtype)
        self._matrix = open_matrix(A)

    def times(self, X: Array) -> Array:
        return self._counted(self._matrix.times, X)

    def transposed_times(self, X: Array) -> Array:
        return self._counted(self._matrix.transposed_times, X)

    def _counted(self, multiply: Callable[[Array], Array], X: Array) -> Array:
        self.n_products += X.shape[1]
        Y = multiply(X)
        self.scale = self._matrix.scale
        require_finite(Y, "A")
        return Y


class OperatorProducts(SquareMatrix):
    """Products of a LinearOperator, or of anything that SciPy can make one of.

    They are divided by the power of two of the first one, if they are to be `scaled`.
    """

    def __init__(self, A: Any, *, scaled: bool = True) -> None:
        self.A = aslinearoperator(A)
        _require_square(self.A.shape)
        dtype = np.dtype(self.A.dtype)
        if dtype.kind not in "biuf":
            kind = "complex numbers" if dtype.kind == "c" else f"dtype {dtype}"
            raise TypeError(f"A must hold real numbers, got {kind}")
        super().__init__(self.A.shape[0], dtype)
        self._has_scale = not scaled

    def times(self, X: Array) -> Array:
        return self._products(self.A.matmat, X)

    def transposed_times(self, X: Array) -> Array:
        try:
            return self._products(self.A.rmatmat, X)
        except (NotImplementedError, TypeError) as error:
            raise TypeError(
                "A must have a product with its transpose (rmatvec or rmatmat), or be said to be "
                f"symmetric, got {error!r}"
            ) from error

    def _products(self, multiply: Callable[[Array], Any], X: Array) -> Array:
        out = np.empty(X.shape, order="F")
        for j in range(0, X.shape[1], _COLUMNS):
            # A copy, in C order, which is what sparse products are fastest for.
            block = np.array(X[:, j : j + _COLUMNS], order="C")
            Y = np.asarray(multiply(block))
            self.n_products += block.shape[1]
            if Y.shape != block.shape or Y.dtype.kind not in "biuf":
                raise ValueError(
                    f"A must map arrays to real arrays of their shape, {block.shape}, got "
                    f"dtype {Y.dtype}, shape {Y.shape}"
                )
            if not np.isfinite(Y).all():
                raise ValueError("A must be finite, got NaN or inf in a product with the operator")
            self._set_scale(Y)
            np.divide(Y, self.scale, out=out[:, j : j + _COLUMNS])
        return out

    def _set_scale(self, Y: Any) -> None:
        if not self._has_scale:
            largest = float(np.abs(Y).max())
            self.scale = float(1.0 / power_of_two_scale(largest))
            self._has_scale = largest > 0.0  # a zero product says nothing of the next one


def diagonal_by_products(A: Any) -> Array:
    """The diagonal of an operator by n products with unit vectors."""
    if not is_operator(A):
        return read_diagonal(A)
    matrix = OperatorProducts(A, scaled=False)
    starts = range(0, matrix.n, _COLUMNS)
    blocks = (np.eye(matrix.n, min(_COLUMNS, matrix.n - j), -j) for j in starts)
    products = (matrix.times(E).diagonal(-j) for j, E in zip(starts, blocks, strict=True))
    return np.concatenate(list(products))


def require_psd(X: Array, Y: Array, eps: float) -> Array:
    """``X'Y`` for ``Y = A X``, unless it shows that A is not symmetric and positive semidefinite.

    Raises ValueError where a form ``x'Ax`` is below zero by more than its rounding error, or where
    ``X'AX`` is not symmetric.
    """
    G = X.T @ Y
    forms = G.diagonal()
    sizes = np.sqrt(np.einsum("ij,ij->j", X, X) * np.einsum("ij,ij->j", Y, Y))  # |x| |Ax|
    worst = int(np.argmin(forms + 100 * eps * sizes))
    if forms[worst] < -100 * eps * sizes[worst]:
        raise ValueError(
            "A must be positive semidefinite with psd=True, got x'Ax = "
            f"{forms[worst] / max(sizes[worst], 1e-300):.2g} |x| |Ax| for a test vector x: pass "
            "psd=False"
        )
    require_symmetric(G, "A must be symmetric with psd=True", advice=": pass psd=False")
    return G


def require_symmetric(
    G: Array, expected: str = "A must be symmetric", asymmetry: float = 1e-3, advice: str = ""
) -> None:
    """Raise ValueError where ``G = X'AX`` is not symmetric.

    Within `asymmetry`, since products may come from an iterative solver.
    """
    gap, largest = np.abs(G - G.T).max(initial=0.0), np.abs(G).max(initial=0.0)
    if gap > asymmetry * largest:
        raise ValueError(
            f"{expected}, got x'Ay and y'Ax that differ by {gap / largest:.2g} of the largest for "
            f"test vectors x, y{advice}"
        )
