"""Leverage scores: the importance of each row for the least-squares geometry of a matrix."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._random import as_generator, draw_keys, generator_from_key, normal_rows
from randla._tall.base import TallMatrix
from randla._tall.open import open_tall
from randla._tall.whitening import evaluation_error, whiten
from randla._validation import as_choice, as_number
from randla.sampling._scores.result import UNKNOWN, Scores

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
    r"""Compute or estimate the leverage scores of the rows of a matrix.

    .. math:: \tau_i = a_i^T (A^T A)^{+} a_i = \max_x (a_i^T x)^2 / \|A x\|_2^2

    They lie between 0 and 1, add up to the rank of `A`, and do not depend on the basis of its
    columns. The scores are the squared row norms of :math:`A R^{-1}` with R from the Cholesky
    factor of the Gram matrix of the column-scaled `A`, corrected by a second factor if the
    estimated error of the first is above 1e-9 [1]_. Above condition number 1e7, R is computed by
    Householder factorizations of tiles, with a pivoted rank decision, and corrected once.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array
        Real and finite, in any memory order. A sparse matrix is densified at most a tile at a time.
    method : {"auto", "exact", "sketch"}
        "exact" is exact up to rounding. "sketch" is an estimate for hundreds of columns or more: R
        comes from a `SparseSignSketch` of 8 d rows, and the norms from about d/6 (32 to 128) random
        combinations of the columns [2]_. For at most 32 columns, or 8 d rows, it would cost more
        than "exact", which is then used. "auto" is "exact" unless that needs more than about 1e13
        operations (minutes).
    weights : (n,) array_like, optional
        Non-negative; the scores of the rows of :math:`W^{1/2} A`.
    ridge : float
        :math:`\lambda \ge 0`; the scores :math:`w_i a_i^T (A^T W A + \lambda I)^{-1} a_i`, whose
        sum is the effective dimension.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed of the estimate "sketch".

    Returns
    -------
    Scores
        For "exact", `residual` is the estimated relative rounding error, by which `lower` and
        `upper` differ from the values. For "sketch", `residual` is the relative standard error of
        each score, 0.13 to 0.27. The ratio of a score to the exact score is distributed
        approximately like the mean of as many squared normals as there are combinations: with 32
        the extremes over 3000 rows are about 0.36 and 2.1, over a million rows 0.22 and 2.7 (with
        128: 0.51 and 1.7), so mix in some uniform scores before sampling. Only `lower` then
        restricts the exact scores (`upper` is 1).

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
    Two passes over `A` for well-conditioned columns, :math:`3nd^2` operations; otherwise four.

    A column counts as dependent if its pivot is below :math:`32 u \max(d, \sqrt n)` times the
    largest, u = 2.2e-16 (4.8e-7 for float32). `certified` is False, and the bounds are 0 and 1, if
    a dropped pivot is too large to be a rounding error, above 1/64 of that threshold (1/4 for
    float32), unless the column is an exact sum of others, such as a column of ones with indicators.
    The scores are then those of a nearby matrix of lower rank.

    References
    ----------
    .. [1] Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, "Roundoff error analysis of the
       CholeskyQR2 algorithm", Electron. Trans. Numer. Anal. 44 (2015), 306-326.
    .. [2] Drineas, Magdon-Ismail, Mahoney and Woodruff, "Fast approximation of matrix coherence
       and statistical leverage", J. Mach. Learn. Res. 13 (2012), 3475-3506.

    Examples
    --------
    The only row with a nonzero second entry cannot be left out:

    >>> import numpy as np
    >>> from randla.sampling import leverage_scores
    >>> np.round(np.asarray(leverage_scores([[1.0, 0.0], [1.0, 0.0], [1.0, 3.0]])), 12)
    array([0.5, 0.5, 1. ])
    """
    as_choice(method, "method", ("auto", "exact", "sketch"))
    ridge = as_number(ridge, "ridge", low=0.0)
    if rng is not None:
        rng = as_generator(rng)
    tall = open_tall(A)
    row_scale = None
    if weights is not None:
        w = tall.vector(weights, "weights")
        top = float(tall.compute(w.max()))  # scores depend on w / top and ridge / top
        if top == 0.0:
            raise ValueError("weights must have a positive sum, got only zeros")
        row_scale, ridge = np.sqrt(w / top), ridge / top
    tall.ridge = ridge
    return leverage(tall, row_scale, method, rng)


def leverage(
    tall: TallMatrix, row_scale: Any = None, method: str = "auto", rng: Any = None
) -> Scores:
    """Leverage scores of V A, exact or from a sketch."""
    if (sizes := sketch_sizes(tall.n, tall.d, method)) is not None:
        return _sketched(tall, row_scale, *sizes, *draw_keys(rng, 2))
    return exact_leverage(tall, row_scale)


def exact_leverage(tall: TallMatrix, row_scale: Any = None) -> Scores:
    """Squared row norms of V A T, where T makes its columns orthonormal."""
    white = whiten(tall, row_scale)  # V A T has orthonormal columns
    norms = tall.row_norms(white.transform)  # |a_i T|
    error: Any = sum(evaluation_error(tall, white, norms, row_scale))  # own and common errors
    values = np.minimum((norms if row_scale is None else norms * row_scale) ** 2, 1.0)
    return Scores.of(
        values, 1.0 + error if white.rank_is_certain else UNKNOWN, kind="leverage", p=2.0,
        certified=white.rank_is_certain, residual=float(np.max(error)),
    )  # fmt: skip


def sketch_sizes(n: int, d: int, method: str) -> tuple[int, int] | None:
    """Rows of the sketch and combinations of the columns; None if "exact" costs less."""
    if method == "exact" or (method == "auto" and n * d * d <= _EXACT_WORK):
        return None
    sketch_rows, combinations = _SKETCH_ROWS * d, min(max(d // 6, 32), 128)  # 8 d and some d/6
    return (sketch_rows, combinations) if sketch_rows < n and combinations < d else None


def _sketched(
    tall: TallMatrix,
    row_scale: Any,
    sketch_rows: int,
    combinations: int,
    key: np.uint64,
    sketch_key: np.uint64,
) -> Scores:
    """Norms of A R^-1 G with R from a sketch and G a Gaussian matrix.

    For a fixed x, the error of the sketch in |A R^-1|^2 is a common factor, which the known sum
    removes, and a relative standard deviation of sqrt(2/(rows - d)); G adds sqrt(2/columns). The
    leverage in the span of the combinations X is a lower bound of the leverage, and at least
    |x_i|^2 / |X'X|.
    """
    from randla.sketching import SparseSignSketch

    S = SparseSignSketch(sketch_rows, tall.n, rng=generator_from_key(sketch_key))
    tall.row_scale = row_scale
    SA, _ = tall.sketch_with(S, None)  # all columns, unscaled
    sketched = open_tall(SA, ridge=tall.ridge)
    white = whiten(sketched, rtol=1e-4)  # T = R^-1; the error of the sketch itself is larger
    tall.column_scale = sketched.column_scale  # T is for scaled columns
    G = normal_rows(key, 0, white.rank, combinations) / np.sqrt(combinations)
    T = white.transform @ G  # (d, combinations)
    gram, norms = tall.gram_and_norms(T, row_scale)
    total, scaled = np.trace(gram), tall.with_ridge(gram, T)  # tr X'X, and X'X with the ridge
    squares = norms * norms  # |x_i|^2 of the rows of X = V A T
    lower = squares * ((1.0 - 1e-9) / max(float(np.linalg.norm(scaled, 2)), 1e-300))
    expected = float(white.rank)  # the sum of the scores
    if tall.ridge:  # the effective dimension is estimated by the same norms
        expected *= total / np.trace(scaled)
    values = np.clip(squares * (expected / total if total > 0.0 else 1.0), lower, 1.0)
    error = np.sqrt(2.0 / (sketch_rows - white.rank + 1) + 2.0 / combinations)
    return Scores.of(
        values, (lower, (squares > 0.0).astype(np.float64)),
        kind="leverage-sketch", p=2.0, certified=False,
        residual=float(error) if white.rank else 0.0,
    )  # fmt: skip
