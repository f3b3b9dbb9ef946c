"""Sensitivities of the rows of a Dask array: certified bounds, and estimates beside a sample.

The bounds are those of `sampling._scores.bounds`, for the quadratic form of Lewis weights that
were solved roughly. With v = w^(1 - 2/p), both sums of powers of v are the sum of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from randla._dask.rows import draw_poisson
from randla._dask.scores import lazy_scores, leverage_scores, solve_lewis
from randla._random import draw_key
from randla._tall import dask_arrays
from randla._tall.dask_tiles import DaskTiles, read
from randla._tall.tiles import Array, Tiles
from randla._tall.whitening import evaluation_error, own_errors, whiten
from randla._validation import as_indices
from randla.sampling._scores.bounds import LEWIS, RowSolver
from randla.sampling._scores.forms import Form, log_weights
from randla.sampling._scores.result import Scores, widened
from randla.sampling._scores.sensitivity import (
    SAMPLE_ROWS,
    SAMPLING_RTOL,
    SKETCH_RTOL,
    affordable,
    between,
    pilot,
    worth_a_sketch,
)


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
    A = dask_arrays.as_rows(A)
    n = A.shape[0]
    chosen = None if rows is None else as_indices(rows, n)
    if method == "exact":
        raise ValueError(
            "method must be 'auto', 'sketch' or 'bound' for a Dask array, got 'exact': "
            "use A.compute()"
        )
    if method == "sketch" and p == np.inf:
        raise ValueError("method must be 'bound' for p=inf and a Dask array, got 'sketch'")
    if p in (2.0, np.inf):
        scores = _from_leverage(A, p)
    else:
        scores = _by_lewis(A, p, method, draw_key(rng), n if chosen is None else len(chosen))
    return scores if chosen is None else _chosen(scores, chosen)


def sampling_sensitivities(A: Any, p: float, rng: Any, *, rough: bool) -> Any:
    """`randla.sampling._scores.sensitivity.sampling_sensitivities` of a Dask array."""
    A = dask_arrays.as_rows(A)
    tiles, state = solve_lewis(A, p, *LEWIS)
    bounds = _bounds(tiles, state, p)
    options: dict[str, Any] = {"bounds": bounds, "rough": rough}
    found = dask_arrays.join_rows(_count_open, tiles.A, shape=(1, 1), **options)
    k, rank = int(dask_arrays.compute(found)[0, 0]), state.first.rank
    beside = None
    if worth_a_sketch(k, tiles.n, rank, p):
        beside = _beside(tiles, state, bounds, draw_key(rng))
    return dask_arrays.map_rows(_between, tiles.A, width=None, beside=beside, **options)


def _count_open(first: int, block: Any, *, bounds: Bounds, rough: bool) -> Array:
    _, open_rows = between(*bounds.rows(read(block, bounds.view)), rough)
    return np.full((1, 1), float(open_rows.sum()))


def _between(first: int, block: Any, *, bounds: Bounds, rough: bool, beside: Any) -> Array:
    tiles = read(block, bounds.view)
    values, open_rows = between(*bounds.rows(tiles), rough)
    rows = np.flatnonzero(open_rows)
    if beside is not None and len(rows):
        values[rows] = beside.values(first, tiles, bounds, rows, SAMPLING_RTOL)
    return values


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


def _by_lewis(A: Any, p: float, method: str, key: np.uint64, k: int) -> Scores:
    """The scores of all rows, of which k are wanted."""
    tiles, state = solve_lewis(A, p, *LEWIS)
    bounds = _bounds(tiles, state, p)
    table = dask_arrays.map_rows(_bounds_of_block, tiles.A, width=2, bounds=bounds)
    low, high = table[:, 0], table[:, 1]
    certified, values = state.doubt == 0.0, high
    if not certified:
        low, high = widened(low, high, 1.0)
    options: dict[str, Any] = {"p": p, "n_iterations": state.n_iterations}
    options["residual"] = _gap(low, high)
    if method != "bound" and state.first.rank == 0:
        return lazy_scores(low, low, low, kind="sensitivity-sketch", certified=True, **options)
    beside = None if method == "bound" else _beside(tiles, state, bounds, key)
    if beside is not None and method == "auto":
        few = pilot(tiles.n)
        targets = _whitened(read(dask_arrays.take_rows(tiles.A, few), tiles.view), bounds.T)
        if not affordable(beside.solver, k, targets, beside.places(few), SKETCH_RTOL):
            beside = None
    if beside is None:
        return lazy_scores(
            values, low, high, kind="sensitivity-bound", certified=certified, **options
        )
    values = dask_arrays.map_rows(_estimates, tiles.A, width=None, bounds=bounds, beside=beside)
    return lazy_scores(values, low, high, kind="sensitivity-sketch", certified=False, **options)


@dataclass(frozen=True)
class _Beside:
    """A weighted sample of the rows, and their numbers."""

    solver: RowSolver
    sample: Any

    @property
    def nbytes(self) -> int:
        """Size of the sample."""
        return int(self.solver.X.nbytes)

    def places(self, rows: Any) -> Any:
        """Where rows are in the sample, -1 if they are not."""
        found = np.minimum(np.searchsorted(self.sample, rows), len(self.sample) - 1)
        return np.where(self.sample[found] == rows, found, -1)

    def values(self, first: int, tiles: Tiles, bounds: Bounds, rows: Any, rtol: float) -> Array:
        """Sensitivities of some rows of a block beside the sample, cut to their bounds."""
        places = self.places(first + np.arange(tiles.n)[rows])
        low, high, _ = self.solver.solve(_whitened(tiles, bounds.T)[rows], places, rtol)
        least, most = bounds.rows(tiles)
        return np.clip(0.5 * (low + high), least[rows], most[rows])


def _beside(tiles: DaskTiles, state: Form, bounds: Bounds, key: np.uint64) -> _Beside:
    p = state.p
    weights = np.exp(tiles.log_weights(state.T, p))
    sample, pi = draw_poisson(weights, SAMPLE_ROWS * state.first.rank, key)
    picked = read(dask_arrays.take_rows(tiles.A, sample), tiles.view)
    X = _whitened(picked, bounds.T) * pi[:, None] ** (-1.0 / p)
    return _Beside(RowSolver(X, p, float(np.exp(bounds.from_above / p))), sample)


def _estimates(first: int, block: Any, *, bounds: Bounds, beside: _Beside) -> Array:
    tiles = read(block, bounds.view)
    return beside.values(first, tiles, bounds, slice(None), SKETCH_RTOL)


def _bounds(tiles: DaskTiles, state: Form, p: float) -> Bounds:
    factor = state.factor
    error, inexact = factor.error, factor.error > 1e-9
    if inexact:  # enough for the weights, not for bounds
        scale = tiles.row_scale(state.T, p)
        factor = whiten(tiles, scale)
        norms = tiles.norms(factor.transform)
        own, error = evaluation_error(tiles, factor, norms, scale)
        inexact = np.ndim(own) > 0
    options: dict[str, Any] = {"T": state.T, "p": p, "view": tiles.view}
    total, most = dask_arrays.compute(
        dask_arrays.join_rows(_weight_sum, tiles.A, shape=(1, 1), **options),
        dask_arrays.join_rows(
            _largest_ratio, tiles.A, shape=(1, 1), join=np.maximum, new=factor.transform, **options
        ),
    )
    spread = (0.5 * p - 1.0) * np.log(max(float(total[0, 0]), 1e-300))
    below, above = (spread, float(most[0, 0])) if p < 2.0 else (-float(most[0, 0]), spread)
    return Bounds(
        p, factor.transform, state.first.transform, below, above, p * error + 1e-13, tiles.view,
        inexact,
    )  # fmt: skip


def _weight_sum(first: int, block: Any, *, T: Array, p: float, view: Any) -> Array:
    return np.exp(log_weights(read(block, view).norms(T), p)).sum().reshape(1, 1)


def _largest_ratio(first: int, block: Any, *, T: Array, new: Array, p: float, view: Any) -> Array:
    """The logarithm of the largest ``v g^(1 - p/2)`` (p < 2) or ``g^(p/2 - 1) / v`` (p > 2)."""
    tiles = read(block, view)
    x, norms = log_weights(tiles.norms(T), p), tiles.norms(new)
    alive = norms > 0.0
    ratio = (1.0 - 2.0 / p) * x[alive] + (2.0 - p) * np.log(norms[alive])
    return (ratio if p < 2.0 else -ratio).max(initial=-np.inf).reshape(1, 1)


def _bounds_of_block(first: int, block: Any, *, bounds: Bounds) -> Array:
    return np.stack(bounds.rows(read(block, bounds.view)), axis=1)


def _whitened(tiles: Tiles, T: Array) -> Array:
    """Rows times T."""
    X = tiles.tile(0, tiles.n)
    return np.ascontiguousarray(X @ T)
