"""Wald tests of linear restrictions of the coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._results import Result, warn_caller
from randla._typing import Array
from randla._validation import as_array
from randla.regression._errors.options import InferenceWarning

#: Relative size, in units of rounding errors, below which a direction counts as zero.
_ROUNDING = 64.0 * float(np.finfo(np.float64).eps)
_HUGE = 1e150
#: Standard error of a restriction, relative to its terms, that counts as zero.
_ZERO = 100.0 * float(np.finfo(np.float64).eps)
#: By how much a redundant restriction may contradict the others.
_CONTRADICTION = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class WaldTest(Result):
    """A test of linear restrictions: the result of `Inference.wald` or `Inference.equal_slopes`.

    Attributes
    ----------
    statistic : float
        F, the quadratic form of the restrictions over their number.
    p_value : float
        Probability of a larger F if the restrictions hold.
    degrees_of_freedom : tuple of float
        Degrees of freedom of the numerator and of the denominator.
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
        raise ValueError("R must have rows, and a nonzero entry in each of them")
    r = as_array(r, "r").astype(np.float64)
    if r.shape not in ((), (len(R),)):
        raise ValueError(f"r must be a number or have shape ({len(R)},), got shape {r.shape}")
    return R, np.broadcast_to(r, len(R))


def wald_test(R: Array, r: Array, x: Array, factor: Array, unit: Array, df: Array) -> WaldTest:
    """F = (Rx - r)'(R V R')^-1 (Rx - r) / q, with q the rank of R and V the covariance.

    `factor` times its transpose is that of x / unit. The scales of coefficients may differ by
    hundreds of powers of ten: each is taken in units of its standard error.
    """
    touched = R.any(axis=0)
    nu = float(np.fmin.reduce(df[touched]))
    R, F, unit = R[:, touched], factor[touched], unit[touched]
    if not np.isfinite(F).all():
        warn_caller("the test involves a coefficient that has no error", InferenceWarning)
        return WaldTest(np.nan, np.nan, (len(R), nu))
    x, sd = x[touched] / unit, np.linalg.norm(F, axis=1)
    size = np.where(sd > 0.0, sd, np.where(x != 0.0, np.abs(x), 1.0))
    R, r = in_units(R, r, unit, size)
    x, F = x / size, F / size[:, None]
    R, r = _independent(R, r)
    excess, tolerance = R @ x - r, _CONTRADICTION * (np.abs(R) @ np.abs(x) + np.abs(r))
    exact: Any = ~R[:, sd > 0.0].any(axis=1)  # of coefficients without errors
    if (np.abs(excess) > tolerance)[exact].any():
        return WaldTest(np.inf, 0.0, (len(R), nu))
    R, excess, q = R[~exact], excess[~exact], int((~exact).sum())
    if q == 0:
        return WaldTest(0.0, 1.0, (len(exact), nu))
    root, terms = R @ F, np.linalg.norm(np.abs(R) @ np.abs(F), axis=1)
    errors = np.linalg.norm(root, axis=1)
    if (errors <= _ZERO * terms).any():
        warn_caller("the variance of a restriction is zero up to rounding", InferenceWarning)
        return WaldTest(np.nan, np.nan, (q, nu))
    U, s, _ = np.linalg.svd(root / errors[:, None], full_matrices=False)
    if len(s) < q or not s[-1] ** 2 > _ROUNDING * q * s[0] ** 2:
        warn_caller(
            f"the rank of the covariance is too small for {q} restrictions", InferenceWarning
        )
        return WaldTest(np.nan, np.nan, (q, nu))
    statistic = float(((U.T @ (excess / errors) / s) ** 2).sum() / q)
    return WaldTest(statistic, f_tail(statistic, q, nu), (q, nu))


def in_units(R: Array, r: Array, unit: Array, size: Array) -> tuple[Array, Array]:
    """Restrictions of x / (unit size), each row scaled by a power of two to about 1.

    `unit` are powers of two; the products may be out of range.
    """
    mantissa, e = np.frexp(size)
    R, row = R * mantissa, np.frexp(R)[1].astype(np.int64)
    e = e + np.log2(unit).astype(np.int64)
    top = np.where(R != 0.0, row + e, np.iinfo(np.int64).min).max(axis=1)
    return np.ldexp(R, e - top[:, None]), np.ldexp(r, -top)


def _independent(R: Array, r: Array) -> tuple[Array, Array]:
    """Restrictions equivalent to R x = r, of full row rank, and of rows of norm 1.

    Gaussian elimination with complete pivoting, which finds small differences between rows. An
    entry that cancels up to rounding is set to zero.
    """
    R = np.column_stack([R, r])
    size, left, found = np.abs(R), np.arange(len(R)), []
    while left.size:
        body = np.abs(R[left, :-1])
        i, j = np.unravel_index(body.argmax(), body.shape)
        if body[i, j] == 0.0:
            break
        pivot = left[i]
        found.append(pivot)
        left = np.delete(left, i)
        factor = R[left, j] / R[pivot, j]
        R[left] -= np.outer(factor, R[pivot])
        size[left] += np.outer(np.abs(factor), size[pivot])
        R[left, j] = 0.0
        R[left] = np.where(np.abs(R[left]) <= _ROUNDING * size[left], 0.0, R[left])
        top = np.abs(R[left, :-1]).max(axis=1, initial=0.0)
        top = np.where(top > 0.0, top, 1.0)[:, None]
        with np.errstate(over="ignore"):
            R[left], size[left] = (np.clip(v[left] / top, -_HUGE, _HUGE) for v in (R, size))
    if (np.abs(R[left, -1]) > _CONTRADICTION * size[left, -1]).any():
        raise ValueError("r must be consistent: some rows of R depend on others, unlike r")
    R = R[found]
    R /= np.linalg.norm(R[:, :-1], axis=1)[:, None]
    return R[:, :-1], R[:, -1]


def f_tail(statistic: float, q: int, nu: float) -> float:
    """The probability that an F variable is larger."""
    from scipy.special import chdtrc, fdtrc

    return float(chdtrc(q, q * statistic) if np.isinf(nu) else fdtrc(q, nu, statistic))
