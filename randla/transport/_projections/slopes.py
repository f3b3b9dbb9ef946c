"""Derivatives of projected costs with respect to the points, for many directions at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from randla._parallel import part_bounds, progress_bar, run_parts
from randla._typing import Array
from randla.transport._clouds import Cloud
from randla.transport._directions.designs import Design
from randla.transport._projections.projector import (
    SECONDS_PROJECT,
    SECONDS_SORT,
    Coupling,
    Projector,
    Side,
    along,
    batch_rows,
)

_ROUND_NUMBERS = 1 << 21  # slopes held at a time: 16 MiB
_POINTS = 2048  # points of a part of the accumulation


@dataclass(frozen=True, eq=False)
class Slopes:
    """Costs and gradient of sum_k weight_k E f_k, estimated from a design."""

    costs: Array  # (L, K): f_k at each direction
    gradient: Array  # (n, d): mean over the blocks of the design
    standard_error: Array  # (n, d): from the spread over blocks; zero if there is one block


class ProjectedSlopes:
    """Gradients of E sum_k weight_k W_p^p(theta' x, theta' y_k) with respect to the points of x.

    Lengths are multiplied by `unit`, which keeps squares of powers in range if p is large.

    At p = 2 the slope of a point is close to a linear function of its own projection, a_i theta'
    c_i with c_i = 2 sum_k weight_k (m_x - m_k + (1 - s_k)(x_i - m_x)), m the means and s_k^2 = tr
    S_k / tr S_x. Its part in the gradient, a_i theta theta' c_i, has mean a_i c_i / d: it is
    subtracted from the slopes and added back exactly. (A frame makes the mean of theta theta' exact
    by itself; subtracting an exact part without the slope s_k can do harm. On the user's directions
    nothing is subtracted, so that the gradient is that of the mean over them.)
    """

    def __init__(
        self,
        x: Cloud,
        ys: Sequence[Cloud],
        weights: Sequence[float],
        p: float,
        unit: float = 1.0,
    ) -> None:
        self._x, self._ys, self._weights, self.p = x, ys, weights, p
        weighted = [x.weights is not None or y.weights is not None for y in ys]
        self._couplings = [
            Coupling(x.size, y.size, weighted=w) for y, w in zip(ys, weighted, strict=True)
        ]
        self._projector = Projector(
            (x, *ys), (any(weighted), *weighted), [True] + [False] * len(ys)
        )
        self.unit = unit
        n_points = sum(x.size + y.size for y in ys)
        self.seconds = n_points * (2.5 * SECONDS_SORT + SECONDS_PROJECT * x.dim)
        self._is_linear = False
        self._ratios = [0.0] * len(ys)  # 1 - s_k
        own = x.total_variance if p == 2.0 else 0.0
        if own > 0.0:
            roots = [math.sqrt(y.total_variance) for y in ys]  # a ratio of squares may overflow
            self._ratios = [1.0 - root / math.sqrt(own) for root in roots]

    def __call__(self, design: Design, *, progress: bool = False) -> Slopes:
        """Costs and gradient over all directions of a design."""
        costs = np.empty((design.n, len(self._ys)))
        mean = BlockMeans(self._x.size, design)
        self.begin(design)
        for first, last in rounds(design, mean.size, progress):
            theta = design.rows(first, last)
            mean.add(self._fill(theta, costs[first:last]), theta)  # slopes (L', n)
        return Slopes(costs, *self.finish(mean))

    def begin(self, design: Design) -> None:
        """Choose whether the linear control is subtracted on this design."""
        self._is_linear = self.p == 2.0 and design.kind != "array"

    def finish(self, mean: "BlockMeans") -> tuple[Array, Array]:
        """The gradient (n, d) and its error from the sums over all directions."""
        gradient, error = mean.result()
        if self._is_linear:
            self._add_exact_part(gradient)
        return gradient, error

    def rows(self, theta: Array) -> Array:
        """Slopes (L, n) at some directions, without the linear control."""
        self._is_linear = False
        return self._fill(theta, np.empty((len(theta), len(self._ys))))

    # The linear control ---------------------------------------------------------------------------

    def _lines(self, theta: Array, k: int) -> tuple[Array, float]:
        """The linear control alpha + beta u_i of a target: alpha (L,), and beta."""
        if not self._is_linear:
            return np.zeros(len(theta)), 0.0
        beta = 2.0 * self._ratios[k]  # 2 (1 - s_k)
        x, y = self._x, self._ys[k]
        return along(theta, 2.0 * (x.mean - y.mean) - beta * (x.mean - x.center)), beta

    def _add_exact_part(self, gradient: Array) -> None:
        """Add the exact mean of the linear control, sum_k weight_k a_i c_i / d."""
        x, d = self._x, self._x.dim
        constant, slope = np.zeros(d), 0.0  # of the sum over k, a linear function of x_i - m_x
        for y, weight, ratio in zip(self._ys, self._weights, self._ratios, strict=True):
            constant += 2.0 * weight * (x.mean - y.mean)
            slope += 2.0 * weight * ratio  # of x_i - m_x in c_i
        for rows, points in x.blocks():
            part = np.subtract(points.T, x.mean - x.center, dtype=np.float64)  # x_i - m_x, (n', d)
            part *= slope
            part += constant  # c_i
            part *= x.masses[rows, None] / d  # a_i c_i / d = E a_i theta theta' c_i
            gradient[rows] += part

    # Slopes and their sums ------------------------------------------------------------------------

    def adder(self, theta: Array, R: Array) -> Callable[..., None]:
        """``add(rows, own, k, other)`` adds slopes of target k on ``theta[rows]`` to ``R[rows]``,
        given the sorted sides of both clouds.
        """
        x, ys = self._x, self._ys
        shifts = [along(theta, x.center - y.center) for y in ys]  # (L,) each
        lines = [self._lines(theta, k) for k in range(len(ys))]

        def add(rows: slice, own: Side, k: int, other: Side) -> None:
            alphas, beta = lines[k]
            line = shifts[k][rows], alphas[rows], beta, self._weights[k], self.unit, self.p
            self._couplings[k].add_slopes(own, other, *line, R[rows])

        return add

    def _fill(self, theta: Array, costs: Array) -> Array:
        """Return slopes (L, n), and fill the costs (L, K), at some directions."""
        x, ys, L = self._x, self._ys, len(theta)
        R = np.zeros((L, x.size))
        add = self.adder(theta, R)
        shifts = [along(theta, x.center - y.center) for y in ys]

        def task(rows: slice, sides: list[Side]) -> None:
            own, *others = sides
            cost = np.empty(rows.stop - rows.start)
            units = np.full(len(cost), self.unit)
            for k, (coupling, other) in enumerate(zip(self._couplings, others, strict=True)):
                coupling.costs(own, other, shifts[k][rows], self.p, cost, units)
                costs[rows, k] = cost
                add(rows, own, k, other)

        weighted = any(coupling.weighted for coupling in self._couplings)
        batch = batch_rows(x.size, sum(y.size for y in ys), x.dim, L, weighted=weighted)
        self._projector.visit(theta, batch, task, L * self.seconds)
        return R


def rounds(design: Design, size: int, progress: bool) -> Iterator[tuple[int, int]]:
    """Ranges of directions, whole blocks, for which arrays of `size` numbers a direction are stored
    at a time.
    """
    L, block = design.n, design.block
    step = max(_ROUND_NUMBERS // (size * block), 1) * block
    if block == 1:
        step = min(step, 256)
    with progress_bar(L, progress, "gradient") as bar:
        for first in range(0, L, step):
            yield first, min(first + step, L)
            bar(min(first + step, L))


class BlockMeans:
    """The mean over a design of R' theta, and its error from the spread over blocks.

    Rows R (L', n) and theta (L', d) come in rounds of whole blocks; without `theta` they are
    averaged unchanged.

    Attributes
    ----------
    size : int
        Numbers stored for a direction.
    """

    def __init__(self, n: int, design: Design, *, is_plain: bool = False) -> None:
        self._block, self._n_blocks = design.block, design.n // design.block
        d = 1 if is_plain else design.dim
        self.size = max(n, d)
        # As large as the cloud: no more than three of them at a time, here and below.
        self._total, self._square, self._pilot = (np.zeros((n, d)) for _ in range(3))
        self._is_first = True

    def add(self, R: Array, theta: Array | None = None) -> None:
        """Add the means of whole blocks and their squares, relative to the first block.

        A part is a range of points, so that each sum has one order and one thread.
        """
        total, square, pilot, block = self._total, self._square, self._pilot, self._block
        theta = np.ones((len(R), 1)) if theta is None else theta
        n_parts = -(-len(total) // _POINTS)
        bounds = part_bounds(len(total), n_parts)
        squares = theta * theta if block == 1 else theta

        def task(part: int) -> None:
            rows = slice(*bounds[part])
            slopes = R[:, rows]
            if block == 1:
                total[rows] += slopes.T @ theta  # sum over l of r_il theta_l
                square[rows] += (slopes * slopes).T @ squares  # entry by entry: (r_il theta_lj)^2
                return
            for first in range(0, len(theta), block):
                last = first + block
                mean = slopes[first:last].T @ theta[first:last] / block  # (n', d) of one block
                if self._is_first and first == 0:
                    pilot[rows] = mean  # close to all others, so that squares lose no digits
                mean -= pilot[rows]
                total[rows] += mean
                square[rows] += mean * mean

        seconds = len(theta) * total.size * 1e-9
        run_parts(task, n_parts, seconds=seconds, blas=True)
        self._is_first = False

    def result(self) -> tuple[Array, Array]:
        """Mean and error, each (n, d); overwrites the sums."""
        total, square, n_blocks = self._total, self._square, self._n_blocks
        total /= n_blocks  # mean less the pilot
        if n_blocks > 1:
            for first in range(0, len(total), _POINTS):  # sum of squares about the mean
                rows = slice(first, first + _POINTS)
                square[rows] -= total[rows] * total[rows] * n_blocks
            np.maximum(square, 0.0, out=square)  # rounding where all blocks agree
            square /= (n_blocks - 1) * n_blocks  # variance of the mean over blocks
            np.sqrt(square, out=square)
        else:
            square[:] = 0.0  # one direction given by the user, or d = 1
        total += self._pilot
        del self._pilot
        return total, square
