"""Estimates with both errors, tests, intervals and predictions: the result of `inference`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from randla._results import Result, t_interval, t_of_tail, warn_caller
from randla._typing import Array
from randla._validation import as_flag, as_level
from randla.regression._errors.errors import Errors
from randla.regression._errors.options import InferenceWarning
from randla.regression._fitted.labels import PLAIN, Labels
from randla.regression._fitted.products import are_determined, product, standard_errors
from randla.regression._inference import plot, table
from randla.regression._inference.wald import (
    WaldTest,
    as_restrictions,
    in_units,
    wald_test,
)

SEPARATE = "covariances between right-hand sides need A and b"


@dataclass(frozen=True, eq=False, repr=False)
class Inference(Result):
    r"""Coefficients with errors, tests and intervals: the result of `LstsqResult.inference`.

    Two errors are reported separately. The statistical error is due to the data, as a sample from a
    population. The algorithmic error is due to the sketch, given the data; it is zero for an exact
    fit. They are uncorrelated, so that their squares add up to the square of the standard error.
    All shapes are those of x: (d,), or (d, k) with several quantiles or right-hand sides.

    Attributes
    ----------
    estimate : (d,) or (d, k) ndarray
        The coefficients x of the fit.
    standard_error : ndarray, like estimate
        Standard error of the estimate for the coefficients of the population, with both errors. NaN
        for a coefficient that the data do not determine.
    statistical_error, algorithmic_error : ndarray, like estimate
        The two parts of the standard error.
    degrees_of_freedom : ndarray, like estimate
        Degrees of freedom of the Student t law of ``t``; inf means the normal law.
    t, p : ndarray, like estimate
        ``estimate / standard_error``, and the two-sided p-value for a coefficient of zero. An
        estimate of zero without error has t = 0 and p = 1.
    kind : str
        The assumption about the errors, see `kind` of `inference`.
    names : tuple of str
        Names of the columns of A.
    n_rows : int
        Rows with positive weight; the sum of the weights if these are frequencies.
    n_groups : int or None
        Groups of rows whose errors may be correlated.
    replicates : (n_replicates, d) or (n_replicates, d, k) ndarray or None
        Bootstrap estimates.

    See Also
    --------
    LstsqResult.inference, LpRegressionResult.inference : the methods that return it.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import datasets, lp_regression
    >>> income, food = datasets.engel()
    >>> A = np.column_stack([np.ones(len(income)), income])
    >>> fit = lp_regression(A, food, tau=[0.25, 0.5, 0.75])
    >>> table = fit.inference(A, food, names=["const", "income"])
    >>> table.standard_error.shape
    (2, 3)
    >>> bool(table.equal_slopes().p_value < 0.01)
    True
    """

    estimate: Array
    standard_error: Array
    statistical_error: Array
    algorithmic_error: Array
    degrees_of_freedom: Array
    t: Array
    p: Array
    kind: str
    names: tuple[str, ...]
    n_rows: int
    n_groups: int | None
    replicates: Array | None
    _unit: Array  # like estimate: the factor below is for estimates over it
    _factor: Array  # these four: see `Errors`
    _null: Array | None
    _undetermined: Any
    _joint: bool
    _columns: tuple[Any, ...]  # taus or names of right-hand sides; empty for a vector x
    _column_kind: str  # "tau" or "column"
    _assumed: str
    _notes: tuple[str, ...]
    _interval: Callable[[float], tuple[Array, Array]] | None
    _model: str = "Regression"  # the first line of the table
    _labels: Labels = PLAIN
    _constant: Any = None  # which columns of A are constant, if that was checked

    _shown: ClassVar[tuple[str, ...]] = (
        "estimate", "standard_error", "degrees_of_freedom", "t", "p", "kind", "n_rows", "n_groups",
    )  # fmt: skip

    @classmethod
    def of(
        cls, x: Array, errors: Errors, *, algorithmic: Array | None, kind: str,
        names: tuple[str, ...], columns: tuple[Any, ...], column_kind: str, n_rows: int,
        n_groups: int | None,
    ) -> Inference:  # fmt: skip
        """From x (d,) or (d, k), its errors, and the factor for the algorithm's, in their units."""
        shape = (len(x), x.size // len(x))
        unit = np.broadcast_to(errors.unit, shape).reshape(x.shape)
        of_data, of_algorithm, factor = errors.variances, np.zeros(shape), errors.factor
        if algorithmic is not None:
            of_algorithm = np.square(algorithmic).sum(axis=1).reshape(shape[::-1]).T
            factor = np.hstack([factor, algorithmic])
        total, statistical, algorithm = (
            np.sqrt(v).reshape(x.shape) for v in (of_data + of_algorithm, of_data, of_algorithm)
        )
        df = np.broadcast_to(errors.degrees_of_freedom, shape).reshape(x.shape).copy()
        t = t_statistic(x / unit, total)
        return cls(
            estimate=x.copy(), standard_error=unit * total, statistical_error=unit * statistical,
            algorithmic_error=unit * algorithm, degrees_of_freedom=df, t=t, p=two_sided(t, df),
            kind=kind, names=names, n_rows=n_rows, n_groups=n_groups,
            replicates=_shaped(errors.replicates, x.shape), _unit=unit, _factor=factor,
            _null=errors.null, _undetermined=errors.undetermined, _joint=errors.joint,
            _columns=columns, _column_kind=column_kind, _assumed=errors.assumed,
            _notes=errors.notes, _interval=errors.interval,
        )  # fmt: skip

    @property
    def covariance(self) -> Array:
        """Covariance of the estimates, (d, d), with both errors.

        (k d, k d) with several quantiles or right-hand sides, with the coefficients of the first
        one first. Squares of errors above 1e154 are inf, and below 1e-162 zero.
        """
        d, k = len(self.estimate), self.estimate.size // len(self.estimate)
        factor, unit = self._factor_of_coefficients(), self._unit.T.reshape(-1)
        exponent = np.frexp(unit)[1] - 1  # of powers of two
        with np.errstate(over="ignore", under="ignore"):
            covariance = np.ldexp(factor @ factor.T, exponent[:, None] + exponent)
        if not self._joint:
            fit = np.repeat(np.arange(k), d)
            covariance[fit[:, None] != fit] = np.nan
        return covariance

    def _factor_of_coefficients(self) -> Array:
        """The factor with NaN in rows of coefficients that dependent columns leave undetermined."""
        if self._undetermined is None:
            return self._factor
        k = self.estimate.size // len(self.estimate)
        return np.where(np.tile(self._undetermined, k)[:, None], np.nan, self._factor)

    def described(self, model: str, labels: Labels, constant: Any = None) -> Inference:
        """The same with the head of the table, names for new tables, and constant columns of A."""
        columns = self._columns
        if self._column_kind == "column" and columns:
            columns = tuple(labels.response(j) for j in range(len(columns)))
        return replace(self, _model=model, _labels=labels, _columns=columns, _constant=constant)

    def confidence_interval(
        self, level: float = 0.95, *, simultaneous: bool = False
    ) -> tuple[Array, Array]:
        """Return intervals for the coefficients of the population.

        Parameters
        ----------
        level : float
            Coverage probability of an interval, over repetitions of the data (and the sketch).
        simultaneous : bool
            All intervals together cover with this probability (Bonferroni), instead of each one.

        Returns
        -------
        low, high : ndarray, like estimate
            Student t intervals with `degrees_of_freedom`; for kind "rank" by inversion of the test.
            NaN for a coefficient without an error. For "rank", whose test needs no error, NaN only
            if the data do not determine the coefficient, and infinite if no value on a side can be
            rejected.
        """
        n_together = max(self.estimate.size, 1) if as_flag(simultaneous, "simultaneous") else 1
        if self._interval is not None:
            level = 1.0 - (1.0 - as_level(level)) / n_together
            low, high = self._interval(level)
            return low.reshape(self.estimate.shape), high.reshape(self.estimate.shape)
        error, df = self.standard_error, self.degrees_of_freedom
        return t_interval(self.estimate, error, df, level, n_together=n_together)

    def wald(self, R: ArrayLike, r: ArrayLike = 0.0) -> WaldTest:
        r"""Test the linear restrictions :math:`R \beta = r` by an F statistic.

        Parameters
        ----------
        R : array_like
            One restriction, of the shape of `estimate`, or q restrictions, (q, d). With k quantiles
            or right-hand sides (q, d, k), or (q, k d) with the coefficients of the first one first.
            Redundant rows are counted once.
        r : float or (q,) array_like
            Right-hand sides.

        Returns
        -------
        WaldTest
            ``statistic``, ``p_value``, and the pair ``degrees_of_freedom``: the rank of R, and the
            least degrees of freedom of the coefficients in R, so that a single coefficient gives
            F = t^2. For several coefficients this is a convention.

        Warns
        -----
        InferenceWarning
            If R involves a coefficient that has no error, or has more restrictions than the rank of
            the covariance (for example, fewer groups than restrictions), or the variance of a
            restriction is zero up to rounding; the test is then NaN.

        Examples
        --------
        >>> import numpy as np
        >>> from randla import lstsq
        >>> rng = np.random.default_rng(0)
        >>> A = np.column_stack([np.ones(50), rng.standard_normal((50, 2))])
        >>> b = A @ [1.0, 2.0, 2.0] + rng.standard_normal(50)
        >>> table = lstsq(A, b).inference(A, b)
        >>> bool(table.wald([0, 1, -1]).p_value > 0.05)  # the two slopes are equal
        True
        """
        d, k = len(self.estimate), self.estimate.size // len(self.estimate)
        R, r = as_restrictions(R, r, self.estimate.shape)
        x = self.estimate.T.reshape(-1)  # coefficients fastest
        df = self.degrees_of_freedom.T.reshape(-1)
        unit, factor = self._unit.T.reshape(-1), self._factor_of_coefficients()
        if self._null is not None:
            rows, _ = in_units(R, r, unit, np.ones(k * d))
            if are_determined(rows.reshape(-1, k, d), self._null).all():
                factor = self._factor
        if not self._joint and np.count_nonzero(R.reshape(-1, k, d).any(axis=(0, 2))) > 1:
            warn_caller(SEPARATE, InferenceWarning)
            return WaldTest(np.nan, np.nan, (len(R), float(np.fmin.reduce(df))))
        with np.errstate(over="ignore"):
            return wald_test(R, r, x, factor, unit, df)

    def equal_slopes(self) -> WaldTest:
        """Test that each slope is the same at all quantiles, jointly.

        The coefficient of a constant column is left out: it may differ. Without a constant column
        all coefficients are tested.

        Returns
        -------
        WaldTest
            With (k - 1) times the number of slopes in the numerator, for k distinct quantiles.
        """
        if self._column_kind != "tau" or len(self._columns) < 2:
            raise ValueError(
                "equal_slopes needs a fit of several quantiles: lp_regression(..., tau=[0.25, 0.5])"
            )
        d, k = self.estimate.shape
        slopes = np.flatnonzero(np.ones(d) if self._constant is None else ~self._constant)
        if not slopes.size:
            raise ValueError("equal_slopes needs a column that is not constant")
        different = np.unique(self._columns, return_index=True)[1]
        if len(different) == 1:  # there is nothing to test
            return WaldTest(0.0, 1.0, (0, float(self._least_df().min())))
        R = np.zeros((len(different) - 1, len(slopes), k, d))
        for i, j in enumerate(different[1:]):
            R[i, np.arange(len(slopes)), different[0], slopes] = -1.0
            R[i, np.arange(len(slopes)), j, slopes] = 1.0
        return self.wald(R.reshape(-1, k * d))

    def predict(self, A_new: Any, *, level: float = 0.95) -> Prediction:
        """Fitted values of new rows, with intervals for the corresponding population values.

        The interval is for the mean or quantile at a row, not for a new observation.

        Parameters
        ----------
        A_new : (m, d) array_like, sparse matrix, Dask array, or table
            Columns of a table are matched to those of the fit by name; after a formula, new data.
        level : float
            Coverage probability of an interval.

        Returns
        -------
        Prediction
            ``value``, ``standard_error``, ``lower`` and ``upper``, (m,) or (m, k), lazy for a Dask
            array. The error is NaN for a row whose value the data do not determine: its entry for a
            coefficient without an error is not zero (or, if columns depend, the row violates the
            dependence). Student's t has the least degrees of freedom of the coefficients. An error
            of less than 1e-7 of those that it combines, as where rows have hardly any noise beside
            others, comes out as about that, which is too large.
        """
        quantile = t_of_tail(0.5 * (1.0 - as_level(level)), self._least_df())
        A_new = self._labels.design(A_new, len(self.estimate))
        value = product(A_new, self.estimate, "A_new")
        unit = self._unit.reshape(len(self.estimate), -1)
        error = standard_errors(A_new, self._factor, unit, self._null, "A_new")
        if self.estimate.ndim == 1:
            error, quantile = error[:, 0], quantile[0]
        return Prediction(value, error, value - quantile * error, value + quantile * error)

    def _least_df(self) -> Array:
        """The least degrees of freedom of each fit (k,)."""
        df = self.degrees_of_freedom.reshape(len(self.estimate), -1)
        return np.fmin.reduce(df, axis=0)  # not of those that are NaN

    def summary(self) -> str:
        """Return the table of coefficients as text, at most 79 columns wide.

        One block for each quantile or right-hand side, with the assumptions above and notes below.

        Returns
        -------
        text : str

        Examples
        --------
        >>> from randla import lstsq
        >>> A, b = [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]], [1.0, 2.0, 2.0, 4.0]
        >>> print(lstsq(A, b).inference(A, b, kind="iid").summary())
                                         Least squares
        ===============================================================================
        Errors:   iid                          Rows:     4
        df:       2
        Assumed:  independent errors of one variance
        ===============================================================================
                            coef  std err      t  P>|t|   [0.025  0.975]
        -------------------------------------------------------------------------------
        x0                0.9000   0.4950  1.818  0.211  -1.2297  3.0297
        x1                0.9000   0.2646  3.402  0.077  -0.2384  2.0384
        ===============================================================================
        """
        return table.as_text(self)

    def to_frame(self) -> Any:
        """Return the table as a ``pandas.DataFrame`` (needs pandas).

        Returns
        -------
        frame : pandas.DataFrame
            Columns estimate, std_error, t, p, low, high (of 95%), indexed by the names; with
            several quantiles or right-hand sides by (tau, name) or (column, name).
        """
        return table.as_frame(self)

    def _repr_html_(self) -> str:
        return table.as_html(self)

    def plot(self, ax: Any = None) -> Any:
        """Plot the coefficients with 95% intervals (needs matplotlib).

        With several quantiles there is a panel for each coefficient, against tau, with a band.

        Parameters
        ----------
        ax : matplotlib Axes, or an array of them with several quantiles, optional
            Axes to draw on, as many as coefficients; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes, or an array of them
        """
        if self._column_kind == "tau" and len(self._columns) > 1:
            return plot.against_tau(self, ax)
        return plot.coefficients(self, ax)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Result):
    """Fitted values of new rows, with intervals: the result of `Inference.predict`.

    Attributes
    ----------
    value : (m,) or (m, k) ndarray
        Fitted values.
    standard_error : ndarray, like value
        Standard error of the mean or quantile at each row.
    lower, upper : ndarray, like value
        Interval for the mean or quantile at each row.
    """

    value: Any
    standard_error: Any
    lower: Any
    upper: Any


def _shaped(replicates: Array | None, shape: tuple[int, ...]) -> Array | None:
    return None if replicates is None else replicates.reshape(len(replicates), *shape)


def t_statistic(x: Array, error: Array) -> Array:
    """The ratio of x and its error; zero for an x of zero without error."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where((x == 0.0) & (error == 0.0), 0.0, x / error)


def two_sided(t: Array, df: Array) -> Array:
    """The probability of a larger |t| by Student's law."""
    from scipy.special import stdtr

    return 2.0 * stdtr(df, -np.abs(t))
