"""Choice of the method for full precision, by shape and conditioning of the problem."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.linalg import lapack

from randla._results import warn_caller
from randla._tall.dense import DenseMatrix
from randla._tall.passes import LeastSquaresMatrix, OutOfRange
from randla._tall.problem import ScaledProblem
from randla._tall.sparse import SparseMatrix
from randla.regression._least_squares.options import LstsqOptions, LstsqWarning
from randla.regression._least_squares.sketch_factory import SketchFactory, preconditioner_size
from randla.regression._solvers.cholesky import (
    CHOLESKY_LIMIT,
    look_at_sample,
    single_limit,
    solve_by_cholesky,
    solve_by_sketched_cholesky,
)
from randla.regression._solvers.householder import solve_by_lapack
from randla.regression._solvers.kronecker import is_structured, solve_by_factors
from randla.regression._solvers.lsqr import plain_scales, solve_by_lsqr, solve_by_plain_lsqr
from randla.regression._solvers.polyak import solve_by_iteration
from randla.regression._solvers.refinement import Solution
from randla.regression._solvers.sketched_factor import BadSketch, SketchedFactor, draw_factor

#: Entries below which LAPACK alone is faster than any sequence of calls.
_SMALL = 20_000
#: Columns for each right-hand side from which about 30 passes cost less than a second Gram matrix
#: (measured: 1.2 of its time at d = 200, 0.9 at 500, 0.8 at 1000).
_ITERATIVE_FROM = 400
#: Columns up to which a sparse Gram matrix, a QR of a sketch of sparse rows, and one of products
#: with an operator pay off.
_MAX_GRAM, _MAX_SPARSE_FACTOR, _MAX_OPERATOR_FACTOR = 5000, 2000, 1000
#: Steps of an attempt without a preconditioner. A step takes about 3 ns for each stored entry; a
#: method with a dense factor takes at least a quarter of a nanosecond times d^3 (measured).
_COST_OF_STEP, _MIN_ATTEMPT, _MAX_ATTEMPT = 12, 30, 120

#: Condition number, with the rows of a ridge, above which only LAPACK's method treats A without
#: them: errors of the penalized sum are of the order of its square times 1e-32.
_RIDGE_LIMIT = 1e10

#: Methods whose passes return only sums.
_OUT_OF_CORE = ("auto", "cholesky", "sketch-cholesky", "iterative", "sketch-and-solve")
#: Reciprocal condition number of a sketch above which plain Cholesky is accurate, out of core.
_REGULAR = 1e-7
#: Methods with a sketched preconditioner: solver, and rows of the sketch for each column.
_SKETCHED_SOLVERS: dict[str, tuple[Callable[..., Solution | None], int]] = {
    "sketch-cholesky": (solve_by_sketched_cholesky, 4),
    "iterative": (solve_by_iteration, 8),
    "lsqr": (solve_by_lsqr, 8),
}


def require_method(tall: LeastSquaresMatrix, method: str) -> None:
    """Raise ValueError for a Dask array and a method whose passes return more than sums."""
    if tall.lazy and method not in _OUT_OF_CORE:
        listed = ", ".join(repr(choice) for choice in _OUT_OF_CORE)
        raise ValueError(f"method must be one of {listed} for a Dask array, got {method!r}")


def solve(
    rows: ScaledProblem,
    options: LstsqOptions,
    factory: SketchFactory,
    sketched: SketchedFactor | None = None,
) -> Solution:
    """Solve to full precision; the columns are scaled first if their norms require it.

    `sketched` is the factor of a sketch that was drawn before.
    """
    if options.method == "auto" and is_structured(rows):
        return checked(rows, solve_by_factors(rows, options.rcond, partial(_solve_part, factory)))
    try:
        return _solve(rows, options, factory, sketched)
    except OutOfRange:
        rows.equilibrate()  # one more pass
    if rows.d == 0:
        return zero_solution(rows)
    return _solve(rows, options, factory, None)  # the sketch had other scales


def _solve_part(factory: SketchFactory, rows: ScaledProblem, rcond: float | None) -> Solution:
    """Solve with one factor of a Kronecker product."""
    return solve(rows, LstsqOptions(rcond=rcond), SketchFactory("auto", rows.n, factory.rng))


def zero_solution(rows: ScaledProblem) -> Solution:
    """The solution if all columns of A are zero."""
    return Solution(np.zeros((0, rows.k)), None, None, 0, rows.rhs_squares(), 0.0)


def _solve(
    rows: ScaledProblem,
    options: LstsqOptions,
    factory: SketchFactory,
    sketched: SketchedFactor | None,
) -> Solution:
    method, rcond = options.method, options.rcond
    if method == "auto" and isinstance(rows.tall, DenseMatrix):
        return _solve_dense(rows, factory, rcond, sketched)
    if method == "auto" and rows.tall.lazy:
        return _solve_out_of_core(rows, factory, rcond, sketched)
    if method == "auto":
        return _solve_by_products(rows, factory, rcond, sketched)
    if method == "lapack":
        assert isinstance(rows.tall, DenseMatrix)  # other kinds of A are made dense before
        return solve_by_lapack(rows, rcond)
    solution: Solution | None
    if method == "cholesky":
        solution = solve_by_cholesky(rows, rcond, forced=True)
    else:
        solver, multiple = _SKETCHED_SOLVERS[method]
        m = options.sketch_size or preconditioner_size(rows, factory, multiple)
        solution = solver(rows, partial(draw_factor, rows, factory.draw, rcond), m, sketched)
    if solution is None:
        raise np.linalg.LinAlgError(
            f"method={method!r} failed, as A is too ill-conditioned or rank-deficient for it: "
            "use method='auto'"
        )
    return checked(rows, solution)


def _solve_dense(
    rows: ScaledProblem, factory: SketchFactory, rcond: float | None, drawn: SketchedFactor | None
) -> Solution:
    n, d = rows.n, rows.d
    if n * d <= _SMALL or n < 4 * d:  # a Gram matrix saves little
        return solve_by_lapack(rows, rcond)
    solution: Solution | None
    sample = look_at_sample(rows)  # a guess: each solver measures the error of its solution
    if sample.fits_single and sample.condition < single_limit(d):
        solution = solve_by_cholesky(rows, rcond, single=True)
        if solution is not None:
            return solution
    if not sample.condition > CHOLESKY_LIMIT:  # nan: not known
        solution = solve_by_cholesky(rows, rcond)
        if solution is not None:
            return solution
    if rows.root_ridge is not None or rcond is not None:  # a sketch has other singular values
        return solve_by_lapack(rows, rcond)
    draw = partial(draw_factor, rows, factory.draw, None)
    methods = ["iterative"] if d >= _ITERATIVE_FROM * rows.k else []
    with suppress(BadSketch):
        for method in (*methods, "sketch-cholesky"):
            solver, multiple = _SKETCHED_SOLVERS[method]
            m = preconditioner_size(rows, factory, multiple)
            solution = solver(rows, draw, m, drawn)
            if solution is not None and solution.converged:
                return solution
    return solve_by_lapack(rows, rcond)


def _solve_out_of_core(
    rows: ScaledProblem, factory: SketchFactory, rcond: float | None, drawn: SketchedFactor | None
) -> Solution:
    """Plain Cholesky if it is accurate, as predicted by a sketch; otherwise sketched."""
    solution = None
    if drawn is None or lapack.dtrcon(drawn.R)[0] > _REGULAR:
        solution = solve_by_cholesky(rows, rcond)
    if solution is None:
        draw = partial(draw_factor, rows, factory.draw, rcond)
        with suppress(BadSketch):
            m = preconditioner_size(rows, factory, 4)
            solution = solve_by_sketched_cholesky(rows, draw, m, drawn)
    if solution is None:
        raise np.linalg.LinAlgError("A must be better conditioned: four sketches lost its rank")
    return checked(rows, solution)


def _solve_by_products(
    rows: ScaledProblem, factory: SketchFactory, rcond: float | None, drawn: SketchedFactor | None
) -> Solution:
    """A is sparse, or an operator, and large."""
    n, d = rows.n, rows.d
    solution: Solution | None
    if isinstance(rows.tall, SparseMatrix) and rows.exponents is None and rcond is None:
        # On many sparse matrices with many columns LSQR takes a few tens of plain steps. An
        # attempt may cost as much as a Cholesky factor.
        steps = min(d**3 / (_COST_OF_STEP * max(rows.A.nnz, 1) * rows.k), _MAX_ATTEMPT)
        if steps >= _MIN_ATTEMPT:  # else the attempt costs more than it may save
            exponents = plain_scales(rows)
            if np.ptp(exponents) == 0:  # columns of one scale, so the minimum norm is the right one
                solution = solve_by_plain_lsqr(rows, exponents, steps)
                if solution.converged:
                    return solution
    if isinstance(rows.tall, SparseMatrix) and d <= min(n, _MAX_GRAM):
        solution = solve_by_cholesky(rows, rcond)
        if solution is not None:
            return solution
    is_sparse = isinstance(rows.tall, SparseMatrix)
    if 2 * d <= n and d <= (_MAX_SPARSE_FACTOR if is_sparse else _MAX_OPERATOR_FACTOR):
        make_sketch = partial(factory.draw, default="sparse-sign" if is_sparse else "srht")
        draw = partial(draw_factor, rows, make_sketch, rcond)
        with suppress(BadSketch):
            return checked(rows, solve_by_lsqr(rows, draw, min(max(8 * d, 64), n), drawn))
    return checked(rows, solve_by_plain_lsqr(rows, plain_scales(rows)))


def checked(rows: ScaledProblem, solution: Solution) -> Solution:
    """The solution; warn if it falls short of full precision."""
    if rows.root_ridge is not None and solution.method != "lapack" and _hides_ridge(rows, solution):
        warn_caller(
            "lstsq: the ridge is so small that rounding hides its effect on columns that depend on "
            f"each other (method {solution.method!r}): increase it, or use method='lapack' for "
            "an array in memory",
            LstsqWarning,
        )
        return replace(solution, converged=False)
    if not solution.converged:
        warn_caller(
            f"lstsq stopped at a backward error of {solution.error:.1e} "
            f"(method {solution.method!r})",
            LstsqWarning,
        )
    return solution


def _hides_ridge(rows: ScaledProblem, solution: Solution) -> bool:
    """Whether rounding errors may hide the ridge from columns that depend on each other."""
    P, exponents = solution.preconditioner, solution.exponents
    if P is None:
        return False
    if solution.rank is not None:  # a factor of A and the ridge is known
        return solution.rank != rows.d or P.condition > _RIDGE_LIMIT
    # LSQR without a preconditioner. In columns of one scale it tends to the shortest solution.
    assert rows.root_ridge is not None
    assert exponents is not None
    least = np.ldexp(rows.root_ridge, exponents).min()
    return bool(np.ptp(exponents) > 0 and P.top > _RIDGE_LIMIT * least)
