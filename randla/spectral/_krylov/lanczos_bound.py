r"""How far beyond its Ritz values the spectrum of a symmetric matrix may go.

Block Lanczos from b random directions :math:`X_1` has, with the Ritz values :math:`\theta` and
their vectors S,

.. math:: M X S = X S \operatorname{diag}(\theta) + Q C, \qquad Q'Q = I,\quad X_1 = X S S_1'.

Let :math:`\lambda` be the largest eigenvalue and v its vector. Multiplied by v' from the left this
gives

.. math::

    v'X_1 = v'Q\; C \operatorname{diag}(\lambda - \theta)^{-1} S_1',
    \qquad \text{so that}\quad
    |v'X_1| \le f(\lambda) = \bigl|C \operatorname{diag}(\lambda - \theta)^{-1} S_1'\bigr|_2.

Random directions are not nearly orthogonal to v: the square of :math:`|v'X_1|` has the law
Beta(b/2, (n - b)/2), hence it is below the p-quantile :math:`\delta^2` with probability p only.
Unless that happens, :math:`\lambda` is at most the root of :math:`f = \delta`, f being decreasing.
One event serves any number of steps: looking costs no probability. An invariant space has C = 0.

What the process drops as too small, E, is one more term on the right,
:math:`v'E \operatorname{diag}(\lambda - \theta)^{-1} S_1'`. It may be along v
itself, so that all of :math:`|E|_2 |\operatorname{diag}(\lambda - \theta)^{-1} S_1'|_2` is added to
f. Roundings e of a product are another, but their direction has nothing to do with v, so that
:math:`v'e` is :math:`|e| / \sqrt n` or so, and moves the root by that over :math:`\delta`.

Sources, for one vector: van Dorsselaer, Hochstenbach and van der Vorst, "Computing probabilistic
bounds for extreme eigenvalues of symmetric matrices with the Lanczos method", SIAM J. Matrix Anal.
Appl. 22 (2000), 837-852; Hochstenbach, "Probabilistic upper bounds for the matrix two-norm", J.
Sci. Comput. 57 (2013), 464-476. Bounds for the worst spectrum: Kuczyński and Woźniakowski,
"Estimating the largest eigenvalue by the power and Lanczos algorithms with a random start", SIAM J.
Matrix Anal. Appl. 13 (1992), 1094-1122.
"""

import numpy as np
from scipy.special import betaincinv

from randla._typing import Array

#: Relative size of the rounding errors of a product.
_ROUNDING = 2e-13


def lanczos_bound(
    theta: Array,
    S: Array,
    C: Array,
    *,
    block: int,
    n: int,
    failure_probability: float,
    size: float,
    deflated: float,
) -> float:
    """An upper bound of the largest eigenvalue that fails with at most this probability.

    Parameters
    ----------
    theta : (l,) ndarray
        Ritz values in descending order.
    S : (l, l) ndarray
        Their vectors in the basis, whose first `block` vectors span the random directions.
    C : (b, l) ndarray
        Coefficients of their residuals in an orthonormal Q.
    n : int
        Dimension of the space in which the directions are uniform.
    size : float
        The norm of M, or of what it was computed from, roughly: for rounding errors. Larger by as
        much as these are larger than those of float64.
    deflated : float
        The norm of E.
    """
    if block >= n:
        return float(theta[0])
    delta = np.sqrt(betaincinv(0.5 * block, 0.5 * (n - block), failure_probability))
    slack = _ROUNDING * size / (np.sqrt(n) * delta)

    def exceeds(t: float) -> bool:
        D = S[:block].T / (theta[0] - theta + t)[:, None]
        return float(np.linalg.norm(C @ D, 2) + deflated * np.linalg.norm(D, 2)) > delta

    high = (float(np.linalg.norm(C, 2)) + deflated) / delta  # f(t) <= (|C| + |E|) / t
    low = max(1e-16 * size, 1e-6 * high)
    if high <= low or not exceeds(low):
        return float(theta[0]) + min(low, high) + slack
    for _ in range(30):  # f is decreasing: bisection of log t, of which the upper end is kept
        middle = np.sqrt(low * high)
        low, high = (middle, high) if exceeds(middle) else (low, middle)
        if high < 1.001 * low:
            break
    return float(theta[0]) + high + slack
