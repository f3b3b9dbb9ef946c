"""Wald tests of linear restrictions of the coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._results import Result, warn_caller
from randla._typing import Array
from randla._validation import as_array
from randla.regression._inference.options import InferenceWarning

#: Relative size, in units of rounding errors, below which a direction counts as none.
_ROUNDING = 64.0 * float(np.finfo(np.float64).eps)
#: What a redundant restriction may contradict the others by.
_CONTRADICTION = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class WaldTest(Result):
    """What `Inference.wald` and `Inference.equal_slopes` return.

    Attributes
    ----------
    statistic : float
        F, the quadratic form of the restrictions over their number.
    p_value : float
        Probability of a larger F if the restrictions hold.
    degrees_of_freedom : tuple of float
        Of the numerator and of the denominator.
    """

    statistic: float
    p_value: float
    degrees_of_freedom: tuple[int, float]


def as_restrictions(R: Any, r: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """R (q, k d), coefficients fastest, and r (q,)."""
    d, k = shape[0], int(np.prod(shape[1:]))
    R, given = as_array(R, "R").astype(np.float64), np.shape(R)
    if given == shape or given[1:] == shape == (d, k):  # of the shape of the estimate
        R = R.reshape(-1, d, k).transpose(0, 2, 1)
    elif R.ndim not in (1, 2) or R.shape[-1] != k * d:
        several = "" if k == 1 else f", (q, {d}, {k})"
        raise ValueError(
            f"R must have shape {shape} or (q, {k * d}){several} for {k * d} coefficients, "
            f"got shape {given}"
        )
    R = R.reshape(-1, k * d)
    if not len(R) or not R.any(axis=1).all():
        raise ValueError("R must have rows, and an entry that is not zero in each of them")
    r = as_array(r, "r").astype(np.float64)
    if r.shape not in ((), (len(R),)):
        raise ValueError(f"r must be a number or have shape ({len(R)},), got shape {r.shape}")
    return R, np.broadcast_to(r, len(R))


def wald_test(R: Array, r: Array, x: Array, covariance: Array, unit: Array, df: Array) -> WaldTest:
    """F = (Rx - r)'(R V R')^-1 (Rx - r) / q, with q the rank of R and V the covariance.

    `covariance` is that of x / unit. The scales of coefficients may differ by hundreds of powers
    of ten: each is taken in units of its standard error.
    """
    touched = R.any(axis=0)
    nu = float(np.fmin.reduce(df[touched]))
    C, unit = covariance[np.ix_(touched, touched)], unit[touched]
    if np.isnan(C).any():
        warn_caller("the test is of a coefficient that has no error", InferenceWarning)
        return WaldTest(np.nan, np.nan, (len(R), nu))
    x, sd = x[touched] / unit, np.sqrt(C.diagonal())
    exact = sd == 0.0
    size = np.where(exact, np.maximum(np.abs(x), np.finfo(float).tiny), sd)
    R, x = R[:, touched] * (unit * size), x / size
    top = np.abs(R).max(axis=1)  # squares of R may overflow
    R /= top[:, None]
    length = np.sqrt((R**2).sum(axis=1))
    R, r = R / length[:, None], r / top / length  # rows of norm 1
    excess = R @ x - r
    tolerance = _CONTRADICTION * (np.abs(R) @ np.abs(x) + np.abs(r))
    U, s, Wt = np.linalg.svd(R, full_matrices=False)
    q = int((s > _ROUNDING * max(R.shape) * s[0]).sum())
    y = U[:, :q].T @ excess
    if (np.abs(excess - U[:, :q] @ y) > tolerance).any():
        raise ValueError("r must not contradict itself: some rows of R depend on others, unlike r")
    y, W = y / s[:q], Wt[:q].T
    if exact.all():  # known without error
        holds = bool((np.abs(excess) <= tolerance).all())
        return WaldTest(0.0, 1.0, (q, nu)) if holds else WaldTest(np.inf, 0.0, (q, nu))
    variances, V = np.linalg.eigh(W.T @ (C / np.outer(size, size)) @ W)
    if not variances[0] > _ROUNDING * q * variances[-1]:
        warn_caller(
            f"the covariance has too small a rank for a test of {q} restrictions", InferenceWarning
        )
        return WaldTest(np.nan, np.nan, (q, nu))
    statistic = float(((V.T @ y) ** 2 / variances).sum() / q)
    return WaldTest(statistic, f_tail(statistic, q, nu), (q, nu))


def f_tail(statistic: float, q: int, nu: float) -> float:
    """The probability that an F variable is larger."""
    from scipy.special import chdtrc, fdtrc

    return float(chdtrc(q, q * statistic) if np.isinf(nu) else fdtrc(q, nu, statistic))
