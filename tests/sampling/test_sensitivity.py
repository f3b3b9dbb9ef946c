"""Sensitivities against linear programs, smooth solvers and brute force, and their bounds."""

import itertools
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from randla._panels import PANEL
from randla._tall.dense import DenseMatrix
from randla.datasets import engel
from randla.sampling import (
    leverage_scores,
    lewis_weights,
    lp_sensitivities,
    max_sensitivity,
    total_sensitivity,
)
from randla.sampling._kernels.sensitivity_power import dual_norm
from randla.sampling._scores import bounds as bounds_module
from randla.sampling._scores.bounds import row_seconds, sensitivity_bounds
from randla.sampling._scores.result import NotConvergedWarning
from randla.sampling._scores.sensitivity import exact_rows, full_solver, pilot
from randla.sampling._scores.sensitivity_max import _one_row
from tests.sampling import reference
from tests.sampling.matrices import MATRICES
from tests.statistical import claim

each_matrix = pytest.mark.parametrize("A", MATRICES.values(), ids=MATRICES)


def some_rows(A, p, k=5):
    """The heaviest rows and a few others."""
    upper = np.asarray(lp_sensitivities(A, p, method="bound"))
    rng = np.random.default_rng(0)
    return np.unique(np.r_[np.argsort(-upper)[:2], rng.integers(len(A), size=k - 2)])


@each_matrix
def test_p_one_equals_linear_programs(A):
    rows = some_rows(A, 1)
    scores = lp_sensitivities(A, 1, rows=rows, rtol=1e-7)
    truth = [reference.sensitivity_one(A / np.abs(A).max(0), i) for i in rows]
    np.testing.assert_allclose(scores, truth, rtol=2e-7)
    assert scores.certified
    assert scores.residual <= 1e-7


@pytest.mark.parametrize("name", [n for n in MATRICES if n not in ("own column", "one column")])
@pytest.mark.parametrize("p", [1.3, 1.5, 3, 4, 6])
def test_other_powers_equal_a_smooth_solver(name, p):
    A = MATRICES[name]
    rows = some_rows(A, p, 4)
    scores = lp_sensitivities(A, p, rows=rows, rtol=1e-6)
    truth = np.array([reference.sensitivity(A, p, i) for i in rows])
    assert (truth <= scores.upper * (1 + 1e-9)).all()  # the solver can only stop too low
    np.testing.assert_allclose(scores, truth, rtol=1e-4)
    assert scores.certified


