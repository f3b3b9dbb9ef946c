r"""Least squares by Cholesky factorisation of the Gram matrix, with scaled columns and refinement.

R comes from the Gram matrix of :math:`AD`, D the inverse norms of the columns. A step of refinement
reduces the error to about EPS cond(AD)^2 of it, so this is for condition numbers up to some 1e7.
Where they are small the Gram matrix is made in float32, in half the time, for a few more steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._scaling import exponents_of
from randla._tall.dense_rows import DenseRows
from randla._tall.problem import Rows
from randla.regression._solvers.preconditioner import TriangularFactor
from randla.regression._solvers.rank import EPS, has_lost_rank
from randla.regression._solvers.refinement import ENOUGH, Solution, refine

#: Condition number of AD up to which refinement of plain Cholesky pays.
CHOLESKY_LIMIT = 3e7
#: Columns from which a Gram matrix in float32 and further refinement beat one in float64.
SINGLE_FROM = 64
_EPS_SINGLE = float(np.finfo(np.float32).eps)


def solve_by_cholesky(
    rows: Rows, rcond: float | None, *, forced: bool = False, single: bool = False
) -> Solution | None:
    """Scaled Cholesky with refinement; None where the condition number is too large for it.

    With `forced` whatever the condition number is; None only if the factorisation breaks down.
    With `single` the Gram matrix is made in float32, which refinement makes up for.
    """
    G, C = rows.gram(single=single)
    norms = np.sqrt(G.diagonal())
    if single and not fit_single(norms):
        return None
    rows.require_range(norms)
    exponents = -exponents_of(norms)
    D = np.ldexp(1.0, exponents)
    G *= D[:, None]
    G *= D
    R, info = lapack.dpotrf(G, lower=0, clean=1)
    if info != 0:
        return None
    reciprocal, _ = lapack.dpocon(R, np.abs(G).sum(axis=0).max())
    condition = max(reciprocal, EPS * EPS) ** -0.5
    unit, limit = (_EPS_SINGLE, single_limit(rows.d)) if single else (EPS, CHOLESKY_LIMIT)
    if condition > limit and not forced:
        return None
    if rcond is not None and has_lost_rank(R, (rows.n, rows.d), rcond):
        return None
    factor = TriangularFactor(R, contraction=min(10.0 * unit * condition**2, 1.0))
    Y = factor.forward(factor.adjoint(D[:, None] * C))
    Y, squares, error, n_passes = refine(rows, factor, exponents, Y)
    # Beyond the limit R is too far from A for its estimate of the error to be trusted.
    converged = error <= ENOUGH and factor.contraction < 1.0
    if not (converged or forced):
        return None
    return Solution(Y, exponents, factor, rows.d, squares, error, n_passes, "cholesky", converged)


def single_limit(d: int) -> float:
    """Condition number of AD up to which a Gram matrix in float32 saves time.

    A step of refinement then reduces the error by some 1e-6 cond(AD)^2 only. What it saves is worth
    more steps the more columns there are (measured: 3 at d = 64, 5 at 200, 20 at 1000).
    """
    return min(float(d), 300.0) if d >= SINGLE_FROM else 0.0


def fit_single(norms: NDArray[np.float64]) -> bool:
    """Whether products of columns with these norms stay well inside the range of float32."""
    return bool(norms.min() > 1e-12 and norms.max() < 1e12)


class FirstLook(NamedTuple):
    """What a sample of rows says about all of them; right answers never depend on it.

    Attributes
    ----------
    condition : float
        Condition number with scaled columns, inf if numerically singular; nan if not known.
    fits_single : bool
        Whether the columns have norms that float32 can square.
    """

    condition: float
    fits_single: bool


def look_at_some_rows(rows: DenseRows) -> FirstLook:
    """Guess from some rows how plain Cholesky would fare, to save a pass over all."""
    n_sample = 2 * rows.d
    if rows.n < 16 * n_sample:
        return FirstLook(math.nan, False)
    sample = rows.load_every(rows.n // n_sample)
    G = sample.T @ sample
    norms = np.sqrt(G.diagonal())
    if not (norms.min() > 0.0 and np.isfinite(norms).all()):
        return FirstLook(math.nan, False)
    G /= norms[:, None]
    G /= norms
    if rows.root_ridge is not None:
        G.flat[:: rows.d + 1] += (rows.root_ridge / norms) ** 2 * (len(sample) / rows.n)
    R, info = lapack.dpotrf(G, lower=0, clean=0)
    if info != 0:
        return FirstLook(math.inf, False)
    reciprocal, _ = lapack.dpocon(R, np.abs(G).sum(axis=0).max())
    return FirstLook(max(reciprocal, EPS * EPS) ** -0.5, fit_single(norms))
