"""Derivatives of projected costs with respect to the points, for many directions at a time."""

import math
import threading
from dataclasses import dataclass

import numpy as np

from randla._parallel import part_bounds, progress_bar, run_parts
from randla._typing import Array
from randla.transport._clouds import Cloud
from randla.transport._costs import ProjectedCosts
from randla.transport._directions import Design
from randla.transport._kernels.gradient import (
    add_slopes_equal,
    add_slopes_planned,
    add_slopes_weighted,
)
from randla.transport._kernels.project import project_rows
from randla.transport._projections import (
    SECONDS_PROJECT,
    SECONDS_SORT,
    Coupling,
    Side,
    SideRequest,
    batch_rows,
    make_sides,
    unit_of_costs,
)

_ROUND_NUMBERS = 1 << 21  # slopes that are held at a time: 16 MiB
_POINTS = 2048  # points of a part of the accumulation


@dataclass(frozen=True, eq=False)
class Slopes:
    """What a design says of the objective sum_k weight_k f_k, for one cloud against several.

    Attributes
    ----------
    costs : (L, K) ndarray
        f_k at each direction.
    gradient : (n, d) ndarray
        Mean over the blocks of the design.
    standard_error : (n, d) ndarray
        From the spread over blocks; zero if there is one block.
    """

    costs: Array
    gradient: Array
    standard_error: Array


