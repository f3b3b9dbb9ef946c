import numpy as np
import pytest

from randla.transport._kernels.sort import (
    _n_descents,
    _sort_by_bits,
    _sort_by_keys,
    sort_rows,
)
from randla.transport._projections import projector
from randla.transport._projections.projector import Side, SortArrays

RNG = np.random.default_rng(1)
ROWS = {
    "normal": RNG.standard_normal((4, 1025)),
    "long": RNG.standard_normal((1, 60_000)),
    "ties": RNG.integers(-5, 5, (3, 5000)) * 1.0,
    "signed zeros": RNG.choice([0.0, -0.0, 1.0], (2, 500)),
    "constant": np.full((2, 1000), 3.3),
    "zeros": np.zeros((2, 50)),
    "one": np.ones((2, 1)),
    "two": RNG.standard_normal((3, 2)),
    "neighboring numbers": 1 + RNG.integers(0, 1 << 20, (2, 30_000)) * 2.0**-52,
    "far from the origin": 1e3 + RNG.standard_normal((2, 3000)) * 1e-9,
    "narrow clusters": RNG.choice([-10.0, 10.0], (3, 4000)) + 1e-9 * RNG.random((3, 4000)),
    "heavy tails": RNG.standard_cauchy((3, 4000)) ** 5,
    "wide": np.exp(50 * RNG.standard_normal((2, 3000))),
    "denormal": RNG.standard_normal((2, 3000)) * 1e-310,
    "extreme": RNG.choice([5e-324, -5e-324, 1e307, -1e307, 0.0], (2, 99)),
    "descending": -np.sort(RNG.standard_normal((2, 3000))),
    "short": RNG.standard_normal((50, 17)),
}
SINGLE = [name for name in ROWS if name not in ("wide", "extreme")]


def ours(P):
    """Sort the rows of P in place, whatever their length."""
    sort_rows(P, None, *SortArrays.of(P.shape[1], P.dtype))
    return P


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, float) for name in ROWS] + [(name, np.float32) for name in SINGLE]
)
def test_equals_the_stable_sort(name, dtype):
    P = ROWS[name].astype(dtype)
    side = Side(len(P), P.shape[1], SortArrays.of(P.shape[1], dtype), ordered=True)
    side.values[:] = P
    side.sort(len(P))
    np.testing.assert_array_equal(ours(P.copy()), np.sort(P))
    np.testing.assert_array_equal(side.values, np.sort(P))
    np.testing.assert_array_equal(side.order, np.argsort(P + 0.0, kind="stable"))


@pytest.mark.parametrize("name", ["normal", "long", "ties", "short", "zeros"])
def test_ordinary_rows_need_few_shifts(name):
    # the keys leave less than one shift a number: otherwise the result is right, but slow
    for row in ROWS[name].copy():
        n = len(row)
        counts = np.empty((2, 2048), np.uint32)
        assert _sort_by_keys(row, None, np.empty(n), None, np.empty(n, np.int32), counts, n)
        assert (np.diff(row) >= 0).all()


@pytest.mark.parametrize("name", ["normal", "ties", "constant", "one", "descending", "short"])
def test_descents_are_counted(name):
    for row in ROWS[name]:
        assert _n_descents(row) == (np.diff(row) < 0).sum()


@pytest.mark.parametrize("row", [np.full(500, 3.3), np.full(3, -1e-300), np.array([0.0, -0.0])])
def test_passes_that_move_nothing_are_left_out(row):
    n = len(row)
    x, order, spare = row.copy(), np.arange(n, dtype=np.int32), np.full(n, np.nan)
    _sort_by_bits(x, order, spare, np.empty(n, np.int32), np.empty((2, 2048), np.uint32))
    assert np.isnan(spare).all()
    np.testing.assert_array_equal(x, row)
    np.testing.assert_array_equal(order, np.arange(n))


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_both_sorts_give_the_same_bits(dtype, monkeypatch):
    P, results = ROWS["normal"].astype(dtype), []
    side = Side(len(P), P.shape[1], SortArrays.of(P.shape[1], dtype))
    for limit in (0, 10**6):
        monkeypatch.setitem(projector.OUR_SORT_FROM, P.itemsize, limit)
        side.values[:] = P
        side.sort(len(P))
        results.append(side.values.copy())
    np.testing.assert_array_equal(*results)
