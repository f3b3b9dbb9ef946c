"""Kronecker products and the sketch that keeps their structure."""

import pickle

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator

from randla import KroneckerProduct, KroneckerSRHT
from tests.sketching import reference


@pytest.mark.parametrize("shapes", [((3, 2), (5, 4)), ((1, 1), (1, 3)), ((7, 1), (2, 2))])
def test_product_is_numpys(shapes):
    rng = np.random.default_rng(1)
    A1, A2 = (rng.standard_normal(shape) for shape in shapes)
    K, A = KroneckerProduct(A1, A2), np.kron(A1, A2)
    assert isinstance(K, LinearOperator)
    assert K.shape == A.shape
    x, Y = rng.standard_normal(A.shape[1]), rng.standard_normal((A.shape[0], 3))
    for got, expected in (
        (K.toarray(), A), (K @ x, A @ x), (K.T @ Y, A.T @ Y), (K.H @ Y[:, 0], A.T @ Y[:, 0]),
        (K.T.toarray(), A.T), (K @ np.ones((len(x), 2)), A @ np.ones((len(x), 2))),
        (K.row_block(1, len(A)), A[1:]), (pickle.loads(pickle.dumps(K)) @ x, A @ x),
        (K.rmatvec(Y[:, 0]), A.T @ Y[:, 0]), (K.matmat(A.T), A @ A.T),
    ):  # fmt: skip
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)
    assert not K.A1.flags.writeable
    assert repr(K) == f"KroneckerProduct(<{shapes[0]}>, <{shapes[1]}>)"


def test_product_refuses_empty_factors():
    with pytest.raises(ValueError, match=r"A2 must have rows and columns, got shape \(2, 0\)"):
        KroneckerProduct(np.ones((2, 2)), np.ones((2, 0)))


@pytest.mark.parametrize(
    ("m", "n"), [(20, (3, 5)), (9, (1, 9)), (9, (9, 1)), (70, (5, 700)), (30, (600, 3))]
)
def test_sketch_is_its_definition(m, n):
    S = KroneckerSRHT(m, n, rng=2)
    E = reference.kronecker_srht(S)
    np.testing.assert_allclose(S.toarray(), E, rtol=0, atol=1e-15)
    rng = np.random.default_rng(3)
    A1, A2 = rng.standard_normal((n[0], 3)), rng.standard_normal((n[1], 2))
    expected = E @ np.kron(A1, A2)
    np.testing.assert_allclose(S @ KroneckerProduct(A1, A2), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(S @ np.kron(A1, A2), expected, rtol=0, atol=1e-11)
    a, b = A1[:, 0], A2[:, 0]
    np.testing.assert_allclose(S @ np.kron(a, b), E @ np.kron(a, b), rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [(2, 1030), (3, 1100), (2, 2500)])
def test_blocks_of_nothing_but_padding(n):
    """They have no row, also where a block of columns is loaded row by row."""
    S, A = KroneckerSRHT(40, n, rng=8), np.random.default_rng(9).standard_normal((n[0] * n[1], 3))
    expected = S @ A
    for matrix in (A, A.astype(np.float32)):
        got, parts = S @ np.asfortranarray(matrix), 0.0
        for i in range(0, len(A), 301):
            part = np.asfortranarray(matrix[i : i + 301])
            parts = parts + S.columns(i, i + len(part)) @ part
        for total in (got, parts):
            np.testing.assert_allclose(total, expected, rtol=0, atol=1e-11 if matrix is A else 1e-3)


def test_product_in_another_order_is_formed_in_blocks():
    S, rng = KroneckerSRHT(30, (6, 4), rng=4), np.random.default_rng(5)
    K = KroneckerProduct(rng.standard_normal((4, 2)), rng.standard_normal((6, 2)))
    np.testing.assert_allclose(S @ K, S @ K.toarray(), rtol=0, atol=1e-12)


def test_large_products_are_never_formed():
    """2^40 rows."""
    rng = np.random.default_rng(6)
    A1, A2 = rng.standard_normal((2**20, 2)), rng.standard_normal((2**20, 2))
    SA = KroneckerSRHT(600, (2**20, 2**20), rng=7) @ KroneckerProduct(A1, A2)
    gram = np.kron(A1.T @ A1, A2.T @ A2) / 2.0**40
    assert np.abs(SA.T @ SA / 2.0**40 - gram).max() < 0.4
