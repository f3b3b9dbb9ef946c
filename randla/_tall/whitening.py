"""The factor T that makes the columns of A T orthonormal, from Gram matrices.

One Gram matrix costs the least; its error grows with the square of the condition number of the
column-scaled A. A second Gram matrix, of the product, corrects that up to condition number about
1e7 (CholeskyQR2). Above, a Householder factor computed tile by tile replaces the first Gram matrix,
decides the rank by column pivoting, and is corrected once in the same way.

Sources: Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, "Roundoff error analysis of the CholeskyQR2
algorithm", Electron. Trans. Numer. Anal. 44 (2015), 306-326; Demmel, Grigori, Hoemmen and Langou,
"Communication-optimal parallel and sequential QR and LU factorizations", SIAM J. Sci. Comput. 34
(2012), A206-A239 (QR of tall matrices by tiles).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import lapack, qr

from randla._scaling import EPS
from randla._tall._kernels.tiles import invert_lower
from randla._tall.base import TallMatrix
from randla._typing import Array

_TWO_STEP_LIMIT = 1e7  # condition up to which Cholesky QR corrects itself in one more step
_GOOD_ERROR = 1e-9  # no further check needed
_SMALL = 64  # columns
_CLEAR = 4.0  # times the noise, a pivot is not a rounding error on any processor
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
    dropped : float
        The largest pivot that was left out, over `pivot_noise`; 0 if the columns are exact sums of
        others, inf if rows of equal lengths have another rank.
    shortened : bool
        Whether rows that hid the rank were shortened.
    """

    transform: Array
    rank: int
    error: float
    log_det: float
    columns: np.ndarray
    dropped: float = 0.0
    shortened: bool = False

    @property
    def rank_is_certain(self) -> bool:
        """Whether the rank does not depend on digits beyond double precision.

        If it does, a score is only known to lie between 0 and 1.
        """
        return self.dropped <= 1.0 and not self.shortened

    @property
    def left_out(self) -> bool:
        """Whether a column was left out that clearly exceeds rounding errors."""
        return self.dropped > _CLEAR


def whiten(tall: TallMatrix, row_scale: Any = None, rtol: float = 1e-9) -> Whitening:
    """Whiten ``diag(row_scale) A``; the error estimate is below `rtol` if possible.

    Rows that hide the rank are shortened, in `tall`.
    """
    white = _whiten(tall, row_scale, rtol)
    largest_rank = min(tall.n, tall.d)
    if white.rank < largest_rank and tall.shorten_rows(0.01 / rank_tolerance(tall), row_scale):
        white = _whiten(tall, row_scale, rtol)
    deficient = 0 < white.rank < largest_rank
    if deficient and not white.left_out and _hidden_by_rows(tall, row_scale, white.rank):
        white = replace(white, dropped=np.inf)
    return replace(white, shortened=True) if tall.has_shortened_rows else white


def _whiten(tall: TallMatrix, row_scale: Any, rtol: float) -> Whitening:
    d = tall.d
    with np.errstate(over="ignore", invalid="ignore"):
        G = tall.gram(None, row_scale)  # (V A)'(V A), perhaps out of range
    squares = np.diag(G)  # squared norms of the columns of V A
    if tall.column_scale is None and not (  # CSR tiles stay sparse until columns are scaled
        (squares > _SAFE[0]).all() and (squares < _SAFE[1]).all()
    ):
        if not np.isfinite(squares).all():
            tall.require_finite()
        tall.rescale_columns()  # by powers of two: exact
        G = tall.gram(None, row_scale)
        squares = np.diag(G)
    if (squares > 0).all() and tall.n + (d if tall.ridge else 0) >= d:
        scale = np.sqrt(squares)  # D, as (V A D^-1) has columns of norm 1
        # Condition within sqrt(d) of the best scaling.
        step = _cholesky_step(G / np.outer(scale, scale))
        if step is not None:
            T, norm, log_det = step  # norm of L^-1
            T, log_det = (
                np.ascontiguousarray(T / scale[:, None]),
                log_det + _log_det_of_scales(tall, scale),
            )
            error = (10.0 + d) * EPS * norm**2  # Cholesky QR: u cond^2
            if error <= rtol:  # one Gram matrix is enough
                return Whitening(T, d, error, log_det, np.arange(d))
            condition = norm * np.sqrt(spectral_norm(G / np.outer(scale, scale)))  # |L^-1| |L|
            if condition <= min(_TWO_STEP_LIMIT, 0.1 / rank_tolerance(tall)):
                T, more = _corrected(tall, row_scale, T)  # CholeskyQR2: a second Gram matrix
                return Whitening(T, d, (8.0 + d) * EPS * condition, log_det + more, np.arange(d))
    return _whiten_by_rank(tall, row_scale)


