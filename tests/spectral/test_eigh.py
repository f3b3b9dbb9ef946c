"""Eigenvalues and their brackets against LAPACK."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla import eigh
from randla.spectral import _eigh
from tests.spectral.reference import SYMMETRIC, eigenvalues, symmetric

_FORMS = [np.asarray, sparse.csr_array, aslinearoperator]


def by_krylov(patch, passes=300, steps=40):
    patch.setattr(_eigh, "_suits_lapack", lambda *_: False)
    patch.setattr(_eigh, "_PASSES", passes)
    patch.setattr(_eigh, "_STEPS", steps)


def check(A, result, which):
    exact, largest = eigenvalues(A, result.values, which)
    assert (result.lower <= exact).all()
    assert (exact <= result.upper).all()
    assert (result.lower <= result.values).all()
    assert (result.values <= result.upper).all()
    V, unit = result.vectors, max(largest, 1e-300)
    np.testing.assert_allclose(V.T @ V, np.eye(V.shape[1]), atol=1e-12)
    R = (A / unit) @ V - V * (result.values / unit)
    assert (np.linalg.norm(R, axis=0) <= result.residuals / unit + 1e-12).all()
    if result.error_kind == "exact":
        error = np.linalg.norm(A / unit - (V * (result.values / unit)) @ V.T)
        np.testing.assert_allclose(result.error / unit, error, rtol=1e-3, atol=1e-7)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(SYMMETRIC),
    form=st.sampled_from(_FORMS),
    which=st.sampled_from(["magnitude", "largest", "smallest"]),
    krylov=st.booleans(),
)
def test_brackets_of_hostile_matrices(seed, kind, form, which, krylov):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 50))
    A = symmetric(rng, kind, n) * 10.0 ** rng.choice([0, 0, 200, -200])
    with pytest.MonkeyPatch.context() as patch:
        if krylov:
            by_krylov(patch)
        result = eigh(form(A), int(rng.integers(1, n + 1)), which=which, rng=seed)
    check(A, result, which)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(SYMMETRIC),
    passes=st.sampled_from([2, 4, 300]),
    steps=st.sampled_from([2, 10, 40]),
    which=st.sampled_from(["magnitude", "largest", "smallest"]),
)
def test_brackets_of_unfinished_searches(seed, kind, passes, steps, which):
    rng = np.random.default_rng(seed)
    A = symmetric(rng, kind, 110)
    with pytest.MonkeyPatch.context() as patch:
        by_krylov(patch, passes, steps)
        result = eigh(A, int(rng.integers(1, 8)), which=which, rng=seed)
    check(A, result, which)


@pytest.mark.parametrize("n", [150, 300])  # by LAPACK, by a Krylov space
def test_residuals_of_an_operator_in_single_precision(n):
    """They include the rounding errors of products."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    A = ((Q * 0.8 ** np.arange(n)) @ Q.T).astype(np.float32)
    A = 0.5 * (A + A.T)

    def product(X):
        return A @ X.astype(np.float32)

    operator = LinearOperator(A.shape, matvec=product, matmat=product, dtype=A.dtype)
    result = eigh(operator, 5)
    exact = np.linalg.eigvalsh(A.astype(float))[::-1][:5]
    R = A.astype(float) @ result.vectors - result.vectors * result.values
    assert (np.linalg.norm(R, axis=0) <= result.residuals).all()
    assert (np.abs(result.values - exact) <= result.residuals).all()
    assert (result.residuals < 1e-4).all()
    assert result.converged


def test_brackets_are_quadratic_in_residuals(monkeypatch):
    by_krylov(monkeypatch)
    A = symmetric(np.random.default_rng(0), "two signs", 300)
    result = eigh(A, 6, rng=0)
    assert result.converged
    assert (result.upper - result.lower <= 1e-11).all()
    np.testing.assert_allclose(np.abs(result.values), 1.0 / np.arange(1, 7), rtol=1e-13)


def test_equal_eigenvalues_are_all_found(monkeypatch):
    by_krylov(monkeypatch)
    A = np.diag(np.r_[np.full(20, 2.0), np.full(100, -1.0)])
    result = eigh(A, 21, rng=0)
    np.testing.assert_allclose(result.values, np.r_[np.full(20, 2.0), -1.0], rtol=1e-12)
    check(A, result, "magnitude")


def test_operators_need_no_adjoint(monkeypatch):
    by_krylov(monkeypatch)
    A = symmetric(np.random.default_rng(1), "two signs", 150)
    operator = LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=float)
    result = eigh(operator, 4, rng=0)
    check(A, result, "magnitude")
    assert result.error_kind == "estimate"
    np.testing.assert_allclose(
        result.error,
        np.linalg.norm(A - (result.vectors * result.values) @ result.vectors.T),
        rtol=0.5,
    )
    assert pickle.loads(pickle.dumps(result)).converged


def test_dask():
    da = pytest.importorskip("dask.array")
    A = symmetric(np.random.default_rng(2), "two signs", 60)
    check(A, eigh(da.from_array(A, chunks=(13, 60)), 5), "magnitude")


def test_asymmetry_that_is_let_pass_widens_brackets():
    """Of an operator up to 1e-4, of a Dask array up to 1e-8: of the sum of A and A' over 2."""
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(0)
    A = symmetric(rng, "ones", 300)
    K = rng.standard_normal(A.shape)
    K = (K - K.T) / np.linalg.norm(K - K.T, 2)
    for size, form in ((5e-5, aslinearoperator), (2e-9, da.from_array), (2e-9, np.asarray)):
        matrix = _eigh._Symmetric(form(A + size * K))
        assert size <= matrix.asymmetry * matrix.scale <= 300.0 * size
    A = np.diag(np.r_[1.0, 1.0 - 1e-9, np.full(298, 0.3)])
    A[0, 1] += 5e-5
    A[1, 0] += 1e-5
    result = eigh(aslinearoperator(A), 1)
    assert result.lower[0] <= 1.0 + 3e-5 - 5e-10 <= result.upper[0]
    assert result.upper[0] - result.lower[0] >= 4e-5


def test_what_is_not_symmetric_is_refused():
    A = np.random.default_rng(0).standard_normal((20, 20))
    for B in (A, sparse.csr_array(A), np.triu(A)):
        with pytest.raises(ValueError, match=r"A must be symmetric, got \|A - A'\| .*: pass 0\.5"):
            eigh(B, 2)
    with pytest.raises(ValueError, match=r"A must be symmetric, got x'Ay and y'Ax .* random vect"):
        eigh(aslinearoperator(A), 2)
    da = pytest.importorskip("dask.array")
    D = A + A.T + np.triu(np.full(A.shape, 1e-6), 1)
    with pytest.raises(ValueError, match="A must be symmetric"):
        eigh(da.from_array(D, chunks=(7, 20)), 2)
    A = A + A.T
    A[3, 4] += 1e-3  # too little for random vectors
    with pytest.raises(ValueError, match="A must be symmetric"):
        eigh(A, 2)
    with pytest.raises(ValueError, match="A must be square"):
        eigh(A[:5], 2)
