"""The vector functions of the kernels against their meaning in NumPy."""

import numpy as np
import pytest

from randla._jit import kernel
from randla._kernels import vector_code
from randla.sketching._kernels import vectors

DTYPES = [np.float64, np.float32]
butterflies = tuple(vectors.BUTTERFLY.items())
_b1, _b2, _b4, _b8, _b16 = (vectors.BUTTERFLY[R] for R in (1, 2, 4, 8, 16))
_ahead2, _ahead4, _ahead8, _ahead16 = (vectors.BUTTERFLY_AHEAD[R] for R in (2, 4, 8, 16))
add_scaled, scale, transpose = vectors.add_scaled, vectors.scale, vectors.transpose
gather8, lane_transform = vectors.gather8, vectors.lane_transform
scatter_rows, gather_rows = vectors.scatter_rows, vectors.gather_rows


@kernel
def run_butterfly(R, x, i, sx, y, j, sy, count):
    if R == 1:
        _b1(x, i, sx, y, j, sy, count)
    elif R == 2:
        _b2(x, i, sx, y, j, sy, count)
    elif R == 4:
        _b4(x, i, sx, y, j, sy, count)
    elif R == 8:
        _b8(x, i, sx, y, j, sy, count)
    else:
        _b16(x, i, sx, y, j, sy, count)


@kernel
def run_ahead(R, x, i, sx, y, j, sy, count, ahead, at, step):
    if R == 2:
        _ahead2(x, i, sx, y, j, sy, count, ahead, at, step)
    elif R == 4:
        _ahead4(x, i, sx, y, j, sy, count, ahead, at, step)
    elif R == 8:
        _ahead8(x, i, sx, y, j, sy, count, ahead, at, step)
    else:
        _ahead16(x, i, sx, y, j, sy, count, ahead, at, step)


@kernel
def run_gather8(x, offsets, factors, k, y, j, sy, count):
    gather8(x, offsets, factors, k, y, j, sy, count)


@kernel
def run_add_scaled(x, i, s, y, j, count):
    add_scaled(x, i, s, y, j, count)


@kernel
def run_scale(x, i, s, y, j, count):
    scale(x, i, s, y, j, count)


@kernel
def run_lane_transform(y, j, count):
    lane_transform(y, j, count)


@kernel
def run_transpose(x, i, sx, factors, k, y, j, positions, sy, count):
    transpose(x, i, sx, factors, k, y, j, positions, sy, count)


@kernel
def run_scatter_rows(x, i, sx, rows, zeta, positions, factors, y, j, sy, count):
    scatter_rows(x, i, sx, rows, zeta, positions, factors, y, j, sy, count)


@kernel
def run_gather_rows(x, sx, rows, zeta, positions, factors, y, j, count):
    gather_rows(x, sx, rows, zeta, positions, factors, y, j, count)


def same(run, meaning, y, *before_and_after):
    """Both write to a copy of y; the argument list has None in its place."""
    results = []
    for function in (run, meaning):
        out = y.copy()
        function(*(out if a is None else a for a in before_and_after))
        results.append(out)
    tolerance = 1e-13 if y.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=tolerance)
    return results[0]


def numbers(size, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(size).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 3, 8, 16, 21, 40])
@pytest.mark.parametrize("R", [1, 2, 4, 8, 16])
def test_butterflies(R, count, dtype):
    x, y = numbers(900, dtype), numbers(1000, dtype, 1)
    meaning = vectors.butterfly_meaning(R)
    out = same(lambda *a: run_butterfly(R, *a), meaning, y, x, 5, 50, None, 7, 55, count)
    if R > 1:
        ahead = same(
            lambda *a: run_ahead(R, *a), vectors.butterfly_ahead_meaning(R), y,
            x, 5, 50, None, 7, 55, count, x, 0, 3,
        )  # fmt: skip
        np.testing.assert_array_equal(ahead, out)
    if count:  # in place
        z = x.copy()
        run_butterfly(R, z, 5, 50, z, 5, 50, count)
        meaning(x, 5, 50, y, 5, 50, count)
        np.testing.assert_allclose(z[5 : 5 + count], y[5 : 5 + count], atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 7, 8, 33])
def test_rows(count, dtype):
    x, y, V = numbers(900, dtype), numbers(1000, dtype, 1), vector_code.lanes(dtype)
    offsets = np.random.default_rng(2).integers(0, 800, 16)
    factors, s = numbers(16, dtype, 3), dtype(-1.5)
    positions = np.random.default_rng(4).permutation(16)
    same(run_gather8, vectors._gather8, y, x, offsets, factors, 8, None, 7, 55, count)
    same(run_add_scaled, vectors._add_scaled, y, x, 11, s, None, 3, count)
    same(run_scale, vectors._scale, y, x, 11, s, None, 3, count)
    same(run_transpose, vectors._transpose, y, x, 4, 20, factors, 2, None, 9, positions, 60, count)
    if count % V == 0:
        same(run_lane_transform, vectors._lane_transform, y, None, 9, count)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("zeta", [1, 2, 5])
def test_sums_of_rows(zeta, dtype):
    rng, rows = np.random.default_rng(5), 9
    x, y, factors = numbers(900, dtype), numbers(1000, dtype, 1), numbers(rows * zeta, dtype, 2)
    positions = np.concatenate([rng.permutation(30)[:zeta] for _ in range(rows)])
    for count in (1, 8, 25):
        same(
            run_scatter_rows, vectors._scatter_rows, y, x, 3, 40, rows, zeta, positions, factors,
            None, 5, 30, count,
        )  # fmt: skip
        same(
            run_gather_rows, vectors._gather_rows, y, x, 28, rows, zeta, positions, factors, None,
            7, count,
        )  # fmt: skip


def test_sizes():
    assert (vector_code.lanes(np.float64), vector_code.lanes(np.float32)) == (4, 8)
    assert (vector_code.line_entries(np.float64), vector_code.line_entries(np.float32)) == (8, 16)
