"""Log-determinants: exact by Cholesky, or by Lanczos quadrature between two bounds.

With M = A / lower, or P^(-1/2) A P^(-1/2) for a preconditioner P, log det A is known but for
tr log M, the mean of z' log(M) z over random signs z (Hutchinson). Each of these numbers is
bracketed by the Gauss and the Radau rule (`_quadrature.lanczos`), whose bias no spread over z would
show.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.linalg.lapack import dpotrf

from randla._parallel import showing_progress
from randla._random import draw_keys
from randla._results import Result, t_of_tail
from randla._scaling import power_of_two_scale
from randla._typing import Array
from randla._validation import are_in_memory, as_count, as_flag, as_level, as_number, is_sparse
from randla.spectral._matrix.square import (
    SquareMatrix,
    as_readable,
    is_operator,
    require_symmetric,
)
from randla.spectral._quadrature.preconditioner import (
    BoundedMatrix,
    Preconditioner,
    pivoted_preconditioner,
)
from randla.spectral._quadrature.stochastic_lanczos import MAX_STEPS, bracket_probes

#: Without `n_products`: exact up to these sizes, where that costs no more.
_SMALL = {"array": 2000, "sparse": 1000, "operator": 64}
#: Steps of the first vectors after which an array is factorized instead, one for so many rows: with
#: the attempt that costs twice the factorization at most, and Lanczos 0.2 to 1 of it.
_ROWS_OF_A_STEP = 500
#: Asymmetry that is refused, relative to the largest number; operators may be iterative solvers.
_ASYMMETRY = {"array": 1e-8, "sparse": 1e-8, "operator": 1e-3}
#: What to do about a matrix that is not positive definite.
_ANY_SIGN = ": numpy.linalg.slogdet takes any square array"
#: A bracket of the quadrature counts as narrow below this part of the standard error.
_NARROW = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class LogdetResult(Result):
    """A log-determinant with its error: the result of `logdet`.

    Attributes
    ----------
    value : float
        The estimate of the log-determinant, or the log-determinant itself.
    standard_error : float
        Standard error of the algorithm, over random vectors; 0 if exact up to rounding.
    quadrature_lower, quadrature_upper : float
        The means of the lower and the upper bound of the quadrature; `value` is their midpoint. The
        distance between them is an error that `standard_error` does not include.
    n_products : int
        Number of products of `A` with a vector.
    method : str
        "cholesky" (exact) or "lanczos".
    degrees_of_freedom : float
        Number of random vectors minus one; inf if the value is exact.
    converged : bool
        Whether the quadrature bracket is narrower than half a standard error. The interval is valid
        in any case; more `n_products` or a better preconditioner make it shorter.
    rank : int
        Rank of the preconditioner, 0 without one.
    """

    value: float
    standard_error: float
    quadrature_lower: float
    quadrature_upper: float
    n_products: int
    method: str
    degrees_of_freedom: float
    converged: bool
    rank: int
    _end_errors: tuple[float, float]  # standard errors of the two ends of the bracket
    _skewness: float  # of the sample
    _certain: tuple[float, float]  # bounds that hold without chance

    _shown: ClassVar[tuple[str, ...]] = (
        "value", "standard_error", "quadrature_lower", "quadrature_upper", "n_products", "method",
        "converged", "rank",
    )  # fmt: skip

    def __float__(self) -> float:
        return self.value

    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the ends of an interval that contains the bracket of the quadrature.

        From the lower bound minus t of its standard errors to the upper bound plus t of its
        standard errors, with Student's t, each end moved outward by a correction for the skewness
        of the sample [1]_. The interval is cut at bounds that hold with certainty, except for the
        bracket.

        Parameters
        ----------
        level : float
            Coverage probability, over the random vectors.

        Returns
        -------
        low, high : float

        References
        ----------
        .. [1] Johnson, "Modified t tests and confidence intervals for asymmetrical populations", J.
           Amer. Statist. Assoc. 73 (1978), 536-544.
        """
        t = float(t_of_tail(0.5 * (1.0 - as_level(level)), self.degrees_of_freedom))
        push = (
            self._skewness * (1.0 + 2.0 * t * t) / (6.0 * math.sqrt(self.degrees_of_freedom + 1.0))
        )
        low = self.quadrature_lower - (t + max(-push, 0.0)) * self._end_errors[0]
        high = self.quadrature_upper + (t + max(push, 0.0)) * self._end_errors[1]
        return (
            min(max(low, self._certain[0]), self.quadrature_lower),
            max(min(high, self._certain[1]), self.quadrature_upper),
        )


