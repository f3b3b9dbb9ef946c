"""Least squares by Householder QR from LAPACK, for small and for nearly square problems.

One QR of [A b] gives the triangular factor, the transformed right-hand side and the norm of the
residual. Rank is decided on the factor with scaled columns, which is that of A with scaled columns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import lapack

from randla._scaling import EPS, exponents_of
from randla._tall.problem import ScaledProblem
from randla._typing import Array
from randla.regression._solvers.preconditioner import (
    SpectralPreconditioner,
    TriangularPreconditioner,
)
from randla.regression._solvers.rank import (
    LESS_NEGLIGIBLE,
    NEGLIGIBLE,
    NOISE,
    Dependence,
    Exponents,
    column_norms,
    is_clearly_regular,
    minimum_norm,
    scaled_columns,
    spectrum_of,
)
from randla.regression._solvers.refinement import Solution

_LOAD_ROWS = 4096
#: Rows of a block whose QR has rounding errors well below the noise that `numerical_rank` allows.
_BLOCK_ROWS = 128
#: Reciprocal condition number, with the rows of a ridge, below which A is also factored alone.
_RIDGE_COUNTS = 1e-5
#: If the fraction of A in the norm of a column with its ridge is smaller, the solution is refined.
_SMALL_SHARE = 1e-6


def solve_by_lapack(rows: ScaledProblem, rcond: float | None) -> Solution:
    """Solve by one QR; minimum norm if the rank is below the number of columns."""
    n, d = rows.n, rows.d
    if rows.root_ridge is None:
        return _solve_tall(rows, rcond) if n >= d else _solve_wide(rows, rcond)
    if d > 2 * n and rows.exponents is None:
        return _solve_wide(rows, rcond)
    return _solve_with_ridge(rows, rcond)


def _solve_tall(rows: ScaledProblem, rcond: float | None) -> Solution:
    n, d = rows.n, rows.d
    R, QtB, squares = _triangular(_load_with_rhs(rows, None), d)
    # Full rank in the unscaled columns: no need to scale them.
    if rcond is None and 1e-130 < abs(R[0, 0]) < 1e130 and is_clearly_regular(R, (n, d), None):
        Y = lapack.dtrtrs(R, QtB)[0]
        return Solution(Y, None, TriangularPreconditioner(R), d, squares)
    scaled, exponents = scaled_columns(rows, np.triu(R))
    if n > 2 * _BLOCK_ROWS and not is_clearly_regular(scaled, (n, d), rcond):
        # Rounding errors of long columns with few distinct entries add up: up to 20 EPS at 2500
        # rows, which would count as rank. In a block they stay below 3 EPS.
        R, QtB, squares = _triangular(_reduced(_load_with_rhs(rows, None)), d)
        scaled, exponents = scaled_columns(rows, np.triu(R))
    return _solve_scaled(rows, scaled, QtB, squares, exponents, rcond)


def _load_with_rhs(rows: ScaledProblem, root_ridge: Array | None) -> Array:
    """[A B], scaled, with the rows of a ridge below."""
    n, d = rows.n, rows.d
    F = np.empty((n if root_ridge is None else n + d, d + rows.k), order="F")
    load_all(rows, F[:n, :d])
    F[:n, d:] = rows.B
    if root_ridge is not None:
        F[n:] = 0.0
        F[n:].T.flat[: d * d : d + 1] = root_ridge
    rows.n_passes += 1
    return F


def _reduced(F: Array) -> Array:
    """A shorter matrix with the same F'F, from QR factorizations of blocks of rows."""
    width = F.shape[1]
    m = max(_BLOCK_ROWS, 4 * width)
    while len(F) > 2 * m:
        blocks = (lapack.dgeqrf(F[i : i + m], lwork=32 * width)[0] for i in range(0, len(F), m))
        F = np.concatenate([np.triu(block[:width]) for block in blocks])
    return F


def _triangular(F: Array, d: int) -> tuple[Array, Array, Array]:
    """Reduce F = [A B] to R (d, d), Q'B, and the squared norms of the residuals.

    F may be overwritten. With fewer rows than d, R has as many rows. Below its diagonal R is not
    cleared.
    """
    n, k = len(F), F.shape[1] - d
    F = lapack.dgeqrf(np.asfortranarray(F), lwork=32 * (d + k), overwrite_a=1)[0]
    R, QtB, residual = F[:d, :d], F[:d, d:], F[d : d + k, d:]
    squares = residual[0] ** 2 if k == 1 and n > d else (np.triu(residual) ** 2).sum(axis=0)
    return np.asfortranarray(R), QtB, squares


def _solve_scaled(
    rows: ScaledProblem,
    R: Array,
    QtB: Array,
    squares: Array,
    exponents: Exponents,
    rcond: float | None,
) -> Solution:
    """Solve with a triangular factor that has scaled columns."""
    n, d = rows.n, rows.d
    if not is_clearly_regular(R, (n, d), rcond):
        spectrum = spectrum_of(R, (n, d), rcond)
        r = spectrum.rank
        if r < d:
            in_range = spectrum.U[:, :r].T @ QtB
            squares = squares + column_norms(spectrum.U[:, r:].T @ QtB) ** 2
            Y = spectrum.Vt[:r].T @ (in_range / spectrum.s[:r, None])
            Y = minimum_norm(Y, spectrum, rows.total_exponents(exponents))
            return Solution(Y, exponents, SpectralPreconditioner(spectrum), r, squares)
    Y = lapack.dtrtrs(R, QtB)[0]
    return Solution(Y, exponents, TriangularPreconditioner(R), d, squares)


