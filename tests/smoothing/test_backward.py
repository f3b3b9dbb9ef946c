"""Backward draws, where they leave no choice."""

import math

import numpy as np
import pytest

from randla._jit import unsaved_kernel
from randla._random import new_stream
from randla.smoothing._kernels.particles.backward import make_exact, make_reject
from randla.smoothing._kernels.particles.resample import systematic_indices
from randla.smoothing._kernels.particles.status import OK, ZERO_TRANSITION


@unsaved_kernel
def stay(t, x, xn, theta):
    return 0.0 if x == xn else -math.inf


@unsaved_kernel
def zero(t, theta):
    return 0.0


@pytest.mark.parametrize("backward", ["exact", "reject"])
def test_a_particle_without_a_predecessor_keeps_its_ancestor(backward):
    """The others have one predecessor each; where a weight says so, none is an error."""
    fill = make_exact(stay) if backward == "exact" else make_reject(stay, zero)
    n = 6
    x, w = np.arange(float(n)), np.arange(1.0, n + 1)
    xn = np.array([-1.0, 5.0, 2.0, -1.0, 0.0, -1.0])
    A = np.array([4, 5, 2, 1, 0, 3], np.int32)
    c, guide = np.cumsum(w), np.empty(2 * n, np.int32)
    total = c[-1]
    c[-1] = np.inf
    systematic_indices(c, total, 0.0, guide)
    for logwn, status in ((np.where(xn < 0, -np.inf, 0.0), OK), (np.zeros(n), ZERO_TRANSITION)):
        indices, info = np.full((3, n), -1, np.int32), np.zeros(3, np.int64)
        weights, draws = (w, c, guide, np.empty(n)), (indices, np.empty((2, n)), 3)
        fill(
            new_stream(np.uint64(1)), 7, np.empty(0), x, np.log(w), xn, logwn, A, weights, total,
            draws, info,
        )  # fmt: skip
        np.testing.assert_array_equal(indices, np.tile(A, (3, 1)))
        assert info[0] == status
