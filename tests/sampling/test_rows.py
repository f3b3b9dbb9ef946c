"""Samples of rows: exact inclusion probabilities, unbiased norms, every kind of score."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse, stats

from randla._tall.open import open_tall
from randla.sampling import leverage_scores, lewis_weights, lp_sensitivities, sample_rows
from randla.sampling._samples.sample_rows import _NAMES, kind_of, named_scores, size_for
from randla.sampling._scores.bounds import SensitivitySolver
from randla.sampling._scores.draws import inclusion_probabilities, systematic
from randla.sampling._scores.lewis import log_error
from randla.sampling._scores.result import NotConvergedWarning
from tests.sampling.distortion import Distortion
from tests.sampling.matrices import MATRICES
from tests.sampling.reference import inclusion
from tests.statistical import claim

A = MATRICES["pareto 0.7"]  # a few rows are in every sample of 40
SCHEMES = ("poisson", "fixed", "replacement")


def test_a_size_for_eps_needs_scores_of_the_same_power():
    scores = lewis_weights(A, 1)
    assert sample_rows(A, 40, p=3, scores=scores, rng=0).p == 3
    with pytest.raises(ValueError, match=r"p must be 1, the power of the scores, .* got 3"):
        sample_rows(A, p=3, eps=0.5, scores=scores)


def test_the_power_is_two_unless_scores_have_one():
    for scores in ("auto", "root-leverage", np.arange(120.0)):
        sample = sample_rows(A, 40, scores=scores, rng=0)
        assert sample.p == 2
        expected = sample_rows(A, 40, p=2, scores=scores, rng=0)
        np.testing.assert_array_equal(sample.indices, expected.indices)
    assert sample_rows(A, 40, scores=lewis_weights(A, 3), rng=0).p == 3
    assert sample_rows(A, eps=0.5, rng=0).p == 2


def test_scores_may_be_any_sequence():
    first = sample_rows(A[:3], 2, p=1, scores=np.array([1.0, 2.0, 4.0]), rng=0)
    for scores in ((1.0, 2.0, 4.0), [1, 2, 4]):
        np.testing.assert_array_equal(
            sample_rows(A[:3], 2, p=1, scores=scores, rng=0).indices, first.indices
        )


def test_a_matrix_of_zeros_has_no_rows_to_draw():
    for p in (1, 2):
        with pytest.raises(ValueError, match="A must have a nonzero row"):
            sample_rows(np.zeros((5, 2)), 2, p=p)
    with pytest.raises(ValueError, match="scores must have a positive sum"):
        sample_rows(np.ones((5, 2)), 2, p=1, scores=np.zeros(5))


def test_a_warning_of_the_scores_behind_a_sample_points_to_the_call():
    B = np.vander(np.linspace(0.0, 1.0, 300), 8)
    with pytest.warns(NotConvergedWarning, match="Lewis weights reached") as caught:
        sample_rows(B, 40, p=1000)
    assert caught[0].filename == __file__


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 200),
    spread=st.floats(0, 30),
    share=st.floats(0.01, 1),
    zeros=st.floats(0, 0.5),
)
def test_inclusion_probabilities_are_exact(seed, n, spread, share, zeros):
    rng = np.random.default_rng(seed)
    u = np.exp(spread * rng.standard_normal(n)) * (rng.random(n) >= zeros)
    u[rng.integers(n)] = 1.0
    size = max(int(share * n), 1)
    pi = inclusion_probabilities(u, size)
    if (u > 0).sum() <= size:
        np.testing.assert_array_equal(pi, u > 0)
        return
    assert pi.sum() == pytest.approx(size, rel=1e-12)
    assert (pi <= 1).all()
    np.testing.assert_allclose(pi, inclusion(u, size), rtol=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 100), share=st.floats(0.05, 0.95))
def test_systematic_samples_have_exactly_their_size(seed, n, share):
    rng = np.random.default_rng(seed)
    u, size = np.exp(3 * rng.standard_normal(n)), max(int(share * n), 1)
    rows = systematic(
        inclusion_probabilities(u, size), size, *rng.integers(2**63, size=2).astype("u8")
    )
    assert len(rows) == len(np.unique(rows)) == size


@claim(
    null="rows are included with their probabilities, and sums are unbiased",
    test="z-tests of the indicator of each row, and of |SAx|_p^p for 3 x and p = 1, 3",
    replicates=2500,
    false_alarm=6e-7,
)
def test_probabilities_and_norms_are_unbiased(trial):
    size, u = 40, np.asarray(lewis_weights(A, 1, rtol=0.1))
    X = np.random.default_rng(0).standard_normal((A.shape[1], 3))
    pi = inclusion_probabilities(u, size)
    powers = [np.abs(A @ X) ** p for p in (1, 3)]
    for scheme in SCHEMES:
        counts, sums = [], []
        for rng in trial.rngs():
            sample = sample_rows(A, size, p=1, scores=u, scheme=scheme, rng=rng)
            row = np.zeros(len(A))
            row[sample.indices] = sample.weights * sample.probabilities
            counts.append(row)
            sums.append(np.r_[tuple(sample.weights @ s[sample.indices] for s in powers)])
            if scheme != "replacement":
                assert (row[pi == 1] == 1).all()
                np.testing.assert_array_equal(sample.probabilities, pi[sample.indices])
        expected = pi if scheme != "replacement" else size * u / u.sum()
        trial.assert_mean(counts, expected, share=1 / 6)
        trial.assert_mean(sums, np.r_[tuple(s.sum(0) for s in powers)], share=1 / 6)


@claim(
    null="the size of a Poisson sample has the variance of independent decisions",
    test="z-test of (size - m)^2",
    replicates=3000,
    false_alarm=1e-7,
)
def test_sizes(trial):
    u = np.random.default_rng(1).random(300)
    pi = inclusion_probabilities(u, 50)
    draws = []
    for rng in trial.rngs():
        draws.append(len(sample_rows(np.ones((300, 1)), 50, p=1, scores=u, rng=rng)))
    trial.assert_mean((np.array(draws) - 50.0) ** 2, (pi * (1 - pi)).sum())
    for scheme in ("fixed", "replacement"):
        for seed in range(20):
            sample = sample_rows(A, 33, p=1, scheme=scheme, rng=seed)
            assert len(sample) == 33 if scheme == "fixed" else len(sample) <= 33


@pytest.mark.parametrize("scheme", SCHEMES)
def test_named_scores(scheme):
    p = 1.5
    tau = np.asarray(leverage_scores(A))
    named = {
        "leverage": tau,
        "root-leverage": tau ** (p / 2),
        "uniform": np.ones(len(A)),
    }
    for name in ("auto", "lewis", "sensitivity"):
        named[name] = named_scores(open_tall(A), p, kind_of(name, p), np.random.default_rng(0))
    named["sensitivity+leverage"] = named["sensitivity"] + tau
    assert set(named) == set(_NAMES), f"not tested here: {set(named) ^ set(_NAMES)}"
    missing = [name for name in _NAMES if f'"{name}"' not in sample_rows.__doc__]
    assert not missing, f"the docstring of sample_rows lacks {missing}"
    for name, u in named.items():
        by_name = sample_rows(A, 30, p=p, scores=name, scheme=scheme, rng=1)
        by_value = sample_rows(A, 30, p=p, scores=np.asarray(u), scheme=scheme, rng=1)
        np.testing.assert_array_equal(by_name.indices, by_value.indices)
        np.testing.assert_allclose(by_name.weights, by_value.weights, rtol=1e-12)
    two = sample_rows(A, 30, p=2, scheme=scheme, rng=1)
    np.testing.assert_array_equal(
        two.indices, sample_rows(A, 30, scores=leverage_scores(A), scheme=scheme, rng=1).indices
    )
    assert two.p == 2


@pytest.mark.parametrize("p", [1, 1.5, 2, 2.5, 3, 4, 10, 40])
@pytest.mark.parametrize("name", MATRICES)
def test_scores_for_sampling_are_near_those_that_are_solved(name, p):
    matrix, rng = MATRICES[name], np.random.default_rng(0)
    w, exact = named_scores(open_tall(matrix), p, "lewis", rng), lewis_weights(matrix, p, rtol=1e-8)
    alive = exact.values > 0
    assert not w[~alive].any()
    spread = 1.0001 * log_error(p, 0.1, np.linalg.matrix_rank(matrix))
    assert np.abs(np.log(w[alive] / exact.values[alive])).max() <= spread
    if p > 10:
        return
    exact = np.asarray(lp_sensitivities(matrix, p, method="exact"))[alive]
    for rough in (True, False):
        s = named_scores(open_tall(matrix), p, "sensitivity", rng, rough=rough)
        assert not s[~alive].any()
        assert 0.49 < (s[alive] / exact).min() <= (s[alive] / exact).max() < 2.05


def test_sensitivities_for_sampling_are_solved_only_where_bounds_are_far_apart(monkeypatch):
    """Heavy tails at p = 1: none of 20,000 rows; beside many columns, those that have to be."""
    solved = []

    def solve(self, targets, *args, **options):
        solved.append(len(targets))
        return solve_rows(self, targets, *args, **options)

    solve_rows = SensitivitySolver.solve
    monkeypatch.setattr(SensitivitySolver, "solve", solve)
    rng = np.random.default_rng(3)
    for heavy in (rng.standard_t(1, (20_000, 5)), rng.pareto(1, (20_000, 5))):
        assert len(sample_rows(heavy, 500, p=1, scores="sensitivity", scheme="fixed", rng=0)) == 500
    assert not solved
    sample_rows(rng.standard_normal((500, 20)), 50, p=1, scores="sensitivity", rng=0)
    assert solved == [500]
    wide = rng.standard_normal((3000, 100))  # bounds, as estimates would take too long
    s = named_scores(open_tall(wide), 1, "sensitivity", rng)
    bound = lp_sensitivities(wide, 1, method="bound")
    assert solved == [500]
    np.testing.assert_allclose(s, np.sqrt(bound.lower * bound.upper), rtol=0.2)


@pytest.mark.parametrize("name", ["lewis", "leverage", "sensitivity", "sensitivity+leverage"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_zero_rows_are_never_drawn(name, scheme):
    B = A.copy()
    B[::2] = 0
    for seed in range(20):
        sample = sample_rows(B, 40, p=1, scores=name, scheme=scheme, rng=seed)
        assert (sample.indices % 2 == 1).all()


def test_apply():
    sample = sample_rows(A, 40, p=3, rng=0)
    SA = sample.apply(A)
    x = np.ones(A.shape[1])
    weighted = sample.weights @ np.abs(A[sample.indices] @ x) ** 3
    assert np.linalg.norm(SA @ x, 3) ** 3 == pytest.approx(weighted)
    b = A[:, 0]
    np.testing.assert_array_equal(sample.apply(b), SA[:, 0])
    S = sample.apply(sparse.csc_matrix(A))
    assert sparse.issparse(S)
    np.testing.assert_allclose(S.toarray(), SA, rtol=1e-14)
    assert sample.apply(A.astype(np.float32)).dtype == np.float32
    for bad in (A[:-1], sparse.csr_array(A[:-1]), np.ones((2, 2, 2))):
        with pytest.raises(ValueError, match="A must have"):
            sample.apply(bad)
    assert 1 <= sample.effective_size <= len(sample)
    even = sample_rows(A, 40, p=1, scores="uniform", scheme="fixed", rng=0)
    assert even.effective_size == pytest.approx(40)
    assert even.weights == pytest.approx(len(A) / 40)


def test_all_rows_and_too_many():
    n = len(A)
    for scheme in ("poisson", "fixed"):
        sample = sample_rows(A, n, p=1, scheme=scheme, rng=0)
        np.testing.assert_array_equal(sample.indices, np.arange(n))
        np.testing.assert_array_equal(sample.weights, np.ones(n))
    u = np.r_[np.ones(5), np.zeros(n - 5)]
    assert len(sample_rows(A, 10, p=1, scores=u, rng=0)) == 5
    with pytest.raises(ValueError, match="size must be at most 5"):
        sample_rows(A, 10, p=1, scores=u, scheme="fixed", rng=0)
    assert set(sample_rows(A, 100, p=1, scores=u, scheme="replacement", rng=0).indices) == set(
        range(5)
    )


def test_extreme_scores():
    u = np.r_[1e300, 1e-300, np.ones(98)]
    sample = sample_rows(np.ones((100, 1)), 50, p=1, scores=u, rng=0)
    assert sample.indices[0] == 0
    assert sample.weights[0] == 1
    assert np.isfinite(sample.weights).all()
    tiny = sample_rows(np.ones((100, 1)), 50, p=1, scores=np.full(100, 1e-310), rng=0)
    assert tiny.weights == pytest.approx(2)


def test_decisions_belong_to_rows():
    """A row is kept or not by its number alone, whatever the other rows' scores are."""
    u = np.full(1000, 0.5)
    few = sample_rows(np.ones((1000, 1)), 300, p=1, scores=u, rng=5)
    more = sample_rows(np.ones((1000, 1)), 400, p=1, scores=u, rng=5)
    assert set(few.indices) < set(more.indices)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "size must be at least 1"),
        ({"size": 121}, r"size must be at least 1 and at most 120, the number of rows of A"),
        ({"size": 10, "p": np.inf}, "p must be"),
        ({"size": 10, "p": 0.5}, "p must be"),
        ({"size": 10, "scores": -np.ones(120)}, "scores must be non-negative"),
        ({"size": 10, "scores": np.zeros(120)}, "scores must have a positive sum"),
        ({"size": 10, "scores": np.ones(7)}, "scores must be"),
        ({"size": 10, "scores": np.full(120, np.nan)}, "scores must be finite"),
        ({"size": 10, "scores": "best"}, "scores must be one of"),
        ({"size": 10, "scheme": "systematic"}, "scheme must be one of"),
    ],
)
def test_bad_input_is_named(options, text):
    options = {"p": 1} | options
    with pytest.raises(ValueError, match=text):
        sample_rows(A, options.pop("size"), **options)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_samples_for_an_error(p):
    B = np.random.default_rng(0).standard_normal((4000, 4))
    distortion = Distortion(B, p, n_random=100, n_rows=50)
    for scores in ("auto", "sensitivity+leverage"):
        if scores == "auto":
            u = lewis_weights(B, p, rtol=0.1)
        else:
            u = np.asarray(lp_sensitivities(B, p, method="sketch", rng=0)) + leverage_scores(B)
        size = len(sample_rows(B, p=p, eps=0.4, scores=lewis_weights(B, p), scheme="fixed", rng=0))
        assert size == len(sample_rows(B, p=p, eps=0.4, scheme="fixed", rng=0))
        errors = [distortion(sample_rows(B, size, p=p, scores=u, rng=seed)) for seed in range(10)]
        assert np.mean(np.array(errors) < 0.4) >= 0.8
    half = len(sample_rows(B, p=p, eps=0.2, scheme="fixed", rng=0))
    assert abs(half - 4 * size) <= 4


