"""Least squares by Householder QR from LAPACK, for small and for nearly square problems.

One QR of [A b] gives the triangular factor, the transformed right-hand side and the norm of the
residual. Rank is decided on the factor with scaled columns, which is that of A with scaled columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla.sketching._dense_rows import DenseRows
from randla.sketching._factors import SpectralFactor, TriangularFactor, column_norms
from randla.sketching._rank import (
    NEGLIGIBLE,
    Dependence,
    exponents_of,
    is_clearly_regular,
    minimum_norm,
    spectrum_of,
)
from randla.sketching._refinement import Solution

Matrix = NDArray[np.float64]
_LOAD_ROWS = 4096
#: Reciprocal condition number, with the rows of a ridge, below which A is looked at without them.
_RIDGE_COUNTS = 1e-8


def solve_by_lapack(rows: DenseRows, rcond: float | None) -> Solution:
    """Solve by one QR; minimum norm if the rank is below the number of columns."""
    n, d = rows.n, rows.d
    if rows.root_ridge is None:
        return _solve_tall(rows, rcond) if n >= d else _solve_wide(rows, rcond)
    if d > 2 * n and rows.exponents is None:
        return _solve_wide(rows, rcond)
    return _solve_tall(rows, rcond)


def _solve_tall(rows: DenseRows, rcond: float | None) -> Solution:
    n, d, k = rows.n, rows.d, rows.k
    F = np.empty((n, d + k), order="F")
    _load_all(rows, F[:, :d])
    F[:, d:] = rows.B
    rows.n_passes += 1
    if rows.root_ridge is not None:
        return _solve_with_ridge(rows, *_triangular(F, d), rcond)
    R, Z, squares = _triangular(F, d)
    if rcond is None and 1e-130 < abs(R[0, 0]) < 1e130 and is_clearly_regular(R, (n, d), None):
        Y = lapack.dtrtrs(R, Z)[0]
        return Solution(Y, None, TriangularFactor(R), d, squares, None, 0, "lapack")
    R, exponents = _scaled(rows, R)
    return _solve_scaled(rows, R, Z, squares, exponents, rcond)


def _triangular(F: Matrix, d: int) -> tuple[Matrix, Matrix, Matrix]:
    """Reduce F = [A B] to R (d, d), Q'B, and the squared norms of what is left of B.

    F may be overwritten. With fewer rows than d, R has as many rows.
    """
    n, k = len(F), F.shape[1] - d
    F = lapack.dgeqrf(np.asfortranarray(F), lwork=32 * (d + k), overwrite_a=1)[0]
    R, Z, rest = np.triu(F[:d, :d]), F[:d, d:], F[d : d + k, d:]
    squares = rest[0] ** 2 if k == 1 and n > d else (np.triu(rest) ** 2).sum(axis=0)
    return np.asfortranarray(R), Z, squares


def _scaled(rows: DenseRows, R: Matrix) -> tuple[Matrix, NDArray[np.int64]]:
    """R with columns of norm about 1, and their scales."""
    largest = np.abs(R).max(axis=0)
    rows.require_range(largest)
    exponents = -exponents_of(largest)
    return np.ldexp(R, exponents), exponents


def _solve_scaled(
    rows: DenseRows,
    R: Matrix,
    Z: Matrix,
    squares: Matrix,
    exponents: NDArray[np.int64],
    rcond: float | None,
) -> Solution:
    """Solve with a triangular factor that has scaled columns."""
    n, d = rows.n, rows.d
    if not is_clearly_regular(R, (n, d), rcond):
        spectrum = spectrum_of(R, (n, d), rcond)
        r = spectrum.rank
        if r < d:
            inside = spectrum.U[:, :r].T @ Z
            squares = squares + column_norms(spectrum.U[:, r:].T @ Z) ** 2
            Y = spectrum.Vt[:r].T @ (inside / spectrum.s[:r, None])
            Y = minimum_norm(Y, spectrum, rows.total_exponents(exponents))
            return Solution(Y, exponents, SpectralFactor(spectrum), r, squares, None, 0, "lapack")
    Y = lapack.dtrtrs(R, Z)[0]
    return Solution(Y, exponents, TriangularFactor(R), d, squares, None, 0, "lapack")


def _solve_with_ridge(
    rows: DenseRows, R: Matrix, Z: Matrix, squares: Matrix, rcond: float | None
) -> Solution:
    r"""Solve with the rows of the ridge below a triangular factor of A.

    A ridge that is small beside dependent columns decides how they share their coefficients, but
    only by digits that a QR of all rows together would lose. With the f of `Dependence` it is

    .. math:: \min_f |A_S f - b|^2 + \lambda |(I + B B^T)^{-1/2} D_S f|^2,

    where :math:`A_S` is well-conditioned, and then the shortest solution for f.
    """
    d, k, root_ridge = rows.d, rows.k, rows.root_ridge
    assert root_ridge is not None
    below = np.zeros((d, d + k))
    below.flat[:: d + k + 1] = root_ridge
    full, Z_full, rest = _triangular(np.vstack([np.hstack([R, Z]), below]), d)
    full, exponents = _scaled(rows, full)
    if rcond is None and lapack.dtrcon(full)[0] < _RIDGE_COUNTS:
        own = -exponents_of(np.abs(R).max(axis=0))
        R = np.ldexp(R, own)
        spectrum = spectrum_of(R, (rows.n, d), None)
        if 0 < spectrum.rank < d:
            dependence = Dependence(spectrum, rows.total_exponents(own))
            S, B = dependence.S, dependence.ratios(NEGLIGIBLE)
            C = lapack.dpotrf(np.eye(len(S)) + B @ B.T, lower=1, clean=1)[0]
            below = lapack.dtrtrs(C, np.diag(np.ldexp(root_ridge, own)[S]), lower=1)[0]
            A_S = np.vstack([R[:, S], below])
            scale = -exponents_of(np.abs(A_S).max(axis=0))
            right = np.vstack([Z, np.zeros((len(S), k))])
            R_S, Z_S, rest = _triangular(np.hstack([np.ldexp(A_S, scale), right]), len(S))
            Y = np.zeros((d, k))
            Y[S] = np.ldexp(lapack.dtrtrs(R_S, Z_S)[0], scale[:, None])
            Y, factor = dependence.shortest(Y), TriangularFactor(np.ldexp(full, own - exponents))
            return Solution(Y, own, factor, d, squares + rest, None, 0, "lapack")
    return _solve_scaled(rows, full, Z_full, squares + rest, exponents, rcond)


def _solve_wide(rows: DenseRows, rcond: float | None) -> Solution:
    """Fewer rows than columns: the shortest solution, from a QR of A' or an SVD.

    With a ridge it is the shortest solution of ``[A, sqrt(ridge) I] (x, t) = b``.
    """
    n, d, k = rows.n, rows.d, rows.k
    if rows.exponents is None:  # else the shortest solution of the scaled problem is another one
        height = d if rows.root_ridge is None else d + n
        F = np.zeros((height, n), order="F")
        _load_all(rows, F[:d].T)
        if rows.root_ridge is not None:
            F[d:].flat[:: n + 1] = rows.root_ridge[0]
        rows.n_passes += 1
        Q, tau = lapack.dgeqrf(F, lwork=32 * n, overwrite_a=1)[:2]
        R = np.triu(Q[:n])
        if rows.root_ridge is not None or (rcond is None and _has_regular_columns(R)):
            turned = np.zeros((height, k), order="F")
            turned[:n] = lapack.dtrtrs(R, rows.B, trans=1)[0]
            Y = lapack.dormqr("L", "N", Q, tau, turned, 32 * max(k, 1))[0][:d]
            _, squares = rows.residual(Y)
            rank = n if rows.root_ridge is None else d
            return Solution(Y, None, None, rank, squares, None, 0, "lapack")
    A = load_all(rows)
    largest = np.abs(A).max(axis=0)
    rows.require_range(largest)
    exponents = -exponents_of(largest)
    spectrum = spectrum_of(np.ldexp(A, exponents), (n, d), rcond)
    r = spectrum.rank
    inside = spectrum.U[:, :r].T @ rows.B
    Y = spectrum.Vt[:r].T @ (inside / spectrum.s[:r, None])
    Y = minimum_norm(Y, spectrum, rows.total_exponents(exponents))
    _, squares = rows.residual(np.ldexp(Y, exponents[:, None]))
    return Solution(Y, exponents, SpectralFactor(spectrum), r, squares, None, 0, "lapack")


def _has_regular_columns(R: Matrix) -> bool:
    """Whether the columns of R, the rows of A, are independent beyond doubt at any scale."""
    largest = np.abs(R).max(axis=0)
    if not (1e-130 < largest.min() and largest.max() < 1e130):
        return False
    return bool(lapack.dtrcon(np.ldexp(R, -exponents_of(largest)))[0] > 1e-8)


def load_all(rows: DenseRows) -> Matrix:
    """The scaled A."""
    A = np.empty((rows.n, rows.d))
    _load_all(rows, A)
    return A


def _load_all(rows: DenseRows, out: Matrix) -> None:
    """Fill `out` (n, d) with the rows of the scaled A, without a second copy of all."""
    for i in range(0, rows.n, _LOAD_ROWS):
        j = min(i + _LOAD_ROWS, rows.n)
        out[i:j] = rows.load(i, j)
