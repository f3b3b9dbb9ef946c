"""Control variates: their means, the forms of the clouds behind them, and close clouds."""

import math
from itertools import combinations_with_replacement
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import randla
from randla._random import draw_key
from randla.transport import sliced_wasserstein
from randla.transport._clouds import FEW_COORDINATES, as_pair
from randla.transport._controls.bures_mean import RELATIVE_ERROR, bures_mean
from randla.transport._controls.choice import ControlVariate
from randla.transport._controls.control_variates import (
    FAMILIES,
    QuadraticForms,
    abs_moment,
    family_size,
    make_controls,
)
from randla.transport._directions.designs import Directions
from randla.transport._projections.costs import ProjectedCosts
from tests.statistical import claim
from tests.transport.reference import circle, clouds

PARTS_OF_FULL = ("lower", "quadratic", "quartic", "bures")


def test_every_family_is_offered_and_documented():
    offered = {*get_args(get_args(ControlVariate)[0])} - {"auto"}
    assert offered == set(FAMILIES), f"ControlVariate of choice.py: {offered ^ set(FAMILIES)}"
    page = Path(randla.__file__).parents[1] / "docs" / "transport.rst"
    for where, text in (
        ("the docstring of sliced_wasserstein", sliced_wasserstein.__doc__),
        ("docs/transport.rst", page.read_text(encoding="utf-8")),
    ):
        missing = [name for name in FAMILIES if f'"{name}"' not in text]
        assert not missing, f"{where} lacks {missing}"


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["gauss", "mix"])
def test_means_in_the_plane_by_quadrature(name, kind, p):
    X, Y = clouds(kind, 2, 50)
    a = np.random.default_rng(1).random(50)
    controls = make_controls(name, *as_pair(X, Y, a, None).items, p)
    assert controls.k == family_size(name, 2, p)
    columns = controls.evaluate(circle(200_000))
    assert columns.centered.shape == (200_000, controls.k)
    np.testing.assert_allclose(columns.centered.mean(axis=0) / columns.sizes, 0.0, atol=2e-9)


@pytest.mark.parametrize("d", [3, 5, 20])
@claim(
    null="the stated means of the controls are their means over the sphere",
    test="z-tests over the columns of all families, Bonferroni",
    replicates=40_000,
    false_alarm=1e-7,
)
def test_means_in_more_dimensions(trial, d):
    X, Y = clouds("mix", d, 60)
    pair = as_pair(X, Y[:40], None, np.arange(1.0, 41.0))
    theta = Directions("iid", d, trial.replicates, draw_key(trial.seed)).rows(0, trial.replicates)
    families = [name for name in FAMILIES if name not in PARTS_OF_FULL]
    columns = [make_controls(name, *pair.items, 3.0).evaluate(theta) for name in families]
    values = np.column_stack([c.centered / c.sizes for c in columns])
    trial.assert_mean(values, np.zeros(values.shape[1]))


def test_the_forms_are_those_of_the_clouds():
    X, Y = clouds("gauss", 4, 30)
    a = np.random.default_rng(1).random(30)
    a /= a.sum()
    pair = as_pair(X, Y, a, None)
    theta = Directions("iid", 4, 50, draw_key(1)).rows(0, 50)
    delta = a @ X - Y.mean(0)
    S1, S2 = np.cov(X.T, aweights=a, bias=True), np.cov(Y.T, bias=True)
    forms = [(theta @ delta) ** 2] + [np.einsum("ld,de,le->l", theta, S, theta) for S in (S1, S2)]
    l, q1, q2 = forms
    unit = 4.0**-pair.exponent
    expected = {
        "lower": [l],
        "upper": [l + q1 + q2],
        "quadratic": [l, q1, q2],
        "quartic": [l, q1, q2, l * l, l * q1, l * q2, q1 * q1, q1 * q2, q2 * q2],
        "bures": [l, q1, q2, np.sqrt(q1 * q2)],
    }
    for name, columns in expected.items():
        controls = make_controls(name, *pair.items, 2.0)
        got = controls.evaluate(theta).centered
        for k, column in enumerate(columns):
            degree = 2 if name == "quartic" and k >= 3 else 1
            value = column * unit**degree * controls.scales[k]
            difference = got[:, k] - value
            np.testing.assert_allclose(difference, difference[0], rtol=0, atol=1e-12 * value.max())