def _solve_with_ridge(rows: ScaledProblem, rcond: float | None) -> Solution:
    """Solve with the rows of the ridge below A."""
    n, d, root_ridge = rows.n, rows.d, rows.root_ridge
    assert root_ridge is not None
    solution: Solution | None
    if d > 2 * n and rcond is None:  # a factor (d, d) would cost too much
        solution = _solve_dependent_with_ridge(rows)
        if solution is not None:
            return solution
    R, QtB, squares = _triangular(_load_with_rhs(rows, root_ridge), d)
    # The ridge is small compared with A in each column, and A well-conditioned: one solve suffices.
    is_small = (np.abs(R.diagonal()) > (1.0 + _SMALL_SHARE) * root_ridge).all()
    is_plain = is_small and rcond is None and 1e-130 < abs(R[0, 0]) < 1e130
    if is_plain and lapack.dtrcon(R)[0] > _RIDGE_COUNTS:
        Y = lapack.dtrtrs(R, QtB)[0]
        return Solution(Y, None, TriangularPreconditioner(R), d, squares)
    R, exponents = scaled_columns(rows, np.triu(R))
    dependent = None  # the solution if columns depend on each other and the ridge decides
    if rcond is None and lapack.dtrcon(R)[0] < _RIDGE_COUNTS:
        dependent = _solve_dependent_with_ridge(rows)
    solution = _solve_scaled(rows, R, QtB, squares, exponents, rcond)
    is_large = np.ldexp(root_ridge, exponents) > (1.0 - _SMALL_SHARE) * column_norms(R)
    if solution.rank == d and is_large.any():
        # Q'b has lost digits to the rows of the ridge, but A'(b - A x) has not.
        P, D = solution.preconditioner, np.ldexp(1.0, exponents)[:, None]
        assert P is not None
        g, squares = rows.residual(D * solution.Y)
        change, decrease = P.step(P.adjoint(D * g), squares, solution.Y)
        squares = np.maximum(squares - decrease, 0.0)
        solution = replace(solution, Y=solution.Y + change, squares=squares)
    if dependent is None:
        return solution
    assert dependent.exponents is not None
    assert solution.exponents is not None
    # The solution with the smaller sum of squares, column by column.
    Y = np.ldexp(solution.Y, (solution.exponents - dependent.exponents)[:, None])
    _, squares = rows.residual(np.ldexp(solution.Y, solution.exponents[:, None]))
    Y, squares = _better(dependent.Y, dependent.squares, Y, squares)
    return replace(dependent, Y=Y, squares=squares)


def _solve_dependent_with_ridge(rows: ScaledProblem) -> Solution | None:
    r"""Solve for dependent columns, from a QR of A without the ridge; None if there are none.

    A ridge that is small compared with dependent columns determines how they share their
    coefficients, but only by digits that a QR of all rows together would lose. With the f of
    `Dependence` it is

    .. math:: \min_f |A_S f - b|^2 + \lambda |(I + B B^T)^{-1/2} D_S f|^2,

    where :math:`A_S` is well-conditioned, and then the shortest solution for f.
    """
    d, k, root_ridge = rows.d, rows.k, rows.root_ridge
    assert root_ridge is not None
    R, QtB, squares = _triangular(_reduced(_load_with_rhs(rows, None)), d)
    R = np.triu(R)
    largest = np.abs(R).max(axis=0)
    if not np.isfinite(largest).all():
        rows.tall.require_finite()
    own = -exponents_of(largest)
    R = np.ldexp(R, own)
    if rows.n >= d and is_clearly_regular(R, (rows.n, d), None):
        return None
    spectrum = spectrum_of(R, (rows.n, d), None)
    if spectrum.rank in (0, d):
        return None
    dependence = Dependence(spectrum, rows.total_exponents(own))
    S, D = dependence.S, np.ldexp(1.0, own)[:, None]
    diagonal = np.ldexp(root_ridge, own)[:, None]
    is_large = column_norms(R)[:, None] < _SMALL_SHARE**0.5 * diagonal
    right = np.vstack([QtB, np.zeros((len(S), k))])
    best = None
    for negligible in (NEGLIGIBLE, LESS_NEGLIGIBLE):  # a rounding error shows in the sum
        B = dependence.ratios(negligible)
        C = lapack.dpotrf(np.eye(len(S)) + B @ B.T, lower=1, clean=1)[0]  # C C' = I + B B'
        A_S = np.vstack([R[:, S], lapack.dtrtrs(C, np.diag(diagonal[S, 0]), lower=1)[0]])
        scale = -exponents_of(np.abs(A_S).max(axis=0))
        R_S, Z_S, _ = _triangular(np.hstack([np.ldexp(A_S, scale), right]), len(S))
        Y = np.zeros((d, k))
        Y[S] = np.ldexp(lapack.dtrtrs(R_S, Z_S)[0], scale[:, None])
        Y = dependence.shortest(Y)
        if is_large.any():  # next to others such columns lose digits, but here g is almost ridge x
            for _ in range(2):
                g, _ = rows.residual(D * Y)
                Y = Y + np.where(is_large, D * g / diagonal / diagonal, 0.0)
        others = rows.residual(D * Y)[1]
        best, squares = (Y, others) if best is None else _better(best, squares, Y, others)
    assert best is not None
    return Solution(best, own, None, d, squares)


