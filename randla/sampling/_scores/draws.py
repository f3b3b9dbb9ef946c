"""Draws of rows with given probabilities; what row i gets depends on the key and on i only."""

import numpy as np
from numpy.typing import NDArray

from randla._tall.tiles import Array
from randla.sampling._kernels.rows import counter_uniforms

#: Scores are cut here, in units of one that is surely below them: they are in every sample anyway.
_LARGEST = 1e150


def inclusion_probabilities(u: Array, size: float) -> Array:
    """``min(1, c u)`` with c such that they add up to `size` (or 1 for each u > 0 if too few are).

    At most `size` of them can be 1, so only the largest scores are sorted.
    """
    positive = int((u > 0).sum())
    if positive <= size:
        return (u > 0).astype(np.float64)
    k = int(size)
    at_top = np.argpartition(u, len(u) - k)[len(u) - k :]
    u = in_units(u, u[at_top[0]])
    top = np.sort(u[at_top])[::-1]
    return np.minimum(inclusion_factor(top, np.delete(u, at_top).sum(), size) * u, 1.0)


def in_units(u: Array, unit: float) -> Array:
    """Scores, which may lie anywhere in the range of numbers, in units of the k-th largest."""
    with np.errstate(over="ignore"):
        return np.minimum(u / unit, _LARGEST)


def inclusion_factor(top: Array, rest: float, size: float) -> float:
    """The c for which ``min(1, c u)`` add up to `size`.

    Given are the largest int(size) of the scores u, in falling order, and the sum of the others.
    """
    tails = np.cumsum(top[::-1])[::-1] + rest  # without the j largest
    for j in range(len(top)):  # the j largest are in every sample; ends at size - 1 at the latest
        c = (size - j) / tails[j]
        if c * top[j] <= 1.0:
            break
    return float(c)


def uniforms(key: np.uint64, n: int) -> Array:
    """A uniform number for each row, by its number."""
    out = np.empty(n)
    counter_uniforms(key, 0, out)
    return out


def systematic(pi: Array, size: int, key: np.uint64, order_key: np.uint64) -> NDArray[np.int64]:
    """Exactly `size` rows: a grid of step 1 with a random start on the stacked probabilities."""
    certain = np.flatnonzero(pi >= 1.0)
    others = np.flatnonzero((pi > 0.0) & (pi < 1.0))
    n_left = size - len(certain)
    if n_left > len(others):
        raise ValueError(
            f"size must be at most {len(certain) + len(others)}, the number of rows with a "
            f"positive score, for scheme='fixed', got {size}"
        )
    if n_left <= 0:
        return certain
    others = others[np.argsort(uniforms(order_key, len(pi))[others], kind="stable")]
    edges = np.cumsum(pi[others])
    edges *= n_left / edges[-1]
    start = uniforms(key, 1)[0]
    chosen = np.searchsorted(edges, start + np.arange(n_left), side="right")
    return np.sort(np.concatenate([certain, others[np.minimum(chosen, len(others) - 1)]]))


def with_replacement(
    u: Array, size: int, key: np.uint64
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Independent draws with probability proportional to the scores, equal ones merged.

    Returns the distinct rows, how often each was drawn, and how often it was to be expected.
    """
    positive = np.flatnonzero(u > 0)
    edges = np.cumsum(u[positive] / u.max())
    draws = np.searchsorted(edges, uniforms(key, size) * edges[-1], side="right")
    indices, counts = np.unique(positive[np.minimum(draws, len(positive) - 1)], return_counts=True)
    expected = size * (u[indices] / u.max()) / edges[-1]
    return indices, counts, expected
