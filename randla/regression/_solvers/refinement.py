r"""Iterative refinement to full double precision, which all methods but LAPACK's share.

With a factor R of the scaled matrix :math:`AD`, or a solver with one,

.. math:: x \leftarrow x + D R^{-1} R^{-T} D A^T (b - A x)

is repeated until an estimate of the backward error is at rounding level. The residual is computed
anew in each pass, from A itself: that makes the result backward stable, however rough R is.

Source: Epperly, Meier and Nakatsukasa, "Fast randomized least-squares solvers can be just as
accurate and stable as classical direct solvers", Comm. Pure Appl. Math. 79 (2026),
arXiv:2406.03468.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from randla._tall.problem import Rows
from randla.regression._solvers.preconditioner import Factor, column_norms
from randla.regression._solvers.rank import EPS

Matrix = NDArray[np.float64]

#: A solution counts as refined at this backward error; good enough is four times as much.
_TARGET, ENOUGH = EPS, 4.0 * EPS
_MAX_REFINEMENTS = 10
#: Rounding errors of P'g over EPS cond(R) |r| / sqrt(n), with a margin of three (measured from
#: 3000 x 7 to 100000 x 20).
_NOISE = 4.0
#: An iterative step reduces its residual at least by this factor; the next one restarts.
LEAST_GAIN = 1e-2


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution of the scaled problem, ``2^exponents Y``, and how it came about.

    Attributes
    ----------
    squares : (k,) ndarray
        Squared norms of the scaled residual, with the rows of the ridge.
    error : float or None
        Backward error as measured; None: not measured.
    """

    Y: Matrix
    exponents: NDArray[np.int64] | None
    factor: Factor | None
    rank: int | None
    squares: Matrix
    error: float | None
    n_iterations: int
    method: str
    converged: bool = True


def refine(
    rows: Rows,
    factor: Factor,
    exponents: NDArray[np.int64],
    Y: Matrix,
    *,
    min_steps: int = 0,
) -> tuple[Matrix, Matrix, float, int]:
    """Refine Y = x / 2^exponents; return it, squared residual norms, its error, and passes.

    Each pass measures the backward error of Y, after which the step that improves Y is free. At
    least `min_steps` are taken.
    """
    D = np.ldexp(1.0, exponents)[:, None]
    best, best_squares, best_error = Y, np.full(rows.k, np.inf), np.inf
    last_error = last_size = np.inf
    for n_passes in range(1, _MAX_REFINEMENTS + 1):
        g, squares = rows.residual(D * Y)
        g *= D
        half = factor.adjoint(g)
        errors = factor.backward_error(g, half, Y, squares, decide_at=ENOUGH)
        error = float(errors.max(initial=0.0))
        # |P'g| is the distance to the solution in the norm of A Y. On consistent problems it falls
        # long before the backward error does.
        sizes = column_norms(half)
        if n_passes == 1:
            unit = np.where(sizes > 0.0, sizes, 1.0)
        size = float((sizes / unit).max(initial=0.0))
        if n_passes <= 1 + min_steps or error < best_error:
            best, best_squares, best_error = Y, squares, error
        stalled = error > 0.5 * last_error and size > 0.5 * last_size
        if n_passes > min_steps and (error <= _TARGET or stalled):
            break
        step, shorter = factor.step(half, 0.1 * _TARGET * factor.top * column_norms(Y), Y)
        Y = Y + step
        predicted = error * factor.contraction
        if predicted <= 0.1 * _TARGET:  # no need to measure again
            return Y, np.maximum(squares - shorter, 0.0), max(predicted, 0.5 * EPS), n_passes
        last_error, last_size = error, size
    if error <= _TARGET:
        # A small backward error says little on directions of small singular values. Where the
        # gradient stands out of its rounding errors, the step makes the forward error small.
        signal = sizes > _NOISE * EPS * factor.condition * np.sqrt(squares / rows.n)
        if signal.any():
            step, shorter = factor.step(half, 0.0 * sizes, Y)
            Y = Y + np.where(signal, step, 0.0)
            return Y, np.maximum(squares - np.where(signal, shorter, 0.0), 0.0), error, n_passes
    return best, best_squares, best_error, n_passes
