"""Both errors of an estimate from one sketch: twins, identities, and what is refused."""

import pickle
import warnings

import numpy as np
import pytest

from randla import GaussianSketch, KroneckerProduct, lstsq
from randla.regression._errors.options import InferenceWarning
from randla.sketching._inference import inverse_bias, squared_residual, variance_factor

SKETCHES = ("gaussian", "srht", "block-srht", "sparse-sign", "count")


def problem(n=600, d=4, *, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, d))
    A[:, 0] = 1.0
    scale = 0.3 + np.abs(A[:, 1])
    return A, A.sum(axis=1) + scale * rng.standard_normal(n)


def sketched(A, b, S, weights=None):
    """x', C, estimated |r|^2 and the covariance of the sketch, from the definition."""
    root = np.ones(len(b)) if weights is None else np.sqrt(weights)
    SA, Sb = S @ (A * root[:, None]), S @ (b * root)
    x, m, d = np.linalg.lstsq(SA, Sb, rcond=None)[0], len(SA), A.shape[1]
    C = np.linalg.inv(SA.T @ SA)
    r2 = squared_residual(((Sb - SA @ x) ** 2).sum(), m, d, S.population)
    return x, C, r2, variance_factor(m, d, S.population) * r2 * C


def hc3(X, r, G, leverage_of=None, share=1.0):
    """The sandwich, with its own leverages."""
    h = np.einsum("ij,jk,ik->i", X, G if leverage_of is None else leverage_of, X)
    u = r / (1.0 - h)
    return share * G @ (X.T * u**2) @ X @ G


# Twins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["iid", "robust", "HC0", "HC1", "HC3"])
def test_equals_its_definition(kind, weighted):
    (A, b), m = problem(), 80
    (n, d), S = A.shape, GaussianSketch(m, len(b), rng=1)
    w = np.random.default_rng(2).exponential(size=n) if weighted else None
    fit = lstsq(A, b, method="sketch-and-solve", sketch=S, weights=w)
    x, C, r2, algorithmic = sketched(A, b, S, w)
    root = np.ones(n) if w is None else np.sqrt(w)
    X, r = A * root[:, None], (b - A @ x) * root
    G_hat, G = C / inverse_bias(m, d, None), np.linalg.inv(X.T @ X)
    if kind == "iid":
        expected = r2 / (n - d) * G_hat
    elif kind in ("robust", "HC3"):
        expected = hc3(X, r, G, G_hat)
    else:
        expected = hc3(X, r, G, 0.0 * G) * (n / (n - d) if kind == "HC1" else 1.0)
    result = fit.inference(A, b, kind=kind, weights=w)
    np.testing.assert_allclose(result.covariance, expected + algorithmic, rtol=1e-9)
    np.testing.assert_allclose(result.algorithmic_error, fit.standard_error, rtol=1e-12)
    np.testing.assert_allclose(result.statistical_error, np.sqrt(np.diag(expected)), rtol=1e-9)
    squares = result.statistical_error**2 + result.algorithmic_error**2
    np.testing.assert_allclose(result.standard_error**2, squares, rtol=1e-12)


