"""The calls of `lp_regression` for the conformance suite."""

import numpy as np

from randla.regression import lp_regression
from tests.conformance import Case, grid

_rng = np.random.default_rng(0)
_A = grid(_rng, (60, 3))
_b = grid(_rng, 60, scale=2.0) + _A.sum(axis=1)
_w = np.abs(grid(_rng, 60)) + 1.0
_big = grid(_rng, (900, 2))
_ARRAYS = {"A": _A, "b": _b, "weights": _w}
_BAD = [
    ({"p": 0.5}, ValueError, r"\bp must be"),
    ({"p": np.nan}, ValueError, r"\bp must be"),
    ({"p": "one"}, TypeError, r"\bp must be"),
    ({"tau": 1.5}, ValueError, r"\btau must be"),
    ({"tau": 0.0}, ValueError, r"\btau must be"),
    ({"tau": [0.5, 1.0]}, ValueError, r"\btau must hold"),
    ({"tau": []}, ValueError, r"\btau must hold"),
    ({"tau": 0.5, "p": 2}, ValueError, r"\bp must be 1"),
    ({"l1": -1.0}, ValueError, r"\bl1 must be"),
    ({"l1": [1.0, 2.0]}, ValueError, r"\bl1 must be"),
    ({"l1": 1.0, "p": 2}, ValueError, r"\bl1 must be 0"),
    ({"method": "fast"}, ValueError, r"\bmethod must be"),
    ({"method": "preprocess", "p": 2}, ValueError, r"\bmethod='preprocess'"),
    ({"method": "sample", "p": np.inf}, ValueError, r"\bmethod='sample'"),
    ({"method": "sample", "size": 0}, ValueError, r"\bsize must be"),
    ({"method": "sample", "size": 61}, ValueError, r"\bsize must be"),
    ({"size": 10}, ValueError, r"\bsize is for"),
    ({"rtol": 0.0}, ValueError, r"\brtol must be"),
    ({"rtol": "small"}, TypeError, r"\brtol must be"),
    ({"progress": 1}, TypeError, r"\bprogress must be"),
    ({"weights": -_w}, ValueError, r"\bweights must be"),
    ({"weights": np.zeros(60)}, ValueError, r"\bweights must"),
    ({"weights": _w[:5]}, ValueError, r"\bweights must be"),
    ({"b": _b[:5]}, ValueError, r"\bb must have shape \(60,\) or \(60, 1\)"),
    ({"b": np.ones((60, 2))}, ValueError, r"\bb must have shape \(60,\) or \(60, 1\)"),
]


def _values(result):
    return result.value, result.lower_bound


CASES = [
    Case("lp_regression", lp_regression, _ARRAYS, _values, bad_options=_BAD),
    Case(
        "lp_regression quantiles",
        lambda **options: lp_regression(tau=[0.2, 0.7], **options),
        _ARRAYS,
        _values,
    ),
    Case("lp_regression power", lambda **o: lp_regression(p=3, **o), _ARRAYS, _values),
    Case("lp_regression minimax", lambda **o: lp_regression(p=np.inf, **o), _ARRAYS, _values),
    Case(
        "lp_regression preprocess",
        lambda **options: lp_regression(method="preprocess", tau=0.3, **options),
        {"A": _big, "b": grid(_rng, 900) + _big.sum(axis=1)},
        _values,
    ),
    Case(
        "lp_regression sample",
        lambda **options: lp_regression(method="sample", size=25, **options),
        _ARRAYS,
        _values,
        random=True,
    ),
]
