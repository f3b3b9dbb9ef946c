"""The trace of a square matrix: exact if it can be read, else estimated from products."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from randla._random import draw_key
from randla._results import RandlaWarning, warn_caller
from randla._scaling import rounded_sum
from randla._typing import Array
from randla._validation import as_choice, as_count, as_flag, as_number
from randla.spectral._matrix.base import require_in_range
from randla.spectral._matrix.square import (
    SquareMatrix,
    as_readable,
    diagonal_by_products,
    is_operator,
    read_diagonal,
)
from randla.spectral._traces.estimate import Estimate, EstimateByProducts, require_enough
from randla.spectral._traces.methods import METHODS

#: Products of an operator if their number is not given, and the most of them with `rtol`.
DEFAULT_PRODUCTS, MOST_PRODUCTS = 100, 640
_CONFIDENCE = 0.95  # of the interval that rtol bounds
_FIRST = 40  # products of the first estimate with rtol


class FewProductsWarning(RandlaWarning):
    """Too few products: coverage may be below the nominal level, or `rtol` is not met.

    Issued by `trace`; a larger `n_products` removes the cause.
    """


@dataclass(frozen=True, eq=False, repr=False)
class TraceResult(EstimateByProducts):
    """A trace and its standard error: the result of `trace`.

    Attributes
    ----------
    value : float
        The estimate of the trace, or the trace itself.
    standard_error : float
        Standard error of the algorithm, given the matrix; 0 if the trace is exact.
    degrees_of_freedom : float
        Degrees of freedom of Student's t in the interval; inf if the trace is exact.
    n_products : int
        Number of products of the matrix with a vector.
    method : str
        "exact", "xtrace", "xnystrace", "hutch++" or "hutchinson".
    converged : bool
        Whether `rtol` was met (True if there was none).
    """

    converged: bool

    def __float__(self) -> float:
        return float(self.value)


def trace(
    A: Any,
    n_products: int | None = None,
    *,
    rtol: float | None = None,
    psd: bool = False,
    method: Literal["auto", "xtrace", "xnystrace", "hutch++", "hutchinson"] = "auto",
    rng: Any = None,
) -> TraceResult:
    r"""Compute or estimate the trace of a square matrix, with a standard error.

    If the entries can be read, the trace is exact: the sum of the diagonal, correctly rounded. For
    an operator, of which only products are known, it is estimated from products with random vectors
    [1]_ [2]_, with a standard error.

    Parameters
    ----------
    A : (n, n) array_like, sparse matrix, LinearOperator or Dask array
        Real. For an operator the product with a block of vectors (``matmat``) is used if available.
    n_products : int, optional
        Maximum number of vectors by which `A` is multiplied: 100 by default, or 640 if `rtol` is
        given. From n on the trace is computed exactly from n products.
    rtol : float, optional
        Double the number of products until half of the 95% confidence interval is at most
        ``rtol * abs(value)``; use n more products for the exact value when `n_products` would no
        longer allow that later. The rule is checked only a few times; still, an interval after
        stopping does not have exactly 95% coverage.
    psd : bool, default False
        Declares `A` symmetric and positive semidefinite, which makes "auto" cheaper. This is
        checked as far as the products show it.
    method : {"auto", "xtrace", "xnystrace", "hutch++", "hutchinson"}, default "auto"
        A method given by name is used even if the entries can be read.

        - "auto": "xnystrace" with `psd`, else "xtrace"; exact if the entries can be read.
        - "xtrace": for any matrix [2]_; the best choice if the singular values decay.
        - "xnystrace": needs `psd`; the same with half as many products.
        - "hutch++": independent probes outside a basis of the range [1]_. Its interval has its
          nominal level, and is not wider: often narrower than XTrace's if singular values decay
          slowly, wider if they decay fast (there it covered in 88-93% at nominal 95%).
        - "hutchinson": the mean of independent :math:`x^T A x`. For flat spectra, and for n so
          large that not all products fit into memory: it stores 64 vectors at a time.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same vectors.

    Returns
    -------
    TraceResult
        `value`, `standard_error`, `degrees_of_freedom`, `n_products`, `method`, `converged`,
        ``confidence_interval(level=0.95)``; ``float(result)`` is the value.

    Raises
    ------
    ValueError, TypeError
        If `A` is not real, square and finite, or is found not to be positive semidefinite with
        ``psd=True``; if `n_products` is too small for the method.

    Warns
    -----
    FewProductsWarning
        For fewer than 40 products of "xtrace" and 60 of "xnystrace", and if `rtol` is not met.

    See Also
    --------
    diagonal : the diagonal itself.
    logdet : the trace of the logarithm.

    Notes
    -----
    The estimators are unbiased for any matrix. The spread of the terms of XTrace and XNysTrace,
    which share all vectors but one, is *not* the error of their mean: used as such, it covered in
    35 to 94% at nominal 95%. The standard error here is the jackknife of the whole estimator that
    leaves two vectors out in all ways, which takes :math:`O(m^3)` and no product. It is
    conservative in expectation for the *variance* (Efron and Stein). Coverage is measured, not
    proved: 94-100% at nominal 95%, but 85-92% for one large eigenvalue above a flat rest with
    fewer products than stated under Warns.

    Time: the products, and :math:`O(n m^2)` for m vectors; memory: :math:`O(nm)`.

    References
    ----------
    .. [1] Meyer, Musco, Musco and Woodruff, "Hutch++: optimal stochastic trace estimation", SOSA
       (2021), 142-155.
    .. [2] Epperly, Tropp and Webber, "XTrace: making the most of every sample in stochastic trace
       estimation", SIAM J. Matrix Anal. Appl. 45 (2024), 1-23.

    Examples
    --------
    The number of triangles in a graph is a sixth of the trace of the third power of its adjacency
    matrix:

    >>> import numpy as np
    >>> from scipy.sparse import random_array
    >>> from scipy.sparse.linalg import aslinearoperator
    >>> import randla
    >>> G = random_array((2000, 2000), density=0.01, rng=np.random.default_rng(0))
    >>> G = ((G + G.T) > 0).astype(float)
    >>> G.setdiag(0)
    >>> cube = aslinearoperator(G) ** 3
    >>> result = randla.trace(cube, 100, rng=0)
    >>> low, high = result.confidence_interval()
    >>> exact = (G @ G).multiply(G).sum()
    >>> bool(low <= exact <= high), result.n_products, result.method
    (True, 100, 'xtrace')
    """
    psd = as_flag(psd, "psd")
    name = as_choice(method, "method", ("auto", *METHODS))
    rtol = None if rtol is None else as_number(rtol, "rtol", low=0.0, closed="right")
    n_products = None if n_products is None else as_count(n_products, "n_products")
    key = draw_key(rng)
    A = as_readable(A)
    if name == "auto" and not is_operator(A):
        return _exact(read_diagonal(A), 0, psd)
    if name == "auto":
        name = "xnystrace" if psd else "xtrace"
    if name == "xnystrace" and not psd:
        raise ValueError(
            "psd must be True for the method 'xnystrace', got False: pass psd=True if A is "
            "symmetric and positive semidefinite, otherwise method='xtrace'"
        )
    matrix = SquareMatrix(A)
    run = METHODS[name](matrix, key, psd)
    if n_products is None:
        n_products = DEFAULT_PRODUCTS if rtol is None else MOST_PRODUCTS
    other = "hutchinson", METHODS["hutchinson"].fewest
    require_enough(n_products, min(run.fewest, matrix.n), name, other)
    size = n_products if rtol is None else max(run.reliable_from, _FIRST)
    while True:
        size = min(size, n_products)
        if _exact_is_due(matrix, size, n_products):
            return _exact(diagonal_by_products(A), matrix.n_products + matrix.n, psd)
        result = _scaled(run.estimate(size), matrix, name)
        excess = 0.0 if rtol is None else _excess(result, rtol)
        if excess <= 1.0 or run.at_rounding or size == n_products:
            return _warned(replace(result, converged=excess <= 1.0), run.reliable_from, excess)
        size *= 2


def _exact_is_due(matrix: SquareMatrix, size: int, n_products: int) -> bool:
    """Whether n more products suffice now, and not after an estimate from `size`, or cost less."""
    affordable = matrix.n_products + matrix.n <= n_products
    return affordable and (size >= matrix.n or size + matrix.n > n_products)


def _scaled(estimate: Estimate, matrix: SquareMatrix, name: str) -> TraceResult:
    value, error, df = estimate
    scale = matrix.scale
    value = require_in_range(value * scale, "trace")
    return TraceResult(value, error * scale, df, matrix.n_products, name, True)


def _excess(result: TraceResult, rtol: float) -> float:
    """Half of the interval over the tolerance: at most 1 if it is met."""
    low, high = result.confidence_interval(_CONFIDENCE)
    half, wanted = 0.5 * (high - low), rtol * abs(result.value)
    return half / wanted if wanted > 0.0 else (0.0 if half == 0.0 else math.inf)


def _warned(result: TraceResult, reliable_from: int, excess: float) -> TraceResult:
    if excess > 1.0:
        warn_caller(
            f"trace stopped at {result.n_products} products, where half of the interval is "
            f"{excess:.3g} times what rtol allows",
            FewProductsWarning,
        )
    elif result.n_products < reliable_from:
        warn_caller(
            f"{result.n_products} products are few for the method {result.method!r}: below "
            f"{reliable_from} its error is conservative for the variance only, and coverage may be "
            "below nominal (85-92% at nominal 95% for one large eigenvalue)",
            FewProductsWarning,
        )
    return result


def _exact(diagonal: Array, n_products: int, psd: bool) -> TraceResult:
    """The sum, correctly rounded."""
    if psd and diagonal.min() < 0.0:
        raise ValueError(
            "A must be positive semidefinite with psd=True, got the diagonal entry "
            f"{diagonal.min():.3g}: pass psd=False"
        )
    value = rounded_sum(diagonal)
    if math.isinf(value):
        scale = math.ldexp(1.0, -len(diagonal).bit_length())
        value = rounded_sum(diagonal * scale) / scale
    value = require_in_range(value, "trace")
    return TraceResult(value, 0.0, math.inf, n_products, "exact", True)
