"""Draws of counts and proportions: their laws, the ends of their domains, their streams."""

from itertools import product

import numba
import numpy as np
import pytest
from scipy import stats

from randla import _random, random
from tests.statistical import chi_square_pvalue, claim

LARGEST = 2**53


@numba.njit
def draw_numbers(function, state, out, parameters):
    for i in range(out.size):
        out[i] = function(state, *parameters)


@numba.njit
def draw_rows(function, state, out, parameters):
    for i in range(len(out)):
        function(state, *parameters, out[i])


def numbers(trial, function, *parameters):
    out = np.empty(trial.replicates)
    draw_numbers(function, _random.new_stream(np.uint64(trial.seed)), out, parameters)
    return out


def rows(trial, function, width, *parameters):
    out = np.empty((trial.replicates, width))
    draw_rows(function, _random.new_stream(np.uint64(trial.seed)), out, parameters)
    return out


def assert_counts(trial, draws, law, share=1.0):
    """Chi-square of counts, over the range that holds all but 1e-12 of the law."""
    low, high = (int(v) for v in law.ppf([1e-12, 1.0 - 1e-12]))
    inside = np.clip(draws.astype(int) - low + 1, 0, high - low + 2)
    expected = np.concatenate(([law.cdf(low - 1)], law.pmf(np.arange(low, high + 1)), [0.0]))
    expected[-1] = max(1.0 - expected.sum(), 0.0)
    counts = np.bincount(inside, minlength=len(expected))
    trial.assert_pvalue(chi_square_pvalue(counts, expected * len(draws)), share=share)


BINOMIALS = [
    (1, 0.3), (7, 0.5), (19, 0.5), (20, 0.5), (30, 0.9), (1000, 0.0099), (1000, 0.01),
    (1000, 0.4), (1000, 0.995), (10**6, 2e-6), (10**6, 0.3), (LARGEST, 1e-15),
]  # fmt: skip


@pytest.mark.parametrize(("n", "p"), BINOMIALS)
@claim(null="binomial counts", test="chi-square", replicates=200_000, false_alarm=1e-8)
def test_binomial(n, p, trial):
    law = stats.binom(n, p) if n < LARGEST else stats.poisson(n * p)
    assert_counts(trial, numbers(trial, random.binomial, n, p), law)


@pytest.mark.parametrize("p", [0.5, 1e-3, 1e-13, 1.0 - 1e-13])
@claim(
    null="binomial counts of 2^53 trials have its moments",
    test="z-test of the first four moments, Bonferroni's bound for the largest",
    replicates=200_000,
    false_alarm=1e-8,
)
def test_binomial_of_many_trials(p, trial):
    q = 1.0 - p
    variance = LARGEST * p * q
    counts = numbers(trial, random.binomial, LARGEST, p)
    z = (counts - LARGEST * p if p <= 0.5 else LARGEST * q - (LARGEST - counts)) / variance**0.5
    moments = [0.0, 1.0, (q - p) / variance**0.5, 3.0 + (1.0 - 6.0 * p * q) / variance]
    trial.assert_mean(np.column_stack([z, z**2, z**3, z**4]), moments, share=0.5)
    assert trial.replicates * 2 * stats.norm.sf(abs(z).max()) > 0.5e-8


@pytest.mark.parametrize(("r", "p"), [(1e-3, 0.1), (0.3, 0.05), (1, 0.5), (4.5, 0.3), (1e6, 0.83)])
@claim(null="negative binomial counts", test="chi-square", replicates=200_000, false_alarm=1e-8)
def test_negative_binomial(r, p, trial):
    assert_counts(trial, numbers(trial, random.negative_binomial, r, p), stats.nbinom(r, p))


@pytest.mark.parametrize(("a", "b"), [(0.05, 3.0), (0.5, 0.5), (1.0, 1.0), (2.0, 0.7), (80.0, 300)])
@claim(null="beta numbers", test="Kolmogorov-Smirnov", replicates=100_000, false_alarm=1e-8)
def test_beta(a, b, trial):
    draws = numbers(trial, random.beta, a, b)
    trial.assert_pvalue(stats.kstest(draws, stats.beta(a, b).cdf).pvalue)


