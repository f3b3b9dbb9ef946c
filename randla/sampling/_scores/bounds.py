"""Bounds of sensitivities, and certified single sensitivities, from rows whitened by Lewis weights.

With v > 0, M = A' diag(v) A and g_i = a_i' M^-1 a_i, every row has, for any v (Hoelder):

* p <= 2:  g_i^(p/2) (sum v^(-p/(2-p)))^(p/2-1)  <=  s_i  <=  g_i^(p/2) max_k v_k g_k^(1-p/2)
* p >= 2:  g_i^(p/2) / max_k g_k^(p/2-1)/v_k     <=  s_i  <=  (g_i |v|_{p/(p-2)})^(p/2)

With Lewis weights w and v = w^(1-2/p) the ratio of the two sides is d^|1-p/2|, the smallest that
any v can guarantee; the bounds also hold for the weights of an unfinished iteration. The right-hand
sides bound |x| by a multiple of |X x|_p for the whitened rows X, which turns the residual of a dual
point into a rigorous bound.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._panels import Panels
from randla._parallel import part_bounds, run_parts, showing_progress
from randla._tall.base import TallMatrix
from randla._tall.memory import MemoryMatrix
from randla._tall.whitening import evaluation_error, whiten
from randla._typing import Array
from randla.sampling._kernels import sensitivity_one, sensitivity_power
from randla.sampling._scores.lewis import solve_lewis
from randla.sampling._scores.lewis_form import LewisState
from randla.sampling._scores.result import certified_bounds

LEWIS = 0.1, 60  # residual and iterations of the weights behind the bounds
#: An iteration takes u (d^2 + c) seconds of one core for each row that counts; c stands for costs
#: that do not grow with d, such as powers. (u, c) at p = 1, and for other p.
_SECONDS = (6e-11, 80.0), (4e-11, 400.0)


@dataclass(frozen=True)
class SensitivityBounds:
    """Certified bounds of all rows and the factor T with X = A T.

    Attributes
    ----------
    tall : TallMatrix
    p : float
    state : LewisState
    lower, upper : (n,) ndarray
        Bounds of the sensitivities.
    kappa : float
        ``|x| <= kappa |A T x|_p`` for every x.
    rounding : float
        Relative error, at most 1, of a sensitivity s due to the rounding of the other rows of A T.
        sensitivity s.
    own_rounding : float or (n,) ndarray
        Relative error of s / (1 - s) due to the rounding of the row itself.
    """

    tall: TallMatrix
    p: float
    state: LewisState
    lower: Array
    upper: Array
    kappa: float
    rounding: float
    own_rounding: Any

    def certified(self, low: Any, high: Any) -> tuple[Any, Any]:
        """Bounds of the exact sensitivities, from bounds for the numerical rank."""
        return certified_bounds(low, high, self.state.rank_is_certain)


def sensitivity_bounds(
    tall: TallMatrix, p: float, state: LewisState | None = None
) -> SensitivityBounds:
    """Bounds of all rows, 1 <= p < inf, from a few leverage computations or from given weights."""
    if state is None:
        state = solve_lewis(tall, p, *LEWIS)
    own: Any = 0.0
    error = state.white.error
    if error > 1e-9:  # sufficient for the weights, not for computations from A T
        white = whiten(tall, state.row_scale)
        norms = tall.row_norms(white.transform)
        own, error = evaluation_error(tall, white, norms, state.row_scale)
        state = replace(state, white=white, norms=norms)
    rounding, own = min(p * error + 1e-13, 1.0), np.minimum(p * own, 1.0)
    table = tall.join_vectors(
        _extremes, state.norms, state.row_scale, shape=(1, 3), join=_joined_extremes, p=p
    )
    from_below, from_above = _shifts(tall.compute(table)[0], p)
    vectors = state.norms, state.first_norms, own if np.ndim(own) else None
    options: dict[str, Any] = {"p": p, "rounding": rounding}
    lower = tall.map_vectors(_lower_bounds, *vectors, shift=from_below, **options)
    upper = tall.map_vectors(_upper_bounds, *vectors, shift=from_above, **options)
    kappa = float(np.exp(from_above / p))  # s <= 1 bounds g^(p/2): |x| <= kappa |X x|_p
    return SensitivityBounds(tall, p, state, lower, upper, kappa, rounding, own)


def _extremes(first: int, norms: Array, row_scale: Array, *, p: float) -> Array:
    """Statistics of all rows for the bounds, with g = norms^2 and v = row_scale^2.

    The logarithm of the largest v g^(1 - p/2) (p < 2) or g^(p/2 - 1) / v (p > 2), and the largest
    logarithm x of a power of v whose sum is needed, with the sum of exp(x) over its exponential.
    """
    alive = norms > 0.0
    if p == 2.0 or not alive.any():
        return np.array([[-np.inf, -np.inf, 0.0]])
    log_g = 2.0 * np.log(norms[alive])
    with np.errstate(divide="ignore"):
        log_v = 2.0 * np.log(row_scale[alive])  # -inf where a weight is below range
    if p < 2.0:
        ratio, x = log_v + (1.0 - 0.5 * p) * log_g, -p / (2.0 - p) * log_v
    else:
        ratio, x = (0.5 * p - 1.0) * log_g - log_v, p / (p - 2.0) * log_v
    top = x.max()
    total = 1.0 if np.isinf(top) else np.exp(x - top).sum()
    return np.array([[ratio.max(), top, total]])


def _joined_extremes(x: Array, y: Array) -> Array:
    (ratio, top, _), parts = np.maximum(x, y)[0], np.vstack([x, y])
    if np.isinf(top):  # log of 0, or of the inverse of a weight below range
        total = parts[:, 2].max()
    else:
        total = (parts[:, 2] * np.exp(parts[:, 1] - top)).sum()
    return np.array([[ratio, top, total]])


def _shifts(extremes: Array, p: float) -> tuple[float, float]:
    """The terms to add to p/2 log g for the logarithms of the lower and of the upper bound."""
    ratio, top, total = (float(number) for number in extremes)
    if p == 2.0 or total == 0.0:  # or all rows are zero
        return 0.0, 0.0
    log_sum = top if np.isinf(top) else top + float(np.log(total))
    if p < 2.0:
        return (0.5 * p - 1.0) * log_sum, ratio
    return -ratio, 0.5 * (p - 2.0) * log_sum


def _lower_bounds(
    first: int, norms: Array, first_norms: Array, own: Array | None, *, p: float, shift: float,
    rounding: float,
) -> Array:  # fmt: skip
    below = _log_bounds(norms, p, shift)
    if p >= 2.0:  # the l_2 sensitivities: norms fall with p
        below = np.maximum(below, _log_bounds(first_norms, p, 0.0))
    lower = np.exp(np.minimum(below, 0.0)) * (1.0 - rounding)
    return lower if own is None else lower * (1.0 - own)


def _upper_bounds(
    first: int, norms: Array, first_norms: Array, own: Array | None, *, p: float, shift: float,
    rounding: float,
) -> Array:  # fmt: skip
    above = _log_bounds(norms, p, shift)
    if p < 2.0:
        above = np.minimum(above, _log_bounds(first_norms, p, 0.0))
    upper = np.exp(np.minimum(above, 0.0)) * (1.0 + rounding)
    return np.minimum(upper if own is None else upper * (1.0 + own), 1.0)


def _log_bounds(norms: Array, p: float, shift: float) -> Array:
    """``p/2 log g + shift``; -inf for rows of zeros."""
    with np.errstate(divide="ignore"):
        return 0.5 * p * (2.0 * np.log(norms)) + shift  # type: ignore[no-any-return]


def whitened_rows(
    bounds: SensitivityBounds, rows: NDArray[np.int64] | slice | None = None
) -> Array:
    """Rows of A T, all by default, C-ordered."""
    T = bounds.state.white.transform
    if isinstance(rows, slice):
        assert isinstance(bounds.tall, MemoryMatrix)
        return bounds.tall.times(T, rows.start, rows.stop)
    matrix = bounds.tall if rows is None else bounds.tall.take(rows)
    return matrix.times(T)  # type: ignore[no-any-return]


def orthonormal_rows(tall: MemoryMatrix) -> tuple[Array, tuple[Any, float], bool]:
    """A T with orthonormal columns, its `evaluation_error`, and whether the rank is certain."""
    white = whiten(tall)
    X = tall.times(white.transform)
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    return X, evaluation_error(tall, white, norms), white.rank_is_certain


def row_seconds(m: int, d: int, p: float) -> float:
    """Approximate time that an iteration for a row takes on one core, with m other rows."""
    unit, others = _SECONDS[int(p > 1.0)]
    return m * (d * d + others) * unit


class SensitivitySolver:
    """Certified sensitivities of chosen rows relative to the rows of X.

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
        """Approximate time that `n_rows` rows take on one core."""
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

        ``places[k]`` is the index of target k in X, or -1 if X does not have it. A row is skipped
        as soon as its upper bound is at most `cutoff`.
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
        # Heavy tails take ten times the iterations, so parts must be short.
        n_parts = min(len(alive), max(8, int(seconds / 0.03)))
        spans = part_bounds(len(alive), n_parts)

        def part(index: int) -> None:
            first, last = spans[index]
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

        with showing_progress("sensitivities", progress):
            run_parts(part, n_parts, seconds=seconds)
        lower[alive], upper[alive], iterations[alive] = low, high, count
        return lower, upper, iterations