@pytest.mark.parametrize("d", [2, 8, 60, 500])
@pytest.mark.parametrize("eps", [0.1, 0.5])
def test_sizes_are_enough_for_groups_of_equal_rows(d, eps):
    # d columns of k equal unit rows each: the share of a column in a Poisson sample is binomial.
    k = 20_000
    m = size_for(eps, 1, d, "lewis", d)
    mean = m / d
    low, high = np.ceil((1 - eps) * mean), np.floor((1 + eps) * mean)
    columns = stats.binom(k, mean / k)
    assert (columns.cdf(high) - columns.cdf(low - 1)) ** d > 0.85


def test_sizes_follow_the_theorems():
    d, S = 20, 35.0
    assert size_for(0.1, 1, d, "lewis", d) == size_for(0.1, 1, d, "sensitivity+leverage", S)
    assert size_for(0.1, 1, 2, "lewis", 2) == pytest.approx(1.959964**2 * 200)
    assert size_for(0.1, 1, d, "sensitivity", S) == pytest.approx(324 * np.sqrt(d) * S)
    assert size_for(0.1, 4, d, "lewis", d) == pytest.approx(361 * d**2)
    assert size_for(0.1, 4, d, "sensitivity+leverage", S) == pytest.approx(361 * np.sqrt(d) * S)
    assert size_for(0.1, 4, d, "sensitivity+leverage", 1e6) == pytest.approx(361 * d**2)
    assert size_for(0.1, 4, d, "sensitivity", S) == pytest.approx(361 * S**1.5)
    assert size_for(0.1, 2, 4, "leverage", 4) == pytest.approx(576 * 4)
    n = len(A)
    for scores in (lp_sensitivities(A, 1), lewis_weights(A, 1)):
        assert len(sample_rows(A, eps=1e-3, scores=scores, rng=0)) == n
    for scores in ("leverage", "root-leverage", "uniform", np.ones(n)):
        with pytest.raises(ValueError, match="eps must be left out with these scores"):
            sample_rows(A, p=1, eps=0.5, scores=scores)


