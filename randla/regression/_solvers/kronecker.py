r"""Least squares with a Kronecker product, which is never formed.

.. math:: (A_1 \otimes A_2)^+ = A_1^+ \otimes A_2^+

A right-hand side is a matrix Z (n1, n2), row by row, and the solution of minimum norm is
:math:`X = A_1^+ Z (A_2^+)^T`: two small problems with many right-hand sides. With a ridge the
singular vectors of both factors diagonalize the problem,
:math:`X = V_1 \big(\Sigma \circ (U_1^T Z U_2)\big) V_2^T` with
:math:`\Sigma_{ij} = s_i t_j / (s_i^2 t_j^2 + \lambda)`. The answer is refined on its residual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from randla._scaling import EPS
from randla._tall.dense import DenseMatrix
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.rank import column_norms, numerical_rank
from randla.regression._solvers.refinement import ENOUGH, Solution
from randla.sketching._kronecker import KroneckerProduct

#: Solves a problem with one factor of the product.
SolvePart = Callable[[ScaledProblem, float | None], Solution]
_MAX_REFINEMENTS = 4
#: Ratio of the scales of two columns of a Kronecker factor up to which its SVD is used.
_LARGEST_SPREAD = 1e9


def is_structured(rows: ScaledProblem) -> bool:
    """Whether the problem splits into one for each factor of a Kronecker product."""
    is_dense = isinstance(rows.tall, DenseMatrix)
    return not is_dense and splits(rows.A, rows.root_weights, rows.ridge)


def splits(A: Any, root_weights: Array | None, ridge: float) -> bool:
    """Whether A is a product whose factors can be solved one by one."""
    if not isinstance(A, KroneckerProduct) or root_weights is not None:
        return False
    # A ridge needs the singular values of the factors, and small singular values of small columns
    # lose all digits next to large ones.
    return ridge == 0.0 or max(_spread(A.A1), _spread(A.A2)) < _LARGEST_SPREAD


def _spread(A: Array) -> float:
    """Ratio of the largest to the least maximum norm of a column; zero columns do not count."""
    norms = np.abs(A).max(axis=0).astype(np.float64)
    return float(norms.max() / norms.min(where=norms > 0.0, initial=np.inf))


class _Spectra:
    """Singular values and vectors of both factors."""

    def __init__(self, rows: ScaledProblem) -> None:
        (s1, self.V1), (s2, self.V2) = map(_spectrum, (rows.A.A1, rows.A.A2))
        self.s = np.multiply.outer(s1, s2)[:, :, None]
        self.ridge = rows.ridge
        self.shape = (self.V1.shape[1], self.V2.shape[1], rows.k)

    def in_row_space(self, G: Array) -> Array:
        """``(V1 (x) V2)' G`` as (r1, r2, k)."""
        return np.einsum("ia,abk,jb->ijk", self.V1, G.reshape(self.shape), self.V2, optimize=True)

    def expand(self, C: Array) -> Array:
        """``(V1 (x) V2) C``."""
        Y = np.einsum("ia,ijk,jb->abk", self.V1, C, self.V2, optimize=True)
        return Y.reshape(-1, self.shape[2])

    def backward_error(self, g: Array, Y: Array, squares: Array) -> float:
        """Karlson and Waldén's estimate, the largest over the right-hand sides."""
        norm = column_norms(Y)
        norm = np.where(norm > 0.0, norm, np.inf)
        omega = np.hypot(np.sqrt(squares) / norm, self.ridge**0.5)
        below = np.maximum(np.hypot(self.s, omega), np.finfo(np.float64).tiny)
        shrunk = np.sqrt(((self.in_row_space(g) / below) ** 2).sum(axis=(0, 1)))
        top = np.hypot(self.s.max(), self.ridge**0.5)
        error = np.minimum(shrunk, np.sqrt(squares)) / (norm * top) if top > 0.0 else np.zeros(1)
        return float(error.max())


class _PseudoInverse:
    """``A1^+ (x) A2^+``; the rank is known once it was applied."""

    def __init__(self, rows: ScaledProblem, rcond: float | None, solve: SolvePart) -> None:
        self.A1, self.A2, self.rcond, self.solve = rows.A.A1, rows.A.A2, rcond, solve
        self.ranks = [0, 0]

    def step(self, R: Array, g: Array) -> Array:
        """Return the solution of minimum norm for the right-hand sides R."""
        (n1, d1), (n2, d2), k = self.A1.shape, self.A2.shape, R.shape[1]
        X = self._solve(0, self.A1, R.reshape(n1, n2 * k)).reshape(d1, n2, k)
        X = self._solve(1, self.A2, X.transpose(1, 0, 2).reshape(n2, d1 * k)).reshape(d2, d1, k)
        return X.transpose(1, 0, 2).reshape(d1 * d2, k)

    def _solve(self, which: int, A: Array, Z: Array) -> Array:
        part = ScaledProblem(DenseMatrix(A), np.ascontiguousarray(Z))
        solution = self.solve(part, self.rcond)
        self.ranks[which] = int(solution.rank or 0)
        return part.unscale(solution.Y, solution.exponents)

    @property
    def rank(self) -> int:
        return self.ranks[0] * self.ranks[1]


class _RidgeInverse:
    """``(A'A + ridge)^-1 A'`` by the singular vectors of both factors."""

    def __init__(self, rows: ScaledProblem, spectra: _Spectra) -> None:
        self.spectra, self.rank = spectra, rows.d
        self.shifted = np.hypot(spectra.s, rows.ridge**0.5)

    def step(self, R: Array, g: Array) -> Array:
        """Return the step that removes the gradient g = A'R - ridge X."""
        # A x has no share in singular values of zero, where a small ridge would magnify errors.
        in_range = np.where(self.spectra.s > 0.0, self.spectra.in_row_space(g), 0.0)
        return self.spectra.expand(in_range / self.shifted / self.shifted)


def solve_by_factors(rows: ScaledProblem, rcond: float | None, solve: SolvePart) -> Solution:
    """Solve with A a `KroneckerProduct` to full precision; `solve` does so with a factor."""
    spectra = _Spectra(rows)
    inverse: _PseudoInverse | _RidgeInverse = (
        _RidgeInverse(rows, spectra) if rows.ridge > 0.0 else _PseudoInverse(rows, rcond, solve)
    )
    best = Y = inverse.step(rows.B, rows.tall.transposed(rows.B))
    best_error, n_refinements = np.inf, 0
    for n_refinements in range(_MAX_REFINEMENTS + 1):
        R = rows.residual_vectors(Y)
        g, squares = rows.transposed(R), (R * R).sum(axis=0)
        error = spectra.backward_error(g, Y, squares)
        falls = error < 0.5 * best_error
        if error < best_error or n_refinements == 0:
            best, best_squares, best_error = Y, squares, error
        if error <= EPS or not falls:
            break
        Y = Y + inverse.step(R[: rows.n], g)
    converged = best_error <= ENOUGH
    return Solution(
        best, None, None, inverse.rank, best_squares, best_error, n_refinements, "lapack", converged
    )


def _spectrum(A: Array) -> tuple[Array, Array]:
    """Singular values, zero for those that are rounding errors, and right singular vectors V'."""
    _, s, Vt = np.linalg.svd(A.astype(np.float64, copy=False), full_matrices=False)
    s[numerical_rank(s, A.shape, None) :] = 0.0
    return s, Vt
