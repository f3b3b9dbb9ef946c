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


@pytest.mark.parametrize("control", ["auto", "quartic"])
def test_many_dimensions(control):
    rng = np.random.default_rng(3)
    Z = [rng.standard_normal((n, 70)) + 0.01 * n for n in (90, 60)]
    options = {"a": rng.random(90), "n_projections": 50, "control_variate": control, "rng": 1}
    result = randla.sliced_wasserstein(cut(Z[0], 40), cut(Z[1], 60), **options)
    assert_same(result, randla.sliced_wasserstein(*Z, **options))


def test_on_each_scheduler(scheduler):
    result = randla.sliced_wasserstein(cut(X), cut(Y, 250), n_projections=60, rng=1)
    assert_same(result, randla.sliced_wasserstein(X, Y, n_projections=60, rng=1))


def test_several_passes(monkeypatch):
    # A patch, as a pass takes 256 MB.
    monkeypatch.setattr("randla.transport._dask._TASK_BYTES", 1 << 17)
    monkeypatch.setattr("randla.transport._dask._PASS_BYTES", 1 << 18)
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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("far", [1e20, -3e37, 1e300])
def test_points_without_weight_may_be_anywhere(dtype, far, rows):
    x, a = X.astype(dtype), np.where(np.arange(len(X)) % 7 < 3, 0.0, weights)
    a[:500] = 0.0  # whole blocks
    x[a == 0.0] = np.clip(far, np.finfo(dtype).min, np.finfo(dtype).max)
    expected = randla.sliced_wasserstein(x, Y.astype(dtype), a, n_projections=64, rng=1)
    for y in (cut(Y.astype(dtype), 250), Y.astype(dtype)):
        result = randla.sliced_wasserstein(cut(x, rows), y, a, n_projections=64, rng=1)
        assert result.value == pytest.approx(
            expected.value, rel=1e-6 if dtype is np.float32 else 1e-12
        )


@pytest.mark.parametrize("spread", [1e-7, 1e-10, 1e-13])
@pytest.mark.parametrize("control", ["upper", "bures", "full"])
def test_small_clouds_far_apart(spread, control):
    x, y = spread * X[:60, :3], 1.0 + spread * Y[:50, :3]
    options = {"n_projections": 80, "directions": "iid", "control_variate": control, "rng": 1}
    expected = randla.sliced_wasserstein(x, y, **options)
    result = randla.sliced_wasserstein(cut(x, 7), y, **options)
    assert result.value == pytest.approx(expected.value, rel=1e-13)
    assert result.standard_error == pytest.approx(expected.standard_error, rel=1e-3, abs=1e-16)
    single = randla.sliced_wasserstein(
        cut(x.astype(np.float32), 7), y.astype(np.float32), **options
    )
    assert single.value == pytest.approx(expected.value, rel=1e-7)


def test_one_point_far_away_on_the_line():
    x, y = np.array([0.0, 1.0, 1e20]), np.array([0.5, 1e20, 1.5])
    assert randla.sliced_wasserstein(cut(x, 2), y, p=1).value == pytest.approx(1.0 / 3.0)


def test_bad_clouds_are_named():
    with pytest.raises(ValueError, match="Y must have points of dimension 4, like X"):
        randla.sliced_wasserstein(cut(X), cut(Y[:, :3]))
    with pytest.raises(ValueError, match="X must be finite, got NaN"):
        randla.sliced_wasserstein(cut(np.where(X > 3, np.nan, X)), cut(Y))
    with pytest.raises(ValueError, match=r"a must be of shape \(1200,\)"):
        randla.sliced_wasserstein(cut(X), cut(Y), a=weights[:7])
    with pytest.raises(ValueError, match="X must have known chunk sizes, got shape"):
        randla.sliced_wasserstein(cut(X)[cut(X)[:, 0] > 0], Y)


def test_populations_need_memory():
    X = np.random.default_rng(1).standard_normal((60, 3))
    with pytest.raises(ValueError, match="population=True needs X and Y in memory"):
        randla.sliced_wasserstein(cut(X, 30), X, population=True)
