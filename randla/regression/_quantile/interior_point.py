"""Quantile regression by Mehrotra's interior point method, with crossover to an exact vertex.

The problem is min_x sum_i rho_tau(b_i - a_i'x) with rho_tau(r) = r (tau - [r < 0]); its dual is
max b'z with A'z = 0 and tau - 1 <= z <= tau [1]_. Rows carry their weight already.

.. [1] Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise: computability of
   squared-error versus absolute-error estimators", Statist. Sci. 12 (1997), 279-300 (the
   Frisch-Newton method).
.. [2] Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim. 2
   (1992), 575-601.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from randla._kernels import interior_point as kernels, mehrotra
from randla.regression._panels.cholesky import Factor
from randla.regression._panels.panels import PANEL, Array, Panels
from randla.regression._quantile.crossover import optimal_vertex

#: Relative gap from which on a vertex is tried.
_NEAR = 1e-3
#: A gap is measured by the loss of the rows near the plane, but no less than this share of all.
_SHARE = 1e-4
#: Iterations after which a solve gives up; a healthy one needs at most 25.
MAX_ITERATIONS = 100
#: u and v start as the parts of the residual plus this times the mean size: from least squares,
#: and near the plane.
_FLAT, _BALANCED = 0.1, 1.0
#: The start does not take residuals to be smaller than this fraction of their spread.
_SPREAD = 0.01
#: In a balanced start dual values keep this distance from their bounds, in at most so many rounds.
_EDGE, _BALANCE_ROUNDS = 0.05, 4
#: Largest |A'a - goal| that counts as feasible, relative to sum |a_ij|.
_FEASIBLE = 1e-10


@dataclass
class InteriorSolution:
    """Step from the start to the minimiser; dual z and final residuals, both (K, PANEL)."""

    step: Array
    z: Array
    residuals: Array
    n_iterations: int
    vertex: NDArray[np.intp] | None  # the rows that a vertex passes through
    stalled: bool = False  # iterations ended at their limit


class InteriorPoint:
    """One solve: minimise sum_i rho_tau(r_i - a_i'x) from x = 0.

    Parameters
    ----------
    rows : Panels
        Its right-hand side is not used.
    residuals : (K, PANEL) ndarray
        The r_i, zero beyond n.
    tau : float
    far : (K, PANEL) ndarray, optional
        +1 or -1 where the row is known to end on the side of its present sign, else 0. Given it,
        the others are assumed to lie close to the plane, on either side.
    spread : float
        What residuals would be away from the plane, for a start from residuals that are all zero.
    """

    def __init__(
        self,
        rows: Panels,
        residuals: Array,
        tau: float,
        far: Array | None = None,
        spread: float = 1.0,
    ) -> None:
        n_parts, w = rows.n_parts, rows.data.shape[1]
        self.rows, self.tau = rows, tau
        self.state = np.zeros((len(rows.data), kernels.FIELDS, PANEL))
        self.state[:, kernels.R] = residuals
        self._start = residuals
        self.x = np.zeros(rows.d)
        self.step_dual = self.step_primal = 0.0
        self.value = self.gap = self.mu = 0.0
        self._g = np.zeros((n_parts, 2, w))
        self._G = np.zeros((n_parts, w, w))
        self._lanes = np.zeros((n_parts, 2, PANEL))
        self._work = np.empty((n_parts, 2, PANEL))
        self._far = np.flatnonzero(far) if far is not None else np.arange(0)
        live = rows.lines(np.ones(rows.n))
        self.goal = (1.0 - tau) * rows.transposed_product(live)
        self._allowed = _FEASIBLE * rows.column_sums()
        if far is None:
            dual, margin = (1.0 - tau) * live, _FLAT * float(np.abs(residuals).sum()) / rows.n
        else:
            dual, margin = _balanced_start(rows, residuals, self.goal, live, far, spread)
        self.state[:, kernels.A_] = dual
        kernels.start(rows.n, margin, self.state)

    def solve(
        self, rtol: float, crossover: bool = True, most: int = MAX_ITERATIONS
    ) -> InteriorSolution:
        """Iterate to a relative duality gap of `rtol`, or to an exact vertex."""
        self._form()
        iteration, limit = 0, max(_NEAR, rtol) if crossover else rtol
        while True:
            off = self.goal - self._total(self._g)[1]
            feasible = bool((np.abs(off) <= self._allowed).all())
            near = self.value - self._far_loss()
            if feasible and crossover and (self.gap <= _NEAR * near or iteration == most):
                mean = near / self.rows.n
                with np.errstate(over="ignore", invalid="ignore"):  # it checks what it finds
                    vertex = optimal_vertex(
                        self.rows, self._start, self.x, self.state, self.tau, mean
                    )
                if vertex is not None:
                    return InteriorSolution(
                        vertex.x, vertex.z, vertex.residuals, iteration, vertex.index
                    )
            small = self.gap <= rtol * max(near, _SHARE * self.value)
            done = feasible and small
            if done or iteration == most:
                break
            if self.rows.n_parts == 1:
                count, finite = self._iterate(limit, most - iteration)
            else:
                count, finite = 1, self._iterate_parts()
            iteration += count
            if not finite:  # out of digits: the certificate will tell
                break
        z = self.state[:, kernels.A_] - (1.0 - self.tau)
        z.ravel()[self.rows.n :] = 0.0
        residuals = self.rows.residuals(self.x, self._start)
        return InteriorSolution(self.x, z, residuals, iteration, None, stalled=not done)

    def _far_loss(self) -> float:
        """Loss of the rows that are far from the plane."""
        r = self.state[self._far // PANEL, kernels.R, self._far % PANEL]
        return float(np.maximum(self.tau * r, (self.tau - 1.0) * r).sum())

    def _iterate(self, limit: float, most: int) -> tuple[int, bool]:
        """Iterate on rows in one part, once at least, until the gap may matter.

        Returns how often, and whether the last iteration had a finite direction.
        """
        rows, w = self.rows, self.rows.data.shape[1]
        count, finite, *scalars = mehrotra.iterate_until(
            limit,
            _SHARE,
            most,
            self.tau,
            self._far,
            rows.data,
            rows.n,
            self.goal,
            self.mu,
            self.x,
            self.state,
            self._work[0],
            self._lanes[0],
            self._g[0],
            self._G[0],
            np.empty((rows.d, rows.d)),
            np.zeros((3, w)),
        )
        if count:
            self._measure([scalars])
        return count, finite

    def _iterate_parts(self) -> bool:
        """One iteration on rows in several parts, which threads share."""
        gradient, level = self._total(self._g)
        off, factor = self.goal - level, Factor(self._total(self._G)[: self.rows.d])
        centre, first, second = self._affine(factor.solve(gradient - off))
        dx = factor.solve(first + centre * second - off)
        if not np.isfinite(dx).all():
            return False
        self._corrector(dx, centre)
        self.x += self.step_primal * dx
        self._form()
        return True

    def _form(self) -> None:
        """Take the step; renew the sums, value, gap and mu."""
        rows = self.rows

        def task(part: int, span: slice, count: int) -> tuple[float, ...]:
            return kernels.form(
                rows.data[span],
                count,
                self.step_dual,
                self.step_primal,
                self.state[span],
                self._work[part],
                self._g[part],
                self._G[part],
            )

        self._measure(rows.each_part(task, passes=2.0 + 0.25 * rows.d))

    def _measure(self, scalars: Sequence[Sequence[float]]) -> None:
        positive, total, self.gap, self.mu = map(sum, zip(*scalars, strict=True))
        self.value = self.tau * positive + (1.0 - self.tau) * (total - positive)

    def _affine(self, dx: Array) -> tuple[float, Array, Array]:
        """Take the affine direction; return the centring and what the corrector needs."""
        rows, padded = self.rows, self.rows.pad(dx)

        def task(part: int, span: slice, count: int) -> tuple[float, ...]:
            return kernels.affine(
                rows.data[span],
                count,
                padded,
                self.mu / (2 * rows.n),
                self.tau,
                self.state[span],
                self._work[part],
                self._lanes[part],
                self._g[part],
            )

        ratios = rows.each_part(task, passes=3.0)
        dual, primal = (max(r[k] for r in ratios) for k in (0, 1))
        s1, s2 = (sum(r[k] for r in ratios) for k in (2, 3))
        centre = mehrotra.centring(dual, primal, s1, s2, self.mu)
        first, second = self._total(self._g)
        return centre, first, second

    def _corrector(self, dx: Array, centre: float) -> None:
        """Take the corrected direction and choose the steps."""
        rows, padded = self.rows, self.rows.pad(dx)

        def task(part: int, span: slice, count: int) -> tuple[float, ...]:
            return kernels.corrector(
                rows.data[span],
                count,
                padded,
                centre,
                self.mu / (2 * rows.n),
                self.tau,
                self.state[span],
                self._work[part],
                self._lanes[part],
            )

        ratios = rows.each_part(task, passes=2.0)
        dual = mehrotra.STEP / max(mehrotra.STEP, max(r[0] for r in ratios))
        primal = mehrotra.STEP / max(mehrotra.STEP, max(r[1] for r in ratios))
        s1, s2, s3 = (sum(r[k] for r in ratios) for k in (2, 3, 4))
        for _ in range(mehrotra.SHORTER):
            mean = (self.mu + dual * s1 + primal * s2 + dual * primal * s3) / (2 * rows.n)
            if self._smallest_product(dual, primal) >= mehrotra.CUT * mean:
                break
            dual, primal = 0.9 * dual, 0.9 * primal
        self.step_dual, self.step_primal = dual, primal

    def _smallest_product(self, dual: float, primal: float) -> float:
        return min(
            self.rows.each_part(
                lambda part, span, count: kernels.smallest_product(
                    count, dual, primal, self.tau, self.state[span], self._lanes[part, 0]
                ),
                passes=0.5,
            )
        )

    def _total(self, parts: Array) -> Array:
        """The sum over the parts, without the line that makes d even."""
        d = self.rows.d
        return (parts[0] if len(parts) == 1 else parts.sum(axis=0))[:, :d]


def _balanced_start(
    rows: Panels, residuals: Array, goal: Array, live: Array, far: Array, spread: float
) -> tuple[Array, float]:
    """Nearly feasible dual values, near their bounds for rows that are far from the plane.

    The others share what is lacking: a constant, and a correction in the range of A that is
    clipped into the box and repeated for those that were not clipped.
    """
    free = np.where(far == 0.0, live, 0.0)
    size = np.abs(residuals)
    mean = float((size * free).sum() / max(float(free.sum()), 1.0))
    mean = max(mean, _SPREAD * spread)
    slack = 0.025 * mean / np.maximum(size, 0.1 * mean)
    dual = np.where(far > 0.0, 1.0 - slack, np.where(far < 0.0, slack, 0.0))
    lacking = goal - rows.transposed_product(dual)
    factor, ones = Factor(rows.gram(free)), rows.transposed_product(free)
    weight = factor.solve(ones)
    level = float(weight @ lacking) / max(float(weight @ ones), 1e-300)
    dual += min(max(level, _EDGE), 1.0 - _EDGE) * free
    inside = free
    for _ in range(_BALANCE_ROUNDS):
        lacking = goal - rows.transposed_product(dual)
        shift = -rows.residuals(factor.solve(lacking), np.zeros_like(dual))
        dual = np.where(inside > 0.0, np.clip(dual + shift, _EDGE, 1.0 - _EDGE), dual)
        clipped = inside * ((dual <= _EDGE) | (dual >= 1.0 - _EDGE))
        if not clipped.any():
            break
        inside = inside - clipped
        factor = Factor(rows.gram(inside))
    return dual, _BALANCED * mean
