"""Features of a kernel for scikit-learn, from pivots drawn where the error is largest."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from randla._validation import as_count
from randla.spectral._pivoted_cholesky import PivotedCholeskyResult, pivoted_cholesky


class PivotedNystroem(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Features whose products approximate a kernel, with the exact error of the approximation.

    Unlike in `sklearn.kernel_approximation.Nystroem`, whose landmarks are drawn uniformly,
    landmarks are drawn where the kernel is approximated worst, so that small groups and outliers
    are not missed.

    Parameters
    ----------
    kernel : str or callable, default="gaussian"
        As in `randla.pivoted_cholesky`. scikit-learn's ``rbf`` with `gamma` is "gaussian" with
        ``length_scale = (2 * gamma) ** -0.5``. With "precomputed" X is a kernel matrix, and
        ``transform`` takes the kernel values (m, n) of new points with those of the fit.
    n_components : int, default=100
        Maximum number; no more than there are points.
    length_scale : float or (d,) array_like, default=1.0
        One for all columns of X, or one for each.
    rtol : float, optional
        Stop with fewer components once the trace of the error is at most `rtol` times that of the
        kernel matrix.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of landmarks.

    Attributes
    ----------
    components_ : (k, d) ndarray
        The chosen points (for a precomputed kernel, their rows of the kernel matrix).
    component_indices_ : (k,) ndarray
        Their row indices in X.
    trace_error_ : float
        Trace of the kernel matrix minus that of the products of the features: exact. No entry of
        the difference, nor any norm of it, is larger.
    relative_trace_error_ : float
        The same over the trace of the kernel matrix.
    n_features_in_ : int
        Number of columns of X.

    See Also
    --------
    randla.pivoted_cholesky : the function behind it.

    Examples
    --------
    >>> from randla import datasets
    >>> from randla.sklearn import PivotedNystroem
    >>> X = datasets.digits().images
    >>> features = PivotedNystroem(n_components=300, length_scale=50.0, random_state=0)
    >>> features.fit_transform(X).shape
    (1797, 300)
    >>> features.relative_trace_error_ < 0.03
    True
    """

    def __init__(
        self,
        kernel: Any = "gaussian",
        *,
        n_components: int = 100,
        length_scale: Any = 1.0,
        rtol: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.n_components = n_components
        self.length_scale = length_scale
        self.rtol = rtol
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> PivotedNystroem:
        """Choose the components.

        Parameters
        ----------
        X : (n, d) array_like
        y : ignored

        Returns
        -------
        self
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Choose the components and return the features of X.

        Parameters
        ----------
        X : (n, d) array_like
        y : ignored

        Returns
        -------
        F : (n, k) ndarray
        """
        return self._fit(X).factor

    def transform(self, X: Any) -> Any:
        """Return the features of points.

        Parameters
        ----------
        X : (m, d) array_like

        Returns
        -------
        F : (m, k) ndarray
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._map(X).astype(X.dtype, copy=False)

    def _fit(self, X: Any) -> PivotedCholeskyResult:
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        result = pivoted_cholesky(
            X,
            min(as_count(self.n_components, "n_components"), len(X)),
            kernel=self.kernel,
            length_scale=self.length_scale,
            rtol=self.rtol,
            rng=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        self.component_indices_ = result.pivots
        self.components_ = X[result.pivots]
        self.trace_error_ = result.trace_error
        self.relative_trace_error_ = result.trace_error / result.trace if result.trace else 0.0
        self._map = result._feature_map  # a part of the result that does not grow with n
        self._n_features_out = result.pivots.size
        return result

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = isinstance(self.kernel, str) and self.kernel == "precomputed"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
