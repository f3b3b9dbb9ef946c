"""Positive semidefinite matrices whose entries are computed, or read, where they are asked for."""

from functools import lru_cache
from types import FunctionType
from typing import Any, Protocol

import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from randla._jit import unsaved_kernel
from randla._typing import Array
from randla._validation import FloatArray, as_array, as_choice, as_matrix
from randla.spectral._kernels import kernel_functions as kernels

NAMES = ("gaussian", "laplace", "matern12", "matern32", "matern52")
#: The symmetry of a precomputed matrix up to this size is checked entry by entry.
_CHEAP_TO_READ = 1000
#: Distances of points with so many coordinates come from a matrix product, which is faster there
#: (twice in 784 dimensions), if no point is further than the root of `_NEAR` length scales from the
#: center: their squares then lose less than two digits.
_MANY_COLUMNS, _NEAR = 48, 32.0
#: Not "matern12", which near zero is a root of the square.
_OF_SQUARES = ("gaussian", "matern32", "matern52")


class SymmetricEntries(Protocol):
    """A symmetric matrix (n, n) of which entries can be had."""

    name: str  # of the argument, for errors
    dtype: Any  # of the factor
    diagonal: Array  # (n,) float64

    def entries(self, rows: NDArray[np.int64], columns: Any) -> Array:
        """A new array of float64 (s, m); `columns` is a slice or an array of numbers."""


class Precomputed:
    """An array (n, n), of which only the asked entries are read."""

    def __init__(self, K: Any, name: str = "X") -> None:
        if hasattr(K, "matvec"):
            raise TypeError(
                f"{name} must be an array, whose entries are read, got a {type(K).__name__} of "
                "which only products are known"
            )
        self.K: Any = as_matrix(K, name, finite=False)
        n = len(self.K)
        if self.K.shape != (n, n) or n == 0:
            raise ValueError(
                f"{name} must be a square matrix of kernel values (or give a kernel's name),"
                f" got shape {self.K.shape}"
            )
        if self.K.flags.f_contiguous:
            self.K = self.K.T  # rows are contiguous
        self.name, self.dtype = name, self.K.dtype
        self.diagonal = np.diagonal(self.K).astype(np.float64)
        self._require_finite(self.diagonal)
        if n <= _CHEAP_TO_READ:
            require_symmetric(self.entries(np.arange(n), slice(n)), self.diagonal, self)

    def entries(self, rows: NDArray[np.int64], columns: Any) -> Array:
        if isinstance(columns, slice):
            values = self.K[rows, columns].astype(np.float64)
        else:
            values = self.K[np.ix_(rows, columns)].astype(np.float64)
        return self._require_finite(values)

    def _require_finite(self, values: Array) -> Array:
        if not np.isfinite(values).all():
            raise ValueError(f"{self.name} must be finite, got NaN or inf")
        return values


def require_symmetric(block: Array, diagonal: Array, matrix: SymmetricEntries) -> None:
    """Raise ValueError unless a block of entries is symmetric; half of the digits must agree."""
    root = np.finfo(matrix.dtype).eps ** 0.25 * np.sqrt(np.maximum(diagonal, 0.0))
    gaps = np.abs(block - block.T)
    if (gaps > root[:, None] * root).any():
        raise ValueError(
            f"{matrix.name} must be symmetric, got entries that differ by {gaps.max():.2g} from "
            f"those of the transpose, compared with {np.abs(block).max():.2g}"
        )


