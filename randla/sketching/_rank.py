"""Numerical rank of a triangular factor, and the solution of minimum norm.

Rank is decided after the columns were scaled to norm about 1, so that a column of any size counts
if its direction is new. Scales are powers of two, kept as exponents: no rounding, no overflow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Matrix = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
#: Singular values of an exactly deficient, scaled matrix come out below 5 EPS (measured up to
#: 8000 x 700, from Householder QR and from sketches, also for centred indicator columns).
NOISE = 10.0
#: A ratio of neighbours that separates rounding errors of the data from an ill-conditioned matrix.
_GAP = 1e8
#: Powers of two between the scales of columns that ask for care with rounding errors.
_WIDE_SPREAD = 24


class Spectrum(NamedTuple):
    """Singular value decomposition ``U diag(s) Vt`` of a scaled factor, and its numerical rank."""

    U: Matrix
    s: Matrix
    Vt: Matrix
    rank: int


def exponents_of(size: NDArray[Any]) -> NDArray[np.int64]:
    """Exponents e that bring positive sizes to ``size * 2^-e`` in [1/2, 1); zero for zero."""
    return np.frexp(size)[1].astype(np.int64)


def numerical_rank(s: NDArray[Any], shape: tuple[int, int], rcond: float | None) -> int:
    """How many of the descending singular values `s` of a scaled matrix of `shape` count.

    With `rcond` those above ``rcond * s[0]``. Without, those above the rounding errors of the
    factorisation, about 10 EPS. NumPy drops all below ``max(shape) * EPS``, which for tall
    matrices includes directions that double precision resolves, and so gives up backward
    stability. Here such directions are dropped only if a gap of 1e8 sets them apart as rounding
    errors of the data.
    """
    if s.size == 0 or s[0] == 0.0:
        return 0
    if rcond is not None:
        return int(np.count_nonzero(s > rcond * s[0]))
    noise = max(NOISE, s.size**0.5) * EPS
    rank = int(np.count_nonzero(s > noise * s[0]))
    doubtful = max(shape) * EPS * s[0]
    for i in range(1, rank):
        if s[i] <= doubtful and s[i - 1] > _GAP * s[i]:
            return i
    return rank


def is_clearly_regular(R: Matrix, shape: tuple[int, int], rcond: float | None) -> bool:
    """Whether an upper triangular factor has full rank by a margin that needs no SVD."""
    d = R.shape[1]
    reciprocal, _ = lapack.dtrcon(R)  # in the 1-norm: within a factor d of the 2-norm
    least = max(max(shape), 64) * EPS if rcond is None else rcond
    return bool(reciprocal > 4.0 * d * least)


def spectrum_of(R: Matrix, shape: tuple[int, int], rcond: float | None) -> Spectrum:
    """SVD and rank of a scaled factor; its rows may exceed its columns or fall short of them."""
    U, s, Vt = np.linalg.svd(R, full_matrices=False)
    return Spectrum(U, s, Vt, numerical_rank(s, shape, rcond))


def has_lost_rank(R: Matrix, shape: tuple[int, int], rcond: float | None) -> bool:
    """Whether the numerical rank of a scaled factor is below the number of its columns."""
    if is_clearly_regular(R, shape, rcond):
        return False
    s = np.linalg.svd(R, compute_uv=False)
    return numerical_rank(s, shape, rcond) < R.shape[1]


def column_norms(X: NDArray[Any]) -> Matrix:
    """Euclidean norms of the columns."""
    return np.sqrt((X * X).sum(axis=0))


def minimum_norm(Y: Matrix, spectrum: Spectrum, exponents: NDArray[np.int64]) -> Matrix:
    """The shortest X = 2^e Y with the same image; Y in and out.

    V spans the row space of the scaled matrix, N its null space. X is determined by V'Y, and is
    what is left of 2^e Y off the span of 2^e N; equivalently X lies in the span of 2^-e V.
    """
    r, (_, d) = spectrum.rank, spectrum.Vt.shape
    if r == 0 or r == d:
        return Y if r else np.zeros_like(Y)
    V = spectrum.Vt[:r].T
    if len(spectrum.Vt) == d and (2 * r > d or np.ptp(exponents) > _WIDE_SPREAD):
        shift = exponents - exponents.max()
        X = np.ldexp(Y, shift[:, None])
        null = spectrum.Vt[r:].T
        # Entries that are rounding errors would be magnified by the scales.
        null = np.where(np.abs(null) < 64.0 * EPS, 0.0, null)
        order, Q, tau, _ = _stable_qr(np.ldexp(null, shift[:, None]))
        turned = _turn("T", Q, tau, X[order])
        turned[: d - r] = 0.0
    else:
        shift = exponents - exponents.min()
        order, Q, tau, pivots = _stable_qr(np.ldexp(V, -shift[:, None]))
        turned = np.zeros_like(Y)
        turned[:r] = lapack.dtrtrs(Q[:r], (V.T @ Y)[pivots], trans=1)[0]
    X = np.empty_like(Y)
    X[order] = _turn("N", Q, tau, turned)
    X = np.ldexp(X, -shift[:, None])
    # Rounding errors of V may have changed V'X: put that right. If scales are beyond double
    # precision apart, X is then not the shortest; Y fits as well, and the shorter one is taken.
    change = V.T @ (Y - X)
    X += V @ np.where(np.abs(change) > 64.0 * EPS * column_norms(Y), change, 0.0)
    shift = (exponents - exponents.max())[:, None]
    return np.where(column_norms(np.ldexp(X, shift)) < column_norms(np.ldexp(Y, shift)), X, Y)


def _stable_qr(M: Matrix) -> tuple[Any, ...]:
    """QR with sorted rows and pivoted columns, for rows that differ by many powers of ten.

    That is stable row by row (Cox and Higham, "Stability of Householder QR factorization for
    weighted least squares problems", in "Numerical Analysis 1997", Pitman Res. Notes Math. 380
    (1998), 57-73). Returns the order of the rows, Householder vectors and R, their scales, and the
    order of the columns.
    """
    order = np.argsort(-np.abs(M).max(axis=1), kind="stable")
    factor, pivots, tau, _, _ = lapack.dgeqp3(M[order], lwork=3 * M.shape[1] + 64)
    return order, factor, tau, pivots - 1


def _turn(trans: str, factor: Matrix, tau: Matrix, X: Matrix) -> Matrix:
    """``Q X`` or ``Q'X``."""
    return lapack.dormqr("L", trans, factor, tau, X, 64 * max(X.shape[1], 1))[0]
