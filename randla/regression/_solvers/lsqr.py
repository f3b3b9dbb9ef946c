"""LSQR for several right-hand sides, with restarts.

With a sketched preconditioner a run takes a few tens of steps, for any condition number of A. One
run stops at a larger backward error than a direct method; refinement by further runs, and finally
by Polyak's iteration, removes the difference.

Sources: Paige and Saunders, "LSQR: an algorithm for sparse linear equations and sparse least
squares", ACM Trans. Math. Softw. 8 (1982), 43-71; Avron, Maymounkov and Toledo, "Blendenpik:
supercharging LAPACK's least-squares solver", SIAM J. Sci. Comput. 32 (2010), 1217-1236.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from randla._parallel import progress_bar, shown_progress
from randla._scaling import EPS, MAX_EXPONENT, exponents_of
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.polyak import HeavyBall
from randla.regression._solvers.preconditioner import Preconditioner
from randla.regression._solvers.rank import Exponents, column_norms
from randla.regression._solvers.refinement import LEAST_GAIN, Solution, refine
from randla.regression._solvers.sketched_factor import DrawFactor, SketchedFactor

Product = Callable[[Array], Array]

#: A run reduces the gradient by at most this factor.
_TOLERANCE = 1e-8
_MAX_PRECONDITIONED_STEPS = 200
_POWER_STEPS = 6
#: Norms of columns within this power of two of each other count as of one scale.
_SAME_SCALE = 16


def lsqr(
    times: Product,
    transposed: Product,
    R: Array,
    enough: Array,
    max_steps: float,
    tell: Callable[[int], None],
) -> tuple[Array, int]:
    """Z near the minimum of ``|A Z - R|`` column by column, and the number of steps.

    Stops when ``|A'(R - A Z)|`` is below `enough` (k,) or below EPS times ``|A| |R - A Z|`` in
    every column. `tell` is called with the number of the step.
    """
    U, beta = _normalized(R)  # beta_1 u_1 = b
    V, alpha = _normalized(transposed(U))  # alpha_1 v_1 = A'u_1
    Z, W = np.zeros_like(V), V.copy()
    rho_bar, phi_bar = alpha.copy(), beta.copy()
    squared_norm = alpha**2  # of A in the Frobenius norm, from below
    gradient = alpha * beta  # |A'(R - A Z)|
    n_steps = 0
    while n_steps < max_steps:
        small = gradient <= np.maximum(enough, EPS * np.sqrt(squared_norm) * phi_bar)
        if small.all():
            break
        # Golub-Kahan bidiagonalization: beta u = A v - alpha u, alpha v = A'u - beta v.
        U, beta = _normalized(times(V) - alpha * U)
        V, new_alpha = _normalized(transposed(U) - beta * V)
        # A plane rotation removes beta from the bidiagonal matrix (section 4 of the paper).
        rho = np.hypot(rho_bar, beta)
        safe = np.where(rho > 0.0, rho, 1.0)
        c, s = rho_bar / safe, beta / safe
        Z = Z + (c * phi_bar / safe) * W
        W = V - (s * new_alpha / safe) * W
        squared_norm += beta**2 + new_alpha**2
        rho_bar, phi_bar, alpha = -c * new_alpha, s * phi_bar, new_alpha
        gradient = phi_bar * alpha * np.abs(c)
        n_steps += 1
        tell(n_steps)
    return Z, n_steps


def _normalized(X: Array) -> tuple[Array, Array]:
    norm = column_norms(X)
    return X / np.where(norm > 0.0, norm, 1.0), norm


class LsqrSteps:
    """Steps of refinement that run LSQR on A P.

    A run has at most `max_steps` steps, all runs together at most `total_steps`.
    """

    def __init__(
        self,
        rows: ScaledProblem,
        P: Preconditioner,
        exponents: Exponents,
        max_steps: int,
        total_steps: float = math.inf,
    ) -> None:
        self.rows, self.P = rows, P
        self.D = np.ldexp(1.0, exponents)[:, None]
        self.max_steps, self.total_steps = max_steps, total_steps
        self.n_iterations = 0

    def step(self, Ptg: Array, goal: Array, Y: Array) -> tuple[Array, Array]:
        """Run LSQR on the residual of Y until ``|P'g|`` is at `goal`."""
        norm = column_norms(Ptg)
        enough = np.clip(goal, _TOLERANCE * norm, LEAST_GAIN * norm)
        max_steps = int(min(self.max_steps, self.total_steps - self.n_iterations))
        with progress_bar(max_steps, shown_progress(), "lstsq: steps of LSQR") as tell:
            Z, n_steps = lsqr(
                lambda Z: self.rows.times(self.D * self.P.forward(Z)),
                lambda R: self.P.adjoint(self.D * self.rows.transposed(R)),
                self.rows.residual_vectors(self.D * Y),
                enough,
                max_steps,
                tell,
            )
        self.n_iterations += n_steps
        return self.P.forward(Z), (Ptg * Z).sum(axis=0)


