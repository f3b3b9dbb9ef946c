"""The products of a matrix of any kind."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from randla._scaling import MAX_EXPONENT
from randla._typing import Array

#: Squared Frobenius norms that neither overflow nor lose digits, nor do their squares.
_SAFE = 1e-120, 1e120
_BLOCK_ENTRIES = 1 << 24  # of the columns in which a residual is summed


class SpectralMatrix(ABC):
    """A over a power of two, less the means of its columns where it is centered; A from here on.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        Of the entries as they were given.
    is_read : bool
        Whether the entries are known, or products only.
    is_sparse : bool
        Whether products are cheap compared with a dense matrix of this shape.
    n_passes : int
        How often A was read, also before it was transposed.
    scale : float
        The power of two, 1 unless |A|_F is far from 1; known after the first product.
    mean : (n,) ndarray or None
        Of the columns, over `scale`, where they are centered; known after the first product.
    offset : float
        Norm of what is subtracted from products, whose rounding errors are theirs: of the means, or
        of what of them does not go into the entries; known with `mean`.
    unit : float
        The unit roundoff of products.
    squared_norm : float
        |A|_F^2; known after the first product, but NaN for an operator.
    """

    is_read = True
    is_sparse = False
    scale, unit = 1.0, 2.0**-53
    mean: Array | None = None
    offset = 0.0
    squared_norm = np.nan

    def __init__(self, A: Any, center: bool) -> None:
        self.A, self.center = A, center
        self.shape: tuple[int, int] = A.shape
        self.dtype = A.dtype
        self.n_passes = 0

    @abstractmethod
    def gram_times(self, X: Array) -> Array:
        """``A'A X``, (n, s), in one read."""

    @abstractmethod
    def times(self, X: Array) -> Array:
        """``A X``, (m, s)."""

    @abstractmethod
    def transposed_times(self, Y: Array) -> Array:
        """``A'Y``, (n, s)."""

    def gram(self) -> Array:
        """``A'A``, (n, n)."""
        G = self.gram_times(np.eye(self.shape[1]))
        return 0.5 * (G + G.T)  # symmetric but for rounding

    def entries(self) -> Array:
        """All of A, a new array."""
        return self.times(np.eye(self.shape[1]))

    def residual_squared_norm(self, B: Array, V: Array) -> float:
        """``|A - B V'|_F^2``, with B (m, k) and V (n, k), by blocks of columns."""
        (m, n), total = self.shape, 0.0
        step = max(1, min(n, _BLOCK_ENTRIES // max(m, n)))
        for first in range(0, n, step):
            columns = np.eye(n, min(step, n - first), -first)
            E = self.times(columns) - B @ V[first : first + step].T
            total += float((E * E).sum())
        return total

    def transposed(self) -> SpectralMatrix:
        """A', centered as A is."""
        return Transposed(self)

    @np.errstate(over="ignore")  # a block of a larger matrix, whose scale comes later
    def _offset_of(self, subtracted: Array) -> float:
        return math.sqrt(max(self.shape)) * float(np.linalg.norm(subtracted))


class Transposed(SpectralMatrix):
    """The transposed of a matrix whose rows cannot be read across."""

    def __init__(self, inner: SpectralMatrix) -> None:
        self.inner, self.is_read, self.unit = inner, inner.is_read, inner.unit
        self.shape, self.dtype = inner.shape[::-1], inner.dtype

    scale = property(lambda self: self.inner.scale)  # type: ignore[assignment]
    offset = property(lambda self: self.inner.offset)  # type: ignore[assignment]
    squared_norm = property(lambda self: self.inner.squared_norm)  # type: ignore[assignment]
    n_passes = property(lambda self: self.inner.n_passes)  # type: ignore[assignment]

    def gram_times(self, X: Array) -> Array:
        return self.inner.times(self.inner.transposed_times(X))

    def times(self, X: Array) -> Array:
        return self.inner.transposed_times(X)

    def transposed_times(self, Y: Array) -> Array:
        return self.inner.times(Y)

    def residual_squared_norm(self, B: Array, V: Array) -> float:
        return self.inner.residual_squared_norm(V, B)

    def transposed(self) -> SpectralMatrix:
        return self.inner


def is_safe(squared_norm: float) -> bool:
    """Whether a squared norm is far from overflow and underflow."""
    return _SAFE[0] < squared_norm < _SAFE[1]


def require_in_range(value: float, what: str, name: str = "A") -> float:
    """`value`, of A as it was given, unless it left the range of doubles."""
    if not math.isfinite(value):
        raise ValueError(
            f"{name} must have a {what} of at most 1.8e308 in magnitude, got a larger one: divide "
            f"{name} by a power of two"
        )
    return value


def nearest_power_of_two(x: float) -> float:
    """The power of two nearest to x > 0; it and its reciprocal are exact."""
    return float(2.0 ** np.clip(np.rint(np.log2(x)), -MAX_EXPONENT, MAX_EXPONENT))