class ProjectedSlopes:
    """Gradients of E sum_k weight_k W_p^p(theta' x, theta' y_k) with respect to the points of x.

    At p = 2 the slope of a point is close to a linear function of its own projection,
    a_i theta' c_i with c_i = 2 sum_k weight_k (m_x - m_k + (1 - s_k)(x_i - m_x)), m the means and
    s_k^2 = tr S_k / tr S_x. Its part in the gradient, a_i theta theta' c_i, has mean a_i c_i / d:
    it is taken off the slopes and added back exactly. (A frame makes the mean of theta theta'
    exact by itself; to take off an exact part without the slope s_k can do harm. On directions
    of the user nothing is taken off, so that the gradient is that of the mean over them.)
    """

    def __init__(self, x: Cloud, ys: list[Cloud], weights: list[float], p: float) -> None:
        self._x, self._ys, self._weights, self.p = x, ys, weights, p
        self._ordered = [x.weights is not None or y.weights is not None for y in ys]
        self._couplings = [
            Coupling(x.size, y.size, p, weighted=weighted)
            for y, weighted in zip(ys, self._ordered, strict=True)
        ]
        self.units = [1.0] * len(ys)
        self.seconds = sum(
            (x.size + y.size) * (2.5 * SECONDS_SORT + SECONDS_PROJECT * x.dim) for y in ys
        )
        self._is_linear = False
        self._ratios = [0.0] * len(ys)
        own = x.total_variance if p == 2.0 else 0.0
        if own > 0.0:
            sizes = [math.sqrt(y.total_variance) for y in ys]  # a ratio of squares may overflow
            self._ratios = [1.0 - size / math.sqrt(own) for size in sizes]

    def choose_unit(self, theta: Array) -> None:
        """Make squares of powers stay in range where p is large (one target)."""
        costs = ProjectedCosts(self._x, self._ys[0], self.p)
        unit = unit_of_costs(costs(theta), self.p)
        self.units = [unit * (costs.unit or 1.0)]

    def __call__(self, design: Design, *, progress: bool = False) -> Slopes:
        """Costs and gradient over all directions of a design."""
        n, d = self._x.size, self._x.dim
        L, block = design.n, design.block
        costs = np.empty((L, len(self._ys)))
        self._is_linear = self.p == 2.0 and design.kind != "array"
        # As large as the clouds: no more than four of them at a time, here and below.
        total, square, pilot = np.zeros((n, d)), np.zeros((n, d)), np.zeros((n, d))
        step = max(_ROUND_NUMBERS // (max(n, d) * block), 1) * block
        if block == 1:
            step = min(step, 256)
        with progress_bar(L, progress, "gradient") as bar:
            for first in range(0, L, step):
                last = min(first + step, L)
                theta = design.rows(first, last)
                R = np.zeros((len(theta), n))
                self._fill(theta, R, costs[first:last])
                self._accumulate(theta, R, block, total, square, pilot, first == 0)
                bar(last)
        n_blocks = L // block
        total /= n_blocks
        if n_blocks > 1:
            product = total * total
            product *= n_blocks
            square -= product
            del product
            np.maximum(square, 0.0, out=square)
            square /= (n_blocks - 1) * n_blocks
            np.sqrt(square, out=square)
        else:
            square[:] = 0.0
        total += pilot
        del pilot
        if self._is_linear:
            self._add_exact_part(total)
        return Slopes(costs, total, square)

    def rows(self, theta: Array) -> Array:
        """Slopes (L, n) at some directions, nothing taken off."""
        self._is_linear = False
        R = np.zeros((len(theta), self._x.size))
        self._fill(theta, R, np.empty((len(theta), len(self._ys))))
        return R

    # The linear control ---------------------------------------------------------------------------

    def _lines(self, theta: Array, k: int) -> tuple[Array, float]:
        """What is taken off the slopes is alpha + beta u_i: alpha (L,) and beta."""
        if not self._is_linear:
            return np.zeros(len(theta)), 0.0
        beta = 2.0 * self._ratios[k]
        x, y = self._x, self._ys[k]
        return theta @ (2.0 * (x.mean - y.mean) - beta * (x.mean - x.centre)), beta

    def _add_exact_part(self, gradient: Array) -> None:
        """Add sum_k weight_k a_i c_i / d, the mean of what was taken off."""
        x, d = self._x, self._x.dim
        masses = 1.0 / x.size if x.weights is None else x.weights[:, None]
        constant, slope = np.zeros(d), 0.0  # of the sum over k, a linear function of x_i - m_x
        for y, weight, ratio in zip(self._ys, self._weights, self._ratios, strict=True):
            constant += 2.0 * weight * (x.mean - y.mean)
            slope += 2.0 * weight * ratio
        part = np.subtract(x.points[:d].T, x.mean - x.centre, dtype=np.float64)
        part *= slope
        part += constant
        part *= masses / d
        gradient += part

    # Slopes and their sums ------------------------------------------------------------------------

    def _fill(self, theta: Array, R: Array, costs: Array) -> None:
        """Slopes R (L, n) and costs (L, K) at some directions."""
        x, L = self._x, len(theta)
        batch = batch_rows(x.size, max(y.size for y in self._ys), x.dim, L)
        padded = np.zeros((L, x.points.shape[0]), x.points.dtype)
        padded[:, : x.dim] = theta
        shifts = [theta @ (x.centre - y.centre) for y in self._ys]
        lines = [self._lines(theta, k) for k in range(len(self._ys))]
        work = threading.local()

        def task(part: int) -> None:
            if not hasattr(work, "sides"):
                work.sides = self._sides(batch)
            own, *others = work.sides
            rows = slice(part * batch, min((part + 1) * batch, L))
            k = rows.stop - rows.start
            project_rows(padded[rows], x.points, own.values[:k])
            own.sort(k)
            for i, (y, other) in enumerate(zip(self._ys, others, strict=True)):
                project_rows(padded[rows], y.points, other.values[:k])
                other.sort(k)
                cost = np.empty(k)
                coupling, units = self._couplings[i], np.full(k, self.units[i])
                coupling.cost(own, other, shifts[i][rows], units, cost)
                costs[rows, i] = cost
                alphas, beta = lines[i]
                self._add_slopes(own, other, i, shifts[i][rows], alphas[rows], beta, R[rows])

        run_parts(task, -(-L // batch), seconds=L * self.seconds)

    def _add_slopes(
        self,
        own: Side,
        other: Side,
        i: int,
        shifts: Array,
        alphas: Array,
        beta: float,
        R: Array,
    ) -> None:
        k, coupling = len(R), self._couplings[i]
        u, v = own.values[:k], other.values[:k]
        assert own.order is not None
        order = own.order[:k]
        rest = (shifts, alphas, beta, self._weights[i], self.units[i], self.p, R)
        if coupling.weighted:
            assert own.sums is not None
            assert other.sums is not None
            add_slopes_weighted(u, v, order, own.sums[:k], other.sums[:k], *rest)
        elif coupling.plan is not None:
            add_slopes_planned(u, v, order, *coupling.plan, *rest)
        else:
            add_slopes_equal(u, v, order, *rest)

    def _sides(self, batch: int) -> list[Side]:
        """That of the cloud itself, and those of its targets."""
        x, needs_units = self._x, any(self._ordered)
        requests = [SideRequest(x.size, x.units if needs_units else None, ordered=True)]
        for y, weighted in zip(self._ys, self._ordered, strict=True):
            requests.append(SideRequest(y.size, y.units if weighted else None))
        return make_sides(batch, x.points.dtype, requests)

    def _accumulate(
        self,
        theta: Array,
        R: Array,
        block: int,
        total: Array,
        square: Array,
        pilot: Array,
        is_first: bool,
    ) -> None:
        """Add the gradients of whole blocks, and their squares, less those of the first block.

        A part is a range of points, so that each sum has one order and one thread.
        """
        n_parts = -(-len(total) // _POINTS)
        bounds = part_bounds(len(total), n_parts)
        squares = theta * theta if block == 1 else theta

        def task(part: int) -> None:
            rows = slice(*bounds[part])
            slopes = R[:, rows]
            if block == 1:
                total[rows] += slopes.T @ theta
                square[rows] += (slopes * slopes).T @ squares
                return
            for first in range(0, len(theta), block):
                last = first + block
                mean = slopes[first:last].T @ theta[first:last] / block
                if is_first and first == 0:
                    pilot[rows] = mean
                mean -= pilot[rows]
                total[rows] += mean
                square[rows] += mean * mean

        seconds = len(theta) * total.size * 1e-9
        run_parts(task, n_parts, seconds=seconds, blas=True)
