"""The scikit-learn estimators: its own checks, and its own solver as the oracle."""

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.utils.estimator_checks import parametrize_with_checks

from randla import datasets, sklearn as ours


@parametrize_with_checks(
    [
        ours.SketchedLinearRegression(),
        ours.QuantileRegressor(alpha=0.1),
        ours.QuantileRegressor(alpha=0.0),
        ours.LpRegressor(),
        ours.LpRegressor(p=3),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("alpha", [0.0, 0.02])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantile_regressor_minimises_the_same_loss(quantile, alpha, weighted):
    income, food = datasets.engel()
    X = np.column_stack([income, np.sqrt(income)]) / 1000
    y = food / 1000
    weight = np.random.default_rng(0).integers(1, 4, len(y)) * 1.0 if weighted else None

    def loss(model):
        r = y - model.predict(X)
        pinball = np.where(r >= 0, quantile * r, (quantile - 1) * r)
        return np.average(pinball, weights=weight) + alpha * np.abs(model.coef_).sum()

    mine = ours.QuantileRegressor(quantile=quantile, alpha=alpha).fit(X, y, weight)
    theirs = linear_model.QuantileRegressor(quantile=quantile, alpha=alpha).fit(X, y, weight)
    assert loss(mine) <= loss(theirs) * (1 + 1e-7)
    assert loss(mine) >= loss(theirs) * (1 - 1e-7)
    assert 0 <= mine.gap_ + 1e-12 < 1e-6


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_full_precision_equals_linear_regression(fit_intercept, outputs):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((200, 4)) + 5.0, rng.standard_normal((200, outputs))
    y = y[:, 0] if outputs == 1 else y
    weight = rng.random(200)
    mine = ours.SketchedLinearRegression(fit_intercept=fit_intercept).fit(X, y, weight)
    theirs = linear_model.LinearRegression(fit_intercept=fit_intercept).fit(X, y, weight)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(mine.standard_error_, np.zeros_like(mine.coef_))


def test_a_sketch_has_a_standard_error():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((20_000, 3))
    y = X @ [1.0, 2.0, 3.0] + 4.0 + rng.standard_normal(20_000)
    exact = linear_model.LinearRegression().fit(X, y)
    mine = ours.SketchedLinearRegression(sketch_size=400, random_state=0).fit(X, y)
    z = (mine.coef_ - exact.coef_) / mine.standard_error_
    assert mine.standard_error_.shape == (3,)
    assert np.abs(z).max() < 5
    assert np.abs(z).max() > 1e-3


def test_p_two_is_least_squares():
    income, food = datasets.engel()
    mine = ours.LpRegressor(p=2).fit(income[:, None], food)
    theirs = linear_model.LinearRegression().fit(income[:, None], food)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-9)


@pytest.mark.parametrize("p", [1.5, 4])
def test_weights_are_repetitions(p):
    income, food = datasets.engel()
    X, times = income[:, None], np.arange(len(food)) % 3
    weighted = ours.LpRegressor(p=p, tol=1e-12).fit(X, food, times)
    repeated = ours.LpRegressor(p=p, tol=1e-12).fit(np.repeat(X, times, 0), np.repeat(food, times))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ours.QuantileRegressor(quantile=1.0), "quantile must be in"),
        (ours.QuantileRegressor(alpha=-1.0), "alpha must be at least 0"),
        (ours.LpRegressor(p=0.5), "p must be at least 1"),
        (ours.SketchedLinearRegression(fit_intercept="yes"), "fit_intercept must be True or False"),
    ],
)
def test_bad_parameters_are_named(model, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0])
