"""A SciPy LinearOperator, known by its products; each is looked at."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator

from randla._tall.operator import adjoint_product, product
from randla._typing import Array
from randla.spectral._matrix.base import (
    SpectralMatrix,
    is_safe,
    nearest_power_of_two,
    require_in_range,
)

#: Relative difference of <A u, v> and <u, A'v> beyond the rounding of float32.
_ADJOINT_TOLERANCE = 1e-6


class OperatorMatrix(SpectralMatrix):
    """Products by matmat and rmatmat, which SciPy makes of single columns where it has to.

    The reads that are counted are products with A, of any number of columns, and its adjoint. The
    adjoint is compared with A at once, unless it may be missing. The scale is that of the first
    product that is not zero, if it is not given.
    """

    is_read = False

    def __init__(
        self, A: LinearOperator, center: bool = False, *,
        has_adjoint: bool = True, scale: float | None = None,
    ) -> None:  # fmt: skip
        dtype = np.dtype(A.dtype)
        if dtype.kind not in "biuf":
            kind = "complex numbers" if dtype.kind == "c" else f"dtype {dtype}"
            raise TypeError(f"A must hold real numbers, got {kind}")
        super().__init__(A, center)
        self.scale, self._has_scale = scale or 1.0, scale is not None
        if dtype.kind == "f":
            self.unit = max(0.5 * float(np.finfo(dtype).eps), self.unit)
        if has_adjoint:
            self._require_adjoint()
        if center:
            ones = np.full((self.shape[0], 1), 1.0 / self.shape[0])
            self.mean = self._scaled(adjoint_product(A, ones))[:, 0]
            self.offset = self._offset_of(self.mean)

    def _require_adjoint(self) -> None:
        """Compare the two products: <A u, v> is <u, A'v>."""
        rng = np.random.default_rng(0)
        u, v = (rng.standard_normal((size, 1)) for size in self.shape[::-1])
        Au, Av = self._scaled(product(self.A, u)), self._scaled(adjoint_product(self.A, v))
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
        Y = self._scaled(product(self.A, X))
        return Y if self.mean is None else Y - self.mean @ X

    def transposed_times(self, Y: Array) -> Array:
        self.n_passes += 1
        Z = self._scaled(adjoint_product(self.A, Y))
        return Z if self.mean is None else Z - np.outer(self.mean, Y.sum(axis=0))

    def _scaled(self, Y: Array) -> Array:
        """A new array: what an operator returned may be what it was given."""
        if not self._has_scale and (largest := float(np.abs(Y).max(initial=0.0))) > 0.0:
            self._has_scale = True
            require_in_range(largest, "product with a vector")  # of a wider type
            if not is_safe(largest * largest * Y.size):
                self.scale = nearest_power_of_two(largest)
        return Y / self.scale
