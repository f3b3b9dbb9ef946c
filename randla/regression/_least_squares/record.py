"""The part of a fit that its statistical errors need: factors and scales, but no data.

If the factor of a solver is rough (from a sketch, or from a Gram matrix of an ill-conditioned A)
one more pass makes it exact. Therefore the record is computed on demand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack

from randla._scaling import exponents_of
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._errors.data import Scales
from randla.regression._errors.fit import KeptRows, LeastSquaresFit, OneSketch
from randla.regression._least_squares.sketch_and_solve import SketchedSolution
from randla.regression._solvers.cholesky import SINGLE_FROM
from randla.regression._solvers.kronecker import is_structured
from randla.regression._solvers.preconditioner import solve_triangle
from randla.regression._solvers.rank import Exponents, column_norms, numerical_rank
from randla.regression._solvers.refinement import Solution
from randla.sketching._inference import squared_residual

#: The record, or the reason why there is none.
Record = LeastSquaresFit | str

#: Relative error of A'A in a Cholesky factor up to which it is used unchanged.
_ACCURATE = 1e-10
#: Exponents of column norms for which columns need no scaling.
_MODERATE = 64

_PENALISED = (
    "ridge must be 0 for statistical errors: a penalty biases the coefficients, so that an "
    "interval around them does not cover those of the population"
)
_NO_RANK = (
    "the fit must know the rank of A, which LSQR without a preconditioner does not find: use "
    "method='cholesky', 'sketch-cholesky' or 'lapack' for the fit"
)
_ROUGH = "the fit must have a factor of A, which is too ill-conditioned for its method"
_FEW_ROWS = (
    "A must have more rows than columns, or dependent rows, for errors to be estimated, got shape "
    "{}"
)


class _Frame(NamedTuple):
    """The shape of a problem, and the scales used to solve it."""

    exponents: Any
    active: Any
    b_exponents: Any
    weight_exponent: int
    shape: tuple[int, int]
    k: int
    is_weighted: bool
    n_rows: int  # of positive weight
    lazy_weights: Any  # square roots that were not counted
    weight_sum: float | None

    @classmethod
    def of(cls, rows: ScaledProblem) -> _Frame:
        weights, lazy, n_rows, total = rows.root_weights, None, rows.n, None
        if weights is not None and rows.tall.lazy:
            lazy = weights
        elif weights is not None:
            n_rows, total = int(np.count_nonzero(weights)), float(weights @ weights)
        return cls(
            rows.exponents, rows.active, rows.b_exponents, rows.weight_exponent,
            (rows.n, rows.n_columns), rows.k, weights is not None, n_rows, lazy, total,
        )  # fmt: skip

    def record(
        self, Y: Array, exponents: Exponents | None, K: Array, norms: Array, products: Array,
        **more: Any,
    ) -> LeastSquaresFit:  # fmt: skip
        """The record of a fit 2^exponents Y, with K and the norms of the columns so scaled."""
        n_rows, d, rank = self.n_rows, self.shape[1], K.shape[1]
        if self.lazy_weights is not None:
            n_rows = int((self.lazy_weights > 0.0).sum())
        active = np.arange(d) if self.active is None else self.active
        columns = np.zeros(d, np.int64)  # x = 2^columns y
        for scales in (exponents, self.exponents):
            columns[active] += 0 if scales is None else scales
        Y, K, norms = (_spread(values, active, d) for values in (Y, K, norms[:, None]))
        # To columns of norm about 1, or to the unscaled columns.
        change = np.where(norms[:, 0] > 0.0, -exponents_of(norms[:, 0]), 0)
        if rank < d:  # a pseudo-inverse of scaled columns is not a scaled pseudo-inverse
            change[:] = 0
        elif np.abs(columns + change).max(initial=0) <= _MODERATE:
            change = -columns
        rhs = np.zeros(self.k, np.int64) if self.b_exponents is None else self.b_exponents
        return LeastSquaresFit(
            Y=np.ldexp(Y, -change[:, None]),
            factors=(np.ldexp(K, -change[:, None]),),
            products=products,
            column_norms=np.ldexp(norms[:, 0], change),
            shape=self.shape,
            n_rows=n_rows,
            is_weighted=self.is_weighted,
            weight_sum=self.weight_sum,
            scales=Scales(columns + change, rhs, self.weight_exponent),
            **more,
        )


def _spread(values: Array, active: Any, d: int) -> Array:
    """Values of the active columns among zeros."""
    out = np.zeros((d, values.shape[1]))
    out[active] = values
    return out


def record_of_fit(
    rows: ScaledProblem, solution: Solution, rcond: float | None
) -> Callable[[], Record]:
    """A function for the record of a fit to full precision; keeps `rows` only if it reads A."""
    if rows.ridge > 0.0:
        return partial(str, _PENALISED)
    if solution.rank is None:
        return partial(str, _NO_RANK)
    frame, P = _Frame.of(rows), solution.preconditioner
    if is_structured(rows) and solution.method == "lapack":
        return partial(_of_kronecker, frame, solution, rows.A)
    slack = 0.0
    if not solution.converged:
        slack = 100.0 * float(solution.error or 0.0)
    elif rcond is not None and solution.rank < len(solution.Y):
        slack = 10.0 * rcond  # directions below rcond are known to a few digits only
    is_accurate = solution.method == "lapack" or P is None
    if solution.method == "cholesky" and P is not None:
        is_accurate = P.contraction <= _ACCURATE
    elif solution.method == "sketch-cholesky":
        is_accurate = rows.d < SINGLE_FROM  # the Gram matrix had double precision
    return partial(_of_factor, frame, solution, slack, None if is_accurate else rows)


def _of_factor(
    frame: _Frame, solution: Solution, slack: float, rows: ScaledProblem | None
) -> Record:
    """The record with the factor of a solver, corrected by a pass over `rows`."""
    P, exponents = solution.preconditioner, solution.exponents
    d, k = solution.Y.shape
    K, norms = np.zeros((d, 0)), np.zeros(d)
    if P is None and solution.rank:  # from the rows of A, which are not more than its columns
        return _FEW_ROWS.format(frame.shape)
    if P is not None:
        K, norms = P.forward(np.eye(solution.rank or 0)), column_norms(P.matrix())
    if rows is not None and K.size:
        G, _ = rows.gram(K if exponents is None else np.ldexp(K, exponents[:, None]))
        L, info = lapack.dpotrf(G, lower=0, clean=1)  # L'L = (A K)'(A K), near the identity
        if info != 0:
            return _ROUGH
        K = solve_triangle(L, K.T, trans=1).T  # K L^-1
    products = np.full((k, k), np.nan)
    np.fill_diagonal(products, solution.squares)
    return frame.record(solution.Y, exponents, K, norms, products, slack=slack)


def _of_kronecker(frame: _Frame, solution: Solution, A: Any) -> Record:
    """The pseudo-inverse of a Kronecker product is that of its pseudo-inverses."""
    factors, norms, scales = [], [], []
    for part in (A.A1, A.A2):
        X = part.astype(np.float64)
        e = -exponents_of(np.abs(X).max(axis=0))
        X = np.ldexp(X, e)
        _, s, Vt = np.linalg.svd(X, full_matrices=False)
        r = numerical_rank(s, X.shape, None)
        factors.append(Vt[:r].T / s[:r])
        norms.append(column_norms(X))
        scales.append(e)
    columns = np.add.outer(*scales).reshape(-1)
    products = np.full((frame.k, frame.k), np.nan)
    np.fill_diagonal(products, solution.squares)
    rhs = np.zeros(frame.k, np.int64) if frame.b_exponents is None else frame.b_exponents
    return LeastSquaresFit(
        Y=np.ldexp(solution.Y, -columns[:, None]),
        factors=tuple(factors),
        products=products,
        column_norms=np.multiply.outer(*norms).reshape(-1),
        shape=frame.shape,
        n_rows=frame.n_rows,
        is_weighted=False,
        scales=Scales(columns, rhs, 0),
    )


def record_of_sketch(rows: ScaledProblem, solution: SketchedSolution) -> Callable[[], Record]:
    """A function for the record of an estimate from one sketch."""
    if rows.ridge > 0.0:
        return partial(str, _PENALISED)
    return partial(_of_sketch, _Frame.of(rows), solution)


def _of_sketch(frame: _Frame, solution: SketchedSolution) -> Record:
    sketched, exponents = solution.sketched, solution.exponents
    residual, m, rank = sketched.residual_block, sketched.n_rows, sketched.rank
    K, spectrum = sketched.inverse(), sketched.spectrum
    if spectrum is not None:  # as in `sketch_and_solve`
        residual = np.vstack([residual, spectrum.U[:, rank:].T @ sketched.QtB])
    products = squared_residual(residual.T @ residual, m, rank, solution.population)
    kept = None
    if solution.sample is not None:
        X, B = np.split(solution.sample, [len(solution.Y)], axis=1)
        X = np.ldexp(X, exponents)
        kept = KeptRows(X @ K, B - X @ solution.Y, frame.shape[0])
    sketch = OneSketch(m, solution.population, solution.has_linf_guarantee, kept)
    norms = column_norms(sketched.R)
    return frame.record(solution.Y, exponents, K, norms, products, sketch=sketch)