def test_all_rows_are_kept():
    """300 rows are kept: here all."""
    A, b = problem(250)
    S = GaussianSketch(60, 250, rng=1)
    fit = lstsq(A, b, method="sketch-and-solve", sketch=S)
    x, C, _, algorithmic = sketched(A, b, S)
    G_hat = C / inverse_bias(60, 4, None)
    result = fit.inference(kind="robust")
    np.testing.assert_allclose(result.covariance, hc3(A, b - A @ x, G_hat) + algorithmic, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_some_rows_are_kept(weighted):
    A, b = problem(5000)
    w = np.random.default_rng(2).exponential(size=5000) if weighted else None
    fit = lstsq(A, b, sketch_size=100, weights=w, rng=3)
    kept = fit.inference(kind="robust")
    passed = fit.inference(A, b, kind="robust", weights=w)
    ratio = kept.statistical_error / passed.statistical_error
    assert ((ratio > 0.7) & (ratio < 1.4)).all()  # a mean of 300 squares
    assert (kept.degrees_of_freedom < passed.degrees_of_freedom + 50).all()
    assert "300 rows of 5000" in " ".join(kept.summary().split())


@pytest.mark.parametrize("n_ones", [10, 40])  # of 20,000 rows: 0.15 and 0.6 of the 300 kept
def test_a_coefficient_that_few_rows_decide_needs_the_data(n_ones):
    A, b = problem(20_000)
    A[:, 3] = np.arange(20_000) % (20_000 // n_ones) == 7
    fit = lstsq(A, np.column_stack([b, -b]), sketch_size=400, rng=3)
    with pytest.warns(InferenceWarning, match="'x3': too few of the rows kept .* give A and b"):
        kept = fit.inference(kind="robust")
    assert np.isnan(kept.standard_error[3]).all()
    assert np.isfinite(kept.standard_error[:3]).all()
    passed = fit.inference(A, np.column_stack([b, -b]), kind="robust")
    assert np.isfinite(passed.standard_error).all()


@pytest.mark.parametrize("sketch", SKETCHES)
@pytest.mark.parametrize("kind", ["CR1", "CR2", "cluster"])
def test_groups_have_the_errors_of_the_exact_fit(sketch, kind):
    A, b = problem()
    groups = np.random.default_rng(4).integers(30, size=600)
    fit = lstsq(A, b, sketch_size=60, sketch=sketch, rng=1)
    result = fit.inference(A, b, kind=kind, groups=groups)
    exact = lstsq(A, b).inference(A, b, kind=kind, groups=groups)
    np.testing.assert_allclose(result.statistical_error, exact.statistical_error, rtol=1e-9)
    v1, v2 = exact.standard_error**2, fit.standard_error**2
    df = (v1 + v2) ** 2 / (v1**2 / exact.degrees_of_freedom + v2**2 / fit.degrees_of_freedom)
    np.testing.assert_allclose(result.degrees_of_freedom, df, rtol=1e-9)


def test_the_bootstrap_refits_exactly():
    A, b = problem()
    fit = lstsq(A, b, sketch_size=60, rng=1)
    ours, exact = (f.inference(A, b, kind="bootstrap", rng=3) for f in (fit, lstsq(A, b)))
    np.testing.assert_allclose(ours.replicates, exact.replicates, rtol=1e-9)
    np.testing.assert_allclose(ours.statistical_error, exact.statistical_error, rtol=1e-9)
    np.testing.assert_allclose(ours.algorithmic_error, fit.standard_error, rtol=1e-12)


@pytest.mark.parametrize("kind", ["robust", "HC2", "HC0"])
def test_rows_of_large_leverage_make_it_exact(kind):
    A, b = problem()
    A[7, 2] = 40.0
    fit = lstsq(A, b, sketch_size=60, rng=1)
    result, exact = fit.inference(A, b, kind=kind), lstsq(A, b).inference(A, b, kind=kind)
    np.testing.assert_allclose(result.statistical_error, exact.statistical_error, rtol=1e-9)


def test_a_row_with_a_column_of_its_own():
    A, b = problem()
    A[:, 3] = 0.0
    A[5, 3] = 1.0
    fit = lstsq(A, b, sketch_size=60, sketch="gaussian", rng=1)
    with pytest.warns(InferenceWarning, match="x3"):
        result = fit.inference(A, b)
    assert np.isnan(result.standard_error).tolist() == [False, False, False, True]


def test_frequency_weights():
    A, b = problem()
    counts = np.random.default_rng(5).integers(0, 4, 600)
    groups = np.arange(600) % 25
    A[3, 2], counts[3] = 60.0, 1  # a large leverage, so that rows are looked at exactly, too
    fit, exact = lstsq(A, b, sketch_size=90, weights=counts, rng=1), lstsq(A, b, weights=counts)
    for options in ({"kind": "robust"}, {"kind": "HC1"}, {"groups": groups}):
        options |= {"weights": counts, "weights_are": "frequency"}
        ours, theirs = fit.inference(A, b, **options), exact.inference(A, b, **options)
        assert ours.n_rows == counts.sum()
        np.testing.assert_allclose(ours.statistical_error, theirs.statistical_error, rtol=1e-8)
    iid = fit.inference(A, b, kind="iid", weights=counts, weights_are="frequency")
    analytic = fit.inference(A, b, kind="iid", weights=counts)
    ratio = np.sqrt(((counts > 0).sum() - 4) / (counts.sum() - 4))
    np.testing.assert_allclose(iid.statistical_error, ratio * analytic.statistical_error)


@pytest.mark.parametrize("kind", ["HC0", "HC3", "robust"])
def test_frequency_weights_in_one_pass(kind):
    A, b = problem()
    counts = np.random.default_rng(5).integers(0, 4, 600)
    S = GaussianSketch(80, 600, rng=1)
    fit = lstsq(A, b, method="sketch-and-solve", sketch=S, weights=counts)
    x, C, _, _ = sketched(A, b, S, counts)
    G_hat, G = C / inverse_bias(80, 4, None), np.linalg.inv(A.T @ (counts[:, None] * A))
    rows = np.repeat(np.arange(600), counts)
    expected = hc3(A[rows], (b - A @ x)[rows], G, 0.0 * G if kind == "HC0" else G_hat)
    result = fit.inference(A, b, kind=kind, weights=counts, weights_are="frequency")
    np.testing.assert_allclose(result.statistical_error, np.sqrt(np.diag(expected)), rtol=1e-9)


def test_several_right_hand_sides_together():
    A, b = problem(1000)
    B = np.column_stack([b, 1e3 * b[::-1]])
    fit = lstsq(A, B, sketch_size=80, rng=2)
    for kind, data in (("iid", ()), ("robust", ()), ("robust", (A, B))):
        result = fit.inference(*data, kind=kind)
        assert result.covariance.shape == (8, 8)
        for j in range(2):
            alone = lstsq(A, B[:, j], sketch_size=80, rng=2)
            other = alone.inference(*(() if not data else (A, B[:, j])), kind=kind)
            block = result.covariance[4 * j : 4 * j + 4, 4 * j : 4 * j + 4]
            np.testing.assert_allclose(block, other.covariance, rtol=1e-9)
            np.testing.assert_allclose(
                result.degrees_of_freedom[:, j], other.degrees_of_freedom, rtol=1e-9
            )
        np.testing.assert_allclose(result.covariance, result.covariance.T, rtol=1e-12)


# Identities --------------------------------------------------------------------------------------


def test_the_total_of_a_gaussian_sketch():
    A, b = problem()
    fit = lstsq(A, b, sketch_size=70, sketch="gaussian", rng=1)
    result = fit.inference(kind="iid")
    expected = fit.standard_error * np.sqrt(1 + (70 - 4 - 1) / (600 - 4))
    np.testing.assert_allclose(result.standard_error, expected, rtol=1e-12)
    assert (result.degrees_of_freedom == 66).all()


def test_all_rows_of_an_orthogonal_sketch_are_least_squares():
    A, b = problem(512)
    result = lstsq(A, b, sketch_size=512, sketch="srht", rng=1).inference(kind="iid")
    exact = lstsq(A, b).inference(A, b, kind="iid")
    np.testing.assert_allclose(result.standard_error, exact.standard_error, rtol=1e-9)
    np.testing.assert_allclose(result.algorithmic_error, 0.0, atol=1e-12)
    np.testing.assert_allclose(result.degrees_of_freedom, exact.degrees_of_freedom)


@pytest.mark.parametrize("sketch", SKETCHES)
def test_scales_of_columns_and_b(sketch):
    A, b = problem()
    scale = 2.0 ** np.array([-400, 0, 400, 10])
    groups = np.arange(600) % 20
    plain = lstsq(A, b, sketch_size=60, sketch=sketch, rng=1)
    other = lstsq(A * scale, 2.0**-60 * b, sketch_size=60, sketch=sketch, rng=1)
    for options, data in (
        ({"kind": "iid"}, 0),
        ({"kind": "robust"}, 0),
        ({}, 1),
        ({"groups": groups}, 1),
    ):
        expected = plain.inference(*((A, b) if data else ()), **options)
        found = other.inference(*((A * scale, 2.0**-60 * b) if data else ()), **options)
        for name in ("statistical_error", "algorithmic_error", "standard_error"):
            ours = getattr(found, name) * scale * 2.0**60
            np.testing.assert_allclose(ours, getattr(expected, name), rtol=1e-9)
        np.testing.assert_allclose(found.degrees_of_freedom, expected.degrees_of_freedom)


def test_a_dependent_column():
    A, b = problem()
    fit = lstsq(np.column_stack([A, A[:, 2]]), b, sketch_size=60, rng=1)
    alone = lstsq(A, b, sketch_size=60, rng=1)
    with pytest.warns(InferenceWarning, match="x2.*x4|x4"):
        result = fit.inference(kind="iid")
    expected = alone.inference(kind="iid").standard_error
    np.testing.assert_allclose(result.standard_error[[0, 1, 3]], expected[[0, 1, 3]], rtol=1e-8)
    assert np.isnan(result.standard_error[[2, 4]]).all()


def test_a_perfect_fit():
    A, _ = problem()
    fit = lstsq(A, A @ np.arange(1.0, 5.0), sketch_size=60, rng=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in ((), (A, A @ np.arange(1.0, 5.0))):
            for kind in ("iid", "robust"):
                assert (fit.inference(*data, kind=kind).standard_error < 1e-12).all()


def test_results_that_were_pickled():
    A, b = problem(900)
    fit = lstsq(A, b, sketch_size=60, rng=1)
    other = pickle.loads(pickle.dumps(fit))
    for kind, data in (("iid", ()), ("robust", ()), ("robust", (A, b))):
        expected, found = fit.inference(*data, kind=kind), other.inference(*data, kind=kind)
        np.testing.assert_array_equal(found.covariance, expected.covariance)


# Dask --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1.0, 1e200])
def test_dask_keeps_the_same_rows(weighted, size):
    da = pytest.importorskip("dask.array")
    A, b = problem(1500)
    b = size * b
    w = np.random.default_rng(2).exponential(size=1500) if weighted else None
    lazy = [da.from_array(v, chunks=(400, *v.shape[1:])) for v in (A, b)]
    lazy_w = None if w is None else da.from_array(w, chunks=(400,))
    fit = lstsq(A, b, sketch_size=70, sketch="gaussian", weights=w, rng=1)
    other = lstsq(*lazy, sketch_size=70, sketch="gaussian", weights=lazy_w, rng=1)
    assert other.n_passes == fit.n_passes
    for kind in ("iid", "robust"):
        expected, found = fit.inference(kind=kind), other.inference(kind=kind)
        np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-9)
    expected = fit.inference(A, b, weights=w)
    found = other.inference(*lazy, weights=lazy_w)
    np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-9)


# What is said, and what is refused ---------------------------------------------------------------


def test_what_the_assumption_of_one_variance_is_worth():
    A, b = problem()
    said = {
        (sketch, m): " ".join(
            lstsq(A, b, sketch_size=m, sketch=sketch, rng=1).inference(kind="iid")._notes
        )
        for sketch, m in (("srht", 20), ("srht", 60), ("count", 20))
    }
    assert said["srht", 20] == ""
    assert "60 rows for 600" in said["srht", 60]
    assert "sparse sketch" in said["count", 20]


@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
def test_other_kinds_need_the_data(kind):
    A, b = problem()
    fit = lstsq(A, b, sketch_size=60, rng=1)
    expected = f"A and b .* must be given again for kind='{kind}'.*'iid', .* and 'robust' need none"
    with pytest.raises(ValueError, match=expected):
        fit.inference(kind=kind)


@pytest.mark.parametrize("options", [{"kind": "robust"}, {"groups": np.arange(600) % 20}])
def test_other_data_than_those_of_the_fit(options):
    A, b = problem()
    order = np.random.default_rng(6).permutation(600)
    fit = lstsq(A, b, sketch_size=60, rng=1)
    for other in ((A, b[order]), (A[order], b), (A, b[::-1]), (A, 4.0 * b), (0.0 * A, b)):
        with pytest.raises(ValueError, match="are not those of the fit"):
            fit.inference(*other, **options)


def test_an_operator_has_no_rows_to_keep():
    rng = np.random.default_rng(7)
    A = KroneckerProduct(rng.standard_normal((30, 2)), rng.standard_normal((40, 3)))
    b = rng.standard_normal(1200)
    fit = lstsq(A, b, sketch_size=100, rng=1)
    assert np.isfinite(fit.inference(kind="iid").standard_error).all()
    with pytest.raises(ValueError, match=r"A and b .* must be given"):
        fit.inference(kind="robust")


def test_a_ridge_is_refused():
    A, b = problem()
    with pytest.raises(ValueError, match="ridge must be 0"):
        lstsq(A, b, sketch_size=60, ridge=1.0, rng=1).inference(kind="iid")
