"""Low-rank approximation of a kernel matrix from few of its columns, with an exact error."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from randla._parallel import part_bounds, run_parts, showing_progress
from randla._random import as_generator
from randla._results import Result
from randla._scaling import EPS
from randla._typing import Array
from randla._validation import (
    as_array,
    as_count,
    as_flag,
    as_number,
    as_points,
    require_rhs_shape,
)
from randla.spectral._kernel_matrix.determinant import determinant_bounds
from randla.spectral._kernel_matrix.kernel_functions import (
    KernelFunction,
    KernelOfPoints,
    Precomputed,
    as_kernel,
)
from randla.spectral._kernel_matrix.pivoted_factor import pivoted_factor
from randla.spectral._matrix.base import require_in_range

_N_PARTS = 8  # of the rows, for sums over them: each holds a matrix (k, k)
_FLOPS = 1e10  # a second, roughly
#: Ridges below this part of the trace lose digits that one step of refinement does not restore.
_LOST = 1e6 * EPS


@dataclass(frozen=True, eq=False, repr=False)
class PivotedCholeskyResult(Result):
    r"""A partial Cholesky factor of a kernel matrix K, and its error.

    The result of `pivoted_cholesky`.

    The residual :math:`E = K - FF^T` is positive semidefinite, so that its diagonal, which is
    known, bounds all of it: :math:`|E_{ij}| \le \sqrt{E_{ii} E_{jj}}`, and no norm of it is larger
    than its trace.

    Attributes
    ----------
    factor : (n, k) ndarray
        The factor F, with fewer columns than requested if the remainder is rounding error.
    pivots : (k,) ndarray
        The chosen rows of K, in order. ``factor[pivots]`` is lower triangular.
    trace_error : float
        Trace of E: exact up to rounding.
    diagonal_error : (n,) ndarray
        Diagonal of E.
    trace : float
        Trace of K.
    """

    factor: NDArray[Any]
    pivots: NDArray[np.int64]
    trace_error: float
    diagonal_error: Array
    trace: float
    _kernel: KernelFunction | None = field(repr=False)  # None: precomputed
    _points: NDArray[Any] | None = field(repr=False)  # at the pivots

    def solve(self, b: ArrayLike, ridge: float) -> Array:
        r"""Solve a system with the approximation: :math:`x = (FF^T + \mathtt{ridge}\, I)^{-1} b`.

        By the Woodbury identity, with a step of refinement; :math:`O(nk)` a column of `b`, after
        :math:`O(nk^2)` once. For a `ridge` below 2e-10 times the trace of :math:`FF^T` by
        an SVD of the factor, :math:`O(nk^2)` in each call.

        Parameters
        ----------
        b : (n,) or (n, m) array_like
            One or several right-hand sides.
        ridge : float
            Greater than 0.

        Returns
        -------
        x : (n,) or (n, m) ndarray
        """
        ridge = as_number(ridge, "ridge", low=0.0, closed="neither")
        b = as_array(b, "b").astype(np.float64)
        require_rhs_shape(b.shape, len(self.factor), "b", of="the factor")
        values, vectors = self._gram_eigen
        if ridge <= _LOST * values.sum():  # a step would not restore all digits
            return self._solve_by_svd(b, ridge)

        def solve_once(b: Array) -> Array:
            weights = (values + ridge)[(...,) + (None,) * (b.ndim - 1)]
            coefficients = vectors @ ((vectors.T @ self._transposed_times(b)) / weights)
            return (b - self._times(coefficients)) / ridge

        x = solve_once(b)
        residual = b - self._times(self._transposed_times(x)) - ridge * x
        return x + solve_once(residual)  # digits that the Gram matrix has lost

    def _solve_by_svd(self, b: Array, ridge: float) -> Array:
        """Part by part: errors of the part in the range of F are not divided by the ridge."""
        U, s, _ = np.linalg.svd(self.factor.astype(np.float64), full_matrices=False)
        inside = U.T @ b
        outside = b - U @ inside if len(U) > len(s) else np.zeros_like(b)
        outside -= U @ (U.T @ outside)  # what rounding left of the range
        weights = (s * s + ridge)[(...,) + (None,) * (b.ndim - 1)]
        return U @ (inside / weights) + outside / ridge

    def logdet(self, ridge: float) -> tuple[float, float]:
        r"""Return bounds for :math:`\log\det(K + \mathtt{ridge}\, I)`, with K itself.

        With E as above and :math:`\rho` the `ridge`, by Hadamard's inequality

        .. math::
            0 \le \log\det(K + \rho I) - \log\det(FF^T + \rho I) \le
            \sum_i \log(1 + E_{ii} / \rho).

        Both ends make room for rounding errors. They are close where the trace of E is below
        `ridge`.

        Parameters
        ----------
        ridge : float
            Greater than 0.

        Returns
        -------
        lower, upper : float
        """
        ridge = as_number(ridge, "ridge", low=0.0, closed="neither")
        values, _ = self._gram_eigen
        eps = float(np.finfo(self.factor.dtype).eps)
        n = len(self.factor)
        return determinant_bounds(values, self.diagonal_error, n, ridge, self.trace, eps)

    def features(self, X_new: ArrayLike) -> NDArray[Any]:
        """Return rows of the factor for new points, whose products approximate the kernel.

        For the points of the fit they equal `factor`, up to rounding.

        Parameters
        ----------
        X_new : (m, d) array_like
            Points; for a precomputed matrix (m, n): their kernel values with the points of the fit.

        Returns
        -------
        F_new : (m, k) ndarray
        """
        return self._feature_map(X_new)

    @cached_property
    def _feature_map(self) -> "FeatureMap":
        triangle = self.factor[self.pivots].astype(np.float64)
        return FeatureMap(self._kernel, self._points, self.pivots, triangle, self.factor)

    @cached_property
    def _gram_eigen(self) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors of F'F, which is summed in double precision."""
        k = self.factor.shape[1]

        def of_part(rows: Array) -> Array:
            return rows.T @ rows

        gram = sum(self._over_rows(of_part, k), np.zeros((k, k)))
        values, vectors = np.linalg.eigh(gram)
        return np.maximum(values, 0.0), vectors

    def _times(self, w: Array) -> Array:
        return np.concatenate(self._over_rows(lambda rows: rows @ w, 1))

    def _transposed_times(self, x: Array) -> Array:
        def of_part(rows: Array, part: Array) -> Array:
            return rows.T @ part

        return sum(self._over_rows(of_part, 1, x), np.zeros(()))

    def _over_rows(self, function: Any, width: int, *others: Array) -> list[Array]:
        """``function`` of the rows of F, and of others, part by part."""
        n, k = self.factor.shape
        bounds = part_bounds(n, _N_PARTS if n > 1000 else 1)

        def of_part(part: int) -> Array:
            rows = slice(*bounds[part])
            block = self.factor[rows].astype(np.float64, copy=False)
            return np.asarray(function(block, *(x[rows] for x in others)))

        seconds = 2.0 * n * k * width / _FLOPS
        return run_parts(of_part, len(bounds), seconds=seconds, blas=True)


