"""Refits with random weights (the Bayesian bootstrap): standard errors without a formula.

Each replicate minimizes the same loss with weights w_i E_i, where E_i are independent standard
exponentials, one for each row, or one for each group. No replicate is singular, unlike those of
rows drawn with replacement, and ties remain. E_i is a function of a key and of the index of the
row: the same numbers on any threads and for any chunks.

Quantiles: a replicate starts from the optimal vertex of the fit and needs a few dozen pivots among
the rows within 6 standard errors of the fit; the others enter by one sum. The result is that of all
rows if no row of the sum has changed sides, which is checked; else the band is widened.

Source: Rubin, "The Bayesian bootstrap", Ann. Statist. 9 (1981), 130-134.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._panels import PANEL, Panels
from randla._parallel import run_parts, showing_progress
from randla._results import warn_caller
from randla._tall.whitening import whiten
from randla._typing import Array
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors
from randla.regression._errors.options import InferenceOptions, InferenceWarning
from randla.regression._panels.weighted_data import WeightedData
from randla.regression._quantile.weighted import solve_rows
from randla.regression._resampling.resampling import (
    ALONE,
    NullSpace,
    Weights,
    decided_alone,
    factors,
    spread,
)
from randla.regression._resampling.vertex import FittedRows, Near, Vertex

#: Standard errors within which rows are kept; and the factor by which the band is widened.
_LIMIT, _WIDER = 6.0, 2.0
_IN_TAILS = "95% intervals of 100 rows covered in 93-98% of simulations at 0.5, 72-94% at 0.95"
_STUCK = "all replicates are equal, as rows are few there or b is discrete"
#: Relative differences of replicates up to which they are rounding errors.
_EQUAL = 16.0 * float(np.finfo(np.float64).eps)
#: Panels whose weights are drawn together.
_TILE = 16
#: Columns up to which the products of all pairs are formed.
_FEW_COLUMNS = 40
#: Numbers of the sums of a pass over the rows for some replicates.
_ENTRIES = 1 << 21
#: Newton's method in the l_p norm: a step this small relative to the total is the last.
_STILL, _MAX_ITERATIONS = 1e-7, 40
#: For p < 2 curvatures are those of residuals no smaller than this multiple of the (mean square)
#: change of a residual in the step before.
_SMOOTHED = 1.0
#: Residuals, in units of the largest, below which curvatures are cut off.
_SMALL = 1e-12
#: Below this p curvatures are too steep for Newton's method without a path of easier problems.
_STEEP = 1.25
#: Replicates processed together for each tile read.
_TOGETHER = 16


# Quantiles ----------------------------------------------------------------------------------------


def bootstrap_quantiles(
    data: FittedData, x: Array, taus: list[float], options: InferenceOptions
) -> Errors:
    """For quantile fits x (d, k), in the user's units. Refuses data that are not in memory."""
    if data.tall.lazy:
        raise ValueError("A must be in memory for kind='bootstrap' of quantiles, got a Dask array")
    weights, rows = Weights.of(data, options), FittedRows.of(data)
    bands = [_Band.of(rows, x[:, q] * data.b_scale, tau, weights) for q, tau in enumerate(taus)]
    with showing_progress("bootstrap", options.progress):
        _add_far(bands, weights)

        def replicate(r: int) -> Array:
            return np.stack([band.replicate(r) for band in bands], axis=1)

        seconds = 1e-6 * data.d * sum(band.near.rows.n for band in bands) * len(weights.keys)
        replicates = run_parts(replicate, len(weights.keys), seconds=seconds, blas=True)
    null = NullSpace.of(rows.null, rows.conditioned.scale / data.scale)
    null = replace(null, alone=rows.decided_alone(data.repeats))
    moves = np.array(replicates) / data.scale[:, None]
    stuck = _all_equal(moves, x / data.coefficient_units) & ~np.array([b.perfect for b in bands])
    errors = spread(data, x, moves, null)
    known = null.determined  # of dependent columns some are replaced by others, and never move
    stuck[~known] &= stuck[~known].all(axis=0)
    lost = np.flatnonzero(stuck.T)  # coefficients fastest
    others = [j for j in lost.tolist() if j % data.d not in errors.reasons]
    errors.factor[lost] = np.nan
    reasons = {**errors.reasons, **dict.fromkeys(others, _STUCK)}
    notes = (*errors.notes, _IN_TAILS)
    return replace(errors, reasons=reasons, notes=notes)


