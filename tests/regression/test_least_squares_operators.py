"""`lstsq` with sparse matrices and linear operators."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from randla import lstsq
from randla.datasets import ill_conditioned
from randla.regression._least_squares import problem
from tests.data import deficient, normal
from tests.regression.least_squares_reference import METHODS, U, augmented, backward_error


@pytest.fixture
def nothing_is_made_dense(monkeypatch):
    """Let no sparse matrix and no operator be small enough for that: large ones take long."""
    monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)


@pytest.mark.usefixtures("nothing_is_made_dense")
@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("method", METHODS)
def test_sparse(make, method):
    A = make(sparse.random(3000, 20, density=0.2, random_state=0))
    b, weights = normal(3000, 2, seed=1), np.random.default_rng(2).exponential(size=3000)
    for options in ({}, {"weights": weights, "ridge": 2.0}):
        expected = np.linalg.lstsq(*augmented(A.toarray(), b, **options))[0]
        x = lstsq(A, b, method=method, rng=0, **options).x
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("nothing_is_made_dense")
@pytest.mark.parametrize("kind", ["random", "graded", "fixed effects"])
def test_sparse_with_many_columns(kind):
    rng = np.random.default_rng(0)
    A = sparse.csr_array(sparse.random(3000, 400, density=0.01, random_state=0))
    if kind == "graded":
        A = sparse.csr_array(A * np.geomspace(1.0, 1e-7, 400))
    elif kind == "fixed effects":  # of two groupings, whose indicators both add up to one
        groups = [np.eye(200)[rng.integers(200, size=3000)] for _ in range(2)]
        A = sparse.csr_array(np.hstack(groups))
    b = normal(3000, 2, seed=1)
    result = lstsq(A, b, rng=0)
    assert result.converged
    assert result.method == ("cholesky" if kind == "graded" else "lsqr")
    expected = np.linalg.pinv(A.toarray(), rcond=1e-12) @ b
    scale = np.abs(A).max(axis=0).toarray() if kind == "graded" else np.ones(400)
    np.testing.assert_allclose(
        result.x * scale[:, None],
        expected * scale[:, None],
        rtol=0,
        atol=1e-8 if kind == "graded" else 1e-12,
    )


@pytest.mark.usefixtures("nothing_is_made_dense")
@pytest.mark.parametrize("ratio", [1e-6, 1e-10, 1e-20, 1e-200])
@pytest.mark.parametrize("shape", [(3000, 400), (300, 900)])
@pytest.mark.parametrize("make", [sparse.csr_array, aslinearoperator])
def test_products_with_columns_of_two_scales(make, shape, ratio):
    """LSQR stops at an error relative to the largest columns, and must not overlook the others."""
    A = sparse.random(*shape, density=0.05, random_state=0, format="csr")
    b = normal(shape[0], seed=1) + A[:, 100:] @ np.ones(shape[1] - 100)
    scale = np.where(np.arange(shape[1]) < 100, 1.0, ratio)
    if make is aslinearoperator and (ratio < 1e-100 or shape[0] > shape[1]):
        return  # columns beyond the range of operators; another method
    result = lstsq(make(sparse.csr_array(A.multiply(scale))), b)
    assert result.converged
    best = np.linalg.norm(b - A @ np.linalg.lstsq(A.toarray(), b)[0])
    residual = np.linalg.norm(b - A @ (scale * result.x))
    assert residual <= best * (1 + 1e-9) + 1e-8 * np.linalg.norm(b)


@pytest.mark.usefixtures("nothing_is_made_dense")
@pytest.mark.parametrize("scale", [1e-200, 1e-60, 1e60])
def test_lsqr_on_small_and_large_matrices(scale):
    A = sparse.random(300, 900, density=0.05, random_state=0, format="csr")
    b = normal(300, seed=1)
    x = lstsq(sparse.csr_array(A * scale), b).x
    np.testing.assert_allclose(x * scale, np.linalg.lstsq(A.toarray(), b)[0], atol=1e-12)


@pytest.mark.usefixtures("nothing_is_made_dense")
@pytest.mark.parametrize("make", [sparse.csr_array, aslinearoperator])
def test_a_ridge_with_lsqr(make):
    A = sparse.random(300, 900, density=0.05, random_state=0, format="csr")
    b = normal(300, seed=1)
    for ridge in (1e-2, 1.0):
        result = lstsq(make(A), b, ridge=ridge)  # a warning would be an error
        assert result.converged
        expected = np.linalg.lstsq(*augmented(A.toarray(), b, None, ridge))[0]
        np.testing.assert_allclose(result.x, expected, atol=1e-12)


def test_a_large_sparse_matrix_of_zeros():
    result = lstsq(sparse.csr_array((5000, 1000)), normal(5000))
    assert not result.x.any()
    assert result.residual_norm == pytest.approx(np.linalg.norm(normal(5000)))


@pytest.mark.usefixtures("nothing_is_made_dense")
def test_sparse_that_is_nearly_dense_or_badly_scaled():
    b = normal(3000, seed=1)
    for A in (
        sparse.random(3000, 20, density=0.01, random_state=0).toarray(),
        normal(3000, 20) * np.append(10.0 ** np.arange(-150, 130, 15), 0.0),
        deficient("one-hot", 3000)[0],
        ill_conditioned(3000, 20, condition=1e11, rng=0)[0],
    ):
        result, dense = lstsq(sparse.csr_array(A), b, rng=0), lstsq(A, b, rng=0)
        assert result.rank == dense.rank
        if result.rank == A.shape[1]:
            assert backward_error(A, b, result.x) <= 10 * U
        else:
            scale = np.abs(A).max(axis=0)
            np.testing.assert_allclose(result.x * scale, dense.x * scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("condition", [1e1, 1e8, 1e12])
@pytest.mark.parametrize("method", ["auto", "lsqr", "iterative"])
def test_operators(condition, method, monkeypatch):
    A, b, _ = ill_conditioned(3000, 20, condition=condition, rng=0)
    for limit in (0, 1 << 22):
        monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", limit)
        result = lstsq(aslinearoperator(A), b, method=method, rng=0)
        assert backward_error(A, b, result.x) <= 10 * U
        assert result.method == ("lsqr" if limit == 0 and method == "auto" else result.method)


@pytest.mark.usefixtures("nothing_is_made_dense")
def test_operators_with_options():
    A, b = normal(2000, 12), normal(2000, 3, seed=1)
    A[:, 5] = 0.0
    options = {"weights": np.random.default_rng(2).exponential(size=2000), "ridge": 3.0}
    expected = np.linalg.lstsq(*augmented(A, b, **options))[0]
    for method in ("auto", "sketch-cholesky", "cholesky"):
        x = lstsq(aslinearoperator(A), b, method=method, rng=0, **options).x
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12)
    deficient_answer = lstsq(aslinearoperator(A), b, rng=0)
    assert deficient_answer.rank == 11
    np.testing.assert_allclose(deficient_answer.x, np.linalg.lstsq(A, b)[0], atol=1e-12)


@pytest.mark.parametrize("method", ["auto", "sketch-cholesky", "iterative", "lsqr"])
def test_operators_that_are_zero(method):
    result = lstsq(aslinearoperator(np.zeros((300, 4))), normal(300, 2), method=method, rng=0)
    assert not result.x.any()
    assert result.rank == 0
    assert result.converged


@pytest.mark.parametrize("options", [{"method": "lsqr"}, {"sketch_size": 40, "rng": 0}])
def test_operators_without_an_adjoint_are_refused(options):
    A = normal(200, 3)
    operator = LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=float)
    with pytest.raises(TypeError, match="A must have a product with its transpose"):
        lstsq(operator, normal(200, seed=1), **options)
    np.testing.assert_allclose(
        lstsq(operator, normal(200, seed=1)).x, lstsq(A, normal(200, seed=1)).x, rtol=1e-12
    )


@pytest.mark.usefixtures("nothing_is_made_dense")
def test_operators_that_misbehave():
    A, b = normal(200, 3), normal(200)
    A[3, 1] = np.nan
    with pytest.raises(ValueError, match="A must be finite"):
        lstsq(aslinearoperator(A), b)
    with pytest.raises(ValueError, match="A must map arrays to real arrays"):
        lstsq(aslinearoperator(normal(200, 3) + 1j), b)
    with pytest.raises(ValueError, match="norms between"):
        lstsq(aslinearoperator(normal(200, 3) * 1e-200), b)


def test_lsqr_without_a_preconditioner():
    """The columns are more than a factor pays for, and one attempt of 120 steps is too short."""
    d = 5100
    A = sparse.diags_array([1.0, -0.95], offsets=[0, -1], shape=(d + 100, d), format="csr")
    x = normal(d, 2)
    result = lstsq(A, A @ x)
    assert result.method == "lsqr"
    assert result.rank is None
    assert result.n_passes > 500
    np.testing.assert_allclose(result.x, x, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("nothing_is_made_dense")
def test_lsqr_with_more_columns_than_rows():
    A, b = normal(40, 300), normal(40, 2, seed=1)
    result = lstsq(sparse.csr_array(A), b)
    assert result.method == "lsqr"
    assert result.rank is None
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, b)[0], rtol=0, atol=1e-12)
