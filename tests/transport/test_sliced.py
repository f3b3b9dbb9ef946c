"""Sliced distances against exact values, other codes, and what holds for every direction."""

import math

import hypothesis.strategies as st
import numpy as np
import ot
import pytest
from hypothesis import given, settings

from randla.transport import (
    sliced_wasserstein,
    wasserstein_1d,
)
from randla.transport._controls.control_variates import FAMILIES, abs_moment
from tests.transport.reference import circle, clouds, projected_costs, unit_vectors

CONTROLS = (None, *FAMILIES)
DESIGNS = ("iid", "orthogonal", "rqmc")
each_control = pytest.mark.parametrize("control", CONTROLS)
each_design = pytest.mark.parametrize("design", DESIGNS)
OWN = ("quadratic", "quartic", "bures", "full")  # families that hold l, q_1 and q_2


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


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("d", [2, 3, 4, 5, 9])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (50, 50), (60, 45), (40, 27)])
def test_given_directions_average_the_exact_costs(n, m, d, p):
    rng = np.random.default_rng([n, m, d])
    X, Y, theta = (
        rng.standard_normal((n, d)),
        rng.standard_normal((m, d)) + 1,
        unit_vectors(rng, 7, d),
    )
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
        unit_vectors(rng, 50, 6),
    )
    expected = ot.sliced_wasserstein_distance(X, Y, projections=theta.T)
    assert sliced_wasserstein(X, Y, directions=theta).value == pytest.approx(expected, rel=1e-12)
    a, b = rng.random(300), rng.random(200)
    a, b = a / a.sum(), b / b.sum()
    expected = ot.sliced_wasserstein_distance(X, Y[:200], a, b, projections=theta.T)
    result = sliced_wasserstein(X, Y[:200], a, b, directions=theta)
    assert result.value == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 10**6), st.sampled_from([1.0, 2.0, 2.5]))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_invariances_on_given_directions(seed, p):
    rng = np.random.default_rng(seed)
    n, m, d = rng.integers(1, 30, 2).tolist() + [int(rng.integers(2, 6))]
    X, Y, Z = (rng.standard_normal((k, d)) for k in (n, m, m))
    theta = unit_vectors(rng, 5, d)

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
    theta = unit_vectors(rng, 200, 5)
    S1, S2 = np.cov(X.T, aweights=a, bias=True), np.cov(Y.T, bias=True)
    f = np.array([sliced_wasserstein(X, Y, a, directions=t[None]).power for t in theta])
    gap = (theta @ (a @ X - Y.mean(0))) ** 2
    q1, q2 = (np.einsum("ld,de,le->l", theta, S, theta) for S in (S1, S2))
    assert (gap + (np.sqrt(q1) - np.sqrt(q2)) ** 2 <= f * (1 + 1e-10)).all()
    assert (f <= (gap + q1 + q2) * (1 + 1e-10)).all()