def _all_equal(moves: Array, x: Array) -> NDArray[np.bool_]:
    """Which coefficients (d, k) are the same in all replicates (m, d, k), up to rounding."""
    rounding = _EQUAL * (np.abs(x) + np.abs(moves).max(axis=0))
    return np.asarray(np.ptp(moves, axis=0) <= rounding)


@dataclass
class _Band:
    """Refits of one quantile: on the rows near its vertex, or on all if these do not suffice."""

    source: FittedRows
    x: Array
    tau: float
    weights: Weights
    perfect: bool  # A x = b
    vertex: Vertex | None
    near: Near
    index: NDArray[np.intp]
    limit: float
    far: Array | None = None  # (n_replicates, d), the sums of z a over the other rows

    @classmethod
    def of(cls, source: FittedRows, x: Array, tau: float, weights: Weights) -> _Band:
        vertex = source.vertex(x, tau)
        near, index = Near(source.conditioned.panels, np.zeros(0), tau), np.arange(source.data.n)
        if vertex is not None:
            near, index = vertex.near(_LIMIT)
        perfect = source.data.fitted(x)
        return cls(source, x, tau, weights, perfect, vertex, near, index, _LIMIT)

    def wider(self) -> _Band:
        """The band with more rows."""
        assert self.vertex is not None
        limit = _WIDER * self.limit
        near, index = self.vertex.near(limit)
        return replace(self, near=near, index=index, limit=limit, far=None)

    @property
    def of_all(self) -> bool:
        """Whether no row is left out."""
        return self.near.rows.n == self.source.data.n

    def far_values(self) -> Array:
        """Dual values of the rows that are left out, (K, PANEL)."""
        assert self.vertex is not None
        rows = self.vertex.rows
        z = np.where(rows.rhs > 0.0, self.tau, self.tau - 1.0)
        z.ravel()[self.index] = 0.0
        z.ravel()[rows.n :] = 0.0
        return z

    def replicate(self, r: int) -> Array:
        """The change of the coefficients (d,) from x in replicate r."""
        if self.vertex is None:
            return np.zeros(len(self.x)) if self.perfect else self._by_solver(r)
        weight = self.weights.factors(self.index, slice(r, r + 1))[0]
        far = self.near.far if self.far is None else self.far[r]
        near = Near(self.near.rows, far, self.tau)
        start = np.searchsorted(self.index, self.vertex.basis)
        solved = near.refit(near.rows.lines(weight), start)
        if solved is None:
            return self._by_solver(r)
        y = solved[1]
        if not (self.of_all or self._agree(y)):
            band = self.wider()
            if not band.of_all:
                _add_far([band], replace(self.weights, keys=self.weights.keys[r : r + 1]))
                assert band.far is not None
                band.near.far, band.far = band.far[0], None
            return band.replicate(r)
        return self.vertex.unit * (self.source.conditioned.transform @ (self.vertex.y + y))

    def _agree(self, y: Array) -> bool:
        """Whether the rows that are left out keep their sides at y."""
        assert self.vertex is not None
        # |a'y| <= (a'V a)^1/2 (y'V^-1 y)^1/2: usually no row has to be checked.
        if y @ self.vertex.metric @ y <= self.limit**2:
            return True
        rows = self.vertex.rows
        moved = rows.residuals(y) * rows.rhs
        moved.ravel()[self.index] = 0.0
        return bool(moved.min() >= 0.0)

    def _by_solver(self, r: int) -> Array:
        """By the interior point method, for all rows."""
        data = self.source.data
        weight = self.weights.times(data.weight, r)
        return solve_rows(WeightedData(data.A, data.b, weight), self.tau).x - self.x


