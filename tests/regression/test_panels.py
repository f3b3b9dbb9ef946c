"""Loops over panels against NumPy."""

from fractions import Fraction

import numpy as np
import pytest

from randla._kernels.panels import fill_norms
from randla.regression._kernels.accurate import add_columns


@pytest.mark.parametrize("shape", [np.triu, np.tril, np.asarray, lambda W: np.eye(len(W))])
def test_norms_of_transformed_rows(shape):
    rng = np.random.default_rng(0)
    panels, W = rng.standard_normal((3, 6, 4)), shape(rng.standard_normal((6, 6)))
    out = np.empty((3, 4))
    fill_norms(panels, W, np.empty((2, 4)), out)
    expected = [np.linalg.norm(W @ panel, axis=0) for panel in panels]
    np.testing.assert_allclose(out, expected, rtol=1e-14)


def test_sums_of_columns_in_twice_the_precision():
    rng = np.random.default_rng(0)
    A, b, y = rng.standard_normal((60, 3)), rng.standard_normal(60), rng.standard_normal(60)
    y[:20], y[20:40] = rng.integers(-1, 2, 20), rng.choice([0.5, 2.0], 20)
    A[0], A[-1], y[-1], y[0] = 1e16, -1e16, 1.0, 1.0  # which cancel
    high, low, sizes = np.zeros((3, 3))
    reach = add_columns(A, b, y, high, low, sizes)
    for j in range(3):
        exact = sum(Fraction(x) * Fraction(v) for x, v in zip(A[:, j], y, strict=True))
        error = Fraction(high[j]) + Fraction(low[j]) - exact
        assert abs(error) <= 1e-28 * sizes[j]
    np.testing.assert_allclose(sizes, np.abs(A).T @ np.abs(y), rtol=1e-13)
    np.testing.assert_allclose(reach, np.abs(b) @ np.abs(y), rtol=1e-13)
