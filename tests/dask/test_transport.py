"""Sliced Wasserstein distances of Dask arrays are those of the arrays in memory."""

import numpy as np
import pytest

import randla
from tests.dask.cases import cut
from tests.dask.data import X, Y, weights

OPTIONS = {
    "default": {},
    "p=1": {"p": 1},
    "p=20": {"p": 20},
    "weights": {"a": weights, "b": weights[:900]},
    "tolerance": {"rtol": 1e-3},
    "plain": {"control_variate": None, "directions": "orthogonal"},
}


def test_values_at_the_edge_of_the_range():
    far = np.full((9, 2), 5e307)
    theta = np.array([[0.6, 0.8]])
    for p in (2, 40):
        result = randla.sliced_wasserstein(cut(far), 0.0 * far, p=p, directions=theta)
        assert result.value == pytest.approx(7e307)
        result = randla.sliced_wasserstein(cut(3.4 * far), -3.4 * far, p=p, directions=theta)
        assert result.value == np.inf


def assert_same(result, expected, rtol=1e-10):
    assert result.value == pytest.approx(expected.value, rel=rtol)
    assert result.standard_error == pytest.approx(expected.standard_error, rel=1e-6)
    for field in ("n_projections", "control_variate", "directions", "converged"):
        assert getattr(result, field) == getattr(expected, field)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_is_that_in_memory(options, rows):
    result = randla.sliced_wasserstein(cut(X, rows), cut(Y, 250), rng=1, **options)
    assert_same(result, randla.sliced_wasserstein(X, Y, rng=1, **options))


def test_on_each_scheduler(scheduler):
    result = randla.sliced_wasserstein(cut(X), cut(Y, 250), n_projections=60, rng=1)
    assert_same(result, randla.sliced_wasserstein(X, Y, n_projections=60, rng=1))


def test_several_passes(monkeypatch):
    monkeypatch.setattr("randla._dask.transport._TASK_BYTES", 1 << 17)
    monkeypatch.setattr("randla._dask.transport._PASS_BYTES", 1 << 18)
    result = randla.sliced_wasserstein(cut(X), cut(Y, 250), n_projections=60, rng=1)
    assert_same(result, randla.sliced_wasserstein(X, Y, n_projections=60, rng=1))


def test_mixed_operands_one_and_few_dimensions():
    assert_same(randla.sliced_wasserstein(cut(X), Y, rng=1), randla.sliced_wasserstein(X, Y, rng=1))
    line = randla.sliced_wasserstein(cut(X[:, 0]), cut(Y[:, 0]))
    assert line.directions == "exact"
    assert line.value == pytest.approx(randla.wasserstein_1d(X[:, 0], Y[:, 0]), rel=1e-12)
    few = randla.sliced_wasserstein(cut(X[:2]), cut(Y[:1]), rng=3)  # fewer points than dimensions
    assert_same(few, randla.sliced_wasserstein(X[:2], Y[:1], rng=3))
    single = randla.sliced_wasserstein(cut(X.astype(np.float32)), cut(Y.astype(np.float32)), rng=1)
    assert single.value == pytest.approx(randla.sliced_wasserstein(X, Y, rng=1).value, rel=1e-6)


@pytest.mark.parametrize(("scale", "shift"), [(1e-200, 0.0), (1e200, 0.0), (1.0, 1e8)])
def test_any_unit_and_origin(scale, shift):
    x, y = X * scale + shift, Y * scale + shift
    result = randla.sliced_wasserstein(cut(x), cut(y), rng=1)
    assert result.value == pytest.approx(randla.sliced_wasserstein(x, y, rng=1).value, rel=1e-9)


def test_bad_clouds_are_named():
    with pytest.raises(ValueError, match="Y must have points of dimension 4 as X has"):
        randla.sliced_wasserstein(cut(X), cut(Y[:, :3]))
    with pytest.raises(ValueError, match="X must be finite, got NaN"):
        randla.sliced_wasserstein(cut(np.where(X > 3, np.nan, X)), cut(Y))
    with pytest.raises(ValueError, match=r"a must be of shape \(1200,\)"):
        randla.sliced_wasserstein(cut(X), cut(Y), a=weights[:7])
    with pytest.raises(ValueError, match="X must have known chunk sizes, got shape"):
        randla.sliced_wasserstein(cut(X)[cut(X)[:, 0] > 0], Y)