@pytest.mark.parametrize("scheme", ["poisson", "fixed"])
def test_scores_of_any_size(scheme):
    u = np.r_[1e300, 1e250, np.full(18, 1e-300)]
    pi = inclusion_probabilities(u, 5)
    np.testing.assert_allclose(pi, np.r_[1, 1, np.full(18, 3 / 18)])
    sample = sample_rows(np.ones((20, 1)), 5, p=1, scores=u, scheme=scheme, rng=0)
    assert set(sample.indices) >= {0, 1}
    np.testing.assert_allclose(sample.probabilities, pi[sample.indices])


def test_plot_shows_the_weights():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sample = sample_rows(MATRICES["pareto 2"], 20, p=1, rng=0)
    ax = sample.plot()
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, sample.indices)
    np.testing.assert_array_equal(y, sample.weights)
    assert sample.plot(ax) is ax
    plt.close(ax.figure)


@pytest.mark.parametrize("p", [1e3, 5e3, 1e100])
def test_powers_whose_scores_underflow(p):
    A = np.random.default_rng(0).standard_normal((400, 4))
    for scores in ("auto", "lewis", "sensitivity", "sensitivity+leverage"):
        if p > 1e3:
            with pytest.raises(ValueError, match=r"p must be at most 1000 for scores="):
                sample_rows(A, 50, p=p, scores=scores, rng=0)
    assert len(sample_rows(A, 50, p=p, scores="leverage", rng=0).indices) > 40
    assert len(sample_rows(A, 50, p=1e3, scores="root-leverage", rng=0).indices) > 40
