"""Least squares with Kronecker products, which are never formed."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import t

from randla import KroneckerProduct, lstsq
from randla.regression._least_squares import problem
from tests.data import normal
from tests.regression.least_squares_reference import augmented, backward_error
from tests.statistical import claim

U = 2.0**-53


def product(shape1, shape2):
    K = KroneckerProduct(normal(*shape1), normal(*shape2, seed=1))
    return K, K.toarray()


@pytest.mark.parametrize("shapes", [((60, 4), (50, 3)), ((20, 5), (6, 9)), ((30, 30), (40, 3))])
@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("ridge", [0.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_full_precision(shapes, k, ridge, weighted):
    K, A = product(*shapes)
    b = normal(len(A), *([] if k is None else [k]), seed=2)
    weights = np.random.default_rng(3).exponential(size=len(A)) if weighted else None
    rows, rhs = augmented(A, b, weights, ridge)
    expected = np.linalg.lstsq(rows, rhs)[0]
    result = lstsq(K, b, ridge=ridge, weights=weights, rng=0)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(result.x, expected, rtol=0, atol=1e-11 * scale)
    norm = np.linalg.norm(rhs - rows @ expected, axis=0)
    np.testing.assert_allclose(result.residual_norm, norm, rtol=1e-9, atol=1e-12)
    assert result.rank == (A.shape[1] if ridge else np.linalg.matrix_rank(A))
    assert result.backward_error <= 10 * U


@pytest.mark.parametrize("condition", [1e2, 1e5])
def test_backward_error(condition):
    Q, V = np.linalg.qr(normal(60, 5))[0], np.linalg.qr(normal(5, 5, seed=1))[0]
    factor = Q * np.geomspace(1.0, 1.0 / condition, 5) @ V
    K = KroneckerProduct(factor, factor)
    A = K.toarray()
    for noise in (1.0, 0.0):
        b = A @ normal(25, seed=2) + noise * normal(3600, seed=3)
        assert backward_error(A, b, lstsq(K, b, rng=0).x) <= 10 * U


def test_minimum_norm():
    A1 = normal(40, 3)
    K = KroneckerProduct(np.hstack([A1, A1[:, :1], np.zeros((40, 1))]), normal(30, 2, seed=1))
    b = normal(1200, seed=2)
    result = lstsq(K, b)
    assert result.rank == 6
    np.testing.assert_allclose(result.x, np.linalg.lstsq(K.toarray(), b)[0], atol=1e-14)
    assert not lstsq(K, 0 * b).x.any()


@pytest.mark.parametrize("scales", [[1, 1e-14, 1], [1e12, 1e-20, 1e-3], [1e-100, 1, 1e100]])
@pytest.mark.parametrize("ridge", [1e-4, 1e-40])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("large", [True, False])
def test_a_ridge_beside_columns_of_far_scales(scales, ridge, first, large, monkeypatch):
    if large:
        monkeypatch.setattr(problem, "MAX_DENSE_ENTRIES", 0)
    factors = normal(40, 3) * scales, normal(15, 4, seed=1)
    K = KroneckerProduct(*factors) if first else KroneckerProduct(*factors[::-1])
    b = normal(600, seed=2) + 3.0
    rows, rhs = augmented(K.toarray(), b, None, ridge)
    norms = np.linalg.norm(rows, axis=0)
    best = np.linalg.norm(rhs - rows / norms @ np.linalg.lstsq(rows / norms, rhs)[0])
    result = lstsq(K, b, ridge=ridge)
    assert np.linalg.norm(rhs - rows @ result.x) <= best * (1 + 1e-9)
    quick = lstsq(K, b, ridge=ridge, sketch_size=100, rng=0)
    assert np.linalg.norm(rhs - rows @ quick.refine(K, b).x) <= best * (1 + 1e-9)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("size", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("first", [True, False])
def test_a_ridge_shares_among_dependent_columns(ridge, size, first):
    # Singular values of a factor that are rounding errors had a share of the products with A'b.
    rng = np.random.default_rng(4)
    groups = np.column_stack([np.ones(73), np.eye(3)[np.arange(73) % 3]])
    factors = groups, size * rng.standard_normal((11, 2))
    K = KroneckerProduct(*factors) if first else KroneckerProduct(*factors[::-1])
    A = K.toarray()
    b = A @ rng.standard_normal(8)
    result, expected = lstsq(K, b, ridge=ridge), lstsq(A, b, ridge=ridge, method="lapack")
    assert result.converged
    assert result.rank == 8
    scale = np.abs(expected.x).max()
    np.testing.assert_allclose(result.x, expected.x, rtol=0, atol=1e-9 * scale)
    assert result.residual_norm == pytest.approx(expected.residual_norm, rel=1e-6, abs=1e-6 * size)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1e-150, 1e100, 1e150])
def test_factors_whose_products_are_far_from_one(scale, ridge):
    A1, A2 = normal(12, 3), normal(15, 4, seed=1)
    ridge *= scale**2
    b = normal(180, seed=2)
    if ridge > 0.0:
        K, plain = KroneckerProduct(scale * A1, A2), KroneckerProduct(A1, A2)
        expected = lstsq(plain, b, ridge=1.0).x / scale
    else:
        K = KroneckerProduct(scale * A1, scale * A2)
        expected = np.linalg.lstsq(np.kron(A1, A2), b)[0] / scale**2
    result = lstsq(K, b, ridge=ridge)
    assert result.converged
    np.testing.assert_allclose(result.x, expected, rtol=1e-10)


def test_the_product_is_not_formed():
    K = KroneckerProduct(normal(400, 20), normal(300, 15, seed=1))
    b = normal(120_000, seed=2)
    lstsq(K, b, rng=0), lstsq(K, b, sketch_size=1200, rng=0)
    tracemalloc.start()
    exact, quick = lstsq(K, b, rng=0), lstsq(K, b, sketch_size=1200, rng=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * 8 * K.shape[0] * K.shape[1]
    z = (quick.x - exact.x) / quick.standard_error
    assert np.abs(z).max() < 7
    np.testing.assert_allclose(quick.refine(K, b).x, exact.x, rtol=0, atol=1e-13)


@claim(
    null="95% intervals from the structured sketch cover",
    test="one-sided z-tests",
    replicates=250,
    false_alarm=1e-7,
)
def test_coverage(trial):
    K, A = product((60, 4), (50, 3))
    b = normal(len(A), seed=2) ** 3
    exact = np.linalg.lstsq(A, b)[0]
    covered = []
    for rng in trial.rngs():
        result = lstsq(K, b, sketch_size=200, rng=rng)
        z = np.abs(result.x - exact) / result.standard_error
        covered.append((z < t.ppf(0.975, result.degrees_of_freedom)).mean())
    trial.assert_between(covered, 0.92, 0.97)
