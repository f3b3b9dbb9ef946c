"""Least squares of Dask arrays: the solvers of `sketching`, on passes over blocks of rows."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._scaling import exponents_of
from randla._tall import dask_arrays
from randla._tall.blocks import as_block
from randla._tall.dask import prepared
from randla._tall.dense_rows import DenseRows
from randla._tall.operator import SparseRows
from randla._tall.problem import OutOfRange, Rows
from randla._validation import as_weights, is_sparse, require_finite
from randla.regression._least_squares.choice import checked, solve, zero_solution
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._least_squares.result import LstsqResult, RefinementState
from randla.regression._least_squares.sketch_and_solve import solve_from_sketch
from randla.regression._least_squares.sketch_factory import (
    SketchFactory,
    estimate_size,
    preconditioner_size,
)
from randla.regression._solvers.cholesky import solve_by_cholesky, solve_by_sketched_cholesky
from randla.regression._solvers.refinement import Solution
from randla.regression._solvers.sketched_factor import BadSketch, SketchedFactor, draw_factor
from randla.sketching._operators import Sketch

Matrix = NDArray[np.float64]
#: Methods whose passes leave nothing but sums.
_METHODS = ("auto", "cholesky", "sketch-cholesky", "iterative", "sketch-and-solve")
#: Squared norms of right-hand sides that are far from the ends of the range.
_SMALLEST, _LARGEST = 1e-280, 1e280
#: Reciprocal condition number of a sketch above which plain Cholesky will do.
_REGULAR = 1e-7


def lstsq(A: Any, b: Any, options: LstsqOptions, ridge: float, weights: Any) -> LstsqResult:
    """`randla.lstsq` of a Dask array: one pass with a single sketch, else a few."""
    if options.method not in _METHODS:
        listed = ", ".join(repr(method) for method in _METHODS)
        raise ValueError(f"method must be one of {listed} for a Dask array, got {options.method!r}")
    A = dask_arrays.as_rows(A)
    root_weights = None
    if weights is not None:
        weights = dask_arrays.as_vector(weights, A, "weights")
        root_weights = dask_arrays.map_rows(_root_weights, weights, width=None)
    rows, one_dimensional = _read(A, b, ridge, root_weights)
    with np.errstate(all="ignore"):  # what may overflow is looked at
        factory = SketchFactory.of(rows, options)
        if options.wants_one_sketch:
            m = estimate_size(rows, options, factory)
            if m is not None:
                sketched = solve_from_sketch(rows, factory, m, options)
                if sketched is None:
                    return LstsqResult.of(rows, zero_solution(rows), one_dimensional)
                return LstsqResult.of_sketch(
                    rows, sketched, one_dimensional, options, factory, root_weights
                )
            options = options.exact()
            factory = SketchFactory.of(rows, options)
        solution = _exactly(rows, options, factory)
        return LstsqResult.of(rows, solution, one_dimensional, options.rcond)


def refine(state: RefinementState, A: Any, b: Any, first: LstsqResult) -> LstsqResult:
    """Go on to full precision from one sketch."""
    A = dask_arrays.as_rows(A)
    state.require_shape(A.shape)
    root_weights = state.root_weights
    if root_weights is not None:  # of an array in memory, or cut into other chunks
        root_weights = dask_arrays.as_vector(root_weights, A, "weights")
    rows, one_dimensional = _read(A, b, state.ridge, root_weights)
    with np.errstate(all="ignore"):
        options = LstsqOptions(rcond=state.rcond)
        solution = _exactly(rows, options, state.factory, state.factor_for(rows))
        rows.n_passes += first.n_passes
        return LstsqResult.of(rows, solution, one_dimensional, state.rcond)


def _read(A: Any, b: Any, ridge: float, root_weights: Any) -> tuple[DaskRows, bool]:
    B = dask_arrays.as_columns(b, A, "b")
    if A.shape[0] < A.shape[1]:
        raise ValueError(
            f"A must have at least as many rows as columns if it is a Dask array, got shape "
            f"{A.shape}: use A.compute()"
        )
    return DaskRows(A, B, root_weights, ridge), np.ndim(b) == 1


def _exactly(
    rows: DaskRows,
    options: LstsqOptions,
    factory: SketchFactory,
    sketched: SketchedFactor | None = None,
) -> Solution:
    if options.method != "auto":
        return solve(rows, options, factory, sketched)
    try:
        return _automatically(rows, options, factory, sketched)
    except OutOfRange:
        rows.equilibrate()
    if rows.d == 0:
        return zero_solution(rows)
    return _automatically(rows, options, factory, None)


def _automatically(
    rows: DaskRows, options: LstsqOptions, factory: SketchFactory, sketched: SketchedFactor | None
) -> Solution:
    """Plain Cholesky where that is accurate, which a sketch knows beforehand; else sketched."""
    solution = None
    if sketched is None or lapack.dtrcon(sketched.R)[0] > _REGULAR:
        solution = solve_by_cholesky(rows, options.rcond)
    if solution is None:
        m = preconditioner_size(rows, factory, 4)
        with suppress(BadSketch):
            solution = solve_by_sketched_cholesky(
                rows, partial(draw_factor, rows, factory.draw, options.rcond), m, sketched
            )
    if solution is None:
        raise np.linalg.LinAlgError(
            "A must not be so ill-conditioned that four sketches lose its rank"
        )
    return checked(rows, solution)


class DaskRows(Rows):
    """Rows of a Dask array: every pass sums what `DenseRows` or `SparseRows` say of a block.

    `B` and the roots of the weights are Dask arrays as well, unscaled: blocks are scaled when they
    are read.
    """

    def __init__(self, A: Any, B: Any, root_weights: Any, ridge: float) -> None:
        self.A, self.B, self.root_weights = A, B, root_weights
        self.n, self.d = A.shape
        self.k = 1 if B.ndim == 1 else B.shape[1]
        self.n_columns = self.d
        self.weight_exponent = 0
        self.ridge = ridge
        self.root_ridge = np.full(self.d, ridge**0.5) if ridge > 0.0 else None
        self.active = self.exponents = self.b_exponents = None
        self.n_passes = 0

    def _sum(self, of_block: Any, shape: tuple[int, int], **constants: Any) -> Any:
        scaling = self.exponents, self.active, self.b_exponents
        operands = self.A, self.B, self.root_weights
        return dask_arrays.compute(
            dask_arrays.join_rows(of_block, *operands, shape=shape, scaling=scaling, **constants)
        )

    def _split(self, total: Matrix, r: int) -> tuple[Matrix, Matrix]:
        """The Gram matrix (r, r), and A'B (r, k) if the squares of B below it are in range."""
        self._require_moderate(total[r, r:])
        return np.array(total[:r, :r]), np.array(total[:r, r:])

    def _require_moderate(self, squares: Matrix) -> None:
        """Raise OutOfRange for squared norms of B that are near the ends of the range, or NaN."""
        moderate = (squares > _SMALLEST) & (squares < _LARGEST)
        if self.b_exponents is None and not moderate.all():
            raise OutOfRange  # the maxima are looked at next

    def _gram(self) -> tuple[Matrix, Matrix]:
        shape = self.d + 1, self.d + self.k
        return self._split(self._sum(_gram_block, shape), self.d)

    def _gram_after(self, P: Matrix, triangular: bool) -> tuple[Matrix, Matrix]:
        r = P.shape[1]
        total = self._sum(_gram_after_block, (r + 1, r + self.k), P=P, triangular=triangular)
        return self._split(total, r)

    def _residual(self, X: Matrix) -> tuple[Matrix, Matrix]:
        total = self._sum(_residual_block, (self.d + 1, self.k), X=X)
        if not X.any():  # the start of an iteration
            self._require_moderate(total[-1])
        return np.array(total[:-1]), np.array(total[-1])

    def _normal_product(self, X: Matrix) -> Matrix:
        return self._sum(_normal_product_block, X.shape, X=X)

    def _sketch(self, S: Sketch, with_b: bool) -> tuple[Matrix, Matrix | None]:
        width = self.n_columns + (self.k if with_b else 0)
        operands = self.A, self.B if with_b else None, self.root_weights
        total = dask_arrays.compute(
            dask_arrays.join_rows(_sketch_block, *operands, shape=(S.shape[0], width), S=S)
        )
        SA, SB = np.array(total[:, : self.n_columns]), np.array(total[:, self.n_columns :])
        if not with_b:
            return SA, None
        if self.b_exponents is None:
            top = np.abs(SB).max(axis=0)
            if not ((top == 0.0) | ((top > 1e-140) & (top < 1e140))).all():
                self.b_exponents = -exponents_of(top)
        return SA, SB if self.b_exponents is None else np.ldexp(SB, self.b_exponents)

    def _column_maxima(self) -> Matrix:
        operands = self.A, self.B, self.root_weights
        shape = 1, self.n_columns + self.k
        top = dask_arrays.compute(
            dask_arrays.join_rows(_maxima_block, *operands, shape=shape, join=np.maximum)
        )[0]
        self.b_exponents = -exponents_of(top[self.n_columns :])
        if self.root_weights is not None and not top[: self.n_columns].any():
            as_weights(dask_arrays.compute(self.root_weights), self.n, "weights")
        return top[: self.n_columns]

    def rhs_squares(self) -> Matrix:
        """Squared norms of the columns of B."""
        return self._sum(_rhs_squares_block, (1, self.k))[0]

    def _require_finite(self) -> None:
        self._column_maxima()


