"""Projections of clouds of many coordinates: those of a centered copy, without the copy."""

import tracemalloc

import numpy as np
import pytest

from randla.transport import sliced_wasserstein
from randla.transport._clouds import FEW_COORDINATES, Source, prepare
from randla.transport._kernels.project import PACK, project_rows
from tests.transport.reference import unit_vectors

SINGLE, DOUBLE = (np.float32, np.float32), (np.float64, np.float64)
KINDS = [(DOUBLE, 0.0, 1.0), (DOUBLE, 1e8, 1.0), (DOUBLE, 0.0, 1e200), (DOUBLE, 0.0, 1e-200)]
KINDS += [(SINGLE, 100.0, 1.0), ((np.float32, np.float64), 0.0, 1.0)]


def layouts(X):
    """The same numbers in C order, in Fortran order, and strided both ways."""
    spread = np.zeros((2 * len(X), 3 * X.shape[1]), X.dtype)
    spread[::2, ::3] = X
    return X, np.asfortranarray(X), spread[::2, ::3]


@pytest.mark.parametrize(("dtypes", "offset", "scale"), KINDS)
def test_packed_tiles_have_the_bits_of_a_copy(dtypes, offset, scale):
    rng = np.random.default_rng(1)
    for n, d in (
        (1, 65),
        (PACK[1], 66),
        (PACK[1] + 3, PACK[0] + 3),
        (2 * PACK[1] + 1, 2 * PACK[0]),
    ):
        X = ((rng.standard_normal((n, d)) + offset) * scale).astype(dtypes[0])
        Y = ((rng.standard_normal((2, d)) + offset) * scale).astype(dtypes[1])
        theta = np.zeros((8, -(-d // 4) * 4), np.result_type(*dtypes))
        theta[:7, :d] = unit_vectors(rng, 7, d)
        for x in layouts(X):
            cloud = prepare([Source(x, None), Source(Y, None)]).items[0]
            assert not cloud.is_copied
            packed, copied = np.full((2, 8, n), np.nan, theta.dtype)
            cloud.project(theta, cloud.new_tile(), packed)
            project_rows(theta, cloud.points, copied)
            np.testing.assert_array_equal(packed, copied)
        # the points themselves: centered, in a unit in which they are of order one
        unit = np.ldexp(1.0, -np.frexp(np.abs(np.concatenate([X, Y])).max())[1])
        centered = X.astype(np.float64) * unit - cloud.middle
        expected = theta[:7, :d] @ (centered * cloud.last_scale).T
        np.testing.assert_allclose(
            packed[:7], expected, rtol=0, atol=40 * np.finfo(theta.dtype).eps * cloud.reach
        )


def test_the_number_of_directions_does_not_change_a_cost():
    X, Y = np.random.default_rng(2).standard_normal((2, 150, FEW_COORDINATES + 1))
    theta = unit_vectors(np.random.default_rng(3), 70, X.shape[1])
    every = sliced_wasserstein(X, Y, directions=theta).projected_costs
    for L in (1, 2, 3, 33, 66):
        some = sliced_wasserstein(X, Y, directions=theta[:L]).projected_costs
        np.testing.assert_allclose(some, every[:L], rtol=1e-14)  # the shifts are BLAS's


def test_many_coordinates_are_not_copied():
    n, d, L = 1500, 400, 100
    X, Y = np.random.default_rng(4).standard_normal((2, n, d))
    theta = unit_vectors(np.random.default_rng(5), L, d)
    for x in layouts(X):
        sliced_wasserstein(x, Y, directions=theta)
        tracemalloc.start()
        sliced_wasserstein(x, Y, directions=theta)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # the rows of two threads, their tiles, the directions; the copies would be 9.6 MB
        rows, tiles = 2 * 2 * n * 52 * 8, 2 * 8 * (PACK[0] + 4) * PACK[1]
        assert peak < rows + tiles + 4 * L * d * 8 + (3 << 20)