def logdet(
    A: Any,
    *,
    lower: float | None = None,
    n_products: int | None = None,
    preconditioner: Any = "auto",
    rng: Any = None,
    progress: bool = False,
) -> LogdetResult:
    r"""Compute or estimate the log-determinant of a symmetric positive definite matrix.

    Exact by Cholesky if that is affordable, otherwise by stochastic Lanczos quadrature [1]_ whose
    bias is bracketed [2]_: for each of m random sign vectors z, the Gauss rule is above
    :math:`z^T \log(M) z` and the Gauss-Radau rule with a node at `lower` is below. The Gauss rule
    alone, which is the usual estimate, is off by hundreds of its standard errors on ordinary
    covariance matrices.

    Parameters
    ----------
    A : (n, n) array_like, sparse matrix, LinearOperator or Dask array
        Symmetric and positive definite. An array must be symmetric to 1e-8 of its largest entry.
    lower : float, optional
        A positive bound below the least eigenvalue of `A`: the noise variance of a Gaussian
        process, the shift of a Laplacian. It cannot be verified in general: it is refused only if
        the computation contradicts it. Without it, a matrix whose entries can be read is
        factorized, and an operator is refused unless ``n_products >= n``, as the error of the
        quadrature then has no bound.
    n_products : int, optional
        Maximum number of products of `A` with a vector, at least 4. By default 16 random vectors,
        with as many products each (at most 100) as make the bracket of the quadrature narrow; an
        array is factorized up to 2000 rows, or if the first vectors need more than n/500 steps
        each; a given preconditioner is then not used. From n products on the result is exact.
    preconditioner : {"auto", None, result of `pivoted_cholesky`}
        :math:`P = F F^T + r I` with r slightly above `lower`, whose determinant is known, so that
        only that of :math:`P^{-1/2} A P^{-1/2}` is estimated. "auto": for an array, F is a pivoted
        Cholesky factor of :math:`A - \mathtt{lower}\, I`, of rank at most n/4 or :math:`8\sqrt n`;
        otherwise there is none. A result of :func:`pivoted_cholesky` must be that of a matrix K
        with :math:`A - \mathtt{lower}\, I - K` positive semidefinite: the kernel matrix in A = K +
        lower I. A float32 factor is refused if `lower` is near its rounding errors.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result.
    progress : bool, default False
        Show a progress bar for long passes (needs tqdm).

    Returns
    -------
    LogdetResult
        ``value``, ``standard_error`` (of the algorithm), ``confidence_interval(level)``.

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, square and finite or is found not to be symmetric and positive definite,
        if `lower` is not positive or is found to be above the least eigenvalue of `A`, or if an
        option is out of range.

    See Also
    --------
    pivoted_cholesky : the preconditioner, and bounds of the same determinant.

    Notes
    -----
    Cholesky takes :math:`n^3/3` operations and a copy of `A`; a sparse matrix of more than 1000
    rows is factorized in sparse form, whose fill-in can be avoided only by giving `lower`. Lanczos
    takes ``n_products`` products, :math:`O(nl)` operations more for each (l is the number of steps,
    at most 100, whose vectors are all kept orthogonal), and 8 n l doubles; a preconditioner of rank
    k takes :math:`O(nk^2)`, and O(nk) for each product.

    The bracket holds for every z; the interval adds Student's t with m - 1 degrees of freedom, and
    a correction for skewness. It covered in 93 percent or more at nominal 95 in all settings of the
    page "Every interval". Coverage is lower if few vectors meet one eigenvalue far above a flat
    rest, as most of them hardly see it: by 6 points with 4 vectors, by 3 with the default 16, and
    not with 40. Rounding limits both: above a condition number of about 1e13 digits of the
    determinant are lost.

    References
    ----------
    .. [1] Ubaru, Chen and Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature",
       SIAM J. Matrix Anal. Appl. 38 (2017), 1075-1099.
    .. [2] Golub and Meurant, "Matrices, moments and quadrature with applications", Princeton
       University Press (2010), chapter 6.

    Examples
    --------
    A Gaussian process with noise of variance 0.1:

    >>> import numpy as np, randla
    >>> x = np.linspace(0.0, 1.0, 500)
    >>> A = np.exp(-0.5 * (x[:, None] - x) ** 2 / 0.1**2) + 0.1 * np.eye(500)
    >>> result = randla.logdet(A, lower=0.1, n_products=100, rng=0)
    >>> low, high = result.confidence_interval(0.99)
    >>> bool(low <= np.linalg.slogdet(A)[1] <= high), result.method
    (True, 'lanczos')

    The exact value:

    >>> bool(abs(randla.logdet(A).value - np.linalg.slogdet(A)[1]) < 1e-9)
    True
    """
    with showing_progress("logdet", as_flag(progress, "progress")):
        return _logdet(A, lower, n_products, preconditioner, rng)


