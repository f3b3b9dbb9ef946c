"""The scikit-learn estimators: its own checks, and its own solver as the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from sklearn import linear_model
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

from randla import datasets, lstsq, sklearn as ours
from tests.statistical import claim


@parametrize_with_checks(
    [
        ours.SketchedLinearRegression(),
        ours.QuantileRegressor(alpha=0.1),
        ours.QuantileRegressor(alpha=0.0),
        ours.LpRegressor(),
        ours.LpRegressor(p=3),
        ours.CertifiedPCA(),
        ours.CertifiedPCA(2, whiten=True),
        ours.PivotedNystroem(),
        ours.PivotedNystroem("matern32", n_components=5),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("alpha", [0.0, 0.02])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantile_regressor_minimizes_the_same_loss(quantile, alpha, weighted):
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


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("options", [{}, {"sketch_size": 100}])
def test_the_result_is_that_of_the_columns(make, options):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((600, 4)) + 5.0, rng.standard_normal(600)
    model = ours.SketchedLinearRegression(random_state=0, **options).fit(make(X), y)
    np.testing.assert_array_equal(model.result_.x, model.coef_)
    low, high = model.result_.confidence_interval()
    np.testing.assert_allclose(0.5 * (low + high), model.coef_, rtol=1e-12)


def test_an_exact_fit_does_not_depend_on_chance():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((6000, 8)), rng.standard_normal(6000)
    X[:, 7] = X[:, 6] + 1e-10 * X[:, 7]  # a sketched preconditioner is drawn
    global_state = check_random_state(None).get_state
    before = global_state()[1:3]
    fits = [ours.SketchedLinearRegression().fit(X, y).coef_ for _ in range(5)]
    assert all(np.array_equal(fit, fits[0]) for fit in fits)
    after = global_state()[1:3]
    assert np.array_equal(after[0], before[0])
    assert after[1] == before[1]


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


def deficient_designs():
    """Designs where many coefficients fit equally well; more columns than rows are among them."""
    rng = np.random.default_rng(3)
    group = np.eye(4)[rng.integers(4, size=60)]
    Z = rng.standard_normal((60, 3)) + 5.0
    yield "a constant column", np.ones((5, 1))
    yield "constant columns", np.column_stack([np.full(60, 0.1), Z, np.full(60, -7.0)])
    yield "one-hot", np.column_stack([group, Z])
    yield "two one-hot", np.column_stack([group, np.eye(7)[rng.integers(7, size=60)], Z])
    yield "copies", np.column_stack([Z, Z[:, 0], 3.0 * Z[:, 1]])
    yield "wide", rng.standard_normal((9, 30)) + 1.0
    yield "one row", np.array([[1.0, 2.0]])


DEFICIENT = dict(deficient_designs())


@pytest.mark.parametrize("X", DEFICIENT.values(), ids=DEFICIENT)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("outputs", [None, 2])
def test_deficient_rank_equals_linear_regression(X, weighted, make, outputs):
    rng = np.random.default_rng(4)
    y = rng.standard_normal((len(X), outputs) if outputs else len(X)) + 3.0
    weight = rng.integers(1, 4, len(X)) / 2.0 if weighted else None
    mine = ours.SketchedLinearRegression().fit(make(X), y, weight)
    theirs = linear_model.LinearRegression().fit(X, y, weight)
    new = np.vstack([X, rng.standard_normal((3, X.shape[1]))])
    np.testing.assert_allclose(mine.predict(make(new)), theirs.predict(new), rtol=0, atol=1e-11)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=0, atol=1e-11)
    assert mine.coef_.shape == theirs.coef_.shape
    assert np.shape(mine.intercept_) == np.shape(theirs.intercept_)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_any_small_design_equals_linear_regression(data):
    n, d = data.draw(st.integers(1, 7), "n"), data.draw(st.integers(1, 6), "d")
    entries = st.integers(-2, 2).map(float)
    X = data.draw(arrays(np.float64, (n, d), elements=entries), "X")
    y = data.draw(arrays(np.float64, n, elements=entries), "y")
    weight = data.draw(arrays(np.float64, n, elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])), "w")
    weight[0] = 1.0
    theirs = linear_model.LinearRegression().fit(X, y, weight)
    for make in (np.asarray, sparse.csr_array):
        mine = ours.SketchedLinearRegression().fit(make(X), y, weight)
        np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=0, atol=1e-10)
        np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_rounding_errors_of_offsets_are_no_directions(make):
    # Decimal fractions beside an offset: dependent columns are so only up to rounding errors,
    # which centering leaves as they are and makes large beside what is left of the column.
    pytest.importorskip("sklearn", minversion="1.7")  # `tol` of LinearRegression
    rng = np.random.default_rng(8)
    for _ in range(60):
        n, d = rng.integers(1, 12), rng.integers(1, 10)
        X = rng.integers(-2, 3, (n, d)) * 10.0 ** rng.integers(-2, 3, d)
        X += rng.integers(-3, 4, d) * rng.choice([0.0, 1.0, 100.0])
        y, weight = rng.integers(-3, 4, n) * 1.0, rng.choice([0.5, 1.0, 2.0, 3.0], n)
        theirs = linear_model.LinearRegression(tol=1e-10).fit(X, y, weight)
        mine = ours.SketchedLinearRegression().fit(make(X), y, weight)
        size = max(np.abs(theirs.coef_).max(), 1.0)
        np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=0, atol=1e-9 * size)
        np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=0, atol=1e-7)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("decades", [0, 12, 100])
def test_rank_and_fit_of_indicators_of_any_scale(make, offset, decades):
    rng = np.random.default_rng(0)
    for n in (40, 2500, 5000):
        groups = [np.eye(k)[rng.integers(k, size=n)] for k in (3, 3)]
        X = (np.hstack(groups) + offset) * np.logspace(0, -decades, 6)
        y, weight = rng.standard_normal(n) + 1e6, rng.integers(1, 9, n).astype(float)
        model = ours.SketchedLinearRegression().fit(make(X), y, weight)
        span = np.hstack([groups[0], groups[1][:, 1:]])
        root = np.sqrt(weight)
        best = root * (y - span @ np.linalg.lstsq(root[:, None] * span, root * y)[0])
        assert model.result_.rank == 4
        assert model.result_.residual_norm == pytest.approx(np.linalg.norm(best), rel=1e-9)
        residual = root * (y - model.predict(X))
        assert np.linalg.norm(residual) == pytest.approx(np.linalg.norm(best), rel=1e-8)


@pytest.mark.parametrize("scale", [1e-250, 1e-170, 1e170, 1e250])
def test_columns_near_the_ends_of_the_range(scale):
    X, y = np.random.default_rng(0).standard_normal((200, 3)), np.arange(200.0)
    expected = ours.SketchedLinearRegression().fit(X, y).coef_
    coef = ours.SketchedLinearRegression().fit(X * scale, y).coef_  # a warning would be an error
    np.testing.assert_allclose(coef * scale, expected, rtol=1e-10)


def test_a_nearly_constant_column_harms_no_other():
    rng = np.random.default_rng(9)
    X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    X[:, 2] = X[:, 0] + 1e-4 * (y + X[:, 2])  # a direction that a high `rcond` would drop
    nearly = 1.0 + 100 * 2.0**-52 * rng.integers(-1, 2, 50)
    mine = ours.SketchedLinearRegression().fit(np.column_stack([nearly, X]), y)
    assert mine.result_.rank >= 3
    best = linear_model.LinearRegression().fit(X, y)
    loss = np.sum((y - mine.predict(np.column_stack([nearly, X]))) ** 2)
    assert loss <= np.sum((y - best.predict(X)) ** 2) * (1 + 1e-9)


@pytest.mark.parametrize("options", [{}, {"sketch_size": 400, "random_state": 0}])
@pytest.mark.parametrize("span", [2e9, 1e10, 5e10, 1e14])
@pytest.mark.parametrize("apart", [1e-6, 1e-7])
def test_a_time_column_harms_no_others(span, apart, options):
    # Nanoseconds since 1970 within seconds, minutes or a day, and two nearly equal columns that
    # have all their digits: a threshold for the rounding errors of the times would drop one.
    rng = np.random.default_rng(2)
    n = 500
    time, u, step = np.sort(np.round(1.7e18 + span * rng.random(n))), *rng.standard_normal((2, n))
    X = np.column_stack([time, u, u + apart * step])
    y = (time - time[0]) / span + u + step + 0.1 * rng.standard_normal(n)
    plain = np.column_stack([(time - time.mean()) / span, u, step])
    best = linear_model.LinearRegression().fit(plain, y)
    least = np.linalg.norm(y - best.predict(plain))
    for make in (np.asarray, sparse.csr_array):
        mine = ours.SketchedLinearRegression(**options).fit(make(X), y)
        assert mine.result_.rank == 3
        residual = y - y.mean() - (X - X.mean(axis=0)) @ mine.coef_
        assert np.linalg.norm(residual) <= least * (1.1 if options else 1 + 1e-9)
    equal = np.column_stack([X, 3.0 * X[:, 1], time - 7.0 * 2.0**40])
    assert ours.SketchedLinearRegression(**options).fit(equal, y).result_.rank == 3


def test_an_offset_does_not_cost_digits():
    rng = np.random.default_rng(5)
    X, y = rng.integers(-4, 5, (200, 3)) * 1.0, rng.standard_normal(200)
    centered = ours.SketchedLinearRegression().fit(X, y)
    far = ours.SketchedLinearRegression().fit(X + 2.0**30, y)
    np.testing.assert_allclose(far.coef_, centered.coef_, rtol=0, atol=1e-13)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_a_sketch_of_deficient_rank(make):
    # 4 coefficients: P(some |z| > 5) < 4 * 6e-7 with 300 degrees of freedom, nearly normal.
    rng = np.random.default_rng(6)
    X = np.eye(3)[rng.integers(3, size=5000)]
    X = np.column_stack([X, rng.standard_normal(5000)])
    y = X @ [1.0, 2.0, 3.0, 4.0] + 10.0 + rng.standard_normal(5000)
    exact = linear_model.LinearRegression().fit(X, y)
    mine = ours.SketchedLinearRegression(sketch_size=300, random_state=0).fit(make(X), y)
    z = (mine.coef_ - exact.coef_) / mine.standard_error_
    assert 1e-3 < np.abs(z).max() < 5
    assert mine.result_.degrees_of_freedom in (297, 296)
    low = np.sqrt(1.0 / 300)  # of |r| = sqrt(5000) and columns of 5000 entries of variance ~1
    assert np.all(mine.standard_error_ < 3 * low)


@pytest.mark.parametrize(("levels", "n"), [(350, 6000), (550, 12_000)])
def test_large_one_hot_blocks(levels, n):
    # LSQR without a preconditioner, which does not know the rank. As two blocks of indicators whose
    # graph is connected differ from regular by a constant each, the shortest coefficients of a
    # block have the sum zero; with the normal equations that determines them.
    rng = np.random.default_rng(7)
    columns = rng.integers(levels, size=(n, 2)) + [0, levels]
    X = sparse.csr_array((np.ones(2 * n), columns.ravel(), 2 * np.arange(n + 1)))
    y = rng.standard_normal(n) + 5.0
    mine = ours.SketchedLinearRegression().fit(X, y)
    residual = y - mine.predict(X)
    np.testing.assert_allclose(X.T @ residual, 0.0, atol=1e-10)
    np.testing.assert_allclose(mine.coef_.reshape(2, levels).sum(axis=1), 0.0, atol=1e-10)


def test_parameters_are_those_of_scikit_learn_but_for_its_solvers():
    theirs = linear_model.QuantileRegressor().get_params()
    mine = ours.QuantileRegressor().get_params()
    assert set(theirs) - set(mine) == {"solver", "solver_options"}
    assert all(mine[name] == theirs[name] for name in set(theirs) & set(mine))


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
        (ours.LpRegressor(tol=0.0), r"^tol must be in \(0, 1\), got 0"),
        (ours.QuantileRegressor(tol=1.0), r"^tol must be in \(0, 1\), got 1"),
        (ours.SketchedLinearRegression(fit_intercept="yes"), "fit_intercept must be True or False"),
    ],
)
def test_bad_parameters_are_named(model, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0])


def ridge_designs():
    """Dense ones near and far from the origin, with a constant column, copies, and wide ones."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((80, 4))
    yield "plain", X
    yield "far", X + [0.0, 1e3, -1e6, 3.0]
    yield "copies", np.column_stack([X + 5.0, X[:, :2]])
    yield "constant", np.column_stack([X, np.full(80, 7.0)])
    yield "wide", rng.standard_normal((9, 30)) + 1.0


