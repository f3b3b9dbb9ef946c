"""Loops over panels against NumPy."""

import numpy as np
import pytest

from randla._kernels.panels import fill_norms


@pytest.mark.parametrize("shape", [np.triu, np.tril, np.asarray, lambda W: np.eye(len(W))])
def test_norms_of_transformed_rows(shape):
    rng = np.random.default_rng(0)
    panels, W = rng.standard_normal((3, 6, 4)), shape(rng.standard_normal((6, 6)))
    out = np.empty((3, 4))
    fill_norms(panels, W, np.empty((2, 4)), out)
    expected = [np.linalg.norm(W @ panel, axis=0) for panel in panels]
    np.testing.assert_allclose(out, expected, rtol=1e-14)
