"""Intervals for coefficients of quantile fits by inversion of rank tests."""

from __future__ import annotations

from randla._typing import Array
from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors


def rank_errors(
    data: FittedData, x: Array, taus: list[float], density: Array | None, robust: Errors
) -> Errors:
    """`robust` with the intervals of inverted rank tests.

    x (d, k) in the units of the caller; density (n, k), that of each row at its quantile (the
    default's f), or None for rows that are alike. Refuses what is not in memory.
    """
    raise NotImplementedError
