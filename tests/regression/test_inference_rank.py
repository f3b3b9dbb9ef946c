"""Rank intervals of quantile fits: R's table, the statistic by its definition, limits, ties."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.special import stdtrit

from randla._parallel import single_thread
from randla.regression import lp_regression
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors
from randla.regression._errors.options import InferenceWarning
from randla.regression._resampling.rank import rank_errors


def quiet(fit, *args, **options):
    """The errors, without warnings of few rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        return fit.inference(*args, kind="rank", **options)


def steps_of(A, b, tau, density=None, weights=None, repeats=False):
    """The fit, and the intervals with given densities."""
    fit = lp_regression(A, b, tau=tau, weights=weights)
    data = FittedData.open(A, b, weights, repeats=repeats)
    d = A.shape[1]
    robust = Errors(np.eye(d), np.full((d, 1), float(max(data.n_rows - d, 1))), "")
    f = None if density is None else density[:, None]
    return fit, rank_errors(data, fit.x[:, None], [tau], f, robust).interval


def statistic(A, b, tau, j, c, density=None, weights=None, repeats=False):
    """T(c) by a fit of all rows, from its definition."""
    n, d = A.shape
    w = np.ones(n) if weights is None else weights
    f = np.ones(n) if density is None else density
    a, others = A[:, j], np.delete(A, j, axis=1)
    if d > 1:
        dual = lp_regression(others, b - c * a, tau=tau, weights=weights).dual
        root = np.sqrt(w * f)
        left = a - others @ np.linalg.lstsq(root[:, None] * others, root * a, rcond=None)[0]
    else:
        dual, left = w * np.where(b > c * a, tau, tau - 1), a
    m = w if repeats else w**2
    return left @ dual / np.sqrt(tau * (1 - tau) * (m * left**2).sum())


@pytest.fixture(scope="module")
def engel():
    datasets = pytest.importorskip("statsmodels.datasets")
    data = datasets.engel.load_pandas().data
    return np.column_stack([np.ones(len(data)), data.income]), data.foodexp.to_numpy()


# Known answers ------------------------------------------------------------------------------------


def test_engel_as_r_prints_it(engel):
    # quantreg, summary(rq(foodexp ~ income), se = "rank", alpha = 0.1): t with n - d degrees.
    fit, interval = steps_of(*engel, 0.5)
    low, high = interval(0.9)
    np.testing.assert_allclose(low[:, 0], [53.25915, 0.48702], atol=5e-6)
    np.testing.assert_allclose(high[:, 0], [114.01156, 0.60199], atol=5e-6)
    # The jumps between which R interpolates.
    t = stdtrit(233.0, 0.95)
    jumps = [
        [fit.x[j] + side.offsets[np.searchsorted(side.levels, t)] for side in interval.steps[j, 0]]
        for j in range(2)
    ]
    np.testing.assert_allclose(jumps[0], [53.18688, 115.24907], atol=5e-6)
    np.testing.assert_allclose(jumps[1], [0.4860862, 0.6020699], atol=5e-8)


def test_engel_with_local_densities(engel):
    fit = lp_regression(*engel, tau=[0.25, 0.5])
    result, robust = fit.inference(*engel, kind="rank"), fit.inference(*engel)
    for name in ("standard_error", "t", "p", "covariance", "degrees_of_freedom"):
        np.testing.assert_array_equal(getattr(result, name), getattr(robust, name))
    low, high = result.confidence_interval()
    assert (low < fit.x).all()
    assert (fit.x < high).all()
    ratio = (high - low) / np.subtract(*robust.confidence_interval()[::-1])
    assert (0.5 < ratio).all()
    assert (ratio < 2).all()
    narrow = result.confidence_interval(0.5)
    assert (low <= narrow[0]).all()
    assert (narrow[1] <= high).all()
    together = result.confidence_interval(simultaneous=True)
    np.testing.assert_array_equal(together, result.confidence_interval(1 - 0.05 / 4))


