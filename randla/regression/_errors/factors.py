"""Factors F of covariances F F', built from columns in which A is well conditioned.

With A K orthonormal and C the covariance of K^-1 x, F is K times a root of C. Errors of C, squared
quantities, do not grow with the condition number of A; errors of K do, but are not squared.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpstrf

from randla._typing import Array

#: Rounding errors of correlations, for each of their columns.
_ROUNDING = 1e-15


def root(C: Array) -> Array:
    """F with F F' = C for a positive semidefinite C: Cholesky's method with pivots.

    Rounding errors of C are counted as variance, by a ridge on its correlations: what is below is
    reported as about 1e-7 of the errors that it is made of, and never as less than it is.
    """
    if not C.size or not np.isfinite(C).all():  # which LAPACK refuses, or takes for rank zero
        return np.full((len(C), 1), np.nan)
    size = np.sqrt(np.maximum(C.diagonal(), 0.0))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    ridge = _ROUNDING * max(len(C), 10)
    L, pivots, rank, _ = dpstrf(C * scale * scale[:, None] + ridge * np.eye(len(C)), lower=1)
    F = np.zeros((len(C), rank))
    F[pivots - 1] = np.tril(L)[:, :rank]
    return size[:, None] * F


def root_of_one_variance(products: Array, K: Array) -> Array:
    """The factor of `products` (k, k), those between fits zero if they are unknown, times K K'."""
    known = np.where(np.isnan(products), 0.0, products)
    return np.asarray(np.kron(root(known), K), np.float64)


def root_of_rows(rows: Array) -> Array:
    """F with F F' = rows' rows, of at most as many columns as rows."""
    R = np.asarray(np.linalg.qr(rows, mode="r"), np.float64)
    return R.T


def in_columns(K: Array, half: Array) -> Array:
    """Factor (k d, p) of coefficients K z from that of z, (k, r, p)."""
    return (K @ half).reshape(len(half) * len(K), half.shape[2])
