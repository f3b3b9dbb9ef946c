"""Factors of a scaled matrix: the refinement step and the backward error of a solution.

A factor knows a triangular R (or a spectrum) with R'R close to A'A. It turns a gradient A'(b - A x)
into the step that removes it, and into an estimate of the backward error of x.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._scaling import exponents_of
from randla.regression._solvers.rank import EPS, Spectrum, column_norms

Matrix = NDArray[np.float64]


class Factor(ABC):
    r"""What refinement needs from a factor R of a matrix A with scaled columns.

    P is a matrix (d, r) with A P nearly orthonormal. The estimate of the backward error is that of
    Karlson and Walden, "Estimation of optimal backward perturbation bounds for the linear least
    squares problem", BIT 37 (1997), 862-869, with R in place of A. For a residual r, a solution y,
    and g = A'r,

    .. math:: |(R^T R + \omega^2 I)^{-1/2} g|_2 \,/\, (|y|_2 |R|_2), \qquad \omega = |r|_2 / |y|_2,

    is within a small constant of the smallest relative change of A that makes y a solution.
    """

    #: Spectral norm of R.
    top: float
    #: Condition number of R.
    condition: float
    #: Factor by which one step reduces the error, where it is known; else 1.
    contraction: float = 1.0

    @abstractmethod
    def forward(self, Z: Matrix) -> Matrix:
        """``P Z``."""

    @abstractmethod
    def adjoint(self, g: Matrix) -> Matrix:
        """``P'g``."""

    @abstractmethod
    def _shrunk_norms(self, g: Matrix, omega: Matrix) -> Matrix:
        """Column norms of ``(R'R + omega^2)^(-1/2) g``."""

    def step(self, half: Matrix, goal: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        """Return ``(A'A)^+ g``, given half = P'g, and the squares it takes off the residual.

        An iterative step from Y may leave P'g as large as `goal` (k,), which would not matter.
        """
        return self.forward(half), (half * half).sum(axis=0)

    def backward_error(
        self, g: Matrix, half: Matrix, Y: Matrix, squares: Matrix, *, decide_at: float = math.inf
    ) -> Matrix:
        """Estimate the backward error of each column of Y; half = P'g.

        An error that is clearly above `decide_at` may be overestimated, which saves a QR.
        """
        size, gradient = column_norms(Y), column_norms(g)
        top = self.top if self.top > 0.0 else 1.0
        residual = np.sqrt(squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            omega = residual / size
            # Three upper bounds that cost nothing; the last one changes A to make r vanish.
            bound = np.fmin(column_norms(half), gradient / omega)
            error = np.fmin(bound, residual) / (size * top)
        error[size == 0.0] = math.inf
        error[gradient == 0.0] = 0.0
        least = gradient / (np.hypot(top, omega) * size * top)  # what the formula is at least
        rough = np.flatnonzero((error > EPS) & (error < math.inf) & (least < 2.0 * decide_at))
        if len(rough):
            sharp = self._shrunk_norms(g[:, rough], omega[rough]) / (size[rough] * top)
            error[rough] = np.minimum(error[rough], sharp)
        return error


class TriangularFactor(Factor):
    """An upper triangular R of full rank; what lies below its diagonal is not looked at."""

    def __init__(self, R: Matrix, contraction: float = 1.0) -> None:
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
        size = 1.0
        for _ in range(4):
            v = self.forward(self.adjoint(v / size))
            size = float(np.linalg.norm(v))
        return self.top * size**0.5

    def forward(self, Z: Matrix) -> Matrix:
        return lapack.dtrtrs(self.R, Z)[0]

    def adjoint(self, g: Matrix) -> Matrix:
        return lapack.dtrtrs(self.R, g, trans=1)[0]

    def matrix(self) -> Matrix:
        """R itself."""
        return np.triu(self.R)

    def _shrunk_norms(self, g: Matrix, omega: Matrix) -> Matrix:
        return shrunk_norms(self.matrix(), g, omega)


class SpectralFactor(Factor):
    """Singular values s and right singular vectors V (d, r) of a matrix of rank r.

    `inner` is the triangular factor of ``A V s^-1``, near the identity; None stands for it.
    """

    def __init__(self, spectrum: Spectrum, inner: Matrix | None = None) -> None:
        r = spectrum.rank
        self.V = spectrum.Vt[:r].T
        self.s = spectrum.s[:r, None]
        self.inner = None if inner is None else np.asfortranarray(inner)
        self.top = float(spectrum.s[0]) if r else 0.0
        self.condition = self.top / float(spectrum.s[r - 1]) if r else 1.0

    def forward(self, Z: Matrix) -> Matrix:
        if self.inner is not None:
            Z = lapack.dtrtrs(self.inner, Z)[0]
        return self.V @ (Z / self.s)

    def adjoint(self, g: Matrix) -> Matrix:
        half = (self.V.T @ g) / self.s
        return half if self.inner is None else lapack.dtrtrs(self.inner, half, trans=1)[0]

    def matrix(self) -> Matrix:
        """R itself, (r, d)."""
        R = self.s * self.V.T
        return R if self.inner is None else self.inner @ R

    def _shrunk_norms(self, g: Matrix, omega: Matrix) -> Matrix:
        return column_norms((self.V.T @ g) / np.hypot(self.s, omega))


def shrunk_norms(R: Matrix, g: Matrix, omega: Matrix) -> Matrix:
    """Column norms of ``(R'R + omega^2)^(-1/2) g`` for R (r, d), r <= d."""
    r, d = R.shape
    if r < d or len(omega) > 3:
        _, s, Vt = np.linalg.svd(R, full_matrices=False)
        inside = Vt @ g
        outside = column_norms(g - Vt.T @ inside) if r < d else 0.0
        return np.hypot(column_norms(inside / np.hypot(s[:, None], omega)), outside / omega)
    norms = np.empty(len(omega))
    for j, w in enumerate(omega):  # a QR costs a quarter of an SVD
        stacked = np.zeros((2 * d, d), order="F")
        stacked[:d] = R
        stacked.T.flat[d :: 2 * d + 1] = w
        T = lapack.dgeqrf(stacked, lwork=32 * d, overwrite_a=1)[0][:d]
        norms[j] = np.linalg.norm(lapack.dtrtrs(T, g[:, j], trans=1)[0])
    return norms


def columnwise_backward_error(R: Matrix, g: Matrix, Y: Matrix, squares: Matrix) -> float:
    r"""The largest columnwise backward error of the columns of Y.

    The least :math:`\eta` for which changes :math:`|E_j|_2 \le \eta |A_j|_2` of the columns of A
    make a y the exact solution, to a small factor. Let the columns of A, and of its factor R, have
    norm 1. To first order E must satisfy :math:`A^T E y - E^T r = g`, where
    :math:`|E y|_2 \le \eta |y|_1` and :math:`|E_j^T r| \le \eta |r|_2`. The least squares of
    both, each over its bound, give as in the formula of Karlson and Walden

    .. math:: \eta = |(R^T R + \omega^2 I)^{-1/2} g|_2 / |y|_1, \qquad \omega = |r|_2 / |y|_1 .

    R (r, d), g = A'(B - A Y) and Y belong to the same scaling of the columns; `squares` are the
    squared norms of B - A Y.
    """
    exponents = exponents_of(np.abs(R).max(axis=0, initial=0.0))[:, None]
    R = np.ldexp(R, -exponents.T)
    norms = column_norms(R)[:, None]
    norms[norms == 0.0] = 1.0
    R, g = R / norms.T, np.ldexp(g, -exponents) / norms
    size = np.abs(np.ldexp(Y, exponents) * norms).sum(axis=0)
    residual, gradient = np.sqrt(squares), column_norms(g)
    omega = residual / size
    # A change of A that makes the residual vanish; and the limit of the formula for y = 0.
    error = np.where(size > 0.0, omega, gradient / residual)
    error[gradient == 0.0] = 0.0
    usable = np.flatnonzero((error > 0.0) & (omega < math.inf))
    if len(usable):
        sharp = shrunk_norms(R, g[:, usable], omega[usable]) / size[usable]
        error[usable] = np.fmin(error[usable], sharp)
    return float(error.max(initial=0.0))


def top_singular_value(R: Matrix) -> float:
    """Spectral norm, from below by at most some percent (power iteration, a few d^2)."""
    v = R[int(np.argmax(np.abs(R).sum(axis=1)))] if R.size else np.zeros(0)
    size = np.linalg.norm(v)
    if size == 0.0:
        return 0.0
    for _ in range(6):
        v = R.T @ (R @ (v / size))
        size = np.linalg.norm(v)
    return float(np.sqrt(size))
