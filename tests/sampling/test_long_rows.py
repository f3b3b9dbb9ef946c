"""Rows that leave the others no digits: scores are right, or not said to be."""

import numpy as np
import pytest
from scipy import sparse

from randla._tall.row_lengths import LENGTHS, gaps_to_close
from randla._tall.tiles import Tiles
from randla._tall.whitening import whiten
from randla.sampling import (
    leverage_scores,
    lewis_weights,
    lp_sensitivities,
    max_sensitivity,
    total_sensitivity,
)
from randla.sampling._scores.bounds import geometry
from tests.sampling.reference import leverage_of_doubles

each_form = pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, np.asfortranarray])


def with_rows(n=40, **rows):
    A = np.random.default_rng(0).standard_normal((n, 4))
    for name, change in rows.items():
        A[int(name[3:])] = change if np.ndim(change) else A[int(name[3:])] * change
    return A


ONES = np.ones(4)
PARALLEL = with_rows(row3=1e16 * ONES, row9=3e16 * ONES)
LONG = {
    "parallel": PARALLEL,
    "nearly parallel": with_rows(row3=2.0**53 * ONES, row9=2.0**53 + np.array([2, 0, -2, 4])),
    "one": with_rows(row3=1e16),
    "one of 1e150": with_rows(row3=1e150),
    "two": with_rows(row3=1e16, row9=1e17),
    "two levels": with_rows(row3=1e16, row9=1e30),
    "three levels": with_rows(row3=1e12, row9=1e30, row10=1e80),
    "all levels": with_rows() * 10.0 ** np.random.default_rng(1).uniform(-60, 60, (40, 1)),
    "beside a parallel one": with_rows(row3=1e16 * ONES, row9=ONES),
}


@each_form
@pytest.mark.parametrize("A", LONG.values(), ids=LONG)
def test_bounds_hold_in_exact_arithmetic(A, form):
    scores, exact = leverage_scores(form(A)), leverage_of_doubles(A)
    assert (scores.lower <= exact * (1 + 1e-15)).all()
    assert (exact <= scores.upper * (1 + 1e-15)).all()
    assert abs(scores.sum() - 4) < 1e-6
    if scores.certified:
        assert (scores.upper - scores.lower).max() < 1e-7 + 2 * scores.residual


@each_form
def test_long_rows_that_are_parallel_keep_their_ratio(form):
    A = form(PARALLEL)
    np.testing.assert_allclose(leverage_scores(A), leverage_of_doubles(PARALLEL), rtol=1e-9)
    assert not leverage_scores(A).certified  # had they differed by one digit, all would be wrong
    equal = with_rows(row3=1e16 * ONES, row9=1e16 * ONES)
    w = np.ones(40)
    w[3] = 1e-6
    weighed = leverage_scores(form(equal), weights=w)
    np.testing.assert_allclose(weighed, leverage_of_doubles(equal, w), rtol=1e-9)
    for p in (1, 1.5, 3):
        share = 3.0**p / (1 + 3.0**p)  # of the longer row, as no other is as long
        np.testing.assert_allclose(lewis_weights(A, p, rtol=1e-3)[9], share, rtol=1e-4)
        for method in ("exact", "bound"):
            scores = lp_sensitivities(A, p, method=method, rtol=1e-2)
            if method == "exact":
                np.testing.assert_allclose(scores[[3, 9]], [1 - share, share], rtol=1e-2)
            assert scores.lower[9] <= share <= scores.upper[9]
            assert not scores.certified
        largest = max_sensitivity(A, p)
        assert largest.row == 9
        assert largest.value == pytest.approx(share, rel=1e-5)
        assert largest.lower <= share <= largest.upper
        total = total_sensitivity(A, p, n_draws=10, rng=0)
        assert total.lower <= lp_sensitivities(A, p, rtol=1e-2).sum() <= total.upper
    assert not lp_sensitivities(A, np.inf).certified


