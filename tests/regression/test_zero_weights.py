"""Rows of weight zero have no part in a regression: the answer is that of the other rows."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse

from randla.regression import lp_regression
from tests.regression.lp_regression_reference import assert_certified, highs_quantile

FIELDS = ("x", "value", "lower_bound", "gap", "method", "n_rows_used", "n_iterations", "converged")


def assert_same(A, b, weights, **options):
    """All digits of the answer without the rows of weight zero, whose dual is zero."""
    kept = np.flatnonzero(weights)
    all_rows = lp_regression(A, b, weights=weights, **options)
    few = A if len(kept) == len(b) else A[kept]  # in the order that A has
    others = lp_regression(few, b[kept], weights=weights[kept], **options)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(all_rows, name), getattr(others, name), name)
    np.testing.assert_array_equal(all_rows.dual[kept], others.dual)
    assert (all_rows.dual[weights == 0] == 0.0).all()
    return all_rows


def groups(n, seed):
    rng = np.random.default_rng(seed)
    A = np.column_stack([np.ones(n), np.eye(5)[rng.integers(5, size=n)], rng.standard_normal(n)])
    return A, np.rint(4.0 * rng.standard_normal(n))


def test_one_hot_columns_and_few_weights():
    lab = [2, 0, 3, 3, 4, 4, 2, 1, 3, 3, 3, 0, 1, 0, 3]
    w = np.array([0.0, 1, 0, 1, 2, 0, 0, 2, 0, 0, 1, 2, 0, 0, 0])
    b = np.array([1.0, 6, -1, -6, 2, -3, -2, 3, -8, 6, 6, 1, -8, 7, 5])
    A = np.column_stack([np.ones(15), np.eye(5)[lab]])
    assert assert_same(A, b, w, tau=0.05).value == pytest.approx(0.85, rel=1e-14)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    zeros=st.floats(0.0, 0.95),
    options=st.sampled_from(
        [
            {"tau": 0.05},
            {"tau": [0.3, 0.9]},
            {"p": 1, "l1": 0.7},
            {"tau": 0.5, "l1": [0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 30.0]},
            {"p": 1, "method": "preprocess"},
            {"p": 1, "method": "sample", "rng": 3},
            {"p": 1.5},
            {"p": 2},
            {"p": 3, "method": "sample", "rng": 3},
            {"p": 7},
            {"p": np.inf},
        ]
    ),
    form=st.sampled_from([np.asarray, np.asfortranarray, sparse.csr_array]),
)
def test_the_answer_of_the_other_rows(seed, n, zeros, options, form):
    rng = np.random.default_rng(seed)
    A, b = groups(n, seed)
    w = np.where(rng.random(n) < zeros, 0.0, rng.integers(1, 4, n))
    w[rng.integers(n)] = 1.0
    assert_same(form(A), b, w, **options)


@pytest.mark.parametrize("method", ["full", "preprocess"])
def test_many_rows(method):
    A, b = groups(60_000, 1)
    w = np.where(np.random.default_rng(2).random(60_000) < 0.6, 0.0, 1.5)
    result = assert_same(A, b, w, tau=0.3, method=method, rng=0)
    assert result.method == method
    assert_certified(A, b, result, tau=0.3, weights=w)


@pytest.mark.parametrize("share", [0.4, 0.55, 0.7])
def test_exact_vertices_of_gaussian_rows(share):
    # 40 problems each, solved to the vertex: HiGHS stops at 1e-7, relative to numbers of size one.
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n, d = int(rng.integers(10, 61)), 4
        A, b = rng.standard_normal((n, d)), rng.standard_normal(n)
        w = np.where(rng.random(n) < share, 0.0, rng.integers(1, 3, n))
        w[:3] = 1.0
        result = lp_regression(A, b, tau=0.25, weights=w)
        assert_certified(A, b, result, tau=0.25, weights=w)
        assert abs(result.value - highs_quantile(A, b, 0.25, w)) <= 1e-9 * (1.0 + result.value)


@pytest.mark.parametrize("seed", [1, 8, 12, 78, 91, 141])
def test_rows_with_columns_of_their_own_do_not_measure_the_tail(seed):
    # Most residuals of least squares are rounding errors, as those of rows without weight were.
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 90))
    own = int(n * rng.uniform(0.3, 0.8))
    A = np.zeros((n, own + 2))
    A[:own, :own] = np.eye(own)
    A[:, own:] = rng.standard_normal((n, 2))
    b = rng.standard_normal(n)
    if seed % 2:
        A, b = np.where(A == 1.0, A, np.rint(2.0 * A)), np.rint(3.0 * b)
    for tau in (0.1, 0.5):
        result = lp_regression(A, b, tau=tau)
        assert_certified(A, b, result, tau=tau)
        assert abs(result.value - highs_quantile(A, b, tau)) <= 1e-9 * result.value


def test_only_zeros_are_refused():
    with pytest.raises(ValueError, match="weights must have a positive sum, got only zeros"):
        lp_regression(np.ones((3, 1)), np.ones(3), weights=np.zeros(3))
