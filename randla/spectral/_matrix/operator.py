"""A SciPy LinearOperator, known by its products; each is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from randla._tall.operator import checked_product
from randla._typing import Array
from randla.spectral._matrix.base import SpectralMatrix, is_safe, nearest_power_of_two

#: Relative difference of <A u, v> and <u, A'v> beyond the rounding of float32.
_ADJOINT_TOLERANCE = 1e-6


class OperatorMatrix(SpectralMatrix):
    """Products by matmat and rmatmat, which SciPy makes of single columns where it has to.

    The reads that are counted are products with A, of any number of columns, and its adjoint.
    """

    is_read = False

    def __init__(self, A: Any, center: bool = False) -> None:
        if np.dtype(A.dtype).kind == "c":
            raise TypeError("A must be real, got a complex LinearOperator")
        super().__init__(A, center)
        self._check()
        if center:
            self.mean = self._adjoint(np.full((self.shape[0], 1), 1.0 / self.shape[0]))[:, 0]

    def _check(self) -> None:
        """Find the scale, and compare the two products: <A u, v> is <u, A'v>."""
        rng = np.random.default_rng(0)
        u, v = (rng.standard_normal((size, 1)) for size in self.shape[::-1])
        Au, Av = self._product(u), self._adjoint(v)
        size = float((Au * (Au / max(np.abs(Au).max(), 1e-300))).sum())  # of |A|_F^2, roughly
        top = float(np.abs(Au).max())
        if top > 0.0 and not is_safe(top * size):
            self.scale = nearest_power_of_two(top)
            Au, Av = Au / self.scale, Av / self.scale
        left, right = float((Au * v).sum()), float((u * Av).sum())
        norms = [float(np.linalg.norm(x)) for x in (Au, v, u, Av)]
        if abs(left - right) > _ADJOINT_TOLERANCE * (norms[0] * norms[1] + norms[2] * norms[3]):
            raise ValueError(
                "A must have a product with its transpose (rmatvec, rmatmat) that is the adjoint "
                f"of its product, got <A u, v> = {left:.6g} and <u, A'v> = {right:.6g}"
            )

    def gram_times(self, X: Array) -> Array:
        return self.transposed_times(self.times(X))

    def times(self, X: Array) -> Array:
        self.n_passes += 1
        Y = self._product(X)
        return Y if self.mean is None else Y - self.mean @ X

    def transposed_times(self, Y: Array) -> Array:
        self.n_passes += 1
        Z = self._adjoint(Y)
        return Z if self.mean is None else Z - np.outer(self.mean, Y.sum(axis=0))

    def _product(self, X: Array) -> Array:
        return checked_product(self.A.matmat, X, (self.shape[0], X.shape[1])) / self.scale

    def _adjoint(self, Y: Array) -> Array:
        try:
            return checked_product(self.A.rmatmat, Y, (self.shape[1], Y.shape[1])) / self.scale
        except (NotImplementedError, TypeError) as error:
            raise TypeError(
                f"A must have a product with its transpose (rmatvec or rmatmat), got {error!r}"
            ) from error