RIDGE = dict(ridge_designs())


@pytest.mark.parametrize("X", RIDGE.values(), ids=RIDGE)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("outputs", [None, 2])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_alpha_is_that_of_ridge(X, fit_intercept, outputs, make):
    rng = np.random.default_rng(6)
    y = rng.standard_normal((len(X), outputs) if outputs else len(X)) + 3.0
    weight = rng.random(len(X)) + 0.5
    options = {"alpha": 2.5, "fit_intercept": fit_intercept}
    mine = ours.SketchedLinearRegression(**options).fit(make(X), y, weight)
    theirs = linear_model.Ridge(**options, solver="svd").fit(X, y, weight)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-8)


def test_alpha_of_a_large_sparse_matrix():
    rng = np.random.default_rng(7)
    X = sparse.random_array((60_000, 100), density=0.02, rng=rng, format="csr")
    y = X @ rng.standard_normal(100) + 5.0 + rng.standard_normal(60_000)
    mine = ours.SketchedLinearRegression(alpha=300.0).fit(X, y)
    theirs = linear_model.Ridge(alpha=300.0, solver="sparse_cg", tol=1e-12).fit(X, y)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=1e-7)


@pytest.mark.parametrize("alpha", [-1.0, np.nan, np.inf, "1", None, True])
def test_bad_alpha(alpha):
    with pytest.raises((TypeError, ValueError), match="alpha must be"):
        ours.SketchedLinearRegression(alpha=alpha).fit([[1.0], [2.0]], [1.0, 2.0])


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_of_an_intercept_is_that_of_a_coefficient(weighted):
    """It is -means @ x but for a constant: in coordinates with that as the first coefficient."""
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((500, 3)) + [3.0, -2.0, 1.0], rng.standard_normal((500, 2))
    weight = rng.random(500) if weighted else None
    model = ours.SketchedLinearRegression(sketch_size=40, random_state=0).fit(X, y, weight)
    means = np.average(X, axis=0, weights=weight)
    T = np.linalg.inv(np.vstack([means, rng.standard_normal((2, 3))]))  # x = T z, z_0 = means @ x
    seed = int(check_random_state(0).randint(2**31 - 1))
    centered = y - np.average(y, axis=0, weights=weight)
    fit = lstsq((X - means) @ T, centered, weights=weight, sketch_size=40, rng=seed)
    np.testing.assert_allclose(model.intercept_standard_error_, fit.standard_error[0], rtol=1e-9)


