"""The bootstrap: each replicate is the fit with its weights; covariance, groups, seeds, limits."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse

from randla._panels import PANEL
from randla.regression import lp_regression, lstsq
from randla.regression._errors.data import FittedData
from randla.regression._errors.options import InferenceOptions, InferenceWarning
from randla.regression._resampling import bootstrap
from randla.regression._resampling.resampling import Weights
from randla.regression._resampling.vertex import FittedRows


def quiet(fit, A, b, rng=0, **options):
    """The inference, without warnings of few rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        return fit.inference(A, b, kind="bootstrap", rng=rng, **options)


def drawn(A, b, m, weights=None, repeats=False, groups=None, rng=0):
    """The weights (m, n) of the replicates."""
    data = FittedData.open(A, b, weights, repeats=repeats, groups=groups)
    options = InferenceOptions("bootstrap", repeats, m, np.random.default_rng(rng), False)
    factors = Weights.of(data, options).factors(slice(None))
    if weights is None:
        return factors
    out = np.zeros((m, len(b)))
    live = np.flatnonzero(weights)
    out[:, live] = factors * weights[live]
    return out


def design(rng, n, d, kind="plain"):
    A = np.column_stack([np.ones(n), rng.standard_normal((n, d - 1))])
    if kind == "indicator" and d > 1:
        A[:, 1] = rng.random(n) < 0.2
        A[:3, 1] = 1.0
    if kind == "skewed":
        A[:, 1:] = np.exp(A[:, 1:])
    noise = rng.standard_cauchy(n) if kind == "heavy" else rng.standard_normal(n)
    b = A.sum(axis=1) + (0.3 + abs(A[:, -1])) * noise
    return A, np.round(b, 1) if kind == "rounded" else b


# Each replicate -----------------------------------------------------------------------------------


