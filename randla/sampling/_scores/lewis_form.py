"""Lewis weights as a quadratic form: w(a) = |a T|^p is a function of the row.

With M = (T T')^-1 and F(M) = A' W^(1 - 2/p) A, the equation of `lewis` is M = F(M). The iteration
stores no number per row. So a Dask array takes the same steps as an array in memory, and both give
the same scores up to rounding, as sampling requires. It takes a few more steps than Anderson
acceleration.

Source: Cohen and Peng, "l_p row sampling by Lewis weights", STOC (2015), 183-192.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import rq

from randla._scaling import EPS
from randla._tall.base import TallMatrix, by_blocks
from randla._tall.whitening import Whitening, spectral_norm, whiten
from randla._typing import Array

#: Fraction of the rounding error below which the rest of the residual is ignored.
ROUNDED = 0.1


@dataclass(frozen=True)
class LewisState:
    """Weights w, and the leverage computation of W^(1/2 - 1/p) A that belongs to them.

    Vectors are lazy where A is.

    Attributes
    ----------
    log_weights : (n,) ndarray
        log w, -inf for zero rows.
    row_scale : (n,) ndarray
        A multiple of w^(1/2 - 1/p), 0 for zero rows.
    norms : (n,) ndarray
        Norms of ``a_i T`` where T whitens ``diag(row_scale) A``.
    first_norms : (n,) ndarray
        The same for equal weights: square roots of the leverage scores of A.
    white : Whitening
        The whitening of ``diag(row_scale) A``.
    residual : float
        ``max |log(leverage / weight)|``, including its rounding error.
    n_iterations : int
        Number of leverage computations, including those after the best weights.
    rank_is_certain : bool
        See `Whitening`.
    """

    log_weights: Any
    row_scale: Any
    norms: Any
    first_norms: Any
    white: Whitening
    residual: float
    n_iterations: int
    rank_is_certain: bool = True


def first_whitening(tall: TallMatrix) -> tuple[Whitening, bool]:
    """The whitening of A for equal weights, and whether its rank is certain.

    Dependent columns are left out from now on: a basis of the columns has the same weights.
    """
    white = whiten(tall)
    is_certain = white.rank_is_certain
    if 0 < white.rank < tall.d:
        tall.keep_columns(white.columns)
        white = whiten(tall)
    return white, is_certain


def solve_form(
    tall: TallMatrix,
    p: float,
    rtol: float,
    max_iterations: int,
    rounding: float,
    *,
    weights_only: bool = False,
) -> LewisState:
    """Iterate until the residual is at most `rtol`; `rounding` is the error of the factors.

    With `weights_only` the other vectors are not computed.
    """
    first, is_certain = first_whitening(tall)
    norms = _Norms(tall)
    T, white, residual, count = first.transform, first, 0.0, 0  # a matrix of zeros
    if p == 2.0:  # leverage scores
        residual, count = first.error, min(first.rank, 1)  # w = leverage
    elif first.rank:
        iterate = _fixed_point if p < 3.0 else _damped_fixed_point
        T, white, residual, count = iterate(norms, first, p, rtol, max_iterations, rounding)
    log_weights = tall.map_vectors(_log_weights, norms.of(T), p=p)
    scale = own = first_norms = None
    if not weights_only:
        scale, own = norms.row_scale(T, p), norms.of(white.transform)
        first_norms = tall.row_norms(first.transform)
    is_certain &= white.rank_is_certain
    return LewisState(log_weights, scale, own, first_norms, white, residual, count, is_certain)


class _Norms:
    """Norms of the rows of A T, remembered for the last few T."""

    def __init__(self, tall: TallMatrix) -> None:
        self.tall = tall
        self._known: list[tuple[Any, Array, Any]] = []

    def of(self, T: Array) -> Any:
        """Norms of the rows of A T."""
        for A, factor, norms in self._known:
            if A is self.tall.A and factor is T:  # A changed when rows were shortened
                return norms
        norms = self.tall.row_norms(T)
        self._known = [*self._known[-2:], (self.tall.A, T, norms)]  # old, new and scaled
        return norms

    def times(self, T: Array, scale: float) -> Array:
        """``scale T``, with its norms known."""
        scaled = T * scale
        self._known = [*self._known[-2:], (self.tall.A, scaled, scale * self.of(T))]
        return scaled

    def row_scale(self, T: Array, p: float) -> Any:
        """The scales ``w^(1/2 - 1/p)`` of weights ``|a T|^p``, 0 for zero rows."""
        return self.tall.map_vectors(_row_scale, self.of(T), p=p)

    def largest_log_ratio(self, T: Array, new: Array) -> Any:
        """The largest ``|log(leverage / w)|`` of weights by T, leverage by `new`; (1, 1)."""
        return self.tall.join_vectors(
            _log_ratio, self.of(T), self.of(new), shape=(1, 1), join=np.maximum
        )


def _row_scale(first: int, norms: Array, *, p: float) -> Array:
    out = np.zeros(len(norms))  # of rows of zeros
    np.power(norms, 0.5 * p - 1.0, out=out, where=norms > 0.0)
    return out


def _log_weights(first: int, norms: Array, *, p: float) -> Array:
    """Logarithms of the weights ``norms^p``, -inf for zero rows."""
    with np.errstate(divide="ignore"):
        return p * np.log(norms)  # type: ignore[no-any-return]


def _log_ratio(first: int, old: Array, new: Array) -> Array:
    """The largest ``|log(leverage / w)|``: leverage = w^(1 - 2/p) new^2, w = old^p."""

    def largest(rows: slice) -> float:
        alive = old[rows] > 0.0  # rows of zeros do not take part
        ratio = np.log(new[rows][alive]) - np.log(old[rows][alive])
        return float(np.abs(2.0 * ratio).max(initial=0.0))

    return np.full((1, 1), max(by_blocks(largest, len(old))))


def _fixed_point(
    norms: _Norms, start: Whitening, p: float, rtol: float, max_iterations: int, rounding: float
) -> tuple[Array, Whitening, float, int]:
    """Iterate M <- F(M), which contracts the residual by |1 - p/2|.

    If all leverage scores are equal, they are the first weights.
    """
    tall = norms.tall

    def whitened(T: Array) -> Whitening:
        return whiten(tall, norms.row_scale(T, p), rtol=rounding)

    T = norms.times(start.transform, (start.rank / tall.n) ** (1.0 / p - 0.5))
    white, n_iterations = whitened(T), 1  # leverage of W^(1/2 - 1/p) A
    while True:
        following = white.transform  # F(M) replaces M
        is_last = n_iterations == max_iterations  # its weights are kept
        ratio, next_white = tall.alongside(
            norms.largest_log_ratio(T, following), None if is_last else partial(whitened, following)
        )
        n_iterations += next_white is not None  # it was computed with it
        residual = float(ratio[0, 0]) + white.error  # max |log(leverage / w)|
        if is_last or residual <= max(rtol, (1.0 + ROUNDED) * white.error):
            return T, white, residual, n_iterations
        if next_white is None:
            next_white, n_iterations = whitened(following), n_iterations + 1
        T, white = following, next_white  # w = leverage, as a form


def _damped_fixed_point(
    norms: _Norms, start: Whitening, p: float, rtol: float, max_iterations: int, rounding: float
) -> tuple[Array, Whitening, float, int]:
    """Iterate M <- (1 - t) M + t F(M), scaled such that the weights add up to the rank.

    F turns an increase of M into a decrease, up to p/2 - 1 times as large: t = 4/(p + 2) contracts
    by (p - 2)/(p + 2). In the basis T in which M is the identity, F(M) has the trace sum w = d, so
    that the mixture has condition d/(1 - t) at most. The eigenvalues of F(M) bound the residual.
    """
    tall = norms.tall
    d, share, white = tall.d, 4.0 / (p + 2.0), None  # share: t
    T = start.transform  # scaled so that sum w is in range
    T = norms.times(T, 1.0 / float(tall.compute(norms.of(T).max())))
    n_iterations = 1  # the factor at the end
    while n_iterations < max_iterations:
        G, n_iterations = _gram_in(tall, T, norms.row_scale(T, p), rounding), n_iterations + 1
        total = np.trace(G)  # sum of w, where M is the identity
        values, vectors = np.linalg.eigh(G * (d / total))  # F(M) in the basis T
        if np.abs(np.log(np.maximum(values, 1e-300))).max() <= 0.9 * rtol:  # less rounding errors
            scale = (d / total) ** (1.0 / p)  # of weights; F(M) is of degree p - 2 in T
            if not tall.has_shortened_rows:
                end = _upper(T @ (vectors / np.sqrt(values)) * scale)
                white = replace(start, transform=end)
            T = norms.times(T, scale)
            break
        # M^(-1/2).
        T = T * (d / total) ** (1.0 / p) @ (vectors / np.sqrt(1.0 - share + share * values))
        T = _upper(T)
    if white is None:
        white = whiten(tall, norms.row_scale(T, p), rtol=rounding)
    ratio, _ = tall.alongside(norms.largest_log_ratio(T, white.transform), None)
    return T, white, float(ratio[0, 0]) + white.error, n_iterations


def _gram_in(tall: TallMatrix, T: Array, row_scale: Any, rounding: float) -> Array:
    """``(V A T)' (V A T)``; computed from V A, at half the cost, if its columns allow it."""
    G = tall.gram(None, row_scale)
    scale = np.sqrt(np.diag(G))  # D: columns of norm 1
    S = scale[:, None] * T  # D T, as T'GT = (D T)' (D^-1 G D^-1) (D T)
    if scale.all() and (10.0 + len(T)) * EPS * spectral_norm(S) ** 2 <= rounding:
        return S.T @ (G / np.outer(scale, scale)) @ S  # without a second pass
    return np.asarray(tall.gram(T, row_scale))


def _upper(T: Array) -> Array:
    """An upper triangle R with R R' = T T', whose products take half the time."""
    R: Any = rq(T, mode="r")
    return R
