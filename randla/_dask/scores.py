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
from randla.sampling._lewis import log_doubt, log_error, warn_unless
from randla.sampling._scores import LITTLE_DOUBT, Scores, rounding_bounds, widened
from randla.sampling._tiles import Array, Tiles
from randla.sampling._whitening import Whitening, evaluation_error, whiten

#: Forms of earlier iterations that a Lewis weight is made of at most.
_MOST_FORMS = 10


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
    error = evaluation_error(tiles, factor, norms, row_scale)
    values = np.minimum((norms if row_scale is None else norms * row_scale) ** 2, 1.0)
    low, high = rounding_bounds(values, error)
    if factor.doubt > 0.0:
        low, high = widened(low, high, factor.doubt)
    return lazy_scores(
        values, low, high,
        kind="leverage", p=2.0, certified=factor.doubt <= LITTLE_DOUBT, residual=error,
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
class Forms:
    """Lewis weights as functions of a row: ``log w(a) = sum_k c_k log |a T_k|^2``.

    One factor T_k for each of the last iterations, so that no vector of n numbers is stored. With
    steps of p/2 the last one is enough.
    """

    coefficients: tuple[float, ...]
    factors: tuple[Array, ...]

    @property
    def nbytes(self) -> int:
        """Size of the factors."""
        return sum(T.nbytes for T in self.factors)

    def log_weights(self, tiles: Tiles) -> Array:
        """``log w`` of the rows of a block, -inf for zero rows."""
        with np.errstate(divide="ignore"):
            logs = [2.0 * np.log(tiles.norms(T)) for T in self.factors]
        total = np.full(tiles.n, -np.inf)
        alive = np.isfinite(logs[-1])
        total[alive] = sum(c * g[alive] for c, g in zip(self.coefficients, logs, strict=True))
        return total

    def after_step(self, eta: float, p: float, T: Array) -> Forms:
        """The weights after ``log w += eta (log leverage - log w)``, T whitening by them."""
        kept = [(1.0 - 2.0 * eta / p) * c for c in self.coefficients]
        terms = [(c, F) for c, F in zip(kept, self.factors, strict=True) if c != 0.0]
        terms.append((eta, T))
        while len(terms) > _MOST_FORMS:  # the oldest is all but gone, and near the next
            (c, _), (c_next, F), *rest = terms
            terms = [(c + c_next, F), *rest]
        return Forms(tuple(c for c, _ in terms), tuple(F for _, F in terms))


@dataclass(frozen=True)
class DaskLewis:
    """The end of the iteration: weights, the factor that belongs to them, and how good they are."""

    tiles: DaskTiles
    weights: Forms
    factor: Whitening
    first: Whitening
    residual: float
    n_iterations: int
    doubt: float


def solve_lewis(A: Any, p: float, rtol: float, max_iterations: int) -> DaskLewis:
    """Damped fixed-point iteration, one pass an iteration; see `randla.sampling._lewis`.

    Steps of p/2 contract the residual by |1 - p/2| and forget what was before; above p = 3, steps
    of 2p/(p + 2) contract it by (p - 2)/(p + 2).
    """
    tiles = DaskTiles(arrays.as_rows(A))
    first = whiten(tiles)
    doubt = first.doubt
    if 0 < first.rank < tiles.d:  # a basis of the columns has the same weights
        tiles.keep_columns(first.columns)
        first = whiten(tiles)
    weights = Forms((0.5 * p,), (first.transform,))
    if first.rank == 0:
        return DaskLewis(tiles, weights, first, first, 0.0, 0, doubt)
    if p == 2.0:  # leverage scores
        return DaskLewis(tiles, weights, first, first, first.error, 1, doubt)
    eta = 0.5 * p if p <= 3.0 else 2.0 * p / (p + 2.0)
    factor = _whiten_by(tiles, weights, p, rtol)
    for iteration in range(2, max(max_iterations, 2) + 1):  # the first factor was an iteration
        # The residual of these weights, in the same pass as the Gram matrix of the next ones.
        following = weights.after_step(eta, p, factor.transform)
        tiles.pending = arrays.join_rows(
            _residual, tiles.A, shape=(1, 1), join=np.maximum,
            weights=weights, T=factor.transform, p=p, view=tiles.view,
        )  # fmt: skip
        next_factor = _whiten_by(tiles, following, p, rtol)
        residual = float(tiles.found[0, 0]) + factor.error
        if residual <= rtol or iteration == max_iterations:
            break
        weights, factor = following, next_factor
    doubt = max(doubt, factor.doubt)
    return DaskLewis(tiles, weights, factor, first, residual, iteration, doubt)


def row_scale(tiles: DaskTiles, weights: Forms, p: float) -> Any:
    """The scales ``w^(1/2 - 1/p)`` after which leverage scores are compared with w, lazy."""
    return arrays.map_rows(_row_scale, tiles.A, width=None, weights=weights, p=p, view=tiles.view)


def _whiten_by(tiles: DaskTiles, weights: Forms, p: float, rtol: float) -> Whitening:
    return whiten(tiles, row_scale(tiles, weights, p), rtol=min(1e-2 * rtol, 1e-4))


def _row_scale(first: int, block: Any, *, weights: Forms, p: float, view: Any) -> Array:
    """Zero for zero rows."""
    x = weights.log_weights(read(block, view))
    scale = np.zeros(len(x))
    alive = np.isfinite(x)
    scale[alive] = np.exp((0.5 - 1.0 / p) * x[alive])
    return scale


def _residual(first: int, block: Any, *, weights: Forms, T: Array, p: float, view: Any) -> Array:
    """The largest ``|log(leverage / w)|`` of a block: ``leverage = w^(1 - 2/p) |a T|^2``."""
    tiles = read(block, view)
    x = weights.log_weights(tiles)
    alive = np.isfinite(x)
    r = 2.0 * np.log(tiles.norms(T)[alive]) - 2.0 / p * x[alive]
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


def _least(first: int, block: Any, *, weights: Forms, view: Any) -> Array:
    x = weights.log_weights(read(block, view))
    return np.asarray(x[np.isfinite(x)].min(initial=np.inf)).reshape(1, 1)


def _log_weights(first: int, block: Any, *, weights: Forms, view: Any) -> Array:
    return weights.log_weights(read(block, view))