def _better(Y: Array, squares: Array, Z: Array, others: Array) -> tuple[Array, Array]:
    """Choose Y or Z column by column: Z where its sum of squares is smaller beyond rounding."""
    margin = EPS * (NOISE * np.sqrt(squares) + np.abs(Z).sum(axis=0))
    better = np.sqrt(others) + margin < np.sqrt(squares)
    return np.where(better, Z, Y), np.where(better, others, squares)


def _solve_wide(rows: ScaledProblem, rcond: float | None) -> Solution:
    """Fewer rows than columns: the shortest solution, from a QR of A' or an SVD."""
    if rows.exponents is None:  # else the shortest solution of the scaled problem differs
        solution = _solve_by_rows(rows, rcond)
        if solution is not None:
            return solution
        if rows.root_ridge is not None:
            return _solve_with_ridge(rows, rcond)
    A, exponents = scaled_columns(rows, load_all(rows))
    spectrum = spectrum_of(A, (rows.n, rows.d), rcond)
    r = spectrum.rank
    in_range = spectrum.U[:, :r].T @ rows.B
    Y = spectrum.Vt[:r].T @ (in_range / spectrum.s[:r, None])  # V_r S_r^-1 U_r' b
    Y = minimum_norm(Y, spectrum, rows.total_exponents(exponents))
    _, squares = rows.residual(np.ldexp(Y, exponents[:, None]))
    return Solution(Y, exponents, SpectralPreconditioner(spectrum), r, squares)


def _solve_by_rows(rows: ScaledProblem, rcond: float | None) -> Solution | None:
    """The shortest solution from a QR of A'; None unless the rows of A are clearly independent.

    With a ridge it is the shortest solution of ``[A, sqrt(ridge) I] (x, t) = b``.
    """
    n, d, k, root_ridge = rows.n, rows.d, rows.k, rows.root_ridge
    height = d if root_ridge is None else d + n
    F = np.zeros((height, n), order="F")
    load_all(rows, F[:d].T)
    # QR is accurate in each row, that is in small columns of A, if the large ones come first.
    order = np.argsort(-np.abs(F[:d]).max(axis=1), kind="stable")
    F[:d] = F[order]
    is_large = False
    if root_ridge is not None:
        is_large = np.abs(F[:d]).max() < _SMALL_SHARE**0.5 * root_ridge[0]
        F[d:].flat[:: n + 1] = root_ridge[0]
    rows.n_passes += 1
    Q, tau = lapack.dgeqrf(F, lwork=32 * n, overwrite_a=1)[:2]  # A' = Q R
    R = np.triu(Q[:n])
    if (rcond is not None and root_ridge is None) or not _has_regular_columns(R):
        return None
    QtX = np.zeros((height, k), order="F")
    X, residual = np.zeros((height, k)), rows.B
    for _ in range(2):  # one refinement, as small columns see the errors of large ones
        QtX[:n] = lapack.dtrtrs(R, residual, trans=1)[0]  # R' Q'x = b
        step = lapack.dormqr("L", "N", Q, tau, QtX, 32 * max(k, 1))[0]
        X[order] += step[:d]
        X[d:] += step[d:]
        if root_ridge is not None and is_large:  # as in `_solve_with_ridge`
            X[:d] = rows.transposed(np.vstack([X[d:], 0.0 * X[:d]])) / root_ridge[0]
        whole = rows.residual_vectors(X[:d])  # with the rows of the ridge
        residual = whole[:n] if root_ridge is None else whole[:n] - root_ridge[0] * X[d:]
    rank = n if root_ridge is None else d
    return Solution(X[:d], None, None, rank, (whole * whole).sum(axis=0))


def _has_regular_columns(R: Array) -> bool:
    """Whether the columns of R, the rows of A, are independent beyond doubt at any scale."""
    largest = np.abs(R).max(axis=0)
    if not (1e-130 < largest.min() and largest.max() < 1e200):
        return False
    return bool(lapack.dtrcon(np.ldexp(R, -exponents_of(largest)))[0] > 1e-8)


def load_all(rows: ScaledProblem, out: Array | None = None) -> Array:
    """The scaled A, without a second copy of all; in `out` (n, d) if that is given."""
    out = np.empty((rows.n, rows.d)) if out is None else out
    for i in range(0, rows.n, _LOAD_ROWS):
        j = min(i + _LOAD_ROWS, rows.n)
        out[i:j] = rows.tall.load(i, j)
    return out
