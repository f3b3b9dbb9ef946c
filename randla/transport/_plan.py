"""The mean of the plans that are optimal on lines: a plan in space, with its error."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import part_bounds, progress_bar, run_parts
from randla._random import draw_key
from randla._typing import Array
from randla._validation import as_count, as_flag, as_number, as_points
from randla.transport._clouds import Cloud, as_pair, times_power_of_two
from randla.transport._controls.regression import plain_mean
from randla.transport._directions.designs import Design, as_design
from randla.transport._kernels.cost import accumulate_weights, next_stretch
from randla.transport._kernels.matching import add_matches
from randla.transport._projections.projector import (
    SAFE_POWER,
    SECONDS_PROJECT,
    SECONDS_SORT,
    Coupling,
    Projector,
    Side,
    batch_rows,
)
from randla.transport._result import DirectionsResult, Drawn, MeanCost, directions_interval

_ROUND_NUMBERS = 1 << 22  # of orders held at a time, and of entries of plans
_PARTS, _PART_NUMBERS = 8, 1 << 22  # accumulators at most, and what they hold together


@dataclass(frozen=True, eq=False, repr=False)
class ExpectedSlicedPlan(Drawn, DirectionsResult):
    """The mean of the plans that are optimal between projections, with errors.

    The result of `expected_sliced_plan`. The errors are those of the random directions, given the
    clouds. `confidence_interval` is for `barycentric`, elementwise.

    Attributes
    ----------
    barycentric : (n, d) ndarray
        The image of each point of X: the mean of its matches in Y, a point of the convex hull of Y.
        Points without weight do not move.
    standard_error : (n, d) ndarray or None
        Standard error of `barycentric`; None for directions given as an array.
    cost : float
        Cost of the plan: the mean over its matches of the p-th power of their distances. An upper
        bound of :math:`W_p^p`.
    cost_standard_error : float or None
        Standard error of `cost`; None for directions given as an array.
    degrees_of_freedom : float or None
        Degrees of freedom of both errors: number of independent blocks of directions, minus one.
    n_projections : int
        Number of directions used: as requested, rounded up to whole blocks of the design.
    directions : str
        "iid", "orthogonal", "rqmc", "array", or "exact" in one dimension.
    """

    barycentric: Array
    standard_error: Array | None
    cost: float
    cost_standard_error: float | None
    degrees_of_freedom: float | None
    n_projections: int
    directions: str
    _matches: "_Matches"
    _design: Design

    _shown: ClassVar[tuple[str, ...]] = (
        "barycentric",
        "standard_error",
        "cost",
        "cost_standard_error",
        "n_projections",
        "directions",
    )

    @cached_property
    def plan(self) -> Any:
        """The plan, a SciPy sparse array (n, m): masses of sum one with the given marginals.

        Computed on first access, by sorting again: up to ``n_projections * (n + m - 1)`` entries.
        """
        return self._matches.plan(self._design)

    def _interval(self, level: float) -> tuple[Array, Array]:
        errors = self.standard_error, self.degrees_of_freedom
        return directions_interval(self.barycentric, *errors, level)


def expected_sliced_plan(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_projections: int | None = None,
    directions: Literal["iid", "orthogonal", "rqmc", "auto"] | ArrayLike = "auto",
    rng: Any = None,
    progress: bool = False,
) -> ExpectedSlicedPlan:
    r"""Compute a plan between two clouds: the mean of the optimal plans of projections.

    .. math::

        \gamma = E\, \gamma_\theta, \qquad
        T(x_i) = \frac{1}{a_i} \sum_j \gamma_{ij} y_j, \qquad
        \mathrm{cost} = \sum_{ij} \gamma_{ij} |x_i - y_j|^p,

    with :math:`\gamma_\theta` the plan that matches the points in the order of their projections on
    a random direction :math:`\theta` [1]_. It only requires sorting, and maps each point of X to a
    point among those of Y: for matching, interpolation and color transfer.

    Parameters
    ----------
    X : (n, d) array_like
        Points of the first cloud; 1-D input is n points on a line.
    Y : (m, d) array_like
        Points of the second cloud.
    a, b : (n,) and (m,) array_like, optional
        Non-negative weights, scaled to sum 1. Uniform by default.
    p : float, default 2
        Order of the cost, from 1 to 16; the plan does not depend on it.
    n_projections : int, optional
        Number of directions, at least 2; by default 256, or 8 d if that is more, but at most 1024.
        Designs with blocks round it up.
    directions : str or (L, d) array_like, default "auto"
        As for `sliced_wasserstein_gradient`.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same numbers for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    ExpectedSlicedPlan
        `barycentric`, `cost`, their errors, and the sparse `plan`.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein_flow : moves the points of X onto those of Y.

    Notes
    -----
    The plan has the given marginals, but it is not optimal: its cost is an upper bound of
    :math:`W_p^p`, and in many dimensions it is close to that of random matching, as a projection
    carries little information there. Among points with equal projections one order is used.

    The work is O(L (n + m) (d + log n)). Memory beyond the input is that of a gradient, and up to
    25 arrays of the size of X, fewer if these are large.

    References
    ----------
    .. [1] Liu, Díaz Martín, Bai, Shahbazi, Thorpe, Aldroubi and Kolouri, "Expected sliced transport
       plans", ICLR (2025), arXiv:2410.12176.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import expected_sliced_plan
    >>> X = np.random.default_rng(0).standard_normal((100, 2))
    >>> result = expected_sliced_plan(X, X + [3.0, 0.0], rng=0)
    >>> np.allclose(result.barycentric, X + [3.0, 0.0])
    True
    >>> round(result.cost, 6), result.plan.shape
    (9.0, (100, 100))
    """
    clouds = as_pair(X, Y, a, b)
    p = as_number(p, "p", low=1.0, high=SAFE_POWER)
    progress, key = as_flag(progress, "progress"), draw_key(rng)
    n = None if n_projections is None else as_count(n_projections, "n_projections", minimum=1)
    design = as_design(directions, clouds.dim, n, key)
    x, y = clouds.items
    given = as_points(X, "X")
    matches = _Matches(x, y, (len(given), len(as_points(Y, "Y"))))
    costs, mean, errors = matches.means(design, p, progress)
    is_given = design.kind == "array" and clouds.dim > 1
    fitted = plain_mean(costs, design.block)
    error, freedom = fitted.standard_error, fitted.degrees_of_freedom
    cost = MeanCost.of(fitted.estimate, error, freedom, p, clouds.exponent)
    times_power_of_two(errors, clouds.exponent, errors)
    return ExpectedSlicedPlan(
        barycentric=_completed(clouds.from_common_units(mean + y.center), given, x.kept),
        standard_error=None if is_given else _completed(errors, np.zeros(given.shape), x.kept),
        cost=float(cost.powers(cost.mean)),
        cost_standard_error=None if is_given else float(cost.powers(error)),
        degrees_of_freedom=None if is_given else freedom,
        n_projections=design.n,
        directions="exact" if clouds.dim == 1 else design.kind,
        _matches=matches,
        _design=design,
    )


def _completed(rows: Array, others: NDArray[Any], kept: NDArray[np.intp] | None) -> Array:
    """Rows of the points with weight among those of all points."""
    if kept is None:
        return rows
    full = others.astype(np.float64)
    full[kept] = rows
    return full


class _Matches:
    """Which points of two clouds meet in the order of their projections."""

    def __init__(self, x: Cloud, y: Cloud, shape: tuple[int, int]) -> None:
        self._clouds, self._shape = (x, y), shape
        for cloud in self._clouds:
            if not cloud.is_copied:  # `plan` projects it again
                cloud.source.keep_own()
        self._weighted = x.weights is not None or y.weights is not None
        self._coupling = Coupling(x.size, y.size, weighted=self._weighted)

    # Directions ----------------------------------------------------------------------------------

    def orders(self, theta: Array) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The orders (L, n) and (L, m) of the projections on some directions."""
        x, y = self._clouds
        L = len(theta)
        first, second = np.empty((L, x.size), np.int32), np.empty((L, y.size), np.int32)

        def task(rows: slice, sides: list[Side]) -> None:
            for side, out in zip(sides, (first, second), strict=True):
                assert side.order is not None
                out[rows] = side.order[: rows.stop - rows.start]

        batch = batch_rows(x.size, y.size, x.dim, L)
        per_point = 2.5 * SECONDS_SORT + SECONDS_PROJECT * x.dim
        projector = Projector((x, y), (False, False), (True, True))
        projector.visit(theta, batch, task, L * (x.size + y.size) * per_point)
        return first, second

    def pairs(
        self, first: NDArray[np.int32], second: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], Array]:
        """Points that meet in two orders (n,) and (m,), and the masses that they share."""
        x, y = self._clouds
        if self._coupling.is_equal:
            return first, second, x.masses
        if self._coupling.plan is not None:
            left, right, mass = self._coupling.plan
            return first[left], second[right], mass
        sums = np.empty((1, x.size), np.int64), np.empty((1, y.size), np.int64)
        accumulate_weights(x.units, first[None], sums[0])
        accumulate_weights(y.units, second[None], sums[1])
        n_steps = x.size + y.size - 1
        indices, masses = np.empty((2, 4, n_steps), np.uint32), np.empty((4, n_steps))
        at, reached = np.zeros((4, 2), np.uint64), np.zeros(4, np.int64)
        next_stretch(*sums, at, reached, indices[0], indices[1], masses, n_steps)
        return first[indices[0, 0]], second[indices[1, 0]], masses[0]

    def _rounds(self, design: Design, progress: bool) -> Iterator[tuple[int, int]]:
        """Ranges of directions of whole blocks."""
        n_points = sum(cloud.size for cloud in self._clouds)
        per_block = n_points * max(1, self._clouds[0].dim // 64) * design.block  # for Ctrl-C
        step = max(_ROUND_NUMBERS // per_block, 1) * design.block
        with progress_bar(design.n, progress, "plans") as bar:
            for first in range(0, design.n, step):
                last = min(first + step, design.n)
                yield first, last
                bar(last)

    # Means ---------------------------------------------------------------------------------------

    def _points(self) -> list[Array]:
        """The points (n, d) and (m, d), both about the center of y."""
        x, y = self._clouds
        out = [np.empty((cloud.size, cloud.dim)) for cloud in (x, y)]
        for cloud, rows in zip(self._clouds, out, strict=True):
            for which, points in cloud.blocks():
                rows[which] = points.T
        out[0] += x.center - y.center
        return out

    def means(self, design: Design, p: float, progress: bool) -> tuple[Array, Array, Array]:
        """Costs (L,); mean of the matches of each point (n, d), and its standard error."""
        x, s = self._clouds[0], design.block
        costs, n_blocks = np.empty(design.n), design.n // s
        total, square = np.zeros((2, x.size, x.dim))
        pilot: Array | None = None  # the first block: close to all others, so squares lose nothing
        block_mean = partial(self._block, self._points(), p)
        n_most = min(_PARTS, max(_PART_NUMBERS // total.size, 1))
        for first, last in self._rounds(design, progress):
            orders, rows = self.orders(design.rows(first, last)), costs[first:last].reshape(-1, s)
            if pilot is None:
                pilot = block_mean(orders, 0, rows[0])
            bounds = part_bounds(len(rows), min(n_most, len(rows)))
            task = partial(_sums, block_mean, orders, bounds, rows, pilot)
            for sums in run_parts(task, len(bounds), seconds=len(rows) * s * total.size * 3e-9):
                total += sums[0]
                square += sums[1]
        assert pilot is not None
        total /= n_blocks
        if n_blocks > 1:
            square -= n_blocks * total * total  # about the mean
            square = np.sqrt(np.maximum(square, 0.0) / ((n_blocks - 1.0) * n_blocks))
        return costs, total + pilot, square

    def _block(self, points: list[Array], p: float, orders: Any, block: int, costs: Array) -> Array:
        """Mean of the matches (n, d) over the directions of one block; their costs (s,) are set."""
        x, s = self._clouds[0], len(costs)
        moved = np.zeros_like(points[0])
        for k in range(s):
            row = block * s + k
            pairs = self.pairs(orders[0][row], orders[1][row])
            costs[k] = add_matches(*points, *pairs, p, moved)
        moved /= x.masses[:, None] * s
        return moved

    def plan(self, design: Design) -> Any:
        """The mean plan, a sparse array."""
        from scipy.sparse import coo_array, csr_array

        plan = csr_array(self._shape)
        kept = [cloud.kept for cloud in self._clouds]
        for first, last in self._rounds(design, False):
            orders = self.orders(design.rows(first, last))
            drawn = [self.pairs(*row) for row in zip(*orders, strict=True)]
            i, j, mass = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
            at = [k if rows is None else rows[k] for k, rows in zip((i, j), kept, strict=True)]
            plan = plan + coo_array((mass / design.n, tuple(at)), shape=self._shape).tocsr()
        plan.eliminate_zeros()  # steps of mass zero, at equal levels
        return plan


def _sums(
    block_mean: Callable[..., Array],
    orders: Any,
    bounds: Any,
    costs: Array,
    pilot: Array,
    part: int,
) -> Array:
    """Sums over the blocks of a part of the means less the pilot, and of their squares."""
    sums = np.zeros((2, *pilot.shape))
    for block in range(*bounds[part]):
        change = block_mean(orders, block, costs[block]) - pilot
        sums[0] += change
        sums[1] += change * change
    return sums