def _add_far(bands: list[_Band], weights: Weights) -> None:
    """Sum z a over the rows that are left out, for each replicate: a matrix product."""
    bands = [band for band in bands if band.vertex is not None and not band.of_all]
    if not bands:
        return
    rows: Panels = bands[0].source.conditioned.panels
    values = [band.far_values() for band in bands]
    n_tiles = -(-len(rows.data) // _TILE)

    def of_tile(k: int) -> Array:
        span = slice(k * _TILE, (k + 1) * _TILE)
        first, last = k * _TILE * PANEL, min((k + 1) * _TILE * PANEL, rows.n)
        drawn = weights.factors(slice(first, last))
        columns = rows.data[span, : rows.d].transpose(1, 0, 2)
        products = [(z[span] * columns).reshape(rows.d, -1)[:, : last - first] for z in values]
        return np.concatenate(products) @ drawn.T

    seconds = 2e-8 * rows.n * len(weights.keys)
    total: Any = sum(run_parts(of_tile, n_tiles, seconds=seconds, blas=True))
    for band, far in zip(bands, np.split(total.T, len(bands), axis=1), strict=True):
        band.far = np.ascontiguousarray(far)


# Least squares ------------------------------------------------------------------------------------


def _orthonormal(data: FittedData) -> tuple[Array, NullSpace]:
    """T (d, r) with orthonormal columns of the weighted X T, and the y with X y = 0."""
    root = None if data.w is None else np.sqrt(data.w)
    T = whiten(copy(data.tall), root).transform  # a copy, as its long rows may be divided
    w = data.tall.ones() if data.w is None else data.w
    X, w = data.select(_stands_alone, w, T=T, repeats=data.repeats)
    alone = decided_alone(T, np.sqrt(w)[:, None] * (X @ T))
    if T.shape[1] == data.d:
        null = NullSpace.of(np.empty((data.d, 0)), np.ones(data.d))
        return T, replace(null, alone=alone)
    (gram,) = data.sums(_gram, data.w, shapes=[(data.d, data.d)])
    scale = 1.0 / np.sqrt(np.maximum(gram.diagonal(), np.finfo(float).tiny))
    # The rows of T'X'WX span those of X, as X T (X T)'W X = X.
    Q = np.linalg.qr(scale[:, None] * (gram @ T), mode="complete")[0]
    return T, replace(NullSpace.of(Q[:, T.shape[1] :], scale), alone=alone)


def _stands_alone(X: Array, w: Array, *, T: Array, repeats: bool) -> NDArray[np.bool_]:
    """Rows of leverage one, which are orthogonal to all others."""
    leverage = w * np.square(X @ T).sum(axis=1)
    return np.asarray((leverage > 1.0 - ALONE) & ~(repeats & (w > 1.0)))


def _gram(X: Array, w: Array | None) -> tuple[Array]:
    return (X.T @ (X if w is None else w[:, None] * X),)


def _batches(n_replicates: int, size: int) -> list[slice]:
    """Replicates whose sums of `size` numbers fit into the caches."""
    step = max(_ENTRIES // size, 1)
    return [slice(i, min(i + step, n_replicates)) for i in range(0, n_replicates, step)]


def bootstrap_least_squares(data: FittedData, x: Array, options: InferenceOptions) -> Errors:
    """For least squares fits x (d, k); in memory or Dask."""
    weights = Weights.of(data, options)
    T, null = _orthonormal(data)
    rank, k = T.shape[1], x.shape[1]
    n_pairs = rank * (rank + 1) // 2
    steps = np.empty((len(weights.keys), rank, k))
    with showing_progress("bootstrap", options.progress):
        for batch in _batches(len(weights.keys), n_pairs + rank * k):
            keys = weights.keys[batch]
            (sums,) = data.sums(
                _normal_equations, data.B, data.w, weights.numbers, weights.copies,
                shapes=[(len(keys), n_pairs + rank * k)], T=T, keys=keys,
                y=x / data.coefficient_units,
            )  # fmt: skip
            G = _symmetric(sums[:, :n_pairs], rank)
            steps[batch] = np.linalg.solve(G, sums[:, n_pairs:].reshape(-1, rank, k))
    return spread(data, x, T @ steps, null)


def _normal_equations(
    X: Array,
    B: Array,
    w: Array | None,
    numbers: Array,
    copies: Array | None,
    *,
    T: Array,
    keys: NDArray[np.uint64],
    y: Array,
) -> tuple[Array]:
    """Sums of z z' (the pairs i <= j) and of z u' for each replicate."""
    Z, U = X @ T, B - X @ y
    drawn = factors(keys, numbers, copies)
    if w is not None:
        drawn *= w
    products = (Z[:, :, None] * U[:, None, :]).reshape(len(Z), -1)
    return (np.hstack([_pair_sums(drawn, Z, _pairs(Z)), drawn @ products]),)


def _pairs(Z: Array) -> Array | None:
    """The products of columns i <= j; None where they are many."""
    i, j = np.triu_indices(Z.shape[1])
    return Z[:, i] * Z[:, j] if Z.shape[1] <= _FEW_COLUMNS else None


def _pair_sums(weights: Array, Z: Array, pairs: Array | None) -> Array:
    """The sums of w z_i z_j, i <= j, for each row w of weights (m, n)."""
    if pairs is not None:
        return weights @ pairs
    upper = np.triu_indices(Z.shape[1])
    return np.array([((w[:, None] * Z).T @ Z)[upper] for w in weights])


def _symmetric(pairs: Array, d: int) -> Array:
    """Matrices (m, d, d) of the products of columns i <= j."""
    i, j = np.triu_indices(d)
    G = np.empty((len(pairs), d, d))
    G[:, i, j] = G[:, j, i] = pairs
    return G


# Norms l_p ----------------------------------------------------------------------------------------


def bootstrap_norm(
    data: FittedData,
    x: Array,
    p: float,
    solve: Callable[[Array], Array] | None,
    options: InferenceOptions,
) -> Errors:
    """For a fit x (d, 1) in the l_p norm, 1 < p < inf.

    ``solve(weights (n,))`` is the fit (d,) of the rows of `data` with these weights of |r|^p
    instead of their own, in the user's units: it is called if Newton's method does not converge.
    """
    weights, m = Weights.of(data, options), options.n_replicates
    T, null = _orthonormal(data)
    rank, moves = T.shape[1], np.zeros((m, *x.shape))
    U = data.rows(_residuals, data.B, y=x / data.coefficient_units)
    unit = float(data.tall.compute(abs(U).max()))
    todo = np.arange(m if unit > 0.0 else 0)  # a perfect fit is one for any weights
    failed = [] if p >= _STEEP or solve is None else todo.tolist()
    with showing_progress("bootstrap", options.progress):
        if not failed:
            newton = _Newton(data, weights, T, U / (unit or 1.0), p)
            for batch in _batches(len(todo), 1 + rank + rank * (rank + 1) // 2):
                y, converged = newton.solve(todo[batch])
                moves[todo[batch]] = unit * (T @ y[:, :, None])
                failed += todo[batch][~converged].tolist()
        if failed and solve is None:
            share = f"{len(failed)} of {m} replicates of the bootstrap"
            warn_caller(f"{share} did not converge", InferenceWarning)
        elif solve is not None and failed:
            refits = run_parts(lambda i: solve(weights.times(data.w, failed[i])), len(failed))
            moves[failed, :, 0] = (np.array(refits) - x[:, 0]) / data.coefficient_units[:, 0]
    return spread(data, x, moves, null)


def _residuals(X: Array, B: Array, *, y: Array) -> Array:
    return (B - X @ y)[:, 0]


@dataclass(frozen=True)
class _Newton:
    """Newton's method for many replicates at once: minimize sum w E |u - z'y|^p / p from y = 0."""

    data: FittedData
    weights: Weights
    T: Array
    U: Any  # residuals of the fit, of size one
    p: float

    def solve(self, replicates: NDArray[np.intp]) -> tuple[Array, NDArray[np.bool_]]:
        """The minimizers (m, r), and which of them were found."""
        m, rank = len(replicates), self.T.shape[1]
        y, step, length = np.zeros((m, rank)), np.zeros((m, rank)), np.ones(m)
        loss, todo = np.full(m, np.inf), np.arange(m)
        size = float(self.data.tall.compute(abs(self.U).mean()))
        smooth = _SMOOTHED / np.sqrt(self.data.n) if self.p < 2.0 else 0.0  # columns have norm one
        smoothing = np.full(m, smooth * np.sqrt(rank) * size)
        for _ in range(_MAX_ITERATIONS):
            trial = y[todo] + length[todo, None] * step[todo]
            f, g, H = self._sums(replicates[todo], trial, smoothing[todo])
            better = f <= loss[todo] * (1.0 + 1e-14)
            length[todo[~better]] *= 0.3
            moved = todo[better]
            y[moved], loss[moved], length[moved] = trial[better], f[better], 1.0
            step[moved] = np.linalg.solve(H[better], g[better, :, None])[:, :, 0]
            ahead = length[todo, None] * step[todo]
            smoothing[todo] = smooth * np.linalg.norm(ahead, axis=1)
            typical = np.linalg.norm(y[todo] + ahead, axis=1).max()
            last = np.linalg.norm(ahead, axis=1) <= _STILL * typical
            y[todo[last]] += ahead[last]
            todo = todo[~last]
            if len(todo) == 0:
                break
        converged = np.ones(m, bool)
        converged[todo] = False
        return y, converged

    def _sums(
        self, replicates: NDArray[np.intp], y: Array, smoothing: Array
    ) -> tuple[Array, Array, Array]:
        """Losses (m,), gradients -d/dy (m, r) and curvatures (m, r, r)."""
        data, rank, m = self.data, y.shape[1], len(y)
        size = 1 + rank + rank * (rank + 1) // 2
        (sums,) = data.sums(
            _powers, self.U, data.w, self.weights.numbers, self.weights.copies,
            shapes=[(m, size)], T=self.T, keys=self.weights.keys[replicates], y=y, p=self.p,
            smoothing=smoothing,
        )  # fmt: skip
        return sums[:, 0], sums[:, 1 : 1 + rank], _symmetric(sums[:, 1 + rank :], rank)


def _powers(
    X: Array,
    U: Array,
    w: Array | None,
    numbers: Array,
    copies: Array | None,
    *,
    T: Array,
    keys: NDArray[np.uint64],
    y: Array,
    p: float,
    smoothing: Array,
) -> tuple[Array]:
    """Sums of |r|^p / p, of |r|^(p-1) sign(r) z and of (p - 1) |r|^(p-2) z z' (pairs i <= j)."""
    Z = X @ T
    d = Z.shape[1]
    pairs, out = _pairs(Z), np.empty((len(keys), 1 + d + d * (d + 1) // 2))
    for i in range(0, len(keys), _TOGETHER):
        part = slice(i, i + _TOGETHER)
        drawn = factors(keys[part], numbers, copies)
        if w is not None:
            drawn *= w
        R = U - y[part] @ Z.T
        size = np.abs(R)
        least = np.maximum(smoothing[part, None], _SMALL)  # p > 2: a row that is fitted exactly
        base = np.maximum(size, least)
        curvature = drawn * (1.0 / np.sqrt(base) if p == 1.5 else base ** (p - 2.0))
        powers = curvature * size
        below = size < least  # rarely, as powers take long
        powers[below] = drawn[below] * size[below] ** (p - 1.0)
        out[part, 0] = (powers * size).sum(axis=1) / p
        out[part, 1 : 1 + d] = np.copysign(powers, R) @ Z
        out[part, 1 + d :] = (p - 1.0) * _pair_sums(curvature, Z, pairs)
    return (out,)