def _logdet(
    A: Any, lower: float | None, n_products: int | None, preconditioner: Any, rng: Any
) -> LogdetResult:
    matrix, kind = _read(A)
    n = matrix.shape[0]
    if lower is not None:
        lower = as_number(lower, "lower", low=0.0, closed="neither")
    if n_products is not None:
        n_products = as_count(n_products, "n_products", minimum=4)
    key_of_pivots, key_of_signs = draw_keys(rng, 2)
    _check_preconditioner(preconditioner, n)
    small = n <= (n_products or _SMALL[kind])
    if kind != "operator" and (small or lower is None):
        return _from_entries(matrix, lower)
    square = SquareMatrix(matrix)
    if small:
        return _from_columns(square, lower)
    if lower is None:
        raise ValueError(
            "lower must be given for an operator, a positive number below its least eigenvalue, or "
            f"n_products of at least n = {n}, got lower=None, n_products={n_products}"
        )
    P = _preconditioner_of(preconditioner, matrix, kind == "array", lower, key_of_pivots)
    M = BoundedMatrix(square, lower, P, _ASYMMETRY[kind])
    is_cheap = kind == "array" and not n_products  # to factorize, compared with many steps
    patience = n // _ROWS_OF_A_STEP if is_cheap else MAX_STEPS
    bounds = bracket_probes(M, key_of_signs, n_products, patience)
    if bounds is None:
        return _from_entries(matrix, lower, square.n_products)
    return _by_lanczos(M, square, *bounds)


def _read(A: Any) -> tuple[Any, str]:
    """A, and what it is: an "array" or "sparse", of float64, or an "operator"."""
    A = as_readable(A)
    if is_operator(A) or not are_in_memory(A):
        return A, "operator"  # Dask: by its products
    if A.dtype == np.float32:  # for the digits of the products
        A = A.astype(np.float64)
    return A, "sparse" if is_sparse(A) else "array"


# Exact -------------------------------------------------------------------------------------------


def _from_entries(A: Any, lower: float | None, n_products: int = 0) -> LogdetResult:
    largest = float(abs(A).max())
    gap = _asymmetry(A)
    if gap > _ASYMMETRY["array"] * largest:
        raise ValueError(
            f"A must be symmetric, got A[i, j] and A[j, i] that differ by {gap / largest:.2g} of "
            "the largest entry: pass 0.5 * (A + A.T) if that is rounding"
        )
    scale = float(1.0 / power_of_two_scale(largest))
    if is_sparse(A) and A.shape[0] > _SMALL["sparse"]:
        value = _log_of_sparse_pivots(A, scale)
    else:
        dense = A.toarray() if is_sparse(A) else A
        value = _log_of_pivots(np.divide(dense, scale, dtype=np.float64, order="C"))
    return _exact(A.shape[0], value + A.shape[0] * math.log(scale), n_products, lower)


def _from_columns(square: SquareMatrix, lower: float | None) -> LogdetResult:
    """By the products with all columns of the identity."""
    columns = square.times(np.eye(square.n))
    require_symmetric(columns, "A must be symmetric", _ASYMMETRY["operator"])
    value = _log_of_pivots(np.ascontiguousarray(columns.T)) + square.n * math.log(square.scale)
    return _exact(square.n, value, square.n_products, lower)


def _exact(n: int, value: float, n_products: int, lower: float | None) -> LogdetResult:
    if lower is not None and value < n * math.log(lower) - 1e-6 * n:
        raise ValueError(
            f"lower must be below the least eigenvalue of A, got lower={lower:g} and eigenvalues "
            f"whose geometric mean is {math.exp(value / n):g}: pass a smaller lower, or none"
        )
    ends = (0.0, 0.0), 0.0, (value, value)
    return LogdetResult(value, 0.0, value, value, n_products, "cholesky", math.inf, True, 0, *ends)


