"""Least squares from one sketch: one pass over A, one small QR, and the error of the answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._scaling import exponents_of
from randla._tall.problem import OutOfRange, Rows
from randla.regression._least_squares.options import Options, Recipe
from randla.regression._solvers.preconditioner import column_norms, top_singular_value
from randla.regression._solvers.rank import minimum_norm
from randla.regression._solvers.sketched_factor import SketchedFactor
from randla.sketching._inference import (
    inverse_bias,
    simultaneous_t,
    squared_residual,
    variance_factor,
)
from randla.sketching._operators import Sketch

Matrix = NDArray[np.float64]
#: The promise of `eps` is checked on estimated norms; only a larger breach is acted on.
_PROMISE_SLACK = 1.1


@dataclass(frozen=True, eq=False)
class SketchedSolution:
    """Solution of the sketched problem in the scaled columns, ``2^exponents Y``.

    Attributes
    ----------
    standard_error : (d, k) ndarray
        Of Y.
    residual_squares : (k,) ndarray
        Estimates of the squared residual norms of the exact solution.
    inverse_norm : float
        Estimate of ``|A^+|`` in the caller's columns and weights.
    worst_ratio : float
        Largest standard error of a coefficient over residual norm and `inverse_norm`.
    backward_error : float
        Estimate of the expected backward error, the largest over the right-hand sides.
    """

    Y: Matrix
    exponents: NDArray[np.int64]
    standard_error: Matrix
    residual_squares: Matrix
    inverse_norm: float
    worst_ratio: float
    backward_error: float
    sketched: SketchedFactor
    degrees_of_freedom: int
    population: int | None
    has_linf_guarantee: bool
    converged: bool = True


def sketch_and_solve(rows: Rows, S: Sketch, rcond: float | None) -> SketchedSolution:
    """Solve ``min |S (A x - b)|``; the standard errors are those of the module `_inference`."""
    SA, SB = rows.sketch(S, with_b=True)
    m, d = SA.shape
    largest = np.abs(SA).max(axis=0, initial=0.0)
    small = not largest.min(initial=np.inf) > 1e-290
    if small and rows.scalable and rows.exponents is None:
        raise OutOfRange  # zero columns are left out, tiny ones scaled up
    exponents = -exponents_of(largest)
    # The last columns of R of [SA, SB] hold Q'SB and the residual.
    stacked = np.empty((m, d + rows.k), order="F")
    stacked[:, :d] = np.ldexp(SA, exponents)
    stacked[:, d:] = SB
    sketched = SketchedFactor(stacked, exponents, (rows.n, rows.d), rcond, n_rhs=rows.k)
    Z, rest = sketched.turned, sketched.rest
    if sketched.spectrum is None:
        K = lapack.dtrtri(sketched.R)[0]
        Y = lapack.dtrtrs(sketched.R, Z)[0]
    else:
        spectrum, r = sketched.spectrum, sketched.rank
        inside = spectrum.U[:, :r].T @ Z
        rest = np.vstack([rest, spectrum.U[:, r:].T @ Z])
        # x is a linear function of U'Q'SB, whose entries have equal and independent errors.
        K = spectrum.Vt[:r].T / spectrum.s[:r]
        K = minimum_norm(K, spectrum, rows.total_exponents(exponents))
        Y = K @ inside
    r, population = sketched.rank, S.population
    squares = squared_residual((rest * rest).sum(axis=0), m, r, population)
    factor = variance_factor(m, r, population)
    # Without full rank rows of K may be so small that their squares underflow.
    size = exponents_of(np.abs(K).max(axis=1, initial=0.0))
    spread = np.ldexp(column_norms(np.ldexp(K.T, -size)), size)
    inverse = rows.unscale(K, exponents, of_b=False).T
    shift = int(exponents_of(np.abs(inverse).max(initial=0.0)))
    inverse = np.ldexp(inverse, -shift)  # its squares stay in range
    inverse_norm = top_singular_value(inverse) / inverse_bias(m, r, population) ** 0.5
    largest_row = column_norms(inverse).max(initial=0.0)
    return SketchedSolution(
        Y=Y,
        exponents=exponents,
        standard_error=np.sqrt(factor * squares) * spread[:, None],
        residual_squares=squares,
        inverse_norm=float(np.ldexp(inverse_norm, shift - rows.weight_exponent)),
        worst_ratio=factor**0.5 * largest_row / inverse_norm if inverse_norm > 0.0 else 0.0,
        backward_error=_expected_backward_error(sketched, Y, squares, factor),
        sketched=sketched,
        degrees_of_freedom=m - r,
        population=population,
        has_linf_guarantee=S.has_linf_guarantee,
    )


def solve_from_sketch(
    rows: Rows, recipe: Recipe, m: int, options: Options
) -> SketchedSolution | None:
    """Solve from m sketched rows, or from a second, larger sketch if the first broke its promise.

    None if all columns of A are zero.
    """
    for _ in range(2):
        S = recipe.draw(m)
        try:
            solution = sketch_and_solve(rows, S, options.rcond)
        except OutOfRange:
            rows.equilibrate()
            if rows.d == 0:
                return None
            solution = sketch_and_solve(rows, S, options.rcond)
        if options.eps is None:
            break
        breach = _promise_factor(solution, options.eps, options.delta)
        if breach <= _PROMISE_SLACK:
            break
        solution = replace(solution, converged=False)
        if recipe.is_fixed:
            break
        m = min(rows.d + math.ceil((m - rows.d) * 1.2 * breach**2), rows.n)
    return solution


def _expected_backward_error(
    sketched: SketchedFactor, Y: Matrix, squares: Matrix, factor: float
) -> float:
    """Columnwise, for the error z = R (y' - y) with E z_i^2 = factor |r|^2."""
    # |(R'R + w^2)^(-1/2) R'z| is at most |z| and |R'z| / w, with w = |r| / |y|. With columns of
    # norm 1, |R'z|^2 is d factor |r|^2 in expectation.
    size = (column_norms(sketched.R)[:, None] * np.abs(Y)).sum(axis=0)
    d = sketched.R.shape[1]
    image = factor**0.5 * np.minimum((sketched.rank * squares) ** 0.5, d**0.5 * size)
    return float(np.divide(image, size, out=np.zeros_like(size), where=size > 0.0).max())


def _promise_factor(solution: SketchedSolution, eps: float, delta: float) -> float:
    """Simultaneous half-width of the coefficients over the promised bound; at most 1 if kept."""
    d = len(solution.Y)
    t = simultaneous_t(delta, d, solution.degrees_of_freedom)
    return t * solution.worst_ratio / (eps / max(d, 1) ** 0.5)
