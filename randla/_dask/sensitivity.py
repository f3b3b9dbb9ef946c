"""Sensitivities of the rows of a Dask array: certified bounds, and estimates beside a sample.

The bounds are those of `randla.sampling._row_solver`, for the quadratic form of Lewis weights that
were solved roughly. With v = w^(1 - 2/p), both sums of powers of v are the sum of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from randla._dask import arrays
from randla._dask.rows import draw_poisson
from randla._dask.scores import (
    DaskLewis,
    Form,
    lazy_scores,
    leverage_scores,
    row_scale,
    solve_lewis,
)
from randla._dask.tiles import read
from randla._random import draw_key
from randla._validation import as_indices
from randla.sampling._row_solver import LEWIS, RowSolver
from randla.sampling._scores import Scores, widened
from randla.sampling._sensitivity import SAMPLE_ROWS, SKETCH_RTOL, choose_method
from randla.sampling._tiles import Array, Tiles
from randla.sampling._whitening import evaluation_error, own_errors, whiten


@dataclass(frozen=True)
class Bounds:
    """What bounds the sensitivity of a row a: ``g = |a T|^2`` and two constants."""

    p: float
    T: Array
    first: Array
    from_below: float
    from_above: float
    rounding: float
    view: tuple[Any, Any]
    inexact: bool  # rows have errors of their own

    @property
    def nbytes(self) -> int:
        """Size of the factors."""
        return self.T.nbytes + self.first.nbytes

    def rows(self, tiles: Tiles) -> tuple[Array, Array]:
        """Lower and upper bounds of the rows of a block."""
        norms, half = tiles.norms(self.T), 0.5 * self.p
        lower, upper = np.zeros(tiles.n), np.zeros(tiles.n)
        alive = norms > 0.0
        log_g = 2.0 * np.log(norms[alive])
        log_tau = 2.0 * np.log(tiles.norms(self.first)[alive])  # norms fall with p
        below, above = half * log_g + self.from_below, half * log_g + self.from_above
        if self.p >= 2.0:
            below = np.maximum(below, half * log_tau)
        else:
            above = np.minimum(above, half * log_tau)
        lower[alive], upper[alive] = np.exp(np.minimum(below, 0.0)), np.exp(np.minimum(above, 0.0))
        own = np.minimum(self.p * own_errors(tiles, self.T, norms), 1.0) if self.inexact else 0.0
        lower *= (1.0 - min(self.rounding, 1.0)) * (1.0 - own)
        return lower, np.minimum(upper * (1.0 + self.rounding) * (1.0 + own), 1.0)


def lp_sensitivities(A: Any, p: float, rows: Any, method: str, rng: Any) -> Scores:
    """`randla.lp_sensitivities` of a Dask array; the options are checked."""
    A = arrays.as_rows(A)
    n, d = A.shape
    chosen = None if rows is None else as_indices(rows, n)
    if method == "exact":
        raise ValueError(
            "method must be 'auto', 'sketch' or 'bound' for a Dask array, got 'exact': "
            "use A.compute()"
        )
    if method == "sketch" and p == np.inf:
        raise ValueError("method must be 'bound' for p=inf and a Dask array, got 'sketch'")
    if method == "auto":
        best = choose_method(n if chosen is None else len(chosen), n, d, p)
        method = "bound" if p == np.inf or best == "bound" else "sketch"
    if p in (2.0, np.inf):
        scores = _from_leverage(A, p)
    else:
        scores = _by_lewis(A, p, method, draw_key(rng))
    return scores if chosen is None else _chosen(scores, chosen)


def _chosen(scores: Scores, rows: Any) -> Scores:
    """The scores of some rows, still lazy."""
    return replace(
        scores,
        values=scores.values[rows],
        _lower=scores.lower[rows],
        _upper=scores.upper[rows],
    )


def _from_leverage(A: Any, p: float) -> Scores:
    scores = leverage_scores(A, "exact", None, 0.0, None)
    low, high = scores.lower, scores.upper
    if p == np.inf:  # s_i >= sqrt(leverage), as norms fall with p
        low, high = np.sqrt(low), (high > 0.0).astype(np.float64)
    return lazy_scores(
        scores.values if p == 2.0 else high, low, high, p=p, certified=scores.certified,
        kind="sensitivity" if p == 2.0 else "sensitivity-bound",
        residual=2.0 * scores.residual if p == 2.0 else _gap(low, high),
    )  # fmt: skip


def _gap(low: Any, high: Any) -> float:
    """The largest ``(high - low) / high``."""
    return float((np.where(high > 0.0, high - low, 0.0) / np.where(high > 0.0, high, 1.0)).max())


def _by_lewis(A: Any, p: float, method: str, key: np.uint64) -> Scores:
    state = solve_lewis(A, p, *LEWIS)
    tiles, bounds = state.tiles, _bounds(state, p)
    table = arrays.map_rows(_bounds_of_block, tiles.A, width=2, bounds=bounds)
    low, high = table[:, 0], table[:, 1]
    certified, values = state.doubt == 0.0, high
    if not certified:
        low, high = widened(low, high, 1.0)
    options: dict[str, Any] = {"p": p, "n_iterations": state.n_iterations}
    options["residual"] = _gap(low, high)
    if method == "bound":
        return lazy_scores(
            values, low, high, kind="sensitivity-bound", certified=certified, **options
        )
    if state.first.rank == 0:
        return lazy_scores(low, low, low, kind="sensitivity-sketch", certified=True, **options)
    weights = arrays.map_rows(_weights, tiles.A, width=None, weights=state.weights, view=tiles.view)
    sample, pi = draw_poisson(weights, SAMPLE_ROWS * state.first.rank, key)
    picked = read(arrays.take_rows(tiles.A, sample), tiles.view)
    X = _whitened(picked, bounds.T) * pi[:, None] ** (-1.0 / p)
    solver = RowSolver(X, p, float(np.exp(bounds.from_above / p)))
    values = arrays.map_rows(
        _beside_sample, tiles.A, width=None, bounds=bounds, solver=solver, sample=sample
    )
    return lazy_scores(values, low, high, kind="sensitivity-sketch", certified=False, **options)


def _bounds(state: DaskLewis, p: float) -> Bounds:
    tiles, factor = state.tiles, state.factor
    error, inexact = factor.error, factor.error > 1e-9
    if inexact:  # enough for the weights, not for bounds
        scale = row_scale(tiles, state.weights)
        factor = whiten(tiles, scale)
        norms = tiles.norms(factor.transform)
        own, error = evaluation_error(tiles, factor, norms, scale)
        inexact = np.ndim(own) > 0
    options: dict[str, Any] = {
        "weights": state.weights,
        "T": factor.transform,
        "p": p,
        "view": tiles.view,
    }
    total, most = arrays.compute(
        arrays.join_rows(_weight_sum, tiles.A, shape=(1, 1), **options),
        arrays.join_rows(_largest_ratio, tiles.A, shape=(1, 1), join=np.maximum, **options),
    )
    spread = (0.5 * p - 1.0) * np.log(max(float(total[0, 0]), 1e-300))
    below, above = (spread, float(most[0, 0])) if p < 2.0 else (-float(most[0, 0]), spread)
    return Bounds(
        p, factor.transform, state.first.transform, below, above, p * error + 1e-13, tiles.view,
        inexact,
    )  # fmt: skip


def _weight_sum(first: int, block: Any, *, weights: Form, T: Array, p: float, view: Any) -> Array:
    return np.exp(weights.log_weights(read(block, view))).sum().reshape(1, 1)


def _largest_ratio(
    first: int, block: Any, *, weights: Form, T: Array, p: float, view: Any
) -> Array:
    """The logarithm of the largest ``v g^(1 - p/2)`` (p < 2) or ``g^(p/2 - 1) / v`` (p > 2)."""
    tiles = read(block, view)
    x, norms = weights.log_weights(tiles), tiles.norms(T)
    alive = norms > 0.0
    ratio = (1.0 - 2.0 / p) * x[alive] + (2.0 - p) * np.log(norms[alive])
    return (ratio if p < 2.0 else -ratio).max(initial=-np.inf).reshape(1, 1)


def _bounds_of_block(first: int, block: Any, *, bounds: Bounds) -> Array:
    return np.stack(bounds.rows(read(block, bounds.view)), axis=1)


def _weights(first: int, block: Any, *, weights: Form, view: Any) -> Array:
    return np.exp(weights.log_weights(read(block, view)))


def _whitened(tiles: Tiles, T: Array) -> Array:
    """Rows times T."""
    X = tiles.tile(0, tiles.n)
    return np.ascontiguousarray(X @ T)


def _beside_sample(
    first: int, block: Any, *, bounds: Bounds, solver: RowSolver, sample: Any
) -> Array:
    """Sensitivities of the rows of a block beside the weighted sample, cut to their bounds."""
    tiles = read(block, bounds.view)
    places = np.full(tiles.n, -1, np.int64)
    here = slice(*np.searchsorted(sample, [first, first + tiles.n]))
    places[sample[here] - first] = np.arange(here.start, here.stop)
    low, high, _ = solver.solve(_whitened(tiles, bounds.T), places, SKETCH_RTOL)
    return np.clip(0.5 * (low + high), *bounds.rows(tiles))
