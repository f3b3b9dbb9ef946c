"""Leverage scores: how much a row matters to the least-squares geometry of a matrix."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._random import as_generator
from randla._validation import as_choice, as_number, as_weights
from randla.sampling._scores import Scores, make_scores
from randla.sampling._tiles import Tiles, as_tall
from randla.sampling._whitening import evaluation_error, whiten


def leverage_scores(
    A: ArrayLike,
    *,
    method: Literal["auto", "exact"] = "auto",
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
    A : (n, d) array_like or sparse matrix
        Real and finite, read as it lies. A sparse matrix is densified at most a tile at a time.
    method : {"auto", "exact"}
        "exact" is exact up to rounding.
    weights : (n,) array_like, optional
        Non-negative; the scores of the rows of :math:`W^{1/2} A`.
    ridge : float
        :math:`\lambda \ge 0`; the scores :math:`w_i a_i^T (A^T W A + \lambda I)^{-1} a_i`, whose
        sum is the effective dimension.
    rng : {None, int, SeedSequence, Generator}, optional
        Not used by "exact".

    Returns
    -------
    Scores
        With `residual` the estimated relative rounding error, by which `lower` and `upper`
        differ from the values.

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

    References
    ----------
    .. [1] Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, "Roundoff error analysis of the
       CholeskyQR2 algorithm", ETNA 44 (2015).

    Examples
    --------
    The row that alone has a second column cannot be left out:

    >>> import numpy as np
    >>> from randla.sampling import leverage_scores
    >>> np.round(np.asarray(leverage_scores([[1.0, 0.0], [1.0, 0.0], [1.0, 3.0]])), 12)
    array([0.5, 0.5, 1. ])
    """
    matrix = as_tall(A, finite=False)
    as_choice(method, "method", ("auto", "exact"))
    ridge = as_number(ridge, "ridge", low=0.0)
    as_generator(rng)
    row_scale = None
    if weights is not None:
        w = as_weights(weights, matrix.shape[0], "weights")
        row_scale, ridge = np.sqrt(w / w.max()), ridge / w.max()
    tiles = Tiles(matrix, ridge)
    factor = whiten(tiles, row_scale)
    norms = tiles.norms(factor.transform)
    error = evaluation_error(tiles, factor, norms, row_scale)
    if row_scale is not None:
        norms *= row_scale
    norms *= norms
    return make_scores(
        np.minimum(norms, 1.0, out=norms),
        None,
        None,
        kind="leverage",
        p=2.0,
        certified=True,
        residual=error,
    )
