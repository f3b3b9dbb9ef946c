r"""Least squares to full double precision by Gram matrices and refinement.

Two direct methods build a factor R of the scaled matrix :math:`AD` and then repeat

.. math:: x \leftarrow x + D R^{-1} R^{-T} D A^T (b - A x)

until an estimate of the backward error is at rounding level:

* *Cholesky*: R from the Gram matrix of AD. The error falls by about EPS cond(AD)^2 a step, so
  this is for condition numbers up to some 1e7.
* *sketched Cholesky*: :math:`R_0` from a QR of a sketch SAD, then L from the Gram matrix of
  :math:`Y = A D R_0^{-1}`, whose condition number is small whatever that of A, and
  :math:`R = L^T R_0`. The first solution, from :math:`Y^T b` of the same pass, is already close
  to backward stable. (Sketch-preconditioned Cholesky QR; Balabanov, arXiv:2210.09953, Melnichenko
  et al., arXiv:2311.08316.)

The *iterative* method for very wide problems keeps :math:`R_0` and solves with the Gram matrix of
Y by Polyak's iteration, one pass over A a step; it is restarted on the residual, which makes it
backward stable (FOSSILS; Epperly, Meier and Nakatsukasa, arXiv:2406.03468).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla.sketching._dense_rows import DenseRows
from randla.sketching._factors import Factor, SpectralFactor, TriangularFactor, column_norms
from randla.sketching._operators import Sketch
from randla.sketching._rank import (
    EPS,
    Spectrum,
    exponents_of,
    has_lost_rank,
    is_clearly_regular,
    minimum_norm,
    spectrum_of,
)
from randla.sketching._regression_rows import Rows

Matrix = NDArray[np.float64]
#: Draws a sketch of at least that many rows for the rows of the problem.
MakeSketch = Callable[[int], Sketch]

#: Condition number of AD up to which refinement of plain Cholesky pays.
CHOLESKY_LIMIT = 3e7
EPS_SINGLE = float(np.finfo(np.float32).eps)
#: Columns from which a Gram matrix in float32 and further refinement beat one in float64.
_SINGLE_FROM = 64
#: A solution counts as refined at this backward error; good enough is four times as much.
_TARGET, ENOUGH = EPS, 4.0 * EPS
_MAX_REFINEMENTS = 10
#: Rounding errors of P'g over EPS cond(R) |r| / sqrt(n), with a margin of three (measured from
#: 3000 x 7 to 100000 x 20).
_NOISE = 4.0
#: Reciprocal condition number of Y'Y below which the sketch was bad. With m = 4d it is near 1/9.
_WORST_GRAM = 1e-4
#: A run of the iteration reduces its residual at least and at most by these factors; the next run
#: restarts.
LEAST_GAIN, _STEP_TOLERANCE = 1e-2, 1e-8
_MAX_STEPS = 200


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution of the scaled problem, ``2^exponents Y``, and how it came about.

    Attributes
    ----------
    squares : (k,) ndarray
        Squared norms of the scaled residual, with the rows of the ridge.
    error : float or None
        Backward error as measured; None: not measured.
    """

    Y: Matrix
    exponents: NDArray[np.int64] | None
    factor: Factor | None
    rank: int | None
    squares: Matrix
    error: float | None
    n_iterations: int
    method: str
    converged: bool = True


def refine(
    rows: Rows,
    factor: Factor,
    exponents: NDArray[np.int64],
    Y: Matrix,
    *,
    min_steps: int = 0,
) -> tuple[Matrix, Matrix, float, int]:
    """Refine Y = x / 2^exponents; return it, squared residual norms, its error, and passes.

    Each pass measures the backward error of Y, after which the step that improves Y is free. At
    least `min_steps` are taken.
    """
    D = np.ldexp(1.0, exponents)[:, None]
    best, best_squares, best_error = Y, np.full(rows.k, np.inf), np.inf
    last_error = last_size = np.inf
    for n_passes in range(1, _MAX_REFINEMENTS + 1):
        g, squares = rows.residual(D * Y)
        g *= D
        half = factor.adjoint(g)
        errors = factor.backward_error(g, half, Y, squares, decide_at=ENOUGH)
        error = float(errors.max(initial=0.0))
        # |P'g| is the distance to the solution in the norm of A Y. On consistent problems it falls
        # long before the backward error does.
        sizes = column_norms(half)
        if n_passes == 1:
            unit = np.where(sizes > 0.0, sizes, 1.0)
        size = float((sizes / unit).max(initial=0.0))
        if n_passes <= 1 + min_steps or error < best_error:
            best, best_squares, best_error = Y, squares, error
        stalled = error > 0.5 * last_error and size > 0.5 * last_size
        if n_passes > min_steps and (error <= _TARGET or stalled):
            break
        step, shorter = factor.step(half, 0.1 * _TARGET * factor.top * column_norms(Y), Y)
        Y = Y + step
        predicted = error * factor.contraction
        if predicted <= 0.1 * _TARGET:  # no need to measure again
            return Y, np.maximum(squares - shorter, 0.0), max(predicted, 0.5 * EPS), n_passes
        last_error, last_size = error, size
    if error <= _TARGET:
        # A small backward error says little on directions of small singular values. Where the
        # gradient stands out of its rounding errors, the step makes the forward error small.
        signal = sizes > _NOISE * EPS * factor.condition * np.sqrt(squares / rows.n)
        if signal.any():
            step, shorter = factor.step(half, 0.0 * sizes, Y)
            Y = Y + np.where(signal, step, 0.0)
            return Y, np.maximum(squares - np.where(signal, shorter, 0.0), 0.0), error, n_passes
    return best, best_squares, best_error, n_passes


