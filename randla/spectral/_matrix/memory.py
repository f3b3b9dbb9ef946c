"""A matrix, or a block of rows of one, in memory."""

from typing import Any

import numpy as np

from randla.spectral._matrix.dense import DenseMatrix
from randla.spectral._matrix.sparse import SparseMatrix


def open_in_memory(A: Any, center: bool, **known: Any) -> DenseMatrix | SparseMatrix:
    """What `as_matrix` or `as_block` returned; of a block the scale and the mean may be known."""
    kind = DenseMatrix if isinstance(A, np.ndarray) else SparseMatrix
    return kind(A, center, **known)
