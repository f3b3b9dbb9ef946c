"""The columnwise backward error of a solution."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import lapack

from randla._scaling import exponents_of
from randla._tall.dense import DenseMatrix
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.householder import load_all
from randla.regression._solvers.preconditioner import shrunk_norms
from randla.regression._solvers.rank import column_norms
from randla.regression._solvers.refinement import Solution


def measure_backward_error(rows: ScaledProblem, solution: Solution) -> float:
    """The columnwise backward error of a solution, for one pass over A."""
    Y, exponents = solution.Y, solution.exponents
    D = np.ones((len(Y), 1)) if exponents is None else np.ldexp(1.0, exponents)[:, None]
    with np.errstate(all="ignore"):
        g, squares = rows.residual(D * Y)
        if solution.preconditioner is not None:
            R = solution.preconditioner.matrix()
        else:
            assert isinstance(rows.tall, DenseMatrix)
            R = load_all(rows) * D.T
            if rows.root_ridge is not None:
                stacked = np.asfortranarray(np.vstack([R, np.diag(rows.root_ridge * D[:, 0])]))
                R = np.triu(lapack.dgeqrf(stacked, overwrite_a=1)[0][: rows.d])
        return columnwise_backward_error(R, D * g, Y, squares)


def columnwise_backward_error(R: Array, g: Array, Y: Array, squares: Array) -> float:
    r"""The largest columnwise backward error of the columns of Y.

    The least :math:`\eta`, up to a small factor, for which changes :math:`|E_j|_2 \le \eta |A_j|_2`
    of the columns of A make a y the exact solution. Let the columns of A, and of its factor R, have
    norm 1. To first order E must satisfy :math:`A^T E y - E^T r = g`, where
    :math:`|E y|_2 \le \eta |y|_1` and :math:`|E_j^T r| \le \eta |r|_2`. The least squares of both,
    each over its bound, give as in the formula of Karlson and Waldén

    .. math:: \eta = |(R^T R + \omega^2 I)^{-1/2} g|_2 / |y|_1, \qquad \omega = |r|_2 / |y|_1 .

    R (r, d), g = A'(B - A Y) and Y belong to the same scaling of the columns; `squares` are the
    squared norms of B - A Y.
    """
    exponents = exponents_of(np.abs(R).max(axis=0, initial=0.0))[:, None]
    R = np.ldexp(R, -exponents.T)
    norms = column_norms(R)[:, None]
    norms[norms == 0.0] = 1.0
    R, g = R / norms.T, np.ldexp(g, -exponents) / norms
    norm = np.abs(np.ldexp(Y, exponents) * norms).sum(axis=0)  # |y|_1
    residual, gradient = np.sqrt(squares), column_norms(g)
    omega = residual / norm
    # A change of A that makes the residual vanish; and the limit of the formula for y = 0.
    error = np.where(norm > 0.0, omega, gradient / residual)
    error[gradient == 0.0] = 0.0
    usable = np.flatnonzero((error > 0.0) & (omega < math.inf))
    if len(usable):
        sharp = shrunk_norms(R, g[:, usable], omega[usable]) / norm[usable]
        error[usable] = np.fmin(error[usable], sharp)
    return float(error.max(initial=0.0))
