"""A matrix in memory, sparse, an operator or a Dask array, scaled and centred: its products."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator

from randla._typing import Array
from randla._validation import are_in_memory, as_matrix


def open_matrix(A: Any, *, center: bool = False) -> SpectralMatrix:
    """`A` with its products, an array, a SciPy sparse matrix, a LinearOperator or a Dask array."""
    if isinstance(A, LinearOperator):
        return SpectralMatrix(A, 1.0, center)
    if not are_in_memory(A):
        A = A.compute()
    A = as_matrix(A, sparse=True)
    if 0 in A.shape:
        raise ValueError(f"A must have rows and columns, got shape {A.shape}")
    largest = abs(A).max()
    scale = 2.0 ** np.round(np.log2(largest)) if largest > 0.0 else 1.0
    return SpectralMatrix(A / scale, scale, center)


class SpectralMatrix:
    """A matrix over a power of two, less the means of its columns where it is centred.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        Of the entries as they were given.
    is_read : bool
        Whether the entries are known, or products only.
    n_passes : int
        How often A was read.
    scale : float
        The power of two; known after the first pass.
    mean : (n,) ndarray or None
        Of the columns, over `scale`, where it is centred; known after the first pass.
    squared_norm : float
        Frobenius, of the scaled and centred matrix; known after the first pass.
    """

    def __init__(self, A: Any, scale: float, center: bool) -> None:
        self.A, self.shape, self.scale, self.dtype = A, A.shape, scale, A.dtype
        self.is_read = not isinstance(A, LinearOperator)
        self.n_passes = 0
        self.mean: Array | None = None
        self.squared_norm = np.nan
        ones = np.ones(self.shape[0])
        if self.is_read and not issparse(A):
            self.A = A.astype(np.float64)
        if center:
            self.mean = (self.A.T @ ones) / self.shape[0]
            if self.is_read and not issparse(A):
                self.A = self.A - self.mean
        if self.is_read and not issparse(A):
            self.squared_norm = float((self.A * self.A).sum())
        elif self.is_read:
            mean = np.zeros(self.shape[1]) if self.mean is None else self.mean
            at = mean[self.A.indices]
            self.squared_norm = float(
                ((self.A.data - at) ** 2 - at**2).sum() + self.shape[0] * (mean @ mean)
            )

    @property
    def _shift(self) -> Array | None:
        return self.mean if issparse(self.A) or not self.is_read else None

    def gram_times(self, X: Array) -> Array:
        """``A'A X``, (n, s), in one read."""
        Y = self.times(X)
        self.n_passes -= 1
        return self.transposed_times(Y)

    def times(self, X: Array) -> Array:
        """``A X``, (m, s)."""
        self.n_passes += 1
        Y = np.asarray(self.A @ X)
        return Y if self._shift is None else Y - self._shift @ X

    def transposed_times(self, Y: Array) -> Array:
        """``A'Y``, (n, s)."""
        self.n_passes += 1
        Z = np.asarray(self.A.T @ Y)
        return Z if self._shift is None else Z - np.outer(self._shift, Y.sum(axis=0))

    def gram(self) -> Array:
        """``A'A``, (n, n)."""
        return self.gram_times(np.eye(self.shape[1]))

    def transposed(self) -> SpectralMatrix:
        """The transposed matrix, with a count of passes of its own; not if it is centred."""
        assert self.mean is None
        A = self.A.T
        return SpectralMatrix(A.tocsr() if issparse(A) else A, self.scale, False)
