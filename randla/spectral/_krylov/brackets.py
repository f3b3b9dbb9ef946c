r"""Brackets of singular values: :math:`\hat\sigma_j \le \sigma_j \le` an upper end that is proved.

Below, V has s orthonormal columns with :math:`V'A'AV = \mathrm{diag}(\mu)`, in descending order,
and :math:`A'AV - V\mathrm{diag}(\mu) = QC` with orthonormal Q. By Weyl's inequality
:math:`\sigma_j^2 \le \mu_j + \tau^2` with :math:`\tau^2 = |A|_F^2 - \sum_j \mu_j`
(Halko, Martinsson and Tropp, section 4). Far narrower ends follow from C and any
:math:`\nu \ge |A(I - VV')|_2^2`, such as :math:`\tau^2`: in a basis that begins with V and Q, and
in the Loewner order,

.. math::

    A'A = \begin{pmatrix} \mathrm{diag}(\mu) & (C', 0) \\ (C', 0)' & N \end{pmatrix}
    \preceq \begin{pmatrix} \mathrm{diag}(\mu) & C' \\ C & \nu I \end{pmatrix} \oplus \nu I,

as :math:`N \preceq \nu I`; so :math:`\sigma_j^2` is at most the j-th eigenvalue on the right. Its
excess over :math:`\mu_j` is quadratic in C where there is a gap, as in the bound of Li and Li, to
which it reduces for one vector.

Rounding errors are part of the statement. The constant was found on 34,000 hostile matrices, of
which the worst needed 182: sums of equal entries, whose rounding errors have one sign, and clusters
in LAPACK.

Sources: Halko, Martinsson and Tropp, "Finding structure with randomness: probabilistic algorithms
for constructing approximate matrix decompositions", SIAM Rev. 53 (2011), 217-288; Li and Li, "A
note on eigenvalues of perturbed Hermitian matrices", Linear Algebra Appl. 395 (2005), 183-190.
"""

from __future__ import annotations

import math

import numpy as np

from randla._typing import Array
from randla.spectral._matrix import SpectralMatrix


def rounding(A: SpectralMatrix) -> float:
    """Relative error allowed for sums over a matrix, and products with it."""
    return (500.0 + math.sqrt(max(A.shape))) * A.unit


def coarse_rounding(A: SpectralMatrix) -> float:
    """`rounding` of an operator of less than double precision, which its residuals do not show; 0
    of any other matrix.
    """
    return rounding(A) if A.unit > SpectralMatrix.unit else 0.0


def block_upper_bounds(mu: Array, coupling: Array, nu: float, k: int) -> Array:
    """Upper ends of the squares of the first k singular values from mu (s,), C (b, s) and nu."""
    b, s = coupling.shape
    M = np.diag(np.append(mu, np.full(b, nu)))
    M[s:, :s] = coupling
    return np.maximum(np.linalg.eigvalsh(M)[::-1][:k], nu)  # which reads the lower triangle


def monotone(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Both ends, tightened by the order of the singular values."""
    return (
        np.maximum.accumulate(np.maximum(lower, 0.0)[::-1])[::-1],
        np.minimum.accumulate(upper),
    )