def solve_by_cholesky(
    rows: Rows, rcond: float | None, *, forced: bool = False, single: bool = False
) -> Solution | None:
    """Scaled Cholesky with refinement; None where the condition number is too large for it.

    With `forced` whatever the condition number is; None only if the factorisation breaks down.
    With `single` the Gram matrix is made in float32, which refinement makes up for.
    """
    G, C = rows.gram(single=single)
    norms = np.sqrt(G.diagonal())
    if single and not fit_single(norms):
        return None
    rows.require_range(norms)
    exponents = -exponents_of(norms)
    D = np.ldexp(1.0, exponents)
    G *= D[:, None]
    G *= D
    R, info = lapack.dpotrf(G, lower=0, clean=1)
    if info != 0:
        return None
    reciprocal, _ = lapack.dpocon(R, np.abs(G).sum(axis=0).max())
    condition = max(reciprocal, EPS * EPS) ** -0.5
    unit, limit = (EPS_SINGLE, single_limit(rows.d)) if single else (EPS, CHOLESKY_LIMIT)
    if condition > limit and not forced:
        return None
    if rcond is not None and has_lost_rank(R, (rows.n, rows.d), rcond):
        return None
    factor = TriangularFactor(R, contraction=min(10.0 * unit * condition**2, 1.0))
    Y = factor.forward(factor.adjoint(D[:, None] * C))
    Y, squares, error, n_passes = refine(rows, factor, exponents, Y)
    # Beyond the limit R is too far from A for its estimate of the error to be trusted.
    converged = error <= ENOUGH and factor.contraction < 1.0
    if not (converged or forced):
        return None
    return Solution(Y, exponents, factor, rows.d, squares, error, n_passes, "cholesky", converged)


def single_limit(d: int) -> float:
    """Condition number of AD up to which a Gram matrix in float32 saves time.

    A step of refinement then reduces the error by some 1e-6 cond(AD)^2 only. What it saves is worth
    more steps the more columns there are (measured: 3 at d = 64, 5 at 200, 20 at 1000).
    """
    return min(float(d), 300.0) if d >= _SINGLE_FROM else 0.0


def fit_single(norms: NDArray[np.float64]) -> bool:
    """Whether products of columns with these norms stay well inside the range of float32."""
    return bool(norms.min() > 1e-12 and norms.max() < 1e12)


class FirstLook(NamedTuple):
    """What a sample of rows says about all of them; right answers never depend on it.

    Attributes
    ----------
    condition : float
        Condition number with scaled columns, inf if numerically singular; nan if not known.
    fits_single : bool
        Whether the columns have norms that float32 can square.
    """

    condition: float
    fits_single: bool


