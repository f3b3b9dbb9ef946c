"""Leverage scores and Lewis weights of a Dask array: factors are computed, the scores are lazy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._dask import arrays
from randla._dask.sketching import as_block, prepared
from randla._dask.tiles import DaskTiles, read
from randla._random import draw_keys, generator_from_key, normal_rows
from randla._validation import as_weights
from randla.sampling._leverage import sketch_sizes
from randla.sampling._lewis import ROUNDED, log_doubt, log_error, warn_unless
from randla.sampling._scores import LITTLE_DOUBT, Scores, rounding_bounds, widened
from randla.sampling._tiles import Array, Tiles
from randla.sampling._whitening import Whitening, evaluation_error, whiten


def lazy_scores(values: Any, lower: Any, upper: Any, **options: Any) -> Scores:
    """Scores that hold Dask vectors."""
    settings: dict[str, Any] = {"n_iterations": 0, **options}
    return Scores(values=values, _lower=lower, _upper=upper, **settings)


# Leverage ----------------------------------------------------------------------------------------


def leverage_scores(A: Any, method: str, weights: Any, ridge: float, rng: Any) -> Scores:
    """`randla.leverage_scores` of a Dask array; the options are checked."""
    A, row_scale = arrays.as_rows(A), None
    if weights is not None:
        w = arrays.as_vector(weights, A, "weights")
        largest = arrays.join_rows(_largest_weight, w, shape=(1, 1), join=np.maximum)
        top = float(arrays.compute(largest)[0, 0])
        if top == 0.0:
            raise ValueError("weights must have a positive sum, got only zeros")
        row_scale, ridge = arrays.map_rows(_root, w, width=None, top=top), ridge / top
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
    """Norms of A R^-1 G, as in `randla.sampling._leverage`."""
    from randla.sketching import SparseSignSketch

    S = SparseSignSketch(sketch_rows, tiles.n, rng=generator_from_key(sketch_key))
    shape = sketch_rows, tiles.d
    SA = arrays.compute(arrays.join_rows(_sketch, tiles.A, row_scale, shape=shape, S=S))
    small = Tiles(SA, tiles.ridge)
    factor = whiten(small, rtol=1e-4)
    tiles.column_scale = small.column_scale
    T = factor.transform @ normal_rows(key, 0, factor.rank, combinations) / combinations**0.5
    operands = tiles.A, row_scale
    shape = combinations + 1, combinations
    sums = arrays.join_rows(_gram_and_squares, *operands, shape=shape, T=T, view=tiles.view)
    gram, total = np.split(arrays.compute(sums), [combinations])
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


@dataclass(frozen=True)
class Form:
    """Lewis weights as a function of a row, ``w(a) = |a T|^p``: n numbers are not stored."""

    T: Array
    p: float

    @property
    def nbytes(self) -> int:
        """Size of the factor."""
        return self.T.nbytes

    def log_weights(self, tiles: Tiles) -> Array:
        """``log w`` of the rows of a block, -inf for zero rows."""
        with np.errstate(divide="ignore"):
            return self.p * np.log(tiles.norms(self.T))


@dataclass(frozen=True)
class DaskLewis:
    """The end of the iteration: weights, the factor that belongs to them, and how good they are."""

    tiles: DaskTiles
    weights: Form
    factor: Whitening
    first: Whitening
    residual: float
    n_iterations: int
    doubt: float


def solve_lewis(A: Any, p: float, rtol: float, max_iterations: int) -> DaskLewis:
    """Solve the equation of `randla.sampling._lewis` for the form M with w = (a' M^-1 a)^(p/2).

    With F(M) = A' W^(1 - 2/p) A it is M = F(M).
    """
    tiles = DaskTiles(arrays.as_rows(A))
    first = whiten(tiles)
    doubt = first.doubt
    if 0 < first.rank < tiles.d:  # a basis of the columns has the same weights
        tiles.keep_columns(first.columns)
        first = whiten(tiles)
    weights = Form(first.transform, p)
    if first.rank == 0:
        return DaskLewis(tiles, weights, first, first, 0.0, 0, doubt)
    if p == 2.0:  # leverage scores
        return DaskLewis(tiles, weights, first, first, first.error, 1, doubt)
    iterate = _replace if p <= 3.0 else _mix
    weights, factor, residual, n_iterations = iterate(tiles, weights, rtol, max_iterations)
    doubt = max(doubt, factor.doubt)
    return DaskLewis(tiles, weights, factor, first, residual, n_iterations, doubt)


def _replace(
    tiles: DaskTiles, weights: Form, rtol: float, max_iterations: int
) -> tuple[Form, Whitening, float, int]:
    """Iterate M <- F(M), which contracts the residual by |1 - p/2|."""
    factor, n_iterations = _whiten_by(tiles, weights, rtol), 1
    while True:
        found = _residual_of(tiles, weights, factor)
        if n_iterations == max_iterations:
            residual = float(arrays.compute(found)[0, 0]) + factor.error
            return weights, factor, residual, n_iterations
        # The residual of these weights, in the same pass as the Gram matrix of the next ones.
        tiles.pending, following = found, Form(factor.transform, weights.p)
        next_factor = _whiten_by(tiles, following, rtol)
        residual, n_iterations = float(tiles.found[0, 0]) + factor.error, n_iterations + 1
        if residual <= max(rtol, (1.0 + ROUNDED) * factor.error):
            return weights, factor, residual, n_iterations
        weights, factor = following, next_factor


def _mix(
    tiles: DaskTiles, weights: Form, rtol: float, max_iterations: int
) -> tuple[Form, Whitening, float, int]:
    """Iterate M <- (1 - t) M + t F(M), scaled so that the weights add up to the rank.

    F turns an increase of M into a decrease, up to p/2 - 1 times as large: t = 4/(p + 2) contracts
    by (p - 2)/(p + 2). In the basis T in which M is the identity, F(M) has the trace sum w = d, so
    that the mixture has condition d/(1 - t) at most. The eigenvalues of F(M) bound the residual.
    """
    p, d, share = weights.p, tiles.d, 4.0 / (weights.p + 2.0)
    T = weights.T / float(arrays.compute(tiles.norms(weights.T).max()))  # sum w is in range
    n_iterations = 1  # the factor in the end
    while n_iterations < max_iterations:
        G, n_iterations = tiles.gram(T, row_scale(tiles, Form(T, p))), n_iterations + 1
        total = np.trace(G)
        T = T * (d / total) ** (1.0 / p)
        values, vectors = np.linalg.eigh(G * (d / total))
        if np.abs(np.log(np.maximum(values, 1e-300))).max() <= 0.9 * rtol:  # less rounding errors
            break
        T = T @ (vectors / np.sqrt(1.0 - share + share * values))
    weights = Form(T, p)
    factor = _whiten_by(tiles, weights, rtol)
    residual = float(arrays.compute(_residual_of(tiles, weights, factor))[0, 0]) + factor.error
    return weights, factor, residual, n_iterations


def row_scale(tiles: DaskTiles, weights: Form) -> Any:
    """The scales ``w^(1/2 - 1/p)`` after which leverage scores are compared with w, lazy."""
    return arrays.map_rows(_row_scale, tiles.A, width=None, weights=weights, view=tiles.view)


def _whiten_by(tiles: DaskTiles, weights: Form, rtol: float) -> Whitening:
    return whiten(tiles, row_scale(tiles, weights), rtol=min(1e-2 * rtol, 1e-4))


def _row_scale(first: int, block: Any, *, weights: Form, view: Any) -> Array:
    """Zero for zero rows."""
    x = weights.log_weights(read(block, view))
    scale = np.zeros(len(x))
    alive = np.isfinite(x)
    scale[alive] = np.exp((0.5 - 1.0 / weights.p) * x[alive])
    return scale


def _residual_of(tiles: DaskTiles, weights: Form, factor: Whitening) -> Any:
    """The largest ``|log(leverage / w)|``, lazy."""
    return arrays.join_rows(
        _residual, tiles.A, shape=(1, 1), join=np.maximum,
        weights=weights, T=factor.transform, view=tiles.view,
    )  # fmt: skip


def _residual(first: int, block: Any, *, weights: Form, T: Array, view: Any) -> Array:
    """Of a block; ``leverage = w^(1 - 2/p) |a T|^2``."""
    tiles = read(block, view)
    x = weights.log_weights(tiles)
    alive = np.isfinite(x)
    r = 2.0 * np.log(tiles.norms(T)[alive]) - 2.0 / weights.p * x[alive]
    return np.abs(r).max(initial=0.0).reshape(1, 1)


def lewis_weights(A: Any, p: float, rtol: float, max_iterations: int) -> Scores:
    """`randla.lewis_weights` of a Dask array; the options are checked."""
    state = solve_lewis(A, p, rtol, max_iterations)
    warn_unless(state.residual <= rtol, state.residual, rtol, state.n_iterations)
    tiles, residual = state.tiles, state.residual
    if state.doubt > 0.0:
        least = arrays.join_rows(
            _least, tiles.A, shape=(1, 1), join=np.minimum, weights=state.weights, view=tiles.view
        )
        residual += log_doubt(state.doubt, float(arrays.compute(least)[0, 0]) - residual)
    spread = log_error(p, residual, state.first.rank)
    x = arrays.map_rows(_log_weights, tiles.A, width=None, weights=state.weights, view=tiles.view)
    values, lower, upper = (np.exp(np.minimum(x + shift, 0.0)) for shift in (0.0, -spread, spread))
    if math.isinf(spread):  # -inf + inf, of zero rows, is no number
        lower, upper = np.zeros_like(x), np.ceil(values)
    return lazy_scores(
        values, lower, upper,
        kind="lewis", p=p, certified=residual <= rtol, residual=residual,
        n_iterations=state.n_iterations,
    )  # fmt: skip


def _least(first: int, block: Any, *, weights: Form, view: Any) -> Array:
    x = weights.log_weights(read(block, view))
    return np.asarray(x[np.isfinite(x)].min(initial=np.inf)).reshape(1, 1)


def _log_weights(first: int, block: Any, *, weights: Form, view: Any) -> Array:
    return weights.log_weights(read(block, view))