@pytest.mark.parametrize("name", ["one", "two", "two levels"])
@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_long_rows_in_directions_of_their_own_are_certified(name, p):
    A = LONG[name]
    long = np.flatnonzero(np.abs(A).max(axis=1) > 1e10)
    basis = np.linalg.svd(A[long] / np.abs(A[long]).max(axis=1, keepdims=True))[2][len(long) :].T
    expected = np.ones(40)  # the others count where the long ones vanish
    expected[np.delete(np.arange(40), long)] = lp_sensitivities(
        np.delete(A, long, 0) @ basis, p, rtol=1e-6
    )
    assert leverage_scores(A).certified or name == "two levels"
    for method in ("exact", "bound"):
        scores = lp_sensitivities(A, p, method=method, rtol=2e-2)
        assert scores.certified or name == "two levels"
        assert (scores.lower <= expected * (1 + 1e-6)).all()
        assert (expected <= scores.upper * (1 + 1e-6)).all()
    np.testing.assert_allclose(lp_sensitivities(A, p, rtol=1e-6), expected, rtol=1e-4)


@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_what_a_shorter_row_changes_is_accounted_for(p):
    """With rows shortened far too much, bounds hold for the rows as they were given."""
    for A in (
        with_rows(row3=1e6),
        with_rows(row3=1e6, row9=3e6),
        with_rows(row3=1e6 * ONES, row9=2e6 * ONES),
        with_rows(row3=1e5, row9=1e10),
        with_rows(row3=1e6, row7=1e6, row9=2e6, row20=3e6, row21=1e6),  # more than columns
    ):
        exact, tiles = leverage_scores(A), Tiles(A)
        assert tiles.shorten_rows(2.0**12)
        assert not tiles.shorten_rows(2.0)  # once
        factor = whiten(tiles)
        error = np.abs(tiles.norms(factor.transform) ** 2 - exact).max()
        assert 0.0 < error <= factor.doubt
        space = geometry(tiles, p)
        given = lp_sensitivities(A, p, rtol=1e-6)
        low, high = space.of_given_rows(space.lower, space.upper)
        assert (low <= given.upper).all()
        assert (given.lower <= high).all()
        few = np.array([3, 9, 0])
        few_low, few_high = space.of_given_rows(space.lower[few], space.upper[few], few)
        np.testing.assert_array_equal((few_low, few_high), (low[few], high[few]))


def test_small_powers_know_what_they_cannot_say():
    """At p = 1/4 a row of 1e11 and one of 1e20 leave rather different shares to the others."""
    A = np.r_[with_rows(), ONES * np.arange(1, 41)[:, None] / 20]
    A[50] *= 1e20
    w = lewis_weights(A, 0.25, rtol=1e-3)
    assert not w.certified
    assert (w.lower[50], w.upper[50]) == (0.0, 1.0)
    truth = (np.arange(1, 41)[10] / 20 * 1e20) ** 0.25
    others = np.abs(np.delete(np.arange(1, 41), 10) / 20) ** 0.25
    assert 1 - w[50] > 10 * others.sum() / truth  # what was computed is far off


def test_gaps_are_cut_to_one_width():
    def plan(limit, **counts):
        table = np.zeros(LENGTHS)
        for place, count in counts.items():
            table[int(place[1:])] = count
        return gaps_to_close(table, np.zeros(3, int), limit)

    assert plan(2.0**10, _0=5) is None  # rows of zeros
    assert plan(2.0**10, _0=50, _100=5, _110=1) is None
    one = plan(2.0**10, _0=50, _90=2, _100=9, _103=3, _200=1, _201=2)
    assert list(one.above) == [3]
    assert [int(one.shifts[k]) for k in (0, 90, 100, 103, 200, 201)] == [0, 0, 0, 0, 91, 91]
    assert [int(one.levels[k]) for k in (0, 90, 100, 103, 200, 201)] == [0, 0, 0, 0, 1, 1]
    two = plan(2.0**10, _100=9, _200=1, _300=2)
    assert list(two.above) == [3, 2]
    assert [int(two.shifts[k]) for k in (200, 300)] == [95, 190]
    many = plan(2.0**3, **{f"_{k}": 40 - k // 10 for k in range(100, 200, 10)})
    assert (np.diff([k - int(many.shifts[k]) for k in range(100, 200, 10)]) >= 0).all()
    assert max(k - int(many.shifts[k]) for k in range(100, 200, 10)) == 140 + 3
