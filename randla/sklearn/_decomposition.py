"""Principal components for scikit-learn, with brackets of the explained variance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from randla._validation import as_array, as_count, as_flag, as_number
from randla.spectral._svd import decompose


class CertifiedPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Principal components with a certified bracket of each singular value.

    Like `sklearn.decomposition.PCA`, with its attributes and signs. X is centered without forming
    the result: sparse X stays sparse, and offsets of 1e8 cost no digits of the fit.

    Parameters
    ----------
    n_components : int, float or None, default=None
        Number, or, strictly between 0 and 1, the fraction of variance to explain; None: all.
    whiten : bool, default=False
        Scale the transformed columns to unit variance.
    tol : float, default=1e-3
        The tolerance of `randla.svd`, if it iterates.
    random_state : int, RandomState instance or None, default=None
        Seed of the start of an iteration.

    Attributes
    ----------
    components_ : (k, d) ndarray
        The principal axes, of norm 1.
    explained_variance_, explained_variance_ratio_, singular_values_ : (k,) ndarray
        Variances along the axes, their fractions of the total, and singular values of the centered
        X.
    singular_values_bounds_, explained_variance_ratio_bounds_ : tuple of (k,) ndarray
        Lower and upper ends of intervals that contain those of the exact components.
    mean_ : (d,) ndarray
        Means of the columns of X.
    noise_variance_ : float
        Mean variance of the other components, from the exact error of the approximation.
    n_components_, n_samples_, n_features_in_ : int
        Number k of components, of rows and of columns of X.
    reconstruction_error_ : float
        Exact Frobenius norm of the part that the components do not explain.
    n_passes_ : int
        Number of passes over X.

    See Also
    --------
    randla.svd : the function behind it.

    Examples
    --------
    >>> from randla import datasets
    >>> from randla.sklearn import CertifiedPCA
    >>> pca = CertifiedPCA(n_components=2).fit(datasets.digits().images)
    >>> pca.explained_variance_ratio_.round(3)
    array([0.149, 0.136])
    >>> low, high = pca.explained_variance_ratio_bounds_
    >>> bool((high - low < 1e-10).all())
    True
    """

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        whiten: bool = False,
        tol: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> CertifiedPCA:
        """Fit the components.

        Parameters
        ----------
        X : (n, d) array_like or sparse matrix
        y : ignored

        Returns
        -------
        self
        """
        self._fit(X, left=False)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit the components and return the coordinates of X in them.

        Parameters
        ----------
        X : (n, d) array_like or sparse matrix
        y : ignored

        Returns
        -------
        Z : (n, k) ndarray
        """
        return self._fit(X, left=True)

    def _fit(self, X: Any, left: bool) -> Any:
        as_flag(self.whiten, "whiten")
        X = validate_data(
            self, X, accept_sparse=("csr", "csc"), dtype=[np.float64, np.float32],
            ensure_min_samples=2,
        )  # fmt: skip
        n, short = int(X.shape[0]), min(X.shape)
        rank: dict[str, Any] = {"k": None, "rtol": None, **self._rank(short)}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        result = decompose(X, **rank, center=True, tol=self.tol, rng=seed, left=left)
        k, s = result.s.size, result.s
        self.components_ = result.Vt.astype(X.dtype, copy=False)
        self.singular_values_ = s
        self.singular_values_bounds_ = result.s_lower, result.s_upper
        with np.errstate(over="ignore", under="ignore"):  # scales beyond 1e±154
            self.explained_variance_ = s**2 / (n - 1)
            missed = np.float64(result.error) ** 2
        self.explained_variance_ratio_ = result.explained_variance_ratio
        self.explained_variance_ratio_bounds_ = result.explained_variance_ratio_bounds
        assert result.mean is not None
        self.mean_ = result.mean.astype(X.dtype, copy=False)
        self.reconstruction_error_ = float(result.error)
        others = short - k
        self.noise_variance_ = float(missed / ((n - 1) * others)) if others else 0.0
        self.n_components_, self.n_samples_, self.n_passes_ = k, n, result.n_passes
        if not left:
            return None
        Z = result.U * (math.sqrt(n - 1) * (s > 0.0) if self.whiten else s)
        return Z.astype(X.dtype, copy=False)

    def _rank(self, short: int) -> dict[str, Any]:
        count = self.n_components
        if count is None:
            return {"k": short}
        if isinstance(count, (float, np.floating)):
            share = as_number(count, "n_components", low=0.0, high=1.0, closed="neither")
            return {"rtol": math.sqrt(1.0 - share)}
        note = ", the smaller of the numbers of samples and features"
        return {"k": as_count(count, "n_components", maximum=short, note=note)}

    def transform(self, X: Any) -> Any:
        """Coordinates in the components.

        Parameters
        ----------
        X : (n, d) array_like or sparse matrix

        Returns
        -------
        Z : (n, k) ndarray
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse=("csr", "csc"), dtype=[np.float64, np.float32], reset=False
        )
        if isinstance(X, np.ndarray):
            Z = (X - self.mean_) @ self.components_.T  # no digits are lost to an offset
        else:
            Z = X @ self.components_.T - self.mean_ @ self.components_.T
        return Z / self._scales() if self.whiten else Z

    def inverse_transform(self, X: Any) -> Any:
        """The points with these coordinates.

        Parameters
        ----------
        X : (n, k) array_like
            Coordinates, as `transform` returns them.

        Returns
        -------
        X_original : (n, d) ndarray
        """
        check_is_fitted(self)
        Z, k = as_array(X, "X"), len(self.components_)
        if Z.shape[-1:] != (k,):
            raise ValueError(f"X must have {k} columns, one a component, got shape {Z.shape}")
        if self.whiten:
            Z = Z * self._scales()
        return Z @ self.components_ + self.mean_

    def _scales(self) -> Any:
        """Standard deviations of the coordinates; 1 if they vanish."""
        scales = self.singular_values_ / math.sqrt(self.n_samples_ - 1)
        return np.where(scales > 0.0, scales, 1.0).astype(self.components_.dtype)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
