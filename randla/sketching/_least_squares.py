"""Least squares: to full precision at the speed of matrix products, or from one sketch."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import single_threaded_blas
from randla._results import Result, t_interval
from randla._validation import as_flag, as_level, is_dask
from randla.sketching._full_precision import SketchedFactor, Solution
from randla.sketching._inference import implied_eps, simultaneous_level
from randla.sketching._kronecker_rows import solve_by_factors
from randla.sketching._methods import measure_backward_error, solve, zero_solution
from randla.sketching._operators import Sketch
from randla.sketching._plan import (
    DEFAULT,
    Options,
    Recipe,
    is_structured,
    read_matrix,
    read_options,
    read_ridge,
    read_root_weights,
    read_rows,
    recipe_for,
    rows_of_sketch,
)
from randla.sketching._regression_rows import Rows
from randla.sketching._sketch_and_solve import solve_from_sketch

Matrix = NDArray[np.float64]
Method = Literal[
    "auto", "cholesky", "sketch-cholesky", "iterative", "lsqr", "lapack", "sketch-and-solve"
]
#: BLAS is held at one thread from this many entries, which pay for the call, up to this many
#: columns, beyond which the factors are worth several threads.
_MIN_SINGLE, _MAX_SINGLE = 4000, 1500


@dataclass(frozen=True, eq=False, repr=False)
class LstsqResult(Result):
    r"""What `lstsq` returns.

    Attributes
    ----------
    x : (d,) or (d, k) ndarray
        The coefficients.
    standard_error : ndarray, like x
        Standard error of the sketch, given the data: how far `x` may be from the exact
        least-squares solution. Zero at full precision. It is not the sampling error of the data.
    degrees_of_freedom : float
        Of the Student t law of ``(x - exact) / standard_error``: rows of the sketch minus rank;
        inf at full precision.
    linf_bound : float or (k,) ndarray
        :math:`\epsilon d^{-1/2} |Ax^* - b|_2 |A^+|_2`, with both norms estimated from the sketch:
        with probability at least 1 - delta it bounds the error of every coefficient. Without
        ``eps=`` that eps which the size of the sketch gives. Zero at full precision, inf for a
        sketch without the guarantee.
    rank : int or None
        Numerical rank of A with columns scaled to norm about 1; None if it was not found out
        (LSQR without a preconditioner).
    method : str
        The method that gave the answer. "sketch-and-solve" is one sketch; all others are exact.
    sketch_size : int or None
        Rows of the sketch; None at full precision.
    n_passes : int
        Reads of A.
    n_iterations : int
        Refinement steps or iterations.
    converged : bool
        At full precision, whether the estimated backward error is at rounding level; else whether
        the sketch kept the promise of `eps`, judged by the standard errors.
    """

    x: Matrix
    standard_error: Matrix
    degrees_of_freedom: float
    linf_bound: Any
    rank: int | None
    method: str
    sketch_size: int | None
    n_passes: int
    n_iterations: int
    converged: bool
    _residual_norm: Any
    _backward_error: Any
    _origin: Origin | None

    @property
    def is_estimate(self) -> bool:
        """Whether the answer comes from one sketch."""
        return self.sketch_size is not None

    @property
    def residual_norm(self) -> Any:
        """Norm of the residual of the exact solution, a float or (k,).

        The square root of the sum that is minimised, with weights and ridge. After a single
        sketch an estimate.
        """
        return self._residual_norm

    @property
    def backward_error(self) -> float:
        """Estimated relative change of A that makes x an exact solution (the largest over k).

        In the 2-norm, for columns scaled to norm about 1, by the formula of Karlson and Walden.
        After ``method="lapack"`` it costs a pass over A when it is first asked for; until then the
        result keeps a reference to A and b. After a single sketch it is the expected size.
        """
        if callable(self._backward_error):
            object.__setattr__(self, "_backward_error", self._backward_error())
        return float(self._backward_error)

    def confidence_interval(
        self, level: float = 0.95, *, simultaneous: bool = False
    ) -> tuple[Matrix, Matrix]:
        """Student t intervals for the exact least-squares coefficients.

        Parameters
        ----------
        level : float
            Probability, over the draw of the sketch, that an interval covers.
        simultaneous : bool
            All intervals together cover with this probability (Bonferroni), instead of each.

        Returns
        -------
        low, high : ndarray, like x
            Both equal to x at full precision.
        """
        level = as_level(level)
        if as_flag(simultaneous, "simultaneous"):
            level = simultaneous_level(level, self.x.size)
        return t_interval(self.x, self.standard_error, self.degrees_of_freedom, level)

    def refine(self, A: ArrayLike, b: ArrayLike) -> LstsqResult:
        """Go on to full precision, with the factor of the sketch as a preconditioner.

        Parameters
        ----------
        A, b
            Those that were passed to `lstsq`. Weights and ridge are remembered.

        Returns
        -------
        LstsqResult
            `self` if it is at full precision already.
        """
        if self._origin is None:
            return self
        return self._origin.refine(A, b, self)

    @property
    def _shown(self) -> tuple[str, ...]:  # type: ignore[override]
        if self.is_estimate:
            names = ["x", "standard_error", "linf_bound", "residual_norm", "method", "sketch_size"]
        elif callable(self._backward_error):
            names = ["x", "residual_norm", "rank", "method"]
        else:
            names = ["x", "residual_norm", "backward_error", "rank", "method", "n_iterations"]
        return (*names, "converged")

    def __repr__(self) -> str:
        text = super().__repr__()
        return (
            text.replace("residual_norm=", "residual_norm_estimate=") if self.is_estimate else text
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave A and b behind: what they are kept for is computed now."""
        _ = self.backward_error
        return self.__dict__