@pytest.mark.parametrize("name", ["gaussian", "pareto 0.7", "groups", "collinear", "square"])
def test_p_inf_equals_linear_programs(name):
    A = MATRICES[name]
    rows = np.arange(0, len(A), max(len(A) // 6, 1))
    scores = lp_sensitivities(A, np.inf, rows=rows, rtol=1e-7)
    scaled = A / np.abs(A).max(0)
    truth = [reference.sensitivity_max(scaled, i) for i in rows]
    np.testing.assert_allclose(scores, truth, rtol=1e-5 if name == "collinear" else 2e-7)
    assert scores.certified
    bound = lp_sensitivities(A, np.inf, rows=rows, method="bound")
    assert (bound.lower <= scores.upper).all()
    assert (bound == 1).all()


@pytest.mark.parametrize("p", [1, 1.5, 3, np.inf])
def test_two_columns_by_brute_force(p):
    A = MATRICES["pareto 2"][:40, :2]
    scores = lp_sensitivities(A, p, rtol=1e-6)
    for i in (0, 7, int(np.argmax(scores))):
        assert reference.sensitivity_by_search(A, p, i) == pytest.approx(scores[i], rel=1e-5)


@each_matrix
@pytest.mark.parametrize("p", [1, 1.2, 1.5, 3, 4, 6, 10])
def test_every_interval_is_valid_and_every_row_is_solved(A, p):
    """Exact, rough and bound intervals of the same number overlap; sketches lie in theirs."""
    exact = lp_sensitivities(A, p, method="exact", rtol=1e-6)
    assert exact.certified
    rough = lp_sensitivities(A, p, method="exact", rtol=0.3)
    bound = lp_sensitivities(A, p, method="bound")
    sketch = lp_sensitivities(A, p, method="sketch", rng=0)
    for scores in (exact, rough, bound, sketch):
        assert (scores.lower <= exact.upper).all()
        assert (exact.lower <= scores.upper).all()
        assert (scores.lower <= scores).all()
        assert (scores <= scores.upper).all()
        assert (scores.upper <= 1).all()
    assert bound.certified
    np.testing.assert_array_equal(bound.upper, bound)
    d, tight = A.shape[1], 1.25  # weights of residual 0.1 cost a little
    assert (bound <= bound.lower * d ** abs(1 - p / 2) * tight ** max(p, 1)).all()
    assert min(d, d ** (p / 2)) * (1 - 1e-5) <= exact.sum() <= max(d, d ** (p / 2)) * (1 + 1e-5)
    tau = leverage_scores(A) ** (p / 2)
    assert (exact.lower <= tau * (1 + 1e-6)).all() if p <= 2 else (exact.upper >= tau * 0.999).all()


@each_matrix
@pytest.mark.parametrize("p", [1, 1.5, 3, 6])
def test_sandwich_of_lewis_weights(A, p):
    w, s = lewis_weights(A, p, rtol=1e-8), lp_sensitivities(A, p, rtol=1e-6)
    ratio = A.shape[1] ** abs(p / 2 - 1)
    small, large = (w / ratio, w) if p <= 2 else (w, w * ratio)
    assert (small <= s * (1 + 1e-5)).all()
    assert (s <= large * (1 + 1e-5)).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    p=st.sampled_from([1, 1.2, 1.5, 1.9, 2.5, 3, 4, 8]),
    noise=st.floats(0, 4),
    name=st.sampled_from(["gaussian", "pareto 0.7", "groups", "positive", "square"]),
)
def test_bounds_hold_for_any_weights(seed, p, noise, name):
    A = MATRICES[name]
    rng = np.random.default_rng(seed)
    exact = lp_sensitivities(A, p, rtol=1e-4)
    w = np.asarray(lewis_weights(A, p, rtol=0.1)) * np.exp(noise * rng.standard_normal(len(A)))
    lower, upper = reference.bounds_from_weights(A, p, w ** (1 - 2 / p))
    assert (lower <= exact.upper * (1 + 1e-6)).all()
    assert (exact.lower <= upper * (1 + 1e-6)).all()


@each_matrix
@pytest.mark.parametrize("p", [1, 1.5, 3, 6])
def test_bounds_and_norm_constant_are_those_of_the_formula(A, p):
    bounds = sensitivity_bounds(DenseMatrix(A), p)
    v = bounds.state.row_scale**2
    lower, upper = reference.bounds_from_weights(np.linalg.qr(A)[0], p, v)
    tau = np.asarray(leverage_scores(A)) ** (p / 2)
    if p < 2:
        upper = np.minimum(upper, tau)
    else:
        lower = np.maximum(lower, tau)
    np.testing.assert_allclose(bounds.lower, lower, rtol=1e-5)
    np.testing.assert_allclose(bounds.upper, np.minimum(upper, 1), rtol=1e-5)
    X = A @ bounds.state.white.transform
    for x in np.random.default_rng(0).standard_normal((200, X.shape[1])):
        assert np.linalg.norm(x) <= bounds.kappa * np.linalg.norm(X @ x, p) * (1 + 1e-9)


COLUMN = np.array([[1.0], [-2.0], [5.0], [0.0]])


@pytest.mark.parametrize("method", ["exact", "bound", "sketch"])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 10])
def test_shares_of_one_column(p, method):
    powers = np.abs(COLUMN[:, 0]) ** p
    scores = lp_sensitivities(COLUMN, p, method=method, rtol=1e-9)
    rtol = 1e-2 if method == "sketch" else 1e-9
    np.testing.assert_allclose(scores, powers / powers.sum(), rtol=rtol)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 10])
