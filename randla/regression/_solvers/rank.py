"""Numerical rank of a triangular factor, and the solution of minimum norm.

Rank is decided after the columns were scaled to norm about 1, so that a column of any size counts
if its direction is new. Scales are powers of two, kept as exponents: no rounding, no overflow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._scaling import EPS, exponents_of
from randla._tall.problem import ScaledProblem
from randla._tall.whitening import power_iteration
from randla._typing import Array

#: Exponents of the powers of two that scale the columns.
Exponents = NDArray[np.int64]

#: Singular values of an exactly deficient, scaled matrix come out below 5 EPS (measured up to
#: 8000 x 700, from Householder QR and from sketches, also for centered indicator columns; long
#: columns of few distinct entries need a QR by blocks of rows).
NOISE = 10.0
#: A ratio of neighbors that separates rounding errors of the data from an ill-conditioned matrix.
_GAP = 1e8
#: The shortest of many solutions. Columns with scales within a factor 2^8 are treated together;
#: a column is independent if its remainder is above the first of these numbers; the others end the
#: search.
_CLASS_WIDTH, _CLEAR = 8, (1e-4, 1e-8, 0.0)
#: Entries of K that count as rounding errors; in an ill-conditioned A they are larger.
NEGLIGIBLE, LESS_NEGLIGIBLE = 2.0**-42, 1e-5
#: The largest power of two in B; the error of an image; and how much larger than the image the
#: coefficients may become in scaled columns, which costs as many of its digits.
_MAX_RATIO, _SAME_IMAGE, _MAX_GROWTH = 400, 64.0 * EPS, 1e5


class Spectrum(NamedTuple):
    """Singular value decomposition ``U diag(s) Vt`` of a scaled factor, and its numerical rank."""

    U: Array
    s: Array
    Vt: Array
    rank: int


def numerical_rank(s: NDArray[Any], shape: tuple[int, int], rcond: float | None) -> int:
    """How many of the descending singular values `s` of a scaled matrix of `shape` count.

    With `rcond` those above ``rcond * s[0]``. Without, those above the rounding errors of the
    factorization, about 10 EPS. NumPy drops all below ``max(shape) * EPS``, which for tall matrices
    includes directions that double precision resolves, so that backward stability is lost. Here
    such directions are dropped only if a gap of 1e8 separates them as rounding errors of the data.
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


def is_clearly_regular(R: Array, shape: tuple[int, int], rcond: float | None) -> bool:
    """Whether an upper triangular factor has full rank by a margin that needs no SVD."""
    d = R.shape[1]
    reciprocal, _ = lapack.dtrcon(R)  # in the 1-norm: within a factor d of the 2-norm
    least = max(max(shape), 64) * EPS if rcond is None else rcond
    return bool(reciprocal > 4.0 * d * least)


def spectrum_of(R: Array, shape: tuple[int, int], rcond: float | None) -> Spectrum:
    """SVD and rank of a scaled factor; its rows may exceed its columns or fall short of them."""
    U, s, Vt = np.linalg.svd(R, full_matrices=False)
    return Spectrum(U, s, Vt, numerical_rank(s, shape, rcond))


def has_lost_rank(R: Array, shape: tuple[int, int], rcond: float | None) -> bool:
    """Whether the numerical rank of a scaled factor is below the number of its columns."""
    if is_clearly_regular(R, shape, rcond):
        return False
    s = np.linalg.svd(R, compute_uv=False)
    return numerical_rank(s, shape, rcond) < R.shape[1]


def scaled_columns(rows: ScaledProblem, X: Array) -> tuple[Array, Exponents]:
    """X with columns of norm about 1, and the exponents of their scales; X has those of `rows`."""
    largest = np.abs(X).max(axis=0)
    rows.require_range(largest)
    exponents = -exponents_of(largest)
    return np.ldexp(X, exponents), exponents


def column_norms(X: NDArray[Any]) -> Array:
    """Euclidean norms of the columns."""
    return np.sqrt((X * X).sum(axis=0))


def top_singular_value(R: Array) -> float:
    """Spectral norm, from below by at most a few percent (a few d^2)."""
    v = R[int(np.argmax(np.abs(R).sum(axis=1)))] if R.size else np.zeros(0)
    return power_iteration(lambda v: R.T @ (R @ v), v, 6)