@claim(
    null="beta numbers of tiny shapes are rounded to 0 and 1 as often as their law says",
    test="chi-square on {0}, (0, 1/2), [1/2, 1), {1}",
    replicates=100_000,
    false_alarm=1e-8,
)
def test_beta_of_tiny_shapes(trial):
    draws = numbers(trial, random.beta, 1e-3, 1e-3)
    ends = stats.beta(1e-3, 1e-3).cdf([2.0**-1000, 2.0**-54])  # what is rounded to 1; symmetric
    ends[0] *= 2.0**-0.075  # to 0: below 2^-1075, where the law is that of a power
    counts = [(draws == 0.0).sum(), ((draws > 0.0) & (draws < 0.5)).sum(),
              ((draws >= 0.5) & (draws < 1.0)).sum(), (draws == 1.0).sum()]  # fmt: skip
    expected = np.array([ends[0], 0.5 - ends[0], 0.5 - ends[1], ends[1]]) * len(draws)
    trial.assert_pvalue(chi_square_pvalue(counts, expected))


@claim(null="multinomial counts", test="chi-square", replicates=200_000, false_alarm=1e-8)
def test_multinomial(trial):
    weights = np.array([0.0, 2.0, 0.5, 1.0, 0.0])  # any scale
    draws = rows(trial, random.multinomial, 5, 6, weights).astype(int)
    assert (draws.sum(axis=1) == 6).all()
    assert not draws[:, [0, 4]].any()
    cells = [c for c in product(range(7), repeat=3) if sum(c) == 6]
    expected = stats.multinomial(6, weights[1:4] / weights.sum()).pmf(cells) * len(draws)
    codes = draws[:, 1:4] @ [49, 7, 1]
    counts = np.bincount(codes, minlength=343)[np.array(cells) @ [49, 7, 1]]
    trial.assert_pvalue(chi_square_pvalue(counts, expected))


@claim(
    null="of 2^53 trials the rare categories, smaller than rounding, have Poisson counts",
    test="chi-square of both and of their sum",
    replicates=100_000,
    false_alarm=1e-8,
)
def test_multinomial_of_rare_categories(trial):
    shares = np.array([1.0, 3e-17, 7e-17])
    draws = rows(trial, random.multinomial, 3, LARGEST, shares)
    assert (draws.sum(axis=1) == LARGEST).all()
    for counts, share in ((draws[:, 1], 3e-17), (draws[:, 2], 7e-17), (draws[:, 1:].sum(1), 1e-16)):
        assert_counts(trial, counts, stats.poisson(LARGEST * share), share=1 / 3)


# Of tiny shapes what is near 1 is rounded: look at what is below 1/2.
@pytest.mark.parametrize(
    ("alpha", "top"), [((0.01, 0.02), 0.5), ((0.5, 2.0, 3.0), 1.0), ((1.0, 40.0, 0.3, 7.0), 1.0)]
)
@claim(
    null="each proportion, and the first among the first two, is a beta number",
    test="Kolmogorov-Smirnov",
    replicates=50_000,
    false_alarm=1e-8,
)
def test_dirichlet(alpha, top, trial):
    alpha = np.array(alpha)
    draws = rows(trial, random.dirichlet, len(alpha), alpha)
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, rtol=1e-14)
    parts = [(draws[:, k], a, alpha.sum() - a) for k, a in enumerate(alpha)]
    parts.append((draws[:, 0] / (draws[:, 0] + draws[:, 1]), alpha[0], alpha[1]))
    for values, a, b in parts:
        law = stats.beta(a, b)
        below = stats.kstest(values[values < top], lambda x, law=law: law.cdf(x) / law.cdf(top))
        trial.assert_pvalue(below.pvalue, share=1 / len(parts))


