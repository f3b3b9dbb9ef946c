import math
import warnings

import hypothesis.strategies as st
import numpy as np
import ot
import pytest
from hypothesis import given, settings

import randla._parallel
from randla._random import draw_key
from randla.transport import (
    FewProjectionsWarning,
    max_sliced_wasserstein,
    sliced_wasserstein,
    sliced_wasserstein_gradient,
    sliced_wasserstein_matrix,
    wasserstein_1d,
)
from randla.transport._control_variates import FAMILIES, abs_moment
from randla.transport._directions import Directions
from randla.transport._kernels.prepare import snap_centres
from tests.transport.reference import circle, clouds, projected_costs

CONTROLS = (None, *FAMILIES)
DESIGNS = ("iid", "orthogonal", "rqmc")
each_control = pytest.mark.parametrize("control", CONTROLS)
each_design = pytest.mark.parametrize("design", DESIGNS)
OWN = ("quadratic", "quartic", "bures", "full")  # families that hold l, q_1 and q_2


# Truths ------------------------------------------------------------------------------------------


@each_control
@each_design
def test_one_dimension_is_exact(control, design):
    x, y = np.random.default_rng(1).standard_normal((2, 50))
    result = sliced_wasserstein(x, y[:30], p=1, control_variate=control, directions=design)
    assert result.value == pytest.approx(wasserstein_1d(x, y[:30], p=1), rel=1e-14)
    assert result.standard_error == result.power_standard_error == 0.0
    assert result.confidence_interval() == (result.value, result.value)
    assert (result.directions, result.n_projections) == ("exact", 1)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 4.0])
@each_design
def test_translation(p, design):
    # f = |theta' c|^p lies in the span of the controls: the error vanishes
    X, _ = clouds("mix", 4, 60)
    shift = np.array([1.0, -2.0, 0.5, 3.0])
    truth = (np.linalg.norm(shift) ** p * abs_moment(4, p)) ** (1 / p)
    for control in OWN:
        result = sliced_wasserstein(
            X, X + shift, p=p, n_projections=80, control_variate=control, directions=design, rng=1
        )
        assert result.value == pytest.approx(truth, rel=1e-9)
        assert result.standard_error < 1e-8 * truth
    plain = sliced_wasserstein(X, X + shift, p=p, control_variate=None, directions=design, rng=1)
    assert abs(plain.value - truth) < 5 * plain.standard_error + 1e-14


@each_design
def test_scaling_about_the_mean(design):
    X, _ = clouds("mix", 3, 80)
    Y = 3.0 * (X - X.mean(0)) + X.mean(0)
    truth = 2.0 * math.sqrt(np.trace(np.cov(X.T, bias=True)) / 3)
    for control in OWN:
        result = sliced_wasserstein(
            X, Y, n_projections=64, control_variate=control, directions=design, rng=2
        )
        assert result.value == pytest.approx(truth, rel=1e-9)
        assert result.standard_error < 1e-8 * truth


@each_design
def test_two_points(design):
    points = [[0.0, 0.0, 0.0]], [[3.0, 0.0, 4.0]]
    result = sliced_wasserstein(*points, control_variate="quadratic", directions=design, rng=1)
    assert result.value == pytest.approx(5 / math.sqrt(3), rel=1e-12)
    assert result.standard_error < 1e-12
    # f = C, yet the coefficient of the paper is not quite 1, and its error is not quite 0
    result = sliced_wasserstein(*points, control_variate="lower", directions=design, rng=1)
    assert abs(result.value - 5 / math.sqrt(3)) < 6 * result.standard_error + 1e-14
    assert result.standard_error < 0.02


@each_control
@each_design
def test_equal_measures(control, design):
    X = np.random.default_rng(3).standard_normal((40, 5)) + 100.0
    order = np.random.default_rng(4).permutation(40)
    result = sliced_wasserstein(X, X[order], control_variate=control, directions=design, rng=0)
    assert result.value == result.standard_error == result.power == 0.0
    assert result.confidence_interval() == (0.0, 0.0)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("kind", ["gauss", "mix"])