def _asymmetry(A: Any) -> float:
    """The largest difference of A and its transpose."""
    if is_sparse(A):
        return float(abs(A - A.T).max())
    parts = (A[i : i + 256] - A[:, i : i + 256].T for i in range(0, len(A), 256))
    return max(float(np.abs(part).max()) for part in parts)


def _log_of_pivots(A: Array) -> float:
    """The log-determinant by Cholesky; A is C-ordered and overwritten."""
    L, order = dpotrf(A.T, lower=True, overwrite_a=True, clean=False)
    if order:
        raise ValueError(
            f"A must be positive definite, got one whose leading {order} x {order} block is not"
            f"{_ANY_SIGN}"
        )
    return 2.0 * float(np.log(L.diagonal()).sum())


def _log_of_sparse_pivots(A: Any, scale: float) -> float:
    """The log-determinant by L D L': SuperLU without pivoting, whose U has the diagonal D."""
    from scipy.sparse.linalg import splu

    options = {"SymmetricMode": True}
    try:
        factor = splu((A / scale).tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    except RuntimeError as error:  # exactly singular
        raise ValueError("A must be positive definite, got a singular matrix") from error
    pivots = factor.U.diagonal()
    if (factor.perm_r != factor.perm_c).any():
        raise ValueError(
            f"A must be positive definite, got a zero pivot in its LDL' decomposition{_ANY_SIGN}"
        )
    if not (pivots > 0.0).all():
        raise ValueError(
            f"A must be positive definite, got a pivot of {scale * pivots.min():.2g} in its LDL' "
            f"decomposition{_ANY_SIGN}"
        )
    return float(np.log(pivots).sum())


# Lanczos -----------------------------------------------------------------------------------------


def _by_lanczos(M: BoundedMatrix, square: SquareMatrix, below: Array, above: Array) -> LogdetResult:
    P = M.P
    size = M.n * abs(math.log(P.ridge)) + abs(P.log_det) + float(np.abs(above).mean())
    condition = M.norm / max(M.smallest, M.least)
    rounding = square.eps * (10.0 * size + math.sqrt(M.n) * condition)
    middle = 0.5 * (below + above)
    error, low_error, high_error = (
        math.hypot(x.std(ddof=1) / math.sqrt(len(x)), rounding) for x in (middle, below, above)
    )
    value, low, high = (P.log_det + float(x.mean()) for x in (middle, below, above))
    return LogdetResult(
        value=value,
        standard_error=error,
        quadrature_lower=low,
        quadrature_upper=high,
        n_products=square.n_products,
        method="lanczos",
        degrees_of_freedom=len(middle) - 1.0,
        converged=high - low <= _NARROW * error,
        rank=P.rank,
        _end_errors=(low_error, high_error),
        _skewness=_skewness(middle, rounding),
        _certain=P.bounds,
    )


def _skewness(x: Array, rounding: float) -> float:
    """The sample skewness g_1 with its factor sqrt(m (m - 1)) / (m - 2); 0 if it is rounding."""
    m, spread = len(x), float(x.std())
    if m < 3 or spread <= rounding:
        return 0.0
    return float(np.mean(((x - x.mean()) / spread) ** 3)) * math.sqrt(m * (m - 1.0)) / (m - 2.0)


def _preconditioner_of(
    choice: Any, A: Any, is_array: bool, lower: float, key: np.uint64
) -> Preconditioner:
    if choice is None or (isinstance(choice, str) and not is_array):
        return Preconditioner(np.empty((0, A.shape[0])), lower, np.zeros(1), is_all=False)
    if isinstance(choice, str):
        return pivoted_preconditioner(A, lower, key)
    rest = np.asarray(choice.diagonal_error)
    return Preconditioner(np.asarray(choice.factor).T, lower, rest, is_all=False)


def _check_preconditioner(choice: Any, n: int) -> None:
    if choice is None or (isinstance(choice, str) and choice == "auto"):
        return
    factor = getattr(choice, "factor", None)
    if factor is None:
        raise TypeError(
            "preconditioner must be 'auto', None or a result of pivoted_cholesky, "
            f"got {type(choice).__name__}"
        )
    if np.ndim(factor) != 2 or len(factor) != n:
        raise ValueError(
            f"preconditioner must have a factor of {n} rows, like A, got shape {np.shape(factor)}"
        )