def pinball(A, b, x, tau, w):
    r = b - A @ x
    return float(w @ np.maximum(tau * r, (tau - 1) * r))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(12, 400),
    d=st.integers(1, 6),
    tau=st.sampled_from([0.05, 0.3, 0.5, 0.9]),
    kind=st.sampled_from(["plain", "indicator", "skewed", "heavy", "rounded"]),
    weighted=st.booleans(),
)
def test_replicates_of_quantiles_are_full_fits(seed, n, d, tau, kind, weighted):
    rng = np.random.default_rng(seed)
    d = min(d, n // 4)
    A, b = design(rng, n, d, kind)
    w = rng.uniform(0.2, 2, n) if weighted else None
    result = quiet(lp_regression(A, b, tau=tau, weights=w), A, b, weights=w, n_replicates=5)
    for x, weight in zip(result.replicates, drawn(A, b, 5, w), strict=True):
        exact = lp_regression(A, b, tau=tau, weights=weight)
        if kind != "rounded":  # where the minimum is unique
            np.testing.assert_allclose(x, exact.x, rtol=1e-10, atol=1e-10 * abs(exact.x).max())
        assert pinball(A, b, x, tau, weight) <= exact.value * (1 + 1e-8)


@pytest.mark.parametrize("tau", [0.5, 0.95])
def test_few_rows_of_many_are_enough(tau):
    rng = np.random.default_rng(1)
    A, b = design(rng, 20_000, 6)
    data = FittedData.open(A, b)
    vertex = FittedRows.of(data).vertex(lp_regression(A, b, tau=tau).x, tau)
    assert vertex.near(6.0)[0].rows.n < 5_000
    result = quiet(lp_regression(A, b, tau=tau), A, b, n_replicates=8)
    for x, weight in zip(result.replicates, drawn(A, b, 8), strict=True):
        np.testing.assert_allclose(x, lp_regression(A, b, tau=tau, weights=weight).x, rtol=1e-10)


def test_too_narrow_bands_are_made_wider(monkeypatch):
    rng = np.random.default_rng(2)
    A, b = design(rng, 5_000, 3)
    fit = lp_regression(A, b, tau=[0.3, 0.5])
    expected = quiet(fit, A, b, n_replicates=20).replicates
    monkeypatch.setattr(bootstrap, "_LIMIT", 0.5)
    np.testing.assert_allclose(quiet(fit, A, b, n_replicates=20).replicates, expected, rtol=1e-12)


def test_without_a_vertex_the_solver_does_it(monkeypatch):
    rng = np.random.default_rng(3)
    A, b = design(rng, 200, 3)
    fit = lp_regression(A, b, tau=0.5)
    expected = quiet(fit, A, b, n_replicates=4).replicates
    monkeypatch.setattr(FittedRows, "vertex", lambda *_: None)
    np.testing.assert_allclose(quiet(fit, A, b, n_replicates=4).replicates, expected, rtol=1e-10)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_replicates_of_least_squares_are_full_fits(k, weighted):
    rng = np.random.default_rng(4)
    A, b = design(rng, 300, 4)
    B = b if k == 1 else np.column_stack([b, 1e3 + b**2])
    w = rng.uniform(0, 2, 300) * (rng.random(300) < 0.9) if weighted else None
    options = {} if w is None else {"weights": w}
    result = quiet(lstsq(A, B, **options), A, B, n_replicates=4, **options)
    for x, weight in zip(result.replicates, drawn(A, b, 4, w), strict=True):
        np.testing.assert_allclose(x, lstsq(A, B, weights=weight).x, rtol=1e-9)


@pytest.mark.parametrize("p", [1.1, 1.3, 1.5, 2.0, 2.5, 3.0])
def test_replicates_of_norms_are_full_fits(p):
    rng = np.random.default_rng(5)
    A, b = design(rng, 200, 3)
    w = rng.uniform(0.2, 2, 200)
    fit = lp_regression(A, b, p, weights=w)
    result = quiet(fit, A, b, weights=w, n_replicates=4)
    for x, weight in zip(result.replicates, drawn(A, b, 4, w), strict=True):
        exact = lp_regression(A, b, p, weights=weight, rtol=1e-13)
        norm = (weight @ abs(b - A @ x) ** p) ** (1 / p)
        assert norm <= exact.value * (1 + (1e-8 if p < 1.25 else 1e-10))
        np.testing.assert_allclose(x, exact.x, atol=2e-4 if p < 1.25 else 1e-5)


def test_many_columns():
    rng = np.random.default_rng(16)
    A, b = design(rng, 300, 60)
    for solve, options in ((lstsq, {}), (lp_regression, {"p": 2.5, "rtol": 1e-13})):
        result = quiet(solve(A, b, **options), A, b, n_replicates=3)
        for x, weight in zip(result.replicates, drawn(A, b, 3), strict=True):
            exact = solve(A, b, weights=weight, **options)
            np.testing.assert_allclose(x, exact.x, atol=1e-6)


def test_p_2_is_least_squares():
    A, b = design(np.random.default_rng(6), 100, 3)
    norm = quiet(lp_regression(A, b, 2), A, b, n_replicates=10)
    squares = quiet(lstsq(A, b), A, b, n_replicates=10)
    np.testing.assert_allclose(norm.replicates, squares.replicates, rtol=1e-8)


# The spread ---------------------------------------------------------------------------------------


def test_joint_covariance_and_intervals():
    A, b = design(np.random.default_rng(7), 400, 3)
    result = quiet(lp_regression(A, b, tau=[0.4, 0.5, 0.9]), A, b, n_replicates=150)
    assert result.replicates.shape == (150, 3, 3)
    flat = np.concatenate([result.replicates[:, :, q] for q in range(3)], axis=1)
    np.testing.assert_allclose(result.covariance, np.cov(flat.T), rtol=1e-10)
    np.testing.assert_allclose(result.standard_error, result.replicates.std(axis=0, ddof=1))
    assert (result.degrees_of_freedom == 149).all()  # of the spread, fewer than 397
    near = np.corrcoef(result.replicates[:, 1, 0], result.replicates[:, 1, 1])[0, 1]
    assert near > 0.5  # the same weights for all quantiles
    one = quiet(lp_regression(A, b, tau=0.5), A, b, n_replicates=150)
    np.testing.assert_array_equal(one.replicates, result.replicates[:, :, 1])
    assert result.equal_slopes().degrees_of_freedom[0] == 4
    assert quiet(lp_regression(A, b, tau=0.5), A, b, n_replicates=900).degrees_of_freedom[0] == 397


def test_groups_share_their_weight():
    rng = np.random.default_rng(8)
    A, b = design(rng, 240, 3)
    labels = np.array([f"g{i}" for i in rng.integers(0, 12, 240)])
    weights = drawn(A, b, 3, groups=labels)
    for label in set(labels):
        assert (np.ptp(weights[:, labels == label], axis=1) == 0.0).all()
    assert len(np.unique(weights[0])) == 12
    for fit in (lp_regression(A, b, tau=0.5), lstsq(A, b), lp_regression(A, b, 1.5)):
        result = quiet(fit, A, b, n_replicates=50, groups=labels)
        assert result.n_groups == 12
        assert (result.degrees_of_freedom == 11).all()
    exact = lstsq(A, b, weights=weights[0]).x
    found = quiet(lstsq(A, b), A, b, n_replicates=3, groups=labels).replicates[0]
    np.testing.assert_allclose(found, exact, rtol=1e-10)


@pytest.mark.parametrize("repeats", [False, True])
def test_a_replicate_has_the_same_weights_alone_and_among_others(repeats):
    A, b = np.ones((50, 1)), np.zeros(50)
    w = np.arange(1.0, 51.0)
    data = FittedData.open(A, b, w, repeats=repeats, groups=None)
    options = InferenceOptions("bootstrap", repeats, 6, np.random.default_rng(0), False)
    weights = Weights.of(data, options)
    every = weights.factors(slice(None)) * w
    for replicate in range(6):
        np.testing.assert_array_equal(weights.times(w, replicate), every[replicate])


def test_weights_are_standard_exponentials():
    A, b = np.ones((5000, 1)), np.zeros(5000)
    W = drawn(A, b, 40)
    assert (W > 0).all()
    assert abs(W.mean() - 1) < 6 / np.sqrt(W.size)
    assert abs((W**2).mean() - 2) < 6 * np.sqrt(20 / W.size)
    assert abs(np.corrcoef(W)[np.triu_indices(40, 1)]).max() < 6 / np.sqrt(5000)
    copies = np.full(5000, 4.0)
    of_copies = drawn(A, b, 40, copies, repeats=True) / 4  # means of four
    assert abs(of_copies.mean() - 1) < 6 / np.sqrt(4 * W.size)
    assert abs(of_copies.var() - 0.25) < 0.01


def test_frequencies_count_as_rows():
    rng = np.random.default_rng(9)
    A, b = design(rng, 80, 2)
    w = rng.integers(0, 5, 80)
    A2, b2 = np.repeat(A, w, axis=0), np.repeat(b, w)
    for fit, again in (
        (lstsq(A, b, weights=w), lstsq(A2, b2)),
        (lp_regression(A, b, tau=0.5, weights=w), lp_regression(A2, b2, tau=0.5)),
    ):
        result = quiet(fit, A, b, weights=w, weights_are="frequency", n_replicates=1500)
        repeated = quiet(again, A2, b2, n_replicates=1500, rng=1)
        np.testing.assert_array_equal(result.degrees_of_freedom, repeated.degrees_of_freedom)
        np.testing.assert_allclose(result.standard_error, repeated.standard_error, rtol=0.15)


# Seeds --------------------------------------------------------------------------------------------


def test_seeds_and_threads(each_thread_count):
    A, b = design(np.random.default_rng(10), 40 * PANEL, 3)
    for fit in (lp_regression(A, b, tau=0.5), lstsq(A, b), lp_regression(A, b, 1.5)):
        for found in each_thread_count(lambda fit=fit: quiet(fit, A, b, n_replicates=6)):
            np.testing.assert_array_equal(
                found.replicates, quiet(fit, A, b, n_replicates=6).replicates
            )
        more = quiet(fit, A, b, n_replicates=9).replicates[:6]  # replicate r is one of its own
        np.testing.assert_allclose(more, found.replicates, rtol=1e-12)
        assert not np.array_equal(quiet(fit, A, b, rng=1, n_replicates=6).replicates, more)
        generator = np.random.default_rng(0)
        first, second = (quiet(fit, A, b, rng=generator, n_replicates=6) for _ in range(2))
        np.testing.assert_array_equal(first.replicates, found.replicates)
        assert not np.array_equal(second.replicates, first.replicates)
        seeded = quiet(fit, A, b, rng=np.random.SeedSequence(0), n_replicates=6)
        np.testing.assert_array_equal(seeded.replicates, found.replicates)
        assert not np.array_equal(quiet(fit, A, b, rng=None, n_replicates=6).replicates, more)


def test_layouts_and_zero_weights():
    A, b = design(np.random.default_rng(11), 500, 3)
    for make in (lambda A, **o: lp_regression(A, b, tau=0.3, **o), lambda A, **o: lstsq(A, b, **o)):
        expected = quiet(make(A), A, b, n_replicates=5).replicates
        for other in (sparse.csr_array(A), np.asfortranarray(A), A[::-1][::-1]):
            found = quiet(make(other), other, b, n_replicates=5).replicates
            np.testing.assert_allclose(found, expected, rtol=1e-9)
        # The weight of a row is that of its number, whichever rows are left out.
        w = np.ones(500)
        w[100:] = 0.0
        full = drawn(A, b, 2)[0] * w
        found = quiet(make(A, weights=w), A, b, weights=w, n_replicates=2).replicates[0]
        np.testing.assert_allclose(found, make(A, weights=full).x, rtol=1e-9)


def test_dask():
    da = pytest.importorskip("dask.array")
    A, b = design(np.random.default_rng(12), 600, 3)
    lazy = da.from_array(A, chunks=(170, 3)), da.from_array(b, chunks=170)
    for make in (lstsq, lambda A, b: lp_regression(A, b, 2.5)):
        expected = quiet(make(A, b), A, b, n_replicates=5).replicates
        found = quiet(make(*lazy), *lazy, n_replicates=5).replicates
        np.testing.assert_allclose(found, expected, rtol=1e-7)
    labels = np.arange(600) // 20
    expected = quiet(lstsq(A, b), A, b, n_replicates=5, groups=labels).replicates
    found = quiet(lstsq(*lazy), *lazy, n_replicates=5, groups=labels).replicates
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    with pytest.raises(ValueError, match="A must be in memory for kind='bootstrap' of quantiles"):
        quiet(lp_regression(*lazy, tau=0.5), *lazy)


# Limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lstsq, lp_regression, lambda A, b: lp_regression(A, b, 1.5)])
def test_scales_ranks_and_perfect_fits(make):
    A, b = design(np.random.default_rng(13), 100, 3)
    error = quiet(make(A, b), A, b, n_replicates=30).standard_error
    for scale, unit in ((2.0**-300, 2.0**600), (2.0**300, 2.0**-600)):
        columns = np.array([1.0, scale, 4.0])
        found = quiet(make(A * columns, unit * b), A * columns, unit * b, n_replicates=30)
        np.testing.assert_allclose(found.standard_error / unit * columns, error, rtol=1e-5)
    wide = np.column_stack([A, A[:, 1] + A[:, 2]])
    with pytest.warns(InferenceWarning, match="x1"):
        found = make(wide, b).inference(wide, b, kind="bootstrap", n_replicates=30, rng=0)
    assert np.isnan(found.standard_error[1:]).all()
    assert np.isnan(found.replicates[:, 1:]).all()
    np.testing.assert_allclose(found.standard_error[0], error[0], rtol=1e-5)
    alone = np.column_stack([A, np.arange(100) == 7])
    with pytest.warns(InferenceWarning, match="'x3': one row alone"):
        found = make(alone, b).inference(alone, b, kind="bootstrap", n_replicates=30, rng=0)
    np.testing.assert_array_equal(np.isnan(found.standard_error), [False, False, False, True])
    for exact in (A @ [1.0, 2.0, 3.0], np.ones(100)):
        found = quiet(make(A, exact), A, exact, n_replicates=5)
        assert (found.standard_error == 0.0).all()
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.replicates, found.replicates)


def test_bad_input():
    A, b = design(np.random.default_rng(14), 30, 2)
    for fit in (lstsq(A, b), lp_regression(A, b, tau=0.5), lp_regression(A, b, 1.5)):
        with pytest.raises(ValueError, match="n_replicates must be at least 2"):
            quiet(fit, A, b, n_replicates=1)
        with pytest.raises(TypeError, match="rng must be"):
            quiet(fit, A, b, rng="seed")
        with pytest.raises(ValueError, match="groups must have at least two"):
            quiet(fit, A, b, groups=np.zeros(30))
        with pytest.raises(ValueError, match="not those of the fit"):
            quiet(fit, A, b[::-1])
        few = quiet(fit, A, b, n_replicates=2)
        assert "joint tests need more" in few.summary()


def test_progress(capsys):
    pytest.importorskip("tqdm")
    A, b = design(np.random.default_rng(15), 2000, 3)
    quiet(lp_regression(A, b, tau=0.5), A, b, progress=True, n_replicates=10)
