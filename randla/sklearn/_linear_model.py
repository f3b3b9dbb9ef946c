"""Linear models for scikit-learn, over `lstsq` and `lp_regression`."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from randla._validation import as_flag, as_number
from randla.regression import lp_regression, lstsq
from randla.regression._fitted.labels import Labels
from randla.regression._intercept import lstsq_with_intercept


class _LinearRegressor(RegressorMixin, BaseEstimator):
    """Validation, the column of ones and prediction, shared by the three estimators."""

    _accept_sparse: ClassVar[Any] = ("csr", "csc")
    _multi_output: ClassVar[bool] = False

    def _validate(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=self._accept_sparse,
            y_numeric=True,
            multi_output=self._multi_output,
            dtype=[np.float64, np.float32],
        )
        if sample_weight is not None:  # (n,), not negative
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        return X, y, sample_weight

    def _design(self, X: Any) -> Any:
        """X, after a column of ones if there is an intercept."""
        if not as_flag(self.fit_intercept, "fit_intercept"):
            return X
        if isinstance(X, np.ndarray):
            return np.column_stack([np.ones(len(X), X.dtype), X])  # (n, 1 + d)
        from scipy.sparse import csr_array, hstack

        return hstack([np.ones((X.shape[0], 1)), csr_array(X)], format="csr")

    def _store(self, x: Any) -> None:
        """Coefficients (d,) or (d, k) to scikit-learn's ``coef_`` and ``intercept_``."""
        if self.fit_intercept:
            self.intercept_, x = x[0], x[1:]
        else:
            self.intercept_ = 0.0 if x.ndim == 1 else np.zeros(x.shape[1])
        self.coef_ = x.T  # (d,) or (k, d)

    def predict(self, X: Any) -> Any:
        """Predict from the fitted coefficients.

        Parameters
        ----------
        X : (n, d) array_like or sparse matrix

        Returns
        -------
        y : (n,) or (n, k) ndarray
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=self._accept_sparse, reset=False)
        return X @ self.coef_.T + self.intercept_  # (n,) or (n, k)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class SketchedLinearRegression(MultiOutputMixin, _LinearRegressor):
    r"""Least squares by one sketch, with its standard error, or to full precision.

    With `eps` or `sketch_size` X is sketched. With neither, and if a sketch with `eps` would not
    pay off, the result is that of ``LinearRegression``, to full precision.

    If the rank of the centered X is deficient, the coefficients are the shortest, as in
    scikit-learn's ``LinearRegression``. Here the rank does not depend on the scales of the columns,
    whereas scikit-learn drops directions below 1e-6 of the largest (its ``tol``).

    Parameters
    ----------
    eps : float, optional
        Sketch with enough rows for each coefficient to be within ``eps / sqrt(d)`` times
        ``|residual| |A^+|`` of the least-squares solution, with probability 0.95; A is X, centered
        if there is an intercept.
    sketch_size : int, optional
        Rows of the sketch. With neither this nor `eps`: full double precision.
    alpha : float, default=0.0
        Penalty :math:`\alpha |w|_2^2` on the coefficients, not on the intercept, added to the sum
        of squares as in scikit-learn's ``Ridge``.
    fit_intercept : bool, default=True
        Whether to add an intercept, which has no penalty.
    random_state : int, RandomState instance or None, default=None
        Seed of the sketch; None: NumPy's global state, as in scikit-learn. Not used without a
        sketch.

    Attributes
    ----------
    coef_ : (d,) or (k, d) ndarray
        Coefficients of the columns of X.
    intercept_ : float or (k,) ndarray
        The intercept, 0 without one.
    standard_error_ : (d,) or (k, d) ndarray
        Standard errors of ``coef_``, elementwise: errors of the sketch given the data, zero at full
        precision. For errors of the data as a sample see `randla.LstsqResult.inference`.
    intercept_standard_error_ : float or (k,) ndarray
        Standard error of ``intercept_``; zero without an intercept.
    n_features_in_ : int
        Number of columns of X.
    result_ : LstsqResult
        The result of `randla.lstsq` for X, or with an intercept for the centered X and y: its
        coefficients and intervals are those of the columns of X.

    See Also
    --------
    randla.lstsq : the function behind it.

    Examples
    --------
    >>> import numpy as np
    >>> from randla.sklearn import SketchedLinearRegression
    >>> X = np.arange(12.0).reshape(6, 2) ** 2
    >>> SketchedLinearRegression().fit(X, X @ [1.0, 2.0] + 3.0).coef_.round(6)
    array([1., 2.])
    >>> rng = np.random.default_rng(0)
    >>> X, noise = rng.standard_normal((5000, 2)), rng.standard_normal(5000)
    >>> fast = SketchedLinearRegression(sketch_size=400, random_state=0).fit(X, X[:, 0] + noise)
    >>> full = SketchedLinearRegression().fit(X, X[:, 0] + noise)
    >>> bool((abs(fast.coef_ - full.coef_) < 4.0 * fast.standard_error_).all())
    True
    >>> bool(abs(fast.intercept_ - full.intercept_) < 4.0 * fast.intercept_standard_error_)
    True
    """

    _multi_output = True

    def __init__(
        self,
        *,
        eps: float | None = None,
        sketch_size: int | None = None,
        alpha: float = 0.0,
        fit_intercept: bool = True,
        random_state: Any = None,
    ) -> None:
        self.eps = eps
        self.sketch_size = sketch_size
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "SketchedLinearRegression":
        """Fit the coefficients.

        Parameters
        ----------
        X : (n, d) array_like or sparse matrix
        y : (n,) or (n, k) array_like
        sample_weight : (n,) array_like, optional

        Returns
        -------
        self
        """
        X, y, sample_weight = self._validate(X, y, sample_weight)
        alpha = as_number(self.alpha, "alpha", low=0.0, closed="left")
        options: dict[str, Any] = {
            "eps": self.eps,
            "sketch_size": self.sketch_size,
            "ridge": alpha,
        }
        if (
            self.eps is not None or self.sketch_size is not None
        ):  # else NumPy's state is not changed
            options["rng"] = int(check_random_state(self.random_state).randint(2**31 - 1))
        if as_flag(self.fit_intercept, "fit_intercept"):
            fit = lstsq_with_intercept(X, y, sample_weight, **options)
            self.result_, intercept, error = fit.result, fit.intercept, fit.intercept_error
        else:
            self.result_ = lstsq(X, y, weights=sample_weight, **options)
            intercept = error = np.zeros(self.result_.x.shape[1:])
        names = getattr(self, "feature_names_in_", ())
        self.result_.labeled(Labels(tuple(map(str, names))))
        x = self.result_.x
        self.coef_ = x.T  # scikit-learn has outputs first
        self.standard_error_ = self.result_.standard_error.T
        is_vector = x.ndim == 1
        self.intercept_ = float(intercept) if is_vector else intercept
        self.intercept_standard_error_ = float(error) if is_vector else error
        return self


class _CertifiedRegressor(_LinearRegressor):
    """The fit and its gap, shared by the two estimators over `lp_regression`."""

    def _regress(self, X: Any, y: Any, sample_weight: Any, *args: Any, **options: Any) -> Any:
        """Fit validated data; `args` and `options` are those of `lp_regression`."""
        # `tol` is the relative gap of the certificate.
        tol = as_number(self.tol, "tol", low=0.0, high=1.0, closed="neither")
        self.result_ = lp_regression(
            self._design(X), y, *args, weights=sample_weight, rtol=tol, **options
        )
        self._store(self.result_.x)
        self.n_iter_ = int(self.result_.n_iterations)
        self.gap_ = float(self.result_.gap)
        return self


class QuantileRegressor(_CertifiedRegressor):
    """Linear quantile regression with an optional l_1 penalty.

    Minimizes the mean pinball loss plus `alpha` times the 1-norm of the coefficients, like
    `sklearn.linear_model.QuantileRegressor`.

    Parameters
    ----------
    quantile : float, default=0.5
        Strictly between 0 and 1.
    alpha : float, default=1.0
        Penalty of the coefficients (not of the intercept).
    fit_intercept : bool, default=True
        Whether to add an intercept, which has no penalty.
    tol : float, default=1e-8
        Relative duality gap at which to stop, in (0, 1).

    Attributes
    ----------
    coef_ : (d,) ndarray
        Coefficients of the columns of X.
    intercept_ : float
        The intercept, 0 without one.
    n_features_in_ : int
        Number of columns of X.
    n_iter_ : int
        Number of iterations of the solver.
    gap_ : float
        The mean loss at the coefficients exceeds the minimum by at most this.
    result_ : LpRegressionResult
        The result of `randla.lp_regression`, whose first coefficient is the intercept if there is
        one.

    See Also
    --------
    randla.lp_regression : the function behind it, which takes several quantiles at once.

    Examples
    --------
    >>> import numpy as np
    >>> from randla.sklearn import QuantileRegressor
    >>> X = np.arange(9.0)[:, None]
    >>> y = X[:, 0] + [0, 0, 9, 0, 0, -9, 0, 0, 0]
    >>> QuantileRegressor(alpha=0.0).fit(X, y).coef_.round(6)
    array([1.])
    """

    def __init__(
        self,
        *,
        quantile: float = 0.5,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-8,
    ) -> None:
        self.quantile = quantile
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.tol = tol

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "QuantileRegressor":
        """Fit the coefficients.

        Parameters
        ----------
        X : (n, d) array_like or sparse matrix
        y : (n,) array_like
        sample_weight : (n,) array_like, optional

        Returns
        -------
        self
        """
        quantile = as_number(self.quantile, "quantile", low=0.0, high=1.0, closed="neither")
        alpha = as_number(self.alpha, "alpha", low=0.0)
        X, y, sample_weight = self._validate(X, y, sample_weight)
        # Of weights: n if there are none.
        total = float(X.shape[0] if sample_weight is None else sample_weight.sum())
        # scikit-learn takes the mean of the losses, `lp_regression` their sum: alpha times n.
        penalty = np.full(X.shape[1] + bool(self.fit_intercept), alpha * total)
        if self.fit_intercept:
            penalty[0] = 0.0  # the intercept is free
        l1 = penalty if alpha > 0.0 else 0.0
        self._regress(X, y, sample_weight, tau=quantile, l1=l1)
        self.gap_ /= total  # of the mean loss
        return self


class LpRegressor(_CertifiedRegressor):
    """Linear regression in the p-norm of the residuals.

    Parameters
    ----------
    p : float, default=1
        From 1 (least absolute deviations) through 2 (least squares) to inf (minimax).
    fit_intercept : bool, default=True
        Whether to add an intercept, which has no penalty.
    tol : float, default=1e-8
        Relative duality gap at which to stop, in (0, 1).

    Attributes
    ----------
    coef_ : (d,) ndarray
        Coefficients of the columns of X.
    intercept_ : float
        The intercept, 0 without one.
    n_features_in_ : int
        Number of columns of X.
    n_iter_ : int
        Number of iterations of the solver.
    gap_ : float
        The norm of the residuals exceeds the minimum by at most this.
    result_ : LpRegressionResult
        The result of `randla.lp_regression`, whose first coefficient is the intercept if there is
        one.

    See Also
    --------
    randla.lp_regression : the function behind it.

    Examples
    --------
    >>> import numpy as np
    >>> from randla.sklearn import LpRegressor
    >>> X = np.arange(9.0)[:, None]
    >>> y = X[:, 0] + [0, 0, 9, 0, 0, -9, 0, 0, 0]
    >>> LpRegressor(p=1).fit(X, y).coef_.round(6)
    array([1.])
    """

    def __init__(self, *, p: float = 1, fit_intercept: bool = True, tol: float = 1e-8) -> None:
        self.p = p
        self.fit_intercept = fit_intercept
        self.tol = tol

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LpRegressor":
        """Fit the coefficients.

        Parameters
        ----------
        X : (n, d) array_like or sparse matrix
        y : (n,) array_like
        sample_weight : (n,) array_like, optional
            Weights of the p-th powers of the residuals.

        Returns
        -------
        self
        """
        p = as_number(self.p, "p", low=1.0, infinite=True)
        X, y, sample_weight = self._validate(X, y, sample_weight)
        return self._regress(X, y, sample_weight, p)
