"""Least squares from one sketch: one pass over A, one small QR, and the error of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._scaling import exponents_of
from randla._tall.passes import OutOfRange
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._least_squares.sketch_factory import SketchFactory
from randla.regression._solvers.rank import (
    Exponents,
    column_norms,
    minimum_norm,
    top_singular_value,
)
from randla.regression._solvers.sketched_factor import SketchedFactor
from randla.sketching._inference import (
    inverse_bias,
    simultaneous_t,
    squared_residual,
    variance_factor,
)
from randla.sketching._operators import Sketch

#: The bound of `eps` is checked on estimated norms; only a larger violation triggers a new sketch.
_PROMISE_SLACK = 1.1
#: Number of rows of A kept with a sketch.
_KEPT_ROWS = 300


@dataclass(frozen=True, eq=False)
class SketchedSolution:
    """Solution of the sketched problem in the scaled columns, ``2^exponents Y``."""

    Y: Array  # (d, k)
    exponents: Exponents  # (d,)
    standard_error: Array  # of Y
    residual_squares: Array  # (k,) estimates of the squared residual norms of the exact solution
    inverse_norm: float  # estimate of |A^+| in the user's columns and weights
    worst_ratio: float  # largest standard error of a coefficient over |r| and `inverse_norm`
    backward_error: float  # its expected value, the largest over the right-hand sides
    sketched: SketchedFactor
    population: int | None
    has_linf_guarantee: bool
    sample: Array | None = None  # some rows [A, B] of the scaled problem, drawn uniformly
    converged: bool = True


def sketch_and_solve(rows: ScaledProblem, S: Sketch, rcond: float | None) -> SketchedSolution:
    """Solve ``min |S (A x - b)|``; the standard errors are those of the module `_inference`."""
    # (m, d), (m, k); the one pass over A
    SA, SB, sample = rows.sketch_and_rows(S, _kept_rows(rows, S))
    m, d = SA.shape
    largest = np.abs(SA).max(axis=0, initial=0.0)
    small = not largest.min(initial=np.inf) > 1e-290
    if small and rows.tall.scalable and rows.exponents is None:
        raise OutOfRange  # zero columns are left out, tiny ones scaled up
    exponents = -exponents_of(largest)
    # The last columns of R of [SA, SB] hold Q'SB and the residual.
    stacked = np.empty((m, d + rows.k), order="F")
    stacked[:, :d] = np.ldexp(SA, exponents)
    stacked[:, d:] = SB
    sketched = SketchedFactor(stacked, exponents, (rows.n, rows.d), rcond, n_rhs=rows.k)
    QtB, residual = sketched.QtB, sketched.residual_block
    if sketched.spectrum is None:
        K = lapack.dtrtri(sketched.R)[0]  # K K' = C, the inverse of (SA)'SA
        Y = lapack.dtrtrs(sketched.R, QtB)[0]
    else:
        spectrum, r = sketched.spectrum, sketched.rank
        in_range = spectrum.U[:, :r].T @ QtB
        # The part of Q'SB outside U belongs to the residual of the sketched problem.
        residual = np.vstack([residual, spectrum.U[:, r:].T @ QtB])
        # x is a linear function of U'Q'SB, whose entries have equal and independent errors.
        K = spectrum.Vt[:r].T / spectrum.s[:r]
        K = minimum_norm(K, spectrum, rows.total_exponents(exponents))
        Y = K @ in_range
    r, population = sketched.rank, S.population
    # rho^2 of the sketch to |r|^2 of the exact solution; Var(x_j) = factor |r|^2 C_jj.
    squares = squared_residual((residual * residual).sum(axis=0), m, r, population)
    factor = variance_factor(m, r, population)
    # Without full rank rows of K may be so small that their squares underflow.
    scale = exponents_of(np.abs(K).max(axis=1, initial=0.0))
    row_norms = np.ldexp(column_norms(np.ldexp(K.T, -scale)), scale)  # sqrt(C_jj)
    inverse = rows.unscale(K, exponents, of_b=False).T  # K in the user's columns: |K| is |A^+|
    shift = int(exponents_of(np.abs(inverse).max(initial=0.0)))
    inverse = np.ldexp(inverse, -shift)  # its squares stay in range
    inverse_norm = top_singular_value(inverse) / inverse_bias(m, r, population) ** 0.5
    largest_row = column_norms(inverse).max(initial=0.0)
    return SketchedSolution(
        Y=Y,
        exponents=exponents,
        standard_error=np.sqrt(factor * squares) * row_norms[:, None],
        residual_squares=squares,
        inverse_norm=float(np.ldexp(inverse_norm, shift - rows.weight_exponent)),
        worst_ratio=factor**0.5 * largest_row / inverse_norm if inverse_norm > 0.0 else 0.0,
        backward_error=_expected_backward_error(sketched, Y, squares, factor),
        sketched=sketched,
        population=population,
        has_linf_guarantee=S.has_linf_guarantee,
        sample=sample,
    )


def _kept_rows(rows: ScaledProblem, S: Sketch) -> NDArray[np.int64]:
    """Indices of the rows kept for data errors that need rows; ascending."""
    draws = np.random.default_rng([int(S._key), _KEPT_ROWS])
    return np.sort(draws.choice(rows.n, min(rows.n, _KEPT_ROWS), replace=False))


def solve_from_sketch(
    rows: ScaledProblem, factory: SketchFactory, m: int, options: LstsqOptions
) -> SketchedSolution | None:
    """Solve from m sketched rows, or from a second, larger sketch if the first failed its bound.

    None if all columns of A are zero.
    """
    for _ in range(2):
        S = factory.draw(m)
        try:
            solution = sketch_and_solve(rows, S, options.rcond)
        except OutOfRange:
            rows.equilibrate()
            if rows.d == 0:
                return None
            solution = sketch_and_solve(rows, S, options.rcond)
        if options.eps is None:
            break
        # A sketch that is too small by the factor b needs b^2 as many rows beyond d.
        breach = _promise_factor(solution, options.eps, options.delta)
        if breach <= _PROMISE_SLACK:
            break
        solution = replace(solution, converged=False)
        if factory.is_fixed:  # no other sketch can be drawn
            break
        m = min(rows.d + math.ceil((m - rows.d) * 1.2 * breach**2), rows.n)
    return solution


def _expected_backward_error(
    sketched: SketchedFactor, Y: Array, squares: Array, factor: float
) -> float:
    """Columnwise, for the error z = R (y' - y) with E z_i^2 = factor |r|^2."""
    # |(R'R + w^2)^(-1/2) R'z| is at most |z| and |R'z| / w, with w = |r| / |y|. With columns of
    # norm 1, |R'z|^2 is d factor |r|^2 in expectation.
    norm = (column_norms(sketched.R)[:, None] * np.abs(Y)).sum(axis=0)
    d = sketched.R.shape[1]
    image = factor**0.5 * np.minimum((sketched.rank * squares) ** 0.5, d**0.5 * norm)
    return float(np.divide(image, norm, out=np.zeros_like(norm), where=norm > 0.0).max())


def _promise_factor(solution: SketchedSolution, eps: float, delta: float) -> float:
    """Simultaneous half-width of the coefficients over the bound of `eps`; 1 if it just holds."""
    d = len(solution.Y)
    t = simultaneous_t(delta, d, solution.sketched.n_rows - solution.sketched.rank)
    return t * solution.worst_ratio / (eps / max(d, 1) ** 0.5)
