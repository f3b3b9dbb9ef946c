"""Calls of this family that every check of `tests/test_conformance.py` runs."""

import numpy as np

from randla.spectral import pivoted_cholesky
from tests.conformance import Case, grid
from tests.spectral.eigh_cases import CASES as EIGH
from tests.spectral.logdet_cases import LOGDET_CASES
from tests.spectral.svd_cases import CASES as SVD
from tests.spectral.trace_cases import TRACE_CASES

_RNG = np.random.default_rng(6)
_POINTS = grid(_RNG, (23, 3))
_FACTOR = grid(_RNG, (9, 11))
_LARGE_FACTOR = _RNG.standard_normal((1100, 30))


def factor_values(result):
    lower, upper = result.logdet(0.5 * max(result.trace, 1e-3))
    return (
        result.factor,
        result.pivots,
        np.float64(result.trace_error),
        result.diagonal_error,
        np.array([lower, upper]),
    )


_BAD_SIZES = [
    ({"k": None}, ValueError, "k or rtol must be given"),
    ({"k": 0}, ValueError, "k must be at least 1 and at most"),
    ({"k": 2.0}, TypeError, "k must be an integer"),
    ({"k": 10_000}, ValueError, "k must be at least 1 and at most .* points, got 10000"),
    ({"rtol": 1.0}, ValueError, r"rtol must be in \[0, 1\)"),
    ({"rtol": np.nan}, ValueError, "rtol must be"),
    ({"kernel": "rbf"}, ValueError, "kernel must be one of 'precomputed', 'gaussian'"),
    ({"kernel": None}, TypeError, "kernel must be one of"),
    ({"kernel": lambda x: 1.0}, TypeError, r"kernel must take \(x, y\) or \(x, y, theta\), got 1"),
]

CASES: list[Case] = [
    Case(
        name="pivoted_cholesky",
        call=lambda X, k=7, kernel="gaussian", **kw: pivoted_cholesky(X, k, kernel=kernel, **kw),
        arrays={"X": _POINTS},
        values=factor_values,
        random=True,
        large={"X": _RNG.standard_normal((2500, 3)), "k": 4},
        bad_options=[
            *_BAD_SIZES,
            ({"length_scale": 0.0}, ValueError, "length_scale must be positive"),
            ({"length_scale": -np.ones(3)}, ValueError, "length_scale must be positive"),
            ({"length_scale": np.ones(2)}, ValueError, "one for each of 3 columns, got shape"),
            ({"length_scale": "auto"}, TypeError, "length_scale must hold real numbers"),
        ],
    ),
    Case(
        name="pivoted_cholesky precomputed",
        call=lambda X, k=5, **kw: pivoted_cholesky(X, k, **kw),
        arrays={"X": _FACTOR @ _FACTOR.T},
        values=lambda result: factor_values(result)[:4],
        random=True,
        integers=False,
        large={"X": _LARGE_FACTOR @ _LARGE_FACTOR.T},
        scaled={"X": (0.5, 0, 1, 1)},
    ),
    *TRACE_CASES,
    *LOGDET_CASES,
]
CASES += SVD
CASES += EIGH