def _read_block(A: Any, B: Any, root_weights: Any, scaling: tuple[Any, Any, Any]) -> Any:
    """The rows of a block, all scales given from outside."""
    exponents, active, b_exponents = scaling
    matrix, B = as_block(A), _columns(B)
    if b_exponents is not None:
        B = np.ldexp(B, b_exponents)
    rows = _SparseBlock(matrix, B) if is_sparse(matrix) else _DenseBlock(matrix, B)
    if root_weights is not None:
        rows.root_weights = root_weights
        rows.B = rows.B * root_weights[:, None]
    if exponents is not None:
        rows.scale(exponents, active)
    else:
        rows._prepare()
    return rows


def _columns(b: Any) -> Matrix:
    return as_block(b, "b").astype(np.float64).reshape(b.shape[0], -1)


def _root_weights(first: int, weights: Any) -> Matrix:
    return np.sqrt(as_weights(weights, len(weights), "weights", positive_sum=False))


class _Unscaled:
    """A block has no scale of its own."""

    def _scaled_rhs(self, B: Matrix) -> Matrix:
        return B


class _DenseBlock(_Unscaled, DenseRows):
    pass


class _SparseBlock(_Unscaled, SparseRows):
    pass


@np.errstate(all="ignore")
def _gram_block(first: int, A: Any, B: Any, root_weights: Any, *, scaling: Any) -> Matrix:
    rows = _read_block(A, B, root_weights, scaling)
    G, C = rows._gram()
    return _stacked(G, C, rows.B)


