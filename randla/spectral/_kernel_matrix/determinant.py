"""Bounds of log det(K + ridge I) from a partial Cholesky factor F of K, of k columns.

What F leaves, E = K - FF', is positive semidefinite. So, with Hadamard's inequality for the
determinant of I + E / ridge,

    log det(FF' + ridge I) <= log det(K + ridge I)
                           <= log det(FF' + ridge I) + sum_i log(1 + E_ii / ridge).

Rounding. What is stored has FF' + E = K + D with |D_ij| <= c u sqrt(K_ii K_jj), c = k + 16: an
entry of F ends a sum of at most k products, and |F_i|^2 <= K_ii (Cauchy-Schwarz; Higham, "Accuracy
and stability of numerical algorithms", 2nd edition, SIAM (2002), theorem 10.3); the rest is for the
entries of K and for storing F. Hence the spectral norm is |D| <= c u tr K, the nuclear norm is at
most sqrt(n) times the Frobenius norm, sqrt(n) c u tr K, and E_ii is off by c u K_ii. As
log det(B + D) - log det B is the integral of tr (B + tD)^-1 D over t in [0, 1], both ends move by
at most

    (sqrt(n) + 1) c u tr K / (ridge - |D|),

and by 4 eps tr F'F tr (F'F + ridge I)^-1 for the eigenvalues of F'F, which are of double precision.
"""

import math

import numpy as np

from randla._scaling import EPS
from randla._typing import Array

#: Roundings of an entry of K and of F besides those of the k products.
_OF_ENTRIES = 16


def factor_rounding(k: int, trace: float, eps: float) -> float:
    """The bound of |D|: K - FF' has no eigenvalue below minus that."""
    return (k + _OF_ENTRIES) * 0.5 * eps * trace


def determinant_bounds(
    values: Array, residual: Array, n: int, ridge: float, trace: float, eps: float
) -> tuple[float, float]:
    """Bounds of log det(K + ridge I), rounding included.

    From the eigenvalues of F'F, the diagonal of E, the trace of K, and the eps of the factor.
    """
    log_ridge, terms = math.log(ridge), np.log(values + ridge)
    value = float(terms.sum()) + (n - values.size) * log_ridge
    with np.errstate(divide="ignore"):  # log 0
        missing = float(np.logaddexp(0.0, np.log(residual) - log_ridge).sum())
    of_sum = 4.0 * EPS * (float(np.abs(terms).sum()) + n * (1.0 + abs(log_ridge)))
    least = n * log_ridge - of_sum  # of any K, and the most for its trace (Jensen)
    most = n * math.log(trace / n + ridge) + of_sum
    norm = factor_rounding(values.size, trace, eps)
    if norm >= ridge:
        return least, most
    rounding = (math.sqrt(n) + 1.0) * norm / (ridge - norm) + of_sum
    rounding += 4.0 * EPS * float(values.sum() * np.sum(1.0 / (values + ridge)))
    return max(value - rounding, least), min(value + missing + rounding, most)
