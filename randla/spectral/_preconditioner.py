"""A matrix A >= lower I over its bound, with or without a preconditioner: M >= I.

The preconditioner is P = lower (I + G'G) with a pivoted Cholesky factor F = sqrt(lower) G, (k, n).
Where A - lower I - F'F is positive semidefinite, as a pivoted Cholesky factor of A - lower I leaves
it, M = P^(-1/2) A P^(-1/2) has no eigenvalue below 1. With the eigendecomposition
G G' = V diag(s) V',

    (I + G'G)^(-1/2) = I - W'W,    W = diag(r (1 + r))^(-1/2) V'G,    r = (1 + s)^(1/2),

which divides by no small s.
"""

import math
from typing import Any

import numpy as np

from randla._random import generator_from_key
from randla._typing import Array
from randla.spectral._kernel_functions import Precomputed
from randla.spectral._operator import SquareMatrix, require_symmetric
from randla.spectral._pivoted_factor import pivoted_factor

#: The factor ends where the trace of what is left is this part of `lower`.
_CLOSE = 0.1
#: An eigenvalue of M below 1 by more than this many times eps |P| / lower contradicts `lower`.
_REFUSED = 100.0


class Preconditioner:
    """P = lower (I + G'G), from the rows (k, n) of a factor.

    Attributes
    ----------
    rank : int
    log_det : float
        log det (P / lower).
    norm : float
        The largest eigenvalue of P / lower: where P is near A, about the condition of A.
    log_det_above : float
        An upper bound of log det (A / lower), inf if there is none.
    """

    def __init__(self, rows: Any, lower: float) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            G = np.asarray(rows, dtype=np.float64) / math.sqrt(lower)
            gram = G @ G.T
        if not np.isfinite(gram).all():
            raise ValueError(f"lower must not be so far below the entries of A, got {lower:g}")
        s, V = np.linalg.eigh(gram)
        s = np.maximum(s, 0.0)
        r = np.sqrt(1.0 + s)
        self.rank = len(G)
        self.log_det = float(np.log1p(s).sum())
        self.log_det_above = math.inf
        self.norm = 1.0 + float(s.max(initial=0.0))
        self._W = (V / np.sqrt(r * (1.0 + r))).T @ G

    def inverse_root_times(self, X: Array) -> Array:
        """``X (P / lower)^(-1/2)`` for vectors as the rows of X (b, n)."""
        return X - (X @ self._W.T) @ self._W if self.rank else X


def pivoted_preconditioner(A: Array, lower: float, key: np.uint64) -> Preconditioner:
    """From the entries of A, by a pivoted Cholesky factor of A - lower I.

    Its rank is as large as costs no more than some tens of products, or as leaves little else:
    by the inequality of Hadamard, log det (A / P) <= sum_i log(1 + rest_i / lower).
    """
    n, matrix = len(A), _Less(A, lower)
    if (matrix.diagonal < 0.0).any():  # the least eigenvalue is no larger than the least entry
        least = A.diagonal().min()
        raise ValueError(
            f"lower must be below the least eigenvalue of A, got lower={lower:g} and a diagonal "
            f"entry {least:g}"
        )
    rtol = min(_CLOSE * lower / max(matrix.diagonal.sum(), lower), 1.0)
    try:
        factor = pivoted_factor(matrix, _rank(n), rtol, generator_from_key(key))
    except ValueError as error:
        raise ValueError(
            f"lower must be below the least eigenvalue of A, got lower={lower:g}, and {error}"
        ) from error
    P = Preconditioner(factor.rows, lower)
    P.log_det_above = P.log_det + float(np.log1p(factor.residual / lower).sum())
    return P


def _rank(n: int) -> int:
    return min(n // 4, math.isqrt(64 * n))


class _Less:
    """Entries of A - lower I."""

    name, dtype = "A - lower I", np.float64

    def __init__(self, A: Array, lower: float) -> None:
        self._A, self._lower = Precomputed(A, "A"), lower
        self.diagonal = self._A.diagonal - lower

    def entries(self, rows: Any, columns: Any) -> Array:
        """Those of some rows and columns, a new array."""
        values = self._A.entries(rows, columns)
        numbers = np.arange(self.diagonal.size)[columns]
        values[rows[:, None] == numbers] -= self._lower
        return values


class BoundedMatrix:
    """M = P^(-1/2) A P^(-1/2) >= I, known by its products.

    Attributes
    ----------
    n : int
    eps : float
        Rounding of a product, in units of the norm of M, or of `norm` if that is larger.
    norm : float
        That of P / lower: products are rounded as if M were as large.
    lower : float
    P : Preconditioner
    """

    def __init__(
        self, square: SquareMatrix, lower: float, P: Preconditioner, asymmetry: float
    ) -> None:
        self.n, self.eps, self.norm = square.n, square.eps, P.norm
        self.lower, self.P, self._square = lower, P, square
        self._asymmetry: float | None = max(asymmetry, _REFUSED * self.eps * self.norm)

    def times(self, X: Array) -> Array:
        """``X M`` for vectors as the rows of X (b, n)."""
        Y = self._square.times(self.P.inverse_root_times(X).T).T
        with np.errstate(over="ignore", invalid="ignore"):
            Y = Y * (self._square.scale / self.lower)
        if not np.isfinite(Y).all():
            raise ValueError(f"lower must not be so far below the entries of A, got {self.lower:g}")
        Y = self.P.inverse_root_times(Y)
        if self._asymmetry is not None:  # the first time
            require_symmetric(X @ Y.T, "A must be symmetric", self._asymmetry)
            self._asymmetry = None
        return Y

    def require_above_one(self, eigenvalue: float, norm: float) -> None:
        """Raise ValueError for an upper bound of the least eigenvalue that is too small."""
        if eigenvalue >= 1.0 - _REFUSED * self.eps * norm:
            return
        if self.P.rank:
            got = f"after preconditioning an eigenvalue of at most {eigenvalue:.6g} instead of 1"
            also = ", and the preconditioner one of a part of A - lower I"
        else:
            got, also = f"one of at most {eigenvalue * self.lower:g}", ""
        raise ValueError(
            f"lower must be below the least eigenvalue of A{also}: got lower={self.lower:g} and "
            f"{got}"
        )
