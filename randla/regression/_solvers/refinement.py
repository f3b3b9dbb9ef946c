r"""Iterative refinement to full double precision, shared by all methods except LAPACK's.

With a factor R of the scaled matrix :math:`AD`, or a solver with one,

.. math:: x \leftarrow x + D R^{-1} R^{-T} D A^T (b - A x)

is repeated until an estimate of the backward error is at rounding level. The residual is recomputed
in each pass, from A itself: this makes the result backward stable, however rough R is.

Source: Epperly, Meier and Nakatsukasa, "Fast randomized least-squares solvers can be just as
accurate and stable as classical direct solvers", Comm. Pure Appl. Math. 79 (2026),
arXiv:2406.03468.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from randla._scaling import EPS
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.preconditioner import Preconditioner
from randla.regression._solvers.rank import Exponents, column_norms

#: A solution counts as refined at this backward error, and as acceptable at four times as much.
_TARGET, ENOUGH = EPS, 4.0 * EPS
_MAX_REFINEMENTS = 10
#: Rounding errors of P'g over EPS cond(R) |r| / sqrt(n), with a margin of three (measured from
#: 3000 x 7 to 100000 x 20).
_NOISE = 4.0
#: An iterative step reduces its residual at least by this factor; the next one restarts.
LEAST_GAIN = 1e-2

#: ``step(Ptg, goal, Y)`` returns ``(A'A)^+ g``, given P'g, and the decrease of the squared
#: residuals. An iterative step from Y may stop once P'g is as small as `goal` (k,).
Step = Callable[[Array, Array, Array], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution of the scaled problem, ``2^exponents Y``, and how it was computed."""

    Y: Array  # (d, k)
    exponents: Exponents | None  # (d,)
    preconditioner: Preconditioner | None
    rank: int | None  # None: not known
    squares: Array  # (k,) squared norms of the scaled residual, with the rows of the ridge
    error: float | None = None  # backward error as measured; None: not measured
    n_iterations: int = 0
    method: str = "lapack"
    converged: bool = True


def refine(
    rows: ScaledProblem,
    preconditioner: Preconditioner,
    exponents: Exponents,
    Y: Array,
    *,
    method: str,
    rank: int | None,
    step: Step | None = None,
    min_steps: int = 0,
) -> Solution:
    """Refine Y = x / 2^exponents by steps with the preconditioner, or by iterative ones (`step`).

    Each pass measures the backward error of Y; the step that improves Y then costs nothing. At
    least `min_steps` are taken.
    """
    P, step = preconditioner, step or preconditioner.step

    def solution(Y: Array, squares: Array, error: float) -> Solution:
        return Solution(Y, exponents, P, rank, squares, error, n_passes, method, error <= ENOUGH)

    D = np.ldexp(1.0, exponents)[:, None]
    best, best_squares, best_error = Y, np.full(rows.k, np.inf), np.inf
    last_error = last_distance = np.inf
    for n_passes in range(1, _MAX_REFINEMENTS + 1):
        g, squares = rows.residual(D * Y)  # A'(b - A D Y), |b - A D Y|^2
        g *= D  # the gradient in the scaled columns
        Ptg = P.adjoint(g)
        errors = P.backward_error(g, Ptg, Y, squares, decide_at=ENOUGH)
        error = float(errors.max(initial=0.0))
        # |P'g| is the distance to the solution in the norm of A Y. On consistent problems it falls
        # long before the backward error does.
        distances = column_norms(Ptg)
        if n_passes == 1:
            unit = np.where(distances > 0.0, distances, 1.0)
        distance = float((distances / unit).max(initial=0.0))
        if n_passes <= 1 + min_steps or error < best_error:
            best, best_squares, best_error = Y, squares, error
        stalled = error > 0.5 * last_error and distance > 0.5 * last_distance
        if n_passes > min_steps and (error <= _TARGET or stalled):
            break
        change, decrease = step(Ptg, 0.1 * _TARGET * P.top * column_norms(Y), Y)
        Y = Y + change
        predicted = error * P.contraction
        if predicted <= 0.1 * _TARGET:  # no need to measure again
            return solution(Y, np.maximum(squares - decrease, 0.0), max(predicted, 0.5 * EPS))
        last_error, last_distance = error, distance
    if error <= _TARGET:
        # A small backward error implies little for directions of small singular values. Where the
        # gradient exceeds its rounding errors, the step makes the forward error small.
        signal = distances > _NOISE * EPS * P.condition * np.sqrt(squares / rows.n)
        if signal.any():
            change, decrease = step(Ptg, 0.0 * distances, Y)
            Y = Y + np.where(signal, change, 0.0)
            squares = np.maximum(squares - np.where(signal, decrease, 0.0), 0.0)
            return solution(Y, squares, error)
    return solution(best, best_squares, best_error)
