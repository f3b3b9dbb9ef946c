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
    exponents_of,
    is_clearly_regular,
    minimum_norm,
    spectrum_of,
)
from randla.sketching._refinement import Solution

Matrix = NDArray[np.float64]
_LOAD_ROWS = 4096


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
    height = n if rows.root_ridge is None else n + d
    F = np.empty((height, d + k), order="F")
    _load_all(rows, F[:n, :d])
    F[:n, d:] = rows.B
    if rows.root_ridge is not None:
        F[n:] = 0.0
        F[n:, :d].flat[:: d + 1] = rows.root_ridge
    rows.n_passes += 1
    F = lapack.dgeqrf(F, lwork=32 * (d + k), overwrite_a=1)[0]
    R, Z = F[:d, :d].copy(order="F"), F[:d, d:]
    rest = F[d : d + k, d:]
    squares = rest[0] ** 2 if k == 1 and len(rest) else (np.triu(rest) ** 2).sum(axis=0)
    if rcond is None and 1e-130 < abs(R[0, 0]) < 1e130 and is_clearly_regular(R, (n, d), None):
        Y = lapack.dtrtrs(R, Z)[0]
        return Solution(Y, None, TriangularFactor(R), d, squares, None, 0, "lapack")
    R = np.triu(R)
    largest = np.abs(R).max(axis=0)
    rows.require_range(largest)
    exponents = -exponents_of(largest)
    R = np.ldexp(R, exponents)
    if is_clearly_regular(R, (n, d), rcond):
        Y = lapack.dtrtrs(R, Z)[0]
        return Solution(Y, exponents, TriangularFactor(R), d, squares, None, 0, "lapack")
    spectrum = spectrum_of(R, (n, d), rcond)
    r = spectrum.rank
    if r == d:
        Y = lapack.dtrtrs(R, Z)[0]
        return Solution(Y, exponents, TriangularFactor(R), d, squares, None, 0, "lapack")
    inside = spectrum.U[:, :r].T @ Z
    squares = squares + column_norms(spectrum.U[:, r:].T @ Z) ** 2
    Y = spectrum.Vt[:r].T @ (inside / spectrum.s[:r, None])
    Y = minimum_norm(Y, spectrum, rows.total_exponents(exponents))
    return Solution(Y, exponents, SpectralFactor(spectrum), r, squares, None, 0, "lapack")


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
