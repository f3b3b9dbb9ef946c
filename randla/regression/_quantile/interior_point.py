"""Quantile regression by Mehrotra's interior point method, with crossover to an exact vertex.

The problem is min_x sum_i rho_tau(b_i - a_i'x) with rho_tau(r) = r (tau - [r < 0]); its dual is
max b'z with A'z = 0 and tau - 1 <= z <= tau [1]_. Rows already include their weight.

.. [1] Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise: computability of
   squared-error versus absolute-error estimators", Statist. Sci. 12 (1997), 279-300 (the
   Frisch-Newton method).
.. [2] Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim. 2
   (1992), 575-601.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._kernels import interior_point as kernels, mehrotra
from randla._panels import PANEL, Panels
from randla._typing import Array
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.crossover import optimal_vertex

#: Relative gap from which a vertex is tried.
_NEAR = 1e-3
#: A gap is relative to the loss of the rows near the fit, or to this fraction of the total loss.
_SHARE = 1e-4
#: Iterations after which a solve gives up; a normal one needs at most 25.
MAX_ITERATIONS = 100
#: u and v start as the parts of the residual plus this times the mean size: from least squares,
#: and near the fit.
_FLAT, _BALANCED = 0.1, 1.0
#: The start takes residuals to be at least this fraction of their spread.
_SPREAD = 0.01
#: In a balanced start dual values keep this distance from their bounds; and the number of rounds.
_EDGE, _BALANCE_ROUNDS = 0.05, 4
#: Largest |A'a - goal| that counts as feasible, relative to sum |a_ij|.
_FEASIBLE = 1e-10


@dataclass
class PinballSolution:
    """Minimizer; dual z and residuals, both (K, PANEL); and how they were found."""

    x: Array
    z: Array
    residuals: Array
    n_iterations: int
    vertex: NDArray[np.intp] | None  # the rows that a vertex passes through
    stalled: bool = False  # iterations ended at their limit


class InteriorPoint:
    """One solve: minimize sum_i rho_tau(r_i - a_i'x) from x = 0.

    Parameters
    ----------
    rows : Panels
        Its right-hand side is not used.
    residuals : (K, PANEL) ndarray
        The r_i, zero beyond n.
    tau : float
    known_side : (K, PANEL) ndarray, optional
        +1 or -1 if the row is known to end on the side of its present sign, else 0. If given, the
        others are assumed to lie close to the fit, on either side.
    residual_scale : float
        Typical size of residuals away from the fit, for a start from residuals that are all zero.
    """

    def __init__(
        self,
        rows: Panels,
        residuals: Array,
        tau: float,
        known_side: Array | None = None,
        residual_scale: float = 1.0,
    ) -> None:
        n_parts, w = rows.n_parts, rows.data.shape[1]
        self.rows, self.tau, self._start = rows, tau, residuals
        self.state = np.zeros((len(rows.data), kernels.FIELDS, PANEL))
        self.state[:, kernels.RESIDUAL] = residuals
        self.x = np.zeros(rows.d)
        self.value = self.gap = self.mu = 0.0
        self._g, self._G = np.zeros((n_parts, 2, w)), np.zeros((n_parts, w, w))
        self.parts = []
        for k, span, count in map(rows.part, range(n_parts)):
            work, lanes = np.empty((2, 2, PANEL))
            part = rows.data[span], count, self.state[span], work, lanes, self._g[k], self._G[k]
            self.parts.append(kernels.Part(*part))
        self._far = np.flatnonzero(known_side) if known_side is not None else np.arange(0)
        live = rows.lines(np.ones(rows.n))
        self.goal = (1.0 - tau) * rows.transposed_product(live)  # of A'a
        self._allowed = _FEASIBLE * rows.column_sums()
        if known_side is None:
            dual, margin = (1.0 - tau) * live, _FLAT * float(np.abs(residuals).sum()) / rows.n
        else:
            dual, margin = _balanced_start(
                rows, residuals, self.goal, live, known_side, residual_scale
            )
        self.state[:, kernels.DUAL] = dual
        for part in self.parts:
            kernels.start(part, margin)

    def solve(
        self, rtol: float, crossover: bool = True, max_iterations: int = MAX_ITERATIONS
    ) -> PinballSolution:
        """Iterate to a relative duality gap of `rtol`, or to an exact vertex."""
        self._form(0.0, 0.0)
        iteration, limit = 0, max(_NEAR, rtol) if crossover else rtol
        while True:
            off = self.goal - self._total(self._g)[1]
            feasible = bool((np.abs(off) <= self._allowed).all())  # A'a = (1 - tau) A'1
            near = self.value - self._far_loss()
            last = iteration == max_iterations
            if feasible and crossover and (self.gap <= _NEAR * near or last):
                mean = near / self.rows.n
                with np.errstate(over="ignore", invalid="ignore"):  # it checks its result
                    vertex = optimal_vertex(
                        self.rows, self._start, self.x, self.state, self.tau, mean
                    )
                if vertex is not None:
                    x, z, residuals, index = vertex
                    return PinballSolution(x, z, residuals, iteration, index)
            small = self.gap <= rtol * max(near, _SHARE * self.value)
            done = feasible and small
            if done or last:
                break
            if len(self.parts) == 1:
                count, finite = self._iterate(limit, max_iterations - iteration)
            else:
                count, finite = 1, self._iterate_parts()
            iteration += count
            if not finite:  # digits exhausted: the certificate will show the gap
                break
        z = self.state[:, kernels.DUAL] - (1.0 - self.tau)  # from 0 <= a <= 1 to the box
        z.ravel()[self.rows.n :] = 0.0
        residuals = self.rows.residuals(self.x, self._start)
        return PinballSolution(self.x, z, residuals, iteration, None, stalled=not done)

    def _far_loss(self) -> float:
        """Loss of the rows that are far from the fit."""
        r = self.state[self._far // PANEL, kernels.RESIDUAL, self._far % PANEL]
        return float(np.maximum(self.tau * r, (self.tau - 1.0) * r).sum())

    def _iterate(self, limit: float, max_iterations: int) -> tuple[int, bool]:
        """Iterate on rows in one part, at least once, until the gap may be small enough.

        Returns the number of iterations, and whether the last one had a finite direction.
        """
        count, finite, *scalars = mehrotra.iterate_until(
            self.parts[0], self.tau, self.goal, False, self.mu, self.x,
            limit, _SHARE, 0.0, np.inf, self._far, max_iterations,
        )  # fmt: skip
        if count:
            self._measure(np.array([scalars]))
        return count, finite

    def _iterate_parts(self) -> bool:
        """`mehrotra.iterate` on rows in several parts, which threads share; False if it failed."""
        mean, tau = self.mu / (2 * self.rows.n), self.tau
        gradient, level = self._total(self._g)
        off, factor = self.goal - level, Cholesky(self._total(self._G)[: self.rows.d])
        dx = self.rows.pad(factor.solve(gradient - off))  # the affine direction
        scalars = self._each_part(kernels.affine, 3.0, dx, mean, tau)
        ratios, sums = scalars[:, :2].max(axis=0), scalars[:, 2:].sum(axis=0)
        center = mehrotra.centering(*ratios, *sums, self.mu)
        first, second = self._total(self._g)
        dx = factor.solve(first + center * second - off)  # the corrected one
        if not np.isfinite(dx).all():
            return False
        ratios = self._each_part(kernels.corrector, 2.0, self.rows.pad(dx), center, mean, tau)
        dual, primal = mehrotra.STEP / np.maximum(mehrotra.STEP, ratios.max(axis=0))
        self.x += primal * dx
        self._form(dual, primal)
        return True

    def _form(self, dual: float, primal: float) -> None:
        """Take the step; update the sums, value, gap and mu."""
        passes = 2.0 + 0.25 * self.rows.d
        self._measure(self._each_part(kernels.form, passes, dual, primal, False))

    def _measure(self, scalars: Array) -> None:
        positive, total, self.gap, self.mu = scalars.sum(axis=0).tolist()
        self.value = self.tau * positive + (1.0 - self.tau) * (total - positive)

    def _each_part(self, kernel: Callable[..., Any], passes: float, *arguments: Any) -> Array:
        """The results of ``kernel(part, *arguments)`` for the parts, one line each."""
        return np.array(
            self.rows.each_part(lambda k, _, __: kernel(self.parts[k], *arguments), passes)
        )

    def _total(self, parts: Array) -> Array:
        """The sum over the parts, without the line that makes d even."""
        d = self.rows.d
        return (parts[0] if len(parts) == 1 else parts.sum(axis=0))[:, :d]


def _balanced_start(
    rows: Panels,
    residuals: Array,
    goal: Array,
    live: Array,
    known_side: Array,
    residual_scale: float,
) -> tuple[Array, float]:
    """Nearly feasible dual values, near their bounds for rows that are far from the fit.

    The others share the deficit: a constant, and a correction in the range of A that is clipped
    into the box and repeated for those that were not clipped.
    """
    free = np.where(known_side == 0.0, live, 0.0)
    distance = np.abs(residuals)
    mean = float((distance * free).sum() / max(float(free.sum()), 1.0))
    mean = max(mean, _SPREAD * residual_scale)
    slack = 0.025 * mean / np.maximum(distance, 0.1 * mean)  # a v of one size
    dual = np.where(known_side > 0.0, 1.0 - slack, np.where(known_side < 0.0, slack, 0.0))
    lacking = goal - rows.transposed_product(dual)
    factor, ones = Cholesky(rows.gram(free)), rows.transposed_product(free)
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
        factor = Cholesky(rows.gram(inside))
    return dual, _BALANCED * mean