@pytest.mark.parametrize("d", [2, 3])
def test_harmonics_span_the_even_polynomials(d):
    theta = Directions("iid", d, 200, draw_key(1)).rows(0, 200)
    X, Y = clouds("gauss", d, 10)
    C = make_controls("harmonics", *as_pair(X, Y, None, None).items, 2.0).evaluate(theta).centered
    Z = np.column_stack([np.ones(200), C])
    rng = np.random.default_rng(2)
    A, v = rng.standard_normal((d, d)), rng.standard_normal(d)
    for f in (np.einsum("ld,de,le->l", theta, A, theta), (theta @ v) ** 4, theta[:, 0] ** 2):
        beta = np.linalg.lstsq(Z, f, rcond=None)[0]
        np.testing.assert_allclose(Z @ beta, f, atol=1e-10)
    assert np.linalg.matrix_rank(Z) == family_size("harmonics", d, 2.0) + 1


def test_abs_moment():
    assert abs_moment(1, 3.3) == pytest.approx(1.0)
    for d in (2, 3, 50):
        assert abs_moment(d, 2.0) == pytest.approx(1 / d)
        assert abs_moment(d, 4.0) == pytest.approx(3 / (d * (d + 2)))
    assert abs_moment(2, 1.0) == pytest.approx(2 / math.pi)
    assert abs_moment(3, 1.0) == pytest.approx(0.5)


S = np.array([[2.0, 0.5], [0.5, 1.0]])
PLANE = [
    (S, np.array([[1.0, -0.3], [-0.3, 3.0]])),
    (S, np.diag([1.0, 1e-6])),
    (S, 1e8 * S[::-1, ::-1]),
    (S, np.outer([1.0, 2.0], [1.0, 2.0])),
    (S, np.diag([1.0, 1e-12])),
    (np.eye(2), np.diag([1.0, 1e-8])),
    (np.diag([1.0, 0.1]), np.diag([1e-8, 1.0])),
    (np.outer([1.0, -1.0], [1.0, -1.0]), np.outer([1.0, 2.0], [1.0, 2.0])),
    (np.diag([1.0, 0.0]), np.diag([0.0, 1.0])),
    (S, S),
]


@pytest.mark.parametrize(("S1", "S2"), PLANE)
def test_the_bures_mean_in_the_plane(S1, S2):
    theta = circle(400_000)
    q1, q2 = (np.maximum(np.einsum("ld,de,le->l", theta, F, theta), 0.0) for F in (S1, S2))
    expected = np.sqrt(q1 * q2).mean()
    assert bures_mean(S1, S2) == pytest.approx(expected, rel=RELATIVE_ERROR)
    assert bures_mean(S2, S1) == pytest.approx(expected, rel=RELATIVE_ERROR)


def test_the_bures_mean_of_proportional_and_vanishing_forms():
    G = np.random.default_rng(3).standard_normal((30, 30))
    F = G @ G.T
    assert bures_mean(F, 9 * F) == pytest.approx(3 * np.trace(F) / 30, rel=1e-10)
    assert bures_mean(F, np.zeros((30, 30))) == 0.0


def test_the_bures_mean_of_a_product_space():
    # z'S_k z independent of the other for forms on orthogonal subspaces: E |u| |v| of two norms
    for a, b in ((1, 1), (2, 3), (20, 30)):
        d = a + b
        S1, S2 = np.diag([1.0] * a + [0.0] * b), np.diag([0.0] * a + [1.0] * b)

        def mean_norm(k):
            return math.sqrt(2.0) * math.exp(math.lgamma((k + 1) / 2) - math.lgamma(k / 2))

        expected = mean_norm(a) * mean_norm(b) / d
        assert bures_mean(S1, S2) == pytest.approx(expected, rel=RELATIVE_ERROR)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "harmonics"])
def test_fewer_points_than_dimensions(name):
    # products then come from inner products, and matrices are in the span of the points; each point
    # five times changes nothing
    X, Y = clouds("gauss", FEW_COORDINATES + 6, 12)
    few, many = (columns_of(name, np.tile(X, (k, 1)), np.tile(Y[:9], (k, 1))) for k in (1, 5))
    np.testing.assert_allclose(few.centered, many.centered, rtol=1e-7, atol=1e-9)


def columns_of(name, X, Y, a=None):
    """The columns of a family at 30 directions."""
    pair = as_pair(X, Y, a, None)
    theta, variances = Directions("iid", pair.dim, 30, draw_key(1)).rows(0, 30), np.empty((2, 30))
    ProjectedCosts(*pair.items, 3.0)(theta, variances)
    return make_controls(name, *pair.items, 3.0).evaluate(theta, variances)


