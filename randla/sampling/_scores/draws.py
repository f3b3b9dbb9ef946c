"""Draws of rows with given probabilities; the draw for row i depends only on the key and on i."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import counter_uniforms
from randla._tall.base import TallMatrix
from randla._typing import Array

#: Scores are capped here, in units of a score certainly below: such rows are always sampled.
_LARGEST = 1e150


# Inclusion probabilities min(1, c u) -------------------------------------------------------------


def inclusion_probabilities(u: Array, size: float) -> Array:
    """``min(1, c u)`` with c such that the sum is `size` (or 1 for each u > 0 if too few are).

    At most `size` probabilities can be 1, so only the largest scores are sorted.
    """
    unit, factor = _unit_and_factor(_top(0, u, size=int(size))[0], size)
    return _inclusion(u, unit, factor)


def draw_poisson(
    tall: TallMatrix, u: Any, size: int, key: np.uint64
) -> tuple[NDArray[np.int64], Array]:
    """Indices and inclusion probabilities of independently drawn rows, with scores u."""
    top = tall.join_vectors(_top, u, shape=(1, size + 2), join=_joined_tops, size=size)
    unit, factor = _unit_and_factor(tall.compute(top)[0], size)
    parts = tall.gather_vectors(_draw, u, key=key, unit=unit, factor=factor)
    indices, pi = zip(*parts, strict=True)
    return np.concatenate(indices), np.concatenate(pi)


def _top(first: int, u: Array, *, size: int) -> Array:
    """The `size` largest scores, descending; the sum of the others; the number of positive scores.

    The unit of the sum is the least of the largest scores, so that it does not overflow.
    """
    return _packed(u, 0.0, float(np.count_nonzero(u)), size)


def _packed(u: Array, remainder: float, n_positive: float, size: int) -> Array:
    """The table of `_top` for scores u, with the remainder in units of the `size`-th of them."""
    out = np.zeros((1, size + 2))
    if len(u) > size:
        at_top = np.argpartition(u, len(u) - size)[len(u) - size :]  # linear, unlike a sort
        least = u[at_top[0]]  # the size-th largest
        if least > 0.0:
            remainder += (np.delete(u, at_top) / least).sum()
        u = u[at_top]
    out[0, : len(u)] = np.sort(u)[::-1]  # padded with zeros if there are fewer
    out[0, size:] = remainder, n_positive
    return out


def _joined_tops(x: Array, y: Array) -> Array:
    """The table of the scores of both parts."""
    size = x.shape[1] - 2
    both = np.concatenate([x[0, :size], y[0, :size]])  # the largest of all are among these
    least = np.partition(both, size)[size]  # of the largest: the new unit of the remainders
    remainder = 0.0
    if least > 0.0:
        remainder = sum(t[0, size] * (t[0, size - 1] / least) for t in (x, y))
    return _packed(both, remainder, x[0, -1] + y[0, -1], size)


def _unit_and_factor(top: Array, size: float) -> tuple[float, float]:
    """Unit of the scores, and c for scores in it; c is inf if at most `size` are positive.

    With the j largest in every sample, c = (size - j) / (sum of the others).
    """
    largest, remainder, n_positive = top[:-2], top[-2], top[-1]
    if n_positive <= size:
        return 1.0, math.inf
    unit = largest[-1]
    largest = _in_units(largest, unit)  # the last is 1
    sums = np.cumsum(largest[::-1])[::-1] + remainder  # without the j largest
    for j in range(len(largest)):  # ends at size - 1 at the latest
        factor = (size - j) / sums[j]  # so that the others sum to size - j
        if factor * largest[j] <= 1.0:  # no others are certain
            break
    return float(unit), float(factor)


def _inclusion(u: Array, unit: float, factor: float) -> Array:
    """``min(1, c u)``."""
    if math.isinf(factor):
        return (u > 0.0).astype(np.float64)
    return np.minimum(factor * _in_units(u, unit), 1.0)


def _in_units(u: Array, unit: float) -> Array:
    """Scores, of any magnitude, in units of one of the largest."""
    with np.errstate(over="ignore"):
        return np.minimum(u / unit, _LARGEST)


def _draw(
    first: int, u: Array, *, key: np.uint64, unit: float, factor: float
) -> tuple[NDArray[np.int64], Array]:
    """Indices of the drawn rows of a block, and their inclusion probabilities."""
    random = np.empty(len(u))
    counter_uniforms(key, first, random)
    pi = _inclusion(u, unit, factor)
    drawn = np.flatnonzero(random < pi)  # independent decisions
    return drawn + first, pi[drawn]


# Exactly so many, and with replacement -----------------------------------------------------------


def uniforms(key: np.uint64, n: int) -> Array:
    """A uniform number for each row, determined by its index."""
    out = np.empty(n)
    counter_uniforms(key, 0, out)
    return out


def systematic(pi: Array, size: int, key: np.uint64, order_key: np.uint64) -> NDArray[np.int64]:
    """Exactly `size` rows: a grid of step 1 with a random start on the stacked probabilities."""
    certain = np.flatnonzero(pi >= 1.0)  # in every sample
    others = np.flatnonzero((pi > 0.0) & (pi < 1.0))
    n_others = size - len(certain)
    if n_others > len(others):
        raise ValueError(
            f"size must be at most {len(certain) + len(others)}, the number of rows with a "
            f"positive score, for scheme='fixed', got {size}"
        )
    if n_others <= 0:
        return certain
    others = others[np.argsort(uniforms(order_key, len(pi))[others], kind="stable")]  # random order
    edges = np.cumsum(pi[others])  # row i covers pi_i of the line
    edges *= n_others / edges[-1]  # rounding must not add or lose a row
    start = uniforms(key, 1)[0]  # of the grid start, start + 1, ...
    places = np.searchsorted(edges, start + np.arange(n_others), side="right")
    return np.sort(np.concatenate([certain, others[np.minimum(places, len(others) - 1)]]))


def with_replacement(
    u: Array, size: int, key: np.uint64
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Independent draws with probability proportional to the scores, with equal draws merged.

    Returns the distinct rows, how often each was drawn, and its expected number of draws.
    """
    positive = np.flatnonzero(u > 0)
    edges = np.cumsum(u[positive] / u.max())  # cumulative, in units of the largest
    draws = np.searchsorted(edges, uniforms(key, size) * edges[-1], side="right")
    indices, counts = np.unique(positive[np.minimum(draws, len(positive) - 1)], return_counts=True)
    expected = size * (u[indices] / u.max()) / edges[-1]
    return indices, counts, expected
