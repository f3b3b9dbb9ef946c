"""Pivoted Cholesky factors against dense algebra; nothing here depends on which pivots came."""

import numpy as np
import pytest

from randla import pivoted_cholesky
from tests.spectral.kernels import kernel_matrix

NAMES = ("gaussian", "laplace", "matern12", "matern32", "matern52")
_RNG = np.random.default_rng(3)
POINTS = _RNG.standard_normal((150, 3)) + 5.0
SCALES = np.array([0.7, 1.3, 2.0])


@pytest.mark.parametrize("kernel", NAMES)
def test_the_residual_is_what_is_said(kernel):
    K = kernel_matrix(POINTS, kernel, SCALES)
    fit = pivoted_cholesky(POINTS, 30, kernel=kernel, length_scale=SCALES, rng=0)
    E = K - fit.factor @ fit.factor.T
    assert fit.factor.shape == (150, 30)
    assert len(set(fit.pivots)) == 30
    assert fit.trace == 150.0
    assert fit.trace_error == pytest.approx(np.trace(E), rel=1e-13)
    np.testing.assert_allclose(fit.diagonal_error, np.diag(E), rtol=0, atol=1e-14)
    bound = np.sqrt(np.outer(fit.diagonal_error, fit.diagonal_error))
    assert (np.abs(E) <= bound + 1e-14).all()
    assert np.linalg.eigvalsh(E)[0] > -1e-13
    above = np.triu(fit.factor[fit.pivots], 1)
    np.testing.assert_allclose(above, 0.0, atol=1e-12)


def test_a_precomputed_matrix_gives_the_same():
    K = kernel_matrix(POINTS, "gaussian", np.ones(3))
    of_points = pivoted_cholesky(POINTS, 30, kernel="gaussian", rng=0)
    of_matrix = pivoted_cholesky(K, 30, rng=0)
    np.testing.assert_array_equal(of_matrix.pivots, of_points.pivots)
    np.testing.assert_allclose(of_matrix.factor, of_points.factor, rtol=0, atol=1e-12)
