"""Upper ends for subspaces that know little, where no iteration has converged."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from randla import svd
from randla.spectral._krylov import subspace
from randla.spectral._krylov.brackets import block_upper_bounds
from randla.spectral._krylov.residual_norm import residual_norm
from randla.spectral._matrix import open_matrix
from tests.spectral import hostile


def projection(A, V):
    """mu, C and nu of the span of V; C may have any rows with the norms of the residuals."""
    mu, S = np.linalg.eigh(V.T @ A.T @ A @ V)
    mu, V = mu[::-1], V @ S[:, ::-1]
    residuals = A.T @ (A @ V) - V * mu
    nu = np.linalg.norm(A - A @ V @ V.T, 2) ** 2
    return mu, np.linalg.qr(residuals)[1], nu


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["power", "linear", "tie"]))
def test_upper_ends_of_any_subspace(seed, kind):
    rng = np.random.default_rng(seed)
    n, s = 20, int(rng.integers(1, 19))
    true = {
        "power": 0.7 ** np.arange(n),
        "linear": np.linspace(1, 0.1, n),
        "tie": np.where(np.arange(n) < 6, 1.0, 0.2),
    }[kind]
    A = hostile.rotated(rng, 30, n, true)
    V = np.linalg.svd(A)[2][:s].T + 10.0 ** -rng.integers(0, 6) * rng.standard_normal((n, s))
    mu, C, nu = projection(A, np.linalg.qr(V)[0])
    upper = block_upper_bounds(mu, C, nu, s)
    assert (upper >= true[:s] ** 2 - 1e-14).all()
    assert (upper <= np.maximum(mu, nu) + np.linalg.norm(C, 2) + 1e-14).all()


@pytest.mark.parametrize("s", [1, 3, 6])
def test_no_upper_end_is_smaller(s):
    """An A with ``A'A = M (+) nu I`` has these mu, C and nu, and the values that they allow."""
    rng = np.random.default_rng(s)
    C, nu = 0.3 * rng.standard_normal((2, s)), 1.0
    squares = np.eye(12) * nu
    squares[:s, :s], squares[s : s + 2, :s] = np.diag(np.arange(s, 0.0, -1.0) + 1.5), C
    squares[:s, s : s + 2] = C.T
    Q = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    A = np.linalg.cholesky(squares).T @ Q.T
    upper = block_upper_bounds(*projection(A, Q[:, :s]), s)
    np.testing.assert_allclose(upper, np.linalg.svd(A)[1][:s] ** 2, rtol=1e-12)


def never(lower, upper):
    return False


@pytest.mark.parametrize("s", [np.linspace(1.0, 0.5, 200), 1.0 - 0.1 * np.cos(np.arange(200))])
@pytest.mark.parametrize("steps", [(8,), (12,), (4, 8, 16)])
def test_norm_of_a_complement(s, steps):
    """After a few steps the Ritz values are still below the norm, the upper ends above."""
    rng = np.random.default_rng(0)
    A = hostile.rotated(rng, 220, 200, np.sort(s)[::-1])
    V = np.linalg.svd(A)[2][:5].T
    lower, upper, space = residual_norm(open_matrix(A), V, 1e-6, rng, steps, never)
    true = np.sort(s)[::-1][5] ** 2
    assert lower < (1.0 - 1e-5) * true
    assert true < upper < np.inf
    np.testing.assert_allclose(V.T @ space.X, 0.0, atol=1e-13)
    assert residual_norm(open_matrix(A), V, 1e-6, rng, [2], never)[1] > true
    lower, upper, _ = residual_norm(open_matrix(np.eye(9)), None, 1e-6, rng, [8], never)
    np.testing.assert_allclose([lower, upper], 1.0, rtol=1e-9)


def test_values_that_a_gram_matrix_loses_are_had_by_qr(monkeypatch):
    monkeypatch.setattr(subspace, "choose_route", lambda *_: "gram")
    s = 10.0 ** -np.arange(0.0, 12.0)
    A = hostile.rotated(np.random.default_rng(0), 40, 12, s)
    assert svd(A, 3).method == "gram"
    result = svd(A, 9)
    assert result.method == "qr"
    np.testing.assert_allclose(result.s, s[:9], rtol=1e-6)
