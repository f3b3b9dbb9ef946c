"""Least squares: to full precision at the speed of matrix products, or from one sketch."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._parallel import showing_progress
from randla._tall.open import open_operand
from randla._tall.problem import ScaledProblem
from randla._validation import as_flag
from randla.regression._fitted.labels import Labels
from randla.regression._least_squares.choice import require_method, solve, zero_solution
from randla.regression._least_squares.options import LstsqOptions
from randla.regression._least_squares.problem import as_problem, as_root_weights, single_blas
from randla.regression._least_squares.result import LstsqResult
from randla.regression._least_squares.sketch_and_solve import solve_from_sketch
from randla.regression._least_squares.sketch_factory import SketchFactory, estimate_size
from randla.sketching._operators import Sketch

Method = Literal[
    "auto", "cholesky", "sketch-cholesky", "iterative", "lsqr", "lapack", "sketch-and-solve"
]


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
    progress: bool = False,
    rng: Any = None,
) -> LstsqResult:
    r"""Solve least squares, to full double precision or from one sketch with its error.

    Minimizes :math:`|W^{1/2} (A x - b)|_2^2 + \lambda |x|_2^2`; if there are several solutions, the
    result has minimum norm. (LSQR without a preconditioner, where `rank` is None, minimizes the
    norm in columns scaled to norm 1 instead, if their norms differ by a factor above 65,000.)

    * With neither `eps` nor `sketch_size` the result is exact to rounding: backward stable, and
      faster than LAPACK's driver on tall problems.
    * With `sketch_size` = m or `eps` the result is :math:`x' = \arg\min |S(Ax - b)|_2` for one
      sketch S of m rows, from one pass over A, with a standard error for every coefficient. `eps`
      determines m such that, with probability at least :math:`1 - \delta`,

    .. math:: |x' - x^*|_\infty \le \frac{\epsilon}{\sqrt d}\, |Ax^* - b|_2\, |A^+|_2 .

    Parameters
    ----------
    A : (n, d) array_like, SciPy sparse matrix, LinearOperator, KroneckerProduct, or Dask array
        Used in place, in any memory order, float32 or float64, without a copy. Its columns may
        differ in scale by hundreds of powers of ten. A table (pandas, polars or pyarrow) gives the
        coefficients its `names`.
    b : (n,) or (n, k) array_like
        One or several right-hand sides.
    eps : float, optional
        Error bound of a coefficient as above. If it needs more than n / 4 rows, the problem is
        solved exactly instead, and `method` of the result says so.
    delta : float
        Probability that the bound of `eps` may fail.
    sketch_size : int, optional
        Rows of the sketch, more than d. Use at least 4 d, and 30, as intervals from an SRHT of
        fewer than d + 4 rows can be wrong. With ``method`` "sketch-cholesky", "iterative" or
        "lsqr", the rows of the preconditioner, at least d; the result is then exact.
    sketch : str or operator
        "srht" (the choice of "auto" for a result from one sketch), "block-srht", "gaussian",
        "sparse-sign" or "count", or an operator such as ``SRHT(m, n)``. With a ridge an operator
        needs n + d columns. The sparse sketches have no l_inf guarantee. Without `eps`,
        `sketch_size` or ``method="sketch-and-solve"`` the result is exact, and the sketch at most a
        preconditioner: a warning says so unless `method` names one that uses it.
    method : str
        "cholesky": Cholesky factor of the scaled Gram matrix, with refinement, for condition
        numbers up to 1e7. "sketch-cholesky": the same after a sketched preconditioner, for any
        condition number. "iterative": Polyak's iteration with that preconditioner, for many
        columns. "lsqr": for sparse matrices and operators. "lapack": Householder QR.
        "sketch-and-solve": one sketch. "auto" chooses by shape and conditioning. For a Dask array,
        which must have at least as many rows as columns, all but "lsqr" and "lapack" are available.
    ridge : float
        The penalty :math:`\lambda \ge 0`, treated as d more rows :math:`\sqrt\lambda\, I` of A, so
        that a sketched result stays unbiased.
    weights : (n,) array_like, optional
        Non-negative weights of the squared residuals.
    rcond : float, optional
        Singular values of A, with columns scaled to norm about 1, count as zero below `rcond` times
        the largest. The default drops those at the level of rounding errors, and those below
        ``max(n, d) * 2.2e-16`` that are separated from the others by a gap. A given value is
        applied to all rows with "auto", "cholesky" and "lapack" for an array in memory; otherwise
        to a sketch, whose singular values differ by up to a factor of about two.
    progress : bool
        Show a progress bar for each pass over a dense A that takes half a second or more, and for
        the steps of LSQR (needs tqdm). For Dask arrays, Dask's own bar is shown, except with its
        distributed scheduler.
    rng : {None, int, SeedSequence, Generator}, optional
        Seed of the sketch. An exact result that needs a sketch uses a fixed seed by default, so
        that it is the same in each call.

    Returns
    -------
    LstsqResult
        `x`, `standard_error`, `confidence_interval`, `linf_bound`, `rank`, `method`, and more.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described above, two of them exclude each other, or a coefficient
        exceeds the largest float64.

    Warns
    -----
    LstsqWarning
        If a method given by name, or LSQR, stops short of full precision, or `sketch` is given but
        the result is exact.

    See Also
    --------
    randla.sketch_size : the number of rows of a sketch for a given `eps`.
    lp_regression : other norms than the second.

    Notes
    -----
    Full precision costs :math:`O(n d^2)` operations, half as many as a QR, all in matrix products
    [2]_ [3]_; one sketch costs :math:`O(n d \log m)` and a QR of m rows. The bound of `eps` is the
    theorem of [1]_; its constant comes from the exact law for Gaussian sketches.

    References
    ----------
    .. [1] Song, Ye, Yin and Zhang, "A nearly-optimal bound for fast regression with l_inf
       guarantee", ICML (2023), arXiv:2302.00248.
    .. [2] Epperly, Meier and Nakatsukasa, "Fast randomized least-squares solvers can be just as
       accurate and stable as classical direct solvers", Comm. Pure Appl. Math. 79 (2026),
       arXiv:2406.03468.
    .. [3] Avron, Maymounkov and Toledo, "Blendenpik: supercharging LAPACK's least-squares
       solver", SIAM J. Sci. Comput. 32 (2010), 1217-1236.

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
    options = LstsqOptions.of(
        eps=eps, delta=delta, sketch_size=sketch_size, sketch=sketch, method=method, rcond=rcond,
        rng=rng, ridge=ridge,
    )  # fmt: skip
    bars = showing_progress("lstsq", as_flag(progress, "progress"))
    labels = Labels.of(A, b)
    tall = open_operand(A)
    require_method(tall, options.method)
    root_weights = as_root_weights(tall, weights)
    # overflow is detected and handled inside
    with np.errstate(all="ignore"), single_blas(tall), bars:
        rows, is_vector = as_problem(tall, b, root_weights, options)
        return answer(rows, is_vector, options, root_weights).labeled(labels)


def answer(
    rows: ScaledProblem, is_vector: bool, options: LstsqOptions, root_weights: Any
) -> LstsqResult:
    """Solve the problem from one sketch, if requested and cheaper, or to full precision."""
    factory = SketchFactory.of(rows, options)
    if options.wants_one_sketch:
        m = estimate_size(rows, options, factory)
        if m is not None:
            sketched = solve_from_sketch(rows, factory, m, options)
            if sketched is None:  # all columns of A are zero
                return LstsqResult.of(rows, zero_solution(rows), is_vector)
            return LstsqResult.of_sketch(rows, sketched, is_vector, options, factory, root_weights)
        options = options.exact()  # the sketch would need too many rows for its eps
        factory = SketchFactory.of(rows, options)
    solution = solve(rows, options, factory)
    return LstsqResult.of(rows, solution, is_vector, options.rcond)