class Unpreconditioned(Preconditioner):
    """No preconditioner: P is the identity, and R is known by its norm only."""

    has_factor = False
    condition = math.inf

    def __init__(self, rows: ScaledProblem, exponents: Exponents) -> None:
        rng, D = np.random.default_rng(0), np.ldexp(1.0, exponents)[:, None]
        v = rng.standard_normal((rows.d, 1))
        for _ in range(_POWER_STEPS):
            v, norm = _normalized(D * rows.normal_product(D * v))
        self.top = float(np.sqrt(norm[0]))

    def matrix(self) -> Array:
        raise NotImplementedError

    def forward(self, Z: Array) -> Array:
        return Z

    def adjoint(self, g: Array) -> Array:
        return g

    def _shrunk_norms(self, g: Array, omega: Array) -> Array:
        return column_norms(g) / np.where(omega > 0.0, omega, 1.0)


def solve_by_lsqr(
    rows: ScaledProblem, draw: DrawFactor, m: int, sketched: SketchedFactor | None = None
) -> Solution:
    """LSQR with a sketched preconditioner, restarted until the backward error is at rounding."""
    sketched = sketched or draw(m)
    P, exponents, rank = sketched.preconditioner(), sketched.exponents, sketched.rank
    runs = LsqrSteps(rows, P, exponents, _MAX_PRECONDITIONED_STEPS)
    ball = HeavyBall(rows, P, exponents, sketched.distortion())
    Y = np.zeros((rows.d, rows.k))
    solution = refine(rows, P, exponents, Y, method="lsqr", rank=rank, step=runs.step, min_steps=2)
    if not solution.converged:
        Y = solution.Y
        solution = refine(rows, P, exponents, Y, method="lsqr", rank=rank, step=ball.step)
    n_iterations = runs.n_iterations + ball.n_iterations
    return sketched.shortest(rows, replace(solution, n_iterations=n_iterations))


def plain_scales(rows: ScaledProblem) -> Exponents:
    """Exponents of the columns for LSQR without a preconditioner.

    The minimum norm is defined for one common scale. But LSQR stops at an error relative to the
    largest columns, which hides much smaller ones: then each column is scaled to norm about 1.
    """
    n = rows.n if rows.root_ridge is None else rows.n + rows.d
    mixtures = rows.transposed(np.random.default_rng(0).standard_normal((n, 4)))
    norms = np.abs(mixtures).max(axis=1)
    if not np.isfinite(norms).all():
        rows.tall.require_finite()
    used = norms > 0.0
    exponents = np.clip(-exponents_of(norms), -MAX_EXPONENT, MAX_EXPONENT)
    if not used.any():
        return exponents
    one_scale = int(exponents[used].min())
    are_apart = np.ptp(exponents[used]) > _SAME_SCALE
    return np.where(used & are_apart, exponents, one_scale)


def solve_by_plain_lsqr(
    rows: ScaledProblem, exponents: Exponents, total_steps: float = math.inf
) -> Solution:
    """LSQR without a preconditioner, where a triangular factor would cost too much.

    Started at zero, it tends to the solution of minimum norm in the scaled columns. The rank is
    not determined.
    """
    P, max_steps = Unpreconditioned(rows, exponents), 4 * min(rows.n, rows.d) + 100
    runs = LsqrSteps(rows, P, exponents, max_steps, total_steps)
    Y = np.zeros((rows.d, rows.k))
    solution = refine(rows, P, exponents, Y, method="lsqr", rank=None, step=runs.step, min_steps=1)
    return replace(solution, n_iterations=runs.n_iterations)
