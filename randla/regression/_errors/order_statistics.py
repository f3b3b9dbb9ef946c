"""Exact order statistics of weighted rows, in memory or lazy: counting passes and a few rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from randla._tall.base import TallMatrix
from randla._typing import Array

#: Rows of a lazy vector that are sampled first: at least this many, and n^(2/3).
_SAMPLE = 20_000
#: Half width of a bracket in standard deviations of the sample.
_REACH = 4.0
#: A level within this many rounding errors of a step of the distribution function is on it.
_ON_STEP = 1.0 - 1e-14


def smallest(tall: TallMatrix, values: Any, rank: int) -> Array:
    """The entry of a rank (from 1) in each column of values (n, k); inf if there is none."""
    parts = tall.gather_vectors(_smallest, values, rank=rank)
    found = np.sort(np.concatenate(parts), axis=0)
    out: Array = found[rank - 1] if len(found) >= rank else np.full(found.shape[1], np.inf)
    return out


def _smallest(first: int, values: Array, *, rank: int) -> Array:
    k = min(rank, len(values))
    return np.stack([np.partition(v, k - 1)[:k] for v in np.asarray(values).T], axis=1)


def weighted_quantiles(tall: TallMatrix, values: Any, kept: Any, w: Any, levels: Array) -> Array:
    """The smallest values at which the distribution of the kept rows reaches the levels.

    Columns of values and kept (n, k) and of levels (q, k) correspond; `kept` None means all rows, w
    (n,) are weights or None. NaN if no row is kept. No interpolation: m equal rows count as one of
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
    found, steps = _distribution(values, w)
    return found[np.searchsorted(steps, levels * steps[-1] * _ON_STEP)]


def _lazy_quantiles(tall: TallMatrix, values: Any, kept: Any, w: Any, levels: Array) -> Array:
    """Brackets from a sample of the rows; the weight below and the rows inside, of all rows."""
    stride = max(int(tall.n / max(_SAMPLE, tall.n ** (2.0 / 3.0))), 1)
    parts = tall.gather_vectors(_sampled, values, kept, w, stride=stride)
    sample, weight = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    out, reach = np.full(levels.shape, np.nan), _REACH
    wanted = [(i, j) for j in range(levels.shape[1]) for i in range(len(levels))]
    while wanted:
        brackets = [_bracket(sample[:, j], weight[:, j], levels[i, j], reach) for i, j in wanted]
        columns = [j for _, j in wanted]
        parts = tall.gather_vectors(_inside, values, kept, w, columns=columns, brackets=brackets)
        missed = []
        for number, (i, j) in enumerate(wanted):
            totals, below, inside, of_inside = zip(*(part[number] for part in parts), strict=True)
            aim = levels[i, j] * sum(totals) * _ON_STEP - sum(below)
            found, steps = _distribution(np.concatenate(inside), np.concatenate(of_inside))
            if len(steps) and 0.0 < aim <= steps[-1]:
                out[i, j] = found[np.searchsorted(steps, aim)]
            elif sum(totals) > 0.0:
                missed.append((i, j))
        wanted, reach = missed, 4.0 * reach
    return out


def _distribution(values: Array, weight: Array) -> tuple[Array, Array]:
    """Sorted values, and the weight up to each."""
    order = np.argsort(values)
    return values[order], np.cumsum(weight[order])


def _sampled(first: int, values: Any, kept: Any, w: Any, *, stride: int) -> tuple[Array, Array]:
    """Every so many rows, numbered through all blocks, and their weights."""
    rows = slice(-first % stride, None, stride)
    values, weight = np.asarray(values)[rows], np.ones_like(values[rows])
    if kept is not None:
        weight = weight * np.asarray(kept)[rows]
    return values, weight if w is None else weight * np.asarray(w)[rows, None]


def _bracket(values: Array, weight: Array, level: float, reach: float) -> tuple[float, float]:
    """Quantiles that bracket that of all rows, unless it is off by more than `reach` deviations."""
    found, steps = _distribution(values, weight)
    total = steps[-1]
    if not total > 0.0:
        return -np.inf, np.inf
    n = total / np.square(weight).sum() * total
    margin = reach * np.sqrt(level * (1.0 - level) / n) + reach / n
    low, high = np.searchsorted(steps, total * np.array([level - margin, level + margin]))
    return (
        found[low] if level > margin else -np.inf,
        found[high] if level + margin < 1.0 and high < len(found) else np.inf,
    )


def _inside(
    first: int, values: Any, kept: Any, w: Any, *, columns: list[int],
    brackets: list[tuple[float, float]],
) -> list[tuple[float, float, Array, Array]]:  # fmt: skip
    """For each column and bracket: weight of all rows, and below; values inside, their weights."""
    out = []
    for j, (low, high) in zip(columns, brackets, strict=True):
        v = np.asarray(values)[:, j]
        weight = np.ones(len(v)) if kept is None else np.asarray(kept)[:, j].astype(np.float64)
        if w is not None:
            weight *= np.asarray(w)
        rows = (v >= low) & (v <= high) & (weight > 0.0)
        out.append((weight.sum(), weight[v < low].sum(), v[rows], weight[rows]))
    return out
