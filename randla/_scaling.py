"""Rounding errors of doubles, and scales as powers of two, which have none."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Relative distance of one and the next double.
EPS = float(np.finfo(np.float64).eps)
#: Powers of two up to this one, and their reciprocals, are numbers with all their digits.
MAX_EXPONENT = 1020


def rounded_sum(values: Iterable[float]) -> float:
    """The sum, correctly rounded; inf where a partial sum of finite numbers leaves the range."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def exponents_of(norms: NDArray[Any]) -> NDArray[np.int64]:
    """Exponents e that bring positive norms to ``norm * 2^-e`` in [1/2, 1); zero for zero."""
    return np.frexp(norms)[1].astype(np.int64)


def power_of_two_scale(largest: Any) -> Any:
    """Powers of two that bring numbers to [1/2, 1); 1 for a zero."""
    exponents = np.clip(np.frexp(largest)[1], -MAX_EXPONENT, MAX_EXPONENT)
    return np.where(largest > 0, np.ldexp(1.0, -exponents), 1.0)


def median_exponents(X: NDArray[Any]) -> NDArray[np.int64]:
    """Exponents of the medians of the nonzero entries of each column (else of 1)."""
    magnitudes = np.abs(X)
    magnitudes[magnitudes == 0.0] = np.nan
    magnitudes[:, np.isnan(magnitudes).all(axis=0)] = 1.0  # a column of zeros
    with np.errstate(over="ignore", invalid="ignore"):
        medians = np.nanmedian(magnitudes, axis=0)
    return exponents_of(np.where(np.isfinite(medians), medians, 1.0))