@pytest.mark.parametrize("n", [30, 90])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_forms_of_many_dimensions_are_variances_of_projections(n, offset):
    d, rng = FEW_COORDINATES + 6, np.random.default_rng(2)
    X, Y = clouds("gauss", d, n)
    X, Y, a = X[: n // 2] + offset, Y + offset, rng.random(n // 2)
    x, y = as_pair(X, Y, a, None).items
    theta, variances = Directions("iid", d, 9, draw_key(1)).rows(0, 9), np.empty((2, 9))
    ProjectedCosts(x, y, 2.0)(theta, variances)
    forms = QuadraticForms(x, y)
    values = np.array(forms.values(theta, variances)[0]) * forms.means[:, None]
    X, Y = (Z * x.scales[0] * x.last_scale for Z in (X, Y))  # in the units of the clouds
    delta = np.average(X, axis=0, weights=a) - Y.mean(axis=0)
    S1, S2 = np.cov(X.T, aweights=a, bias=True), np.cov(Y.T, bias=True)
    matrices, rtol = [np.outer(delta, delta), S1, S2], 1e-12 if offset == 0.0 else 1e-7
    expected = [np.einsum("ld,de,le->l", theta, F, theta) for F in matrices]
    np.testing.assert_allclose(values, expected, rtol=rtol, atol=rtol * np.max(expected))
    for i, j in combinations_with_replacement(range(3), 2):
        F, G = matrices[i], matrices[j]
        mean = (np.trace(F) * np.trace(G) + 2.0 * np.trace(F @ G)) / (d * (d + 2))
        got = forms.mean(i, j) * forms.means[i] * forms.means[j]
        assert got == pytest.approx(mean, rel=rtol)


@pytest.mark.parametrize("directions", ["iid", "orthogonal"])
def test_scaled_clouds_of_many_dimensions_leave_no_error(directions):
    # f = (1 - s)^2 q_1 + l: the intercept is exact
    X = clouds("gauss", 80, 40)[0]
    result = sliced_wasserstein(
        X, 3.0 * X + 1.0, control_variate="quadratic", directions=directions, rng=0
    )
    delta = (2.0 * X + 1.0).mean(axis=0)
    power = (4.0 * np.trace(np.cov(X.T, bias=True)) + delta @ delta) / 80
    assert result.power == pytest.approx(power, rel=1e-12)
    assert result.power_standard_error < 1e-12 * power


@pytest.mark.parametrize("d", [3, 4, 10])
@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4, 1e-8])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_clouds_that_nearly_agree(d, noise, p):
    # sqrt(q_1 q_2) is then many times the cost, and so is the error of its mean
    rng = np.random.default_rng(1)
    X = rng.standard_normal((100, d))
    Y = X + noise * rng.standard_normal(X.shape)
    plain = sliced_wasserstein(X, Y, p=p, control_variate=None, rng=0)
    for name in ("auto", "full"):
        result = sliced_wasserstein(X, Y, p=p, control_variate=name, rng=0)
        assert result.power_standard_error <= 2.0 * plain.power_standard_error
        assert math.hypot(result.power_standard_error, plain.power_standard_error) > 0.15 * abs(
            result.power - plain.power
        )


@pytest.mark.parametrize("d", [4, 10])
@pytest.mark.parametrize("n", [80, 256])
def test_frames_of_clouds_that_nearly_agree(d, n):
    # the cost is nearly a quadratic form, which frames average exactly, and not one of the controls
    rng = np.random.default_rng(1)
    X = rng.standard_normal((100, d))
    Y = X + 1e-5 * rng.standard_normal(X.shape)
    options = {"directions": "orthogonal", "n_projections": n, "rng": 0}
    plain = sliced_wasserstein(X, Y, control_variate=None, **options)
    result = sliced_wasserstein(X, Y, **options)
    assert result.power_standard_error <= 2.0 * plain.power_standard_error
    assert result.control_variate is None


@pytest.mark.parametrize(("d", "noise"), [(3, 1e-4), (4, 1e-3)])
def test_a_tolerance_is_met_where_clouds_nearly_agree(d, noise):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, d))
    Y = X + noise * rng.standard_normal(X.shape)
    result = sliced_wasserstein(X, Y, rtol=2e-2, max_projections=2000, rng=0)
    assert result.converged


@pytest.mark.parametrize("family", [*FAMILIES, "auto"])
def test_clouds_of_very_different_sizes(family):
    # in units of the larger one the covariance of the other is subnormal
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((30, 3)), 1e158 * rng.standard_normal((20, 3))
    options = {"control_variate": family, "rng": 0}
    result = sliced_wasserstein(X, Y, **options)
    alone = sliced_wasserstein(np.zeros((30, 3)), Y, **options)
    np.testing.assert_allclose(result.value, alone.value, rtol=1e-9)


def test_the_error_of_single_precision_counts_its_rounding():
    X = clouds("gauss", 80, 40)[0].astype(np.float32)
    result = sliced_wasserstein(X, 3.0 * X, control_variate="quadratic", rng=0)
    exact = sliced_wasserstein(X.astype(float), 3.0 * X.astype(float), rng=0).power
    assert 3e-9 * exact < result.power_standard_error < 1e-7 * exact
    assert abs(result.power - exact) < 2.0 * result.power_standard_error