def test_copies_of_the_identity_and_a_row_with_a_column_of_its_own(p):
    copies = np.tile(np.eye(3), (5, 1))
    np.testing.assert_allclose(lp_sensitivities(copies, p, rtol=1e-6), 0.2, rtol=1e-6)
    own = lp_sensitivities(MATRICES["own column"], p, rtol=1e-6)
    assert own[7] > 1 - 1e-6
    assert own.upper[7] == 1


def test_largest_shares_of_one_column():
    np.testing.assert_allclose(lp_sensitivities(COLUMN, np.inf), [0.2, 0.4, 1, 0], rtol=1e-9)


@pytest.mark.parametrize(("p", "total"), [(1, 1.60), (1.5, 1.82), (3, 2.29), (4, 2.48)])
def test_total_of_engels_data(p, total):
    """Values that an independent implementation found for these data, to the digits given."""
    data = engel()
    A = np.c_[np.ones(len(data.income)), data.income]
    assert abs(lp_sensitivities(A, p, rtol=1e-6).sum() - total) < 0.005
    assert p > 1 or abs(max_sensitivity(A, 1).value - 0.051) < 0.0005


@pytest.mark.parametrize("weight", [1e2, 1e6, 1e12])
@pytest.mark.parametrize("p", [1, 1.5, 3, 6])
def test_heavy_rows_up_to_a_full_share(weight, p):
    rng = np.random.default_rng(1)
    A = rng.standard_normal((120, 4))
    A[5] *= weight
    scores = lp_sensitivities(A, p, rows=[5, 6], rtol=1e-6)
    others = lp_sensitivities(np.delete(A, 5, 0), p, rtol=1e-6)
    # without it the row's ratio t is known by scaling, and s = t / (1 + t)
    unit = A.copy()
    unit[5] /= weight
    s = lp_sensitivities(unit, p, rows=[5], rtol=1e-8)[0]
    t = s / (1 - s) * weight**p
    assert scores.lower[0] * (1 - 1e-9) <= t / (1 + t) <= scores.upper[0] * (1 + 1e-9)
    assert scores[1] <= others[5] * (1 + 1e-5)  # more rows, less sensitivity


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    p=st.sampled_from([1, 1.5, 3, 5]),
    copies=st.integers(2, 4),
)
def test_invariances(seed, p, copies):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((30, 3)) * np.exp(rng.standard_normal((30, 1)))
    s = np.asarray(lp_sensitivities(A, p, rtol=1e-6))
    order, signs = rng.permutation(30), rng.choice([-1.0, 1.0], 30)[:, None]
    moved = (signs * A)[order] @ rng.standard_normal((3, 3))
    np.testing.assert_allclose(lp_sensitivities(moved, p, rtol=1e-6), s[order], rtol=1e-5)
    split = np.r_[A[1:], np.repeat(A[:1], copies, 0) / copies ** (1 / p)]
    parts = lp_sensitivities(split, p, rtol=1e-6)
    np.testing.assert_allclose(parts[:29], s[1:], rtol=1e-5)
    np.testing.assert_allclose(parts[29:].sum(), s[0], rtol=1e-5)
    fewer = lp_sensitivities(A[:20], p, rtol=1e-6)
    assert (fewer >= s[:20] * (1 - 1e-5)).all()
    steeper = lp_sensitivities(A, p + 1, rtol=1e-6)
    assert (steeper >= s ** ((p + 1) / p) * (1 - 1e-5)).all()


