"""`diagonal`: what is exact, what is chosen, and what is refused."""

import math

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla import diagonal
from randla.spectral import _diagonal
from randla.spectral._traces import test_vectors
from randla.spectral._traces.test_vectors import sign_vectors
from tests.spectral.trace_reference import rotated

N = 90
_j = np.arange(N)
FAST = rotated(0.7**_j)
SQUARE = np.random.default_rng(0).standard_normal((N, N))


def test_what_is_exact():
    for make in (np.asarray, sparse.csc_array, aslinearoperator):
        result = diagonal(make(SQUARE), N)
        np.testing.assert_array_equal(result.value, SQUARE.diagonal())
        assert not result.standard_error.any()
        assert result.n_products == (N if make is aslinearoperator else 0)
        assert (result.method, result.degrees_of_freedom) == ("exact", math.inf)
        np.testing.assert_array_equal(result.confidence_interval(), [result.value] * 2)
    np.testing.assert_array_equal(diagonal(SQUARE).value, SQUARE.diagonal())


@pytest.mark.parametrize("A", [FAST, FAST @ SQUARE], ids=["symmetric", "not"])
def test_xdiag_is_near(A):
    result = diagonal(aslinearoperator(A), 50, rng=0)
    low, high = result.confidence_interval(0.99)
    assert (result.method, result.n_products, result.degrees_of_freedom) == ("xdiag", 50, 22.0)
    assert np.mean((low <= A.diagonal()) & (A.diagonal() <= high)) > 0.95
    assert np.abs(result.value - A.diagonal()).max() < 1e-2


def test_the_plain_mean_is_taken_for_flat_spectra(monkeypatch):
    monkeypatch.setattr(_diagonal, "draw_key", lambda rng: np.uint64(7))
    for batch in (64, 7):
        monkeypatch.setattr(test_vectors, "BLOCK_COLUMNS", batch)
        for method, count in (("auto", 36), ("hutchinson", 40)):  # four choose
            result = diagonal(aslinearoperator(SQUARE), 40, method=method)
            assert (result.method, result.n_products) == ("hutchinson", 40)
            assert result.degrees_of_freedom == count - 1.0
            X = sign_vectors(np.uint64(7), 0, count, N)
            samples = X * (SQUARE @ X)
            np.testing.assert_allclose(result.value, samples.mean(axis=1), rtol=1e-12, atol=1e-13)
            error = samples.std(axis=1, ddof=1) / np.sqrt(count)
            np.testing.assert_allclose(result.standard_error, error, rtol=1e-12)
    D = np.diag(1.0 + _j)  # signs see the diagonal only
    result = diagonal(aslinearoperator(D), 20)
    np.testing.assert_array_equal(result.value, 1.0 + _j)
    assert result.standard_error.max() < 1e-13


def test_basis_where_it_holds_half_of_the_norm():
    for share, method in ((0.8, "xdiag"), (0.3, "hutchinson")):
        # A basis of 30 vectors holds the 10 large values and little of the rest.
        large = np.sqrt(share / (1.0 - share) * (N - 10) / 10)
        A = rotated(np.where(_j < 10, large, 1.0))
        assert diagonal(aslinearoperator(A), 30, rng=0).method == method


def test_symmetric_needs_no_transpose():
    A = LinearOperator((N, N), matvec=lambda x: FAST @ x, dtype=float)
    with pytest.raises(TypeError, match=r"A must have a product with its transpose .* symmetric"):
        diagonal(A, 40)
    result = diagonal(A, 40, symmetric=True, method="xdiag", rng=0)
    expected = diagonal(FAST, 40, method="xdiag", rng=0)
    np.testing.assert_allclose(result.value, expected.value, atol=1e-12)
    np.testing.assert_allclose(result.standard_error, expected.standard_error, atol=1e-10)
    assert diagonal(A, 40, method="hutchinson").n_products == 40


def test_products_that_are_not_adjoint_are_refused():
    def times(X):
        return FAST @ SQUARE @ X

    for transposed in (times, lambda X: 1.01 * SQUARE.T @ (FAST @ X)):
        A = LinearOperator((N, N), times, transposed, times, float, transposed)
        with pytest.raises(ValueError, match="A must have a product with its own transpose"):
            diagonal(A, 40, method="xdiag")
    with pytest.raises(ValueError, match="A must be symmetric with symmetric=True"):
        diagonal(A, 40, symmetric=True, method="xdiag")


@pytest.mark.parametrize("exponent", [-900, 900])
@pytest.mark.parametrize("method", ["xdiag", "hutchinson"])
def test_scales(method, exponent):
    plain = diagonal(aslinearoperator(FAST), 20, method=method, rng=0)
    scaled = diagonal(aslinearoperator(np.ldexp(FAST, exponent)), 20, method=method, rng=0)
    for name in ("value", "standard_error"):
        got = np.ldexp(getattr(scaled, name), -exponent)
        np.testing.assert_allclose(got, getattr(plain, name), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("rank", [0, 1, 9, 14])
def test_low_rank_is_exact(rank):
    for A in (rotated((_j + 1.0) * (_j < rank)), np.diag((_j + 1.0) * (_j < rank))):
        result = diagonal(aslinearoperator(A), 40, rng=0)
        assert np.abs(result.value - A.diagonal()).max() <= 1e-13 * A.trace()
        assert result.standard_error.max() <= 1e-11 * A.trace()
