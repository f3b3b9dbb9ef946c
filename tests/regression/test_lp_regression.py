"""`lp_regression` against HiGHS, its own certificate, closed forms and invariances."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize

from randla.datasets import digits, engel
from randla.regression import lp_regression
from randla.sampling._scores.result import NotConvergedWarning
from tests.regression.lp_regression_reference import (
    assert_certified,
    highs_minimax,
    highs_penalized,
    highs_quantile,
    objective,
)

POWERS = (1, 1.01, 1.1, 1.3, 1.5, 2, 3, 6, 20, np.inf)


def problem(n=300, d=4, kind="gauss", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d - 1))
    e = rng.standard_t(3, n)
    if kind == "heavy":
        X, e = rng.standard_t(2, (n, d - 1)), rng.standard_cauchy(n)
    elif kind == "onehot":
        X = np.eye(d)[rng.integers(0, d, n)][:, 1:]
    elif kind == "integer":
        X, e = rng.integers(-3, 4, (n, d - 1)).astype(float), rng.integers(-4, 5, n).astype(float)
    elif kind == "outliers":
        e[: n // 50] = 1e8 * rng.standard_normal(n // 50)
    elif kind == "sparse noise":
        e = np.where(rng.random(n) < 0.3, e, 0.0)
    A = np.column_stack([np.ones(n), X])
    return A, A.sum(axis=1) + e


KINDS = ("gauss", "heavy", "onehot", "integer", "outliers", "sparse noise")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tau", [0.01, 0.25, 0.5, 0.9, 0.99])
def test_quantiles_equal_highs(kind, tau):
    A, b = problem(kind=kind)
    result = lp_regression(A, b, tau=tau)
    assert_certified(A, b, result, tau=tau)
    exact = highs_quantile(A, b, tau)
    assert abs(result.value - exact) <= 1e-10 * exact


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", POWERS)
def test_norms_are_certified(kind, p):
    A, b = problem(kind=kind)
    assert_certified(A, b, lp_regression(A, b, p), p)


@pytest.mark.parametrize("kind", KINDS)
def test_minimax_equals_highs(kind):
    A, b = problem(kind=kind)
    exact = highs_minimax(A, b)
    assert abs(lp_regression(A, b, np.inf).value - exact) <= 1e-10 * exact


@pytest.mark.parametrize("p", [1.5, 3, 6])
def test_powers_equal_a_general_minimizer(p):
    A, b = problem(n=60, d=3)
    found = minimize(
        lambda x: np.sum(np.abs(A @ x - b) ** p),
        np.linalg.lstsq(A, b, rcond=None)[0],
        jac=lambda x: p * A.T @ (np.abs(A @ x - b) ** (p - 1) * np.sign(A @ x - b)),
        method="BFGS",
        options={"gtol": 1e-10},
    )
    np.testing.assert_allclose(lp_regression(A, b, p, rtol=1e-13).x, found.x, atol=1e-5)


def test_two_is_least_squares():
    A, b = problem()
    np.testing.assert_allclose(
        lp_regression(A, b, 2).x, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-12
    )


def test_engel_coefficients_of_statsmodels():
    # statsmodels 0.15.0, QuantReg(foodexp, [1, income]).fit(q, p_tol=1e-12): intercept, slope.
    expected = {
        0.05: (124.88004181, 0.34336106),
        0.1: (110.14157482, 0.40176576),
        0.25: (95.48353902, 0.47410321),
        0.5: (81.48224784, 0.56018055),
        0.75: (62.39658369, 0.64401414),
        0.9: (67.35087081, 0.68629948),
        0.95: (64.10396385, 0.70906852),
    }
    data = engel()
    A = np.column_stack([np.ones(len(data.income)), data.income])
    result = lp_regression(A, data.food, tau=list(expected))
    np.testing.assert_allclose(result.x.T, list(expected.values()), rtol=1e-7)


def test_one_column_of_ones_has_closed_forms():
    b = np.array([3.0, -1.0, 10.0, 4.0, 0.5])
    ones = np.ones((5, 1))
    for options, expected in (
        ({}, 3.0),
        ({"tau": 0.3}, 0.5),
        ({"p": 2}, 3.3),
        ({"p": np.inf}, 4.5),
    ):
        np.testing.assert_allclose(lp_regression(ones, b, **options).x, expected, rtol=1e-14)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_a_vertex_passes_through_d_points(tau):
    A, b = problem()
    r = b - A @ lp_regression(A, b, tau=tau).x
    assert (np.abs(r) <= 1e-12).sum() >= A.shape[1]
    assert (r > 1e-12).sum() <= (1 - tau) * len(b)  # subgradient for the intercept
    assert (r < -1e-12).sum() <= tau * len(b)


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"tau": 0.3}, *({"p": p} for p in POWERS[:-1])])
def test_integer_weights_are_repetitions(options):
    A, b = problem(n=80)
    w = np.random.default_rng(1).integers(0, 4, 80)
    weighted = lp_regression(A, b, weights=w, **options)
    repeated = lp_regression(np.repeat(A, w, axis=0), np.repeat(b, w), **options)
    np.testing.assert_allclose(weighted.value, repeated.value, rtol=1e-7)
    assert_certified(A, b, weighted, weights=w, **options)
    assert (weighted.dual[w == 0] == 0).all()


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("p", [1, 1.5, 4, np.inf])
def test_weights_of_any_size(p, scale):
    A, b = problem()
    w = np.random.default_rng(2).lognormal(0, 2, len(b))
    result = lp_regression(A, b, p, weights=scale * w)
    root = 1.0 if p == np.inf else 1.0 / p
    one = lp_regression(A, b, p, weights=w)
    np.testing.assert_allclose(result.value, one.value * scale**root, rtol=1e-12)
    assert_certified(A, b, one, p, weights=w)


def test_weighted_minimax_equals_highs():
    A, b = problem()
    w = np.random.default_rng(3).random(len(b))
    exact = highs_minimax(A, b, w)
    assert abs(lp_regression(A, b, np.inf, weights=w).value - exact) <= 1e-10 * exact


def test_weighted_quantile_equals_highs():
    A, b = problem(kind="heavy")
    w = np.random.default_rng(3).lognormal(0, 2, len(b))
    exact = highs_quantile(A, b, 0.8, w)
    result = lp_regression(A, b, tau=0.8, weights=w)
    assert abs(result.value - exact) <= 1e-10 * exact
    assert_certified(A, b, result, tau=0.8, weights=w)


@pytest.mark.parametrize("l1", [0.5, 20.0, 1e4, [0.0, 3.0, 40.0, 0.0]])
def test_penalty_equals_highs(l1):
    A, b = problem()
    exact = highs_penalized(A, b, 0.3, l1)
    result = lp_regression(A, b, tau=0.3, l1=l1)
    assert abs(result.value - exact) <= 1e-10 * exact
    assert_certified(A, b, result, tau=0.3, l1=l1)
    norm = lp_regression(A, b, l1=l1)
    assert_certified(A, b, norm, l1=l1)
    np.testing.assert_allclose(norm.value, 2 * highs_penalized(A, b, 0.5, np.multiply(0.5, l1)))


def test_a_large_penalty_gives_zeros():
    A, b = problem()
    assert (np.abs(lp_regression(A, b, l1=1e4).x) < 1e-12).all()


@pytest.mark.parametrize("l1", [50.0, 100.0, 200.0, 2000.0])
@pytest.mark.parametrize("method", ["full", "preprocess"])
def test_coefficients_that_a_penalty_holds_at_zero_are_zero(l1, method):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((9000, 12))
    b = A[:, :3] @ [1.0, 2.0, 3.0] + rng.standard_normal(9000)
    result = lp_regression(A, b, tau=0.5, l1=l1, method=method, rng=0)
    assert_certified(A, b, result, tau=0.5, l1=l1)
    small = np.abs(result.x) < 1e-10
    assert small.sum() > 3
    assert (result.x[small] == 0.0).all()


@pytest.mark.parametrize("tau", [None, 0.3])
def test_equal_columns_beside_a_small_penalty(tau):
    # Of equal columns the cheapest serves. In A T equal rows differ by rounding errors, as T is
    # large: a vertex through two of them is none.
    for seed in (53, 127, 285, 289, 945, 985, 1033, 1137, 1273, *range(0, 40, 2)):
        rng = np.random.default_rng(seed)
        n, d = rng.choice([50, 400]), rng.choice([2, 5])
        b, l1 = rng.poisson(2, n).astype(float), 10.0 ** rng.integers(-8, 1, d)
        w = 10.0 ** rng.uniform(-4, 4, n)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotConvergedWarning)
            result = lp_regression(np.ones((n, d)), b, tau=tau, l1=l1, weights=w, method="full")
        alone = lp_regression(np.ones((n, 1)), b, tau=tau, l1=l1.min(), weights=w)
        assert result.lower_bound <= alone.value * (1 + 1e-12)
        np.testing.assert_allclose(result.value, alone.value, rtol=1e-6)


def test_several_quantiles_are_those_one_by_one():
    A, b = problem()
    taus = [0.9, 0.1, 0.5]
    result = lp_regression(A, b, tau=taus)
    assert result.x.shape == (4, 3)
    assert result.dual.shape == (300, 3)
    assert result.value.shape == result.gap.shape == result.lower_bound.shape == (3,)
    for k, tau in enumerate(taus):
        one = lp_regression(A, b, tau=tau)
        np.testing.assert_allclose(result.value[k], one.value, rtol=1e-12)
    assert lp_regression(A, b, tau=[0.5]).x.shape == (4, 1)


# Invariances --------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.sampled_from([1, 1.2, 2, 5, np.inf]),
    st.lists(st.floats(-100, 100), min_size=3, max_size=3),
    st.floats(1e-6, 1e6),
)
def test_equivariance(p, shift, scale):
    A, b = problem(n=50, d=3)
    base = lp_regression(A, b, p).value
    np.testing.assert_allclose(lp_regression(A, b + A @ shift, p).value, base, rtol=1e-7)
    np.testing.assert_allclose(lp_regression(A, -scale * b, p).value, scale * base, rtol=1e-7)
    T = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [3.0, 0.0, scale]])
    np.testing.assert_allclose(lp_regression(A @ T, b, p).value, base, rtol=1e-7)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.floats(0.02, 0.98))
def test_reflection_of_quantiles(tau):
    A, b = problem(n=60, d=3)
    direct, mirrored = lp_regression(A, b, tau=tau), lp_regression(A, -b, tau=1 - tau)
    np.testing.assert_allclose(direct.value, mirrored.value, rtol=1e-10)


# Degenerate and badly scaled data -----------------------------------------------------------------


def degenerate():
    A, b = problem(n=120)
    n = len(b)
    yield "dependent column", np.column_stack([A, A[:, 1] - A[:, 2]]), b
    yield "equal columns", np.column_stack([A, A[:, 1]]), b
    yield "zero column", np.column_stack([A, np.zeros(n)]), b
    yield "zero rows", np.vstack([A, np.zeros((5, 4))]), np.append(b, [1.0, -2.0, 0.0, 3.0, 1e-9])
    yield "zero matrix", np.zeros((n, 2)), b
    yield "one column", A[:, 1:2], b
    yield "one row", A[:1], b[:1]
    yield "n < d", A[:3], b[:3]
    yield "n = d", A[:4], b[:4]
    yield "n = d + 1", A[:5], b[:5]
    yield "b in the range", A, A @ [1.0, -2.0, 0.5, 3.0]
    yield "b zero", A, np.zeros(n)
    yield "b constant", A, np.full(n, 7.0)
    yield "b far away", A, b + 1e9
    yield "duplicate rows", np.vstack([A, A, A]), np.tile(b, 3)
    yield "ties", np.rint(A), np.rint(b)
    yield "two groups", np.repeat(np.eye(2), 50, axis=0), np.tile([0.0, 1.0], 50)
    yield "even median", np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 4.0])
    yield "A large", A * 1e300, b * 1e299
    yield "A small", A * 1e-300, b * 1e-300
    yield "b large", A, b * 1e300
    yield "b small", A, b * 1e-300
    yield "columns apart", A * [1e150, 1e-150, 1.0, 1e100], b
    yield "nearly dependent", np.column_stack([A, A[:, 1] + 1e-9 * A[:, 2] ** 3]), b
    yield "Vandermonde", np.vander(np.linspace(0, 1, 100), 10), np.sin(np.linspace(0, 7, 100))
    rare = np.column_stack([A, np.eye(n)[:, :2]])
    yield "rows with their own column", rare, b
    heavy = np.vstack([A, 1e8 * A[:1]])
    yield "a heavy row", heavy, np.append(b, 3.0)


DEGENERATE = {name: (A, b) for name, A, b in degenerate()}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("options", [{"tau": 0.1}, *({"p": p} for p in (1, 1.2, 2, 4, np.inf))])
def test_degenerate_data(name, options):
    A, b = DEGENERATE[name]
    assert_certified(A, b, lp_regression(A, b, **options), **options)


@pytest.mark.parametrize("kind", ["gauss", "outliers", "integer"])
def test_newton_takes_few_steps(kind):
    A, b = problem(n=3000, kind=kind)
    for p, most in ((1.05, 14), (1.3, 9), (1.8, 5), (2, 1), (3, 5), (6, 8), (20, 12), (100, 16)):
        result = lp_regression(A, b, p)
        assert result.n_iterations <= most, p
    for p in (1.5, 3):  # quadratic convergence: a few steps more give all digits
        sharp = lp_regression(A, b, p, rtol=1e-14)
        assert sharp.n_iterations <= lp_regression(A, b, p, rtol=1e-5).n_iterations + 6


@pytest.mark.parametrize("p", [1 + 1e-6, 1.001, 1e3, 1e5])
def test_extreme_powers(p):
    A, b = problem()
    assert_certified(A, b, lp_regression(A, b, p), p)


@pytest.mark.parametrize("tau", [1e-6, 1e-3, 1 - 1e-3, 1 - 1e-6])
def test_extreme_quantiles(tau):
    A, b = problem()
    result = lp_regression(A, b, tau=tau)
    assert_certified(A, b, result, tau=tau)
    exact = highs_quantile(A, b, tau)
    assert abs(result.value - exact) <= 1e-9 * exact


@pytest.mark.parametrize("kind", ["gauss", "heavy", "onehot"])
@pytest.mark.parametrize("tau", [0.01, 0.05, 0.3, 0.5, 0.7, 0.95, 0.99])
def test_the_interior_point_does_not_stall(kind, tau):
    A, b = problem(n=4000, d=8, kind=kind, seed=1)
    result = lp_regression(A, b, tau=tau, method="full")
    # heavy tails take a rough solve, of 1000 rows, before the solve of all
    assert result.n_iterations <= (50 if kind == "heavy" else 25)
    assert result.gap <= 1e-12 * result.value


@pytest.mark.parametrize("options", [{"tau": 0.3}, *({"p": p} for p in (1, 1.5, 2, 3, np.inf))])
@pytest.mark.parametrize("name", ["dependent column", "equal columns", "zero column", "n < d"])
def test_the_shortest_of_many_solutions(name, options):
    A, b = DEGENERATE[name]
    x = lp_regression(A, b, **options).x
    np.testing.assert_allclose(x, np.linalg.pinv(A) @ (A @ x), atol=1e-12)
    w = np.random.default_rng(1).integers(0, 3, len(b)).astype(float)
    if name == "n < d":  # weights do not matter where all rows are met
        np.testing.assert_allclose(lp_regression(A, b, weights=w + 1.0, **options).x, x, rtol=1e-9)


@pytest.mark.parametrize("p", [1.5, 2, 3, np.inf])
@pytest.mark.parametrize("spread", [0.0, 4.0])
def test_fewer_rows_than_columns_are_met_without_a_warning(p, spread):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        A, b = rng.standard_normal((6, 9)), rng.standard_normal(6)
        result = lp_regression(A, b, p, weights=10.0 ** rng.uniform(-spread, spread, 6))
        assert result.converged
        assert np.abs(A @ result.x - b).max() < 1e-13


@pytest.mark.parametrize("options", [{"tau": 0.3}, *({"p": p} for p in (1, 1.5, 3, np.inf))])
@pytest.mark.parametrize("response", ["counts", "met"])
def test_the_shortest_of_many_solutions_for_groups(options, response):
    # Where b and the coefficients of a row are zero, its residual has no rounding error.
    for seed in range(30):
        rng = np.random.default_rng(seed)
        g, h = rng.integers(0, 5, 80), rng.integers(0, 4, 80)
        A = np.column_stack([np.eye(5)[g], np.eye(4)[h] if seed % 2 else np.ones(80)])
        b = rng.poisson(np.exp(rng.normal(-1, 1.5, 5))[g]).astype(float)
        if response == "met":
            b = A @ rng.integers(-3, 4, A.shape[1])
        result = lp_regression(A, b, **options)
        assert result.converged
        shortest = np.linalg.pinv(A, rcond=1e-12) @ (A @ result.x)
        np.testing.assert_allclose(result.x, shortest, atol=1e-11 * np.abs(b).max())


def test_the_shortest_of_many_solutions_by_sums_of_rows():
    A, b = problem(n=12_000)
    A = np.column_stack([A, A[:, 1] - 2 * A[:, 2]])
    result = lp_regression(A, b, tau=0.4, rng=0)
    assert result.method == "preprocess"
    np.testing.assert_allclose(result.x, np.linalg.pinv(A) @ (A @ result.x), atol=1e-12)


@pytest.mark.parametrize("years", [False, True])
def test_the_shortest_of_many_solutions_for_groups_of_many_rows(years):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        group = rng.choice(6, 20_000, p=[0.5, 0.3, 0.15, 0.04, 0.009, 0.001])
        other = (
            rng.integers(1950, 2024, 20_000) if years else np.eye(12)[rng.integers(0, 12, 20_000)]
        )
        A = np.column_stack([np.ones(20_000), np.eye(6)[group], other])
        b = 3.5 * rng.poisson(1.5, 20_000) + rng.standard_normal(20_000)
        result = lp_regression(A, b, tau=[0.3, 0.7, 0.9])
        assert result.method == "preprocess"
        shortest = np.linalg.pinv(A, rcond=1e-12) @ (A @ result.x)
        np.testing.assert_allclose(result.x, shortest, rtol=1e-6, atol=1e-8)


# Behavior ----------------------------------------------------------------------------------------


def test_a_tolerance_that_cannot_be_met_is_reported():
    A, b = problem(n=120)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = lp_regression(A, b, 1.3, rtol=1e-300)
    if not result.converged:
        assert caught[0].category is NotConvergedWarning
    assert result.gap <= 1e-12 * result.value


def test_coefficients_that_overflow_are_refused():
    with pytest.raises(ValueError, match="overflow"):
        lp_regression(np.full((3, 1), 1e-300), np.array([1e300, 2e300, 1e300]))


def test_gradient_vanishes_at_a_power():
    A, b = problem()
    x = lp_regression(A, b, 3, rtol=1e-14).x
    best = objective(A, b, x, 3)
    for direction in np.vstack([np.eye(4), -np.eye(4)]):
        assert objective(A, b, x + 1e-4 * direction, 3) > best


@pytest.mark.parametrize("p", [4, 6, 10])
@pytest.mark.parametrize("columns", [1, 3])
def test_columns_of_single_rows(p, columns):
    # Least squares meet these rows, so that nothing is left to do.
    for seed in range(2, 40, 4):
        rng = np.random.default_rng(seed)
        n, A = 30, np.eye(30)[:, :columns]
        b, w = rng.standard_t(3, n), 10 ** rng.uniform(-3, 3, n)
        result = lp_regression(A, b, p, weights=w)
        least = (w * np.abs(b) ** p)[columns:].sum() ** (1 / p)
        np.testing.assert_allclose([result.value, result.lower_bound], least, rtol=1e-8)
        assert result.n_iterations <= 20


@pytest.mark.parametrize("p", [50.0, 100.0, 300.0])
def test_large_powers_on_real_data(p):
    # Many columns and rows at the largest residual: few rows alone carry the curvature.
    pixels, labels = digits()
    A = np.column_stack([np.ones(len(labels)), pixels])
    result = lp_regression(A, labels, p)
    assert result.n_iterations <= 25
    assert_certified(A, labels, result, p)


@pytest.mark.parametrize(
    "options", [{}, {"p": 3}, {"p": np.inf}, {"tau": 0.3}, {"tau": [0.3, 0.7]}]
)
def test_a_column_as_right_hand_side_gives_a_trailing_axis(options):
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((60, 3)), rng.standard_normal(60)
    plain, column = lp_regression(A, b, **options), lp_regression(A, b[:, None], **options)
    k = np.size(plain.value)
    for field, shape in (("x", (3, k)), ("dual", (60, k)), ("value", (k,)), ("gap", (k,))):
        assert getattr(column, field).shape == shape
        np.testing.assert_array_equal(
            getattr(column, field), np.reshape(getattr(plain, field), shape)
        )
    for bad in (np.ones((60, 2)), np.ones((1, 60)), np.ones(59), np.ones((60, 1, 1))):
        with pytest.raises(ValueError, match=r"b must have shape \(60,\) or \(60, 1\)"):
            lp_regression(A, bad)


@pytest.mark.parametrize("method", ["auto", "full", "preprocess"])
def test_exact_solutions_do_not_change_from_call_to_call(method):
    rng = np.random.default_rng(1)
    A, b = rng.standard_normal((6000, 4)), rng.standard_t(2, 6000)
    first = lp_regression(A, b, method=method)
    for _ in range(3):
        again = lp_regression(A, b, method=method)
        for field in ("x", "dual", "value", "gap", "n_iterations"):
            np.testing.assert_array_equal(getattr(again, field), getattr(first, field))
    assert not np.array_equal(*(lp_regression(A, b, method="sample").x for _ in range(2)))


@pytest.mark.parametrize(("seed", "row"), [(374, 0), (480, 4), (797, 4), (1168, 4)])
def test_an_answer_that_cancels_wildly_is_not_converged(seed, row):
    # Weights over 20 decades are more than the solver takes: where it fails it must say so.
    b = np.random.default_rng(seed).standard_normal(5)
    A, w, b = np.column_stack([np.ones(5), np.arange(5) == row]), np.exp(20.0 * b), 1e9 + b
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = lp_regression(A, b, tau=0.5, weights=w)
    of_a_guess = 0.5 * float(w @ np.abs(b - A @ [1e9, 0.0]))
    assert fit.lower_bound <= of_a_guess
    assert fit.value <= 4.0 * of_a_guess or not fit.converged
    assert fit.converged or {type(w.message) for w in caught} == {NotConvergedWarning}


@pytest.mark.parametrize("size", [1e30, 1e100])
@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_a_weight_next_to_which_others_are_rounding(size, scale):
    A, b = problem()
    w = np.append(size, np.ones(299))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)
        fit = lp_regression(scale * A, b, tau=0.5, weights=w)
    assert not fit.converged or fit.value <= 1e-10 * size  # as x through the first row has
