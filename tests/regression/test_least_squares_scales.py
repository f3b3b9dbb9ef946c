"""`lstsq` with columns, rows, weights and whole matrices of any scale."""

import numpy as np
import pytest

from randla import lstsq
from tests.data import normal
from tests.regression.least_squares_reference import METHODS, U, augmented, backward_error


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2000, 15), (60, 4)])
def test_columns_of_any_scale(method, shape):
    A, b = normal(*shape), normal(shape[0], seed=1)
    scale = 10.0 ** np.random.default_rng(2).uniform(-150, 150, shape[1])
    scale[:2] = 1e150, 1e-150
    result = lstsq(A * scale, b, method=method, rng=0)
    np.testing.assert_allclose(result.x * scale, np.linalg.lstsq(A, b)[0], rtol=1e-11, atol=1e-14)
    assert result.rank == shape[1]


@pytest.mark.parametrize("method", METHODS)
def test_columns_scaled_by_powers_of_two_give_the_same_bits(method):
    A, b = normal(2000, 15), normal(2000, seed=1)
    scale = 2.0 ** np.random.default_rng(2).integers(-40, 40, 15)
    plain = lstsq(A, b, method=method, rng=0).x
    assert np.array_equal(lstsq(A * scale, b, method=method, rng=0).x * scale, plain)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_wide_matrices_of_any_scale(scale):
    A, b = normal(4, 9), normal(4, seed=1)
    expected = np.linalg.lstsq(A, b)[0]
    np.testing.assert_allclose(lstsq(A * scale, b).x * scale, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(lstsq(A, b * scale).x / scale, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(lstsq(A * scale, b * scale).x, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scale", [1e-150, 1e-60, 1e60, 1e150])
def test_a_ridge_and_weights_scale_with_the_data(scale):
    A, b = normal(500, 4), normal(500, seed=1)
    expected = lstsq(A, b, ridge=7.0).x
    scaled = lstsq(A * scale, b, ridge=7.0 * scale**2).x * scale
    np.testing.assert_allclose(scaled, expected, rtol=1e-12)
    weighted = lstsq(A, b, ridge=7.0 * scale, weights=np.full(500, scale)).x
    np.testing.assert_allclose(weighted, expected, rtol=1e-12)


def test_a_coefficient_beyond_float64_is_an_error():
    with pytest.raises(ValueError, match="exceed the largest float64"):
        lstsq(normal(50, 2) * 1e-200, normal(50, seed=1) * 1e200)


def test_heavy_and_empty_rows():
    A, b = normal(3000, 12), normal(3000, seed=1)
    A[7] *= 1e8
    A[100:2000] = 0.0
    b[20] = 1e8
    assert backward_error(A, b, lstsq(A, b).x) <= 10 * U


def test_large_weights_ratios():
    A, b = normal(3000, 6), normal(3000, seed=1)
    weights = 10.0 ** np.random.default_rng(2).uniform(-6, 6, 3000)
    rows, rhs = augmented(A, b, weights)
    x = lstsq(A, b, weights=weights).x
    assert backward_error(rows[:3000], rhs[:3000], x) <= 10 * U


def test_rows_of_weight_zero_do_not_count():
    A, b = normal(400, 3), normal(400, seed=1)
    weights = np.repeat([1.0, 0.0], 200)
    x = lstsq(A, b, weights=weights).x
    np.testing.assert_allclose(x, np.linalg.lstsq(A[:200], b[:200])[0], atol=1e-13)
