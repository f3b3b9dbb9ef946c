"""Leverage scores: how much a row matters to the least-squares geometry of a matrix."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._random import as_generator, draw_keys, generator_from_key, normal_rows
from randla._tall._kernels.tiles import row_norms
from randla._tall.tiles import Array, Factor, Tiles, add_gram, as_tall
from randla._tall.whitening import evaluation_error, whiten
from randla._validation import as_choice, as_number, as_weights, is_dask
from randla.sampling._scores.result import (
    LITTLE_DOUBT,
    Scores,
    make_scores,
    rounding_bounds,
    widened,
)

_EXACT_WORK = 1e13  # operations
_SKETCH_ROWS = 8  # rows of the sketch for each column


def leverage_scores(
    A: ArrayLike,
    *,
    method: Literal["auto", "exact", "sketch"] = "auto",
    weights: ArrayLike | None = None,
    ridge: float = 0.0,
    rng: Any = None,
) -> Scores:
    r"""Leverage scores of the rows of a matrix.

    .. math:: \tau_i = a_i^T (A^T A)^{+} a_i = \max_x (a_i^T x)^2 / \|A x\|_2^2

    They lie between 0 and 1, add up to the rank of `A`, and do not depend on the basis of its
    columns. The scores are the squared row norms of :math:`A R^{-1}` with R from the Cholesky
    factor of the Gram matrix of the column-scaled `A`, corrected by a second one where the
    estimated error of the first is above 1e-9 [1]_. Beyond condition 1e7, R comes from Householder
    factorisations of tiles, with a pivoted rank decision, and is corrected once.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array
        Real and finite, read as it lies. A sparse matrix is densified at most a tile at a time.
    method : {"auto", "exact", "sketch"}
        "exact" is exact up to rounding. "sketch" is an estimate for hundreds of columns or more:
        R comes from a `SparseSignSketch` of 8 d rows, and the norms from some d/6 (32 to 128)
        random combinations of the columns [2]_; up to 32 columns, or 8 d rows, it would cost more
        than "exact", which is then taken. "auto" is "exact" unless that needs more than some 1e13
        operations, minutes.
    weights : (n,) array_like, optional
        Non-negative; the scores of the rows of :math:`W^{1/2} A`.
    ridge : float
        :math:`\lambda \ge 0`; the scores :math:`w_i a_i^T (A^T W A + \lambda I)^{-1} a_i`, whose
        sum is the effective dimension.
    rng : {None, int, SeedSequence, Generator}, optional
        For "sketch".

    Returns
    -------
    Scores
        "exact": with `residual` the estimated relative rounding error, by which `lower` and
        `upper` differ from the values. "sketch": with `residual` the relative standard error of
        each score, 0.13 to 0.27. A score over the exact one is distributed about like a mean of as
        many squared normals as there are combinations: with 32 the extremes of 3000 rows are about
        0.36 and 2.1, of a million rows 0.22 and 2.7 (128: 0.51 and 1.7), so mix in some uniform
        scores before sampling. Only `lower` says something about the exact scores then (`upper`
        is 1).

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, 2-D, finite and non-empty, or an option is out of range.

    See Also
    --------
    lewis_weights : the same idea for other norms.
    sample_rows : draw rows by these scores.

    Notes
    -----
    Two passes over `A` for well-conditioned columns, :math:`3nd^2` operations; four otherwise.

    A column counts as dependent where its pivot is below :math:`32 u \max(d, \sqrt n)` of the
    largest, u = 2.2e-16 (4.8e-7 for float32). `certified` is False, and the bounds are 0 and 1, if
    a pivot that was dropped is too large to be a rounding error, above 1/64 of that (1/4 for
    float32), unless the column is an exact sum of others, as a column of ones is of indicators.
    The scores are those of a matrix of lower rank nearby.

    References
    ----------
    .. [1] Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, "Roundoff error analysis of the
       CholeskyQR2 algorithm", Electron. Trans. Numer. Anal. 44 (2015), 306-326.
    .. [2] Drineas, Magdon-Ismail, Mahoney and Woodruff, "Fast approximation of matrix coherence
       and statistical leverage", J. Mach. Learn. Res. 13 (2012), 3475-3506.

    Examples
    --------
    The row that alone has a second column cannot be left out:

    >>> import numpy as np
    >>> from randla.sampling import leverage_scores
    >>> np.round(np.asarray(leverage_scores([[1.0, 0.0], [1.0, 0.0], [1.0, 3.0]])), 12)
    array([0.5, 0.5, 1. ])
    """
    as_choice(method, "method", ("auto", "exact", "sketch"))
    ridge = as_number(ridge, "ridge", low=0.0)
    if rng is not None:
        rng = as_generator(rng)
    if is_dask(A):
        from randla._dask import scores

        return scores.leverage_scores(A, method, weights, ridge, rng)
    matrix = as_tall(A, finite=False)
    n, d = matrix.shape
    row_scale = None
    if weights is not None:
        w = as_weights(weights, n, "weights")
        row_scale, ridge = np.sqrt(w / w.max()), ridge / w.max()
    tiles = Tiles(matrix, ridge)
    if (sizes := sketch_sizes(n, d, method)) is not None:
        return _sketched(tiles, row_scale, *sizes, *draw_keys(rng, 2))
    factor = whiten(tiles, row_scale)
    norms = tiles.norms(factor.transform)
    error: Any = sum(evaluation_error(tiles, factor, norms, row_scale))
    if row_scale is not None:
        norms *= row_scale
    norms *= norms
    values = np.minimum(norms, 1.0, out=norms)
    low = high = None
    if factor.doubt > 0.0 or np.ndim(error):
        low, high = widened(*rounding_bounds(values, error), factor.doubt)
    return make_scores(
        values, low, high, kind="leverage", p=2.0,
        certified=factor.doubt <= LITTLE_DOUBT, residual=np.max(error),
    )  # fmt: skip


def sketch_sizes(n: int, d: int, method: str) -> tuple[int, int] | None:
    """Rows of the sketch and combinations of the columns; None where "exact" costs less."""
    if method == "exact" or (method == "auto" and n * d * d <= _EXACT_WORK):
        return None
    sketch_rows, combinations = _SKETCH_ROWS * d, min(max(d // 6, 32), 128)
    return (sketch_rows, combinations) if sketch_rows < n and combinations < d else None


def _sketched(
    tiles: Tiles,
    row_scale: Array | None,
    sketch_rows: int,
    combinations: int,
    key: np.uint64,
    sketch_key: np.uint64,
) -> Scores:
    """Norms of A R^-1 G with R from a sketch and G a Gaussian matrix.

    For a fixed x the sketch makes |A R^-1|^2 wrong by a common factor, which the known sum takes
    out, and a relative standard deviation of sqrt(2/(rows - d)); G adds sqrt(2/columns). The
    leverage in the span of the combinations X is a lower bound of the leverage, and at least
    |x_i|^2 / |X'X|.
    """
    from randla.sketching import SparseSignSketch

    n = tiles.n
    sketch = SparseSignSketch(sketch_rows, n, rng=generator_from_key(sketch_key))
    SA, _ = sketch._sketch(tiles.A, row_scale=row_scale)
    small = Tiles(SA, tiles.ridge)
    factor = whiten(small, rtol=1e-4)
    if factor.rank == 0:
        return make_scores(
            np.zeros(n), np.zeros(n), np.zeros(n),
            kind="leverage-sketch", p=2.0, certified=False, residual=0.0,
        )  # fmt: skip
    tiles.column_scale = small.column_scale
    G = normal_rows(key, 0, factor.rank, combinations) / np.sqrt(combinations)
    T = Factor(factor.transform @ G)
    norms = np.empty(n)

    def visit(i: int, j: int, tile: Array, product: Array, total: Array) -> None:
        X = tiles.product(i, j, T, product, tile)
        if row_scale is not None:
            X *= row_scale[i:j, None]
        row_norms(X, norms[i:j])
        add_gram(X, total)

    flops = 2.0 * n * (tiles.density * tiles.d + combinations) * combinations
    gram = tiles.each(visit, combinations, flops, (combinations, combinations))
    if tiles.ridge:
        E = tiles.ridge_rows[:, None] * T.array
        gram += E.T @ E
    squares = norms * norms
    lower = squares * ((1.0 - 1e-9) / np.linalg.norm(gram, 2))
    total = squares.sum()
    if not tiles.ridge:
        expected = float(factor.rank)
    else:  # the effective dimension is estimated by the same norms, without the ridge's rows
        expected = factor.rank * total / np.trace(gram)
    values = np.clip(squares * (expected / total if total > 0.0 else 1.0), lower, 1.0)
    error = np.sqrt(2.0 / (sketch_rows - factor.rank + 1) + 2.0 / combinations)
    return make_scores(
        values, lower, (norms > 0.0).astype(np.float64),
        kind="leverage-sketch", p=2.0, certified=False, residual=error,
    )  # fmt: skip
