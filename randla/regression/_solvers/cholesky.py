r"""Least squares by Cholesky factorization of a Gram matrix with refinement, plain and sketched.

Plain: R comes from the Gram matrix of :math:`AD`, D the inverse norms of the columns. A step of
refinement multiplies the error by about EPS cond(AD)^2, so this is for condition numbers up to
about 1e7. If they are small the Gram matrix is computed in float32, in half the time, at the price
of a few more steps.

Sketched: :math:`R_0` from a QR of a sketch makes :math:`Y = A D R_0^{-1}` nearly orthonormal; then
L from the Gram matrix of Y, and :math:`R = L^T R_0`, for any condition number of A. The first
solution, from :math:`Y^T b` of the same pass, is already close to backward stable.

Sources: Balabanov, "Randomized Cholesky QR factorizations", arXiv:2210.09953 (2022); Melnichenko,
Balabanov, Murray, Demmel, Mahoney and Luszczek, "CholeskyQR with randomization and pivoting for
tall matrices (CQRRPT)", SIAM J. Matrix Anal. Appl. 46 (2025), 1701-1734, arXiv:2311.08316.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from randla._scaling import EPS, exponents_of
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.preconditioner import TriangularPreconditioner
from randla.regression._solvers.rank import has_lost_rank
from randla.regression._solvers.refinement import Solution, refine
from randla.regression._solvers.sketched_factor import DrawFactor, SketchedFactor

#: Condition number of AD up to which refinement of plain Cholesky pays off.
CHOLESKY_LIMIT = 3e7
#: Columns from which a Gram matrix in float32 and further refinement beat one in float64.
SINGLE_FROM = 64
_EPS_SINGLE = float(np.finfo(np.float32).eps)
#: Reciprocal condition number of Y'Y below which the sketch was bad. With m = 4d it is near 1/9.
_WORST_GRAM = 1e-4


def solve_by_cholesky(
    rows: ScaledProblem, rcond: float | None, *, forced: bool = False, single: bool = False
) -> Solution | None:
    """Scaled Cholesky with refinement; None where the condition number is too large for it.

    With `forced` for any condition number; None only if the factorization breaks down. With
    `single` the Gram matrix is computed in float32, for which refinement compensates.
    """
    G, C = rows.gram(single=single)  # A'A, A'B
    norms = np.sqrt(G.diagonal())
    if single and not fit_single(norms):
        return None
    rows.require_range(norms)
    exponents = -exponents_of(norms)
    D = np.ldexp(1.0, exponents)
    G *= D[:, None]
    G *= D
    R, info = lapack.dpotrf(G, lower=0, clean=1)  # R'R = D A'A D
    if info != 0:
        return None
    condition = _condition(R, G)
    unit, limit = (_EPS_SINGLE, single_limit(rows.d)) if single else (EPS, CHOLESKY_LIMIT)
    if condition > limit and not forced:
        return None
    if rcond is not None and has_lost_rank(R, (rows.n, rows.d), rcond):
        return None
    P = TriangularPreconditioner(R, contraction=min(10.0 * unit * condition**2, 1.0))
    Y = P.forward(P.adjoint(D[:, None] * C))  # R^-1 R^-T D A'B
    solution = refine(rows, P, exponents, Y, method="cholesky", rank=rows.d)
    if P.contraction >= 1.0:  # R is too far from A for a reliable error estimate
        solution = replace(solution, converged=False)
    return solution if solution.converged or forced else None


def _condition(R: Array, G: Array) -> float:
    """Condition number of R in G = R'R, by LAPACK's estimate in the 1-norm."""
    reciprocal, _ = lapack.dpocon(R, np.abs(G).sum(axis=0).max())
    return max(reciprocal, EPS * EPS) ** -0.5


def solve_by_sketched_cholesky(
    rows: ScaledProblem, draw: DrawFactor, m: int, sketched: SketchedFactor | None = None
) -> Solution | None:
    """Sketch-preconditioned Cholesky with refinement; None if four sketches are not good enough."""
    for _ in range(4):
        sketched = sketched or draw(m)
        exponents, rank = sketched.exponents, sketched.rank
        if rank == 0:  # A is zero
            X, squares = np.zeros((rows.d, rows.k)), rows.rhs_squares()
            return Solution(X, exponents, None, 0, squares, 0.0, 0, "sketch-cholesky")
        P = sketched.inverse()
        D = np.ldexp(1.0, exponents)[:, None]
        G, C = rows.gram(  # Y'Y and Y'B for Y = A D P
            D * P, triangular=sketched.spectrum is None, single=rows.d >= SINGLE_FROM
        )
        L, info = lapack.dpotrf(G, lower=0, clean=1)  # upper triangular: L'L = Y'Y
        if info == 0 and lapack.dpocon(L, np.abs(G).sum(axis=0).max())[0] > _WORST_GRAM:
            Y = P @ lapack.dpotrs(L, C)[0]
            preconditioner = sketched.preconditioner(L)
            solution = refine(
                rows, preconditioner, exponents, Y, method="sketch-cholesky", rank=rank
            )
            return sketched.shortest(rows, solution)
        m = 2 * m if sketched.population is None else min(2 * m, sketched.population)
        sketched = None
    return None


def single_limit(d: int) -> float:
    """Condition number of AD up to which a Gram matrix in float32 saves time.

    A step of refinement then reduces the error by a factor of only about 1e-6 cond(AD)^2. The
    saving is worth more steps the more columns there are (measured: 3 at d = 64, 5 at 200, 20 at
    1000).
    """
    return min(float(d), 300.0) if d >= SINGLE_FROM else 0.0


def fit_single(norms: Array) -> bool:
    """Whether products of columns with these norms stay well inside the range of float32."""
    return bool(norms.min() > 1e-12 and norms.max() < 1e12)


class SampleOfRows(NamedTuple):
    """Estimates from a sample of rows, to choose a method; correctness does not depend on them."""

    condition: float  # with scaled columns, inf if numerically singular; nan if unknown
    fits_single: bool  # whether the columns have norms that float32 can square


def look_at_sample(rows: ScaledProblem) -> SampleOfRows:
    """Predict from a sample of rows whether plain Cholesky succeeds, to save a pass over all."""
    n_sample = 2 * rows.d
    if rows.n < 16 * n_sample:
        return SampleOfRows(math.nan, False)
    sample = rows.tall.load_every(rows.n // n_sample)
    G = sample.T @ sample
    norms = np.sqrt(G.diagonal())
    if not (norms.min() > 0.0 and np.isfinite(norms).all()):
        return SampleOfRows(math.nan, False)
    G /= norms[:, None]
    G /= norms
    if rows.root_ridge is not None:
        G.flat[:: rows.d + 1] += (rows.root_ridge / norms) ** 2 * (len(sample) / rows.n)
    R, info = lapack.dpotrf(G, lower=0, clean=0)
    if info != 0:
        return SampleOfRows(math.inf, False)
    return SampleOfRows(_condition(R, G), fit_single(norms))