def look_at_some_rows(rows: DenseRows) -> FirstLook:
    """Guess from some rows how plain Cholesky would fare, to save a pass over all."""
    n_sample = 2 * rows.d
    if rows.n < 16 * n_sample:
        return FirstLook(math.nan, False)
    sample = rows.load_every(rows.n // n_sample)
    G = sample.T @ sample
    norms = np.sqrt(G.diagonal())
    if not (norms.min() > 0.0 and np.isfinite(norms).all()):
        return FirstLook(math.nan, False)
    G /= norms[:, None]
    G /= norms
    if rows.root_ridge is not None:
        G.flat[:: rows.d + 1] += (rows.root_ridge / norms) ** 2 * (len(sample) / rows.n)
    R, info = lapack.dpotrf(G, lower=0, clean=0)
    if info != 0:
        return FirstLook(math.inf, False)
    reciprocal, _ = lapack.dpocon(R, np.abs(G).sum(axis=0).max())
    return FirstLook(max(reciprocal, EPS * EPS) ** -0.5, fit_single(norms))


class SketchedFactor:
    """QR of a sketch with scaled columns: a preconditioner, and the rank of A.

    Attributes
    ----------
    n_rows : int
        Rows of the sketch.
    R : (d, d) ndarray
        Upper triangular factor of the sketch of A, whose columns are scaled by 2^exponents.
    spectrum : Spectrum or None
        Given if the rank is below d.
    turned, rest : (d, k), (k, k) ndarray
        ``Q'SB`` of sketched right-hand sides, and what has the norms of their residuals.
    """

    def __init__(
        self,
        sketch: Matrix,
        exponents: NDArray[np.int64],
        shape: tuple[int, int],
        rcond: float | None,
        n_rhs: int = 0,
    ) -> None:
        self.n_rows, width = sketch.shape
        d = width - n_rhs
        factored = lapack.dgeqrf(sketch, lwork=32 * width, overwrite_a=1)[0]
        self.R = np.triu(factored[:d, :d])
        self.turned = factored[:d, d:].copy()
        self.rest = np.triu(factored[d : d + n_rhs, d:])
        self.exponents = exponents
        self.population: int | None = None
        self.spectrum: Spectrum | None = None
        if self.n_rows < d or not is_clearly_regular(self.R, shape, rcond):
            spectrum = spectrum_of(self.R, shape, rcond)
            if spectrum.rank < d:
                self.spectrum = spectrum

    @property
    def rank(self) -> int:
        """Numerical rank of the sketch, in general that of A."""
        return self.R.shape[1] if self.spectrum is None else self.spectrum.rank

    def distortion(self) -> float:
        """Eta: singular values of A P lie within 1/(1 + eta) and 1/(1 - eta), with some reserve."""
        eta = (1.05 * self.rank**0.5 + 1.5) / self.n_rows**0.5
        if self.population is not None:  # all rows of an orthogonal matrix would distort nothing
            eta *= max(1.0 - self.n_rows / self.population, 0.0) ** 0.5
        return min(max(eta, 0.05), 0.9)

    def preconditioner(self) -> Matrix:
        """P (d, rank) with A P nearly orthonormal, in the scaled columns."""
        if self.spectrum is None:
            return lapack.dtrtri(self.R)[0]
        r = self.spectrum.rank
        return self.spectrum.Vt[:r].T / self.spectrum.s[:r]

    def factor(self, inner: Matrix | None = None) -> Factor:
        """Return the factor of A, better by an upper triangular `inner` with inner'inner = Y'Y."""
        if self.spectrum is not None:
            return SpectralFactor(self.spectrum, inner)
        return TriangularFactor(self.R if inner is None else inner @ self.R)

    def finish(self, rows: Rows, Y: Matrix) -> Matrix:
        """Y itself, or, if the rank is below d, what gives the minimum norm."""
        if self.spectrum is None:
            return Y
        return minimum_norm(Y, self.spectrum, rows.total_exponents(self.exponents))


def draw_factor(rows: Rows, make_sketch: MakeSketch, m: int, rcond: float | None) -> SketchedFactor:
    """Sketch the rows and factor the sketch; the null space is confirmed on A itself."""
    for attempt in range(4):
        S = make_sketch(m << attempt)
        SA, _ = rows.sketch(S, with_b=False)
        largest = np.abs(SA).max(axis=0)
        rows.require_range(largest)
        exponents = -exponents_of(largest)
        sketched = SketchedFactor(np.ldexp(SA, exponents), exponents, (rows.n, rows.d), rcond)
        sketched.population = S.population
        spectrum = sketched.spectrum
        if spectrum is None or len(spectrum.Vt) < rows.d:
            break
        # A sketch may lose rank that A has: then A V is far from zero on the null space V.
        null = np.ldexp(spectrum.Vt[spectrum.rank :].T, exponents[:, None])
        image = np.sqrt(np.abs(rows.gram_after(null, triangular=False)[0].diagonal()))
        limit = 10.0 * max(rcond or 0.0, max(rows.n, rows.d) * EPS) * spectrum.s[0]
        if image.max() <= limit:
            break
    return sketched


def solve_by_sketched_cholesky(
    rows: Rows,
    make_sketch: MakeSketch,
    m: int,
    rcond: float | None,
    sketched: SketchedFactor | None = None,
) -> Solution | None:
    """Sketch-preconditioned Cholesky with refinement; None if four sketches are not good enough."""
    for attempt in range(4):
        if sketched is None:
            sketched = draw_factor(rows, make_sketch, m << attempt, rcond)
        P = sketched.preconditioner()
        D = np.ldexp(1.0, sketched.exponents)[:, None]
        G, C = rows.gram_after(
            D * P, triangular=sketched.spectrum is None, single=rows.d >= _SINGLE_FROM
        )
        inner, info = lapack.dpotrf(G, lower=0, clean=1)
        if info == 0 and lapack.dpocon(inner, np.abs(G).sum(axis=0).max())[0] > _WORST_GRAM:
            break
        sketched = None
    else:
        return None
    factor = sketched.factor(inner)
    Y = P @ lapack.dpotrs(inner, C)[0]
    Y, squares, error, n_passes = refine(rows, factor, sketched.exponents, Y)
    return Solution(
        sketched.finish(rows, Y),
        sketched.exponents,
        factor,
        sketched.rank,
        squares,
        error,
        n_passes,
        "sketch-cholesky",
        error <= ENOUGH,
    )


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
