"""The data of `lstsq` as one problem: dense, sparse, an operator or a Kronecker product."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from randla._parallel import single_threaded_blas
from randla._tall.dense import DenseMatrix
from randla._tall.passes import LeastSquaresMatrix
from randla._tall.problem import LazyProblem, ScaledProblem
from randla._typing import Array
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._solvers.kronecker import splits
from randla.regression._solvers.rank import Exponents

#: Entries up to which a sparse matrix or an operator is solved as a dense matrix.
MAX_DENSE_ENTRIES = 1 << 22
#: BLAS is limited to one thread from this many entries, where the call pays off, up to this many
#: columns, above which the factors are worth several threads.
_MIN_SINGLE, _MAX_SINGLE = 4000, 1500


def as_root_weights(tall: LeastSquaresMatrix, weights: Any) -> Any:
    """Square roots of the weights, lazy where A is; None if all weights are one."""
    if weights is None:
        return None
    return np.sqrt(tall.vector(weights, "weights", positive_sum=True))


def as_problem(
    tall: LeastSquaresMatrix, b: Any, root_weights: Any, options: LstsqOptions
) -> tuple[ScaledProblem, bool]:
    """The problem, and whether b is a vector."""
    (n, d), ridge = tall.A.shape, options.ridge
    B = tall.right_hand_sides(b)
    if tall.lazy:
        if n < d:
            raise ValueError(
                f"A must have at least as many rows as columns if it is a Dask array, got shape "
                f"{(n, d)}: use A.compute()"
            )
        return LazyProblem(tall, B, root_weights, ridge), B.ndim == 1
    if not isinstance(tall, DenseMatrix):
        is_small = options.method == "auto" and not options.wants_one_sketch
        is_small &= n * d < MAX_DENSE_ENTRIES  # 32 MB
        keeps = splits(tall.A, root_weights, ridge) or not is_small
        if options.method == "lapack" or not keeps:
            tall = DenseMatrix(tall.toarray())  # (n, d), float64
    return ScaledProblem(tall, B.reshape(n, -1), root_weights, ridge), B.ndim == 1


def single_blas(tall: LeastSquaresMatrix) -> AbstractContextManager[None]:
    """Limit BLAS to one thread where its threads cost more than they gain.

    The passes over A run on our own threads. A small factor, or one inner product of the length of
    b, would wake the threads of BLAS, which then spin for some time on the cores that a pass needs
    (measured: 1.2 times the time of a whole solution).
    """
    n, d = tall.A.shape
    if tall.lazy or n * d <= _MIN_SINGLE or d > _MAX_SINGLE:
        return nullcontext()
    return single_threaded_blas()


def shaped(
    rows: ScaledProblem, Y: Array, exponents: Exponents | None, one_dimensional: bool
) -> Array:
    """Coefficients in the shape that b implies: (d,) or (d, k)."""
    X = rows.unscale(Y, exponents)
    if X is not Y and not np.isfinite(X).all():
        raise ValueError(
            "A must not be so small compared with b that coefficients exceed the largest float64"
        )
    return X[:, 0] if one_dimensional else np.ascontiguousarray(X)


def norms_of(rows: ScaledProblem, squares: Array, one_dimensional: bool) -> Any:
    """Norms in the user's units: a number, or (k,)."""
    norms = rows.unscale_norm(np.sqrt(squares))
    return float(norms[0]) if one_dimensional else norms
