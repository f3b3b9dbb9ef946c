import numpy as np
import pytest
from scipy import stats

from randla.transport import (
    sliced_wasserstein,
    sliced_wasserstein_flow,
    sliced_wasserstein_gradient,
)
from tests.statistical import claim
from tests.transport.reference import clouds, projected_costs

RNG = np.random.default_rng(1)


def unit(L, d):
    theta = RNG.standard_normal((L, d))
    return theta / np.linalg.norm(theta, axis=1)[:, None]


def finite_differences(X, Y, theta, a, b, p, rows, step=1e-6):
    out = np.zeros((len(rows), X.shape[1]))
    for k, i in enumerate(rows):
        for j in range(X.shape[1]):
            shift = np.zeros_like(X)
            shift[i, j] = step
            high, low = (
                projected_costs(X + s * shift, Y, theta, a, b, p).mean() for s in (1.0, -1.0)
            )
            out[k, j] = (high - low) / (2 * step)
    return out


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 20.0])
@pytest.mark.parametrize("sizes", [(20, 20), (20, 13), (20, 30)])
@pytest.mark.parametrize("weighted", ["", "a", "ab"])
def test_finite_differences(p, sizes, weighted):
    n, m = sizes
    X, Y, theta = RNG.standard_normal((n, 4)), RNG.standard_normal((m, 4)) + 0.5, unit(5, 4)
    a = RNG.random(n) if "a" in weighted else None
    b = RNG.random(m) if "b" in weighted else None
    result = sliced_wasserstein_gradient(X, Y, a, b, p=p, directions=theta)
    rows = [0, 7, n - 1]
    expected = finite_differences(X, Y, theta, a, b, p, rows)
    scale = np.abs(result.gradient).max()
    np.testing.assert_allclose(result.gradient[rows], expected, rtol=0, atol=1e-6 * scale)
    assert result.power == pytest.approx(projected_costs(X, Y, theta, a, b, p).mean(), rel=1e-11)
    assert result.standard_error is result.power_standard_error is None


@pytest.mark.parametrize("design", ["iid", "orthogonal", "rqmc"])
def test_translation_has_no_error(design):
    # every slope is linear in the projection: 2 (x - y) / (n d), for any directions
    X = RNG.standard_normal((30, 5))
    shift = np.arange(5.0)
    result = sliced_wasserstein_gradient(X, X + shift, directions=design, rng=1)
    np.testing.assert_allclose(result.gradient, np.tile(-2 * shift / 150, (30, 1)), atol=1e-14)
    assert result.standard_error.max() < 1e-14


def test_the_sum_over_points_is_the_derivative_along_a_translation():
    X, Y = clouds("mix", 6, 40)
    total = sliced_wasserstein_gradient(X, Y[:30], rng=1).gradient.sum(axis=0)
    np.testing.assert_allclose(total, 2 * (X.mean(0) - Y[:30].mean(0)) / 6, atol=1e-13)


def test_one_dimension_is_exact():
    x, y = np.array([3.0, 1.0, 2.0]), np.array([1.5, 2.5, 5.0])
    result = sliced_wasserstein_gradient(x, y)
    np.testing.assert_allclose(result.gradient[:, 0], 2 / 3 * np.array([-2.0, -0.5, -0.5]))
    assert result.directions == "exact"
    assert (result.standard_error == 0).all()
    assert result.power_standard_error == 0.0


def test_points_without_weight_have_no_gradient():
    X, Y = clouds("gauss", 3, 20)
    a = np.ones(20)
    a[[2, 5]] = 0.0
    result = sliced_wasserstein_gradient(X, Y, a, rng=0)
    assert result.gradient.shape == result.standard_error.shape == (20, 3)
    assert (result.gradient[[2, 5]] == 0).all()
    without = sliced_wasserstein_gradient(X[a > 0], Y, rng=0)
    np.testing.assert_allclose(result.gradient[a > 0], without.gradient, rtol=1e-12)


