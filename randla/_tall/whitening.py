"""The factor T that makes the columns of A T orthonormal, from Gram matrices.

One Gram matrix costs the least; its error grows with the square of the condition number of the
column-scaled A. A second Gram matrix, of the product, repairs that up to condition 1e7 or so
(CholeskyQR2). Beyond, a Householder factor computed tile by tile takes the place of the first
Gram matrix, decides the rank by column pivoting, and is corrected once in the same way.

Sources: Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, "Roundoff error analysis of the CholeskyQR2
algorithm", Electron. Trans. Numer. Anal. 44 (2015), 306-326; Demmel, Grigori, Hoemmen and Langou,
"Communication-optimal parallel and sequential QR and LU factorizations", SIAM J. Sci. Comput. 34
(2012), A206-A239 (QR of tall matrices by tiles).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import lapack, qr

from randla._tall._kernels.tiles import invert_lower
from randla._tall.tiles import Array, Tiles

_EPS = float(np.finfo(np.float64).eps)
_TWO_STEP_LIMIT = 1e7  # condition up to which Cholesky QR repairs itself in one more step
_GOOD_ERROR = 1e-9  # no need to look closer
_SMALL = 64  # columns
_CLEAR = 4.0  # times the noise, a pivot is no rounding error on any processor
_SAFE = 1e-200, 1e200  # squared column norms that neither overflow nor lose digits

#: Denominator of simple coefficients.
SIMPLE = 2.0**20


@dataclass(frozen=True)
class Whitening:
    """``A @ transform`` has orthonormal columns that span the columns of A.

    Attributes
    ----------
    transform : (d, rank) ndarray
    rank : int
    error : float
        Estimated relative rounding error of the squared row norms of ``A @ transform``.
    log_det : float
        Logarithm of the determinant of A'A, of its independent columns in their original scale.
    columns : (rank,) ndarray of int
        Independent columns that span the rest.
    doubt : float
        By how much scores may be wrong, at most 1, because the rank hangs on digits that are not
        there, or because rows were shortened.
    dropped : float
        The largest pivot that was left out, over `pivot_noise`; 0 where the columns are exact sums
        of others, inf where rows of equal lengths have another rank.
    """

    transform: Array
    rank: int
    error: float
    log_det: float
    columns: np.ndarray
    doubt: float = 0.0
    dropped: float = 0.0

    @property
    def left_out(self) -> bool:
        """Whether a column was left out that is clearly more than rounding errors."""
        return self.dropped > _CLEAR


def whiten(tiles: Tiles, row_scale: Array | None = None, rtol: float = 1e-9) -> Whitening:
    """Whiten ``diag(row_scale) A``; the error estimate is below `rtol` where that is possible.

    Rows that hide the rank are shortened, in `tiles`.
    """
    factor = _whiten(tiles, row_scale, rtol)
    if factor.rank < min(tiles.n, tiles.d) and tiles.shorten_rows(
        0.01 / rank_tolerance(tiles), row_scale
    ):
        factor = _whiten(tiles, row_scale, rtol)
    deficient = 0 < factor.rank < min(tiles.n, tiles.d)
    if deficient and not factor.left_out and _hidden_by_rows(tiles, row_scale, factor.rank):
        factor = replace(factor, doubt=1.0, dropped=np.inf)
    if tiles.gaps is None:
        return factor
    sums = tiles.level_sums(factor.transform, len(tiles.gaps.above) + 1, row_scale)
    return replace(factor, doubt=max(factor.doubt, tiles.gaps.doubt(sums, factor.rank)))


def _whiten(tiles: Tiles, row_scale: Array | None, rtol: float) -> Whitening:
    d = tiles.d
    with np.errstate(over="ignore", invalid="ignore"):
        G = tiles.gram(None, row_scale)
    squares = np.diag(G)
    if tiles.column_scale is None and not (
        (squares > _SAFE[0]).all() and (squares < _SAFE[1]).all()
    ):
        if not np.isfinite(squares).all():
            tiles.require_finite()
        tiles.rescale_columns()
        G = tiles.gram(None, row_scale)
        squares = np.diag(G)
    if (squares > 0).all() and tiles.n + (d if tiles.ridge else 0) >= d:
        scale = np.sqrt(squares)
        step = _cholesky_step(G / np.outer(scale, scale))
        if step is not None:
            T, norm, log_det = step
            T, log_det = (
                np.ascontiguousarray(T / scale[:, None]),
                log_det + _log_det_of_scales(tiles, scale),
            )
            error = (10.0 + d) * _EPS * norm**2
            if error <= rtol:
                return Whitening(T, d, error, log_det, np.arange(d))
            condition = norm * np.sqrt(spectral_norm(G / np.outer(scale, scale)))
            if condition <= min(_TWO_STEP_LIMIT, 0.1 / rank_tolerance(tiles)):
                T, more = _corrected(tiles, row_scale, T)
                return Whitening(T, d, (8.0 + d) * _EPS * condition, log_det + more, np.arange(d))
    return _whiten_by_rank(tiles, row_scale)


def _cholesky_step(G: Array) -> tuple[Array, float, float] | None:
    """Inverse transposed Cholesky factor, its norm, log det; None if G is not definite."""
    try:
        L: Any = np.linalg.cholesky(G)
    except np.linalg.LinAlgError:
        return None
    T = lower_inverse(L).T
    if not np.isfinite(T).all():
        return None
    return T, spectral_norm(T), 2.0 * np.log(np.diag(L)).sum()


def _corrected(tiles: Tiles, row_scale: Array | None, T: Array) -> tuple[Array, float]:
    """`T` after one more Cholesky QR step (two if the first was far off), and its log det."""
    log_det = 0.0
    for _ in range(3):
        G = tiles.gram(T, row_scale)
        step = _cholesky_step(G)
        if step is None:
            break
        T, log_det = np.ascontiguousarray(T @ step[0]), log_det + step[2]
        if np.abs(G - np.eye(len(G))).max() < 0.1:
            break
    return T, log_det


def _whiten_by_rank(tiles: Tiles, row_scale: Array | None) -> Whitening:
    """The same from a Householder factor with column pivoting, which finds the rank."""
    R = tiles.triangular(row_scale)
    scale = np.sqrt(np.einsum("ij,ij->j", R, R))
    scale[scale == 0.0] = 1.0
    scale *= 1.0 + 1e-3 * np.arange(tiles.d) / tiles.d  # rounding must not choose among equal ones
    R, pivots = qr(R / scale, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(R))
    rank = int((diagonal > rank_tolerance(tiles) * diagonal[0]).sum())
    dropped = float(diagonal[rank:].max(initial=0.0))
    dropped /= pivot_noise(tiles) * max(diagonal[0], 1e-300)
    if rank == 0:
        return Whitening(np.zeros((tiles.d, 0)), 0, 0.0, 0.0, np.arange(0))
    rest, R, columns = R[:rank, rank:], R[:rank, :rank], pivots[:rank]
    inverse = lower_inverse(np.ascontiguousarray(R.T)).T
    if dropped > 1.0 and _depend_exactly(tiles, pivots, scale, inverse @ rest):
        dropped = 0.0
    doubt = float(dropped > 1.0)
    T = np.zeros((tiles.d, rank))
    T[columns] = inverse / scale[columns, None]
    log_det = 2.0 * np.log(diagonal[:rank]).sum() + _log_det_of_scales(tiles, scale, columns)
    error = (8.0 + rank) * _EPS * spectral_norm(R) * spectral_norm(inverse)
    T, more = _corrected(tiles, row_scale, T)
    return Whitening(T, rank, error, log_det + more, columns, doubt, dropped)


def _depend_exactly(tiles: Tiles, pivots: Any, scale: Array, made_of: Array) -> bool:
    """Whether the last of `pivots` are made of the first ones with simple coefficients.

    `made_of` are their coefficients for columns over `scale`. Indicators beside a column of ones
    and repeated columns are so.
    """
    columns, others = np.split(pivots, [len(made_of)])
    null = np.zeros((tiles.d, len(others)))
    null[columns] = -made_of * (scale[others] / scale[columns, None])
    null = np.rint(null * SIMPLE) / SIMPLE
    null[others, np.arange(len(others))] = 1.0
    return not tiles.gram(null).any()


def _hidden_by_rows(tiles: Tiles, row_scale: Array | None, rank: int) -> bool:
    """Whether rows of equal lengths have another rank.

    Beside one long row, what sets columns apart in the others may be less than a rounding error.
    """
    largest = tiles.column_maxima()
    units = np.divide(1.0, largest, out=np.zeros(tiles.d), where=largest > 0.0)
    norms = tiles.norms(np.diag(units))
    alive = norms > 0.0 if row_scale is None else (norms > 0.0) & (row_scale > 0.0)
    equal = _whiten_by_rank(tiles, np.where(alive, 1.0 / np.where(alive, norms, 1.0), 0.0))
    return equal.rank != rank or equal.left_out


def _log_det_of_scales(tiles: Tiles, scale: Array, columns: Any = slice(None)) -> float:
    """What the norms of the columns, and their powers of two, add to log det."""
    total = np.log(scale[columns]).sum()
    if tiles.column_scale is not None:
        total -= np.log(tiles.column_scale[columns]).sum()
    return 2.0 * float(total)


def evaluation_error(
    tiles: Tiles, factor: Whitening, norms: Array, row_scale: Array | None = None
) -> tuple[Any, float]:
    """Sharper estimates of `factor.error` from the rows themselves: of each row, and common to all.

    Row i of A T is computed with an error of eps |a_i| |T|, by which its own score is wrong. That
    moves the other rows' scores by at most sqrt(1 - leverage_i) of it: a row that has a direction
    to itself, as a huge row has, may be inexact in all others.
    """
    if factor.error <= _GOOD_ERROR or factor.rank == 0:
        return 0.0, factor.error
    own = own_errors(tiles, factor.transform, norms)
    leverage = (norms if row_scale is None else norms * row_scale) ** 2
    heavy = (leverage > 0.5) & (own > _GOOD_ERROR)
    apart = np.sqrt(np.maximum(1.0 - leverage, 1e-12))  # not below what 1 - leverage can tell
    others = max(float((own * np.where(heavy, 0.0, apart)).max()), (8.0 + factor.rank) * _EPS)
    if (rows := np.flatnonzero(np.asarray(heavy))).size:
        light = np.where(heavy, 0.0, 1.0 if row_scale is None else row_scale)
        others = max(others, _reach(tiles, factor.transform, np.asarray(own[rows]), rows, light))
    return np.minimum(own, factor.error), min(others, factor.error)


def own_errors(tiles: Tiles, T: Array, norms: Any) -> Any:
    """Relative rounding errors of the squared norms of the rows of A T."""
    lengths = tiles.norms(np.diag(np.abs(T).max(axis=1)))  # of the rows, each column in units of T
    alive = norms > 0.0
    return (8.0 + T.shape[1]) * _EPS * np.where(alive, lengths, 0.0) / np.where(alive, norms, 1.0)


def _reach(tiles: Tiles, T: Array, own: Array, rows: Any, light: Any) -> float:
    """How much errors of rows of large leverage move the other scores, at most.

    For a row x of the whitened matrix, ``(1 - |x|^2) |x|^2`` is the sum of ``(x'y)^2`` over the
    other rows y, which has the digits that 1 - leverage has lost.
    """
    few = tiles.take(rows)
    X = few.tile(0, few.n) @ T
    X /= np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]
    between = np.abs(X @ X.T) + own + own[:, None]
    np.fill_diagonal(between, 0.0)
    squares = np.square(between).sum(axis=1) + np.diag(tiles.gram(T @ X.T, light))
    return float((own * np.sqrt(np.minimum(squares, 1.0))).max())


def is_proven(white: Whitening) -> bool:
    """Whether the columns of A T are orthonormal in exact arithmetic, up to a tenth."""
    return white.rank * white.error <= 0.1


def rank_tolerance(tiles: Tiles) -> float:
    """Relative size of a pivot below which a column counts as dependent.

    A generous bound of `pivot_noise`.
    """
    return max(32.0 * _rounding(tiles), 4.0 * _data_rounding(tiles))


def pivot_noise(tiles: Tiles) -> float:
    """Relative size of the pivots of columns that depend on others up to rounding.

    That is a rounding error of the factorisation, which grows like the square root of n, or of the
    data themselves where they are float32. The largest such pivots are up to three times as large,
    by the order in which a BLAS adds, so that columns above are looked at once more.
    """
    return max(0.5 * _rounding(tiles), _data_rounding(tiles))


def _rounding(tiles: Tiles) -> float:
    return float(_EPS * max(tiles.d, np.sqrt(tiles.n)))


def _data_rounding(tiles: Tiles) -> float:
    return float(np.finfo(np.float32).eps) if tiles.A.dtype == np.float32 else 0.0


def lower_inverse(L: Array) -> Array:
    """Inverse of a lower triangle. A small one stays on one thread, as waking others costs more."""
    if len(L) > _SMALL:
        inverse, _ = lapack.dtrtri(L, lower=1)
        return np.tril(inverse)
    out = np.empty_like(L)
    invert_lower(L, out)
    return out


def spectral_norm(T: Array) -> float:
    """Largest singular value; for large T by power iteration, rounded up by a fifth."""
    if min(T.shape) <= _SMALL:
        return float(np.linalg.norm(T, 2))
    x = 1.0 + np.sin(np.arange(T.shape[1]) + 1.0)
    norm = 0.0
    for _ in range(20):
        x /= np.linalg.norm(x)
        x = T.T @ (T @ x)
        norm = float(np.linalg.norm(x))
    return 1.2 * np.sqrt(norm)