def _cholesky_step(G: Array) -> tuple[Array, float, float] | None:
    """Inverse transposed Cholesky factor, its norm, log det; None if G is not definite."""
    try:
        L: Any = np.linalg.cholesky(G)
    except np.linalg.LinAlgError:
        return None
    T = lower_inverse(L).T  # L L' = G, so (L^-T)' G L^-T = I
    if not np.isfinite(T).all():
        return None
    return T, spectral_norm(T), 2.0 * np.log(np.diag(L)).sum()


def _corrected(tall: TallMatrix, row_scale: Any, T: Array) -> tuple[Array, float]:
    """`T` after one more Cholesky QR step (two if the first was far off), and its log det."""
    log_det = 0.0
    for _ in range(3):
        G = tall.gram(T, row_scale)  # near I, up to the rounding errors of T
        step = _cholesky_step(G)
        if step is None:
            break
        T, log_det = np.ascontiguousarray(T @ step[0]), log_det + step[2]
        if np.abs(G - np.eye(len(G))).max() < 0.1:  # the step has removed nearly all of it
            break
    return T, log_det


def _whiten_by_rank(tall: TallMatrix, row_scale: Any) -> Whitening:
    """Whitening from a pivoted Householder factor, which also decides the numerical rank."""
    R = tall.triangular(row_scale)  # V A = Q R by tiles, never squared
    scale = np.sqrt(np.einsum("ij,ij->j", R, R))  # norms of the columns
    scale[scale == 0.0] = 1.0  # columns of zeros
    scale *= 1.0 + 1e-3 * np.arange(tall.d) / tall.d  # rounding must not choose among equal ones
    R, pivots = qr(R / scale, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(R))  # decreasing: the remainder of a column after those before
    rank = int((diagonal > rank_tolerance(tall) * diagonal[0]).sum())
    dropped = float(diagonal[rank:].max(initial=0.0))
    dropped /= pivot_noise(tall) * max(diagonal[0], 1e-300)  # in units of rounding errors
    if rank == 0:
        return Whitening(np.zeros((tall.d, 0)), 0, 0.0, 0.0, np.arange(0))
    R, R12, columns = R[:rank, :rank], R[:rank, rank:], pivots[:rank]  # [R11 R12]
    inverse = lower_inverse(np.ascontiguousarray(R.T)).T  # R11^-1
    if dropped > 1.0 and _depend_exactly(tall, pivots, scale, inverse @ R12):  # R11^-1 R12
        dropped = 0.0
    T = np.zeros((tall.d, rank))
    T[columns] = inverse / scale[columns, None]
    log_det = 2.0 * np.log(diagonal[:rank]).sum() + _log_det_of_scales(tall, scale, columns)
    error = (8.0 + rank) * EPS * spectral_norm(R) * spectral_norm(inverse)  # Householder: u cond
    T, more = _corrected(tall, row_scale, T)
    return Whitening(T, rank, error, log_det + more, columns, dropped)


def _depend_exactly(tall: TallMatrix, pivots: Any, scale: Array, made_of: Array) -> bool:
    """Whether the last of `pivots` are combinations of the first with simple coefficients.

    `made_of` are their coefficients for columns over `scale`. Examples are indicators with a column
    of ones, and repeated columns.
    """
    columns, others = np.split(pivots, [len(made_of)])
    null = np.zeros((tall.d, len(others)))
    null[columns] = -made_of * (scale[others] / scale[columns, None])
    null = np.rint(null * SIMPLE) / SIMPLE  # multiples of 2^-20
    null[others, np.arange(len(others))] = 1.0
    return not tall.gram(null).any()  # A times these combinations is exactly zero


def _hidden_by_rows(tall: TallMatrix, row_scale: Any, rank: int) -> bool:
    """Whether rows of equal lengths have another rank.

    Relative to one long row, the differences of columns in the others may be below rounding.
    """
    largest = tall.column_maxima()
    units = np.divide(1.0, largest, out=np.zeros(tall.d), where=largest > 0.0)  # of the columns
    norms = tall.row_norms(np.diag(units))
    alive = norms > 0.0 if row_scale is None else (norms > 0.0) & (row_scale > 0.0)
    equal = _whiten_by_rank(tall, np.where(alive, 1.0 / np.where(alive, norms, 1.0), 0.0))
    return equal.rank != rank or equal.left_out


def _log_det_of_scales(tall: TallMatrix, scale: Array, columns: Any = slice(None)) -> float:
    """The contribution of the norms of the columns, and their powers of two, to log det."""
    total = np.log(scale[columns]).sum()  # det(D G D) = det(G) det(D)^2
    if tall.column_scale is not None:
        total -= np.log(tall.column_scale[columns]).sum()
    return 2.0 * float(total)


