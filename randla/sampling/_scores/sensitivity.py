"""l_p sensitivities: the largest fraction of the norm of a vector A x that a row can have."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import showing_progress
from randla._random import as_generator, draw_key
from randla._results import warn_caller
from randla._tall.base import TallMatrix
from randla._tall.memory import MemoryMatrix
from randla._tall.open import open_tall
from randla._typing import Array
from randla._validation import as_choice, as_flag, as_indices, as_number, as_power
from randla.sampling._scores.bounds import (
    SensitivityBounds,
    SensitivitySolver,
    row_seconds,
    sensitivity_bounds,
    whitened_rows,
)
from randla.sampling._scores.leverage import exact_leverage
from randla.sampling._scores.result import (
    NotConvergedWarning,
    Scores,
    certified_bounds,
    relative_gap,
)
from randla.sampling._scores.sensitivity_max import max_norm_sensitivities
from randla.sampling._scores.sensitivity_sample import RowReference

_AFFORDABLE = 10.0  # seconds of one core for which "auto" solves for rows
_PILOT = 64  # rows whose iterations predict how many all rows need
_MAX_NORM_WORK = 1e8  # entries of the programs, for p = inf
_NEAR_ONE = 1.01  # for powers up to this, the sensitivities at p = 1 give bounds too
_SKETCH_RTOL = 1e-2
_ESTIMATED_ROWS = 1 << 16  # whitened at a time


def lp_sensitivities(
    A: ArrayLike,
    p: float,
    *,
    rows: ArrayLike | None = None,
    method: Literal["auto", "exact", "sketch", "bound"] = "auto",
    rtol: float = 1e-3,
    progress: bool = False,
    rng: Any = None,
) -> Scores:
    r"""Compute or bound the sensitivities of the rows of a matrix in the l_p norm.

    .. math:: s_i = \max_x \, |a_i^T x|^p / \|A x\|_p^p
              \quad (p < \infty), \qquad s_i = \max_x \, |a_i^T x| / \|A x\|_\infty

    They lie between 0 and 1 and do not depend on the basis of the columns. At p = 2 they are the
    leverage scores; samples by them are analyzed in [2]_.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array (not for "exact")
        Real and finite.
    p : float
        The power of the norm, 1 <= p <= inf.
    rows : (k,) array_like of int, or mask, optional
        The rows whose sensitivities are computed, all by default; the norm is over all rows of `A`.
    method : {"auto", "exact", "sketch", "bound"}
        "exact" encloses each sensitivity in an interval of relative width `rtol`: by an interior
        point method for p = 1, Newton's method on the problem without the row itself for 1 < p <
        inf, and the simplex method for p = inf. "sketch" solves the same problems on a weighted
        sample of about 40 d rows: an estimate, not certified. "bound" returns certified upper
        bounds for the cost of a few leverage computations. "auto" is the first of these three that
        takes at most about ten seconds of one core, judged by the iterations of a few rows: heavy
        tails need more.
    rtol : float
        Relative width of the intervals of "exact".
    progress : bool
        Show a progress bar (needs tqdm; for Dask arrays, Dask's own).
    rng : {None, int, SeedSequence, Generator}, optional
        Seed of the sample of "sketch".

    Returns
    -------
    Scores
        One value for each of `rows`. `lower` and `upper` enclose the exact sensitivities for every
        method; the values are their midpoints ("exact"), the estimates ("sketch"), or `upper`
        ("bound"). `residual` is the largest ``(upper - lower) / upper``.

    Warns
    -----
    NotConvergedWarning
        If "exact" did not reach `rtol` for some rows, as can happen for p between 1 and 1.1.

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, 2-D, finite and non-empty, or an option is out of range.

    See Also
    --------
    total_sensitivity, max_sensitivity : their sum and maximum, without computing all of them.
    lewis_weights, leverage_scores, sample_rows

    Notes
    -----
    With :math:`t_i` the same ratio with row i left out of the norm, :math:`s_i = t_i/(1 + t_i)`.
    Any x with :math:`a_i^T x = 1` gives :math:`t_i \ge \|A_{-i} x\|_p^{-p}`, any z with
    :math:`A_{-i}^T z = a_i` gives :math:`t_i \le \|z\|_q^p`, 1/p + 1/q = 1. Each iteration yields
    both bounds. All rows cost :math:`O(n^2 d^2)` for a few iterations; "bound" costs
    :math:`O(n d^2)` and is within a factor :math:`d^{|1 - p/2|}` of the exact value [1]_.

    References
    ----------
    .. [1] Cohen and Peng, "l_p row sampling by Lewis weights", STOC (2015), 183-192.
    .. [2] Woodruff and Yasuda, "Sharper bounds for l_p sensitivity sampling", ICML (2023),
       arXiv:2306.00732.

    Examples
    --------
    In one dimension a row's sensitivity is its share of the sum:

    >>> import numpy as np
    >>> from randla.sampling import lp_sensitivities
    >>> np.round(np.asarray(lp_sensitivities([[1.0], [2.0], [5.0]], p=1)), 6)
    array([0.125, 0.25 , 0.625])
    """
    p = as_power(p, infinite=True)
    as_choice(method, "method", ("auto", "exact", "sketch", "bound"))
    rtol = as_number(rtol, "rtol", low=0.0, high=1.0, closed="neither")
    progress = as_flag(progress, "progress")
    as_generator(rng)
    tall = open_tall(A)
    _require_method(tall, p, method)
    rows = None if rows is None else as_indices(rows, tall.n)
    with showing_progress("lp_sensitivities", progress):
        return _by_method(tall, p, rows, method, rtol, progress, rng)


def _require_method(tall: TallMatrix, p: float, method: str) -> None:
    """Raise ValueError for a method that is not available for this kind of A, or this p."""
    if tall.lazy and method == "exact":
        raise ValueError(
            "method must be 'auto', 'sketch' or 'bound' for a Dask array, got 'exact': "
            "use A.compute()"
        )
    if method == "sketch" and p == np.inf:
        choices, where = (
            ("'bound'", " and a Dask array") if tall.lazy else ("'exact' or 'bound'", "")
        )
        raise ValueError(f"method must be {choices} for p=inf{where}, got 'sketch'")


def _by_method(
    tall: TallMatrix, p: float, rows: Any, method: str, rtol: float, progress: bool, rng: Any
) -> Scores:
    if p == np.inf and method == "auto":
        k = tall.n if rows is None else len(rows)
        exact = not tall.lazy and k * tall.A.size <= _MAX_NORM_WORK
        method = "exact" if exact else "bound"
    if p == 2.0 or (p == np.inf and method == "bound"):
        return _from_leverage(tall, p, rows)
    if p == np.inf:
        assert isinstance(tall, MemoryMatrix)
        low, high, iterations, is_certain = max_norm_sensitivities(tall, rows, rtol, progress)
        ends = certified_bounds(low, high, is_certain)
        return _enclosed(low, high, iterations, p, rtol, ends)
    bounds, solver = sensitivity_bounds(tall, p), None
    if method == "auto" and not tall.lazy:
        solver = _affordable_solver(bounds, rows, rtol)
        method = "auto" if solver is None else "exact"
    if method in ("auto", "sketch"):
        estimate = _sketched(
            bounds, rows, draw_key(rng), progress, affordable_only=method == "auto"
        )
        if estimate is not None:
            return estimate
        method = "bound"
    subset = slice(None) if rows is None else rows
    if method == "bound":
        low, high = bounds.certified(bounds.lower[subset], bounds.upper[subset])
        return Scores.of(
            bounds.upper[subset], (low, high), kind="sensitivity-bound", p=p,
            certified=bounds.state.rank_is_certain, residual=relative_gap(low, high),
            n_iterations=bounds.state.n_iterations,
        )  # fmt: skip
    if 1.0 < p < _NEAR_ONE:
        least, most, iterations = _from_norm_one(open_tall(tall.A), p, rows, rtol, progress)
        if relative_gap(least, most) <= rtol:
            return _enclosed(least, most, iterations, p, rtol, bounds.certified(least, most))
    low, high, iterations = exact_rows(bounds, rows, rtol, progress=progress, solver=solver)
    if 1.0 < p < _NEAR_ONE:
        low, high = np.maximum(low, least), np.minimum(high, most)
    return _enclosed(low, high, iterations, p, rtol, bounds.certified(low, high))


def pilot(k: int) -> NDArray[np.int64]:
    """The positions of a few of k rows, evenly spread."""
    count = min(_PILOT, -(-k // 16))
    return np.arange(count) * k // max(count, 1)


def affordable(
    solver: SensitivitySolver, k: int, targets: Array, places: NDArray[np.int64], rtol: float
) -> bool:
    """Whether k rows can be solved in about ten seconds, by the iterations of a few."""
    _, _, iterations = solver.solve(targets, places, rtol)
    return k == 0 or solver.seconds(k, float(iterations.mean())) <= _AFFORDABLE


def _affordable_solver(
    bounds: SensitivityBounds, rows: NDArray[np.int64] | None, rtol: float
) -> SensitivitySolver | None:
    """A solver on all rows, if the chosen rows can be solved in about ten seconds."""
    n = bounds.tall.n
    k = n if rows is None else len(rows)
    if k * row_seconds(n, bounds.state.white.rank, bounds.p) > _AFFORDABLE:
        return None
    solver, places = full_solver(bounds), pilot(k)
    sample = places if rows is None else rows[places]
    return solver if affordable(solver, k, solver.X[sample], sample, rtol) else None


def exact_rows(
    bounds: SensitivityBounds,
    chosen: NDArray[np.int64] | None,
    rtol: float,
    *,
    cutoff: float = 0.0,
    progress: bool = False,
    solver: SensitivitySolver | None = None,
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Certified bounds of the chosen rows (all if None), with the rounding of A T."""
    if solver is None:
        solver = full_solver(bounds)
    rows = np.arange(bounds.tall.n) if chosen is None else chosen
    targets = solver.X if chosen is None else solver.X[chosen]
    rounding, own = bounds.rounding, np.broadcast_to(bounds.own_rounding, bounds.tall.n)[rows]
    low, high, iterations = solver.solve(
        targets, rows.astype(np.int64), max(rtol - 2.0 * rounding, 0.1 * rtol),
        cutoff=cutoff * (1.0 - rounding) * (1.0 - own.max(initial=0.0)), progress=progress,
    )  # fmt: skip
    low = low * (1.0 - own) / np.maximum(1.0 - own * low, 1e-300) * (1.0 - rounding)
    high = high * (1.0 + own) / (1.0 + own * high) * (1.0 + rounding)
    low, high = np.maximum(low, bounds.lower[rows]), np.minimum(high, bounds.upper[rows])
    return low, np.maximum(high, low), iterations


def _from_norm_one(
    tall: TallMatrix, p: float, rows: NDArray[np.int64] | None, rtol: float, progress: bool
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Bounds from the sensitivities at p = 1, for p slightly above, where Newton's method is slow.

    Norms fall with p, hence s^(p) >= s^p; and |Ax|_1 <= n^(1 - 1/p) |Ax|_p, hence
    s^(p) <= n^(p - 1) s^p.
    """
    bounds = sensitivity_bounds(tall, 1.0)
    low, high, iterations = exact_rows(bounds, rows, 0.25 * rtol, progress=progress)
    return low**p, np.minimum(float(tall.n) ** (p - 1.0) * high**p, 1.0), iterations


def full_solver(bounds: SensitivityBounds) -> SensitivitySolver:
    """A solver on all rows."""
    return SensitivitySolver(whitened_rows(bounds), bounds.p, bounds.kappa)


def _enclosed(
    low: Array,
    high: Array,
    iterations: NDArray[np.int64],
    p: float,
    rtol: float,
    bounds: tuple[Array, Array],
) -> Scores:
    """Scores midway between `low` and `high`; `bounds` hold where these may not."""
    gap, values = relative_gap(low, high), 0.5 * (low + high)
    if not gap <= rtol:
        late = int((high - low > rtol * high).sum())
        warn_caller(
            f"{late} of {len(low)} sensitivities were enclosed to a relative width of at most "
            f"{gap:.1e}, not rtol={rtol:g}; their intervals are still valid",
            NotConvergedWarning,
        )
    gap = relative_gap(*bounds)
    return Scores.of(
        values, bounds, kind="sensitivity", p=p, certified=gap <= rtol,
        residual=gap, n_iterations=int(iterations.max(initial=0)),
    )  # fmt: skip


def _from_leverage(tall: TallMatrix, p: float, rows: NDArray[np.int64] | None) -> Scores:
    """For p = 2, and for p = inf the bound s_i >= sqrt(leverage), as norms fall with p."""
    scores = exact_leverage(tall)
    low, high = scores.lower, scores.upper
    if p == np.inf:
        low, high = np.sqrt(low), (high > 0.0).astype(np.float64)
    values = scores.values if p == 2.0 else high
    if rows is not None:
        values, low, high = values[rows], low[rows], high[rows]
    return Scores.of(
        values, (low, high), p=p, certified=scores.certified,
        kind="sensitivity" if p == 2.0 else "sensitivity-bound",
        residual=relative_gap(low, high),
    )  # fmt: skip


def _sketched(
    bounds: SensitivityBounds,
    rows: NDArray[np.int64] | None,
    key: np.uint64,
    progress: bool,
    *,
    affordable_only: bool = False,
) -> Scores | None:
    """Sensitivities estimated from a weighted sample of the rows, cut to the certified bounds.

    None if `affordable_only` and they would take too long.
    """
    tall, state = bounds.tall, bounds.state
    subset = slice(None) if rows is None else rows
    low, high = bounds.lower[subset], bounds.upper[subset]
    options: dict[str, Any] = {"kind": "sensitivity-sketch", "p": bounds.p}
    if state.white.rank == 0:
        return Scores.of(high, (low, high), certified=True, residual=0.0, **options)
    reference = RowReference.of(bounds, key)
    if affordable_only:
        k = tall.n if rows is None else len(rows)
        sample = pilot(k) if rows is None else np.sort(rows[pilot(k)])
        targets, places = whitened_rows(bounds, sample), reference.places(sample)
        if not affordable(reference.solver, k, targets, places, _SKETCH_RTOL):
            return None
    T = state.white.transform
    if tall.lazy:  # all of them, if requested
        table = tall.map_rows(_estimates, width=2, T=T, reference=reference, progress=False)[subset]
        n_iterations = state.n_iterations
    else:
        block = tall if rows is None else tall.take(rows)
        table = _estimates(block, rows, T=T, reference=reference, progress=progress)
        n_iterations = int(table[:, 1].max(initial=0.0))
    values = np.clip(table[:, 0], low, high)
    ends = bounds.certified(low, high)
    return Scores.of(
        values, ends, certified=False, residual=relative_gap(*ends), n_iterations=n_iterations,
        **options,
    )  # fmt: skip


def _estimates(
    block: Any,
    rows: NDArray[np.int64] | None = None,
    *,
    T: Array,
    reference: RowReference,
    progress: bool,
) -> Array:
    """Estimates for the rows of a block, (n, 2) with iterations; whitened rows take memory."""
    rows = block.first + np.arange(block.n) if rows is None else rows
    table = np.empty((block.n, 2))
    for first in range(0, block.n, _ESTIMATED_ROWS):
        part = slice(first, min(first + _ESTIMATED_ROWS, block.n))
        targets = block.times(T, part.start, part.stop)
        table[part] = np.stack(
            reference.estimates(targets, rows[part], _SKETCH_RTOL, progress), axis=1
        )
    return table
