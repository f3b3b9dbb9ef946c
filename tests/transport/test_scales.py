"""Clouds of any size, place and power."""

import math

import numpy as np
import pytest

from randla.transport import (
    sliced_wasserstein,
    sliced_wasserstein_gradient,
    sliced_wasserstein_matrix,
    wasserstein_1d,
)
from randla.transport._controls.control_variates import FAMILIES, abs_moment
from randla.transport._kernels.prepare import snap_centers
from tests.transport.reference import clouds, unit_vectors

CONTROLS = (None, *FAMILIES)
each_control = pytest.mark.parametrize("control", CONTROLS)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_subnormal_numbers(p):
    X, Y = clouds("gauss", 4, 50)
    unit, result = (sliced_wasserstein(X * s, Y * s, p=p, rng=0) for s in (1.0, 1e-310))
    assert result.value / 1e-310 == pytest.approx(unit.value, rel=1e-9)
    assert result.standard_error / 1e-310 == pytest.approx(unit.standard_error, rel=1e-6)


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_far_from_the_origin(dtype):
    X, Y = (np.rint(64 * Z) / 64 for Z in clouds("gauss", 4, 60))
    near = sliced_wasserstein(X.astype(dtype), Y.astype(dtype), rng=0)
    far = sliced_wasserstein((X + 4096).astype(dtype), (Y + 4096).astype(dtype), rng=0)
    assert far.value == pytest.approx(near.value, rel=1e-6 if dtype is np.float32 else 1e-12)


@pytest.mark.parametrize("p", [20.0, 100.0, 1000.0])
def test_high_powers_stay_in_range(p):
    X, Y = clouds("gauss", 3, 40)
    theta = unit_vectors(np.random.default_rng(7), 20, 3)
    value = sliced_wasserstein(X, Y, p=p, directions=theta).value
    gaps = np.abs(np.sort(X @ theta.T, axis=0) - np.sort(Y @ theta.T, axis=0))
    largest = gaps.max()
    expected = largest * np.mean((gaps / largest) ** p) ** (1 / p)
    assert value == pytest.approx(expected, rel=1e-11)


def test_hostile_clouds():
    rng = np.random.default_rng(8)
    flat = np.outer(rng.standard_normal(30), [1.0, 2.0, 0.0, -1.0])  # on a line: singular
    point = np.ones((1, 4))
    wide = rng.standard_normal((5, 4)) * [1.0, 1e-9, 1e9, 0.0]
    for X in (flat, point, wide):
        for Y in (flat + 1.0, np.repeat(point, 3, axis=0), wide[:3]):
            for control in CONTROLS:
                result = sliced_wasserstein(X, Y, control_variate=control, rng=1)
                low, high = result.confidence_interval()
                assert 0.0 <= low <= result.value <= high < math.inf


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@each_control
def test_equal_clouds_of_any_size(control, scale):
    # zero times a unit that has left the range of doubles is zero
    X = scale * clouds("gauss", 4, 30)[0]
    result = sliced_wasserstein(X, X, control_variate=control, rng=0)
    assert result.power == result.power_standard_error == 0.0
    assert not result.projected_costs.any()
    assert not result.coefficients.any()
    gradient = sliced_wasserstein_gradient(X, X, p=3, rng=0)
    assert gradient.power == 0.0
    assert not gradient.gradient.any()
    matrix = sliced_wasserstein_matrix([X, X], rng=0)
    assert not matrix.powers.any()


def test_a_weighted_cloud_is_its_own_permutation():
    X, a = clouds("gauss", 4, 90)[0], np.random.default_rng(0).random(90)
    for seed, p in enumerate((1.0, 2.0, 16.0, 40.0)):
        order = np.random.default_rng(seed).permutation(90)
        assert sliced_wasserstein(X, X[order], a, a[order], p=p, rng=0).value == 0.0


def test_the_costs_behind_the_estimate():
    X, Y = clouds("mix", 4, 40)
    result = sliced_wasserstein(X, Y, p=1.5, n_projections=100, control_variate="full", rng=3)
    plain = sliced_wasserstein(X, Y, p=1.5, n_projections=100, control_variate=None, rng=3)
    np.testing.assert_allclose(result.projected_costs, plain.projected_costs, rtol=1e-12)
    np.testing.assert_array_equal(plain.adjusted_costs, plain.projected_costs)
    assert result.projected_costs.mean() == pytest.approx(plain.power, rel=1e-12)
    assert result.adjusted_costs.mean() == pytest.approx(result.power, rel=1e-12)
    assert result.adjusted_costs.std() < 0.5 * result.projected_costs.std()


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    X, Y = clouds("gauss", 4, 30)
    ax = sliced_wasserstein(X, Y, rng=0).plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "projected costs",
        "minus the controls (full)",
        "estimate",
    ]
    assert sliced_wasserstein(X, Y, control_variate=None, rng=0).plot(ax=ax) is ax
    shift = np.array([1.0, 0.0, 0.0, 0.0])
    assert len(sliced_wasserstein(X, X + shift, rng=0).plot().patches) > 1  # adjusted: constant
    assert len(sliced_wasserstein(X, X, rng=0).plot().patches) >= 1
    plt.close("all")


def test_numbers_at_the_edge_of_the_range():
    largest = np.finfo(float).max
    X = np.array([[largest, 0.0], [0.5 * largest, 0.0]])
    assert sliced_wasserstein(X, X[::-1], rng=0).value == 0.0
    result = sliced_wasserstein(X, 0.5 * X, rng=0)
    small = sliced_wasserstein(X * 2.0**-1000, 0.5 * X * 2.0**-1000, rng=0)
    assert result.value == pytest.approx(math.ldexp(small.value, 1000), rel=1e-14)


@pytest.mark.parametrize("p", [1.0, 2.0, 40.0, 1000.0])
def test_values_at_the_edge_of_the_range(p):
    far = np.full((3, 2), 5e307)
    low, high = 5e307 * abs_moment(2, p) ** (1 / p), 5e307 * 2**0.5
    for X, Y in ((far, 0 * far[:2]), (0 * far, far[:2])):
        assert wasserstein_1d(2 * X[:, 0], 2 * Y[:, 0], p=p) == pytest.approx(1e308)
        assert low <= sliced_wasserstein(X, Y, p=p, rng=0).value <= high
        assert low <= sliced_wasserstein_gradient(X, Y, p=p, rng=0).value <= high
    assert wasserstein_1d(2 * far[:, 0], -2 * far[:, 0], p=p) == np.inf
    beyond = sliced_wasserstein(3 * far, -3 * far, p=p, rng=0)
    assert beyond.value == np.inf
    assert not np.isnan(beyond.confidence_interval()).any()


def test_centers_are_near_the_means_and_short():
    mean, low, high = (
        np.array([0.1, 100.3, 5.0, 2e-3]),
        np.array([-1.0, 99.0, 5.0, -1e-3]),
        np.array([3.0, 101.0, 5.0, 1e-2]),
    )
    centers = np.empty(4)
    farthest = snap_centers(mean, low, high, -30, centers)
    spread = np.array([2.9, 1.3, 0.0, 8e-3])
    assert (abs(centers - mean) <= spread / 1024).all()
    assert farthest == pytest.approx(max(high - centers), rel=1e-12)
    assert centers[2] == 5.0
    assert snap_centers(mean[2:], low[2:], high[2:], -30, np.empty(2)) < 9e-3  # of small spreads
    steps = centers * 2.0 ** np.array([10, 10, 10, 18])
    np.testing.assert_array_equal(steps, np.rint(steps))