@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_zero_rows_dependent_columns_and_some_rows(p):
    A = MATRICES["pareto 2"][:100]
    s = np.asarray(lp_sensitivities(A, p, rtol=1e-6))
    spoiled = np.insert(np.c_[A, A[:, :2], np.zeros(100)], [0, 50], 0.0, axis=0)
    padded = np.insert(s, [0, 50], 0.0)
    for method in ("exact", "bound", "sketch"):
        scores = lp_sensitivities(spoiled, p, method=method, rng=0, rtol=1e-6)
        assert scores[0] == scores[51] == scores.upper[0] == 0
        if method == "exact":
            np.testing.assert_allclose(scores, padded, rtol=1e-5)
    np.testing.assert_allclose(
        lp_sensitivities(A, p, rows=[3, -1], rtol=1e-6), s[[3, -1]], rtol=2e-6
    )
    mask = np.arange(100) < 4
    np.testing.assert_allclose(lp_sensitivities(A, p, rows=mask, rtol=1e-6), s[:4], rtol=2e-6)
    assert len(lp_sensitivities(A, p, rows=[])) == 0
    assert (lp_sensitivities(np.zeros((4, 2)), p) == 0).all()
    assert (lp_sensitivities(A[:4], p, rtol=1e-6) > 1 - 1e-6).all()  # as many rows as columns


def test_estimates_from_a_sample_are_near():
    A = MATRICES["pareto 2"]
    big = np.vstack([A * np.random.default_rng(k).choice([-1.0, 1.0], A.shape) for k in range(8)])
    for p, spread in ((1, 1.5), (1.5, 1.5), (3, 1.7), (4, 2.0)):
        sketch = lp_sensitivities(big, p, method="sketch", rng=1)
        exact = lp_sensitivities(big, p, method="exact")
        ratio = sketch / exact
        assert 1 / spread < ratio.min() < ratio.max() < spread
        assert not sketch.certified
        again = lp_sensitivities(big, p, method="sketch", rng=1, rows=[5, 1000])
        np.testing.assert_allclose(again, sketch[[5, 1000]], rtol=1e-6)


@pytest.mark.parametrize("p", [1, 1.5, 4])
def test_automatic_choice_counts_iterations(p, monkeypatch):
    """Rows of heavy tails need more of them, so that fewer rows are solved exactly."""
    # A patch, as the limit is ten seconds of work.
    rng = np.random.default_rng(1)
    light, heavy = rng.standard_normal((2000, 5)), rng.standard_t(1, (2000, 5))
    for budget, kinds in {
        6.0 if p == 1 else 1.6: ("sensitivity", "sensitivity-sketch"),
        1e4: ("sensitivity", "sensitivity"),
    }.items():  # iterations of each of the rows
        affordable = budget * 2000 * row_seconds(2000, 5, p)
        monkeypatch.setattr("randla.sampling._scores.sensitivity._AFFORDABLE", affordable)
        for A, kind in zip((light, heavy), kinds, strict=True):
            assert lp_sensitivities(A, p, rng=0).kind == kind
    assert len(pilot(2000)) == 64
    monkeypatch.setattr("randla.sampling._scores.sensitivity._AFFORDABLE", 0.0)
    assert lp_sensitivities(heavy, p, rng=0).kind == "sensitivity-bound"
    assert lp_sensitivities(heavy, 2, rng=0).kind == "sensitivity"


def test_automatic_choice_in_the_maximum_norm():
    assert lp_sensitivities(np.ones((10_001, 1)), np.inf).kind == "sensitivity-bound"
    A = MATRICES["gaussian"]
    assert lp_sensitivities(A, 1).kind == "sensitivity"
    with pytest.raises(ValueError, match="method must be"):
        lp_sensitivities(A, np.inf, method="sketch")


