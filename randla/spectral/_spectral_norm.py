"""The spectral norm, between a certain bound and a nearly certain one."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._parallel import showing_progress
from randla._random import as_generator
from randla._results import Result
from randla._validation import as_flag, as_number, is_sparse
from randla.spectral._krylov.brackets import rounding
from randla.spectral._krylov.residual_norm import BLOCK, checkpoints, residual_norm
from randla.spectral._matrix import open_matrix
from randla.spectral._matrix.base import require_in_range

#: Short sides up to which A'A is decomposed, and stored entries for each of its rows for that.
_GRAM_SIDE, _SPARSE_GRAM_SIDE = 1000, 300
#: Relative width that ends the iteration, steps at most, and numbers to keep.
_WIDTH, _STEPS, _KEPT = 1e-4, 60, 1 << 26


@dataclass(frozen=True, eq=False, repr=False)
class SpectralNormResult(Result):
    """Bounds of a spectral norm: the result of `spectral_norm`.

    Attributes
    ----------
    lower, upper : float
        Bounds of the largest singular value of A.
    failure_probability : float
        Failure probability of `upper`; 0 if all of A'A was decomposed. `lower` always holds.
    n_passes : int
        Number of passes over A.
    """

    lower: float
    upper: float
    failure_probability: float
    n_passes: int


def spectral_norm(
    A: Any, *, failure_probability: float = 1e-6, rng: Any = None, progress: bool = False
) -> SpectralNormResult:
    r"""Bracket the spectral norm :math:`|A|_2`, the largest singular value.

    If the short side of A is small the norm is computed from :math:`A'A`, and the bounds differ by
    rounding errors. Otherwise block Lanczos on :math:`A'A` starts from four random directions, with
    full reorthogonalization. Its Ritz values are certain lower bounds. The upper bound follows from
    the residuals unless the directions are nearly orthogonal to the singular vector, which happens
    with at most the stated probability [1]_. The iteration ends when the bounds differ by 1e-4 of
    the norm, or after 60 passes.

    Parameters
    ----------
    A : (m, n) array_like, sparse matrix, LinearOperator or Dask array
        Real and finite. A Dask array is read in blocks of rows; an operator needs a product with
        its transpose.
    failure_probability : float
        Maximum probability that `upper` is below the norm; between 1e-30 and 1/2.
    rng : {None, int, SeedSequence, Generator}, optional
        Source of the random directions.
    progress : bool, default False
        Show a progress bar for long passes (needs tqdm).

    Returns
    -------
    SpectralNormResult
        `lower`, `upper`, `failure_probability`, `n_passes`.

    Raises
    ------
    ValueError, TypeError
        If A is not real, finite, 2-D and non-empty, or is an operator whose two products are not
        adjoint.

    Notes
    -----
    Each pass costs sixteen operations an entry; sparse matrices stay sparse. With a gap between the
    largest singular values a few passes are enough. Without a gap the width falls faster than the
    square of their number: on a linear spectrum it is 1% after 20 and 0.01% after 60. A few
    hundred vectors of the length of the short side are stored, half a gigabyte at most.

    References
    ----------
    .. [1] Hochstenbach, "Probabilistic upper bounds for the matrix two-norm", J. Sci. Comput. 57
       (2013), 464-476, here for several directions.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import spectral_norm
    >>> A = np.array([[3.0, 0.0], [4.0, 0.0]])
    >>> norm = spectral_norm(A)
    >>> norm.lower <= 5.0 <= norm.upper
    True
    >>> round(norm.upper, 12)
    5.0
    """
    p = as_number(failure_probability, "failure_probability", low=1e-30, high=0.5)
    with showing_progress("spectral_norm", as_flag(progress, "progress")):
        return _spectral_norm(A, p, as_generator(rng))


def _spectral_norm(A: Any, p: float, generator: np.random.Generator) -> SpectralNormResult:
    matrix = open_matrix(A)
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.transposed()
    n = matrix.shape[1]
    if matrix.is_read and n <= (_SPARSE_GRAM_SIDE if is_sparse(A) else _GRAM_SIDE):
        # All eigenvalues: LAPACK's bisection for one alone has failed where all are equal.
        low = high = max(float(np.linalg.eigvalsh(matrix.gram())[-1]), 0.0)
        p = 0.0
    else:
        # Each step keeps a block of vectors.
        steps = checkpoints(3, max(min(_STEPS, _KEPT // (n * BLOCK)), 10))
        low, high, space = residual_norm(matrix, None, p, generator, steps, _is_narrow)
        p = 0.0 if space.is_full else p
    error = rounding(matrix)
    lower, upper = math.sqrt(low * max(1.0 - error, 0.0)), math.sqrt(high * (1.0 + error))
    if matrix.is_read:
        upper = min(upper, math.sqrt(matrix.squared_norm * (1.0 + error)))
    upper = require_in_range(upper * matrix.scale, "norm")
    return SpectralNormResult(lower * matrix.scale, upper, p, matrix.n_passes)


def _is_narrow(low: float, high: float) -> bool:
    return high <= low * (1.0 + 2.0 * _WIDTH)
