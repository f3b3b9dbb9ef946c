"""Control variates and designs: what is chosen, and what is said of it."""

import numpy as np
import pytest

from randla._random import draw_key
from randla.transport import (
    FewProjectionsWarning,
    sliced_wasserstein,
    sliced_wasserstein_gradient,
    sliced_wasserstein_matrix,
)
from randla.transport._directions.designs import Directions
from tests.transport.reference import clouds, projected_costs, unit_vectors


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
        (301, 100, "iid", "quadratic"),  # ten times the points: so would products of forms
    ):
        X, Y = clouds("gauss", d, 200 if d == 301 else 20)
        result = sliced_wasserstein(X, Y, n_projections=n, rng=0)
        assert (result.directions, result.control_variate) == (design, control), d


def test_too_few_projections_for_the_controls():
    X, Y = clouds("gauss", 5, 30)
    with pytest.warns(
        FewProjectionsWarning, match="'full' needs more than 30 projections: using 'quad"
    ):
        result = sliced_wasserstein(X, Y, n_projections=30, control_variate="full", rng=0)
    assert result.control_variate == "quadratic"
    with pytest.warns(FewProjectionsWarning, match="needs more than 12 projections: using none"):
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
    theta = unit_vectors(np.random.default_rng(9), 30, 4)
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
