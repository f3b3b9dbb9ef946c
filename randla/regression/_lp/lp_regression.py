"""Regression in the l_p norm and of quantiles, exact or with a certified gap."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr_multiply, solve_triangular

from randla._parallel import showing_progress, single_threaded_blas
from randla._results import warn_caller
from randla._scaling import EPS, power_of_two_scale
from randla._tall.open import open_tall
from randla._typing import Array
from randla._validation import as_flag
from randla.regression._fitted.labels import Labels
from randla.regression._lp.certificate import Fit
from randla.regression._lp.options import LpOptions, as_options
from randla.regression._lp.out_of_core import residuals_and_rounding
from randla.regression._lp.result import LpRegressionResult
from randla.regression._lp.solve import fits_of, weighted_rows
from randla.regression._lp.tall_data import TallData, norm_from
from randla.regression._panels.weighted_data import ROUNDING
from randla.sampling._scores.result import NotConvergedWarning

#: Rounding errors, relative to those of b, that come from an x of huge terms, which cancel.
_CANCELS = 1e3
#: Factor by which rounding errors alone cannot make an x worse than least squares.
_WORSE = 2.0


def lp_regression(
    A: ArrayLike,
    b: ArrayLike,
    p: float = 1,
    *,
    tau: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    l1: ArrayLike = 0.0,
    method: Literal["auto", "full", "preprocess", "sample"] = "auto",
    size: int | None = None,
    rtol: float = 1e-8,
    progress: bool = False,
    rng: Any = None,
) -> LpRegressionResult:
    r"""Fit least absolute deviations, quantiles, minimax or another l_p norm, with a certificate.

    Without `tau` the coefficients x minimize the norm (with weights :math:`\omega`)

    .. math:: \|Ax - b\|_p = \Big(\sum_i \omega_i |a_i^T x - b_i|^p\Big)^{1/p},
              \qquad \|Ax - b\|_\infty = \max_i \omega_i |a_i^T x - b_i|,

    With `tau`, the fit of the quantile tau minimizes the sum of pinball losses

    .. math:: \sum_i \omega_i \rho_\tau(b_i - a_i^T x) + \sum_j \lambda_j |x_j|, \qquad
              \rho_\tau(r) = r\,(\tau - 1[r < 0]),

    where :math:`\lambda` is `l1`, which may also be added to the norm at p = 1. The result includes
    a dual point that proves how close `value` is to the minimum over all rows.

    Parameters
    ----------
    A : (n, d) array_like, sparse matrix, or Dask array
        Any rank and n < d are allowed: if columns depend, x is the shortest with that A x.
    b : (n,) or (n, 1) array_like
        A column gives results with a trailing axis.
    p : float, optional
        The norm, 1 <= p <= inf. Must be 1 if `tau` is given.
    tau : float or (k,) array_like, optional
        One or several quantiles in (0, 1). Several in one call are cheaper than one by one, and
        give a trailing axis.
    weights : (n,) array_like, optional
        Non-negative weights of the losses; for finite p an integer weight is equivalent to a
        repeated row. Rows of weight zero are left out.
    l1 : float or (d,) array_like, optional
        Penalty on the absolute coefficients: a number for all or one for each, 0 for coefficients
        without penalty. Only for p = 1 and quantiles.
    method : {"auto", "full", "preprocess", "sample"}
        "full" solves for all rows. For p = 1 and quantiles of many rows, "preprocess" solves for a
        sample, sums the rows far from its fit into two, then solves and corrects until all rows
        agree: the exact solution from few rows [1]_. It falls back to "full" if that fails. "auto"
        chooses between these two. "sample" returns the solution for a sample of the rows, drawn by
        the Lewis weights of [A b] (leverage scores at p = 2), for p < inf: an approximation, whose
        `gap` still holds for all rows. It reads the rows about ten times, for the weights and the
        gap, which in memory costs as much as an exact solution or more (see the notes).
    size : int, optional
        Expected number of rows of the sample for "sample", at most n. The default is 50 for each
        column of [A b], and for p = 1 and quantiles at least :math:`(0.06\, n \sqrt d)^{2/3}`.
    rtol : float, optional
        Gap, relative to the value, at which iterations end. For p = 1, quantiles and p = inf they
        usually end at an exact vertex instead.
    progress : bool
        Show a progress bar for each long pass over the rows (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        For the sample. For an exact solution it may affect the last digits and the speed; a fixed
        seed is the default in that case.

    Returns
    -------
    LpRegressionResult
        The coefficients `x`, the objective `value`, its certified `gap` to the minimum, the `dual`
        point that proves it, and `inference` for standard errors.

    Raises
    ------
    ValueError, TypeError
        If shapes do not match, numbers are not finite, `p`, `tau`, `weights` or `l1` are out of
        range, or an option is given that does not apply to `p`.

    Notes
    -----
    *Certificate.* ``lower_bound = b @ dual`` because the dual z is feasible: :math:`A^T z = 0` (in
    each column with a penalty, :math:`|A^T z|_j \le \lambda_j`) up to rounding and, with
    1/p + 1/q = 1,

    * for tau: :math:`\omega_i (\tau - 1) \le z_i \le \omega_i \tau`;
    * for p = 1: :math:`|z_i| \le \omega_i`;
    * for 1 < p < inf: :math:`\sum_i \omega_i |z_i / \omega_i|^q \le 1`;
    * for p = inf: :math:`\sum_i |z_i| / \omega_i \le 1`.

    Rounding errors of z leave a remainder in :math:`A^T z`, so the bound is lowered by its maximum
    effect: :math:`\|T^T A^T z\|_2` times the 2-norms of residuals, where the factor T makes the
    columns of A T orthonormal. The sums are computed in twice the precision. So the bound holds for
    all coefficients, however large and however nearly columns depend, if `certified` is True.
    Columns whose pivot is below :math:`32 u \max(d, \sqrt n)` times the largest, u = 2.2e-16, are
    left out; exact dependence is checked, for coefficients that are multiples of one millionth.

    For "sample" the dual is that of one Newton step for all rows, or of the rows near the fit and
    the sums of the others. A gap above `rtol` is then the normal outcome: `converged` shows it,
    without a warning. For rows with light tails the gap is usually at most three times the distance
    of the value from the minimum; for p between 1 and 1.2 up to about thirty times, and more if p
    is below 1.05, or if p is 1 and `size` far below its default. For p < 2, rows with heavy tails
    make it ten times as large.

    *When to sample.* For p > 1 and Dask arrays, where each Newton step of an exact solution reads
    all chunks three times. In memory an exact solution is cheaper for p = 1 and quantiles (four
    times for a million rows of 20 columns), and for other p the two are within a factor of two.

    *Algorithms.* p = 1 and quantiles: Mehrotra's interior point method on the boxed dual [1]_, one
    pass over the rows an iteration in compiled code, 10 to 25 iterations a solve, then the optimal
    vertex (if residuals have a heavy tail, a solve of some rows comes first, and one or two may
    follow); :math:`O(n d^2)` an iteration, or :math:`O(n d^2)` once and iterations on about
    :math:`n^{2/3}` rows by preprocessing. 1 < p < inf: Newton's method with exact line searches
    along a path of easier problems, up to 25 iterations of :math:`O(n d^2)`, a hundred for p in the
    thousands. p = inf: linear programs on the binding rows. Preprocessing reads a sparse A a tile
    of rows at a time; the other methods make it dense.

    References
    ----------
    .. [1] Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise: computability of
       squared-error versus absolute-error estimators", Statist. Sci. 12 (1997), 279-300.

    See Also
    --------
    randla.lstsq : least squares, faster and at any scale.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import lp_regression
    >>> A = np.column_stack([np.ones(5), np.arange(5.0)])
    >>> b = np.array([1.0, 3.0, 5.0, 70.0, 9.0])  # a line, and an outlier
    >>> lp_regression(A, b).x
    array([1., 2.])
    >>> fit = lp_regression(A, b, tau=[0.25, 0.5])
    >>> fit.x.shape, bool((fit.gap <= 1e-8 * fit.value).all())
    ((2, 2), True)
    """
    bars = showing_progress("lp_regression", as_flag(progress, "progress"))
    labels = Labels.of(A, b)
    with bars, np.errstate(over="ignore", invalid="ignore"):  # overflow is reported at the end
        tall = open_tall(A, finite=True)
        rhs = tall.right_hand_sides(b, single=True, finite=True)
        options = as_options(
            tall.n, tall.d, p, tau=tau, l1=l1, method=method, size=size, rtol=rtol, rng=rng,
            column=rhs.ndim == 2, lazy=tall.lazy,
        )  # fmt: skip
        data, unit, live = weighted_rows(tall, rhs.reshape(-1), weights, options.root)
        with single_threaded_blas():
            result = _solved(data, unit, live, tall.n, options).labeled(labels)
    if not result.converged and method != "sample":
        gap = np.max(result.gap)
        where = f"stopped at a gap of {gap:.3g}, above rtol = {rtol:g} times the value"
        if not result.certified:
            where = (
                f"found rank {result.rank} of {len(result.x)} columns of A, which is not certain"
            )
        warn_caller(f"lp_regression {where}; its lower bound is valid", NotConvergedWarning)
    return result


def _least_squares(data: TallData, rank: int) -> Array:
    """The coefficients (d,) of least squares with the weights; lazy rows by a triangle of [A b].

    Householder QR of rows in the order of their size is stable row by row, however the weights
    differ: Cox and Higham, "Stability of Householder QR factorization for weighted least squares
    problems", in "Numerical analysis 1997", Longman (1998), 57-73.
    """
    M = data.weighted_rows()  # [A b]
    X, b, x = M[:, :-1], M[:, -1], np.zeros(data.d)
    scale = power_of_two_scale(np.abs(X).max(axis=0))
    X = X * scale
    order = np.argsort(-np.abs(X).max(axis=1))
    products, R, pivots = qr_multiply(X[order], b[order], pivoting=True)
    # Descending; a penalty may count in the rank, but is not a row here.
    size = np.abs(R.diagonal())
    rank = min(rank, int((size > EPS * size.max(initial=0.0)).sum()))
    kept = pivots[:rank]
    x[kept] = scale[kept] * solve_triangular(R[:rank, :rank], products[:rank])
    return x


def _solved(
    data: TallData, unit: float, live: NDArray[np.intp] | None, n: int, options: LpOptions
) -> LpRegressionResult:
    """The result for the n rows of the user, of which `live` are in the data."""
    p = options.p
    # The norm in the user's units; or, for p = 1, |r|_1 = 2 sum rho_{1/2}(r).
    factor = unit**-options.root if p > 1.0 else 1.0 / (options.half * unit)
    charge = options.penalty / factor
    fits = fits_of(data, charge, options)
    for fit in fits:
        fit.z = fit.z if data.weight is None else fit.z * data.weight  # A'z = 0 without weights
    dual = np.stack([fit.z for fit in fits]).T  # of each quantile in one piece
    dual = dual if factor == 1.0 else factor * dual
    if live is not None:
        dual, of_live = np.zeros((len(fits), n)).T, dual
        dual[live] = of_live

    def norms(x: Array) -> Array:
        """The rounding errors of the residuals."""
        return norm_from(data.compute(data.norms(residuals_and_rounding, 2, p, x=x)), p)

    def is_rounding(fit: Fit) -> bool:
        of_x = float(norms(fit.x)[1])
        if not fit.gap - fit.rounding <= ROUNDING * of_x:
            return False
        if of_x <= _CANCELS * float(norms(np.zeros(len(fit.x)))[1]):
            return True
        # An x that is far too large has rounding errors as large: least squares shows that.
        for weight in (data.weight, None):
            y = _least_squares(replace(data, weight=weight), fit.rank)
            loss, rounding = norms(y)
            if fit.value > _WORSE * float(loss + ROUNDING * rounding + charge @ np.abs(y)):
                return False
        return True

    return LpRegressionResult.of(fits, dual, factor, options, is_rounding)
