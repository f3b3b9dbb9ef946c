"""A block of rows in memory, dense or sparse."""

from typing import Any

import numpy as np

from randla._tall.dense import DenseMatrix
from randla._tall.memory import MemoryMatrix
from randla._tall.sparse import SparseMatrix
from randla._validation import as_array, as_matrix, is_sparse


def open_block(block: Any, ridge: float = 0.0, first: int = 0) -> MemoryMatrix:
    """The result of `as_matrix` or `as_block` with its passes, from row `first` of a whole on."""
    kind = DenseMatrix if isinstance(block, np.ndarray) else SparseMatrix
    return kind(block, ridge, first)


def as_block(block: Any) -> Any:
    """A block as a dense or CSR matrix; NaN and inf are found later, in the passes."""
    if is_sparse(block):
        return as_matrix(block, finite=False, sparse=True)
    return as_array(block, "A", finite=False)
