"""The public calls of least squares for the conformance suite."""

import numpy as np

from randla import SRHT, LstsqResult, lstsq
from randla.regression._least_squares.options import SKETCHES
from tests.conformance import Case, grid

_rng = np.random.default_rng(0)
_A, _b, _B = grid(_rng, (60, 3)), grid(_rng, 60), grid(_rng, (60, 2))
_weights = np.abs(grid(_rng, 60)) + 0.5
_TALL, _WIDE = (  # the wide one has a Gram matrix of several parts
    {"A": _rng.standard_normal((n, d)), "b": _rng.standard_normal(n)}
    for n, d in ((9000, 3), (6000, 200))
)
_UNITS = {"A": (-1, 0, -1), "b": (1, 1, 1), "A b": (0, 1, 0)}  # of x, residual, standard error

_BAD = [
    ({"eps": 0.0}, ValueError, "eps must be greater than 0"),
    ({"eps": "small"}, TypeError, "eps must be a real number"),
    ({"delta": 1.0}, ValueError, r"delta must be in \(0, 1\), got 1.0"),
    ({"sketch_size": 2.5}, TypeError, "sketch_size must be an integer"),
    ({"sketch_size": 3}, ValueError, "sketch_size must be greater than the 3 columns of A"),
    ({"sketch_size": 65}, ValueError, "at most 64, the padded number of rows, got 65"),
    ({"sketch": "hadamard"}, ValueError, "sketch must be one of 'auto', 'srht'"),
    ({"sketch": SRHT}, TypeError, "sketch must be one of .*, got the class SRHT"),
    ({"sketch": 7}, TypeError, "sketch must be one of .*, such as SRHT.m, n., got int"),
    ({"sketch": SRHT(20, 50, rng=0), "method": "sketch-and-solve"}, ValueError, "60 columns"),
    ({"method": "svd"}, ValueError, "method must be one of"),
    ({"method": None}, TypeError, "method must be one of"),
    ({"ridge": -1.0}, ValueError, "ridge must be at least 0"),
    ({"rcond": 1.0}, ValueError, "rcond must be in"),
    ({"weights": -np.ones(60)}, ValueError, "weights must be non-negative"),
    ({"weights": np.zeros(60)}, ValueError, "weights must have a positive sum"),
    ({"weights": np.ones(59)}, ValueError, r"of shape \(60,\), one number for each row of A, got"),
    ({"weights": 1.0}, ValueError, r"weights must be of shape \(60,\)"),
    ({"eps": 1.0, "sketch_size": 20}, ValueError, "not both, got eps=1 and sketch_size=20"),
    ({"eps": 1.0, "method": "cholesky"}, ValueError, "eps requests one sketch"),
    ({"eps": 1.0, "sketch": "count"}, ValueError, "l_inf guarantee"),
    ({"sketch_size": 20, "method": "lapack"}, ValueError, "sketch_size has no meaning"),
    ({"method": "sketch-and-solve"}, ValueError, "needs eps or sketch_size"),
]


def _exact(A, b, **options):
    result = lstsq(A, b, **options)
    assert isinstance(result, LstsqResult)
    return result


def _case(name, arrays=None, random=False, bad_options=(), call=_exact, large=(), **fixed):
    return Case(
        name,
        lambda **arguments: call(**{**fixed, **arguments}),
        arrays or {"A": _A, "b": _b},
        values=lambda r: (r.x, r.residual_norm, r.standard_error),
        random=random,
        bad_options=list(bad_options),
        large=dict(large),
        sparse=("A",),
        scaled={} if "ridge" in fixed else _UNITS,
    )


def _refined(A, b, **options):
    return lstsq(A, b, **options).refine(A, b)


CASES = [
    _case("lstsq", bad_options=_BAD, large=_WIDE),
    _case("lstsq several", {"A": _A, "b": _B}),
    _case("lstsq weighted", {"A": _A, "b": _b, "weights": _weights}, ridge=0.5),
    _case("lstsq sketched", random=True, sketch_size=20, large=_TALL),
    _case(
        "lstsq several gaussian", {"A": _A, "b": _B}, random=True, sketch_size=20, sketch="gaussian"
    ),
    *[
        _case(f"lstsq {sketch}", random=True, sketch_size=20, sketch=sketch, large=_TALL)
        for sketch in SKETCHES[1:]
    ],
    _case("lstsq eps", random=True, eps=4.0, delta=0.4),
    _case("lstsq cholesky", method="cholesky"),
    _case("lstsq sketch-cholesky", method="sketch-cholesky", large=_WIDE),
    _case("lstsq iterative", method="iterative", large=_TALL),
    _case("lstsq lsqr", method="lsqr", large=_TALL),
    _case("LstsqResult", call=_refined, sketch_size=20),
]
