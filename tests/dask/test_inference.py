"""Groups that straddle blocks, and rows kept beside a sketch, on every scheduler."""

import numpy as np
import pytest

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


def test_tables_keep_their_names(scheduler):
    """Also columns of truth values, and those that may be missing, with groups and weights."""
    pandas, tables = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(A[:, :3], columns=["a", "b", "c"]).assign(
        flag=A[:, 3] > 0.0, count=pandas.array(np.arange(N) % 5, dtype="Int64"),
        y=b, g=names, w=weights, text="x",
    )  # fmt: skip
    columns, lazy = ["flag", "a", "count"], tables.from_pandas(frame, npartitions=3)
    fits = [randla.lstsq(t[columns], t["y"], weights=t["w"]) for t in (frame, lazy)]
    expected, found = (
        fit.inference(t[columns[::-1]], t["y"], weights=t["w"], groups=t["g"])
        for fit, t in zip(fits, (frame, lazy), strict=True)
    )
    assert found.names == tuple(columns)
    assert "Response: y" in found.summary()
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-10)
    np.testing.assert_allclose(
        fits[1].predict(lazy[columns[::-1]]).compute(), fits[0].predict(frame), atol=1e-12
    )
    with pytest.raises(TypeError, match="column 'text'"):
        randla.lstsq(lazy[["a", "text"]], lazy["y"])