@np.errstate(all="ignore")
def _gram_after_block(
    first: int, A: Any, B: Any, root_weights: Any, *, scaling: Any, P: Matrix, triangular: bool
) -> Matrix:
    rows = _read_block(A, B, root_weights, scaling)
    G, C = rows._gram_after(P, triangular)
    return _stacked(G, C, rows.B)


def _stacked(G: Matrix, C: Matrix, B: Matrix) -> Matrix:
    below = np.zeros(G.shape[1] + C.shape[1])
    below[G.shape[1] :] = (B * B).sum(axis=0)
    return np.vstack([np.hstack([G, C]), below])


@np.errstate(all="ignore")
def _residual_block(
    first: int, A: Any, B: Any, root_weights: Any, *, scaling: Any, X: Matrix
) -> Matrix:
    g, squares = _read_block(A, B, root_weights, scaling)._residual(X)
    return np.vstack([g, squares])


@np.errstate(all="ignore")
def _normal_product_block(
    first: int, A: Any, B: Any, root_weights: Any, *, scaling: Any, X: Matrix
) -> Matrix:
    return _read_block(A, B, root_weights, scaling)._normal_product(X)


def _rhs_squares_block(first: int, A: Any, B: Any, root_weights: Any, *, scaling: Any) -> Matrix:
    B = _read_block(A, B, root_weights, scaling).B
    return (B * B).sum(axis=0, keepdims=True)


def _sketch_block(first: int, A: Any, B: Any, root_weights: Any, *, S: Sketch) -> Matrix:
    """S A of the block, and S B beside it; all columns, unscaled."""
    S = prepared(S).columns(first, first + A.shape[0])
    with_b = B is not None
    rows = _read_block(A, B if with_b else np.zeros(A.shape[0]), root_weights, (None, None, None))
    SA, SB = rows._sketch(S, with_b)
    return SA if SB is None else np.hstack([SA, SB])


def _maxima_block(first: int, A: Any, B: Any, root_weights: Any) -> Matrix:
    """The largest absolute weighted entries of the columns of A and B, which must be finite."""
    matrix, B = as_block(A), _columns(B)
    require_finite(matrix.data if is_sparse(matrix) else matrix, "A")
    require_finite(B, "b")
    rows = _read_block(matrix, B, root_weights, (None, None, None))
    with np.errstate(all="ignore"):
        return np.append(rows._column_maxima(), np.abs(rows.B).max(axis=0))[None]