@pytest.mark.parametrize("design", ["plain", "weighted", "two outputs", "copies", "alpha", "zero"])
@claim(
    null="squared errors of intercept and coefficients have the claimed mean",
    test="z-test of the difference, Bonferroni over the numbers",
    replicates=300,
    false_alarm=1e-8,
)
def test_the_error_of_an_intercept(design, trial):
    rng = np.random.default_rng(8)
    X = rng.standard_normal((2000, 3)) @ rng.standard_normal((3, 3)) + [3.0, -2.0, 1.0]
    if design == "copies":
        X = np.column_stack([X, X[:, 0] * 2.0])
    if design == "zero":
        X = np.column_stack([X, np.zeros(2000)])
    y = X[:, 0] + rng.standard_normal(2000)
    y = np.column_stack([y, -2.0 * y + X[:, 1]]) if design == "two outputs" else y
    weight = rng.random(2000) if design == "weighted" else None
    alpha = 50.0 if design == "alpha" else 0.0
    exact = ours.SketchedLinearRegression(alpha=alpha).fit(X, y, weight)
    assert np.all(np.asarray(exact.intercept_standard_error_) == 0.0)
    differences = []
    for generator in trial.rngs():
        seed = int(generator.integers(2**31))
        model = ours.SketchedLinearRegression(sketch_size=100, alpha=alpha, random_state=seed)
        model.fit(X, y, weight)
        row = [
            (error - true) ** 2 - claimed**2
            for error, true, claimed in (
                (model.intercept_, exact.intercept_, model.intercept_standard_error_),
                (model.coef_, exact.coef_, model.standard_error_),
            )
        ]
        differences.append(np.concatenate([np.ravel(part) for part in row]))
    assert np.all(np.asarray(model.intercept_standard_error_) > 0.0)
    trial.assert_mean(differences, 0.0)


