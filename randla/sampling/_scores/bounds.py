"""The geometry in which sensitivities are bounded and solved: rows whitened by Lewis weights.

With v > 0, M = A' diag(v) A and g_i = a_i' M^-1 a_i, every row has, for any v (Hoelder):

* p <= 2:  g_i^(p/2) (sum v^(-p/(2-p)))^(p/2-1)  <=  s_i  <=  g_i^(p/2) max_k v_k g_k^(1-p/2)
* p >= 2:  g_i^(p/2) / max_k g_k^(p/2-1)/v_k     <=  s_i  <=  (g_i |v|_{p/(p-2)})^(p/2)

With Lewis weights w and v = w^(1-2/p) the two sides are d^|1-p/2| apart, the least that any v can
promise; they hold as well for weights that an iteration has not finished. The right-hand sides say
how large |x| can be beside |X x|_p for the whitened rows X, which turns the residual of a dual
point into a rigorous bound.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._panels import Panels
from randla._parallel import part_bounds, run_parts
from randla._tall.tiles import Array, Factor, Tiles
from randla._tall.whitening import evaluation_error, whiten
from randla.sampling._kernels import sensitivity_one, sensitivity_power
from randla.sampling._scores.lewis import LewisState, solve_lewis
from randla.sampling._scores.result import LITTLE_DOUBT, widened

LEWIS = 0.1, 60  # residual and iterations of the weights behind the bounds
#: Seconds of an iteration on one core, for each row that counts: for each squared column, and those
#: (of powers) that cost as much as so many squared columns; at p = 1, and for other p.
_SECONDS = (6e-11, 80.0), (4e-11, 400.0)


@dataclass(frozen=True)
class Geometry:
    """Certified bounds of all rows and the factor T with X = A T.

    Attributes
    ----------
    tiles : Tiles
    p : float
    state : LewisState
    lower, upper : (n,) ndarray
        Bounds of the sensitivities.
    kappa : float
        ``|x| <= kappa |A T x|_p`` for every x.
    rounding : float
        Relative rounding error of sensitivities that are computed from A T, at most 1, but for
    own_rounding : float or (n,) ndarray
        that of a row itself, in the ratio s / (1 - s).
    """

    tiles: Tiles
    p: float
    state: LewisState
    lower: Array
    upper: Array
    kappa: float
    rounding: float
    own_rounding: Any

    @property
    def certified(self) -> bool:
        """Whether the rank is beyond doubt, and the scores beside long rows are."""
        return self.state.doubt <= LITTLE_DOUBT

    def of_given_rows(
        self, low: Array, high: Array, rows: NDArray[np.int64] | slice = slice(None)
    ) -> tuple[Array, Array]:
        """Bounds for the matrix as it was given, from those with long rows shortened.

        Long rows U gain, the others S lose, and keep at least the share they have among the x with
        U x = 0. The x of a row is moved there by X_U^+ X_U x, of norm at most |U x|_p <= 1 times
        that of X_U^+, in which the rows of S are short: theta, as U has nearly all of its leverage.
        """
        tiles, doubt, p = self.tiles, self.state.doubt, self.p
        if doubt == 0.0:
            return low, high
        if tiles.gaps is None or doubt >= 0.5 or tiles.gaps.above[0] > self.state.factor.rank:
            return widened(low, high, 1.0)
        scale, long = self.state.row_scale, tiles.levels > 0
        theta = np.sqrt(doubt / (1.0 - doubt)) * scale[long].max()
        theta *= float(tiles.gaps.above[0]) ** max(0.5 - 1.0 / p, 0.0)
        with np.errstate(divide="ignore"):  # zero rows
            moved = theta / scale
        if p >= 2.0:
            most = moved[self.alive].max()
        else:
            power = 2.0 * p / (2.0 - p)
            most = theta * (scale[self.alive] ** -power).sum() ** (1.0 / power)
        root = np.maximum(low ** (1.0 / p) - moved[rows], 0.0) / (1.0 + most)
        return root**p, np.where(long[rows] & (high > 0.0), 1.0, high)

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which rows are not zero."""
        return self.state.norms > 0.0


def geometry(tiles: Tiles, p: float, state: LewisState | None = None) -> Geometry:
    """Bounds of all rows, 1 <= p < inf, for a few leverage computations, or by given weights."""
    if state is None:
        state = solve_lewis(tiles, p, *LEWIS)
    own: Any = 0.0
    error = state.factor.error
    if state.factor.error > 1e-9:  # enough for the weights, not for what is computed from A T
        factor = whiten(tiles, state.row_scale)
        norms = tiles.norms(factor.transform)
        own, error = evaluation_error(tiles, factor, norms, state.row_scale)
        state = replace(state, factor=factor, norms=norms)
    alive = state.norms > 0.0
    lower, upper, kappa = np.zeros(tiles.n), np.zeros(tiles.n), 1.0
    rounding, own = min(p * error + 1e-13, 1.0), np.minimum(p * own, 1.0)
    if alive.any():
        log_g = 2.0 * np.log(state.norms[alive])
        with np.errstate(divide="ignore"):
            log_v = 2.0 * np.log(state.row_scale[alive])  # -inf where a weight is below range
        if p == 2.0:
            from_below = from_above = 0.0
        elif p < 2.0:
            from_below = (0.5 * p - 1.0) * _log_sum_exp(-p / (2.0 - p) * log_v)
            from_above = float((log_v + (1.0 - 0.5 * p) * log_g).max())
        else:
            from_below = -float(((0.5 * p - 1.0) * log_g - log_v).max())
            from_above = 0.5 * (p - 2.0) * _log_sum_exp(p / (p - 2.0) * log_v)
        log_tau = 2.0 * np.log(state.first_norms[alive])  # the l_2 sensitivities: norms fall with p
        below = 0.5 * p * log_g + from_below
        above = 0.5 * p * log_g + from_above
        if p >= 2.0:
            below = np.maximum(below, 0.5 * p * log_tau)
        else:
            above = np.minimum(above, 0.5 * p * log_tau)
        lower[alive], upper[alive] = np.exp(np.minimum(below, 0.0)), np.exp(np.minimum(above, 0.0))
        lower *= (1.0 - rounding) * (1.0 - own)
        upper = np.minimum(upper * (1.0 + rounding) * (1.0 + own), 1.0)
        kappa = float(np.exp(from_above / p))
    return Geometry(tiles, p, state, lower, upper, kappa, rounding, own)


