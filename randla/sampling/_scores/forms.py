"""Lewis weights as a function of a row, w(a) = |a T|^p: what sampling uses.

With M = (T T')^-1 and F(M) = A' W^(1 - 2/p) A the equation of `_lewis` is M = F(M). The iteration
keeps no number for each row, so that a Dask array takes the same steps as an array in memory, and
both give the same scores up to rounding. It takes a few more steps than the mixing of `_lewis`.

Source: Cohen and Peng, "l_p row sampling by Lewis weights", STOC (2015), 183-192.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import rq

from randla._tall.blocks import by_blocks
from randla._tall.tiles import Array, Tiles
from randla._tall.whitening import _EPS, Whitening, spectral_norm, whiten
from randla._validation import is_dask
from randla.sampling._scores.lewis import ROUNDED, LewisState, warn_unless

#: Rounding error of scores that sampling may still notice: rows by the hundred million.
_ROUNDING = 1e-9
#: Leverage computations at most.
ITERATIONS = 200


@dataclass(frozen=True)
class Form:
    """The end of the iteration.

    Attributes
    ----------
    p : float
    T : (d, rank) ndarray
        The weights are ``|a T|^p``.
    factor : Whitening
        That of ``W^(1/2 - 1/p) A``.
    first : Whitening
        That of A.
    residual : float
        ``max |log(leverage / weight)|`` with its rounding error.
    n_iterations : int
        Leverage computations.
    doubt : float
        By how much the leverage scores may be wrong, see `Whitening`.
    """

    p: float
    T: Array
    factor: Whitening
    first: Whitening
    residual: float
    n_iterations: int
    doubt: float


class FormTiles(Tiles):
    """Rows in memory, and what the iteration asks about their weights.

    `randla._tall.dask_tiles.DaskTiles` answers the same questions.
    """

    def __init__(self, A: Any) -> None:
        super().__init__(A)
        self._known: list[tuple[Any, Array, Array]] = []

    def known_norms(self, T: Array) -> Array:
        """Norms of the rows of A T, which are remembered for the last few T."""
        for A, factor, norms in self._known:
            if A is self.A and factor is T:
                return norms
        norms = self.norms(T)
        self._known = [*self._known[-2:], (self.A, T, norms)]
        return norms

    def times(self, T: Array, scale: float) -> Array:
        """``scale T``, whose norms are known then."""
        scaled = T * scale
        self._known = [*self._known[-2:], (self.A, scaled, scale * self.known_norms(T))]
        return scaled

    def row_scale(self, T: Array, p: float) -> Array:
        """The scales ``w^(1/2 - 1/p)`` of weights ``|a T|^p``, 0 for zero rows."""
        norms = self.known_norms(T)
        out = np.empty(self.n)

        def fill(block: slice) -> None:
            out[block] = scale_of(norms[block], p)

        by_blocks(fill, self.n)
        return out

    def largest_log_ratio(self, old: Array, new: Array) -> float:
        """The largest ``|log(leverage / w)|`` of weights by `old`, leverage by `new`."""
        x, y = self.known_norms(old), self.known_norms(new)
        return max(by_blocks(lambda block: log_ratio(x[block], y[block]), self.n))

    def largest_norm(self, T: Array) -> float:
        """The largest norm of a row of A T."""
        return float(self.known_norms(T).max())

    def look(self, found: float, following: Any) -> tuple[float, Any]:
        """What was asked for, and None for what `following` computes: there is time for that."""
        return found, None


def scale_of(norms: Array, p: float) -> Array:
    """``w^(1/2 - 1/p)`` of weights ``norms^p``, 0 for zero rows."""
    alive = norms > 0.0
    out = np.zeros(len(norms))
    np.power(norms, 0.5 * p - 1.0, out=out, where=alive)
    return out


def log_weights(norms: Array, p: float) -> Array:
    """Logarithms of the weights ``norms^p``, -inf for zero rows."""
    with np.errstate(divide="ignore"):
        return p * np.log(norms)


def log_ratio(old: Array, new: Array) -> float:
    """The largest ``|log(leverage / w)|``: leverage = w^(1 - 2/p) new^2, w = old^p."""
    alive = old > 0.0
    return float(np.abs(2.0 * (np.log(new[alive]) - np.log(old[alive]))).max(initial=0.0))


def solve_form(
    tiles: Any, p: float, rtol: float, max_iterations: int, *, rounding: float = _ROUNDING
) -> Form:
    """Iterate until the residual is at most `rtol`; `rounding` is what factors may be off by."""
    first = whiten(tiles)
    doubt = first.doubt
    if 0 < first.rank < tiles.d:  # a basis of the columns has the same weights
        tiles.keep_columns(first.columns)
        first = whiten(tiles)
    T = first.transform
    if first.rank == 0:
        return Form(p, T, first, first, 0.0, 0, doubt)
    if p == 2.0:  # leverage scores
        return Form(p, T, first, first, first.error, 1, doubt)
    iterate = _replace if p < 3.0 else _mix
    T, factor, residual, count = iterate(tiles, first, p, rtol, max_iterations, rounding)
    return Form(p, T, factor, first, residual, count, max(doubt, factor.doubt))


def _replace(
    tiles: Any, start: Whitening, p: float, rtol: float, max_iterations: int, rounding: float
) -> tuple[Array, Whitening, float, int]:
    """Iterate M <- F(M), which contracts the residual by |1 - p/2|.

    Where all leverage scores are equal, the first weights are theirs.
    """

    def whitened(T: Array) -> Whitening:
        return whiten(tiles, tiles.row_scale(T, p), rtol=rounding)

    T = tiles.times(start.transform, (start.rank / tiles.n) ** (1.0 / p - 0.5))
    factor, n_iterations = whitened(T), 1
    while True:
        following = factor.transform
        found = tiles.largest_log_ratio(T, following)
        last = n_iterations == max_iterations
        found, next_factor = tiles.look(found, None if last else partial(whitened, following))
        n_iterations += next_factor is not None
        residual = found + factor.error
        if last or residual <= max(rtol, (1.0 + ROUNDED) * factor.error):
            return T, factor, residual, n_iterations
        if next_factor is None:
            next_factor, n_iterations = whitened(following), n_iterations + 1
        T, factor = following, next_factor


def _mix(
    tiles: Any, start: Whitening, p: float, rtol: float, max_iterations: int, rounding: float
) -> tuple[Array, Whitening, float, int]:
    """Iterate M <- (1 - t) M + t F(M), scaled so that the weights add up to the rank.

    F turns an increase of M into a decrease, up to p/2 - 1 times as large: t = 4/(p + 2) contracts
    by (p - 2)/(p + 2). In the basis T in which M is the identity, F(M) has the trace sum w = d, so
    that the mixture has condition d/(1 - t) at most. The eigenvalues of F(M) bound the residual.
    """
    d, share, factor = tiles.d, 4.0 / (p + 2.0), None
    T = start.transform  # scaled so that sum w is in range
    T = tiles.times(T, 1.0 / tiles.largest_norm(T))
    n_iterations = 1  # the factor in the end
    while n_iterations < max_iterations:
        G, n_iterations = _gram_in(tiles, T, tiles.row_scale(T, p), rounding), n_iterations + 1
        total = np.trace(G)
        values, vectors = np.linalg.eigh(G * (d / total))
        if np.abs(np.log(np.maximum(values, 1e-300))).max() <= 0.9 * rtol:  # less rounding errors
            scale = (d / total) ** (1.0 / p)  # of weights; F(M) is of degree p - 2 in T
            if tiles.gaps is None:
                end = _upper(T @ (vectors / np.sqrt(values)) * scale)
                factor = replace(start, transform=end)
            T = tiles.times(T, scale)
            break
        T = T * (d / total) ** (1.0 / p) @ (vectors / np.sqrt(1.0 - share + share * values))
        T = _upper(T)
    if factor is None:
        factor = whiten(tiles, tiles.row_scale(T, p), rtol=rounding)
    residual, _ = tiles.look(tiles.largest_log_ratio(T, factor.transform), None)
    return T, factor, residual + factor.error, n_iterations


def _gram_in(tiles: Any, T: Array, row_scale: Any, rounding: float) -> Array:
    """``(V A T)' (V A T)``; from that of V A, which costs half, where its columns allow it."""
    G = tiles.gram(None, row_scale)
    scale = np.sqrt(np.diag(G))
    S = scale[:, None] * T
    if scale.all() and (10.0 + len(T)) * _EPS * spectral_norm(S) ** 2 <= rounding:
        return S.T @ (G / np.outer(scale, scale)) @ S
    return np.asarray(tiles.gram(T, row_scale))


def _upper(T: Array) -> Array:
    """An upper triangle R with R R' = T T', by which products take half the time."""
    R: Any = rq(T, mode="r")
    return R


def lewis_state(tiles: FormTiles, form: Form) -> LewisState:
    """The weights of rows in memory, as `solve_lewis` returns them."""
    norms = tiles.known_norms(form.T)
    return LewisState(
        log_weights(norms, form.p),
        tiles.row_scale(form.T, form.p),
        tiles.known_norms(form.factor.transform),
        tiles.norms(form.first.transform),
        form.factor, form.residual, form.n_iterations, form.doubt,
    )  # fmt: skip


def sampling_weights(A: Any, p: float, rtol: float) -> Any:
    """Lewis weights to within `rtol`, the same for a Dask array (then lazy) as in memory."""
    if is_dask(A):
        from randla._dask import scores

        return scores.lewis_weights(A, p, rtol, ITERATIONS, rounding=_ROUNDING).values
    tiles = FormTiles(A)
    form = solve_form(tiles, p, rtol, ITERATIONS)
    warn_unless(form.residual <= rtol, form.residual, rtol, form.n_iterations)
    return np.exp(np.minimum(log_weights(tiles.known_norms(form.T), p), 0.0))
