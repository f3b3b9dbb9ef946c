"""Square matrices known by their products: what is taken, counted, checked, refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import randla
from randla.spectral._matrix.square import SquareMatrix, as_readable, read_diagonal, require_psd
from randla.spectral._traces.test_vectors import sign_vectors, sphere_vectors

N = 70  # more than are sent through an operator at a time
A = np.random.default_rng(0).standard_normal((N, N))


def by_columns(A, dtype=float):
    return LinearOperator(A.shape, matvec=lambda x: A @ x, rmatvec=lambda x: A.T @ x, dtype=dtype)


@pytest.mark.parametrize("make", [np.asarray, sparse.csc_array, aslinearoperator, by_columns])
@pytest.mark.parametrize("exponent", [-900, 0, 900])
def test_products_are_those_of_the_matrix(make, exponent):
    X = np.random.default_rng(1).standard_normal((N, N))
    M = SquareMatrix(make(np.ldexp(A, exponent)))
    for multiply, B in ((M.times, A), (M.transposed_times, A.T)):
        Y = multiply(X)
        assert 1e-3 < np.abs(Y).max() < 1e3
        np.testing.assert_allclose(Y * np.ldexp(M.scale, -exponent), B @ X, rtol=0, atol=1e-12)
    assert (M.n, M.n_products) == (N, 2 * N)


def test_zero_products_set_no_scale():
    D = np.diag([0.0, 1e300])
    M = SquareMatrix(aslinearoperator(D))
    assert not M.times(np.array([[1.0], [0.0]])).any()
    assert 0.5 <= M.times(np.array([[0.0], [1.0]]))[1, 0] < 2.0


def test_dask_array_as_a_square_matrix():
    da = pytest.importorskip("dask.array")
    D = da.from_array(A, chunks=(30, 40))
    np.testing.assert_array_equal(read_diagonal(as_readable(D)), A.diagonal())
    X = np.eye(N, 3)
    M = SquareMatrix(D)
    np.testing.assert_allclose(M.times(X) * M.scale, A @ X, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (np.ones((2, 3)), ValueError, r"A must be square .* got shape \(2, 3\)"),
        (aslinearoperator(np.ones((2, 3))), ValueError, r"A must be square .* shape \(2, 3\)"),
        (np.ones((0, 0)), ValueError, "A must be square and not empty"),
        (np.ones(3), ValueError, "A must be 2-D"),
        (aslinearoperator(np.eye(2) * 1j), TypeError, "A must hold real numbers, got complex"),
        (np.eye(2).astype(object), TypeError, "A must hold real numbers"),
        ([[1.0, np.nan], [0.0, 1.0]], ValueError, "A must be finite, got NaN"),
    ],
)
def test_what_is_no_square_matrix_is_refused(bad, error, text):
    with pytest.raises(error, match=text):
        SquareMatrix(as_readable(bad))


def test_products_are_checked():
    def operator(product):
        return SquareMatrix(LinearOperator((3, 3), matmat=product, matvec=product, dtype=float))

    X = np.ones((3, 2))
    with pytest.raises(ValueError, match="A must be finite, got NaN or inf in a product"):
        operator(lambda X: X * np.inf).times(X)
    with pytest.raises(ValueError, match=r"arrays of shape \(3, 2\), got dtype complex128"):
        operator(lambda X: X * 1j).times(X)
    single = LinearOperator((3, 3), matvec=lambda x: x[:2], dtype=float)
    with pytest.raises(ValueError, match=r"A must map arrays to .*arrays of shape \(3, 2\), got"):
        SquareMatrix(single).times(X)
    with pytest.raises(TypeError, match="A must have a product with its transpose"):
        operator(lambda X: X).transposed_times(X)


CALLS = {
    "svd": lambda A: randla.svd(A, 2),
    "eigh": lambda A: randla.eigh(A, 2),
    "spectral_norm": randla.spectral_norm,
    "trace": lambda A: randla.trace(A, 40),
    "diagonal": lambda A: randla.diagonal(A, 40),
    "logdet": lambda A: randla.logdet(A, lower=0.5, n_products=40),
    "logdet by columns": lambda A: randla.logdet(A, n_products=N),
}


def known_by(product, shape=(N, N)):
    """What SciPy makes an operator of, with no dtype: it tries a product."""
    return SimpleNamespace(shape=shape, matvec=product, rmatvec=product)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        (known_by(lambda x: x[1:]), ValueError, r"A must map .* shape \(70,\), got: .*size 69"),
        (known_by(lambda x: None), ValueError, r"A must map .* shape \(70,\), got: .*size 1"),
        (known_by(lambda x: 1j * x), TypeError, "A must hold real numbers, got complex numbers"),
        (known_by(lambda x: x.astype(object)), TypeError, "A must hold real numbers, got dtype ob"),
        (known_by(lambda x: x * np.nan), ValueError, "A must be finite, got NaN"),
        (known_by(lambda x: x, (N,)), TypeError, r"A must have a shape of two .* shape \(70,\)"),
        (known_by(lambda x: x, (9.0, 9.0)), TypeError, r"A must have .* got shape \(9\.0, 9\.0\)"),
        (known_by(lambda x: x, None), TypeError, "A must have a shape of two .* got shape None"),
        (known_by(lambda x: x, (-1, -1)), ValueError, r"A must .* got shape \(-1, -1\)"),
        (LinearOperator((N, N), matvec=lambda x: x[1:], dtype=float), ValueError, "A must map"),
        (LinearOperator((N, N), matvec=lambda x: 1j * x, dtype=float), ValueError, "A must map"),
    ],
)  # fmt: skip
def test_every_function_names_an_operator_that_is_none(name, bad, error, text):
    with pytest.raises(error, match=text):
        CALLS[name](bad)


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="no wider type")
@pytest.mark.parametrize("name", CALLS)
def test_products_beyond_double_precision_are_refused(name):
    big = np.longdouble(1e300) ** 2
    A = LinearOperator(
        (N, N), matvec=lambda x: big * x, rmatvec=lambda x: big * x, dtype=np.longdouble
    )
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="A must"):
        CALLS[name](A)


def test_what_is_not_positive_semidefinite_is_seen():
    X = sphere_vectors(np.uint64(1), 0, 5, N)
    B = A @ A.T
    require_psd(X, B @ X, 1e-16)
    require_psd(X, np.outer(A[0], A[0] @ X), 1e-16)  # forms near zero
    with pytest.raises(ValueError, match=r"A must be positive .*, got x'Ax = -0\.\d.*psd=False"):
        require_psd(X, -B @ X, 1e-16)
    with pytest.raises(ValueError, match=r"A must be symmetric with psd=True.*: pass psd=False"):
        require_psd(X, (B + 30 * (np.triu(A) - np.triu(A).T)) @ X, 1e-16)


@pytest.mark.parametrize("draw", [sphere_vectors, sign_vectors])
def test_a_vector_is_a_function_of_key_and_index(draw):
    X = draw(np.uint64(3), 0, 7, 100)
    np.testing.assert_allclose(np.linalg.norm(X, axis=0), 10.0, rtol=1e-14)
    np.testing.assert_array_equal(draw(np.uint64(3), 2, 5, 100), X[:, 2:5])
    assert draw(np.uint64(3), 4, 4, 100).shape == (100, 0)
    assert np.abs(X.T @ X / 100 - np.eye(7)).max() < 0.5
    assert not np.array_equal(draw(np.uint64(4), 0, 7, 100), X)