# The definition -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(9, 70),
    d=st.integers(1, 5),
    tau=st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.77, 0.95]),
    weights=st.sampled_from([None, "analytic", "frequency"]),
    kind=st.sampled_from(["plain", "indicator", "rounded", "heavy"]),
    local=st.booleans(),
)
def test_steps_are_those_of_full_fits(seed, n, d, tau, weights, kind, local):
    rng = np.random.default_rng(seed)
    d = min(d, n // 3)
    A = np.column_stack([np.ones(n), rng.standard_normal((n, d - 1))])
    if kind == "indicator" and d > 1:
        A[:, 1] = rng.random(n) < 0.3
        A[0, 1] = 1.0
    b = A.sum(axis=1) + (0.3 + abs(A[:, -1])) * (
        rng.standard_cauchy(n) if kind == "heavy" else rng.standard_normal(n)
    )
    b = np.round(b) if kind == "rounded" else b
    w = {
        None: None,
        "analytic": rng.uniform(0.2, 2, n),
        "frequency": rng.integers(1, 4, n).astype(float),
    }[weights]
    f = rng.uniform(0.2, 2, n) if local else None
    options = {"weights": w, "repeats": weights == "frequency"}
    fit, interval = steps_of(A, b, tau, f, **options)
    assert len(interval.steps) == d
    for (j, _), sides in interval.steps.items():
        for sign, side in zip((-1, 1), sides, strict=True):
            assert (np.diff(side.levels) > -1e-12).all()
            c = fit.x[j] + side.offsets
            between = 0.5 * (c[1:] + c[:-1])
            if np.isinf(side.beyond):  # no further jumps
                between = np.append(between, c[-1] + 10 * sign * (1 + abs(c[-1])))
            for i in rng.permutation(len(between))[:3]:
                T = statistic(A, b, tau, j, between[i], f, **options)
                assert abs(-sign * T - side.levels[i]) <= 1e-7 * (1 + side.levels[i])


def test_few_of_many_rows_are_enough():
    rng = np.random.default_rng(3)
    n = 20_000
    A = np.column_stack([np.ones(n), rng.exponential(size=n), rng.random(n) < 0.01])
    b = A.sum(axis=1) + (0.3 + A[:, 1]) * rng.standard_normal(n)
    fit, interval = steps_of(A, b, 0.9)
    for j in range(3):
        for sign, side in zip((-1, 1), interval.steps[j, 0], strict=True):
            c = fit.x[j] + side.offsets
            for i in (0, len(c) // 2, len(c) - 2):
                T = statistic(A, b, 0.9, j, 0.5 * (c[i] + c[i + 1]))
                assert abs(-sign * T - side.levels[i]) < 1e-7


def test_frequencies_are_repeated_rows():
    rng = np.random.default_rng(5)
    A = np.column_stack([np.ones(40), rng.standard_normal((40, 2))])
    b, w = A.sum(axis=1) + rng.standard_normal(40), rng.integers(0, 4, 40)
    once = quiet(lp_regression(A, b, tau=0.3, weights=w), A, b, weights=w, weights_are="frequency")
    A2, b2 = np.repeat(A, w, axis=0), np.repeat(b, w)
    repeated = quiet(lp_regression(A2, b2, tau=0.3), A2, b2)
    np.testing.assert_allclose(
        once.confidence_interval(0.8), repeated.confidence_interval(0.8), rtol=1e-6
    )


def test_equivariance():
    rng = np.random.default_rng(6)
    A = np.column_stack([np.ones(120), rng.standard_normal((120, 2))])
    b = A.sum(axis=1) + rng.standard_normal(120)
    low, high = quiet(lp_regression(A, b, tau=0.4), A, b).confidence_interval()
    for scale, unit in ((2.0**-300, 2.0**600), (2.0**300, 2.0**-600)):
        columns = np.array([1.0, scale, 3.0])
        fit = lp_regression(A * columns, unit * b, tau=0.4)
        found = quiet(fit, A * columns, unit * b).confidence_interval()
        for end, value in zip((low, high), found, strict=True):
            np.testing.assert_allclose(value / unit * columns, end, rtol=1e-9)
    fit = lp_regression(A, -b, tau=0.6)
    opposite = quiet(fit, A, -b).confidence_interval()
    np.testing.assert_allclose(opposite, [-high, -low], rtol=1e-9)
    for other in (sparse.csr_array(A), np.asfortranarray(A), A.astype(np.float32)):
        fit = lp_regression(other, b, tau=0.4)
        rtol = 1e-5 if other.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(quiet(fit, other, b).confidence_interval(), [low, high], rtol)


# Limits -------------------------------------------------------------------------------------------


def test_far_tails_have_no_end():
    rng = np.random.default_rng(7)
    A = np.column_stack([np.ones(20), rng.standard_normal(20)])
    b = rng.standard_normal(20)
    low, high = quiet(lp_regression(A, b, tau=0.98), A, b).confidence_interval(0.99)
    assert np.isinf(high[0])
    assert np.isfinite(low[0])


def test_one_column():
    b = np.random.default_rng(8).standard_normal(101)
    A = np.ones((101, 1))
    fit = lp_regression(A, b, tau=0.5)
    low, high = fit.inference(A, b, kind="rank").confidence_interval()
    # The sign test: T jumps by 1/sqrt(n v) at each order statistic.
    below = 50.5 - 0.5 * np.sqrt(101) * stdtrit(100.0, 0.975)
    order = np.sort(b)
    assert order[int(below) - 1] <= low[0] <= order[int(below) + 1]
    assert order[99 - int(below)] <= high[0] <= order[101 - int(below)]


def test_dependent_columns_have_none():
    rng = np.random.default_rng(9)
    A = np.column_stack([np.ones(80), rng.standard_normal((80, 2))])
    b = A.sum(axis=1) + rng.standard_normal(80)
    wide = np.column_stack([A, A[:, 1]])
    fit = lp_regression(wide, b, tau=0.5)
    with pytest.warns(InferenceWarning, match="x1"):
        low, high = fit.inference(wide, b, kind="rank").confidence_interval()
    assert np.isnan(low[[1, 3]]).all()
    assert np.isnan(high[[1, 3]]).all()
    few = quiet(lp_regression(A, b, tau=0.5), A, b).confidence_interval()
    np.testing.assert_allclose([low[[0, 2]], high[[0, 2]]], np.array(few)[:, [0, 2]], rtol=1e-6)


def test_perfect_fit_and_ties():
    A = np.column_stack([np.ones(30), np.arange(30.0)])
    for b in (A @ [1.0, 2.0], np.ones(30)):
        fit = lp_regression(A, b, tau=0.5)
        low, high = quiet(fit, A, b).confidence_interval()
        np.testing.assert_array_equal(low, fit.x)
        np.testing.assert_array_equal(high, fit.x)
    rng = np.random.default_rng(10)
    labels = rng.integers(0, 3, 200)
    A = np.column_stack([np.ones(200), labels == 1, labels == 2]).astype(float)
    b = rng.poisson(3.0, 200).astype(float)
    low, high = quiet(lp_regression(A, b, tau=0.3), A, b).confidence_interval()
    assert (low <= high).all()
    assert np.isfinite(low).all()
    for end in (low, high):  # steps are at whole numbers; interpolated ends lie between
        assert (abs(end) <= 3.0 + 1e-6).all()


def test_many_equal_rows():
    rng = np.random.default_rng(11)
    A = np.column_stack([np.ones(5000), rng.integers(0, 5, 5000), rng.integers(0, 3, 5000)])
    b = rng.poisson(3.0, 5000).astype(float)
    low, high = quiet(lp_regression(A, b, tau=0.5), A, b).confidence_interval()
    assert np.isfinite([low, high]).all()


def test_pickled_without_data_for_any_level():
    rng = np.random.default_rng(12)
    A = np.column_stack([np.ones(60), rng.standard_normal((60, 2))])
    b = A.sum(axis=1) + rng.standard_normal(60)
    result = quiet(lp_regression(A, b, tau=[0.3, 0.6]), A, b)
    before = [result.confidence_interval(level) for level in (0.5, 0.95, 0.999)]
    A[:], b[:] = 0.0, 0.0  # nothing of them is read again
    again = pickle.loads(pickle.dumps(result))
    for level, expected in zip((0.5, 0.95, 0.999), before, strict=True):
        np.testing.assert_array_equal(again.confidence_interval(level), expected)
    assert len(pickle.dumps(result)) < 60_000
    result.confidence_interval(0.99, simultaneous=True)
    for level in (0.99999, 1.0, 0.0, -1.0):
        with pytest.raises(ValueError, match="level must be"):
            result.confidence_interval(level)
    with pytest.raises(ValueError, match=r"at most 0\.999"):
        result.confidence_interval(0.99999)


def test_threads_do_not_matter():
    rng = np.random.default_rng(13)
    A = np.column_stack([np.ones(3000), rng.standard_normal((3000, 3))])
    b = A.sum(axis=1) + rng.standard_normal(3000)
    fit = lp_regression(A, b, tau=0.5)
    several = fit.inference(A, b, kind="rank").confidence_interval()
    with single_thread():
        alone = fit.inference(A, b, kind="rank").confidence_interval()
    np.testing.assert_array_equal(alone, several)


def test_dask_is_refused():
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(14)
    A, b = rng.standard_normal((200, 2)), rng.standard_normal(200)
    lazy = da.from_array(A, chunks=(50, 2)), da.from_array(b, chunks=50)
    fit = lp_regression(*lazy, tau=0.5)
    with pytest.raises(ValueError, match="in memory for kind='rank'"):
        quiet(fit, *lazy)