def test_the_plane_by_quadrature(kind, p):
    X, Y = clouds(kind, 2, 60)
    power = projected_costs(X, Y, circle(4000), p=p).mean()
    result = sliced_wasserstein(X, Y, p=p, n_projections=400, rng=1)
    assert (result.directions, result.control_variate) == ("rqmc", None)
    assert result.power == pytest.approx(power, rel=1e-3)
    low, high = result.confidence_interval(0.9999)
    assert low - 1e-4 * result.value <= power ** (1 / p) <= high + 1e-4 * result.value


# Costs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("d", [2, 3, 4, 5, 9])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (50, 50), (60, 45), (40, 27)])
def test_given_directions_average_the_exact_costs(n, m, d, p):
    rng = np.random.default_rng([n, m, d])
    X, Y, theta = rng.standard_normal((n, d)), rng.standard_normal((m, d)) + 1, _unit(rng, 7, d)
    a, b = rng.random(n) + 1e-3, np.where(rng.random(m) < 0.3, 0.0, rng.random(m)) + np.eye(m)[0]
    X[: n // 3] = X[0]
    for weights in ((None, None), (a, b), (a, None)):
        result = sliced_wasserstein(X, Y, *weights, p=p, directions=theta)
        expected = projected_costs(X, Y, theta, *weights, p=p).mean()
        assert result.power == pytest.approx(expected, rel=1e-11)
        assert result.directions == "array"
        assert result.standard_error is result.degrees_of_freedom is None
        with pytest.raises(ValueError, match="confidence_interval needs random directions"):
            result.confidence_interval()


def test_equals_pot():
    rng = np.random.default_rng(5)
    X, Y, theta = (
        rng.standard_normal((300, 6)),
        rng.standard_normal((300, 6)) * 2,
        _unit(rng, 50, 6),
    )
    expected = ot.sliced_wasserstein_distance(X, Y, projections=theta.T)
    assert sliced_wasserstein(X, Y, directions=theta).value == pytest.approx(expected, rel=1e-12)
    a, b = rng.random(300), rng.random(200)
    a, b = a / a.sum(), b / b.sum()
    expected = ot.sliced_wasserstein_distance(X, Y[:200], a, b, projections=theta.T)
    result = sliced_wasserstein(X, Y[:200], a, b, directions=theta)
    assert result.value == pytest.approx(expected, rel=1e-9)


def _unit(rng, L, d):
    theta = rng.standard_normal((L, d))
    return theta / np.linalg.norm(theta, axis=1)[:, None]


@given(st.integers(0, 10**6), st.sampled_from([1.0, 2.0, 2.5]))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_invariances_on_given_directions(seed, p):
    rng = np.random.default_rng(seed)
    n, m, d = rng.integers(1, 30, 2).tolist() + [int(rng.integers(2, 6))]
    X, Y, Z = (rng.standard_normal((k, d)) for k in (n, m, m))
    theta = _unit(rng, 5, d)

    def sw(X, Y, *weights, directions=theta):
        return sliced_wasserstein(X, Y, *weights, p=p, directions=directions).value

    value = sw(X, Y)
    assert sw(Y, X) == pytest.approx(value, rel=1e-12)
    assert sw(X, Y, directions=-theta) == pytest.approx(value, rel=1e-12)
    assert sw(X + 5, Y + 5) == pytest.approx(value, rel=1e-12)
    assert sw(-3 * X, -3 * Y) == pytest.approx(3 * value, rel=1e-12)
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    assert sw(X @ Q, Y @ Q, directions=theta @ Q) == pytest.approx(value, rel=1e-12)
    assert sw(X[::-1], np.concatenate([Y, Y])) == pytest.approx(value, rel=1e-11)
    halves = np.concatenate([np.ones(m), [1.0]])
    halves[[0, -1]] = 0.5
    assert sw(X, np.concatenate([Y, Y[:1]]), None, halves) == pytest.approx(value, rel=1e-11)
    assert sw(X, Z) <= (value + sw(Y, Z)) * (1 + 1e-12)


@pytest.mark.parametrize("kind", ["gauss", "mix"])
def test_the_bounds_of_the_paper_hold_for_every_direction(kind):
    # l <= l + (sqrt q_1 - sqrt q_2)^2 <= f <= l + q_1 + q_2 at p = 2
    X, Y = clouds(kind, 5, 100)
    Y = Y[:70]
    rng = np.random.default_rng(6)
    a = rng.random(100)
    a /= a.sum()
    theta = _unit(rng, 200, 5)
    S1, S2 = np.cov(X.T, aweights=a, bias=True), np.cov(Y.T, bias=True)
    f = np.array([sliced_wasserstein(X, Y, a, directions=t[None]).power for t in theta])
    gap = (theta @ (a @ X - Y.mean(0))) ** 2
    q1, q2 = (np.einsum("ld,de,le->l", theta, S, theta) for S in (S1, S2))
    assert (gap + (np.sqrt(q1) - np.sqrt(q2)) ** 2 <= f * (1 + 1e-10)).all()
    assert (f <= (gap + q1 + q2) * (1 + 1e-10)).all()


# Input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-310, 1e-300, 1e-100, 1e100, 1e300])
def test_scales(scale):
    X, Y = clouds("gauss", 4, 50)
    for p in (1.0, 2.0, 3.0):
        unit = sliced_wasserstein(X, Y, p=p, rng=0)
        result = sliced_wasserstein(X * scale, Y * scale, p=p, rng=0)
        assert result.value / scale == pytest.approx(unit.value, rel=1e-9)
        assert result.standard_error / scale == pytest.approx(unit.standard_error, rel=1e-6)
        interval = np.array(result.confidence_interval()) / scale
        np.testing.assert_allclose(interval, unit.confidence_interval(), rtol=1e-9)
        assert not math.isnan(result.power)


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_far_from_the_origin(dtype):
    X, Y = (np.rint(64 * Z) / 64 for Z in clouds("gauss", 4, 60))
    near = sliced_wasserstein(X.astype(dtype), Y.astype(dtype), rng=0)
    far = sliced_wasserstein((X + 4096).astype(dtype), (Y + 4096).astype(dtype), rng=0)
    assert far.value == pytest.approx(near.value, rel=1e-6 if dtype is np.float32 else 1e-12)


def test_float32_agrees_with_float64():
    X, Y = (Z.astype(np.float32) for Z in clouds("mix", 6, 500))
    exact = sliced_wasserstein(X.astype(float), Y.astype(float), rng=0, n_projections=100)
    assert sliced_wasserstein(X, Y, rng=0, n_projections=100).value == pytest.approx(
        exact.value, rel=1e-6
    )


@pytest.mark.parametrize("p", [20.0, 100.0, 1000.0])
def test_high_powers_stay_in_range(p):
    X, Y = clouds("gauss", 3, 40)
    theta = _unit(np.random.default_rng(7), 20, 3)
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
        "less the controls (full)",
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


# Choices -----------------------------------------------------------------------------------------


def test_auto_names_its_choice():
    for d, n, design, control in (
        (2, 64, "rqmc", None),
        (3, 128, "rqmc", "bures"),
        (3, 30, "iid", "quadratic"),
        (10, 100, "iid", "full"),
        (10, 45, "iid", "quartic"),
        (10, 25, "iid", "quadratic"),
        (10, 12, "iid", None),
        (300, 100, "iid", "quartic"),  # the quadrature would cost more than it saves
    ):
        X, Y = clouds("gauss", d, 20)
        result = sliced_wasserstein(X, Y, n_projections=n, rng=0)
        assert (result.directions, result.control_variate) == (design, control), d


def test_too_few_projections_for_the_controls():
    X, Y = clouds("gauss", 5, 30)
    with pytest.warns(FewProjectionsWarning, match="'full' needs more than 30 projections: 'quad"):
        result = sliced_wasserstein(X, Y, n_projections=30, control_variate="full", rng=0)
    assert result.control_variate == "quadratic"
    with pytest.warns(FewProjectionsWarning, match="needs more than 12 projections: none"):
        result = sliced_wasserstein(X, Y, n_projections=12, control_variate="bures", rng=0)
    assert result.control_variate is None
    with pytest.warns(FewProjectionsWarning, match="directions='orthogonal' needs"):
        result = sliced_wasserstein(X, Y, n_projections=10, directions="orthogonal", rng=0)
    assert result.directions == "iid"
    with pytest.warns(FewProjectionsWarning, match="directions='rqmc' needs"):
        result = sliced_wasserstein_gradient(X, Y, n_projections=10, directions="rqmc", rng=0)
    assert result.directions == "iid"
    with pytest.warns(FewProjectionsWarning, match="collinear without some"):
        sliced_wasserstein(
            X,
            Y,
            n_projections=40,
            control_variate=(lambda theta: np.arange(len(theta))[:, None] == [3, 4], [0.0, 0.0]),
            rng=0,
        )


def test_custom_controls():
    X, Y = clouds("gauss", 4, 40)
    delta = X.mean(0) - Y.mean(0)

    def lower(theta):
        return (theta @ delta) ** 2

    custom = sliced_wasserstein(X, Y, control_variate=(lower, [delta @ delta / 4]), rng=3)
    named = sliced_wasserstein(X, Y, control_variate="lower", rng=3)
    assert custom.control_variate == "custom"
    assert custom.value == pytest.approx(named.value, rel=1e-3)  # up to the paper's coefficient
    assert custom.coefficients == pytest.approx(named.coefficients, rel=0.1)


def test_the_papers_coefficient():
    # gamma = sum (f - mean f)(C - B) / sum (C - B)^2, estimate = mean f - gamma (mean C - B)
    X, Y = clouds("gauss", 4, 40)
    theta = _unit(np.random.default_rng(9), 30, 4)
    f = projected_costs(X, Y, theta)
    delta, S1, S2 = X.mean(0) - Y.mean(0), np.cov(X.T, bias=True), np.cov(Y.T, bias=True)
    for name, M in (
        ("lower", np.outer(delta, delta)),
        ("upper", np.outer(delta, delta) + S1 + S2),
    ):
        C = np.einsum("ld,de,le->l", theta, M, theta) - np.trace(M) / 4
        gamma = np.mean((f - f.mean()) * C) / np.mean(C * C)
        result = sliced_wasserstein(X, Y, control_variate=name, directions=theta)
        assert result.coefficients == pytest.approx([gamma], rel=1e-10)
        assert result.power == pytest.approx(f.mean() - gamma * C.mean(), rel=1e-11)


def test_coefficients_are_in_the_units_of_the_data():
    X, Y = clouds("gauss", 4, 40)
    for p in (2.0, 3.0):
        unit = sliced_wasserstein(X, Y, p=p, control_variate="full", rng=0).coefficients
        ten = sliced_wasserstein(10 * X, 10 * Y, p=p, control_variate="full", rng=0).coefficients
        degrees = np.array([2.0] * 3 + [4.0] * 6 + [2.0] + [p] * (p != 2))
        np.testing.assert_allclose(ten, unit * 10.0 ** (p - degrees), rtol=1e-4)


@pytest.mark.parametrize("p", [2.0, 40.0, 1000.0])
def test_standard_errors_of_large_powers(p):
    theta = Directions("iid", 8, 256, draw_key(0)).rows(0, 256)
    shift = 3.0 * np.ones(8)
    costs = np.abs(theta @ shift)
    f = (costs / costs.max()) ** p
    expected = f.std(ddof=1) / np.sqrt(256) / f.mean()
    X = -0.5 * shift + 1e-3 * np.random.default_rng(0).standard_normal((30, 8))
    options = {"p": p, "directions": "iid", "n_projections": 256, "rng": 0}
    result = sliced_wasserstein(X, X + shift, control_variate=None, **options)
    assert result.value == pytest.approx(costs.max() * f.mean() ** (1 / p), rel=1e-11)
    assert result.standard_error / result.value == pytest.approx(expected / p, rel=1e-9)
    X, shift = X / costs.max(), shift / costs.max()
    slopes = sliced_wasserstein_gradient(X, X + shift, **options)
    assert slopes.power_standard_error / slopes.power == pytest.approx(expected, rel=1e-9)
    if p > 2.0:  # else a linear control explains the gradient
        g = f[:, None] / costs[:, None] * np.sign(theta @ shift)[:, None] * theta
        spread = g.std(axis=0, ddof=1) / np.abs(g.mean(axis=0)) / np.sqrt(256)
        errors = slopes.standard_error[0] / np.abs(slopes.gradient[0])
        np.testing.assert_allclose(errors, spread, rtol=1e-8)
    named = sliced_wasserstein(-9.0 * X, X - shift, p=p, control_variate="quadratic", rng=0)
    assert named.control_variate == "quadratic"


@pytest.mark.parametrize("p", [40.0, 1000.0])
def test_given_directions_may_begin_with_the_smallest_costs(p):
    X = np.random.default_rng(0).standard_normal((20, 2))
    theta = np.repeat(np.eye(2)[::-1], [100, 1], axis=0)
    X, Y = X * [1.0, 1e-4], X * [1.0, 1.1e-4] + [5.0, 0.0]
    expected = 5.0 * 101 ** (-1.0 / p)
    result = sliced_wasserstein(X, Y, p=p, directions=theta)
    assert result.value == pytest.approx(expected, rel=1e-12)
    slopes = sliced_wasserstein_gradient(X, Y, p=p, directions=theta)
    assert slopes.value == pytest.approx(expected, rel=1e-12)
    # d value / d x_i = -theta (value / 5) / 20, as only the last direction counts
    np.testing.assert_allclose(slopes.value_gradient[:, 0], -expected / 100, rtol=1e-9)
    np.testing.assert_allclose(slopes.value_gradient[:, 1], 0.0, atol=1e-12)


@pytest.mark.parametrize("p", [3.0, 16.0, 17.0, 50.0])
def test_coefficients_of_large_powers_are_in_the_units_of_the_data(p):
    X, Y = clouds("gauss", 4, 40)
    result = sliced_wasserstein(X, X + Y.mean(0), p=p, control_variate="quadratic", rng=0)
    assert result.coefficients[-1] == pytest.approx(1.0, rel=1e-6)  # f = |theta' Delta|^p


@pytest.mark.parametrize("control", [None, "harmonics"])
@pytest.mark.parametrize(("p", "gap"), [(14.5, 1e-12), (16, 1e-11), (16, 1e-12), (3, 1e-60)])
def test_errors_of_close_clouds_do_not_vanish(p, gap, control):
    """The relative error is that of clouds which move by more in the same manner."""
    rng = np.random.default_rng(int(10 * p))
    X, D = rng.standard_normal((2, 40, 5))
    if p == 3:  # points of any size about the center of a frame
        X = 8.0 * np.eye(40)[:, :5] - 8.0 * np.eye(40)[:, 5:10]
        D[:10] = 0.0

    def errors(gap):
        Y = X + gap * D
        one = sliced_wasserstein(X, Y, p=p, n_projections=80, control_variate=control, rng=0)
        options = {"directions": "iid", "n_projections": 80, "rng": 0, "p": p}
        table = sliced_wasserstein_matrix([X, Y], control_variate=control, **options)
        slopes = sliced_wasserstein_gradient(X, Y, **options)
        return [
            one.standard_error / one.value,
            np.sqrt(one.variance_reduction),
            table.standard_errors[0, 1] / table.values[0, 1],
            slopes.power_standard_error / slopes.power,
            slopes.standard_error.max() / np.abs(slopes.gradient).max(),
        ]

    np.testing.assert_allclose(errors(gap), errors(1e-7), rtol=0.02)


def test_a_negative_power_is_kept_and_the_interval_speaks():
    X, Y = clouds("gauss", 4, 40)
    wrong_mean = (lambda theta: theta[:, 0] ** 2 + theta[:, 1] ** 2, [40.0])
    result = sliced_wasserstein(X, Y, control_variate=wrong_mean, rng=0)
    assert result.power < 0
    assert (result.value, result.standard_error) == (0.0, None)
    assert result.power_standard_error > 0
    low, high = result.confidence_interval()
    assert low == 0.0 <= high


def test_float_and_repr():
    X, Y = clouds("gauss", 3, 30)
    result = sliced_wasserstein(X, Y, rng=0)
    assert float(result) == result.value
    assert "standard_error=" in repr(result)


# Tolerances --------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", ["iid", "orthogonal", "rqmc", "auto"])
@pytest.mark.parametrize("control", [None, "quadratic", "auto"])
def test_tolerances_are_met(design, control):
    X, Y = clouds("mix", 3, 60)
    result = sliced_wasserstein(
        X, Y, rtol=0.02, control_variate=control, directions=design, max_projections=20_000, rng=1
    )
    assert result.converged
    low, high = result.confidence_interval()
    assert 0.5 * (high - low) <= 0.02 * result.value
    truth = sliced_wasserstein(X, Y, n_projections=2000, rng=2).value
    assert abs(result.value - truth) < 0.06 * truth


def test_the_projections_run_out():
    X, Y = clouds("mix", 5, 40)
    with pytest.warns(FewProjectionsWarning, match=r"stopped at 300 projections \(max_projections"):
        result = sliced_wasserstein(X, Y, atol=1e-9, max_projections=300, rng=1)
    assert not result.converged
    assert result.n_projections == 300
    assert sliced_wasserstein(X, X, atol=0.0, rng=1).converged


@pytest.mark.parametrize("control", ["quartic", "harmonics", (lambda t: t[:, :3] ** 2, [0.2] * 3)])
def test_a_run_that_grows_warns_only_of_controls_that_it_lacks_at_the_end(control):
    X, Y = clouds("mix", 5, 40)
    options = {"n_projections": 2, "control_variate": control, "directions": "iid", "rng": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = sliced_wasserstein(X, Y, rtol=5e-3, **options)
    assert result.control_variate == (control if isinstance(control, str) else "custom")
    with pytest.warns(FewProjectionsWarning) as caught:
        sliced_wasserstein(X, Y, rtol=1e-9, max_projections=12, **options)
    assert ["stopped" in str(w.message) for w in caught] == [True, False]


def test_a_tolerance_out_of_reach():
    X, Y = clouds("mix", 5, 40)
    with pytest.warns(FewProjectionsWarning, match="what rtol and atol allow"):
        result = sliced_wasserstein(X, Y, rtol=1e-300, max_projections=100, rng=1)
    assert (result.converged, result.n_projections) == (False, 100)


def test_an_adaptive_run_is_a_longer_run():
    X, Y = clouds("mix", 5, 40)
    adaptive = sliced_wasserstein(X, Y, rtol=0.01, directions="iid", rng=1)
    assert adaptive.n_projections > 64
    plain = sliced_wasserstein(X, Y, n_projections=adaptive.n_projections, directions="iid", rng=1)
    assert adaptive.value == pytest.approx(plain.value, rel=1e-12)


# Batches and memory ------------------------------------------------------------------------------


def test_chunks_do_not_change_the_value(monkeypatch):
    X, Y = clouds("gauss", 4, 60)
    for design in DESIGNS:
        whole = sliced_wasserstein(X, Y, directions=design, rng=1)
        with monkeypatch.context() as patch:
            patch.setattr("randla.transport._estimation._CHUNK_NUMBERS", 300)
            patch.setattr("randla.transport._projections._BATCH_NUMBERS", 700)
            parts = sliced_wasserstein(X, Y, directions=design, rng=1)
        assert parts.value == pytest.approx(whole.value, rel=1e-13)


def test_memory_does_not_grow_with_the_projections():
    import tracemalloc

    X, Y = clouds("gauss", 3, 2000)
    sliced_wasserstein(X, Y, n_projections=200, directions="iid", rng=0)
    peaks = []
    for n in (1000, 10_000):
        tracemalloc.start()
        sliced_wasserstein(X, Y, n_projections=n, directions="iid", rng=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 8 << 20
    assert peaks[1] - peaks[0] < 9_000 * 8 * 60  # a few numbers for each direction and control


PROGRESS_CALLS = {
    "sliced_wasserstein": (sliced_wasserstein, "sliced_wasserstein"),
    "sliced_wasserstein_gradient": (sliced_wasserstein_gradient, "gradient"),
    "max_sliced_wasserstein": (max_sliced_wasserstein, "ascents"),
    "wasserstein_1d": (wasserstein_1d, "wasserstein_1d"),
    "sliced_wasserstein_matrix": (
        lambda X, Y, **kw: sliced_wasserstein_matrix([X, Y], control_variate="quartic", **kw),
        "controls",
    ),
}


@pytest.mark.parametrize("name", PROGRESS_CALLS)
def test_a_progress_bar_is_drawn_to_the_end(name, capsys, monkeypatch):
    monkeypatch.setattr("randla._parallel.WORTH_A_BAR", 0.0)
    X, Y = clouds("gauss", 3, 30)
    call, label = PROGRESS_CALLS[name]
    call(X, Y, progress=True)
    assert f"{label}: 100%" in capsys.readouterr().err
    call(X, Y)
    assert capsys.readouterr().err == ""
    with pytest.raises(TypeError, match="progress must be True or False"):
        call(X, Y, progress=1)


def test_ctrl_c_stops_between_parts(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    X, Y = clouds("gauss", 3, 30)
    monkeypatch.setattr("randla.transport._projections.project_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sliced_wasserstein(X, Y, rng=0)
    assert randla._parallel._blas_users == 0


def test_many_dimensions_need_no_square_arrays():
    import tracemalloc

    X, Y = np.random.default_rng(10).standard_normal((2, 20, 6000))
    for call in (sliced_wasserstein, sliced_wasserstein_gradient, max_sliced_wasserstein):
        tracemalloc.start()
        call(X, Y + 0.01, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200 << 20, call  # d^2 numbers are 275 MiB


def test_centres_are_near_the_means_and_short():
    mean, low, high = (
        np.array([0.1, 100.3, 5.0]),
        np.array([-1.0, 99.0, 5.0]),
        np.array([3.0, 101.0, 5.0]),
    )
    centres = np.empty(3)
    farthest = snap_centres(mean, low, high, -30, centres)
    spread = np.array([2.9, 1.3, 0.0])
    assert (abs(centres - mean) <= spread / 1024).all()
    assert farthest == pytest.approx(max(high - centres), rel=1e-12)
    assert centres[2] == 5.0
    np.testing.assert_array_equal(centres * 1024, np.rint(centres * 1024))


@pytest.mark.parametrize("design", ["iid", "orthogonal", "rqmc"])
@pytest.mark.parametrize("cross_fit", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_papers_controls_leave_no_error_where_they_explain_all(design, cross_fit, dtype):
    X = np.random.default_rng(3).standard_normal((50, 4))
    X -= X.mean(axis=0)
    rounding = float(np.finfo(dtype).eps)
    options = {"directions": design, "n_projections": 120, "cross_fit": cross_fit, "rng": 0}
    # a translation costs (theta' shift)^2, and a stretch by two theta' S_1 theta
    for name, Y, exact in (
        ("lower", X + np.arange(1.0, 5.0), np.sqrt(30 / 4)),
        ("upper", 2.0 * X, np.sqrt((X**2).mean())),
    ):
        pair = X.astype(dtype), Y.astype(dtype)
        result = sliced_wasserstein(*pair, control_variate=name, **options)
        assert result.value == pytest.approx(exact, rel=20 * rounding)
        assert result.standard_error < 20 * rounding
