r"""A preconditioner from a sketch.

With R from a QR of :math:`SAD`, the matrix :math:`A D R^{-1}` has a condition number near
:math:`(1 + \eta)/(1 - \eta)`, :math:`\eta = \sqrt{d/m}`, for any condition number of A.

Source: Rokhlin and Tygert, "A fast randomized algorithm for overdetermined linear least-squares
regression", Proc. Natl. Acad. Sci. 105 (2008), 13212-13217.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace

import numpy as np
from scipy.linalg import lapack

from randla._scaling import EPS
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.preconditioner import (
    Preconditioner,
    SpectralPreconditioner,
    TriangularPreconditioner,
)
from randla.regression._solvers.rank import (
    Exponents,
    Spectrum,
    is_clearly_regular,
    minimum_norm,
    scaled_columns,
    spectrum_of,
)
from randla.regression._solvers.refinement import Solution
from randla.sketching._operators import Sketch

#: A direction that the sketch maps to zero, and A to more than this many rounding errors, was lost
#: by the sketch; below that the rank of A itself is uncertain.
_LOST = 1e3


class BadSketch(np.linalg.LinAlgError):
    """A sketch that cannot serve as a preconditioner."""


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
    QtB, residual_block : (d, k), (k, k) ndarray
        ``Q'SB`` of sketched right-hand sides, and a block with the norms of their residuals.
    """

    def __init__(
        self,
        sketch: Array,
        exponents: Exponents,
        shape: tuple[int, int],
        rcond: float | None,
        n_rhs: int = 0,
    ) -> None:
        self.n_rows, width = sketch.shape
        d = width - n_rhs
        factored = lapack.dgeqrf(sketch, lwork=32 * width, overwrite_a=1)[0]
        self.R = np.triu(factored[:d, :d])
        self.QtB = factored[:d, d:].copy()
        self.residual_block = np.triu(factored[d : d + n_rhs, d:])
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
        """Eta: singular values of A P lie within 1/(1 + eta) and 1/(1 - eta), with some margin."""
        eta = (1.05 * self.rank**0.5 + 1.5) / self.n_rows**0.5
        if self.population is not None:  # all rows of an orthogonal matrix would distort nothing
            eta *= max(1.0 - self.n_rows / self.population, 0.0) ** 0.5
        return min(max(eta, 0.05), 0.9)

    def inverse(self) -> Array:
        """P (d, rank) with A P nearly orthonormal, in the scaled columns."""
        if self.spectrum is None:
            return lapack.dtrtri(self.R)[0]
        r = self.spectrum.rank
        return self.spectrum.Vt[:r].T / self.spectrum.s[:r]

    def preconditioner(self, inner: Array | None = None) -> Preconditioner:
        """The preconditioner R, or better with triangular `inner`: inner'inner = (A P)'(A P)."""
        if self.spectrum is not None:
            return SpectralPreconditioner(self.spectrum, inner)
        return TriangularPreconditioner(self.R if inner is None else inner @ self.R)

    def shifted(self, change: int) -> SketchedFactor:
        """Return the same factor for a matrix that is divided by 2^change."""
        other = copy(self)
        other.exponents = self.exponents + change
        return other

    def shortest(self, rows: ScaledProblem, solution: Solution) -> Solution:
        """The solution itself, or that of minimum norm if the rank is below d."""
        if self.spectrum is None:
            return solution
        Y = minimum_norm(solution.Y, self.spectrum, rows.total_exponents(self.exponents))
        return replace(solution, Y=Y)


#: Draws the factor of a sketch of at least that many rows.
DrawFactor = Callable[[int], SketchedFactor]


def draw_factor(
    rows: ScaledProblem, make_sketch: Callable[[int], Sketch], rcond: float | None, m: int
) -> SketchedFactor:
    """Sketch the rows and factor the sketch; the null space is confirmed on A itself."""
    for _ in range(4):
        S = make_sketch(m)
        require_rank(rows, S.shape[0])
        SA, _ = rows.sketch(S, with_b=False)
        SA, exponents = scaled_columns(rows, SA)
        sketched = SketchedFactor(SA, exponents, (rows.n, rows.d), rcond)
        sketched.population = S.population
        spectrum = sketched.spectrum
        if spectrum is None or len(spectrum.Vt) < rows.d:
            break
        # A sketch may lose rank that A has: then A V is far from zero on the null space V.
        null = np.ldexp(spectrum.Vt[spectrum.rank :].T, exponents[:, None])
        image = np.sqrt(np.abs(rows.gram(null)[0].diagonal()))
        limit = 10.0 * max(rcond or 0.0, max(rows.n, rows.d) * EPS) * spectrum.s[0]
        if image.max() <= limit:
            break
        m = 2 * m if S.population is None else min(2 * m, S.population)
    else:
        if image.max() > _LOST * limit:
            raise BadSketch(
                "the sketch loses rank that A has: use more rows, a dense sketch ('srht'), or "
                "method='auto'"
            )
    return sketched


def require_rank(rows: ScaledProblem, m: int) -> None:
    """Refuse a sketch of fewer rows than the rank may be: it would count as the rank of A."""
    n = rows.n if rows.root_ridge is None else rows.n + rows.d
    if m < min(n, rows.d):
        raise ValueError(
            f"sketch_size must be at least {min(n, rows.d)} for a preconditioner, a row for each "
            f"column of A (or for each row, if these are fewer), got {m}"
        )
