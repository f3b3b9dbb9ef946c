"""Exact order statistics of weighted rows, in memory or lazy: passes that count, then a few rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from randla._tall.base import TallMatrix
from randla._typing import Array

#: Rows of a lazy vector that are looked at first; at least so many, and n^(2/3).
_SAMPLE = 20_000
#: Half width of a bracket in standard deviations of the sample.
_REACH = 4.0
#: A level within so many rounding errors of a step of the distribution function is on it.
_ON_STEP = 1.0 - 1e-14


def smallest(tall: TallMatrix, values: Any, rank: int) -> Array:
    """The entry of the given rank (from 1) in each column of values (n, k); inf if there is none."""
    parts = tall.gather_vectors(_smallest, values, rank=rank)
    found = np.sort(np.concatenate(parts), axis=0)
    out: Array = found[rank - 1] if len(found) >= rank else np.full(found.shape[1], np.inf)
    return out


def _smallest(first: int, values: Array, *, rank: int) -> Array:
    k = min(rank, len(values))
    return np.stack([np.partition(v, k - 1)[:k] for v in np.asarray(values).T], axis=1)


def weighted_quantiles(tall: TallMatrix, values: Any, kept: Any, w: Any, levels: Array) -> Array:
    """The smallest values at which the distribution of the kept rows reaches the levels.

    Columns of values and kept (n, k) and of levels (q, k) belong together; `kept` None is all rows,
    w (n,) are weights or None. NaN where no row is kept. No interpolation: m equal rows are one of
    weight m.
    """
    if tall.lazy:
        return _lazy_quantiles(tall, values, kept, w, levels)
    out = np.empty_like(levels)
    for j, level in enumerate(levels.T):
        rows = slice(None) if kept is None else kept[:, j]
        out[:, j] = _quantiles(values[rows, j], None if w is None else w[rows], level)
    return out


def _quantiles(values: Array, w: Array | None, levels: Array) -> Array:
    n = len(values)
    if n == 0:
        return np.full(len(levels), np.nan)
    if w is None:
        index = np.maximum(np.ceil(levels * n * _ON_STEP).astype(int) - 1, 0)
        return np.partition(values, np.unique(index))[index]
    order = np.argsort(values)
    steps = np.cumsum(w[order])
    index = np.searchsorted(steps, levels * steps[-1] * _ON_STEP)
    return values[order[np.minimum(index, n - 1)]]


def _lazy_quantiles(tall: TallMatrix, values: Any, kept: Any, w: Any, levels: Array) -> Array:
    """Brackets from a sample; then the weight below each, and the rows inside, of all rows."""
    stride = max(int(tall.n / max(_SAMPLE, tall.n ** (2.0 / 3.0))), 1)
    samples = tall.gather_vectors(_sampled, values, kept, w, stride=stride)
    q, k = levels.shape
    columns = [tuple(np.concatenate(x) for x in zip(*(s[j] for s in samples), strict=True))
               for j in range(k)]  # fmt: skip
    order = [np.argsort(column[0]) for column in columns]
    out, reach, missing = np.full((q, k), np.nan), _REACH, np.ones((q, k), bool)
    while missing.any():
        low, high = np.full((q, k), -np.inf), np.full((q, k), np.inf)
        for i, j in np.argwhere(missing):
            if reach < 1e3 and len(order[j]):
                low[i, j], high[i, j] = _bracket(*columns[j], order[j], levels[i, j], reach)
        parts = tall.gather_vectors(
            _inside, values, kept, w, low=low, high=high, wanted=np.argwhere(missing)
        )
        total = sum(part[0] for part in parts)
        for number, (i, j) in enumerate(np.argwhere(missing)):
            below = sum(part[1][number] for part in parts)
            v, weight = (np.concatenate([part[c][number] for part in parts]) for c in (2, 3))
            if total[j] == 0.0:
                missing[i, j] = False
                continue
            aim = levels[i, j] * total[j] * _ON_STEP - below
            order_inside = np.argsort(v)
            steps = np.cumsum(weight[order_inside])
            if len(v) and 0.0 < aim <= steps[-1]:
                out[i, j] = v[order_inside[np.searchsorted(steps, aim)]]
                missing[i, j] = False
        reach *= 4.0
    return out
