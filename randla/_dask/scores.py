"""Leverage scores and Lewis weights of a Dask array: factors are computed, the scores are lazy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from randla._dask.sketching import as_block, prepared
from randla._random import draw_keys, generator_from_key, normal_rows
from randla._tall import dask_arrays
from randla._tall.dask_tiles import DaskTiles, read
from randla._tall.tiles import Array, Tiles
from randla._tall.whitening import evaluation_error, whiten
from randla._validation import as_weights
from randla.sampling._scores.forms import Form, solve_form
from randla.sampling._scores.leverage import sketch_sizes
from randla.sampling._scores.lewis import log_doubt, log_error, warn_unless
from randla.sampling._scores.result import LITTLE_DOUBT, Scores, rounding_bounds, widened


def lazy_scores(values: Any, lower: Any, upper: Any, **options: Any) -> Scores:
    """Scores that hold Dask vectors."""
    settings: dict[str, Any] = {"n_iterations": 0, **options}
    return Scores(values=values, _lower=lower, _upper=upper, **settings)


# Leverage ----------------------------------------------------------------------------------------


def leverage_scores(A: Any, method: str, weights: Any, ridge: float, rng: Any) -> Scores:
    """`randla.leverage_scores` of a Dask array; the options are checked."""
    A, row_scale = dask_arrays.as_rows(A), None
    if weights is not None:
        w = dask_arrays.as_vector(weights, A, "weights")
        largest = dask_arrays.join_rows(_largest_weight, w, shape=(1, 1), join=np.maximum)
        top = float(dask_arrays.compute(largest)[0, 0])
        if top == 0.0:
            raise ValueError("weights must have a positive sum, got only zeros")
        row_scale, ridge = dask_arrays.map_rows(_root, w, width=None, top=top), ridge / top
    tiles = DaskTiles(A, ridge)
    if (sizes := sketch_sizes(A.shape[0], A.shape[1], method)) is not None:
        return _sketched_leverage(tiles, row_scale, *sizes, *draw_keys(rng, 2))
    factor = whiten(tiles, row_scale)
    norms = tiles.norms(factor.transform)
    error = sum(evaluation_error(tiles, factor, norms, row_scale))
    values = np.minimum((norms if row_scale is None else norms * row_scale) ** 2, 1.0)
    low, high = rounding_bounds(values, error)
    if factor.doubt > 0.0:
        low, high = widened(low, high, factor.doubt)
    return lazy_scores(
        values, low, high,
        kind="leverage", p=2.0, certified=factor.doubt <= LITTLE_DOUBT,
        residual=float(np.max(error)),
    )  # fmt: skip


def _largest_weight(first: int, w: Array) -> Array:
    return as_weights(w, len(w), "weights", positive_sum=False).max().reshape(1, 1)


def _root(first: int, w: Array, *, top: float) -> Array:
    return np.sqrt(np.asarray(w, np.float64) / top)


def _sketched_leverage(
    tiles: DaskTiles,
    row_scale: Any,
    sketch_rows: int,
    combinations: int,
    key: np.uint64,
    sketch_key: np.uint64,
) -> Scores:
    """Norms of A R^-1 G, as in `randla.sampling._scores.leverage`."""
    from randla.sketching import SparseSignSketch

    S = SparseSignSketch(sketch_rows, tiles.n, rng=generator_from_key(sketch_key))
    shape = sketch_rows, tiles.d
    SA = dask_arrays.compute(dask_arrays.join_rows(_sketch, tiles.A, row_scale, shape=shape, S=S))
    small = Tiles(SA, tiles.ridge)
    factor = whiten(small, rtol=1e-4)
    tiles.column_scale = small.column_scale
    T = factor.transform @ normal_rows(key, 0, factor.rank, combinations) / combinations**0.5
    operands = tiles.A, row_scale
    shape = combinations + 1, combinations
    sums = dask_arrays.join_rows(_gram_and_squares, *operands, shape=shape, T=T, view=tiles.view)
    gram, total = np.split(dask_arrays.compute(sums), [combinations])
    scaled, expected = tiles.with_ridge(gram, T), float(factor.rank)
    total = total[0, 0]
    if tiles.ridge:
        expected *= total / np.trace(scaled)
    norms = tiles.norms(T)
    squares = (norms if row_scale is None else norms * row_scale) ** 2
    lower = squares * ((1.0 - 1e-9) / max(float(np.linalg.norm(scaled, 2)), 1e-300))
    values = np.clip(squares * (expected / total if total > 0.0 else 1.0), lower, 1.0)
    error = np.sqrt(2.0 / (sketch_rows - factor.rank + 1) + 2.0 / combinations)
    return lazy_scores(
        values, lower, (squares > 0.0).astype(np.float64),
        kind="leverage-sketch", p=2.0, certified=False, residual=float(error),
    )  # fmt: skip


def _sketch(first: int, block: Any, row_scale: Any, *, S: Any) -> Array:
    return prepared(S)._sketch(as_block(block), row_scale=row_scale, first_row=first)[0]


def _gram_and_squares(first: int, block: Any, row_scale: Any, *, T: Array, view: Any) -> Array:
    tiles = read(block, view)
    gram = tiles.gram(T, row_scale)
    total = np.zeros((1, len(gram)))
    total[0, 0] = np.trace(gram)
    return np.vstack([gram, total])


# Lewis weights -----------------------------------------------------------------------------------


def solve_lewis(
    A: Any, p: float, rtol: float, max_iterations: int, **options: float
) -> tuple[DaskTiles, Form]:
    """The iteration of `randla.sampling._scores.forms`, whose form is that of the tiles."""
    tiles = DaskTiles(dask_arrays.as_rows(A))
    return tiles, solve_form(tiles, p, rtol, max_iterations, **options)


def lewis_weights(
    A: Any, p: float, rtol: float, max_iterations: int, *, rounding: float | None = None
) -> Scores:
    """`randla.lewis_weights` of a Dask array; the options are checked.

    `rounding` is what the factors of the iteration may be off by.
    """
    if rounding is None:
        rounding = min(1e-2 * rtol, 1e-4)
    tiles, state = solve_lewis(A, p, rtol, max_iterations, rounding=rounding)
    warn_unless(state.residual <= rtol, state.residual, rtol, state.n_iterations)
    residual, x = state.residual, tiles.log_weights(state.T, p)
    if state.doubt > 0.0:
        least = dask_arrays.join_rows(_least, x, shape=(1, 1), join=np.minimum)
        residual += log_doubt(state.doubt, float(dask_arrays.compute(least)[0, 0]) - residual)
    spread = log_error(p, residual, state.first.rank)
    values, lower, upper = (np.exp(np.minimum(x + shift, 0.0)) for shift in (0.0, -spread, spread))
    if math.isinf(spread):  # -inf + inf, of zero rows, is no number
        lower, upper = np.zeros_like(x), np.ceil(values)
    return lazy_scores(
        values, lower, upper,
        kind="lewis", p=p, certified=residual <= rtol, residual=residual,
        n_iterations=state.n_iterations,
    )  # fmt: skip


def _least(first: int, x: Array) -> Array:
    return np.asarray(x[np.isfinite(x)].min(initial=np.inf)).reshape(1, 1)
