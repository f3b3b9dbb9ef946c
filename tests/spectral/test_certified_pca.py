"""Principal components against scikit-learn's full PCA."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from randla import datasets
from randla.sklearn import CertifiedPCA

NAMES = (
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
    "noise_variance_",
)
IMAGES = datasets.digits().images


@pytest.mark.parametrize("n_components", [5, None, 0.9])
@pytest.mark.parametrize("whiten", [False, True])
def test_digits(n_components, whiten):
    X = IMAGES[:, 3:6] + IMAGES[:, 30:33] * [1.0, 2.0, 3.0] if n_components is None else IMAGES
    full = PCA(n_components, svd_solver="full", whiten=whiten).fit(X)
    ours = CertifiedPCA(n_components, whiten=whiten).fit(X)
    assert ours.n_components_ == full.n_components_
    for name in (*NAMES, "mean_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(full, name), rtol=1e-8, atol=1e-10)
    low, high = ours.singular_values_bounds_
    assert (low <= full.singular_values_).all()
    assert (full.singular_values_ <= high).all()
    low, high = ours.explained_variance_ratio_bounds_
    exact = full.explained_variance_ratio_
    assert (low <= exact + 1e-15).all()
    assert (exact - 1e-15 <= high).all()
    Z = ours.transform(X)
    np.testing.assert_allclose(Z, full.transform(X), atol=1e-8 * np.abs(Z).max())
    np.testing.assert_allclose(
        ours.inverse_transform(Z), full.inverse_transform(full.transform(X)), atol=1e-8
    )


def test_sparse_is_centered_as_it_is():
    X = sparse.random_array((400, 300), density=0.05, rng=np.random.default_rng(0), format="csr")
    ours, dense = (CertifiedPCA(4, random_state=0).fit(x) for x in (X, X.toarray()))
    np.testing.assert_allclose(ours.singular_values_, dense.singular_values_, rtol=1e-4)
    np.testing.assert_allclose(ours.transform(X), ours.transform(X.toarray()), atol=1e-12)
    assert ours.singular_values_bounds_[1][0] >= dense.singular_values_[0]


def test_an_offset_costs_no_digits():
    X = np.random.default_rng(0).integers(-512, 512, (300, 12)) / 64.0
    near, far = CertifiedPCA(5).fit(X), CertifiedPCA(5).fit(X + 1e8)
    np.testing.assert_allclose(far.singular_values_, near.singular_values_, rtol=1e-10)
    np.testing.assert_allclose(far.transform(X + 1e8), near.transform(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_components", [0, 13, 1.5, "all", True])
def test_bad_numbers_of_components(n_components):
    with pytest.raises((TypeError, ValueError), match="n_components must be"):
        CertifiedPCA(n_components).fit(np.ones((20, 12)))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_whitening_at_any_scale(scale):
    X = np.random.default_rng(0).standard_normal((50, 6))
    plain, pca = CertifiedPCA(2, whiten=True), CertifiedPCA(2, whiten=True)
    Z = plain.fit_transform(X)
    np.testing.assert_allclose(pca.fit_transform(X * scale), Z, rtol=1e-10)
    np.testing.assert_allclose(pca.transform(X * scale), Z, rtol=1e-10)
    np.testing.assert_allclose(pca.inverse_transform(X=Z) / scale, plain.inverse_transform(Z))


def test_what_does_not_vary_is_not_whitened():
    X = np.outer(np.arange(5.0) - 2.0, [3.0, 0.0, 0.0])  # the rest is zero, without rounding
    pca = CertifiedPCA(2, whiten=True)
    Z = pca.fit_transform(X)
    assert not Z[:, 1].any()
    np.testing.assert_allclose(Z, pca.transform(X), atol=1e-15)


def test_coordinates_of_another_number_of_components_are_refused():
    pca = CertifiedPCA(2).fit(np.eye(4))
    with pytest.raises(ValueError, match=r"X must have 2 columns.*got shape \(4, 3\)"):
        pca.inverse_transform(np.ones((4, 3)))
    with pytest.raises(ValueError, match="X must be finite, got NaN"):
        pca.inverse_transform([[np.nan, 0.0]])