@dataclass(frozen=True, eq=False)
class Origin:
    """What an estimate from one sketch remembers, so that it can be refined."""

    shape: tuple[int, int]
    root_weights: Matrix | None
    ridge: float
    rcond: float | None
    recipe: Recipe
    sketched: SketchedFactor
    scaling: tuple[Any, Any]

    def refine(self, A: Any, b: Any, first: LstsqResult) -> LstsqResult:
        """Solve to full precision."""
        if is_dask(A):
            from randla._dask import least_squares

            return least_squares.refine(self, A, b, first)
        A = read_matrix(A)
        if A.shape != self.shape:
            raise ValueError(f"A must have shape {self.shape} as before, got shape {A.shape}")
        with np.errstate(all="ignore"):
            rows, one_dimensional = read_rows(A, b, self.root_weights, self.ridge)
            if self.scaling[0] is not None:
                rows.scale(*self.scaling)
            solution = _exactly(rows, Options(rcond=self.rcond), self.recipe, self.sketched)
            rows.n_passes += first.n_passes
            return exact_result(rows, solution, one_dimensional)


def lstsq(
    A: Any,
    b: ArrayLike,
    *,
    eps: float | None = None,
    delta: float = 0.05,
    sketch_size: int | None = None,
    sketch: str | Sketch = "auto",
    method: Method = "auto",
    ridge: float = 0.0,
    weights: ArrayLike | None = None,
    rcond: float | None = None,
    rng: Any = None,
) -> LstsqResult:
    r"""Least squares, to full double precision or from one sketch with its error.

    Minimises :math:`|W^{1/2} (A x - b)|_2^2 + \lambda |x|_2^2`, with the solution of minimum norm
    where there are several.

    * With neither `eps` nor `sketch_size` the answer is exact to rounding: backward stable, faster
      than LAPACK's driver on tall problems.
    * With `sketch_size` = m or `eps` it is :math:`x' = \arg\min |S(Ax - b)|_2` for one sketch S
      of m rows, from one pass over A, with a standard error for every coefficient. `eps` asks for
      as many rows as make, with probability at least :math:`1 - \delta`,

      .. math:: |x' - x^*|_\infty \le \frac{\epsilon}{\sqrt d}\, |Ax^* - b|_2\, |A^+|_2 .

    Parameters
    ----------
    A : (n, d) array_like, SciPy sparse matrix, LinearOperator, or KroneckerProduct
        Read as it lies, in any memory order, float32 or float64, without a copy. Its columns may
        differ in scale by hundreds of powers of ten.
    b : (n,) or (n, k) array_like
        One or several right-hand sides.
    eps : float, optional
        Error of a coefficient as above. If that needs more than n / 4 rows, the problem is solved
        exactly instead, and `method` of the result says so.
    delta : float
        Probability that the bound of `eps` may fail, by default 0.05.
    sketch_size : int, optional
        Rows of the sketch, more than d. With ``method`` "sketch-cholesky", "iterative" or "lsqr"
        the rows of the preconditioner, and the answer is exact.
    sketch : str or operator
        "srht" (what "auto" takes for an answer from one sketch), "block-srht", "gaussian",
        "sparse-sign" or "count", or an operator such as ``SRHT(m, n)``. With a ridge an operator
        needs n + d columns. The sparse ones have no l_inf guarantee.
    method : str
        "cholesky": of the scaled Gram matrix, with refinement, for condition numbers up to 1e7.
        "sketch-cholesky": the same after a sketched preconditioner, for any condition number.
        "iterative": Polyak's iteration with that preconditioner, for many columns. "lsqr": for
        sparse matrices and operators. "lapack": Householder QR. "sketch-and-solve": one sketch.
        "auto" chooses by shape and conditioning.
    ridge : float
        The penalty :math:`\lambda \ge 0`, as d further rows :math:`\sqrt\lambda\, I` of A, so
        that a sketched answer stays unbiased.
    weights : (n,) array_like, optional
        Non-negative weights of the squared residuals.
    rcond : float, optional
        Singular values of A, its columns scaled to norm about 1, count as zero below `rcond` times
        the largest. By default those at the level of rounding errors, and those below
        ``max(n, d) * 2.2e-16`` which a gap separates from the others.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed of the sketch.

    Returns
    -------
    LstsqResult
        `x`, `standard_error`, `confidence_interval`, `linf_bound`, `rank`, `method`, and more.

    Raises
    ------
    ValueError, TypeError
        If an argument is not what is described above, or two of them exclude one another.
    OverflowError
        If a coefficient exceeds the largest float64.

    Warns
    -----
    LstsqWarning
        If a method that was asked for by name, or LSQR, stops short of full precision.

    See Also
    --------
    sketch_size : the rule from `eps` to the rows of a sketch.
    lp_regression : other norms than the second.

    Notes
    -----
    Full precision costs :math:`O(n d^2)` operations, half as many as a QR, all in matrix products
    [2]_ [3]_; one sketch costs :math:`O(n d \log m)` and a QR of m rows. The bound of `eps` is
    the theorem of [1]_; its constant comes from the exact law for Gaussian sketches.

    References
    ----------
    .. [1] Song, Ye, Yin and Zhang, "Sketching meets differential privacy" (and in every
       coordinate), ICML 2023, arXiv:2302.00248.
    .. [2] Epperly, Meier and Nakatsukasa, "Fast randomized least-squares solvers can be just as
       accurate and stable as classical direct solvers", arXiv:2406.03468.
    .. [3] Avron, Maymounkov and Toledo, "Blendenpik", SIAM J. Sci. Comput. 32 (2010).

    Examples
    --------
    >>> import numpy as np
    >>> from randla import lstsq
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((5000, 3))
    >>> b = A @ [1.0, 2.0, 3.0] + rng.standard_normal(5000)
    >>> exact = lstsq(A, b)
    >>> exact.method, bool(exact.backward_error < 1e-15)
    ('lapack', True)
    >>> quick = lstsq(A, b, sketch_size=400, rng=1)
    >>> low, high = quick.confidence_interval(0.999, simultaneous=True)
    >>> bool(np.all((low < exact.x) & (exact.x < high)))
    True
    """
    if (
        eps is None
        and sketch_size is None
        and rcond is None
        and rng is None
        and type(sketch) is type(method) is str
        and sketch == method == "auto"
        and type(delta) is float
        and delta == 0.05
    ):
        options = DEFAULT
    else:
        options = read_options(
            eps=eps, delta=delta, sketch_size=sketch_size, sketch=sketch, method=method,
            rcond=rcond, rng=rng,
        )  # fmt: skip
    ridge = ridge if type(ridge) is float and ridge == 0.0 else read_ridge(ridge)
    if is_dask(A):
        from randla._dask import least_squares

        return least_squares.lstsq(A, b, options, ridge, weights)
    A = read_matrix(A)
    root_weights = None if weights is None else read_root_weights(weights, A.shape[0])
    with np.errstate(all="ignore"), _few_threads(A.shape):  # what may overflow is looked at
        rows, one_dimensional = read_rows(A, b, root_weights, ridge, options)
        recipe = recipe_for(rows, options)
        if options.wants_one_sketch:
            m = rows_of_sketch(rows, options, recipe)
            if m is not None:
                return estimated(rows, options, recipe, m, root_weights, one_dimensional)
            options = Options(rcond=options.rcond)
        return exact_result(rows, _exactly(rows, options, recipe), one_dimensional)


