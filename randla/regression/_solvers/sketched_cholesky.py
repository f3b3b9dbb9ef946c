r"""Least squares by Cholesky factorisation after a sketched preconditioner, with refinement.

:math:`R_0` from a QR of a sketch makes :math:`Y = A D R_0^{-1}` nearly orthonormal; then L from the
Gram matrix of Y, and :math:`R = L^T R_0`, for any condition number of A. The first solution, from
:math:`Y^T b` of the same pass, is already close to backward stable.

Sources: Balabanov, "Randomized Cholesky QR factorizations", arXiv:2210.09953 (2022); Melnichenko,
Balabanov, Murray, Demmel, Mahoney and Luszczek, "CholeskyQR with randomization and pivoting for
tall matrices (CQRRPT)", SIAM J. Matrix Anal. Appl. 46 (2025), 1701-1734, arXiv:2311.08316.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from randla._tall.problem import Rows
from randla.regression._solvers.cholesky import SINGLE_FROM
from randla.regression._solvers.refinement import ENOUGH, Solution, refine
from randla.regression._solvers.sketched_factor import MakeSketch, SketchedFactor, draw_factor

#: Reciprocal condition number of Y'Y below which the sketch was bad. With m = 4d it is near 1/9.
_WORST_GRAM = 1e-4


def solve_by_sketched_cholesky(
    rows: Rows,
    make_sketch: MakeSketch,
    m: int,
    rcond: float | None,
    sketched: SketchedFactor | None = None,
) -> Solution | None:
    """Sketch-preconditioned Cholesky with refinement; None if four sketches are not good enough."""
    for _ in range(4):
        if sketched is None:
            sketched = draw_factor(rows, make_sketch, m, rcond)
        if sketched.rank == 0:  # A is zero
            X, squares = np.zeros((rows.d, rows.k)), rows.rhs_squares()
            return Solution(X, sketched.exponents, None, 0, squares, 0.0, 0, "sketch-cholesky")
        P = sketched.preconditioner()
        D = np.ldexp(1.0, sketched.exponents)[:, None]
        G, C = rows.gram_after(
            D * P, triangular=sketched.spectrum is None, single=rows.d >= SINGLE_FROM
        )
        inner, info = lapack.dpotrf(G, lower=0, clean=1)
        if info == 0 and lapack.dpocon(inner, np.abs(G).sum(axis=0).max())[0] > _WORST_GRAM:
            break
        m = 2 * m if sketched.population is None else min(2 * m, sketched.population)
        sketched = None
    else:
        return None
    factor = sketched.factor(inner)
    Y = P @ lapack.dpotrs(inner, C)[0]
    Y, squares, error, n_passes = refine(rows, factor, sketched.exponents, Y)
    return Solution(
        sketched.finish(rows, Y),
        sketched.exponents,
        factor,
        sketched.rank,
        squares,
        error,
        n_passes,
        "sketch-cholesky",
        error <= ENOUGH,
    )
