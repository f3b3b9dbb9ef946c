"""The door of the spectral family: is A dense, sparse, an operator or a Dask array?"""

import operator
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla._validation import are_in_memory, as_matrix, is_sparse
from randla.spectral._matrix.base import SpectralMatrix
from randla.spectral._matrix.operator import OperatorMatrix
from randla.spectral._matrix.sparse import open_in_memory


def open_matrix(A: Any, *, center: bool = False, has_adjoint: bool = True) -> SpectralMatrix:
    """`A` with its products: an array, SciPy sparse matrix, operator or Dask array.

    NaN and inf are found with the first product. Of an operator the adjoint is tried at once,
    unless it may be missing.
    """
    if is_operator(A):
        A = as_operator(A)
        require_entries(A.shape)
        return OperatorMatrix(A, center, has_adjoint=has_adjoint)
    if not are_in_memory(A):
        from randla.spectral._matrix.dask import DaskMatrix

        return DaskMatrix(A, center)
    A = as_matrix(A, finite=False, sparse=True)
    require_entries(A.shape)
    return open_in_memory(A, center)


def is_operator(A: Any) -> bool:
    """Whether only products with `A` are known: of a LinearOperator, or what SciPy makes one of."""
    if isinstance(A, LinearOperator):
        return True
    has_entries = isinstance(A, np.ndarray) or is_sparse(A) or not are_in_memory(A)
    return not has_entries and hasattr(A, "shape") and hasattr(A, "matvec")


def as_operator(A: Any) -> LinearOperator:
    """A LinearOperator of what `is_operator`; SciPy may try a product to learn its dtype."""
    if isinstance(A, LinearOperator):
        return A
    try:
        m, n = (operator.index(size) for size in A.shape)
    except (TypeError, ValueError) as error:
        expected = "a shape of two integers, as only its products are known"
        raise TypeError(f"A must have {expected}, got shape {A.shape!r}") from error
    if min(m, n) < 0:
        raise ValueError(f"A must have rows and columns, got shape {A.shape}")
    try:
        return aslinearoperator(A)
    except ValueError as error:
        if "cannot reshape" not in str(error):
            raise
        raise ValueError(
            f"A must map a vector of {n} numbers to one of shape ({m},), got: {error}"
        ) from error


def require_entries(shape: tuple[int, int]) -> None:
    """Raise ValueError for a matrix without rows or columns."""
    if 0 in shape:
        raise ValueError(f"A must have rows and columns, got shape {shape}")
