"""The preconditioner sigma^2 I + F F' of a matrix A >= sigma^2 I, by a pivoted Cholesky factor F.

With G = F / sigma and the eigendecomposition G'G = V diag(s) V',

    (I + G G')^(-1/2) = I - W W',    W = G V diag(r (1 + r))^(-1/2),    r = (1 + s)^(1/2),

which divides by no small s. Where A - sigma^2 I - F F' is positive semidefinite, as a pivoted
Cholesky factor of A - sigma^2 I leaves it, the preconditioned matrix has no eigenvalue below 1.
"""

import math
from typing import Any

import numpy as np

from randla._typing import Array


class Preconditioner:
    """P = lower (I + G G').

    Attributes
    ----------
    log_det : float
        log det (P / lower).
    norm : float
        The largest eigenvalue of P / lower: where P is near A, about the condition of A.
    """

    def __init__(self, factor: Any, lower: float) -> None:
        G = np.asarray(factor, dtype=np.float64) / math.sqrt(lower)
        with np.errstate(over="ignore", invalid="ignore"):
            gram = G.T @ G
        if not np.isfinite(gram).all():
            raise ValueError(f"lower must not be so far below the entries of A, got {lower:g}")
        s, V = np.linalg.eigh(gram)
        s = np.maximum(s, 0.0)
        r = np.sqrt(1.0 + s)
        self.log_det = float(np.log1p(s).sum())
        self.norm = 1.0 + float(s.max(initial=0.0))
        self._W = G @ (V / np.sqrt(r * (1.0 + r)))

    def inverse_root_times(self, X: Array) -> Array:
        """``X (P / lower)^(-1/2)`` for vectors as the rows of X (b, n)."""
        return X - (X @ self._W) @ self._W.T