def evaluation_error(
    tall: TallMatrix, factor: Whitening, norms: Array, row_scale: Any = None
) -> tuple[Any, float]:
    """Sharper estimates of `factor.error` from the rows themselves: of each row, and common to all.

    Row i of A T is computed with an error of eps |a_i| |T|, which is the error of its own score. It
    changes the other rows' scores by at most sqrt(1 - leverage_i) of it: a row with a direction to
    itself, such as a huge row, may be inexact in all others.
    """
    if factor.error <= _GOOD_ERROR or factor.rank == 0:
        return 0.0, factor.error
    # Relative rounding errors of |x_i|^2: the rows of A, each column in units of T, over x_i.
    T, alive = factor.transform, norms > 0.0
    lengths = tall.row_norms(np.diag(np.abs(T).max(axis=1)))
    own = (8.0 + factor.rank) * EPS * np.where(alive, lengths, 0.0) / np.where(alive, norms, 1.0)
    leverage = (norms if row_scale is None else norms * row_scale) ** 2  # tau_i
    heavy = (leverage > 0.5) & (own > _GOOD_ERROR)  # at most 2 rank rows
    apart = np.sqrt(np.maximum(1.0 - leverage, 1e-12))  # not below what 1 - leverage resolves
    others = max(float((own * np.where(heavy, 0.0, apart)).max()), (8.0 + factor.rank) * EPS)
    if (rows := np.flatnonzero(np.asarray(heavy))).size:
        light = np.where(heavy, 0.0, 1.0 if row_scale is None else row_scale)
        others = max(others, _reach(tall, T, np.asarray(own[rows]), rows, light))
    return np.minimum(own, factor.error), min(others, factor.error)


def _reach(tall: TallMatrix, T: Array, own: Array, rows: Any, light: Any) -> float:
    """Upper bound on the effect of errors of rows of large leverage on the other scores.

    For a row x of the whitened matrix, ``(1 - |x|^2) |x|^2`` is the sum of ``(x'y)^2`` over the
    other rows y, which has the digits that 1 - leverage has lost.
    """
    X = tall.take(rows).times(T)  # the heavy rows, whitened
    X /= np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]  # their directions x / |x|
    between = np.abs(X @ X.T) + own + own[:, None]  # (x'y) among heavy rows, with its errors
    np.fill_diagonal(between, 0.0)
    # And among the others.
    squares = np.square(between).sum(axis=1) + np.diag(tall.gram(T @ X.T, light))
    return float((own * np.sqrt(np.minimum(squares, 1.0))).max())


def is_proven(white: Whitening) -> bool:
    """Whether the columns of A T are orthonormal in exact arithmetic, up to a tenth."""
    return white.rank * white.error <= 0.1


def rank_tolerance(tall: TallMatrix) -> float:
    """Relative size of a pivot below which a column counts as dependent.

    A generous bound of `pivot_noise`.
    """
    return max(32.0 * _rounding(tall), 4.0 * tall.entry_error)


def pivot_noise(tall: TallMatrix) -> float:
    """Relative size of the pivots of columns that depend on others up to rounding.

    This is a rounding error of the factorization, which grows like the square root of n, or of the
    data themselves if they are float32. The largest such pivots are up to three times as large,
    depending on the order in which a BLAS adds, so that columns above are checked once more.
    """
    return max(0.5 * _rounding(tall), tall.entry_error)


def _rounding(tall: TallMatrix) -> float:
    return float(EPS * max(tall.d, np.sqrt(tall.n)))


def lower_inverse(L: Array) -> Array:
    """Inverse of a lower triangle. A small one stays on one thread, as waking others costs more."""
    if len(L) > _SMALL:  # where LAPACK's threads are worth waking
        inverse, _ = lapack.dtrtri(L, lower=1)
        return np.tril(inverse)
    out = np.empty_like(L)
    invert_lower(L, out)
    return out


def spectral_norm(T: Array) -> float:
    """Largest singular value; for large T by power iteration, rounded up by a fifth."""
    if min(T.shape) <= _SMALL:
        return float(np.linalg.norm(T, 2))
    x = 1.0 + np.sin(np.arange(T.shape[1]) + 1.0)  # orthogonal to no singular vector, in practice
    return 1.2 * power_iteration(lambda x: T.T @ (T @ x), x, 20)


def power_iteration(normal_product: Callable[[Array], Array], x: Array, n_steps: int) -> float:
    """Largest singular value of T by products T'T x from a start `x`, from below."""
    norm = float(np.linalg.norm(x))
    for _ in range(n_steps if norm > 0.0 else 0):
        x = normal_product(x / norm)
        norm = float(np.linalg.norm(x))
    return norm**0.5
