"""LSQR for several right-hand sides, with restarts.

With a sketched preconditioner a run takes some tens of steps, whatever the condition number of A.
One run stops at a larger backward error than a direct method; refinement by further runs, and at
last by Polyak's iteration, removes that.

Sources: Paige and Saunders, "LSQR: an algorithm for sparse linear equations and sparse least
squares", ACM Trans. Math. Softw. 8 (1982), 43-71; Avron, Maymounkov and Toledo, "Blendenpik:
supercharging LAPACK's least-squares solver", SIAM J. Sci. Comput. 32 (2010), 1217-1236.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from randla._parallel import progress_bar, shown_progress
from randla._scaling import exponents_of
from randla._tall.problem import Rows
from randla.regression._solvers.polyak import HeavyBall, IterativeFactor
from randla.regression._solvers.preconditioner import Factor, column_norms
from randla.regression._solvers.rank import EPS
from randla.regression._solvers.refinement import ENOUGH, LEAST_GAIN, Solution, refine
from randla.regression._solvers.sketched_factor import MakeSketch, SketchedFactor, draw_factor

Matrix = NDArray[np.float64]
Product = Callable[[Matrix], Matrix]

#: A run reduces the gradient by at most this factor.
_TOLERANCE = 1e-8
_MAX_PRECONDITIONED_STEPS = 200
_POWER_STEPS = 6
#: Norms of columns within this power of two of one another count as of one scale.
_SAME_SCALE = 16


def lsqr(
    times: Product,
    transposed: Product,
    R: Matrix,
    enough: Matrix,
    max_steps: float,
    tell: Callable[[int], None],
) -> tuple[Matrix, int]:
    """Z near the minimum of ``|A Z - R|`` column by column, and the number of steps.

    Stops when ``|A'(R - A Z)|`` is below `enough` (k,) or below EPS times ``|A| |R - A Z|`` in
    every column. `tell` is called with the number of the step.
    """
    U, beta = _normalised(R)
    V, alpha = _normalised(transposed(U))
    Z, W = np.zeros_like(V), V.copy()
    rho_bar, phi_bar = alpha.copy(), beta.copy()
    squared_norm = alpha**2
    gradient = alpha * beta
    n_steps = 0
    while n_steps < max_steps:
        small = gradient <= np.maximum(enough, EPS * np.sqrt(squared_norm) * phi_bar)
        if small.all():
            break
        U, beta = _normalised(times(V) - alpha * U)
        V, new_alpha = _normalised(transposed(U) - beta * V)
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


def _normalised(X: Matrix) -> tuple[Matrix, Matrix]:
    size = column_norms(X)
    return X / np.where(size > 0.0, size, 1.0), size


class LsqrFactor(IterativeFactor):
    """A factor whose step runs LSQR on A P, with P from `base`.

    A run has at most `max_steps` steps, all runs together at most `total_steps`.
    """

    def __init__(
        self,
        rows: Rows,
        base: Factor,
        exponents: NDArray[np.int64],
        max_steps: int,
        total_steps: float = math.inf,
    ) -> None:
        super().__init__(rows, base, exponents)
        self.max_steps, self.total_steps = max_steps, total_steps

    def step(self, half: Matrix, goal: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        size = column_norms(half)
        enough = np.clip(goal, _TOLERANCE * size, LEAST_GAIN * size)
        max_steps = int(min(self.max_steps, self.total_steps - self.n_iterations))
        with progress_bar(max_steps, bool(shown_progress()), "lstsq: steps of LSQR") as tell:
            Z, n_steps = lsqr(
                lambda Z: self.rows.times(self.D * self.forward(Z)),
                lambda R: self.adjoint(self.D * self.rows.transposed(R)),
                self.rows.residual_vectors(self.D * Y),
                enough,
                max_steps,
                tell,
            )
        self.n_iterations += n_steps
        return self.forward(Z), (half * Z).sum(axis=0)


class NoFactor(Factor):
    """No preconditioner: P is the identity, and R is known by its norm only."""

    condition = math.inf

    def __init__(self, rows: Rows, exponents: NDArray[np.int64]) -> None:
        rng, D = np.random.default_rng(0), np.ldexp(1.0, exponents)[:, None]
        v = rng.standard_normal((rows.d, 1))
        for _ in range(_POWER_STEPS):
            v, size = _normalised(D * rows.normal_product(D * v))
        self.top = float(np.sqrt(size[0]))

    def forward(self, Z: Matrix) -> Matrix:
        return Z

    def adjoint(self, g: Matrix) -> Matrix:
        return g

    def _shrunk_norms(self, g: Matrix, omega: Matrix) -> Matrix:
        return column_norms(g) / np.where(omega > 0.0, omega, 1.0)


def solve_by_lsqr(
    rows: Rows,
    make_sketch: MakeSketch,
    m: int,
    rcond: float | None,
    sketched: SketchedFactor | None = None,
) -> Solution:
    """LSQR with a sketched preconditioner, restarted until the backward error is at rounding."""
    if sketched is None:
        sketched = draw_factor(rows, make_sketch, m, rcond)
    base, exponents = sketched.factor(), sketched.exponents
    factor = LsqrFactor(rows, base, exponents, _MAX_PRECONDITIONED_STEPS)
    start = np.zeros((rows.d, rows.k))
    Y, squares, error, _ = refine(rows, factor, exponents, start, min_steps=2)
    n_iterations = factor.n_iterations
    if error > ENOUGH:
        ball = HeavyBall(rows, base, exponents, sketched.distortion())
        Y, squares, error, _ = refine(rows, ball, exponents, Y)
        n_iterations += ball.n_iterations
    return Solution(
        sketched.finish(rows, Y),
        exponents,
        base,
        sketched.rank,
        squares,
        error,
        n_iterations,
        "lsqr",
        error <= ENOUGH,
    )


def plain_scales(rows: Rows) -> NDArray[np.int64]:
    """Exponents of the columns for LSQR without a preconditioner.

    The minimum norm asks for one scale. But LSQR stops at an error relative to the largest columns,
    and so would overlook those that are much smaller: then each column is scaled to norm about 1.
    """
    n = rows.n if rows.root_ridge is None else rows.n + rows.d
    mixtures = rows.transposed(np.random.default_rng(0).standard_normal((n, 4)))
    size = np.abs(mixtures).max(axis=1)
    if not np.isfinite(size).all():
        rows._require_finite()
    used, exponents = size > 0.0, np.clip(-exponents_of(size), -1020, 1020)
    if not used.any():
        return exponents
    one_scale = int(exponents[used].min())
    are_apart = np.ptp(exponents[used]) > _SAME_SCALE
    return np.where(used & are_apart, exponents, one_scale)


def solve_by_plain_lsqr(
    rows: Rows, exponents: NDArray[np.int64], total_steps: float = math.inf
) -> Solution:
    """LSQR without a preconditioner, where a triangular factor would cost too much.

    Started at zero, it tends to the solution of minimum norm in the scaled columns. The rank stays
    unknown.
    """
    max_steps = 4 * min(rows.n, rows.d) + 100
    factor = LsqrFactor(rows, NoFactor(rows, exponents), exponents, max_steps, total_steps)
    start = np.zeros((rows.d, rows.k))
    Y, squares, error, _ = refine(rows, factor, exponents, start, min_steps=1)
    return Solution(
        Y,
        exponents,
        factor.base,
        None,
        squares,
        error,
        factor.n_iterations,
        "lsqr",
        error <= ENOUGH,
    )
