"""`LpRegressionResult.inference`: known answers, its definition, invariances, bad input."""

import pickle
import warnings

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse

from randla.regression import lp_regression
from randla.regression._errors.options import InferenceWarning
from tests.regression.inference_quantiles_reference import (
    joint_covariance,
    power_covariance,
    sandwich,
)

statsmodels = pytest.importorskip("statsmodels")


def quiet(fit, *args, **options):
    """The errors, without warnings of few rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        return fit.inference(*args, **options)


@pytest.fixture(scope="module")
def engel():
    from statsmodels.datasets import engel

    data = engel.load_pandas().data
    return np.column_stack([np.ones(len(data)), data.income]), data.foodexp.to_numpy()


def design(rng, n, kind="scale"):
    """Three columns; errors whose scale grows with the first."""
    x = rng.exponential(size=n)
    A = np.column_stack([np.ones(n), x, rng.standard_normal(n)])
    b = A @ [1.0, 1.0, 1.0] + (0.3 + x) * rng.standard_normal(n)
    return A, b


# Known answers ------------------------------------------------------------------------------------

KNOWN = {  # at tau = 0.25, 0.5, 0.9: intercept and income
    "nid": ((21.39236975, 0.02905527), (19.25066025, 0.02827721), (22.39538315, 0.02849072)),
    "robust": ((22.97452389, 0.03094482), (20.38102688, 0.02955786), (25.31520051, 0.03208897)),
    "iid": ((16.1294755, 0.01452159), (13.9026269, 0.01251673), (16.5465650, 0.01489711)),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_engel(engel, kind):
    fit = lp_regression(*engel, tau=[0.25, 0.5, 0.9])
    result = fit.inference(*engel, kind=kind)
    np.testing.assert_allclose(result.standard_error.T, KNOWN[kind], rtol=1e-6)
    assert (result.degrees_of_freedom == 233).all()
    assert (result.algorithmic_error == 0).all()


def test_clusters_of_engel(engel):
    # The factor sqrt(G / (G - 1) * (n - 1) / (n - d)) comes to what the dual gives.
    groups = np.arange(235) // 10
    fit = lp_regression(*engel, tau=[0.25, 0.5, 0.9])
    result = fit.inference(*engel, kind="CR1", groups=groups)
    plain = result.standard_error[0] / np.sqrt(24 / 23 * 234 / 233)
    np.testing.assert_allclose(plain, [23.40, 30.39, 22.10], atol=0.005)
    assert (result.degrees_of_freedom == 23).all()


def test_the_norm_is_the_median(engel):
    at_half = lp_regression(*engel, tau=0.5).inference(*engel)
    norm = lp_regression(*engel).inference(*engel)
    np.testing.assert_allclose(norm.standard_error, at_half.standard_error, rtol=1e-9)
    column = lp_regression(engel[0], engel[1][:, None]).inference(engel[0], engel[1][:, None])
    assert column.standard_error.shape == (2, 1)
    np.testing.assert_array_equal(column.standard_error[:, 0], norm.standard_error)


# The definition -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["robust", "nid", "iid"])
@pytest.mark.parametrize("weights_are", [None, "analytic", "frequency"])
def test_equals_the_definition(kind, weights_are):
    rng = np.random.default_rng(11)
    A, b = design(rng, 150)
    w = None if weights_are is None else rng.integers(1, 5, 150).astype(float)
    taus = [0.3, 0.5, 0.8]
    fit = lp_regression(A, b, tau=taus, weights=w)
    options = {} if w is None else {"weights": w, "weights_are": weights_are}
    result = fit.inference(A, b, kind=kind, **options)
    expected = joint_covariance(
        A, b, lambda t: lp_regression(A, b, tau=t, weights=w).x, taus, kind=kind, weights=w,
        repeats=weights_are == "frequency",
    )  # fmt: skip
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-9)
    n = 150 if weights_are != "frequency" else int(w.sum())
    assert result.n_rows == n
    assert (result.degrees_of_freedom == n - 3).all()


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("weights_are", [None, "analytic", "frequency"])
def test_power_equals_the_definition(p, weights_are):
    rng = np.random.default_rng(12)
    A, b = design(rng, 80)
    w = None if weights_are is None else rng.integers(1, 5, 80).astype(float)
    fit = lp_regression(A, b, p, weights=w)
    options = {} if w is None else {"weights": w, "weights_are": weights_are}
    result = fit.inference(A, b, **options)
    repeats = weights_are == "frequency"
    expected = power_covariance(A, b, fit.x, p, weights=w, repeats=repeats)
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-7)
    if p == 2.0 and not repeats:
        from statsmodels.api import WLS

        peer = WLS(b, A, 1.0 if w is None else w).fit(cov_type="HC3")
        np.testing.assert_allclose(result.standard_error, peer.bse, rtol=1e-6)


def test_powell_is_a_kernel_estimate(engel):
    from scipy.stats import norm

    from tests.regression.inference_quantiles_reference import bandwidth

    A, b = engel
    fit = lp_regression(A, b, tau=0.3)
    u, h = b - A @ fit.x, bandwidth(235, 0.3)
    low, high = np.quantile(u, [0.25, 0.75], method="inverted_cdf")
    width = (norm.ppf(0.3 + h) - norm.ppf(0.3 - h)) * min(u.std(ddof=1), (high - low) / 1.34)
    D = (A.T * norm.pdf(u / width) / width) @ A
    expected = 0.21 * np.linalg.inv(D) @ (A.T @ A) @ np.linalg.inv(D)
    result = fit.inference(A, b, kind="powell")
    np.testing.assert_allclose(result.covariance, expected, rtol=1e-9)


# Invariances --------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["robust", "iid", "nid", "powell", "cluster"]),
    st.sampled_from([0.2, 0.5, 0.9]),
)
def test_frequencies_are_repeated_rows(seed, kind, tau):
    rng = np.random.default_rng(seed)
    A, b = design(rng, 60)
    w = rng.integers(0, 4, 60)
    rows = np.repeat(np.arange(60), w)
    groups = {"groups": rng.integers(0, 12, 60)} if kind == "cluster" else {}
    fit = lp_regression(A, b, tau=tau, weights=w)
    one = quiet(fit, A, b, kind=kind, weights=w, weights_are="frequency", **groups)
    fit = lp_regression(A[rows], b[rows], tau=tau)
    groups = {name: labels[rows] for name, labels in groups.items()}
    two = quiet(fit, A[rows], b[rows], kind=kind, **groups)
    np.testing.assert_allclose(one.standard_error, two.standard_error, rtol=1e-11)
    np.testing.assert_allclose(one.degrees_of_freedom, two.degrees_of_freedom, rtol=1e-11)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.2, 0.5, 0.9]), st.sampled_from(["robust", "nid"]))
def test_equivariance(seed, tau, kind):
    rng = np.random.default_rng(seed)
    A, b = design(rng, 80)
    T, c = rng.standard_normal((3, 3)) + 3 * np.eye(3), rng.standard_normal(3)
    one = quiet(lp_regression(A, b, tau=tau), A, b, kind=kind).covariance
    B, y = A @ T, 4.0 * b + A @ c
    two = quiet(lp_regression(B, y, tau=tau), B, y, kind=kind).covariance
    np.testing.assert_allclose(T @ two @ T.T, 16.0 * one, rtol=1e-6, atol=1e-9 * abs(one).max())


@pytest.mark.parametrize("scale", [2.0**900, 2.0**-900, 2.0**-400])
def test_scales_of_b(scale):
    A, b = design(np.random.default_rng(3), 90)
    one = lp_regression(A, b, tau=[0.4, 0.6]).inference(A, b)
    two = lp_regression(A, scale * b, tau=[0.4, 0.6]).inference(A, scale * b)
    np.testing.assert_allclose(two.standard_error, scale * one.standard_error, rtol=1e-9)


@pytest.mark.parametrize("kind", ["robust", "iid", "powell", "cluster"])
def test_scales_of_columns(kind):
    A, b = design(np.random.default_rng(4), 90)
    scale = np.array([2.0**480, 1.0, 2.0**-480])
    groups = {"groups": np.arange(90) // 5} if kind == "cluster" else {}
    one = lp_regression(A, b, tau=0.4).inference(A, b, kind=kind, **groups)
    two = lp_regression(A * scale, b, tau=0.4).inference(A * scale, b, kind=kind, **groups)
    np.testing.assert_allclose(two.standard_error * scale, one.standard_error, rtol=1e-9)


def test_scales_for_a_norm():
    A, b = design(np.random.default_rng(5), 90)
    for p in (1.5, 3.0):
        one = lp_regression(A, b, p).inference(A, b).standard_error
        for scale in (2.0**900, 2.0**-900):
            two = lp_regression(A, scale * b, p).inference(A, scale * b).standard_error
            np.testing.assert_allclose(two, scale * one, rtol=1e-6)


def test_weights_have_no_unit():
    A, b = design(np.random.default_rng(6), 90)
    w = np.random.default_rng(7).uniform(0.5, 2.0, 90)
    one = lp_regression(A, b, tau=0.4, weights=w).inference(A, b, weights=w)
    for scale in (2.0**300, 2.0**-300):
        fit = lp_regression(A, b, tau=0.4, weights=scale * w)
        two = fit.inference(A, b, weights=scale * w)
        np.testing.assert_allclose(two.standard_error, one.standard_error, rtol=1e-9)


def test_far_from_the_origin():
    A, b = design(np.random.default_rng(8), 200)
    one = lp_regression(A, b, tau=[0.25, 0.5]).inference(A, b).standard_error
    two = lp_regression(A, b + 1e9, tau=[0.25, 0.5]).inference(A, b + 1e9).standard_error
    np.testing.assert_allclose(two, one, rtol=1e-5)


def test_any_form_of_the_data():
    A, b = design(np.random.default_rng(9), 120)
    fit = lp_regression(A, b, tau=0.4)
    expected = fit.inference(A, b).standard_error
    for form in (np.asfortranarray, sparse.csr_array, sparse.coo_array, np.ndarray.tolist):
        np.testing.assert_allclose(fit.inference(form(A), b).standard_error, expected, rtol=1e-10)
    np.testing.assert_allclose(fit.inference(A, b[:, None]).standard_error, expected)
    single = A.astype(np.float32)
    fit = lp_regression(single, b, tau=0.4)
    double = lp_regression(single.astype(float), b, tau=0.4).inference(single.astype(float), b)
    np.testing.assert_allclose(fit.inference(single, b).standard_error, double.standard_error)
    again = pickle.loads(pickle.dumps(fit)).inference(single, b)
    np.testing.assert_array_equal(again.standard_error, fit.inference(single, b).standard_error)


@pytest.mark.parametrize("kind", ["robust", "iid", "nid", "powell", "cluster", "CR1"])
@pytest.mark.parametrize("weighted", [False, True])
def test_dask_equals_memory(kind, weighted):
    rng = np.random.default_rng(10)
    A, b = design(rng, 3000)
    w = rng.integers(0, 4, 3000).astype(float) if weighted else None
    groups = {"groups": rng.integers(0, 40, 3000)} if kind in ("cluster", "CR1") else {}
    lazy = da.from_array(A, chunks=(700, -1)), da.from_array(b, chunks=900)
    one = lp_regression(A, b, tau=[0.2, 0.5], weights=w)
    two = lp_regression(*lazy, tau=[0.2, 0.5], weights=w)
    expected = one.inference(A, b, kind=kind, weights=w, **groups)
    found = two.inference(*lazy, kind=kind, weights=w, **groups)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-8)


def test_dask_norm():
    A, b = design(np.random.default_rng(10), 2000)
    lazy = da.from_array(A, chunks=(700, -1)), da.from_array(b, chunks=900)
    one, two = (lp_regression(*data, 1.7, rtol=1e-13) for data in ((A, b), lazy))
    expected = one.inference(A, b).standard_error
    np.testing.assert_allclose(two.inference(*lazy).standard_error, expected, rtol=1e-4)


def test_lazy_quantiles_are_exact():
    from randla._tall.open import open_tall
    from randla.regression._errors import order_statistics

    rng = np.random.default_rng(13)
    n, levels = 70_000, np.array([[0.003, 0.5], [0.4, 0.9999]])
    values = np.round(rng.standard_cauchy((n, 2)), 2)
    kept, w = rng.random((n, 2)) < 0.9, rng.integers(0, 3, n).astype(float)
    memory, lazy = (open_tall(X) for X in (values, da.from_array(values, chunks=(9000, -1))))
    parts = [da.from_array(v, chunks=(9000, -1)[: v.ndim]) for v in (values, kept, w)]
    find = order_statistics.weighted_quantiles
    for weights in (None, 2):
        expected = find(memory, values, kept, w if weights else None, levels)
        found = find(lazy, parts[0], parts[1], parts[2] if weights else None, levels)
        np.testing.assert_array_equal(found, expected)
        for j in range(2):
            rows = kept[:, j]
            numpy = np.quantile(
                values[rows, j], levels[:, j], method="inverted_cdf",
                weights=w[rows] if weights else None,
            )  # fmt: skip
            np.testing.assert_array_equal(expected[:, j], numpy)


# Several quantiles --------------------------------------------------------------------------------


def test_quantiles_that_are_equal_or_near():
    A, b = design(np.random.default_rng(14), 300)
    taus = [0.5, 0.3, 0.5, 0.501]
    result = lp_regression(A, b, tau=taus).inference(A, b)
    one = lp_regression(A, b, tau=0.5).inference(A, b)
    error = result.standard_error
    np.testing.assert_allclose(error[:, 0], error[:, 2], rtol=1e-13)
    np.testing.assert_allclose(error[:, 0], one.standard_error, rtol=1e-12)
    np.testing.assert_allclose(result.covariance[:3, 6:9], result.covariance[:3, :3])
    alone = lp_regression(A, b, tau=0.501).inference(A, b)
    np.testing.assert_allclose(error[:, 3], alone.standard_error, rtol=1e-9)
    assert np.linalg.eigvalsh(result.covariance).min() > -1e-12


def test_fits_that_are_there_are_not_solved_again(monkeypatch):
    from randla.regression._errors.density import hall_sheather
    from randla.regression._lp import result, solve as solver

    A, b = design(np.random.default_rng(15), 300)
    h = hall_sheather(300, 0.5)
    fit = lp_regression(A, b, tau=[0.5 - h, 0.5, 0.5 + h])
    expected = fit.inference(A, b).standard_error[:, 1]
    solved = []
    solve = solver.coefficients

    def spy(*args, tau, **options):
        solved.extend(tau)
        return solve(*args, tau=tau, **options)

    monkeypatch.setattr(result, "coefficients", spy)
    found = fit.inference(A, b).standard_error[:, 1]
    np.testing.assert_array_equal(found, expected)
    assert 0.5 - h not in solved
    assert len(solved) == len(set(solved)) == 4
    assert solved == sorted(solved)


# Where there is no error --------------------------------------------------------------------------


def test_a_perfect_fit_has_no_error():
    A = np.column_stack([np.ones(40), np.arange(40.0)])
    for b in (A @ [1.0, 2.0], np.full(40, 3.0), np.zeros(40)):
        for options in ({"tau": [0.3, 0.5]}, {"p": 1.5}):
            fit = lp_regression(A, b, **options)
            for groups in (None,) if "p" in options else (None, np.arange(40) // 4):
                assert (quiet(fit, A, b, groups=groups).standard_error == 0.0).all()


def test_a_perfect_fit_of_a_lazy_array():
    A = np.column_stack([np.ones(3000), np.arange(3000.0)])
    lazy = da.from_array(A, chunks=(700, -1)), da.from_array(A @ [1.0, 2.0], chunks=700)
    assert (quiet(lp_regression(*lazy, tau=0.4), *lazy).standard_error == 0.0).all()


def test_a_rare_indicator_in_a_lazy_array():
    A, b = design(np.random.default_rng(16), 2000)
    A = np.column_stack([A, np.arange(2000) == 7])
    lazy = da.from_array(A, chunks=(600, -1)), da.from_array(b, chunks=900)
    for options in ({"tau": [0.3, 0.5]}, {"p": 2.0}):
        expected = quiet(lp_regression(A, b, **options), A, b).standard_error
        found = quiet(lp_regression(*lazy, **options), *lazy).standard_error
        np.testing.assert_allclose(found, expected, rtol=1e-7)
        assert np.isnan(found[3]).all()


def test_a_rare_indicator_in_the_tail():
    rng = np.random.default_rng(16)
    A, b = design(rng, 200)
    A = np.column_stack([A, np.arange(200) == 7])  # an indicator of one row
    fit = lp_regression(A, b, tau=0.5)
    with pytest.warns(InferenceWarning, match="no standard error for 'x3': at tau = 0.5"):
        result = fit.inference(A, b)
    assert np.isnan(result.standard_error).tolist() == [False, False, False, True]
    rest = np.delete(A, 7, axis=0)[:, :3]  # the sums of squared scores leave out that row
    D, _ = sandwich(A, b, lambda taus: lp_regression(A, b, tau=taus).x, 0.5)
    half = np.linalg.inv(D[:3, :3])
    expected = 0.25 * half @ rest.T @ rest @ half
    np.testing.assert_allclose(result.covariance[:3, :3], expected, rtol=1e-9)
    without = lp_regression(rest, np.delete(b, 7), tau=0.5).inference(rest, np.delete(b, 7))
    np.testing.assert_allclose(result.standard_error[:3], without.standard_error, rtol=0.02)


def test_dependent_columns():
    rng = np.random.default_rng(17)
    A, b = design(rng, 150)
    wide = np.column_stack([A, A[:, 1]])  # a column twice: of it only the sum is known
    for p, options in ((1, {"tau": 0.4}), (1.5, {})):
        fit = lp_regression(wide, b, p, **options)
        with pytest.warns(InferenceWarning, match="no standard error for 'x1', 'x3'"):
            result = fit.inference(wide, b)
        expected = lp_regression(A, b, p, **options).inference(A, b).standard_error
        np.testing.assert_allclose(result.standard_error[[0, 2]], expected[[0, 2]], rtol=1e-6)
        assert np.isnan(result.standard_error[[1, 3]]).all()
        assert (result.degrees_of_freedom == 147).all()
        fitted = result.predict(wide[:5]).standard_error  # which are known
        expected = lp_regression(A, b, p, **options).inference(A, b).predict(A[:5])
        np.testing.assert_allclose(fitted, expected.standard_error, rtol=1e-6)
        assert np.isnan(result.predict([[1.0, 1.0, 1.0, 2.0]]).standard_error).all()


def test_dependent_columns_and_clusters():
    rng = np.random.default_rng(17)
    A, b = design(rng, 150)
    wide, groups = np.column_stack([A, A[:, 1]]), np.arange(150) // 5
    for kind in ("cluster", "CR1"):
        expected = lp_regression(A, b, tau=0.4).inference(A, b, kind=kind, groups=groups)
        result = quiet(lp_regression(wide, b, tau=0.4), wide, b, kind=kind, groups=groups)
        error = result.standard_error
        np.testing.assert_allclose(error[[0, 2]], expected.standard_error[[0, 2]], rtol=1e-6)
        assert np.isnan(error[[1, 3]]).all()


def test_nearly_dependent_columns_keep_their_digits():
    rng = np.random.default_rng(18)
    A, b = design(rng, 150)
    B = A @ np.array([[1.0, 1.0, 0.0], [0.0, 1e-7, 0.0], [0.0, 0.0, 1.0]])
    one = lp_regression(A, b, tau=0.4).inference(A, b).covariance
    two = lp_regression(B, b, tau=0.4).inference(B, b).covariance
    np.testing.assert_allclose(two[1, 1], 1e14 * one[1, 1], rtol=1e-6)
    np.testing.assert_allclose(two[2, 2], one[2, 2], rtol=1e-6)


def test_a_row_that_stands_alone_in_a_norm():
    A, b = design(np.random.default_rng(19), 100)
    A = np.column_stack([A, np.arange(100) == 3])
    fit = lp_regression(A, b, 2.0)
    with pytest.warns(InferenceWarning, match="'x3'"):
        error = fit.inference(A, b).standard_error
    rest = np.delete(np.arange(100), 3)
    without = lp_regression(A[rest, :3], b[rest], 2.0).inference(A[rest, :3], b[rest])
    np.testing.assert_allclose(error[:3], without.standard_error, rtol=1e-8)
    assert np.isnan(error[3])


# Warnings and refusals ----------------------------------------------------------------------------


def test_warnings():
    rng = np.random.default_rng(20)
    A, b = design(rng, 100)
    with pytest.warns(InferenceWarning, match="only 5 rows lie beyond the fit of tau"):
        lp_regression(A, b, tau=0.95).inference(A, b)
    with pytest.warns(InferenceWarning) as caught:
        result = lp_regression(A, b, tau=0.95).inference(A, b)
    assert caught[0].filename == __file__  # the line of the caller
    assert "only 5 rows" in result.summary().lower()
    counts = rng.poisson(1.0, 300).astype(float)
    groups = np.eye(3)[rng.integers(0, 3, 300)]
    with pytest.warns(InferenceWarning, match="discrete"):
        lp_regression(groups, counts, tau=0.5).inference(groups, counts)
    zeros = np.where(np.arange(100) % 2 == 0, 0.0, b)  # the fit is zero, but for rounding errors
    with pytest.warns(InferenceWarning, match="discrete"):
        lp_regression(A, zeros, tau=0.2).inference(A, zeros, kind="iid")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        A, b = design(rng, 400)
        lp_regression(A, b, tau=0.5).inference(A, b)
        rounded = np.round(b, 1)
        lp_regression(A, rounded, tau=0.5).inference(A, rounded)


def test_other_data_are_refused():
    rng = np.random.default_rng(21)
    A, b = design(rng, 60)
    w = rng.uniform(0.5, 2.0, 60)
    order = rng.permutation(60)
    for options in ({"tau": 0.3}, {}, {"p": 1.5}, {"p": 3.0}):
        fit, weighted = (lp_regression(A, b, **options, weights=v) for v in (None, w))
        changed = b.copy()
        changed[5] += 0.01
        for data in ((A[order], b), (A, b[order]), (A[order], b[order]), (A, changed), (2 * A, b)):
            with pytest.raises(ValueError, match="not those of the fit"):
                fit.inference(*data)
        with pytest.raises(ValueError, match="not those of the fit"):
            fit.inference(A, b, weights=w)
        for weights in (None, w[order], 2.0 * w):
            with pytest.raises(ValueError, match="not those of the fit"):
                weighted.inference(A, b, weights=weights)
        with pytest.raises(ValueError, match="A must have"):
            fit.inference(A[:50], b[:50])
        with pytest.raises(ValueError, match="A must have"):
            fit.inference(A[:, :2], b)


def test_refusals():
    A, b = design(np.random.default_rng(22), 60)
    fit = lp_regression(A, b, tau=0.3)
    for data, name in (((), "A"), ((A,), "b")):
        with pytest.raises(ValueError, match=f"{name} must be given"):
            fit.inference(*data)
    for options, reason in (
        ({"p": np.inf}, "p = inf"),
        ({"l1": 0.1}, "l1 > 0"),
        ({"tau": 0.3, "method": "sample", "size": 40}, "method='sample'"),
        ({"p": 4.0}, "at most 3"),
    ):
        with pytest.raises(ValueError, match=reason):
            lp_regression(A, b, **options).inference(A, b)
    with pytest.raises(ValueError, match="kind must be 'bootstrap' for 1 < p"):
        lp_regression(A, b, 1.2).inference(A, b)
    with pytest.raises(ValueError, match="kind must be one of"):
        fit.inference(A, b, kind="HC3")
    with pytest.raises(ValueError, match="kind must be one of"):
        lp_regression(A, b, 1.5).inference(A, b, kind="iid")
    with pytest.raises(ValueError, match="groups"):
        fit.inference(A, b, kind="robust", groups=np.arange(60))
    with pytest.raises(ValueError, match="finite"):
        fit.inference(np.where(A == A[3, 1], np.nan, A), b)
    small = lp_regression(A[:3], b[:3], tau=0.3)
    with pytest.raises(ValueError, match="more rows"):
        small.inference(A[:3], b[:3])


def test_few_rows_give_numbers():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        A, b = design(rng, 5)
        for kind in ("robust", "iid", "nid", "powell"):
            result = quiet(lp_regression(A, b, tau=0.4), A, b, kind=kind)
            assert (result.standard_error[~np.isnan(result.standard_error)] >= 0.0).all()