def _few_threads(shape: tuple[int, int]) -> AbstractContextManager[None]:
    """Hold BLAS at one thread where its threads cost more than they gain.

    The passes over A run on threads of our own. A small factor, or one inner product of the length
    of b, would wake those of BLAS, which then spin for some time on the cores that a pass needs
    (measured: 1.2 times the time of a whole solution).
    """
    n, d = shape
    if n * d <= _MIN_SINGLE or d > _MAX_SINGLE:
        return nullcontext()
    return single_threaded_blas()


def _exactly(
    rows: Rows, options: Options, recipe: Recipe, sketched: SketchedFactor | None = None
) -> Solution:
    if options.method == "auto" and is_structured(rows):
        return solve_by_factors(rows, recipe, options.rcond)
    return solve(rows, options.method, recipe, options.sketch_size, options.rcond, sketched)


def estimated(
    rows: Rows,
    options: Options,
    recipe: Recipe,
    m: int,
    root_weights: Matrix | None,
    one_dimensional: bool,
) -> LstsqResult:
    """The result of one sketch."""
    d = rows.d
    solution = solve_from_sketch(rows, recipe, m, options)
    if solution is None:
        return exact_result(rows, zero_solution(rows), one_dimensional)
    m = solution.sketched.n_rows
    if not solution.has_linf_guarantee:
        bound = np.full(rows.k, math.inf)
    else:
        eps = options.eps or implied_eps(
            m, solution.sketched.rank, options.delta, solution.population
        )
        residual = rows.unscale_norm(np.sqrt(solution.residual_squares))
        bound = eps / d**0.5 * residual * solution.inverse_norm
    origin = Origin(
        (rows.n, rows.n_columns),
        root_weights,
        rows.ridge,
        options.rcond,
        recipe,
        solution.sketched,
        (rows.exponents, rows.active),
    )
    return LstsqResult(
        x=_shaped(rows, solution.Y, solution.exponents, one_dimensional),
        standard_error=_shaped(rows, solution.standard_error, solution.exponents, one_dimensional),
        degrees_of_freedom=float(solution.degrees_of_freedom),
        linf_bound=float(bound[0]) if one_dimensional else bound,
        rank=solution.sketched.rank,
        method="sketch-and-solve",
        sketch_size=m,
        n_passes=rows.n_passes,
        n_iterations=0,
        converged=solution.converged,
        _residual_norm=_norms(rows, solution.residual_squares, one_dimensional),
        _backward_error=solution.backward_error,
        _origin=origin,
    )


