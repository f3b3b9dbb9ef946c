"""Preconditioners of a scaled matrix: the refinement step and the backward error of a solution.

A preconditioner knows a triangular R (or a spectrum) with R'R close to A'A. It turns a gradient
A'(b - A x) into the step that removes it, and into an estimate of the backward error of x.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.linalg import lapack

from randla._parallel import blas_threads
from randla._scaling import EPS
from randla._tall.whitening import power_iteration
from randla._typing import Array
from randla.regression._solvers.rank import Spectrum, column_norms, top_singular_value


class Preconditioner(ABC):
    r"""The interface that refinement needs of a factor R of a matrix A with scaled columns.

    P is a matrix (d, r) with A P nearly orthonormal. The estimate of the backward error is that of
    Karlson and Waldén, "Estimation of optimal backward perturbation bounds for the linear least
    squares problem", BIT 37 (1997), 862-869, with R in place of A. For a residual r, a solution y,
    and g = A'r,

    .. math:: |(R^T R + \omega^2 I)^{-1/2} g|_2 \,/\, (|y|_2 |R|_2), \qquad \omega = |r|_2 / |y|_2,

    is within a small constant of the smallest relative change of A that makes y a solution.
    """

    has_factor: ClassVar[bool] = True  # whether R is known as a matrix
    top: float  # spectral norm of R
    condition: float  # condition number of R
    contraction: float = 1.0  # by which one step reduces the error, where it is known; else 1

    @abstractmethod
    def matrix(self) -> Array:
        """R itself, (r, d)."""

    @abstractmethod
    def forward(self, Z: Array) -> Array:
        """``P Z``."""

    @abstractmethod
    def adjoint(self, g: Array) -> Array:
        """``P'g``."""

    @abstractmethod
    def _shrunk_norms(self, g: Array, omega: Array) -> Array:
        """Column norms of ``(R'R + omega^2)^(-1/2) g``."""

    def step(self, Ptg: Array, goal: Array, Y: Array) -> tuple[Array, Array]:
        """Return ``(A'A)^+ g = P P'g``, given P'g, and the decrease of the squared residuals."""
        return self.forward(Ptg), (Ptg * Ptg).sum(axis=0)

    def backward_error(
        self, g: Array, Ptg: Array, Y: Array, squares: Array, *, decide_at: float = math.inf
    ) -> Array:
        """Estimate the backward error of each column of Y; Ptg = P'g.

        An error that is clearly above `decide_at` may be overestimated, which saves a QR.
        """
        norm, gradient = column_norms(Y), column_norms(g)
        top = self.top if self.top > 0.0 else 1.0
        residual = np.sqrt(squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            omega = residual / norm
            # Three upper bounds that cost nothing; the last one changes A to make r vanish.
            bound = np.fmin(column_norms(Ptg), gradient / omega)
            error = np.fmin(bound, residual) / (norm * top)
        error[norm == 0.0] = math.inf
        error[gradient == 0.0] = 0.0
        least = gradient / (np.hypot(top, omega) * norm * top)  # a lower bound of the formula
        rough = np.flatnonzero((error > EPS) & (error < math.inf) & (least < 2.0 * decide_at))
        if len(rough):
            sharp = self._shrunk_norms(g[:, rough], omega[rough]) / (norm[rough] * top)
            error[rough] = np.minimum(error[rough], sharp)
        return error


class TriangularPreconditioner(Preconditioner):
    """An upper triangular R of full rank; entries below its diagonal are ignored."""

    def __init__(self, R: Array, contraction: float = 1.0) -> None:
        self.R = np.asfortranarray(R)
        self.contraction = contraction

    @cached_property
    def top(self) -> float:  # type: ignore[override]
        """Spectral norm of R."""
        return top_singular_value(np.triu(self.R))

    @cached_property
    def condition(self) -> float:  # type: ignore[override]
        """Condition number of R in the 2-norm, estimated from below."""
        v = np.ones((self.R.shape[1], 1))
        return self.top * power_iteration(lambda v: self.forward(self.adjoint(v)), v, 4)

    def forward(self, Z: Array) -> Array:
        return solve_triangle(self.R, Z)

    def adjoint(self, g: Array) -> Array:
        return solve_triangle(self.R, g, trans=1)

    def matrix(self) -> Array:
        return np.triu(self.R)

    def _shrunk_norms(self, g: Array, omega: Array) -> Array:
        return shrunk_norms(self.matrix(), g, omega)


class SpectralPreconditioner(Preconditioner):
    """Singular values s and right singular vectors V (d, r) of a matrix of rank r.

    `inner` is the triangular factor of ``A V s^-1``, near the identity, which None means.
    """

    def __init__(self, spectrum: Spectrum, inner: Array | None = None) -> None:
        r = spectrum.rank
        self.V = spectrum.Vt[:r].T
        self.s = spectrum.s[:r, None]
        self.inner = None if inner is None else np.asfortranarray(inner)
        self.top = float(spectrum.s[0]) if r else 0.0
        self.condition = self.top / float(spectrum.s[r - 1]) if r else 1.0

    def forward(self, Z: Array) -> Array:
        if self.inner is not None:
            Z = solve_triangle(self.inner, Z)
        return self.V @ (Z / self.s)

    def adjoint(self, g: Array) -> Array:
        Ptg = (self.V.T @ g) / self.s
        return Ptg if self.inner is None else solve_triangle(self.inner, Ptg, trans=1)

    def matrix(self) -> Array:
        R = self.s * self.V.T
        return R if self.inner is None else self.inner @ R

    def _shrunk_norms(self, g: Array, omega: Array) -> Array:
        return column_norms((self.V.T @ g) / np.hypot(self.s, omega))


def solve_triangle(R: Array, B: Array, trans: int = 0) -> Array:
    """R^-1 B, or R^-T B, for an upper triangular R in Fortran order."""
    with blas_threads(len(R) * B.size if B.shape[1] > 1 else math.inf):
        return lapack.dtrtrs(R, B, trans=trans)[0]


def shrunk_norms(R: Array, g: Array, omega: Array) -> Array:
    """Column norms of ``(R'R + omega^2)^(-1/2) g`` for R (r, d), r <= d."""
    r, d = R.shape
    if r < d or len(omega) > 3:
        _, s, Vt = np.linalg.svd(R, full_matrices=False)
        in_range = Vt @ g  # of R'
        off_range = column_norms(g - Vt.T @ in_range) if r < d else 0.0
        return np.hypot(column_norms(in_range / np.hypot(s[:, None], omega)), off_range / omega)
    norms = np.empty(len(omega))
    for j, w in enumerate(omega):  # a QR costs a quarter of an SVD
        stacked = np.zeros((2 * d, d), order="F")  # [R; w I] = Q T, so T'T = R'R + w^2
        stacked[:d] = R
        stacked.T.flat[d :: 2 * d + 1] = w
        T = lapack.dgeqrf(stacked, lwork=32 * d, overwrite_a=1)[0][:d]
        norms[j] = np.linalg.norm(lapack.dtrtrs(T, g[:, j], trans=1)[0])
    return norms
