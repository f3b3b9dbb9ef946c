"""Rows that leave the others no digits: scores are right, or not said to be."""

import numpy as np
import pytest
from scipy import sparse

from randla._tall.open import open_tall
from randla.sampling import (
    leverage_scores,
    lewis_weights,
    lp_sensitivities,
    max_sensitivity,
    total_sensitivity,
)
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


@pytest.mark.parametrize("p", [1, 1.5, 3, np.inf])
@pytest.mark.parametrize("name", ["one", "two", "parallel", "nearly parallel", "two levels"])
def test_nothing_is_certified_beside_long_rows(name, p):
    A = LONG[name]
    scores = [leverage_scores(A), lp_sensitivities(A, p, rtol=1e-2)]
    scores.append(lp_sensitivities(A, p, method="bound"))
    largest = max_sensitivity(A, p)
    assert largest.lower <= 1.0 <= largest.upper
    if p < np.inf:
        scores.append(lewis_weights(A, p, rtol=1e-3))
        assert total_sensitivity(A, p, n_draws=10, rng=0).lower == 0.0
    for found in scores:
        assert not found.certified
        assert (found.lower == 0.0).all()
        assert (found.upper == 1.0).all()


@pytest.mark.parametrize("name", ["one", "two", "two levels"])
@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_the_other_rows_keep_their_scores_beside_rows_in_directions_of_their_own(name, p):
    A = LONG[name]
    long = np.flatnonzero(np.abs(A).max(axis=1) > 1e10)
    basis = np.linalg.svd(A[long] / np.abs(A[long]).max(axis=1, keepdims=True))[2][len(long) :].T
    expected = np.ones(40)  # the others count where the long ones vanish
    expected[np.delete(np.arange(40), long)] = lp_sensitivities(
        np.delete(A, long, 0) @ basis, p, rtol=1e-6
    )
    np.testing.assert_allclose(lp_sensitivities(A, p, rtol=1e-6), expected, rtol=1e-4)


@each_form
def test_long_rows_are_cut_to_one_length(form):
    """In units of the medians of the columns, with weights, and by powers of two."""
    A = with_rows(row3=1e16, row9=1e30) * [1.0, 1e50, 1e-50, 2.0]
    A[20] = 0.0
    w = np.ones(40)
    w[30] = 1e20
    matrix = open_tall(form(A))
    assert matrix.shorten_rows(2.0**12, w)
    assert not matrix.shorten_rows(2.0, w)  # once
    B = matrix.rows(0, 40)
    ratio = np.divide(B, A, out=np.ones_like(A), where=A != 0.0)
    exponents = np.log2(ratio[:, 0])
    np.testing.assert_array_equal(ratio, np.exp2(exponents)[:, None] * np.ones(4))
    assert np.flatnonzero(exponents).tolist() == [3, 9, 30]
    unit = np.median(np.abs(A[A.any(axis=1)]), axis=0)
    lengths = np.abs(B / unit).max(axis=1)
    lengths[30] *= 1e20
    assert ((2.0**10 < lengths[[3, 9, 30]]) & (lengths[[3, 9, 30]] < 2.0**15)).all()
    assert not open_tall(form(with_rows())).shorten_rows(2.0**12)
    assert not open_tall(form(0.0 * A)).shorten_rows(2.0**12)


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