def exact_result(rows: Rows, solution: Solution, one_dimensional: bool) -> LstsqResult:
    x = _shaped(rows, solution.Y, solution.exponents, one_dimensional)
    error: Any = solution.error
    if error is None:
        error = partial(measure_backward_error, rows, solution)
    return LstsqResult(
        x=x,
        standard_error=np.zeros(x.shape),
        degrees_of_freedom=math.inf,
        linf_bound=0.0 if one_dimensional else np.zeros(rows.k),
        rank=solution.rank,
        method=solution.method,
        sketch_size=None,
        n_passes=rows.n_passes,
        n_iterations=solution.n_iterations,
        converged=solution.converged,
        _residual_norm=_norms(rows, solution.squares, one_dimensional),
        _backward_error=error,
        _origin=None,
    )


def _shaped(
    rows: Rows, Y: Matrix, exponents: NDArray[np.int64] | None, one_dimensional: bool
) -> Matrix:
    """Coefficients as the caller's b suggests: (d,) or (d, k)."""
    X = rows.unscale(Y, exponents)
    if X is not Y and not np.isfinite(X).all():
        raise OverflowError("a coefficient exceeds the largest float64: scale A up or b down")
    return X[:, 0] if one_dimensional else np.ascontiguousarray(X)


def _norms(rows: Rows, squares: Matrix, one_dimensional: bool) -> Any:
    norms = rows.unscale_norm(np.sqrt(squares))
    return float(norms[0]) if one_dimensional else norms
