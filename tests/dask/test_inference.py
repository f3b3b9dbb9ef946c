"""Groups that straddle blocks, and rows kept beside a sketch, on every scheduler."""

import numpy as np

import randla
from tests.dask.cases import N, cut

rng = np.random.default_rng(0)
A = rng.standard_normal((N, 4))
b = A.sum(axis=1) + rng.standard_normal(N)
weights = rng.exponential(size=N) * (rng.random(N) < 0.9)
names = np.array([f"group {g}" for g in rng.integers(40, size=N)])


def test_groups(scheduler, rows):
    expected = randla.lstsq(A, b, weights=weights).inference(A, b, groups=names, weights=weights)
    fit = randla.lstsq(cut(A, rows), cut(b, rows), weights=cut(weights, rows))
    for labels in (names, cut(names, 300), cut(names.astype(object), rows)):
        found = fit.inference(cut(A, rows), cut(b, rows), groups=labels, weights=cut(weights, rows))
        np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-10, atol=1e-16)
        np.testing.assert_allclose(found.degrees_of_freedom, expected.degrees_of_freedom)
        assert found.n_groups == expected.n_groups


def test_rows_that_a_sketch_keeps(scheduler, rows):
    options = {"sketch_size": 60, "rng": 1}
    expected = randla.lstsq(A, b, weights=weights, **options).inference(kind="robust")
    fit = randla.lstsq(cut(A, rows), cut(b, rows), weights=cut(weights, rows), **options)
    assert fit.n_passes == 1
    found = fit.inference(kind="robust")
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9, atol=1e-16)
