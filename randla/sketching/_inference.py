r"""The error of a sketched least-squares solution, estimated from the same sketch.

Let S be Gaussian, (m, n), :math:`x'` the solution of the sketched problem, :math:`\rho` the norm
of its residual and :math:`C = ((SA)^T SA)^{-1}`. Given SA, the error :math:`x' - x^*` is normal
with covariance :math:`|r|^2 C / m`, r the residual of the exact solution, and
:math:`m \rho^2 / |r|^2` is an independent chi-square with m - d degrees of freedom. So

.. math:: \frac{x'_j - x^*_j}{\sigma \sqrt{C_{jj}}} \sim t_{m-d}, \qquad
          \sigma^2 = \frac{\rho^2}{m - d},

exactly, for any A and b: only S is random. A sketch whose rows are drawn without
replacement from the N rows of an orthogonal matrix (the SRHT; population N) is modeled as rows of
a Haar matrix. Then

.. math:: |r|^2 \approx \rho^2 \frac{m (N - d)}{N (m - d)}, \qquad
          \mathrm{Var}(x'_j) \approx |r|^2 \frac{N (N - m)}{m (N - d)(N - d - 1)} C_{jj},

which reduce to the formulas of the Gaussian sketch as N tends to infinity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from randla._results import t_of_tail


def squared_residual(rho_squared: Any, m: int, d: int, population: int | None) -> Any:
    """Estimate ``|b - A x*|^2`` from the squared residual of a sketch of m rows, rank d."""
    if population is None:  # m rho^2 / |r|^2 is chi-square of mean m - d
        return rho_squared * (m / (m - d))
    return rho_squared * (m / population) * ((population - d) / (m - d))


def variance_factor(m: int, d: int, population: int | None) -> float:
    """Return f in ``Var(x'_j) = f |r|^2 C_jj``, conditional on the sketch."""
    if population is None:  # covariance |r|^2 C / m
        return 1.0 / m
    if m >= population:  # the sketch is orthogonal: x' is exact
        return 0.0
    return population / m * (population - m) / ((population - d) * (population - d - 1))


def inverse_bias(m: int, d: int, population: int | None) -> float:
    """Ratio of E[C] to ``(A'A)^-1``; 1 where it is infinite or unknown."""
    if m <= d + 1:  # the mean of an inverse Wishart matrix is infinite
        return 1.0
    if population is None:
        return m / (m - d - 1)
    return max(m / population * (population - d - 1) / (m - d - 1), 1.0)


def simultaneous_t(delta: float, d: int, degrees_of_freedom: int) -> float:
    """Bound that d absolute Student t variables satisfy at once with probability 1 - delta."""
    return float(t_of_tail(0.5 * delta / max(d, 1), degrees_of_freedom))  # Bonferroni


def implied_eps(m: int, d: int, delta: float, population: int | None) -> float:
    """The eps that m rows guarantee: ``|x'_j - x*_j| <= eps/sqrt(d) |r| sqrt(G_jj)`` for all j."""
    t = simultaneous_t(delta, d, m - d)
    bias = inverse_bias(m, d, population)
    return float(t * np.sqrt(d * variance_factor(m, d, population) * bias))
