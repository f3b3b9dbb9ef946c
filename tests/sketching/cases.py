"""The public calls of the sketching operators for the conformance suite."""

import numpy as np

from randla import (
    SRHT,
    BlockSRHT,
    CountSketch,
    GaussianSketch,
    KroneckerProduct,
    KroneckerSRHT,
    SparseSignSketch,
    fwht,
    sketch_size,
)
from tests.conformance import Case, grid

_rng = np.random.default_rng(0)
_A, _A1, _A2, _X = (grid(_rng, shape) for shape in ((24, 3), (5, 2), (4, 3), (16, 3)))
_LARGE_A = _rng.standard_normal((10_500, 3))
_LARGE = {"A": _LARGE_A, "m": 7, "n": 10_500}

_BAD_SIZES = [
    ({"m": 0}, ValueError, r"m must be at least 1.* got 0"),
    ({"m": 2.0}, TypeError, r"m must be an integer, got 2\.0"),
    ({"m": True}, TypeError, "m must be an integer"),
    ({"n": -3}, ValueError, "n must be at least 1, got -3"),
    ({"n": "many"}, TypeError, "n must be an integer"),
    ({"n": 23}, ValueError, r"A must have 23 rows, got shape \(24, 3\)"),
]


def _sketch(kind, **fixed):
    def call(A, *, rng, m=9, n=24, **options):
        S = kind(m, n, rng=rng, **{**fixed, **options})
        return S @ A, S.T @ (S @ A)

    return call


def _case(kind, bad=(), **fixed):
    return Case(
        kind.__name__,
        _sketch(kind, **fixed),
        {"A": _A},
        values=tuple,
        random=True,
        bad_options=[*_BAD_SIZES, *bad],
        large=_LARGE,
        sparse=("A",),
        scaled={"A": (1, 1)},
    )


def _kronecker(A, *, rng, m=30, n=(6, 4)):
    S = KroneckerSRHT(m, n, rng=rng)
    return S @ A, S.T @ (S @ A)


def _size(d=4, eps=0.5, delta=0.05, n=None):
    return sketch_size(d, eps=eps, delta=delta, n=n)


CASES = [
    _case(SRHT, [({"m": 33}, ValueError, r"at most 32 \(n padded .*, got 33")]),
    _case(
        BlockSRHT,
        [
            ({"block_size": 24}, ValueError, "block_size must be a power of two, got 24"),
            ({"block_size": 4}, ValueError, "block_size must be at least 8"),
            ({"block_size": 8.0}, TypeError, "block_size must be an integer"),
        ],
        block_size=8,
    ),
    _case(GaussianSketch),
    _case(
        SparseSignSketch,
        [
            ({"nonzeros": 10}, ValueError, "nonzeros must be at least 1 and at most 9"),
            ({"nonzeros": 0}, ValueError, "nonzeros must be at least 1"),
        ],
        nonzeros=4,
    ),
    _case(CountSketch),
    Case(
        "KroneckerSRHT",
        _kronecker,
        {"A": _A},
        values=tuple,
        random=True,
        large={**_LARGE, "n": (105, 100)},
        sparse=("A",),
        scaled={"A": (1, 1)},
        bad_options=[
            ({"n": 24}, TypeError, r"n must be a pair \(n1, n2\)"),
            ({"n": (6, 0)}, ValueError, r"n\[1\] must be at least 1"),
            ({"n": (6, 5)}, ValueError, "A must have 30 rows"),
            ({"m": 0}, ValueError, "m must be at least 1"),
        ],
    ),
    Case(
        "KroneckerProduct",
        KroneckerProduct,
        {"A1": _A1, "A2": _A2},
        values=lambda K: (K.toarray(), K @ np.ones(K.shape[1]), K.T @ np.ones(K.shape[0])),
        takes_rng=False,
        scaled={"A1": (1, 1, 1)},
    ),
    Case(
        "fwht",
        fwht,
        {"X": _X},
        takes_rng=False,
        large={"X": _rng.standard_normal((1 << 12, 40))},
        scaled={"X": (1,)},
        higher=("X",),
        bad_options=[
            ({"axis": 1}, ValueError, "X must have a power of two as the length of axis 1, got 3"),
            ({"axis": 2}, ValueError, "axis must be at least -2 and at most 1"),
            ({"axis": 0.0}, TypeError, "axis must be an integer"),
        ],
    ),
    Case(
        "sketch_size",
        _size,
        {},
        takes_rng=False,
        bad_options=[
            ({"d": 0}, ValueError, "d must be at least 1"),
            ({"eps": 0.0}, ValueError, "eps must be greater than 0"),
            ({"eps": float("nan")}, ValueError, "eps must be"),
            ({"delta": 1.0}, ValueError, r"delta must be in \(0, 1\)"),
            ({"n": 0}, ValueError, "n must be at least 1"),
        ],
    ),
]
