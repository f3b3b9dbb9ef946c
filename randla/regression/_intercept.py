r"""Least squares with an unpenalized intercept: :math:`|W^{1/2} (A x + c - b)|_2`, shortest x.

A ridge is a penalty on x alone.

If the rank is deficient, many x are equally good, and the shortest is required, for any c. It is
the minimum-norm solution of the centered problem. A dense A is centered, and so is a small sparse
one. Centering would fill a large one: it gets a column of ones, and if that lacks rank, only its
products are centered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack
from scipy.sparse.linalg import LinearOperator

from randla._tall.operator import RowsOnDemand
from randla._typing import Array
from randla._validation import as_matrix, as_weights, is_sparse
from randla.regression._least_squares.lstsq import lstsq
from randla.regression._least_squares.problem import MAX_DENSE_ENTRIES
from randla.regression._least_squares.result import LstsqResult
from randla.regression._solvers.rank import EPS, NOISE

#: A column that varies by less, relative to its mean, is constant up to rounding errors.
_CONSTANT = 16.0 * EPS
#: Powers of two between a constant column and the largest entry of A, such that the contribution of
#: its coefficient to the norm of the solution is below rounding.
_DOMINANT = 100
#: Why there is no `inference` for these solutions.
_CENTRED = (
    "inference must be of a fit with the intercept among its columns, unlike that of an estimator: "
    "use lstsq for A with a column of ones, or randla.formula"
)


@dataclass(frozen=True)
class WithIntercept:
    """A fit, with an intercept for each column of b, and its error if it is from a sketch."""

    result: LstsqResult
    intercept: Any
    intercept_error: Any


def lstsq_with_intercept(A: Any, b: Any, weights: Any, **options: Any) -> WithIntercept:
    """Fit A, dense or sparse, and finite; the `options` are those of `lstsq`."""
    A = as_matrix(A, finite=False, sparse=True)
    if weights is None:
        share = np.full(A.shape[0], 1.0 / A.shape[0])
    else:
        kept = as_weights(weights, A.shape[0], "weights") > 0.0
        if not kept.all():  # rows without weight do not count in a constant column either
            A, b, weights = A[kept], b[kept], weights[kept]
        share = weights / weights.max()
        share = share / share.sum()
    if is_sparse(A) and A.shape[0] * A.shape[1] < MAX_DENSE_ENTRIES:
        A = A.toarray()
    means, mean_of_b = A.T @ share, share @ b  # weighted
    b = b - mean_of_b
    if is_sparse(A):
        result = _solve_sparse(A, b, weights, means, options)
    else:
        result = _solve_dense(A, b, weights, share, means, options)
    extra = len(result.x) - len(means)  # a constant column comes first
    error = result.error_of(np.concatenate([np.zeros(extra), means]))  # as the intercept has -means
    result = replace(result, _record=partial(str, _CENTRED))
    if extra:
        result = replace(
            result,
            x=result.x[1:],
            standard_error=result.standard_error[1:],
            rank=None if result.rank is None else result.rank - 1,
        )
    intercept = mean_of_b - means @ result.x
    return WithIntercept(result, intercept, error)


def _solve_dense(
    A: Any, b: Any, weights: Any, share: Array, means: Array, options: dict[str, Any]
) -> LstsqResult:
    """Solve for a dense A, if needed after a constant column."""
    centered = A - means
    constant = np.ptp(centered, axis=0) <= _CONSTANT * np.abs(means)
    centered[:, constant] = 0.0  # the remainder of a constant is rounding
    centered -= centered.T @ share  # rounding errors of the means would be a direction of their own
    scale = np.abs(centered).max(axis=0)
    scale[constant] = 1.0
    # Weighted standard deviations; their squares stay in range.
    spread = scale * np.sqrt(np.einsum("i,ij->j", share, (centered / scale) ** 2))
    offset = float((np.abs(means[~constant]) / spread[~constant]).max(initial=0.0))
    rcond = NOISE * EPS * offset
    if rcond <= max(A.shape) * EPS:  # the rule of `lstsq` drops as many
        return lstsq(centered, b, weights=weights, **options)
    # Relative to the centered column, rounding errors of the entries are larger by that factor.
    # What they add to dependent columns is not an independent direction.
    result = lstsq(centered, b, weights=weights, **{**options, "rcond": rcond})
    if result.rank == len(means) - np.count_nonzero(constant):
        return result
    # But a column without an offset has no such errors. After a constant column each is judged
    # separately, at some loss of digits.
    A = np.where(constant, 0.0, A)
    dominant = np.ldexp(1.0, np.frexp(np.abs(A).max(initial=0.0))[1] + _DOMINANT)
    whole = np.column_stack([np.full(len(A), dominant), A])
    return lstsq(whole, b, weights=weights, **options)


def _solve_sparse(
    A: Any, b: Any, weights: Any, means: Array, options: dict[str, Any]
) -> LstsqResult:
    """Solve for a large sparse A, in full rank after a column of ones."""
    spread = A.max(axis=0).toarray() - A.min(axis=0).toarray()
    constant = spread <= _CONSTANT * np.abs(means)
    if constant.any():
        A = csr_array(A.multiply(~constant))
        means = np.where(constant, 0.0, means)
    exact = options.get("eps") is None and options.get("sketch_size") is None
    if exact and not options.get("ridge"):  # not the error of an intercept
        whole = hstack([np.ones((len(b), 1)), A], format="csr")
        result = lstsq(whole, b, weights=weights, **options)
        if result.rank == whole.shape[1]:
            return result
    return lstsq(_Centered(A, means), b, weights=weights, **options)


class _Centered(RowsOnDemand):
    """A sparse matrix without the means of its columns, by its products."""

    def __init__(self, A: Any, means: Array) -> None:
        LinearOperator.__init__(self, np.dtype(np.float64), A.shape)
        self.A, self.means = A, means

    def _matmat(self, X: Array) -> Array:
        return self.A @ X - self.means @ X

    def _rmatmat(self, R: Array) -> Array:
        return self.A.T @ R - np.outer(self.means, R.sum(axis=0))

    def row_block(self, first: int, last: int) -> Array:
        """Rows first..last as an array."""
        return self.A[first:last].toarray() - self.means