def test_draws_are_pinned():
    """The same numbers with the compiler and without it, from one version to the next."""
    state, counts, shares = _random.new_stream(np.uint64(1), 2), np.empty(3), np.empty(3)
    settings = (5, 0.4), (100.0, 0.7), (LARGEST, 0.5)
    assert [random.binomial(state, n, p) for n, p in settings] == [2, 68, 4503599558573009]
    random.multinomial(state, 1000, np.array([1.0, 2.0, 5.0]), counts)
    random.dirichlet(state, np.array([0.3, 2.0, 5.0]), shares)
    assert list(counts) == [114, 246, 640]
    np.testing.assert_allclose(shares, [4.82642033e-05, 0.165361586, 0.83459015], rtol=1e-8)
    assert random.negative_binomial(state, 2.5, 0.1) == 41
    assert abs(random.beta(state, 0.5, 3.0) - 0.17007054374911) < 1e-12


def test_ends_of_the_domains():
    state = _random.new_stream(np.uint64(3))
    for n in (0, 1, 50, LARGEST, 12.0):
        assert random.binomial(state, n, 0.0) == 0
        assert random.binomial(state, n, 1.0) == n
    assert random.binomial(state, 0, 0.3) == 0
    assert random.negative_binomial(state, 1e-300, 0.5) == 0
    assert random.negative_binomial(state, 3.0, 1.0) == 0
    assert random.negative_binomial(state, 1e15, 0.5) > 9e14
    assert random.beta(state, 1e-300, 1.0) == 0.0
    assert random.beta(state, 1.0, 1e-300) == 1.0
    assert random.beta(state, 1e-300, 1e-300) in (0.0, 1.0)
    assert abs(random.beta(state, 1e300, 1e300) - 0.5) < 1e-12
    out = np.empty(2)
    random.dirichlet(state, np.array([1e-300, 1e-300]), out)
    assert sorted(out) == [0.0, 1.0]
    counts = np.empty(3, np.int64)  # an array of integers will do
    random.multinomial(state, LARGEST, np.array([1e-320, 0.0, 1e300]), counts)
    assert list(counts) == [0, 0, LARGEST]
    four = np.empty(4)
    random.multinomial(state, 5, np.array([1.0, 1e-17, 1e-40, 1e-40]), four)
    assert list(four) == [5, 0, 0, 0]
    random.multinomial(state, 0, np.ones(3), counts)
    assert not counts.any()
    random.multinomial(state, 9, np.array([1.0, 1.0 - 0.9 - 0.1, 1.0]), counts)  # -2.8e-17 is zero
    assert counts.sum() == 9
    assert counts[1] == 0


NO_COUNTS = (-1, -1.0, 1.5, np.nan, np.inf, 1e300, LARGEST + 1)


def test_bad_parameters_give_nan_or_minus_one():
    state = _random.new_stream(np.uint64(4))
    for n in NO_COUNTS:
        assert random.binomial(state, n, 0.5) == -1
    for p in (-1e-9, 1.0 + 1e-9, np.nan, np.inf):
        assert random.binomial(state, 5, p) == -1
        assert random.negative_binomial(state, 2.0, p) == -1
    for r, p in ((0.0, 0.5), (-1.0, 0.5), (np.nan, 0.5), (np.inf, 0.5), (2.0, 0.0), (1e10, 1e-10)):
        assert random.negative_binomial(state, r, p) == -1
    for a in (0.0, -1.0, np.nan, np.inf, 1e-310):
        assert np.isnan(random.beta(state, a, 1.0))
        assert np.isnan(random.beta(state, 1.0, a))


def test_bad_parameters_of_arrays_fill_out():
    state, out, ones = _random.new_stream(np.uint64(5)), np.empty(3), np.ones(3)
    for alpha in ([1.0, 1.0, 0.0], [1.0, np.nan, 1.0], [np.inf, 1.0, 1.0], [1.0, 1.0], [1.0] * 4):
        out[:] = 7.0
        random.dirichlet(state, np.array(alpha), out)
        assert np.isnan(out).all()
    bad = [[0.0] * 3, [1.0, np.nan, 1.0], [1.0, 1.0, np.inf], [1e308] * 3, [1.0, -1.0, 1.0],
           [1.0, 1.0], [1.0] * 4]  # fmt: skip
    for n, probs in [(5, p) for p in bad] + [(n, ones) for n in NO_COUNTS]:
        out[:] = 7.0
        random.multinomial(state, n, np.array(probs), out)
        assert (out == -1.0).all()
