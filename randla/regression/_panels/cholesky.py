"""Cholesky factors of small Gram matrices."""

import numpy as np
from scipy.linalg import lapack

from randla._typing import Array


class Cholesky:
    """Cholesky factor of a Gram matrix, scaled to unit diagonal.

    A tiny ridge, increased until the factorization succeeds, compensates for lost rank: it perturbs
    a Newton direction, never a certificate.
    """

    def __init__(self, G: Array) -> None:
        diagonal = np.diagonal(G)
        scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        scaled = scale[:, None] * G * scale  # unit diagonal
        ridge, status = 1e-14, 1
        while status != 0 and ridge < 1.0:  # D (G + ridge diag(G)) D = U'U
            np.fill_diagonal(scaled, 1.0 + ridge)
            self.upper, status = lapack.dpotrf(scaled.T, lower=0, clean=1)
            ridge *= 100.0
        self.scale, self.failed = scale, status != 0

    def reciprocal_condition(self) -> float:
        """Reciprocal condition number of the scaled matrix, estimated."""
        if self.failed:
            return 0.0
        value, _ = lapack.dtrcon(self.upper)
        return float(value) ** 2  # cond(U'U) = cond(U)^2

    def solve(self, g: Array) -> Array:
        """The inverse of the Gram matrix times g."""
        solution, _ = lapack.dpotrs(self.upper, self.scale * g, lower=0)
        return self.scale * solution

    def whitener(self) -> Array:
        """A lower triangular W with W'W the inverse of the Gram matrix."""
        inverse, _ = lapack.dtrtri(self.upper, lower=0)
        return inverse.T * self.scale  # U^-T D