class FeatureMap:
    """Features of new points from the kernel and the points at the pivots; holds no more."""

    def __init__(
        self,
        kernel: KernelFunction | None,
        points: NDArray[Any] | None,
        pivots: NDArray[np.int64],
        triangle: Array,
        factor: NDArray[Any],
    ) -> None:
        self.kernel, self.points, self.pivots, self.triangle = kernel, points, pivots, triangle
        self.n_fitted, self.dtype = len(factor), factor.dtype

    def __call__(self, X_new: ArrayLike) -> NDArray[Any]:
        if self.kernel is None or self.points is None:
            values = self._precomputed(X_new)
        else:
            values = self.kernel(self.points, as_points(X_new, "X_new", dim=self.kernel.dim))
        return solve_triangular(self.triangle, values, lower=True).T.astype(self.dtype)

    def _precomputed(self, K_new: ArrayLike) -> Array:
        K = as_array(K_new, "X_new", ndim=2)
        if K.shape[1] != self.n_fitted:
            raise ValueError(
                f"X_new must have {self.n_fitted} columns of kernel values, got shape {K.shape}"
            )
        return K[:, self.pivots].T.astype(np.float64)


def pivoted_cholesky(
    X: ArrayLike,
    k: int | None = None,
    *,
    kernel: Any = "precomputed",
    length_scale: ArrayLike = 1.0,
    rtol: float | None = None,
    rng: Any = None,
    progress: bool = False,
) -> PivotedCholeskyResult:
    r"""Approximate a kernel matrix from k of its columns, with the exact error.

    Pivots are drawn in proportion to the remaining diagonal (RPCholesky [1]_), by blocks of
    proposals of which some are rejected, so that their law is that of single draws [2]_.
    :math:`O(nk)` entries of the matrix are read, and :math:`O(nk^2)` operations made; the factor is
    the only large array.

    Parameters
    ----------
    X : (n, d) or (n, n) array_like
        Points, one a row, (n,) for points on a line. With ``kernel="precomputed"`` a symmetric
        positive semidefinite matrix, of which few columns are read. float32 input gives a float32
        factor.
    k : int, optional
        Maximum number of columns of the factor. Either this or `rtol` must be given.
    kernel : {"precomputed", "gaussian", "laplace", "matern12", "matern32", "matern52"} or callable
        With :math:`r = |x - y|_2 / \mathtt{length\_scale}`: "gaussian" is :math:`e^{-r^2/2}`,
        "matern12" :math:`e^{-r}`, "matern32" :math:`(1 + \sqrt 3 r) e^{-\sqrt 3 r}`, "matern52"
        :math:`(1 + \sqrt 5 r + 5r^2/3) e^{-\sqrt 5 r}`; "laplace" is
        :math:`e^{-|x - y|_1 / \mathtt{length\_scale}}`, with the 1-norm as in scikit-learn. A
        function ``k(x, y)`` of two points that Numba compiles is called with points divided by
        `length_scale`; a function ``k(x, y, theta)`` with the original points, and with
        `length_scale` as an array ``theta``: an array unchanged, a number repeated for each column
        of `X`.
    length_scale : float or (d,) array_like
        One for all columns of `X` or one for each.
    rtol : float, optional
        Stop as soon as the trace of the residual is at most `rtol` times that of the matrix.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result for any number of threads.
    progress : bool, default False
        Show a progress bar for long passes (needs tqdm).

    Returns
    -------
    PivotedCholeskyResult
        The ``factor``, its ``pivots`` and the exact ``trace_error``; ``solve``, ``logdet`` and
        ``features`` for computations with the approximation.

    Raises
    ------
    ValueError, TypeError
        If neither `k` nor `rtol` is given, or the matrix is found not to be finite, symmetric or
        positive semidefinite.

    See Also
    --------
    randla.sklearn.PivotedNystroem : the same as features for other estimators.

    References
    ----------
    .. [1] Chen, Epperly, Tropp and Webber, "Randomly pivoted Cholesky: practical approximation of a
       kernel matrix with few entry evaluations", Comm. Pure Appl. Math. 78 (2025), 995-1041,
       arXiv:2207.06503.
    .. [2] Epperly, Tropp and Webber, "Embrace rejection: kernel matrix approximation by accelerated
       randomly pivoted Cholesky", SIAM J. Matrix Anal. Appl. 46 (2025), 2527-2557,
       arXiv:2410.03969.

    Examples
    --------
    >>> import numpy as np
    >>> import randla
    >>> X = np.random.default_rng(0).standard_normal((2000, 2))
    >>> fit = randla.pivoted_cholesky(X, kernel="gaussian", rtol=1e-3, rng=0)
    >>> fit.trace_error <= 1e-3 * fit.trace
    True
    >>> F, d = fit.factor, fit.diagonal_error
    >>> exact = np.exp(-0.5 * ((X[3] - X[7]) ** 2).sum())
    >>> bool(abs(exact - F[3] @ F[7]) <= np.sqrt(d[3] * d[7]))
    True
    >>> lower, upper = fit.logdet(ridge=1.0)
    >>> upper - lower < 2.0
    True
    """
    if k is None and rtol is None:
        raise ValueError("k or rtol must be given, got neither")
    tolerance = 0.0 if rtol is None else as_number(rtol, "rtol", high=1.0, low=0.0, closed="left")
    kernel = as_kernel(kernel)
    if kernel == "precomputed":
        function, points = None, None
        matrix: Any = Precomputed(X)
    else:
        points = as_points(X)
        function = KernelFunction(kernel, length_scale, points.shape[1])
        matrix = KernelOfPoints(points, function)
    n = matrix.diagonal.size
    with np.errstate(over="ignore"):
        require_in_range(float(matrix.diagonal.sum()), "trace", "X")
    if k is not None:
        k = as_count(k, "k", maximum=n, note=", the number of points")
    with showing_progress("pivoted_cholesky", as_flag(progress, "progress")):
        factor = pivoted_factor(matrix, k, tolerance, as_generator(rng))
    return PivotedCholeskyResult(
        factor.rows.T,
        factor.pivots,
        float(factor.residual.sum()),
        factor.residual,
        factor.trace,
        function,
        None if points is None else np.array(points[factor.pivots]),
    )