class KernelFunction:
    """A named kernel, or a user's, between points; holds none of them."""

    def __init__(self, kernel: Any, length_scale: Any, dim: int) -> None:
        takes_theta = not isinstance(kernel, str) and _n_arguments(kernel) == 3
        #: What a user's kernel is handed as theta; else reciprocal length scales, one a column.
        self.theta = (_as_theta if takes_theta else _reciprocals)(length_scale, dim)
        self.kernel, self.length_scale, self.dim = kernel, np.array(length_scale), dim
        self._scaled = not isinstance(kernel, str) and not takes_theta
        self._users: Any = None if isinstance(kernel, str) else _compiled(kernel, takes_theta)

    def __reduce__(self) -> tuple[Any, ...]:
        return KernelFunction, (self.kernel, self.length_scale, self.dim)

    def __call__(self, pivots: FloatArray, points: FloatArray) -> Array:
        """Values (s, m) between points (s, d) and (m, d)."""
        out = np.empty((len(pivots), len(points)))
        if self._users is not None:
            return self._call_users(pivots, points, out)
        panel, rows = np.array(points.T, np.float64, order="C"), pivots.astype(np.float64)
        kernels.evaluate(NAMES.index(self.kernel), panel, rows, self.theta, out)
        return out

    def diagonal(self, points: FloatArray) -> Array:
        """Values (m,) of each point with itself."""
        if self._users is None:
            return np.ones(len(points))  # of all named kernels
        self._require_bounds(points[:1].astype(np.float64))
        return self._call_users(points[:0], points, np.empty((1, len(points))))[0]

    def _call_users(self, pivots: FloatArray, points: FloatArray, out: Array) -> Array:
        scale = self.theta if self._scaled else 1.0
        panel, rows = (np.multiply(x, scale, dtype=np.float64, order="C") for x in (points, pivots))
        try:
            self._users(panel, rows, self.theta, out)
        except NumbaError as error:
            raise TypeError(
                "kernel must be a function of two points (arrays of float64) that Numba compiles "
                f"and that returns a number: {error}"
            ) from error
        if not np.isfinite(out).all():
            raise ValueError("kernel must return finite numbers, got NaN or inf")
        return out

    def _require_bounds(self, point: Array) -> None:
        """Call a user's kernel once in Python, which sees what compiled code reads beyond."""
        arguments = (point[0], point[0], self.theta)[: _n_arguments(self.kernel)]
        try:
            with np.errstate(all="ignore"):
                _plain(self.kernel)(*arguments)
        except IndexError as error:
            raise ValueError(
                f"kernel must read no more than {point.size} coordinates of a point and "
                f"{self.theta.size} numbers of length_scale, got {error}"
            ) from error
        except Exception:
            return  # what Numba alone understands


class KernelOfPoints:
    """The matrix of the values of a kernel between points, none of which is stored."""

    name = "kernel"

    def __init__(self, X: FloatArray, function: KernelFunction) -> None:
        self.X, self.function, self.dtype = X, function, X.dtype
        self.diagonal = function.diagonal(X)
        self._center: Any = None  # given where distances come from products
        if X.shape[1] >= _MANY_COLUMNS and function.kernel in _OF_SQUARES:
            with np.errstate(all="ignore"):  # then they are not near
                self._center = X.mean(axis=0, dtype=np.float64)
                parts = (self._scaled(X[i : i + 1024]) for i in range(0, len(X), 1024))
                if not max(_squares(Z).max() for Z in parts) <= _NEAR:
                    self._center = None

    def entries(self, rows: NDArray[np.int64], columns: Any) -> Array:
        if self._center is None:
            return self.function(self.X[rows], self.X[columns])
        Y, Z = self._scaled(self.X[rows]), self._scaled(self.X[columns])
        out = Y @ Z.T
        out *= -2.0  # |y|^2 + |z|^2 - 2 y'z
        out += _squares(Y)[:, None]
        out += _squares(Z)
        kernels.of_distances(NAMES.index(self.function.kernel), out)
        return out

    def _scaled(self, points: FloatArray) -> Array:
        return (points - self._center) * self.function.theta


def _squares(Z: Array) -> Array:
    return np.einsum("ij,ij->i", Z, Z)


def _reciprocals(length_scale: Any, dim: int) -> Array:
    scale = as_array(length_scale, "length_scale")
    least = np.finfo(np.float64).tiny  # reciprocals of subnormal numbers are infinite
    if scale.shape not in ((), (dim,)) or not (scale >= least).all():
        got = f"shape {scale.shape}" if scale.shape not in ((), (dim,)) else f"{scale.min():g}"
        raise ValueError(
            f"length_scale must be positive, one number or one for each of {dim} columns, got {got}"
        )
    return np.array(np.broadcast_to(1.0 / scale.astype(np.float64), dim))


def _as_theta(length_scale: Any, dim: int) -> Array:
    """What a user's kernel is handed: a number once for each column, else the array as it is."""
    theta = as_array(length_scale, "length_scale")
    if theta.ndim > 1:
        raise ValueError(f"length_scale must be a number or 1-D, got shape {theta.shape}")
    return np.array(theta if theta.ndim else np.full(dim, theta), np.float64)


def as_kernel(kernel: Any) -> Any:
    """A name, or a function of a user, or an error."""
    if isinstance(_plain(kernel), FunctionType):
        if _n_arguments(kernel) not in (2, 3):
            got = _n_arguments(kernel)
            raise TypeError(f"kernel must take (x, y) or (x, y, theta), got {got} arguments")
        return kernel
    return as_choice(kernel, "kernel", ("precomputed", *NAMES))


def _plain(kernel: Any) -> Any:
    return getattr(kernel, "py_func", kernel)


def _n_arguments(kernel: Any) -> int:
    return int(_plain(kernel).__code__.co_argcount)


@lru_cache(maxsize=8)
def _compiled(kernel: Any, takes_theta: bool) -> Any:
    jitted = kernel if isinstance(kernel, Dispatcher) else unsaved_kernel(kernel)
    return kernels.make_evaluate(jitted, takes_theta)
