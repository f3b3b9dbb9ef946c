"""The truncated singular value decomposition, with a bracket of each value and an exact error.

Three routes lead to right singular vectors V:

* *lapack*: all of A at once, where it is small;
* *gram*: eigenvectors of A'A where the short side is at most some thousand. That loses what is
  below the root of the rounding error: where the bracket of the k-th would be wider than `tol`
  and A fits, *qr* takes the triangular factor instead;
* *krylov*: block Krylov spaces of A'A from the short side, until the residuals are small.

From there one way: ``Y = A V = U diag(s) W'``, ``V <- V W``. So ``A V = U diag(s)`` to rounding,
the error of the approximation is ``|A|_F^2 - sum(s^2)`` by Pythagoras, and each s is a lower bound.
The upper ones are in `_krylov.brackets`.

Sources: Halko, Martinsson and Tropp, "Finding structure with randomness: probabilistic algorithms
for constructing approximate matrix decompositions", SIAM Rev. 53 (2011), 217-288; Musco and Musco,
"Randomized block Krylov methods for stronger and faster approximate singular value decomposition",
NeurIPS (2015), arXiv:1504.05477.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from scipy.special import chdtri

from randla._parallel import showing_progress, single_threaded_blas
from randla._random import as_generator, draw_key, generator_from_key
from randla._typing import Array
from randla._validation import are_in_memory, as_choice, as_count, as_flag, as_number
from randla.spectral._krylov.brackets import coarse_rounding, monotone, rounding
from randla.spectral._krylov.cholesky_qr import thin_svd
from randla.spectral._krylov.subspace import (
    N_PROBES,
    Goal,
    Subspace,
    find_subspace,
    probed_tail,
)
from randla.spectral._matrix import open_matrix
from randla.spectral._matrix.base import require_in_range
from randla.spectral._svd_result import SvdResult

#: Most reads of A in an iteration.
_MAX_PASSES, _MAX_DASK_PASSES = 400, 12
#: Share of the first singular value below which A'A knows nothing.
_GRAM_FLOOR = 1e-7
#: Share of the first square above which the others have all digits but three or so.
_GRAM_ACCURATE = 1e-3


def svd(
    A: Any,
    k: int | None = None,
    *,
    rtol: float | None = None,
    center: bool = False,
    tol: float = 1e-3,
    certify: Literal["auto", "frobenius", "quadratic"] = "auto",
    max_passes: int | None = None,
    rng: Any = None,
    progress: bool = False,
) -> SvdResult:
    r"""Compute the largest singular values and vectors, with certified brackets and exact error.

    Returns :math:`A \approx U \mathrm{diag}(s) V'`, the rank k approximation, with the Frobenius
    norm of the remainder and, for each singular value, a lower and an upper end. If A can be read
    nothing is estimated: :math:`|A - AVV'|_F^2 = |A|_F^2 - |AV|_F^2`.

    Parameters
    ----------
    A : (m, n) array_like, sparse matrix, LinearOperator or Dask array
        Real and finite; a Dask array in blocks of rows. Computed in double precision.
    k : int, optional
        Rank. With `rtol`, the maximum rank.
    rtol : float, optional
        Use the smallest rank with ``error <= rtol * |A|_F`` (for an operator, with an upper end of
        that error, which holds with probability 97.5%).
    center : bool, default=False
        Subtract the mean of each column, as for principal components, without forming the result.
    tol : float, default=1e-3
        Iterate until the residuals are below `tol` times the k-th singular value (their squares
        over the gaps are then the errors of the values).
    certify : {"auto", "frobenius", "quadratic"}, default="auto"
        Upper ends if A is processed iteratively, from its residuals and a bound on the remainder:
        "frobenius" uses its exact Frobenius norm, which is certain and costs nothing; "quadratic"
        its spectral norm, for one or two dozen passes, which fails with probability 1e-6. "auto" is
        "frobenius" for Dask arrays and if this is within `tol`, otherwise "quadratic".
    max_passes : int, optional
        Maximum number of passes over A in the iteration (12 for Dask arrays, else 400). Those that
        certify the result are not counted.
    rng : {None, int, SeedSequence, Generator}, optional
        For the start of the iteration. The same seed gives the same numbers for any number of
        threads, and up to rounding for any chunks of a Dask array.
    progress : bool, default False
        Show a progress bar for long passes (needs tqdm).

    Returns
    -------
    SvdResult
        The factors `U`, `s` and `Vt`, brackets `s_lower` and `s_upper`, and the `error`.

    Raises
    ------
    ValueError, TypeError
        If A is not real, 2-D and finite; if neither `k` nor `rtol` is given; if an option is out of
        range.

    See Also
    --------
    eigh : the same for a symmetric matrix.
    spectral_norm : the first singular value alone.

    Notes
    -----
    With n the short side, and s = k + 10: :math:`m n^2 + n^3` operations in two passes
    if n is at most 2000, or 40 s (256, or 4 k, for sparse matrices and operators if there is no
    `rtol`); otherwise 4 m n for each column of the block Krylov space [1]_ [2]_, which has max(4k,
    400) columns of the short side; with `rtol` as many as it takes, and up to twice the memory.
    Dask arrays are read once for each block of s columns, and once more.

    Brackets follow from the residuals [3]_ and allow for :math:`c u \sigma_1^2`, :math:`c = 500 +
    \sqrt{\max(m, n)}` and u the unit roundoff (an operator's is that of its dtype), in the squares:
    for values below 1e-7 of the first they carry little information. `error` is accurate to 1e-3 if
    it exceeds 1e-7 of the first singular value. For operators whose Gram matrix is not formed it is
    an estimate from 10 new random vectors, whose interval covers in at least 95%; the bounds of
    explained variance use the same interval.

    References
    ----------
    .. [1] Halko, Martinsson and Tropp, "Finding structure with randomness: probabilistic algorithms
       for constructing approximate matrix decompositions", SIAM Rev. 53 (2011), 217-288.
    .. [2] Musco and Musco, "Randomized block Krylov methods for stronger and faster approximate
       singular value decomposition", NeurIPS (2015), arXiv:1504.05477.
    .. [3] Li and Li, "A note on eigenvalues of perturbed Hermitian matrices", Linear Algebra Appl.
       395 (2005), 183-190.

    Examples
    --------
    >>> import numpy as np
    >>> import randla
    >>> A = np.random.default_rng(0).standard_normal((300, 200)) / np.arange(1, 201) ** 2
    >>> fit = randla.svd(A, 3)
    >>> exact = np.linalg.svd(A, compute_uv=False)
    >>> bool(((fit.s_lower <= exact[:3]) & (exact[:3] <= fit.s_upper)).all())
    True
    >>> bool(np.isclose(fit.error, np.sqrt((exact[3:] ** 2).sum())))
    True
    >>> randla.svd(A, rtol=0.01).s.size  # rank for an error of one percent
    15
    """
    with showing_progress("svd", as_flag(progress, "progress")):
        return decompose(
            A, k, rtol=rtol, center=center, tol=tol, certify=certify, max_passes=max_passes, rng=rng
        )


def decompose(
    A: Any,
    k: int | None,
    *,
    rtol: float | None,
    center: bool,
    tol: float,
    certify: str = "auto",
    max_passes: int | None = None,
    rng: Any,
    left: bool = True,
) -> SvdResult:
    """`svd`; U may be empty unless `left`, where that saves a read."""
    center = as_flag(center, "center")
    if k is None and rtol is None:
        raise ValueError("k or rtol must be given, the rank or the relative error, got neither")
    if rtol is not None:
        rtol = as_number(rtol, "rtol", low=0.0, high=1.0, closed="neither")
    k = None if k is None else as_count(k, "k")
    tol = as_number(tol, "tol", low=0.0, high=1.0, closed="neither")
    as_choice(certify, "certify", ("auto", "frobenius", "quadratic"))
    max_passes = None if max_passes is None else as_count(max_passes, "max_passes", minimum=2)
    generator = generator_from_key(draw_key(as_generator(rng)))
    matrix = open_matrix(A, center=center)
    short = min(matrix.shape)
    if k is not None:
        as_count(k, "k", maximum=short, note=", the short side of A")
    if certify == "frobenius" and not matrix.is_read:
        raise ValueError("certify must be 'auto' or 'quadratic' for an operator, got 'frobenius'")
    on_disk = not are_in_memory(A)
    if certify == "auto":
        certify = "frobenius" if on_disk else "quadratic"
    if max_passes is None:
        max_passes = _MAX_DASK_PASSES if on_disk else _MAX_PASSES
    goal = Goal(k or short, rtol, tol, certify == "quadratic", max_passes, generator)
    flipped = matrix.shape[0] < matrix.shape[1]
    tall: Any = matrix.transposed() if flipped else matrix
    return _result(matrix, tall, find_subspace(tall, goal, on_disk), goal, left or flipped)


def _factors(tall: Any, found: Subspace, left: bool) -> tuple[Array, Array, Array, Array]:
    """U, s, V with ``A V = U diag(s)``, and the residuals."""
    unit = coarse_rounding(tall)
    if found.factors is not None:
        (U, s, V), W = found.factors, None
    elif not left and found.residuals is not None and _is_known(tall, found):
        s, norms = np.sqrt(found.upper), np.linalg.norm(found.residuals, axis=0)
        return np.empty((tall.shape[0], 0)), s, found.V, (norms + unit * _top(s[0] ** 2, found)) / s
    else:
        U, s, W = thin_svd(tall.times(found.V))
        V = found.V @ W  # of all that the columns of V span the best
    top = _top(s[0] ** 2, found)
    if found.residuals is None or W is None or s[-1] <= _GRAM_FLOOR * s[0]:
        norms = np.linalg.norm(tall.transposed_times(U) - s * V, axis=0)
        return U, s, V, norms + unit * math.sqrt(top)
    return U, s, V, (np.linalg.norm(found.residuals @ W, axis=0) + unit * top) / s


def _top(square: float, found: Subspace) -> float:
    """The largest square, with the means that are subtracted: the scale of rounding errors."""
    return float(square + found.offset**2)


def _is_known(tall: Any, found: Subspace) -> bool:
    """Whether the Gram matrix alone gives values and the error with nearly all of their digits."""
    slack = rounding(tall) * (found.total + found.offset**2)
    mu, top = found.upper, _top(found.upper[0], found)
    return found.method == "gram" and bool(
        mu[-1] > _GRAM_ACCURATE * top and found.total - mu.sum() >= 500.0 * slack
    )


@single_threaded_blas()
def _result(matrix: Any, tall: Any, found: Subspace, goal: Goal, left: bool) -> SvdResult:
    flipped, scale = tall is not matrix, tall.scale
    U, s, V, residuals = _factors(tall, found, left)
    unit = rounding(tall)
    top = _top(s[0] ** 2, found)
    below = unit * (np.sqrt(top) if U.size else top / s)  # A V rounds less than A'A
    lower, upper = monotone(s - below, np.sqrt(found.upper + unit * top))
    upper = np.maximum(upper, s)
    error, interval, kind = _error(tall, found, U, s, V, goal)
    low, high = np.square(interval) + (s * s).sum() if kind == "estimate" else 2 * (found.total,)
    shares = [np.divide(x * x, d, out=np.zeros_like(s), where=d > 0.0)
              for x, d in ((s, error**2 + (s * s).sum() if kind == "estimate" else found.total),
                           (lower, high), (upper, low))]  # fmt: skip
    require_in_range(float(max(s[0], error)) * scale, "norm")
    if flipped:
        U, V = V, U
    signs = np.sign(V[np.abs(V).argmax(axis=0), np.arange(s.size)])
    if U.size:
        U = np.multiply(U, signs, out=U if U.flags.c_contiguous else None)
    mean = None if matrix.mean is None else matrix.mean * scale
    return SvdResult(
        U, s * scale, np.ascontiguousarray((V * signs).T), lower * scale, upper * scale,
        error * scale, (interval[0] * scale, interval[1] * scale), kind, residuals * scale,
        shares[0], (shares[1], np.minimum(shares[2], 1.0)), mean,
        tall.n_passes, found.method, found.converged,
    )  # fmt: skip


def _error(
    tall: Any, found: Subspace, U: Array, s: Array, V: Array, goal: Goal
) -> tuple[float, tuple[float, float], str]:
    """Frobenius norm of ``A - U diag(s) V'``, its interval, and its kind."""
    if np.isfinite(found.total):
        square = found.total - (s * s).sum() if found.tail is None else found.tail
        slack = rounding(tall) * (found.total + found.offset**2)
        if found.tail is None and square < 500.0 * slack:  # digits are lost
            square = tall.residual_squared_norm(U * s, V)
        error = math.sqrt(max(square, 0.0))
        return error, (error, error), "exact"
    square = probed_tail(tall, V, goal.rng)
    ends = [math.sqrt(N_PROBES * square / chdtri(N_PROBES, p)) for p in (0.025, 0.975)]
    return math.sqrt(square), (ends[0], ends[1]), "estimate"