def test_the_gradient_of_the_value():
    X, Y = clouds("gauss", 3, 30)
    result = sliced_wasserstein_gradient(X, Y, p=3, rng=0)
    np.testing.assert_allclose(
        result.value_gradient, result.gradient / (3 * result.value**2), rtol=1e-12
    )
    same = sliced_wasserstein_gradient(X, X, rng=0)
    assert (same.value_gradient == 0).all()
    assert (same.gradient == 0).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e155, 1e300])
@pytest.mark.parametrize("p", [1.0, 2.0, 4.0, 30.0])
def test_the_gradient_of_the_value_has_no_unit(scale, p):
    X, Y = clouds("gauss", 3, 20)
    a = np.arange(20.0)  # the first point has no weight
    plain, scaled = (sliced_wasserstein_gradient(s * X, s * Y, a, p=p, rng=0) for s in (1.0, scale))
    np.testing.assert_allclose(scaled.value_gradient, plain.value_gradient, rtol=1e-9, atol=1e-12)
    assert (scaled.value_gradient[0] == 0.0).all()
    assert np.abs(scaled.value_gradient).max() > 0.01


@pytest.mark.parametrize("design", ["iid", "orthogonal", "rqmc"])
@claim(
    null="gradients are unbiased and their squared errors are, on average, what was stated",
    test="z-test of 8 coordinates of the gradient and of the ratio of mean squares",
    replicates=150,
    false_alarm=1e-7,
)
def test_the_standard_error_is_honest(trial, design):
    X, Y = clouds("mix", 5, 40)
    truth = sliced_wasserstein_gradient(
        X, Y, n_projections=40_000, directions="orthogonal", rng=trial.rng()
    ).gradient
    results = [
        sliced_wasserstein_gradient(X, Y, n_projections=64, directions=design, rng=rng)
        for rng in trial.rngs()
    ]
    draws = np.array([r.gradient for r in results])
    trial.assert_mean(draws[:, ::10, ::2], truth[::10, ::2], share=0.5, se_floor=2e-5)
    squares = ((draws - truth) ** 2).sum(axis=(1, 2))
    stated = np.array([(r.standard_error**2).sum() for r in results])
    trial.assert_mean(squares - stated, 0.0, share=0.5)


def test_frames_beat_independent_directions():
    # the exact split without the slope would lose on such clouds; frames and the slope do not
    X, Y = clouds("gauss", 50, 100)
    theta = RNG.standard_normal((400, 50))
    theta /= np.linalg.norm(theta, axis=1)[:, None]
    truth = sliced_wasserstein_gradient(X, Y, n_projections=20_000, rng=0).gradient
    plain = sliced_wasserstein_gradient(X, Y, directions=theta).gradient
    for design in ("orthogonal", "iid"):
        better = sliced_wasserstein_gradient(
            X, Y, n_projections=400, directions=design, rng=1
        ).gradient
        assert np.sum((better - truth) ** 2) < np.sum((plain - truth) ** 2) / 5


