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

from randla.sampling._kernels.tiles import invert_lower
from randla.sampling._tiles import Array, Tiles

_EPS = float(np.finfo(np.float64).eps)
_TWO_STEP_LIMIT = 1e7  # condition up to which Cholesky QR repairs itself in one more step
_GOOD_ERROR = 1e-9  # no need to look closer
_SMALL = 64  # columns
_SAFE = 1e-200, 1e200  # squared column norms that neither overflow nor lose digits


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
    """

    transform: Array
    rank: int
    error: float
    log_det: float
    columns: np.ndarray
    doubt: float = 0.0


def whiten(tiles: Tiles, row_scale: Array | None = None, rtol: float = 1e-9) -> Whitening:
    """Whiten ``diag(row_scale) A``; the error estimate is below `rtol` where that is possible.

    Rows that hide the rank are shortened, in `tiles`.
    """
    factor = _whiten(tiles, row_scale, rtol)
    if factor.rank < min(tiles.n, tiles.d) and tiles.shorten_rows(
        0.01 / rank_tolerance(tiles), row_scale
    ):
        factor = _whiten(tiles, row_scale, rtol)
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
    R, pivots = qr(R / scale, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(R))
    rank = int((diagonal > rank_tolerance(tiles) * diagonal[0]).sum())
    dropped = float(diagonal[rank:].max(initial=0.0))
    doubt = float(dropped > pivot_noise(tiles) * diagonal[0])
    if rank == 0:
        return Whitening(np.zeros((tiles.d, 0)), 0, 0.0, 0.0, np.arange(0))
    R, columns = R[:rank, :rank], pivots[:rank]
    inverse = lower_inverse(np.ascontiguousarray(R.T)).T
    T = np.zeros((tiles.d, rank))
    T[columns] = inverse / scale[columns, None]
    log_det = 2.0 * np.log(diagonal[:rank]).sum() + _log_det_of_scales(tiles, scale, columns)
    error = (8.0 + rank) * _EPS * spectral_norm(R) * spectral_norm(inverse)
    T, more = _corrected(tiles, row_scale, T)
    return Whitening(T, rank, error, log_det + more, columns, doubt)


def _log_det_of_scales(tiles: Tiles, scale: Array, columns: Any = slice(None)) -> float:
    """What the norms of the columns, and their powers of two, add to log det."""
    total = np.log(scale[columns]).sum()
    if tiles.column_scale is not None:
        total -= np.log(tiles.column_scale[columns]).sum()
    return 2.0 * float(total)


def evaluation_error(
    tiles: Tiles, factor: Whitening, norms: Array, row_scale: Array | None = None
) -> float:
    """A sharper estimate of `factor.error` from the rows themselves.

    Row i of A T is computed with an error of eps |a_i| |T|. That moves the other rows' scores by at
    most sqrt(1 - leverage_i) of it: a row that has a direction to itself, as a huge row has, may be
    inexact in all others.
    """
    if factor.error <= _GOOD_ERROR or factor.rank == 0:
        return factor.error
    columns = np.abs(factor.transform).max(axis=1)
    lengths = tiles.norms(np.diag(columns))  # of the rows, each column in units of its T
    share = norms if row_scale is None else norms * row_scale
    spread = np.sqrt(np.maximum(1.0 - share**2, 1e-12))  # not below what 1 - leverage can tell
    alive = norms > 0.0
    worst = float((np.where(alive, lengths, 0.0) / np.where(alive, norms, 1.0) * spread).max())
    return min(factor.error, (8.0 + factor.rank) * _EPS * max(worst, 1.0))


def rank_tolerance(tiles: Tiles) -> float:
    """Relative size of a pivot below which a column counts as dependent.

    A generous bound of `pivot_noise`.
    """
    return max(32.0 * _rounding(tiles), 4.0 * _data_rounding(tiles))


def pivot_noise(tiles: Tiles) -> float:
    """Relative size of the pivots of columns that depend on others up to rounding.

    That is a rounding error of the factorisation, which grows like the square root of n, or of the
    data themselves where they are float32.
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
