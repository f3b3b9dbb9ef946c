"""A square matrix that is known by its products with vectors, which are counted.

The matrix is an array, sparse, a SciPy LinearOperator or a Dask array. Products are float64 and
checked for NaN and inf; they are divided by a power of two where squares would leave the range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from randla._tall.operator import BLOCK_COLUMNS
from randla._typing import Array
from randla._validation import are_in_memory, as_matrix, is_sparse, require_finite
from randla.spectral._matrix import open_matrix
from randla.spectral._matrix.open import as_operator, is_operator as is_operator
from randla.spectral._matrix.operator import OperatorMatrix


def as_readable(A: Any) -> Any:
    """A square array, CSR matrix, Dask array of whole rows, or operator."""
    if is_operator(A):
        A = as_operator(A)
    elif are_in_memory(A):
        A = as_matrix(A, sparse=True)
    else:
        from randla._tall import dask_arrays

        A = dask_arrays.as_rows(A)
    require_square(A.shape)
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


def require_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or 0 in shape:
        raise ValueError(f"A must be square and not empty, got shape {shape}")


class SquareMatrix:
    """A square matrix, as `as_readable` returned it, and its products.

    Attributes
    ----------
    n : int
        Rows and columns.
    n_products : int
        Vectors that were multiplied by the matrix or its transpose.
    eps : float
        Relative rounding error of a product: that of the dtype of the matrix.
    """

    def __init__(self, A: Any) -> None:
        self._matrix = open_matrix(A, has_adjoint=False)
        self.n, self.n_products = A.shape[0], 0
        single = self._matrix.dtype == np.float32
        self.eps = float(np.finfo(np.float32 if single else np.float64).eps)

    @property
    def scale(self) -> float:
        """The power of two that products are divided by; known after the first product."""
        return self._matrix.scale

    def times(self, X: Array) -> Array:
        """``A X / scale``, (n, s)."""
        return self._counted(self._matrix.times, X)

    def transposed_times(self, X: Array) -> Array:
        """``A'X / scale``, (n, s)."""
        return self._counted(self._matrix.transposed_times, X)

    def _counted(self, multiply: Callable[[Array], Array], X: Array) -> Array:
        self.n_products += X.shape[1]
        Y = multiply(X)
        if self._matrix.is_read:  # what an operator returns has been looked at
            require_finite(Y, "A")
        return Y


def diagonal_by_products(A: Any) -> Array:
    """The diagonal of an operator by n products with unit vectors."""
    if not is_operator(A):
        return read_diagonal(A)
    n, parts = A.shape[0], []
    matrix = OperatorMatrix(A, has_adjoint=False, scale=1.0)  # entries of any size are kept
    for j in range(0, n, BLOCK_COLUMNS):
        unit_vectors = np.eye(n, min(BLOCK_COLUMNS, n - j), -j)
        parts.append(matrix.times(unit_vectors).diagonal(-j))
    return np.concatenate(parts)


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
            f"{forms[worst] / max(sizes[worst], 1e-300):.2g} |x| |Ax| for a random vector x: pass "
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
            f"{expected}, got x'Ay and y'Ax that differ by up to {gap / largest:.2g} times the "
            f"largest of them, for random vectors x and y{advice}"
        )
