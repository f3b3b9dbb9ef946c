"""A matrix A >= lower I, with or without a preconditioner: a matrix M with a lower bound.

The preconditioner is P = r (I + G'G), where F = sqrt(r) G, (k, n), is a pivoted Cholesky factor of
A - lower I or a part of it, so that

    A >= lower I + F'F >= (lower / r) P    and    M = P^(-1/2) A P^(-1/2) >= lower / r,

if r >= lower. The ridge r is lower plus a part of the mean of what F leaves of the diagonal: then
M is near I where F has nothing, too, and z' log(M) z varies little. With the eigendecomposition
G G' = V diag(s) V',

    (I + G'G)^(-1/2) = I - W'W,    W = diag(t (1 + t))^(-1/2) V'G,    t = (1 + s)^(1/2),

which divides by no small s.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import generator_from_key
from randla._scaling import EPS
from randla._typing import Array
from randla.spectral._kernel_matrix.determinant import determinant_bounds, factor_rounding
from randla.spectral._kernel_matrix.kernel_functions import Precomputed
from randla.spectral._kernel_matrix.pivoted_factor import pivoted_factor
from randla.spectral._matrix.base import require_in_range
from randla.spectral._matrix.square import SquareMatrix, require_symmetric

#: The factor ends where the trace of what is left is this part of `lower`.
_CLOSE = 0.1
#: This part of the mean of what the factor leaves is in the ridge; 0.1 to 1 differ little.
_RIDGE = 0.3
#: Entries of products over `lower`; squares beyond would overflow.
_LARGEST_RATIO = 1e100
# In units of sqrt(n) eps times the norm of P / ridge or of M: rounding of an eigenvalue of M; and
# how far below its bound it contradicts `lower`. (Where `lower` is the least eigenvalue of most of
# the matrix, allowances that do not grow with n found contradictions, and brackets of no use.)
_ROUNDING, _REFUSED = 4.0, 32.0


class Preconditioner:
    """P = ridge (I + G'G), from the rows (k, n) of a factor sqrt(ridge) G.

    Attributes
    ----------
    rank : int
    is_all : bool
        Whether it came from a factor of all of A - lower I.
    ridge, norm : float
        The least and the largest eigenvalue of P.
    least : float
        A bound below the eigenvalues of M: lower / ridge, less what a factor of float32 has lost.
    log_det : float
        Of P.
    bounds : (float, float)
        Bounds of log det A.
    """

    def __init__(self, rows: NDArray[Any], lower: float, rest: Array, *, is_all: bool) -> None:
        """From a factor that leaves the diagonal `rest`; `is_all`: of all of A - lower I."""
        (self.rank, n), self.is_all = rows.shape, is_all
        eps = float(np.finfo(rows.dtype).eps)
        rows = rows.astype(np.float64, copy=False)
        trace = float(rest.sum() + np.einsum("ij,ij->", rows, rows))
        self.ridge = lower + _RIDGE * float(rest.mean())
        self.least = _certain_part(lower, self.rank, trace, eps) / self.ridge
        with np.errstate(over="ignore", invalid="ignore"):
            G = rows / math.sqrt(self.ridge)
            gram = G @ G.T
        if not np.isfinite(gram).all():
            raise ValueError(f"lower must not be so far below the entries of A, got {lower:g}")
        s, V = np.linalg.eigh(gram)
        s = np.maximum(s, 0.0)
        t = np.sqrt(1.0 + s)
        self.norm = self.ridge * (1.0 + float(s.max(initial=0.0)))
        self.log_det = n * math.log(self.ridge) + float(np.log1p(s).sum())
        below, above = determinant_bounds(self.ridge * s, rest, n, lower, trace, eps)
        self.bounds = below, above if is_all else math.inf
        self._W = (V / np.sqrt(t * (1.0 + t))).T @ G

    def inverse_root_times(self, X: Array) -> Array:
        """``X (P / ridge)^(-1/2)`` for vectors as the rows of X (b, n)."""
        return X - (X @ self._W.T) @ self._W if self.rank else X


def _certain_part(lower: float, k: int, trace: float, eps: float) -> float:
    """The number c with A >= c I + F'F where the factor is less exact than products."""
    if eps <= EPS:  # the node of the quadrature makes room for that
        return lower
    lost = factor_rounding(k, trace, eps)
    if lost > 0.5 * lower:
        raise ValueError(
            f"preconditioner must have a factor of float64 for a lower below {2.0 * lost:.2g}, got "
            f"float32 and lower={lower:g}"
        )
    return lower - lost


def pivoted_preconditioner(A: Array, lower: float, key: np.uint64) -> Preconditioner:
    """Preconditioner from the entries of A, by a pivoted Cholesky factor of A - lower I.

    Its rank is as large as costs no more than some tens of products, or as leaves little else.
    """
    n, matrix = len(A), _Less(A, lower)
    if (matrix.diagonal < 0.0).any():  # the least eigenvalue is no larger than the least entry
        least = A.diagonal().min()
        raise ValueError(
            f"lower must be below the least eigenvalue of A, got lower={lower:g} and a diagonal "
            f"entry {least:g}"
        )
    with np.errstate(over="ignore"):
        trace = require_in_range(float(matrix.diagonal.sum()), "trace")
    rtol = min(_CLOSE * lower / max(trace, lower), 1.0)
    try:
        factor = pivoted_factor(matrix, _rank(n), rtol, generator_from_key(key))
    except ValueError as error:
        raise ValueError(
            f"lower must be below the least eigenvalue of A, got lower={lower:g}, and {error}"
        ) from error
    return Preconditioner(factor.rows, lower, factor.residual, is_all=True)


def _rank(n: int) -> int:
    return min(n // 4, math.isqrt(64 * n))


class _Less:
    """Entries of A - lower I."""

    name, dtype = "A - lower I", np.float64

    def __init__(self, A: Array, lower: float) -> None:
        self._A, self._lower = Precomputed(A, "A"), lower
        self.diagonal = self._A.diagonal - lower

    def entries(self, rows: Any, columns: Any) -> Array:
        """Entries in some rows and columns, a new array."""
        values = self._A.entries(rows, columns)
        numbers = np.arange(self.diagonal.size)[columns]
        values[rows[:, None] == numbers] -= self._lower
        return values


class BoundedMatrix:
    """M = P^(-1/2) A P^(-1/2), known by its products.

    Attributes
    ----------
    n : int
    lower : float
    P : Preconditioner
    norm : float
        The largest |M q| of a unit vector q so far, or that of P / ridge if it is larger: products
        are rounded as if M were as large.
    least : float
        A bound below its eigenvalues.
    smallest : float
        The least upper bound of its least eigenvalue so far.
    """

    def __init__(
        self, square: SquareMatrix, lower: float, P: Preconditioner, asymmetry: float
    ) -> None:
        self.n, self.lower, self.P, self.least = square.n, lower, P, P.least
        self.norm = P.norm / P.ridge
        self.smallest = math.inf
        self._square, self._eps = square, square.eps
        self._asymmetry: float | None = asymmetry

    @property
    def rounding(self) -> float:
        """What rounding may add to an eigenvalue."""
        return _ROUNDING * math.sqrt(self.n) * self._eps * self.norm

    @property
    def _refused(self) -> float:
        """How far below its bound an eigenvalue contradicts it."""
        return _REFUSED / _ROUNDING * self.rounding

    def times(self, X: Array) -> Array:
        """``X M`` for unit vectors (or zeros) as the rows of X (b, n)."""
        Y = self._square.times(self.P.inverse_root_times(X).T).T
        ratio, largest = self._square.scale / self.P.ridge, float(np.abs(Y).max())
        if not ratio * largest <= _LARGEST_RATIO:
            raise ValueError(
                f"lower must not be so far below the entries of A, got {self.lower:g} and products "
                f"near {self._square.scale * largest:.2g}"
            )
        Y = self.P.inverse_root_times(ratio * Y)
        if self._asymmetry is not None:  # the first time
            allowed = min(max(self._asymmetry, self._refused), 1.0)
            require_symmetric(X @ Y.T, "A must be symmetric", allowed)
            self._asymmetry = None
        self.norm = max(self.norm, math.sqrt(np.einsum("bn,bn->b", Y, Y).max()))
        return Y

    def require_above_least(self, eigenvalue: float) -> None:
        """Raise ValueError if that is too small for an upper bound of the least eigenvalue."""
        self.smallest = min(self.smallest, eigenvalue)
        if eigenvalue >= self.least - self._refused:
            return
        if self.P.rank:
            got = f"a preconditioned one of {eigenvalue / self.least:.6g} times what that allows"
        else:
            got = f"one of at most {eigenvalue * self.P.ridge:g}"
        also, advice = "", "pass a smaller lower"
        if self.P.rank and not self.P.is_all:  # it came from the user
            also = ", and the preconditioner that of a part of A - lower I"
            advice += ", or another preconditioner"
        if eigenvalue < -self._refused:
            advice = "A is not positive definite"
        raise ValueError(
            f"lower must be below the least eigenvalue of A{also}, got lower={self.lower:g} and "
            f"{got}: {advice}"
        )
