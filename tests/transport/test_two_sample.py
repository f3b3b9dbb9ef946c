"""The permutation test: its statistics from the definition, its level, ties, and its picture."""

import pickle
from itertools import combinations

import numpy as np
import pytest

from randla.transport import sliced_wasserstein, sliced_wasserstein_test
from randla.transport._kernels.permutation import add_split_costs, draw_labels
from tests.statistical import chi_square_pvalue, claim
from tests.transport.reference import clouds, projected_costs

RNG = np.random.default_rng(4)


def labels(key, number, n, size):
    out = np.empty(size, np.uint8)
    draw_labels(key, number, n, out)
    return out


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("sizes", [(20, 20), (20, 13), (1, 5)])
@pytest.mark.parametrize("d", [1, 4])
def test_every_statistic_is_the_cost_of_a_split(p, sizes, d, monkeypatch):
    n, m = sizes
    X, Y = RNG.standard_normal((n, d)), RNG.standard_normal((m, d)) + 0.3
    splits = []

    def listen(*args):
        splits.append(args)

    monkeypatch.setattr("randla.transport._two_sample.add_split_costs", listen)
    sliced_wasserstein_test(X, Y, p=p, n_permutations=20, rng=1)
    monkeypatch.undo()
    result = sliced_wasserstein_test(X, Y, p=p, n_permutations=20, rng=1)
    key, theta, pool = splits[0][2], result.direction_vectors, np.concatenate([X, Y])
    expected = []
    for number in range(21):
        label = labels(key, number, n, n + m)
        expected.append(projected_costs(pool[label == 0], pool[label == 1], theta, p=p).mean())
    np.testing.assert_allclose([result.statistic, *result.null], expected, rtol=1e-11)
    p_value = np.mean(np.array(expected) >= expected[0] * (1.0 - 1e-12))
    assert result.p_value == pytest.approx(p_value)
    assert result.p_value_error == pytest.approx(np.sqrt(p_value * (1.0 - p_value) / 20))
    if d > 1:
        same = sliced_wasserstein(X, Y, p=p, directions=theta)
        assert result.statistic == pytest.approx(same.power, rel=1e-12)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)).null, result.null)


def test_many_rows_go_in_chunks(monkeypatch):
    X, Y = clouds("mix", 5, 40)
    whole = sliced_wasserstein_test(X, Y[:30], n_permutations=40, rng=1)
    monkeypatch.setattr("randla.transport._two_sample._CHUNK_NUMBERS", 1000)
    monkeypatch.setattr("randla.transport._two_sample._SPLITS", 7)
    parts = sliced_wasserstein_test(X, Y[:30], n_permutations=40, rng=1)
    np.testing.assert_allclose(parts.null, whole.null, rtol=1e-13)
    assert parts.statistic == pytest.approx(whole.statistic, rel=1e-13)


@pytest.mark.parametrize("number", [1, 7, 8, 9, 30])
def test_no_more_splits_are_drawn_than_asked_for(number):
    rng = np.random.default_rng(0)
    order = np.argsort(rng.standard_normal((2, 6))).astype(np.int32)
    Z, totals = np.sort(rng.standard_normal((2, 6))), np.zeros(100)
    add_split_costs(Z, order, np.uint64(3), 0, 3, None, None, None, 2.0, totals[:number])
    assert (totals[:number] > 0.0).all()
    assert not totals[number:].any()


def test_ties_count_for_the_hypothesis():
    # two values only: most splits have the statistic of another one, which rounding must not decide
    x, y = np.r_[0.0, 0.0, 1.0] * 0.1, np.r_[0.0, 1.0, 1.0] * 0.1
    for dtype in (np.float64, np.float32):
        result = sliced_wasserstein_test(
            x.astype(dtype), y.astype(dtype), n_permutations=2000, rng=1
        )
        pool = np.concatenate([x, y])
        costs = []
        for chosen in combinations(range(6), 3):
            rest = np.setdiff1d(range(6), chosen)
            costs.append(np.mean((np.sort(pool[list(chosen)]) - np.sort(pool[rest])) ** 2))
        share = np.mean(np.array(costs) > costs[0] * 0.999)
        assert result.p_value == pytest.approx(share, abs=5 * np.sqrt(share / 2000))
    same = sliced_wasserstein_test(np.ones((5, 3)), np.ones((4, 3)), n_permutations=9)
    assert (same.statistic, same.p_value, same.p_value_error) == (0.0, 1.0, 0.0)


def test_differences_are_seen():
    X, Y = RNG.standard_normal((2, 80, 6))
    assert sliced_wasserstein_test(X, Y + 0.7, rng=1).p_value == 0.001
    assert sliced_wasserstein_test(X, 2.0 * Y, n_permutations=99, rng=1).p_value == 0.01
    heavy = RNG.standard_t(2, (2, 80, 6))
    assert sliced_wasserstein_test(*heavy, p=1, n_permutations=99, rng=1).p_value > 0.05


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    X, Y = clouds("gauss", 3, 20)
    ax = sliced_wasserstein_test(X, Y, n_permutations=30, rng=1).plot()
    assert ax.get_xlabel() == "mean of $W_p^p$"
    assert len(ax.patches) == 40
    huge = sliced_wasserstein_test(1e200 * X, 1e200 * Y, n_permutations=5, rng=1)
    with pytest.raises(ValueError, match="plot needs costs in the range"):
        huge.plot()


@claim(
    null="labels are uniform over the subsets of their size",
    test="chi-square over the 35 choices of 3 among 7",
    replicates=7000,
    false_alarm=1e-7,
)
def test_labels_are_uniform(trial):
    rows = np.array([labels(np.uint64(trial.seed), k + 1, 3, 7) for k in range(trial.replicates)])
    assert (rows.sum(axis=1) == 4).all()
    counts = np.bincount(rows @ 2 ** np.arange(7), minlength=128)
    counts = counts[[sum(2**i for i in range(7) if i not in c) for c in combinations(range(7), 3)]]
    assert counts.sum() == trial.replicates
    trial.assert_pvalue(chi_square_pvalue(counts, np.full(35, trial.replicates / 35)))


@pytest.mark.parametrize("law", ["normal", "bits"])
@claim(
    null="the test rejects at most alpha of equal laws, about alpha of continuous ones",
    test="one-sided normal limits at 5 and 20%",
    replicates=500,
    false_alarm=1e-7,
)
def test_level(trial, law):
    def draw(rng, n):
        return rng.standard_normal((n, 3)) if law == "normal" else rng.integers(0, 2, (n, 3)) * 1.0

    p_values = np.array(
        [
            sliced_wasserstein_test(
                draw(rng, 10), draw(rng, 7), p=1, n_permutations=19, n_projections=5, rng=rng
            ).p_value
            for rng in trial.rngs()
        ]
    )
    for alpha in (0.05, 0.2):
        low = alpha if law == "normal" else 0.0
        trial.assert_between(p_values <= alpha * (1.0 + 1e-12), low, alpha, share=0.5)