def test_powers_near_one_say_how_far_they_came():
    A = MATRICES["groups"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for p in (1.01, 1.02, 1.05):
            scores = lp_sensitivities(A, p, rtol=1e-6)
            bound = lp_sensitivities(A, p, method="bound")
            assert (scores.lower <= bound.upper).all()
            assert (bound.lower <= scores.upper).all()
            assert scores.certified == (scores.residual <= 1e-6)
            one = lp_sensitivities(A, 1, rtol=1e-6)
            assert (one.lower**p <= scores.upper * (1 + 1e-9)).all()
    assert all(issubclass(w.category, NotConvergedWarning) for w in caught)


@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_the_sizes_up_to_which_all_rows_are_certified(p):
    """Those that the table of docs/sampling.rst names, of three iterations a row."""
    assert 3 * 10_000 * row_seconds(10_000, 16, p) < 10.0


def test_a_warning_points_to_the_call():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((120, 3)) * rng.pareto(1.2, (120, 1))
    with pytest.warns(NotConvergedWarning, match="not rtol=1e-15") as caught:
        lp_sensitivities(A, 1.02, rows=[0, 1], rtol=1e-15)
    with pytest.warns(NotConvergedWarning, match="not rtol=1e-06") as through_another:
        total_sensitivity(A, 1.02, n_draws=len(A))
    assert caught[0].filename == through_another[0].filename == __file__


@pytest.mark.parametrize("p", [1, 1.5, 3, 6])
@pytest.mark.parametrize("name", ["pareto 2", "positive", "groups"])
def test_the_largest(name, p):
    A = MATRICES[name]
    scores = lp_sensitivities(A, p, rtol=1e-7)
    best = max_sensitivity(A, p, rtol=1e-7)
    assert best.value == pytest.approx(scores.max(), rel=1e-6)
    assert best.lower <= scores.upper.max()
    assert scores.lower.max() <= best.upper
    assert scores[best.row] == pytest.approx(best.value, rel=1e-6)
    assert float(best) == best.value


@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_rows_that_are_left_early_keep_valid_bounds(p):
    A = MATRICES["gaussian"]
    bounds = sensitivity_bounds(DenseMatrix(A), p)
    low, high, early = exact_rows(bounds, None, 1e-6, cutoff=float(np.median(bounds.upper)) / 2)
    exact = lp_sensitivities(A, p, rtol=1e-6)
    assert (low <= exact.upper).all()
    assert (exact.lower <= high).all()
    full = exact_rows(bounds, None, 1e-6)[2]
    assert early.sum() < full.sum()


@pytest.mark.parametrize("p", [1.0, 1.02])
def test_a_part_of_heavy_tailed_rows_is_short_too(p, monkeypatch):
    A = np.random.default_rng(0).standard_cauchy((20_000, 20))
    solver, places = full_solver(sensitivity_bounds(DenseMatrix(A), p)), np.arange(len(A))
    n_parts = []
    with monkeypatch.context() as patch:
        patch.setattr(bounds_module, "run_parts", lambda part, n, **options: n_parts.append(n))
        solver.solve(solver.X, places, 1e-6)
    few = places[: -(-len(A) // n_parts[0])]
    _, _, iterations = solver.solve(solver.X[few], few, 1e-6)
    assert iterations.sum() * row_seconds(*A.shape, p) < 0.5  # Ctrl-C is looked for between parts


def test_the_largest_needs_few_rows_and_knows_special_cases():
    A = MATRICES["pareto 0.7"]
    for p in (1, 1.5, 3):
        assert max_sensitivity(A, p).n_rows_solved <= len(A) // 5
    assert max_sensitivity(A, 2).row == int(leverage_scores(A).argmax())
    at_inf = max_sensitivity(A, np.inf)
    assert at_inf.value == 1
    assert lp_sensitivities(A, np.inf, rows=[at_inf.row])[0] == pytest.approx(1)
    nothing = max_sensitivity(np.zeros((3, 2)), 1)
    assert nothing.value == nothing.upper == 0


@claim(
    null="the total sensitivity is unbiased and its standard error is right",
    test="z-test of the mean over 4 powers; 95% intervals cover 88 to 99.5% of the time",
    replicates=150,
    false_alarm=4e-7,
)
def test_total_sensitivity(trial):
    A = MATRICES["pareto 2"]
    powers = (1, 1.5, 3, 4)
    exact = [float(lp_sensitivities(A, p, rtol=1e-6).sum()) for p in powers]
    results = [
        [total_sensitivity(A, p, n_draws=40, rng=rng) for p in powers] for rng in trial.rngs()
    ]
    values = np.array([[r.value for r in row] for row in results])
    trial.assert_mean(values, exact, share=0.5)
    inside = [
        np.mean([low <= e <= high for e, (low, high) in zip(exact, intervals, strict=True)])
        for intervals in ([r.confidence_interval() for r in row] for row in results)
    ]
    trial.assert_between(inside, 0.88, 0.995, share=0.5)
    assert all(r.lower <= e <= r.upper for row in results for r, e in zip(row, exact, strict=True))


@claim(
    null="the standard error is right for large powers too",
    test="99% intervals cover at least 90% of the time (they cover 97%)",
    replicates=100,
    false_alarm=1e-5,
)
def test_total_sensitivity_of_a_large_power(trial):
    A = np.random.default_rng(0).standard_normal((400, 4))
    A *= np.random.default_rng(1).pareto(1.5, (400, 1))
    exact = float(lp_sensitivities(A, 20, rtol=1e-3).sum())
    results = [total_sensitivity(A, 20, n_draws=50, rng=rng) for rng in trial.rngs()]
    inside = [low <= exact <= high for low, high in (r.confidence_interval(0.99) for r in results)]
    trial.assert_between(inside, 0.9, 1.0)
    assert max(abs(r.value - exact) for r in results) < 2 * max(r.upper for r in results)


@pytest.mark.parametrize("p", [1, 3])
def test_total_sensitivity_without_sampling(p):
    A = MATRICES["positive"]
    total = total_sensitivity(A, p, n_draws=len(A))
    assert total.standard_error == 0
    assert total.value == pytest.approx(lp_sensitivities(A, p, rtol=1e-6).sum(), rel=1e-5)
    assert total.lower <= total.value <= total.upper
    assert total.confidence_interval() == (total.value, total.value)
    assert float(total) == total.value


def test_total_sensitivities_that_are_known():
    assert total_sensitivity(MATRICES["positive"], 2).value == pytest.approx(5)
    assert total_sensitivity(np.zeros((200, 2)), 1).value == 0


@pytest.mark.parametrize("p", [1.00001, 1.0001, 1.005])
@pytest.mark.parametrize("name", ["gaussian", "pareto 0.7"])
def test_powers_next_to_one(name, p):
    A = MATRICES[name][:150]
    found, at_one = lp_sensitivities(A, p, rtol=1e-2), lp_sensitivities(A, 1, rtol=1e-4)
    assert found.certified
    assert (found.upper >= at_one.lower**p).all()
    assert (found.lower <= len(A) ** (p - 1) * at_one.upper**p).all()
    assert lp_sensitivities(A, 1.0001, rows=[0, 3]).certified  # where Newton's method is slow


def test_total_sensitivity_of_rows_that_agree():
    """Draws without spread: the interval holds what the rows were solved to."""
    A = np.tile(np.eye(3), (40, 1))
    total = total_sensitivity(A, 3, n_draws=20, rng=0)
    low, high = total.confidence_interval()
    assert low <= 3.0 <= high
    assert total.standard_error < 1e-5


@pytest.mark.parametrize(("p", "seed"), [(1.5, 1), (1.95, 3), (20, 0)])
def test_intervals_of_a_total_stay_within_its_bounds(p, seed):
    """Also where two draws agree on an estimate beyond the bounds."""
    A = np.eye(3)[np.random.default_rng(seed).integers(0, 3, 200)]
    totals = [total_sensitivity(A, p, n_draws=2, rng=key) for key in range(20)]
    assert any(not total.lower <= total.value <= total.upper for total in totals)
    for total in totals:
        low, high = total.confidence_interval()
        assert total.lower <= low <= high <= total.upper


@pytest.mark.parametrize(
    "values", [[0.0], [1.0, -0.5], [3.0, 1e-200, 2.0], [1e200, -2e200], [np.inf]]
)
@pytest.mark.parametrize("q", [1.2, 2.0, 5.0])
def test_dual_norm(values, q):
    z = np.zeros((2, PANEL))
    z[1, : len(values)] = values
    found = dual_norm(z, q, np.empty((2, PANEL)))
    top = np.abs(values).max()
    exact = top * np.linalg.norm(np.array(values) / top, q) if 0 < top < np.inf else top
    assert exact * (1 - 1e-14) <= found <= exact * (1 + 1e-12)


def _integers():
    return np.random.default_rng(5).integers(-2, 3, (300, 6)).astype(float)


TIES = {
    "gaussian": np.random.default_rng(0).standard_normal((400, 5)),
    "heavy": np.random.default_rng(1).standard_t(1, (400, 12)),
    "integers": _integers(),
    "copies": np.repeat(np.random.default_rng(2).standard_normal((50, 4)), 6, axis=0),
    "deficient": np.c_[_integers(), _integers()[:, :1] - _integers()[:, 1:2], np.zeros(300)],
    "zero rows": np.vstack([_integers(), np.zeros((5, 6))]),
    "square": np.random.default_rng(3).standard_normal((7, 7)),
}


@pytest.mark.parametrize("name", TIES)
def test_the_simplex_method_serves_the_maximum_norm(name, monkeypatch):
    """Without a program of HiGHS, and to the same bounds as those."""
    A = TIES[name]
    programs = []

    def one_row(X, i, rtol):
        programs.append(i)
        return _one_row(X, i, rtol)

    monkeypatch.setattr("randla.sampling._scores.sensitivity_max._one_row", one_row)
    scores = lp_sensitivities(A, np.inf, method="exact")
    assert len(programs) <= 0.02 * len(A)
    assert scores.residual < 1e-9
    assert scores.certified
    rows = np.flatnonzero(A.any(axis=1))[::17]
    monkeypatch.setattr(  # no bound of the simplex method, so that HiGHS solves for all rows
        "randla.sampling._scores.sensitivity_max.bounds_of_rows", lambda *args: args[-2].fill(1.0)
    )
    programs.clear()
    slow = lp_sensitivities(A, np.inf, rows=rows, method="exact")
    assert len(programs) == len(rows)
    np.testing.assert_allclose(scores[rows], slow, rtol=1e-3)
    assert (scores.lower[rows] <= slow.upper * (1 + 1e-9)).all()
    assert (slow.lower <= scores.upper[rows] * (1 + 1e-9)).all()


def test_sensitivities_in_the_maximum_norm_by_fractions():
    """All vertices of |A x| <= 1 in exact arithmetic, for two columns."""
    A = np.random.default_rng(8).integers(-4, 5, (9, 2))
    A = A[A.any(axis=1)]
    exact = np.zeros(len(A), object)
    for i, j in itertools.combinations(range(len(A)), 2):
        det = Fraction(int(A[i, 0] * A[j, 1] - A[i, 1] * A[j, 0]))
        if det == 0:
            continue
        for sign in (1, -1):
            x = (A[j, 1] - sign * A[i, 1]) / det, (sign * A[i, 0] - A[j, 0]) / det
            values = [abs(int(a) * x[0] + int(b) * x[1]) for a, b in A]
            if max(values) <= 1:
                exact = np.maximum(exact, values)
    scores = lp_sensitivities(A, np.inf, method="exact")
    for low, high, value in zip(scores.lower, scores.upper, exact, strict=True):
        assert Fraction(float(low)) <= value <= Fraction(float(high))
        assert high - low < 1e-12


def test_sensitivities_at_2_are_exact_leverage_scores_of_any_matrix(monkeypatch):
    A = np.random.default_rng(0).standard_normal((600, 40))
    exact = leverage_scores(A, method="exact")
    monkeypatch.setattr("randla.sampling._scores.leverage._EXACT_WORK", 0.0)  # is minutes of work
    assert not leverage_scores(A, rng=0).certified
    for method in ("auto", "exact", "bound"):
        scores = lp_sensitivities(A, 2, method=method)
        assert scores.certified
        np.testing.assert_allclose(scores, exact, rtol=1e-12)
    largest = max_sensitivity(A, 2)
    assert largest.upper - largest.lower < 1e-8
    assert total_sensitivity(A, 2).upper == pytest.approx(40.0)
