r"""Least squares by Polyak's iteration with a sketched preconditioner, for many columns.

With :math:`Y = A D R_0^{-1}` nearly orthonormal, :math:`Y^T Y z = g` is solved by gradient steps
with momentum, one pass over A each; the iteration is restarted on the residual, which makes it
backward stable (FOSSILS).

Source: Epperly, Meier and Nakatsukasa, "Fast randomized least-squares solvers can be just as
accurate and stable as classical direct solvers", Comm. Pure Appl. Math. 79 (2026),
arXiv:2406.03468.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from randla._tall.problem import Rows
from randla.regression._solvers.preconditioner import Factor, column_norms
from randla.regression._solvers.refinement import ENOUGH, LEAST_GAIN, Solution, refine
from randla.regression._solvers.sketched_factor import MakeSketch, SketchedFactor, draw_factor

Matrix = NDArray[np.float64]
#: A run reduces its residual at most by this factor.
_STEP_TOLERANCE = 1e-8
_MAX_STEPS = 200


class IterativeFactor(Factor):
    """A factor whose step is an iteration on A P, with P from `base`."""

    def __init__(self, rows: Rows, base: Factor, exponents: NDArray[np.int64]) -> None:
        self.rows, self.base = rows, base
        self.D = np.ldexp(1.0, exponents)[:, None]
        self.n_iterations = 0

    @property
    def top(self) -> float:  # type: ignore[override]
        """Spectral norm of R."""
        return self.base.top

    @property
    def condition(self) -> float:  # type: ignore[override]
        """Condition number of R."""
        return self.base.condition

    def forward(self, Z: Matrix) -> Matrix:
        return self.base.forward(Z)

    def adjoint(self, g: Matrix) -> Matrix:
        return self.base.adjoint(g)

    def _shrunk_norms(self, g: Matrix, omega: Matrix) -> Matrix:
        return self.base._shrunk_norms(g, omega)


class HeavyBall(IterativeFactor):
    """A factor whose step solves with ``Y'Y``, Y = A P, by Polyak's iteration.

    The singular values of Y lie within [1/(1 + eta), 1/(1 - eta)], eta near sqrt(d/m), so that the
    error falls by eta a step. The residual is computed anew each time: conjugate gradients update
    it, drift, and stall at condition numbers from 1e12 on (measured).
    """

    def __init__(self, rows: Rows, base: Factor, exponents: NDArray[np.int64], eta: float) -> None:
        super().__init__(rows, base, exponents)
        self.eta = eta

    def step(self, half: Matrix, goal: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        damping, momentum = (1.0 - self.eta**2) ** 2, self.eta**2
        size = column_norms(half)
        enough = np.clip(goal, _STEP_TOLERANCE * size, LEAST_GAIN * size)
        Z, before, residual = np.zeros_like(half), np.zeros_like(half), half
        best, best_size, last_gain = Z, np.inf, 0
        patience = 5 - int(2.0 / np.log2(self.eta))  # steps that should halve the residual twice
        for k in range(_MAX_STEPS):
            size = column_norms(residual)
            worst = float((size / np.where(enough > 0.0, enough, 1.0)).max())
            if worst < best_size:
                last_gain = k if worst < 0.5 * best_size else last_gain
                best, best_size = Z, worst
            if worst <= 1.0 or k > last_gain + patience:
                break
            Z, before = Z + damping * residual + momentum * (Z - before), Z
            image = self.rows.normal_product(self.D * self.forward(Z))
            residual = half - self.adjoint(self.D * image)
            self.n_iterations += 1
        return self.forward(best), (half * best).sum(axis=0)


def solve_by_iteration(
    rows: Rows,
    make_sketch: MakeSketch,
    m: int,
    rcond: float | None,
    sketched: SketchedFactor | None = None,
) -> Solution:
    """Polyak's iteration with a sketched preconditioner, restarted on the residual."""
    if sketched is None:
        sketched = draw_factor(rows, make_sketch, m, rcond)
    factor = HeavyBall(rows, sketched.factor(), sketched.exponents, sketched.distortion())
    Y = np.zeros((rows.d, rows.k))
    Y, squares, error, _ = refine(rows, factor, sketched.exponents, Y, min_steps=2)
    return Solution(
        sketched.finish(rows, Y),
        sketched.exponents,
        factor.base,
        sketched.rank,
        squares,
        error,
        factor.n_iterations,
        "iterative",
        error <= ENOUGH,
    )
