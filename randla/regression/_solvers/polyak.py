r"""Least squares by Polyak's iteration with a sketched preconditioner, for many columns.

With :math:`Y = A D R_0^{-1}` nearly orthonormal, :math:`Y^T Y z = g` is solved by gradient steps
with momentum, one pass over A each; the iteration is restarted on the residual, which makes it
backward stable (FOSSILS).

Source: Epperly, Meier and Nakatsukasa, "Fast randomized least-squares solvers can be just as
accurate and stable as classical direct solvers", Comm. Pure Appl. Math. 79 (2026),
arXiv:2406.03468.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.preconditioner import Preconditioner
from randla.regression._solvers.rank import Exponents, column_norms
from randla.regression._solvers.refinement import LEAST_GAIN, Solution, refine
from randla.regression._solvers.sketched_factor import DrawFactor, SketchedFactor

#: A run reduces its residual at most by this factor.
_STEP_TOLERANCE = 1e-8
_MAX_STEPS = 200


class HeavyBall:
    """Steps of refinement that solve with ``Y'Y``, Y = A P, by Polyak's iteration.

    The singular values of Y lie within [1/(1 + eta), 1/(1 - eta)], eta near sqrt(d/m), so that the
    error falls by eta a step. The residual is recomputed in each step: conjugate gradients update
    it, drift, and stall at condition numbers from 1e12 on (measured).
    """

    def __init__(
        self, rows: ScaledProblem, P: Preconditioner, exponents: Exponents, eta: float
    ) -> None:
        self.rows, self.P, self.eta = rows, P, eta
        self.D = np.ldexp(1.0, exponents)[:, None]
        self.n_iterations = 0

    def step(self, Ptg: Array, goal: Array, Y: Array) -> tuple[Array, Array]:
        """Solve ``Y'Y z = P'g`` to `goal`: Polyak's optimal damping and momentum for eta."""
        damping, momentum = (1.0 - self.eta**2) ** 2, self.eta**2
        norm = column_norms(Ptg)
        enough = np.clip(goal, _STEP_TOLERANCE * norm, LEAST_GAIN * norm)
        Z, before, residual = np.zeros_like(Ptg), np.zeros_like(Ptg), Ptg
        best, best_norm, last_gain = Z, np.inf, 0
        patience = 5 - int(2.0 / np.log2(self.eta))  # steps that should halve the residual twice
        for k in range(_MAX_STEPS):
            norm = column_norms(residual)
            worst = float((norm / np.where(enough > 0.0, enough, 1.0)).max())
            if worst < best_norm:
                last_gain = k if worst < 0.5 * best_norm else last_gain
                best, best_norm = Z, worst
            if worst <= 1.0 or k > last_gain + patience:
                break
            Z, before = Z + damping * residual + momentum * (Z - before), Z
            image = self.rows.normal_product(self.D * self.P.forward(Z))
            residual = Ptg - self.P.adjoint(self.D * image)  # P'g - Y'Y z
            self.n_iterations += 1
        return self.P.forward(best), (Ptg * best).sum(axis=0)


def solve_by_iteration(
    rows: ScaledProblem, draw: DrawFactor, m: int, sketched: SketchedFactor | None = None
) -> Solution:
    """Polyak's iteration with a sketched preconditioner, restarted on the residual."""
    sketched = sketched or draw(m)
    P = sketched.preconditioner()
    ball = HeavyBall(rows, P, sketched.exponents, sketched.distortion())
    solution = refine(
        rows, P, sketched.exponents, np.zeros((rows.d, rows.k)), method="iterative",
        rank=sketched.rank, step=ball.step, min_steps=2,
    )  # fmt: skip
    return sketched.shortest(rows, replace(solution, n_iterations=ball.n_iterations))