def test_no_intercept_has_no_error():
    X = np.random.default_rng(9).standard_normal((500, 2))
    model = ours.SketchedLinearRegression(sketch_size=50, fit_intercept=False, random_state=0)
    assert model.fit(X, X[:, 0] + 1.0).intercept_standard_error_ == 0.0
    assert model.fit(X, X + 1.0).intercept_standard_error_.shape == (2,)


def test_feature_names_name_the_coefficients():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(9).random((30, 2)), columns=["age", "height"])
    for model in (ours.SketchedLinearRegression(), ours.SketchedLinearRegression(sketch_size=9)):
        assert model.fit(frame, frame["age"]).result_.names == ("age", "height")
        assert model.fit(frame.to_numpy(), frame["age"]).result_.names == ("x0", "x1")


def test_inference_is_for_fits_without_an_intercept():
    rng = np.random.default_rng(10)
    X, y = rng.random((50, 2)), rng.random(50)
    model = ours.SketchedLinearRegression(fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(
        model.result_.inference(X, y).standard_error, lstsq(X, y).inference(X, y).standard_error
    )
    for options in ({}, {"kind": "iid"}):
        with pytest.raises(ValueError, match="a column of ones"):
            ours.SketchedLinearRegression().fit(X, y).result_.inference(X, y, **options)
    with pytest.raises(ValueError, match="a column of ones"):
        ours.SketchedLinearRegression().fit(X, y).result_.inference(kind="iid")
