"""The entry point of functions of a matrix: is A dense, sparse, an operator or a Dask array?

`randla._validation` recognizes Dask arrays. Clouds of points, of which there are two, are opened in
`randla.transport._sliced`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from randla._tall.base import TallMatrix
from randla._tall.blocks import as_block, open_block
from randla._tall.operator import OperatorMatrix
from randla._tall.passes import LeastSquaresMatrix
from randla._validation import are_in_memory, as_array, as_matrix, is_sparse, require_rhs_shape


def open_operand(A: Any) -> LeastSquaresMatrix:
    """`A` with the passes of least squares; a `LinearOperator` is also accepted."""
    if not isinstance(A, LinearOperator):
        return open_tall(A)  # type: ignore[return-value]
    if 0 in A.shape:
        raise ValueError(f"A must have rows and columns, got shape {A.shape}")
    return OperatorMatrix(A)  # known by its products


def open_tall(
    A: Any, name: str = "A", *, ridge: float = 0.0, finite: bool = False, dask: bool = True
) -> TallMatrix:
    """`A` with its passes; it must have at least one row and one column.

    NaN and inf are found later, in the passes, unless `finite` asks for a check now (in memory).
    Without `dask` Dask arrays are refused.
    """
    if dask and not are_in_memory(A):
        from randla._tall.dask import DaskMatrix

        return DaskMatrix(A, ridge)
    if isinstance(A, LinearOperator):
        kind = type(A).__name__
        raise TypeError(f"{name} must be a matrix whose rows can be read, got a {kind}")
    A = as_matrix(A, name, finite=finite, sparse=True)  # a read-only array, or CSR
    if 0 in A.shape:
        raise ValueError(f"{name} must have rows and columns, got shape {A.shape}")
    return open_block(A, ridge)


def sketch_lazily(S: Any, A: Any) -> Any:
    """``S @ A`` for a Dask array, lazy; None for data in memory."""
    if are_in_memory(A):
        return None
    from randla._tall.dask import sketch_product

    return sketch_product(S, A)


def transposed(A: Any) -> Any:
    """``A.T``, for any kind of A."""
    return A.T if is_sparse(A) or not are_in_memory(A) else as_array(A, "A", finite=False).T


def take_rows(A: Any, rows: NDArray[np.int64], n: int) -> Any:
    """Rows of a matrix or right-hand side of n rows, dense or in CSR, in memory.

    The entries are float64, or float32 as in A.
    """
    if not are_in_memory(A):
        from randla._tall import dask_arrays

        A = dask_arrays.as_rows(A, ndim=(1, 2))  # blocks of whole rows
        require_rhs_shape(A.shape, n, "A", of="the sampled matrix")
        return as_block(dask_arrays.take_rows(A, rows))
    A = as_matrix(A, sparse=True) if is_sparse(A) else as_array(A, "A")
    require_rhs_shape(A.shape, n, "A", of="the sampled matrix")
    return A[rows]
