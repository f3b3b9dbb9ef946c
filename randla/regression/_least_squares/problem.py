"""The data of `lstsq` as one problem: dense, sparse, an operator or a Kronecker product."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from randla._parallel import single_threaded_blas
from randla._tall.dense import DenseRows
from randla._tall.operator import OperatorRows, SparseRows, is_operator
from randla._tall.problem import Rows
from randla._typing import Array
from randla._validation import as_matrix, as_rhs, as_weights, read_only
from randla.regression._least_squares.options import DEFAULT, LstsqOptions
from randla.sketching._kronecker import KroneckerProduct

#: Entries up to which a sparse matrix or an operator is solved as a dense matrix.
MAX_DENSE_ENTRIES = 1 << 22
#: Ratio of the scales of two columns of a Kronecker factor up to which its singular values will do.
_LARGEST_SPREAD = 1e9
#: BLAS is held at one thread from this many entries, which pay for the call, up to this many
#: columns, beyond which the factorisations gain from several threads.
_MIN_SINGLE, _MAX_SINGLE = 4000, 1500


def as_operand(A: Any) -> Any:
    """The matrix, sparse matrix or operator; NaN and inf are found later, on the way."""
    if not is_operator(A):
        A = as_matrix(A, finite=False, sparse=True)
    if 0 in A.shape:
        raise ValueError(f"A must have at least one row and one column, got shape {A.shape}")
    return A


def as_root_weights(weights: Any, n: int) -> Array | None:
    """Square roots of the weights; None if all weights are one."""
    if weights is None:
        return None
    return read_only(np.sqrt(as_weights(weights, n, "weights")))


def as_problem(
    A: Any, b: Any, root_weights: Array | None, ridge: float, options: LstsqOptions = DEFAULT
) -> tuple[Rows, bool]:
    """The problem of an operand that was read by `as_operand`, and whether b is a vector."""
    n, d = A.shape
    rhs = as_rhs(b, n, finite=False)
    if rhs.size == 0:
        raise ValueError(f"b must have at least one column, got shape {rhs.shape}")
    B: Any = rhs if rhs.dtype == np.float64 else rhs.astype(np.float64)
    B = B.reshape(n, -1)
    if not isinstance(A, np.ndarray):
        kind = OperatorRows if is_operator(A) else SparseRows
        is_small = options.method == "auto" and not options.wants_one_sketch
        is_small &= n * d < MAX_DENSE_ENTRIES  # 32 MB
        if options.method != "lapack" and (_splits(A, root_weights, ridge) or not is_small):
            return kind(A, B, root_weights, ridge), rhs.ndim == 1
        A = kind(A, B).toarray()  # (n, d), float64
    return DenseRows(A, B, root_weights, ridge), rhs.ndim == 1


def is_structured(rows: Rows) -> bool:
    """Whether the problem splits into one problem for each factor of a Kronecker product."""
    return _splits(rows.A, rows.root_weights, rows.ridge)


def _splits(A: Any, root_weights: Array | None, ridge: float) -> bool:
    if not isinstance(A, KroneckerProduct) or root_weights is not None:
        return False
    # A ridge asks for the singular values of the factors, and small ones that belong to small
    # columns have no digits left beside large ones.
    return ridge == 0.0 or max(_spread(A.A1), _spread(A.A2)) < _LARGEST_SPREAD


def _spread(A: Array) -> float:
    """Ratio of the largest to the least maximum norm of a column; columns of zeros do not count."""
    norms = np.abs(A).max(axis=0).astype(np.float64)
    return float(norms.max() / norms.min(where=norms > 0.0, initial=np.inf))


def single_blas(shape: tuple[int, int]) -> AbstractContextManager[None]:
    """Hold BLAS at one thread where its threads cost more than they gain.

    The passes over A run on threads of our own. A small factor, or one inner product of the length
    of b, would wake those of BLAS, which then spin for some time on the cores that a pass needs
    (measured: 1.2 times the time of a whole solution).
    """
    n, d = shape
    if n * d <= _MIN_SINGLE or d > _MAX_SINGLE:
        return nullcontext()
    return single_threaded_blas()
