"""`lp_regression` with ``method="sample"``: near the minimum, and certified for all rows."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from randla._tall.open import open_tall
from randla.regression import lp_regression
from randla.regression._lp.tall_data import TallData
from randla.regression._solvers.newton import norm
from randla.sampling import NotConvergedWarning
from tests.regression.lp_regression_reference import objective
from tests.regression.test_lp_regression import problem
from tests.statistical import claim

OPTIONS = ({"tau": 0.5}, {"tau": 0.9}, {}, {"p": 1.3}, {"p": 2}, {"p": 3}, {"l1": 40.0})


def assert_bounded(A, b, result, exact, **options):
    """The minimum lies between lower_bound and value; the dual is feasible."""
    value = objective(A, b, result.x, **options)
    np.testing.assert_allclose(result.value, value, rtol=1e-12)
    assert result.lower_bound <= exact.value * (1 + 1e-10)
    assert exact.value <= result.value * (1 + 1e-10)
    free = np.maximum(np.abs(A.T @ result.dual) - options.get("l1", 0.0), 0.0)
    assert (free <= 1e-12 * np.linalg.norm(A, axis=0) * np.linalg.norm(result.dual) + 1e-300).all()
    np.testing.assert_allclose(result.lower_bound, b @ result.dual, rtol=1e-10, atol=1e-9 * value)


@pytest.mark.parametrize("kind", ["gauss", "heavy", "onehot", "outliers"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_bounds_hold_for_all_rows(kind, options):
    A, b = problem(n=4000, d=4, kind=kind)
    exact = lp_regression(A, b, **options)
    result = lp_regression(A, b, method="sample", size=600, rng=1, **options)
    assert result.method == "sample"
    assert 450 < result.n_rows_used < 750  # Poisson: six standard deviations
    assert_bounded(A, b, result, exact, **options)
    assert result.gap <= 0.1 * result.value
    assert not result.converged or result.gap <= 1e-8 * result.value


@pytest.mark.parametrize("options", [{"tau": 0.4}, {"p": 1.5}, {"p": 3}], ids=str)
def test_weights_and_sparse(options):
    A, b = problem(n=3000, d=5, kind="onehot")
    w = np.random.default_rng(0).lognormal(0, 1, 3000)
    w[:100] = 0.0
    exact = lp_regression(A, b, weights=w, **options)
    for matrix in (A, sparse.csr_array(A)):
        result = lp_regression(matrix, b, weights=w, method="sample", size=800, rng=2, **options)
        assert_bounded(A, b, result, exact, weights=w, **options)
        assert (result.dual[w == 0] == 0).all()


@pytest.mark.parametrize("p", [1.5, 2, 3])
@pytest.mark.parametrize("name", ["Vandermonde", "Hilbert"])
def test_columns_that_are_nearly_dependent(name, p):
    if name == "Vandermonde":
        A = np.vander(np.linspace(0, 1, 200), 12)
    else:
        A = 1.0 / (1.0 + np.add.outer(np.arange(200.0), np.arange(7.0)))
    b = np.sin(np.linspace(0, 9, 200))
    result = lp_regression(A, b, p, method="sample", size=100, rng=0)
    exact, left = lp_regression(A, b, p), np.abs(A.T @ result.dual)  # coefficients of a million
    assert result.lower_bound <= exact.value * (1 + 1e-10) + left @ np.abs(result.x - exact.x)
    assert (left <= 1e-10 * np.abs(A).T @ np.abs(result.dual)).all()
    assert result.gap <= 0.2 * result.value


@pytest.mark.parametrize("options", [{"tau": 0.3}, {"p": 3}])
def test_a_sample_of_all_rows_is_exact(options):
    A, b = problem(n=200)
    exact = lp_regression(A, b, **options)
    result = lp_regression(A, b, method="sample", size=200, rng=0, **options)
    np.testing.assert_allclose(result.value, exact.value, rtol=1e-7)


def test_degenerate_data():
    A, b = problem(n=300)
    deficient = np.column_stack([A, A[:, 1]])
    for options in ({"tau": 0.3}, {"p": 1.5}, {"l1": 3.0}):
        exact = lp_regression(deficient, b, **options)
        result = lp_regression(deficient, b, method="sample", size=150, rng=0, **options)
        assert_bounded(deficient, b, result, exact, **options)
    for zero in (np.zeros((50, 2)), np.ones((50, 2))):
        assert lp_regression(zero, np.zeros(50), method="sample", rng=0).value == 0.0
    inside = A @ np.arange(4.0)
    assert lp_regression(A, inside, method="sample", rng=0).value <= 1e-10
    tiny = lp_regression(A * 1e-200, b * 1e-200, 1.5, method="sample", rng=0)
    np.testing.assert_allclose(
        tiny.value / 1e-200, lp_regression(A, b, 1.5, method="sample", rng=0).value, rtol=1e-6
    )


@pytest.mark.parametrize("p", [1, 1.5, 2, 5])
@pytest.mark.parametrize("shape", [(1, 1), (50, 3)])
def test_a_matrix_of_zeros(p, shape):
    b = np.random.default_rng(0).standard_normal(shape[0])
    for w in (None, 1.0 + np.arange(shape[0])):
        result = lp_regression(np.zeros(shape), b, p, weights=w, method="sample", rng=0)
        least = norm(b * (1.0 if w is None else w ** (1 / p)), p)
        np.testing.assert_allclose(result.value, least, rtol=1e-12)
        assert 0.9 * least <= result.lower_bound <= least * (1 + 1e-12)
        assert (result.x == 0).all()
        assert result.rank == 0


@pytest.mark.parametrize("options", [{"l1": 1.0}, {"l1": [0, 0.3, 9.0], "tau": [0.2, 0.5]}])
@pytest.mark.parametrize("n", [300, 3000])
def test_a_penalty_on_an_exact_fit_is_certified(options, n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, 3))
    b = A @ [1.0, -2.0, 0.5]
    exact = lp_regression(A, b, **options)
    sampled = lp_regression(A, b, method="sample", rng=0, **options)
    np.testing.assert_allclose(sampled.value, exact.value, rtol=1e-9)
    assert np.all(sampled.lower_bound <= exact.value * (1 + 1e-10))
    assert np.all(sampled.gap <= 1e-2 * sampled.value)


@pytest.mark.parametrize("p", [1.5, 2, 3])
def test_rows_that_are_met_exactly(p):
    # Blank rows, and columns of single rows: their residuals are zero.
    for seed in range(4):
        rng = np.random.default_rng(seed)
        A, b = rng.standard_normal((3000, 8)), rng.standard_t(3, 3000)
        A[rng.random(A.shape) < 0.95] = 0.0
        b[~A.any(axis=1)] = 0.0
        for matrix in (A, sparse.csr_array(A)):
            sampled = lp_regression(matrix, b, p, method="sample", rng=seed)
            exact = lp_regression(matrix, b, p)
            assert 0.9 * exact.value <= sampled.lower_bound <= exact.value * (1 + 1e-10)


@pytest.mark.filterwarnings("ignore::randla.NotConvergedWarning")
@pytest.mark.parametrize("p", [5e3, 1e100])
def test_powers_whose_scores_underflow(p):
    A, b = problem()
    sampled, exact = (lp_regression(A, b, p, method=m, rng=0) for m in ("sample", "full"))
    assert sampled.value <= 1.01 * exact.value


def test_no_warning_for_a_gap_that_is_expected():
    A, b = problem()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not lp_regression(A, b, 3, method="sample", size=60, rng=0).converged


@claim(
    null="the excess of a sample's solution falls like 1/size",
    test="mean over samples of four times the size below half of the first",
    replicates=40,
    false_alarm=1e-7,
)
def test_excess_falls_with_the_size(trial):
    A, b = problem(n=3000, d=3, kind="heavy")
    exact = lp_regression(A, b).value
    excess = np.array(
        [
            [
                lp_regression(A, b, method="sample", size=m, rng=rng).value / exact - 1
                for m in (100, 400)
            ]
            for rng in trial.rngs()
        ]
    )
    # In expectation the ratio is near 1/4; the standard error of a mean of 40 is about a sixth.
    assert excess[:, 1].mean() < 0.6 * excess[:, 0].mean()
    assert (excess >= -1e-12).all()


@pytest.mark.parametrize("p", [1.0, 3.0])
@claim(
    null="the weighted norms of a sample's residuals are unbiased",
    test="z-test of the mean, Bonferroni over three vectors",
    replicates=300,
    false_alarm=1e-7,
)
def test_samples_are_unbiased(trial, p):
    A, b = problem(n=120, d=3)
    w = np.random.default_rng(5).lognormal(0, 1, 120)
    data = TallData(open_tall(A), b, w ** (1 / p), len(A))
    xs = np.random.default_rng(6).standard_normal((3, 3))
    exact = [norm(data.in_memory.residuals(x), p) ** p for x in xs]
    draws = []
    for rng in trial.rngs():
        sample, _ = data.draw(p, 40, rng)
        draws.append([norm(sample.residuals(x), p) ** p for x in xs])
    trial.assert_mean(draws, exact)


def test_the_right_hand_side_is_scored_too():
    # One row has all of the misfit in b, and no leverage in A: uniform rows would miss it.
    rng = np.random.default_rng(4)
    A = np.column_stack([np.ones(2000), rng.standard_normal(2000)])
    b = A.sum(axis=1) + 0.01 * rng.standard_normal(2000)
    b[17] += 1e4
    exact = lp_regression(A, b, 2).value
    worst = max(lp_regression(A, b, 2, method="sample", size=100, rng=k).value for k in range(20))
    assert worst <= 1.05 * exact


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_sample_is_never_empty(size):
    A = np.random.default_rng(5).standard_normal((50, 3))
    for seed in range(40):
        result = lp_regression(A, A[:, 0], 1, method="sample", size=size, rng=seed)
        assert result.n_rows_used >= 1
        assert result.gap >= 0


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_weights_beyond_any_measure(seed):
    # beside the heaviest rows the scores of others leave the range of numbers
    rng = np.random.default_rng(seed)
    A = np.c_[rng.standard_normal((60, 2)), np.zeros(60)]
    b = rng.standard_normal(60) * (rng.random(60) < 0.3)
    weights = 10.0 ** rng.uniform(-140, 140, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)
        result = lp_regression(A, b, method="sample", size=25, weights=weights, rng=0)
    assert 0.0 <= result.lower_bound <= result.value


@pytest.mark.parametrize("n", [2000, 300_000])
@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"p": 1}, 3.0),
        ({"tau": 0.9}, 3.0),
        ({"p": 1.1}, 20.0),
        ({"p": 1.3}, 3.0),
        ({"p": 1.5}, 3.0),
        ({"p": 3}, 3.0),
    ],
)
def test_gaps_are_about_as_large_as_the_excess(n, options, most):
    rng = np.random.default_rng(7)
    A = rng.standard_normal((n, 5))
    b = A.sum(axis=1) + rng.standard_t(2, n)
    exact = lp_regression(A, b, **options)
    for seed, size in enumerate((None, 120, 1000)):
        if size == 120 and n > 2000 and options.get("p", 1) == 1:
            continue  # at most 400 rows for each of these are looked at one by one
        fit = lp_regression(A, b, **options, method="sample", size=size, rng=seed)
        excess = fit.value - exact.value
        assert 0.0 < excess <= fit.gap <= most * excess
