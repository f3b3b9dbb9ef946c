"""Sketches of Dask arrays: the sum over the blocks of ``S.columns(i, j) @ block``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from randla._tall import dask_arrays
from randla._validation import as_array, as_matrix, is_sparse
from randla.sketching._operators import Sketch


def product(S: Sketch, A: Any) -> Any:
    """``S @ A`` as a lazy Dask array of one chunk, from one pass over A.

    Each task holds a block of A and an (m, d) sketch of it.
    """
    A = dask_arrays.as_rows(A, ndim=(1, 2))
    S._require_rows(A, "A")
    columns = A[:, None] if A.ndim == 1 else A
    dtype = np.dtype(np.float32 if A.dtype == np.float32 else np.float64)
    shape = S.shape[0], columns.shape[1]
    SA = dask_arrays.join_rows(_sketch_block, columns, shape=shape, dtype=dtype, S=S)
    return SA[:, 0] if A.ndim == 1 else SA


def _sketch_block(first: int, block: Any, S: Sketch) -> Any:
    return prepared(S)._sketch(as_block(block), first_row=first)[0]


def as_block(block: Any, name: str = "A") -> Any:
    """A block as a dense or CSR matrix; NaN and inf are found later, on the way."""
    if is_sparse(block):
        return as_matrix(block, name, finite=False, sparse=True)
    return as_array(block, name, finite=False)


class _Token:
    """A sketch that is hashed and compared by its parameters and its key."""

    def __init__(self, S: Sketch) -> None:
        self.S, self.key = S, S.__dask_tokenize__()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Token) and self.key == other.key


def prepared(S: Sketch) -> Sketch:
    """An equal sketch that keeps what it has drawn from task to task: a task unpickles its own."""
    return _remembered(_Token(S))


@lru_cache(maxsize=4)
def _remembered(token: _Token) -> Sketch:
    return token.S
