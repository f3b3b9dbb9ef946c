"""Features for scikit-learn against its own kernels and its own Nystroem."""

import pickle

import numpy as np
import pytest
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel

from randla.sklearn import PivotedNystroem
from tests.spectral.kernels import clustered_points

X = np.random.default_rng(0).standard_normal((400, 3))


def trace_error(K, features):
    return np.trace(K) - (features**2).sum()


@pytest.mark.parametrize(
    ("kernel", "theirs", "gamma"),
    [("gaussian", rbf_kernel, 0.5 / 1.5**2), ("laplace", laplacian_kernel, 1 / 1.5)],
)
def test_kernels_are_those_of_scikit_learn(kernel, theirs, gamma):
    features = PivotedNystroem(kernel, n_components=60, length_scale=1.5, random_state=0)
    Z, K = features.fit_transform(X), theirs(X, gamma=gamma)
    assert features.trace_error_ == pytest.approx(trace_error(K, Z), rel=1e-10)
    assert features.relative_trace_error_ == pytest.approx(features.trace_error_ / 400)
    assert np.abs(K - Z @ Z.T).max() <= features.trace_error_
    np.testing.assert_array_equal(features.components_, X[features.component_indices_])
    copy = pickle.loads(pickle.dumps(features))
    np.testing.assert_allclose(copy.transform(X), Z, atol=1e-11)
    assert len(pickle.dumps(features)) < 60 * (60 + 2 * 3 + 10) * 8  # nothing of all the points
    of_matrix = PivotedNystroem("precomputed", n_components=60, random_state=0).fit(K)
    np.testing.assert_allclose(of_matrix.transform(theirs(X[:9], X, gamma=gamma)), Z[:9], atol=1e-9)


def test_clusters_and_outliers_are_not_missed():
    points = clustered_points(np.random.default_rng(0), 600)
    K = rbf_kernel(points, gamma=0.5)
    ours, theirs = (
        np.median([trace_error(K, make(seed).fit_transform(points)) for seed in range(5)])
        for make in (
            lambda seed: PivotedNystroem(n_components=30, random_state=seed),
            lambda seed: Nystroem(gamma=0.5, n_components=30, random_state=seed),
        )
    )
    assert ours < 1e-3 * theirs


def test_fewer_components():
    features = PivotedNystroem(n_components=400, rtol=0.1, random_state=0)
    Z = features.fit_transform(X)
    assert Z.shape[1] == len(features.get_feature_names_out()) < 100
    assert features.relative_trace_error_ <= 0.1
    with pytest.raises(ValueError, match="n_components must be at least 1"):
        PivotedNystroem(n_components=0).fit(X)
    with pytest.raises(ValueError, match="length_scale must be positive"):
        PivotedNystroem(length_scale=-1.0).fit(X)
