"""Rows so long that they leave no digits for what the others have in their columns.

Such a row takes up one direction whether it is so long or far longer. So gaps between the lengths
of rows are closed until the longest row is some 1e11 medians long. Rows on one side of a gap keep
their ratio. Lengths are binary exponents, with columns measured by their medians, and rows are
divided by powers of two, which is exact.

To multiply the rows above a gap raises their leverage scores, whose sum is at most their number,
and lowers all others by as much. So no score of the given rows is further from that of the
shortened ones than what the sums above the gaps lack: `doubt`. That is next to nothing for long
rows in directions of their own, and large where they are nearly parallel: what tells them apart
may then be as long as the other rows, or be lost in rounding.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.signedinteger[Any]]

_OFFSET = 1 << 13  # of binary exponents, to make them indices; index 0 is a row of zeros
LENGTHS = 2 * _OFFSET
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Gaps:
    """Which gaps between the lengths of rows are closed.

    Attributes
    ----------
    unit : (d,) ndarray of int
        Exponents of the medians of the columns.
    shifts, levels : ndarray of int
        For each exponent of a row's length: the power of two that the row is divided by, and the
        number of closed gaps below.
    above : ndarray of int
        The number of rows above each closed gap.
    limit : float
        Length of the longest row in medians, after that.
    """

    unit: Integers
    shifts: Integers
    levels: Integers
    above: Integers
    limit: float

    @property
    def nbytes(self) -> int:
        """Size of the tables."""
        return self.shifts.nbytes + self.levels.nbytes

    def doubt(self, sums: Array, rank: int) -> float:
        """How much a score may change if the gaps open again; `sums` of the scores by level."""
        most = np.minimum(self.above, rank)
        lacking = np.maximum(most - np.cumsum(sums[::-1])[::-1][1:], 0.0)
        rounding = most * (_EPS * self.limit) ** 2  # of the sums: a long row times a factor of A
        return min(float((lacking + rounding).sum()), 1.0)


def column_units(rows: Array) -> Integers:
    """Exponents of the medians of the entries of some rows that are not zero."""
    sizes = np.abs(rows)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of zeros
        median = np.nanmedian(np.where(sizes > 0.0, sizes, np.nan), axis=0)
    return exponents(np.where(np.isfinite(median), median, 1.0))


def lengths(rows: Array, unit: Integers, row_scale: Array | None) -> Integers:
    """Lengths of the rows, as indices of the tables of `Gaps`."""
    out = np.where(rows != 0.0, exponents(rows) - unit, -LENGTHS).max(axis=1)
    if row_scale is not None:
        out += np.where(row_scale > 0.0, exponents(row_scale), -LENGTHS)
    return np.clip(out + _OFFSET, 0, LENGTHS - 1)


def count_lengths(lengths: Integers) -> Array:
    """How many rows have each length."""
    return np.bincount(lengths, minlength=LENGTHS).astype(np.float64)


def exponents(x: Array) -> Integers:
    """Binary exponents."""
    return np.frexp(x)[1]


def gaps_to_close(counts: Array, unit: Integers, limit: float) -> Gaps | None:
    """The widest gaps above the median row, cut to one width; None if no row is that long."""
    table: Integers = counts.astype(np.int64)
    table[0] = 0
    if not table.any():
        return None
    median = int(np.searchsorted(np.cumsum(table), 0.5 * table.sum()))
    taken = median + np.flatnonzero(table[median:])
    gaps, most = np.diff(taken), int(np.log2(limit))
    if gaps.sum() <= most:
        return None
    width = most
    while width > 1 and np.minimum(gaps, width).sum() > most:
        width -= 1
    places = np.minimum(np.cumsum(np.minimum(gaps, width)), most)
    closed = np.diff(places, prepend=0) < gaps
    shifts, levels = np.zeros_like(table), np.zeros_like(table)
    shifts[taken[1:]] = taken[1:] - median - places
    levels[taken[1:]] = np.cumsum(closed)
    above = np.cumsum(table[::-1])[::-1][taken[1:][closed]]
    return Gaps(unit, shifts, levels, above, limit)
