"""l_p sensitivities: the largest share that a row can have of the norm of a vector A x."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import showing_progress
from randla._random import as_generator, draw_key
from randla._results import warn_caller
from randla._tall.tiles import Array, Tiles, as_tall
from randla._validation import as_choice, as_flag, as_indices, as_number, as_power, is_dask
from randla.sampling._scores.bounds import (
    LEWIS,
    Geometry,
    RowSolver,
    geometry,
    row_seconds,
    whitened_rows,
)
from randla.sampling._scores.draws import inclusion_probabilities, uniforms
from randla.sampling._scores.forms import FormTiles, lewis_state, solve_form
from randla.sampling._scores.leverage import leverage_scores
from randla.sampling._scores.result import NotConvergedWarning, Scores, make_scores, widened

_AFFORDABLE = 10.0  # seconds of one core for which "auto" solves for rows
_PILOT = 64  # rows whose iterations tell how many all need
_MAX_NORM_WORK = 1e8  # entries of the programmes, for p = inf
_NEAR_ONE = 1.01  # powers below are bounded by the sensitivities at p = 1 too
SAMPLE_ROWS = 40  # rows a column in the sample behind "sketch"
SKETCH_RTOL = 1e-2
#: For sampling: operations up to which scores are estimated beside a sample, and their tolerance.
_SAMPLING_WORK, SAMPLING_RTOL = 2e9, 0.3
#: Ratio of bounds up to which their middle will do for sampling. All rows may have the same ratio,
#: such as 4 = d^(1/2) for d = 16, and rounding must not decide about that.
_ROUGH = 4.1
#: Powers above 1 up to which Newton's method magnifies rounding errors: the sample would depend on
#: them.
_UNSTABLE = 1.1


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
    r"""Sensitivities of the rows of a matrix in the l_p norm.

    .. math:: s_i = \max_x \, |a_i^T x|^p / \|A x\|_p^p
              \quad (p < \infty), \qquad s_i = \max_x \, |a_i^T x| / \|A x\|_\infty

    They lie between 0 and 1 and do not depend on the basis of the columns. At p = 2 they are the
    leverage scores.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array (not for "exact")
        Real and finite.
    p : float
        1 <= p <= inf.
    rows : (k,) array_like of int, or mask, optional
        The rows whose sensitivities are wanted, all by default; all rows of `A` count in the norm.
    method : {"auto", "exact", "sketch", "bound"}
        "exact" encloses each sensitivity in an interval of relative width `rtol`: an interior
        point method for p = 1, Newton's method on the problem without the row itself for
        1 < p < inf, the simplex method for p = inf. "sketch"
        solves the same problems on a weighted sample of some 40 d rows: an estimate, not
        certified. "bound" returns certified upper bounds for a few leverage computations. "auto"
        is the first of these three that takes some ten seconds of one core at most, by the
        iterations that a few rows need: heavy tails need more.
    rtol : float
        Relative width of the intervals of "exact".
    progress : bool
        Show a progress bar (needs tqdm; for Dask arrays it is Dask's own).
    rng : {None, int, SeedSequence, Generator}, optional
        For the sample of "sketch".

    Returns
    -------
    Scores
        One value for each of `rows`. `lower` and `upper` enclose the exact sensitivities whatever
        the method; the values are their middle ("exact"), the estimates ("sketch"), or `upper`
        ("bound"). `residual` is the largest ``(upper - lower) / upper``.

    Warns
    -----
    NotConvergedWarning
        If "exact" did not reach `rtol` for some rows, as may happen for p between 1 and 1.1.

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, 2-D, finite and non-empty, or an option is out of range.

    See Also
    --------
    total_sensitivity, max_sensitivity : their sum and maximum, without computing all.
    lewis_weights, leverage_scores, sample_rows

    Notes
    -----
    With :math:`t_i` the same ratio with row i left out of the norm, :math:`s_i = t_i/(1 + t_i)`.
    Any x with :math:`a_i^T x = 1` gives :math:`t_i \ge \|A_{-i} x\|_p^{-p}`, any z with
    :math:`A_{-i}^T z = a_i` gives :math:`t_i \le \|z\|_q^p`, 1/p + 1/q = 1. Each iteration brings
    both. All rows cost :math:`O(n^2 d^2)` for a few iterations; "bound" costs :math:`O(n d^2)` and
    is within :math:`d^{|1 - p/2|}` of the truth [1]_.

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
    if is_dask(A):
        from randla._dask import sensitivity

        with showing_progress("lp_sensitivities", progress):
            return sensitivity.lp_sensitivities(A, p, rows, method, rng)
    if method == "sketch" and p == np.inf:
        raise ValueError("method must be 'exact' or 'bound' for p=inf, got 'sketch'")
    matrix = as_tall(A, finite=False)
    chosen = None if rows is None else as_indices(rows, matrix.shape[0])
    with showing_progress("lp_sensitivities", progress):
        return _in_memory(matrix, p, chosen, method, rtol, progress, rng)


def _in_memory(
    matrix: Any, p: float, chosen: Any, method: str, rtol: float, progress: bool, rng: Any
) -> Scores:
    some = slice(None) if chosen is None else chosen
    if p == np.inf and method == "auto":
        k = matrix.shape[0] if chosen is None else len(chosen)
        method = "exact" if k * matrix.size <= _MAX_NORM_WORK else "bound"
    if p == 2.0 or (p == np.inf and method == "bound"):
        return _from_leverage(matrix, p, chosen)
    if p == np.inf:
        from randla.sampling._scores.sensitivity_max import max_norm_sensitivities

        low, high, iterations, doubt = max_norm_sensitivities(Tiles(matrix), chosen, rtol, progress)
        bounds = widened(low, high, 1.0) if doubt > 0.0 else None
        return _enclosed(low, high, iterations, p, rtol, bounds)
    space, solver = geometry(Tiles(matrix), p), None
    if method == "auto":
        solver = _affordable_solver(space, chosen, rtol)
        method = "exact" if solver is not None else "sketch"
        if solver is None:
            found = _sketched(space, chosen, draw_key(rng), progress, affordable_only=True)
            if found is not None:
                return found
            method = "bound"
    if method == "bound":
        low, values = space.lower[some], space.upper[some]
        low, high = space.of_given_rows(low, values, some)
        return make_scores(
            values.copy(), low, high, kind="sensitivity-bound", p=p, certified=space.certified,
            residual=relative_gap(low, high), n_iterations=space.state.n_iterations,
        )  # fmt: skip
    if method == "sketch":
        found = _sketched(space, chosen, draw_key(rng), progress)
        assert found is not None
        return found
    if 1.0 < p < _NEAR_ONE:
        least, most, iterations = _from_norm_one(matrix, p, chosen, rtol, progress)
        if relative_gap(least, most) <= rtol:
            bounds = space.of_given_rows(least, most, some)
            return _enclosed(least, most, iterations, p, rtol, bounds)
    low, high, iterations = exact_rows(space, chosen, rtol, progress=progress, solver=solver)
    if 1.0 < p < _NEAR_ONE:
        low, high = np.maximum(low, least), np.minimum(high, most)
    return _enclosed(low, high, iterations, p, rtol, space.of_given_rows(low, high, some))


def pilot(k: int) -> NDArray[np.int64]:
    """The places of a few of k rows, evenly spread."""
    count = min(_PILOT, -(-k // 16))
    return np.arange(count) * k // max(count, 1)


def affordable(
    solver: RowSolver, k: int, targets: Array, places: NDArray[np.int64], rtol: float
) -> bool:
    """Whether k rows can be solved for in some ten seconds, by the iterations of a few."""
    _, _, iterations = solver.solve(targets, places, rtol)
    return k == 0 or solver.seconds(k, float(iterations.mean())) <= _AFFORDABLE


def _affordable_solver(
    space: Geometry, chosen: NDArray[np.int64] | None, rtol: float
) -> RowSolver | None:
    """A solver on all rows, if the chosen ones can be solved for in some ten seconds."""
    n = space.tiles.n
    k = n if chosen is None else len(chosen)
    if k * row_seconds(n, space.state.factor.rank, space.p) > _AFFORDABLE:
        return None
    solver, few = full_solver(space), pilot(k)
    rows = few if chosen is None else chosen[few]
    return solver if affordable(solver, k, solver.X[rows], rows, rtol) else None


def sampling_sensitivities(A: Any, p: float, rng: Any, *, rough: bool) -> Any:
    """Sensitivities for sampling, the same for a Dask array (then lazy) as in memory.

    They are estimated beside a sample of the rows where that takes about a second; with ``rough``
    only those that the certified bounds leave open by more than a factor of 4. The others are the
    geometric means of their bounds (upper bounds, unless rough).
    """
    if p == 2.0:
        return leverage_scores(A, rng=rng).values
    if is_dask(A):
        from randla._dask import sensitivity

        return sensitivity.sampling_sensitivities(A, p, rng, rough=rough)
    tiles = FormTiles(A)
    space = geometry(tiles, p, lewis_state(tiles, solve_form(tiles, p, *LEWIS)))
    values, open_rows = between(space.lower, space.upper, rough)
    rows = np.flatnonzero(open_rows)
    if worth_a_sketch(len(rows), tiles.n, space.state.factor.rank, p):
        values[rows] = np.asarray(_sketched(space, rows, draw_key(rng), False, SAMPLING_RTOL))
    return values


def between(low: Array, high: Array, rough: bool) -> tuple[Array, NDArray[np.bool_]]:
    """Scores between their bounds, and which rows' bounds are too far apart for sampling."""
    if not rough:
        return high.copy(), high > 0.0
    return np.sqrt(low) * np.sqrt(high), high > _ROUGH * low


def worth_a_sketch(k: int, n: int, rank: int, p: float) -> bool:
    """Whether k of n rows are to be solved for sampling."""
    work = k * min(SAMPLE_ROWS * rank, n) * (rank**2 + 20.0)
    return 0.0 < work <= _SAMPLING_WORK and not 1.0 < p < _UNSTABLE


def relative_gap(low: Array, high: Array) -> float:
    """The largest ``(high - low) / high``."""
    gap = np.divide(high - low, high, out=np.zeros(len(high)), where=high > 0)
    return float(gap.max(initial=0.0))


def exact_rows(
    space: Geometry,
    chosen: NDArray[np.int64] | None,
    rtol: float,
    *,
    cutoff: float = 0.0,
    progress: bool = False,
    solver: RowSolver | None = None,
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Certified bounds of the chosen rows (all if None), with the rounding of A T."""
    if solver is None:
        solver = full_solver(space)
    rows = np.arange(space.tiles.n) if chosen is None else chosen
    targets = solver.X if chosen is None else solver.X[chosen]
    rounding, own = space.rounding, np.broadcast_to(space.own_rounding, space.tiles.n)[rows]
    low, high, iterations = solver.solve(
        targets, rows.astype(np.int64), max(rtol - 2.0 * rounding, 0.1 * rtol),
        cutoff=cutoff * (1.0 - rounding) * (1.0 - own.max(initial=0.0)), progress=progress,
    )  # fmt: skip
    low = low * (1.0 - own) / np.maximum(1.0 - own * low, 1e-300) * (1.0 - rounding)
    high = high * (1.0 + own) / (1.0 + own * high) * (1.0 + rounding)
    low, high = np.maximum(low, space.lower[rows]), np.minimum(high, space.upper[rows])
    return low, np.maximum(high, low), iterations


def _from_norm_one(
    matrix: Any, p: float, chosen: NDArray[np.int64] | None, rtol: float, progress: bool
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Bounds from the sensitivities at 1, for p slightly above, where Newton's method is slow.

    Norms fall with p, hence s^(p) >= s^p; and |Ax|_1 <= n^(1 - 1/p) |Ax|_p, hence
    s^(p) <= n^(p - 1) s^p.
    """
    space = geometry(Tiles(matrix), 1.0)
    low, high, iterations = exact_rows(space, chosen, 0.25 * rtol, progress=progress)
    return low**p, np.minimum(float(matrix.shape[0]) ** (p - 1.0) * high**p, 1.0), iterations


def full_solver(space: Geometry) -> RowSolver:
    """A solver on all rows."""
    return RowSolver(whitened_rows(space), space.p, space.kappa)


def _enclosed(
    low: Array,
    high: Array,
    iterations: NDArray[np.int64],
    p: float,
    rtol: float,
    bounds: tuple[Array, Array] | None = None,
) -> Scores:
    """Scores in the middle of their bounds; `bounds` are those of the matrix as it was given."""
    gap, values = relative_gap(low, high), 0.5 * (low + high)
    if not gap <= rtol:
        late = int((high - low > rtol * high).sum())
        warn_caller(
            f"{late} of {len(low)} sensitivities were enclosed to a relative width of at most "
            f"{gap:.1e}, not rtol={rtol:g}; their intervals are valid all the same",
            NotConvergedWarning,
        )
    if bounds is not None:
        low, high = bounds
        gap = relative_gap(low, high)
    return make_scores(
        values, low, high, kind="sensitivity", p=p, certified=gap <= rtol,
        residual=gap, n_iterations=int(iterations.max(initial=0)),
    )  # fmt: skip


def _from_leverage(matrix: Any, p: float, chosen: NDArray[np.int64] | None) -> Scores:
    """For p = 2, and for p = inf the bound s_i >= sqrt(leverage), as norms fall with p."""
    scores = leverage_scores(matrix, method="exact")
    low, high = scores.lower, scores.upper
    if p == np.inf:
        low, high = np.sqrt(low), (high > 0.0).astype(np.float64)
    values = scores.values if p == 2.0 else high
    if chosen is not None:
        values, low, high = values[chosen], low[chosen], high[chosen]
    return make_scores(
        values.copy(), low.copy(), high.copy(), p=p, certified=scores.certified,
        kind="sensitivity" if p == 2.0 else "sensitivity-bound",
        residual=relative_gap(low, high),
    )  # fmt: skip


def _sketched(
    space: Geometry,
    chosen: NDArray[np.int64] | None,
    key: np.uint64,
    progress: bool,
    rtol: float = SKETCH_RTOL,
    *,
    affordable_only: bool = False,
) -> Scores | None:
    """Sensitivities beside a weighted sample of the rows, cut to the certified bounds.

    None if `affordable_only` and they would take too long.
    """
    n, d, p = space.tiles.n, space.state.factor.rank, space.p
    rows = np.arange(n) if chosen is None else chosen
    weights = np.exp(space.state.log_weights)
    if not weights.any():
        zero = np.zeros(len(rows))
        return make_scores(
            zero, zero.copy(), zero.copy(), kind="sensitivity-sketch", p=p, certified=True,
            residual=0.0,
        )  # fmt: skip
    pi = inclusion_probabilities(weights, SAMPLE_ROWS * d)
    sample = np.flatnonzero(uniforms(key, n) < pi)
    scale = pi[sample] ** (-1.0 / p)
    solver = RowSolver(whitened_rows(space, sample) * scale[:, None], p, space.kappa)
    places = np.full(n, -1, np.int64)
    places[sample] = np.arange(len(sample))
    if affordable_only:
        few = rows[pilot(len(rows))]
        if not affordable(solver, len(rows), whitened_rows(space, few), places[few], rtol):
            return None
    values, most = np.empty(len(rows)), 0
    step = 1 << 16
    for first in range(0, len(rows), step):
        part = slice(first, min(first + step, len(rows)))
        index = part if chosen is None else rows[part]
        low, high, iterations = solver.solve(
            whitened_rows(space, index), places[rows[part]], rtol, progress=progress
        )
        values[part], most = 0.5 * (low + high), max(most, int(iterations.max(initial=0)))
    low, high = space.lower[rows], space.upper[rows]
    np.clip(values, low, high, out=values)
    low, high = space.of_given_rows(low, high, rows)
    return make_scores(
        values, low, high, kind="sensitivity-sketch", p=p, certified=False,
        residual=relative_gap(low, high), n_iterations=most,
    )  # fmt: skip