class Dependence:
    r"""The columns of a matrix of rank r as r independent ones, S, and the others, T.

    T depends on S: V_T = V_S K, for a basis V (d, r) of the row space of the scaled matrix. All
    2^e y with the image of :math:`y_S = f,\ y_T = 0` are

    .. math:: x_S = D_S f - B x_T, \quad B = D_S K D_T^{-1}, \quad D = 2^e,

    and the shortest has :math:`|x|^2 = (D_S f)^T (I + B B^T)^{-1} D_S f`. S has columns of large
    scale where there is a choice, so that the entries of B stay moderate. Entries of K that are
    rounding errors count as zero, as the scales would magnify them without bound.
    """

    def __init__(self, spectrum: Spectrum, exponents: Exponents) -> None:
        self.V = spectrum.Vt[: spectrum.rank].T
        self.s = spectrum.s[: spectrum.rank, None]
        self.exponents = exponents
        self.S, self.T, self.K = _independent_columns(self.V, exponents)

    def ratios(self, negligible: float) -> Array:
        """B, with entries of K below `negligible` set to zero."""
        K = np.where(np.abs(self.K) < negligible, 0.0, self.K)
        powers = self.exponents[self.S][:, None] - self.exponents[self.T]
        return np.ldexp(K, np.minimum(powers, _MAX_RATIO))

    def shortest(self, Y: Array) -> Array:
        """The Z with the same image as Y, to rounding, for which 2^e Z is shortest."""
        S, T, r, e = self.S, self.T, len(self.S), self.exponents
        f = Y[S] + self.K @ Y[T]  # V' y = V_S' (y_S + K y_T)
        middle = (e.max() + e.min()) // 2
        to_S, to_T, shift = (e[S] - middle)[:, None], (e[T] - middle)[:, None], e - e.max()
        image = column_norms(self.s * (self.V.T @ Y)) / self.s[0]
        limit = np.maximum(_MAX_GROWTH * image, len(e) ** 0.5 * column_norms(Y))
        X, length = Y, np.full(Y.shape[1], np.inf)

        def consider(Z: Array) -> NDArray[np.bool_]:
            """Take the columns of Z that are correct, and shorter by more than rounding."""
            nonlocal X, length
            norm, new_length = column_norms(Z), column_norms(np.ldexp(Z, shift[:, None]))
            right = (column_norms(self.V.T @ (Y - Z)) <= _SAME_IMAGE * norm) & (norm <= limit)
            better = right & (new_length < (1.0 - 1e-6) * length)
            X, length = np.where(better, Z, X), np.where(better, new_length, length)
            return right

        # Either rounding errors in K are magnified, or true entries are dropped: try both, and take
        # the shortest with the correct image.
        for negligible in (NEGLIGIBLE, LESS_NEGLIGIBLE):
            B, Df = self.ratios(negligible), np.ldexp(f, to_S)
            # The shortest of all x_S = D_S f - B x_T: normal equations of the smaller size.
            if len(T) <= r:
                x_T = lapack.dposv(np.eye(len(T)) + B.T @ B, B.T @ Df)[1]
                x_S = Df - B @ x_T
            else:
                x_S = lapack.dposv(np.eye(r) + B @ B.T, Df)[1]
                x_T = B.T @ x_S
            Z = np.empty_like(Y)
            Z[S], Z[T] = np.ldexp(x_S, -to_S), np.ldexp(x_T, -to_T)
            settled = consider(Z)
            Z[S] = f - self.K @ Z[T]  # correct even if entries were dropped
            settled |= consider(Z)
            if settled.all():
                break
            consider(Z + self.V @ (self.V.T @ (Y - Z)))  # large entries of K cost digits of f
        consider(Y)
        return X


def minimum_norm(Y: Array, spectrum: Spectrum, exponents: Exponents) -> Array:
    """The shortest X = 2^e Z with the image of 2^e Y, in the scaled columns: Z."""
    if spectrum.rank in (0, len(Y)):
        return Y if spectrum.rank else np.zeros_like(Y)
    return Dependence(spectrum, exponents).shortest(Y)


def _independent_columns(V: Array, exponents: Exponents) -> tuple[Exponents, Exponents, Array]:
    """Indices S of r rows of V (d, r) that span all, T of the others, and K with V_T' = V_S' K.

    A QR with column pivoting of V', one class of scales after the other, starting with the largest
    columns (smallest exponents). The remainder of a row must be clear of the span of those chosen
    before, else it waits for another pass.
    """
    r = V.shape[1]
    M = np.asfortranarray(V.T)
    chosen = np.zeros(0, np.int64)
    others = np.argsort(exponents, kind="stable")
    for threshold in _CLEAR:
        start = 0
        while start < len(others) and len(chosen) < r:
            k, e = len(chosen), exponents[others]
            stop = int(np.searchsorted(e, e[start] + _CLASS_WIDTH))
            block = others[start:stop]  # columns of one class of scales
            weights = np.ldexp(1.0, e[start] - exponents[block])
            factor, order, tau, _, _ = lapack.dgeqp3(
                M[k:, block] * weights, lwork=3 * len(block) + 64
            )
            # Diagonal entries of R: the remainder of a row after those chosen before it.
            clear = np.abs(factor.diagonal()) > threshold * weights[order - 1][: r - k]
            n_new = len(clear) if clear.all() else int(np.argmin(clear))
            new = block[order[:n_new] - 1]
            if n_new:
                Q, scales = factor[:, :n_new], tau[:n_new]
                M[k:] = lapack.dormqr("L", "T", Q, scales, M[k:], 64 * V.shape[0])[0]
                chosen = np.append(chosen, new)
                others = others[~np.isin(others, new)]
            start = stop - n_new
    return chosen, others, lapack.dtrtrs(M[:, chosen], M[:, others])[0]