def _log_sum_exp(x: Array) -> float:
    top = x.max()
    if np.isinf(top):
        return float(top)
    return float(top + np.log(np.exp(x - top).sum()))


def whitened_rows(space: Geometry, rows: NDArray[np.int64] | slice | None = None) -> Array:
    """Rows of A T, all by default, C-ordered."""
    tiles, T = space.tiles, Factor(space.state.factor.transform)
    first, last = 0, tiles.n
    if isinstance(rows, slice):
        first, last = rows.start, rows.stop
    elif rows is not None:
        tiles, last = tiles.take(rows), len(rows)
    X = np.empty((last - first, T.array.shape[1]))
    for i in range(first, last, tiles.tile_rows):
        j = min(i + tiles.tile_rows, last)
        X[i - first : j - first] = tiles.product(i, j, T, X[i - first :])
    return X


def orthonormal_rows(tiles: Tiles) -> tuple[Array, tuple[Any, float], float]:
    """A T with orthonormal columns, its `evaluation_error`, and doubt (see `Whitening`)."""
    factor = whiten(tiles)
    X, T = np.empty((tiles.n, factor.rank)), Factor(factor.transform)
    for i in range(0, tiles.n, tiles.tile_rows):
        j = min(i + tiles.tile_rows, tiles.n)
        X[i:j] = tiles.product(i, j, T, X[i:])
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    return X, evaluation_error(tiles, factor, norms), factor.doubt


def row_seconds(m: int, d: int, p: float) -> float:
    """Rough time that an iteration for a row beside m others takes on one core."""
    unit, others = _SECONDS[int(p > 1.0)]
    return m * (d * d + others) * unit


class RowSolver:
    """Certified sensitivities of chosen rows beside the rows of X.

    Parameters
    ----------
    X : (m, r) ndarray
        Whitened rows, all of them or a weighted sample.
    p : float
        1 <= p < inf.
    kappa : float
        ``|x| <= kappa |X x|_p``.
    """

    def __init__(self, X: Array, p: float, kappa: float) -> None:
        self.X, self.p, self.kappa = X, p, kappa
        self.norms = np.sqrt(np.einsum("ij,ij->i", X, X))
        self.total = (np.abs(X[:, 0]) ** p).sum() if X.shape[1] == 1 else 0.0
        self.panels = Panels(*X.shape).fill(X).data

    def seconds(self, n_rows: int, iterations: float = 3.0) -> float:
        """Rough time that `n_rows` rows take on one core."""
        m, d = self.X.shape
        return n_rows * (1e-5 + iterations * row_seconds(m, d, self.p))

    def solve(
        self,
        targets: Array,
        places: NDArray[np.int64],
        rtol: float,
        *,
        cutoff: float = 0.0,
        progress: bool = False,
    ) -> tuple[Array, Array, NDArray[np.int64]]:
        """Lower and upper bounds, and iterations, of the rows `targets`.

        ``places[k]`` is the number of target k in X, or -1 where it is not among its rows. A row is
        left as soon as its upper bound is at most `cutoff`.
        """
        k, d = targets.shape
        lower, upper, iterations = np.zeros(k), np.zeros(k), np.zeros(k, np.int64)
        alive = np.flatnonzero(np.abs(targets).max(axis=1, initial=0.0) > 0.0)
        if len(alive) == 0:
            return lower, upper, iterations
        if d == 1:
            own = np.abs(targets[:, 0]) ** self.p
            rest = np.where(places >= 0, self.total, self.total + own)
            lower[alive] = upper[alive] = np.minimum(own[alive] / rest[alive], 1.0)
            return lower, upper, iterations
        targets, places = np.ascontiguousarray(targets[alive]), places[alive]
        low, high, count = np.empty(len(alive)), np.empty(len(alive)), np.empty(len(alive), int)
        seconds = self.seconds(len(alive))
        # Heavy tails take ten times the iterations: a part has to be short for them, too.
        n_parts = min(len(alive), max(8, int(seconds / 0.03)))
        bounds = part_bounds(len(alive), n_parts)

        def part(index: int) -> None:
            first, last = bounds[index]
            if self.p == 1.0:
                sensitivity_one.bounds_of_rows(
                    targets, places, first, last, self.X, self.norms, self.panels,
                    self.kappa, rtol, cutoff, low, high, count,
                )  # fmt: skip
            else:
                sensitivity_power.bounds_of_rows(
                    targets, places, first, last, self.X, self.panels, self.p,
                    self.kappa, rtol, cutoff, low, high, count,
                )  # fmt: skip

        run_parts(part, n_parts, seconds=seconds, progress=progress, description="sensitivities")
        lower[alive], upper[alive], iterations[alive] = low, high, count
        return lower, upper, iterations