@pytest.mark.parametrize("design", ["iid", "orthogonal", "rqmc"])
def test_rounds_do_not_change_the_gradient(design, monkeypatch):
    # A patch, as the slopes of a round take 16 MB.
    X, Y = clouds("gauss", 4, 60)
    whole = sliced_wasserstein_gradient(X, Y, directions=design, rng=1)
    with monkeypatch.context() as patch:
        patch.setattr("randla.transport._projections.slopes._ROUND_NUMBERS", 500)
        patch.setattr("randla.transport._projections.slopes._POINTS", 7)
        parts = sliced_wasserstein_gradient(X, Y, directions=design, rng=1)
    np.testing.assert_allclose(parts.gradient, whole.gradient, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(parts.standard_error, whole.standard_error, rtol=1e-8)


def test_the_value_is_that_of_the_distance():
    X, Y = clouds("mix", 4, 40)
    gradient = sliced_wasserstein_gradient(X, Y, n_projections=64, directions="orthogonal", rng=3)
    plain = sliced_wasserstein(
        X, Y, n_projections=64, directions="orthogonal", control_variate=None, rng=3
    )
    assert gradient.value == pytest.approx(plain.value, rel=1e-12)
    assert gradient.power_standard_error == pytest.approx(plain.power_standard_error, rel=1e-10)


def test_intervals():
    X, Y = clouds("mix", 6, 40)
    a = np.r_[0.0, np.ones(39)]
    result = sliced_wasserstein_gradient(X, Y[:30], a, rng=1)
    for level in (0.5, 0.99):
        low, high = result.confidence_interval(level)
        half = stats.t(result.degrees_of_freedom).ppf(0.5 + level / 2) * result.standard_error
        np.testing.assert_allclose(low, result.gradient - half, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(high, result.gradient + half, rtol=1e-12, atol=1e-300)
    assert (low[0] == 0).all()
    assert (high[0] == 0).all()
    with pytest.raises(ValueError, match="level must be in"):
        result.confidence_interval(0.0)
    exact = sliced_wasserstein_gradient(X[:, 0], Y[:, 0])
    np.testing.assert_array_equal(exact.confidence_interval(), [exact.gradient] * 2)
    huge = sliced_wasserstein_gradient(1e200 * X, 1e200 * Y, p=3, rng=1)
    assert not np.isfinite(huge.gradient).all()
    assert not np.isnan(huge.confidence_interval()).any()
    given = sliced_wasserstein_gradient(X, Y, directions=np.eye(6))
    with pytest.raises(ValueError, match="confidence_interval needs random directions"):
        given.confidence_interval()


@pytest.mark.parametrize("p", [100.0, 1000.0])
def test_finite_differences_of_the_value_at_large_powers(p):
    X, Y, theta = RNG.standard_normal((20, 4)), RNG.standard_normal((13, 4)) + 0.5, unit(5, 4)
    result = sliced_wasserstein_gradient(X, Y, p=p, directions=theta)
    shift, step = np.zeros_like(X), 1e-5 / p
    where = np.unravel_index(np.abs(result.value_gradient).argmax(), X.shape)
    shift[where] = step
    high, low = (
        sliced_wasserstein(X + s * shift, Y, p=p, directions=theta).value for s in (1.0, -1.0)
    )
    assert result.value_gradient[where] == pytest.approx((high - low) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_no_direction_leaves_the_range_at_the_largest_power(seed):
    # one coordinate decides: the largest of 1000 costs is far above that of the first 64
    X, Y = np.zeros((1, 50)), np.zeros((1, 50))
    Y[0, 0] = 3.0
    with np.errstate(over="raise"):
        result = sliced_wasserstein_gradient(X, Y, p=1000, n_projections=1000, rng=seed)
    low, high = result.confidence_interval()
    assert np.isfinite(result.value_gradient).all()
    assert np.isfinite([result.value, *low.ravel(), *high.ravel()]).all() or result.power == np.inf


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(
    ("n", "m", "d"), [(20_000, 20_000, 50), (4000, 4000, 300), (40_000, 9, 50)]
)
def test_memory_of_many_coordinates(n, m, d, is_weighted):
    import tracemalloc

    # docs/trust.rst: N d + 4 n d + 28 N numbers for n of N points in X, and 24 MB; a flow 7 n d.
    # Two more n d where points have no weight.
    X, Y = np.split(np.random.default_rng(0).standard_normal((n + m, d)), [n])
    a = np.arange(n) if is_weighted else None  # the first point has no weight
    options = {"n_projections": 32, "rng": 0}
    for call, copies in (
        (lambda: sliced_wasserstein_gradient(X, Y, a, **options), 4 + 2 * is_weighted),
        (lambda: sliced_wasserstein_flow(X, Y, a, n_steps=2, **options), 7),
    ):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * ((n + m) * (d + 28) + copies * n * d) + 24e6
