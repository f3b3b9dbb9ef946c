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


def _large(n, d):
    A = _rng.standard_normal((n, d))
    return {"A": A, "b": A.sum(axis=1) + _rng.standard_normal(n), "weights": 1.0 + _rng.random(n)}


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
    ({"l1": 1.0, "p": 2}, ValueError, r"\bl1 must be 0 .* lstsq has ridge="),
    ({"method": "fast"}, ValueError, r"\bmethod must be"),
    ({"method": "preprocess", "p": 2}, ValueError, r"\bmethod='preprocess'"),
    ({"method": "sample", "p": np.inf}, ValueError, r"\bmethod='sample'"),
    ({"method": "sample", "size": 0}, ValueError, r"\bsize must be"),
    ({"method": "sample", "size": 61}, ValueError, r"\bsize must be"),
    ({"size": 10}, ValueError, r"\bsize needs method"),
    ({"rtol": 0.0}, ValueError, r"\brtol must be"),
    ({"rtol": "small"}, TypeError, r"\brtol must be"),
    ({"weights": -_w}, ValueError, r"\bweights must be"),
    ({"weights": np.zeros(60)}, ValueError, r"\bweights must"),
    ({"weights": _w[:5]}, ValueError, r"\bweights must be"),
    ({"b": _b[:5]}, ValueError, r"\bb must have shape \(60,\) or \(60, 1\)"),
    ({"b": np.ones((60, 2))}, ValueError, r"\bb must have shape \(60,\) or \(60, 1\)"),
]


def _values(result):
    return result.value, result.lower_bound


def _case(name, arrays=_ARRAYS, **options):
    fixed = {k: options.pop(k) for k in ("p", "tau", "l1", "method", "size") if k in options}
    return Case(
        name,
        lambda **arguments: lp_regression(**{**fixed, **arguments}),
        arrays,
        _values,
        sparse=("A",),
        scaled={} if "l1" in fixed else {"A": (0, 0), "b": (1, 1), "A b": (1, 1)},
        **options,
    )


CASES = [
    _case("lp_regression", bad_options=_BAD, large={**_large(20_000, 2), "method": "full"}),
    _case("lp_regression quantiles", tau=[0.2, 0.7]),
    _case("lp_regression penalized", l1=2.0),
    _case("lp_regression power", p=3, large=_large(30_000, 5)),
    _case("lp_regression minimax", p=np.inf),
    _case(
        "lp_regression preprocess",
        {"A": _big, "b": grid(_rng, 900) + _big.sum(axis=1)},
        tau=[0.3, 0.6],
        method="preprocess",
        large=_large(40_000, 3),
    ),
    _case("lp_regression sample", method="sample", size=25, random=True),
]
