"""The calls of `eigh` and `spectral_norm` for the conformance suite."""

import numpy as np

from randla.spectral import eigh, spectral_norm
from tests.conformance import Case, grid

_rng = np.random.default_rng(1)
_B = grid(_rng, (9, 9))
_large = _rng.standard_normal((1200, 30))

CASES = [
    Case(
        "eigh",
        lambda A, k=3, **options: eigh(A, k, **options),
        {"A": _B + _B.T + np.diag(np.arange(9.0))},
        lambda result: (result.values, np.abs(result.vectors), result.error),
        bad_options=[
            ({"k": 0}, ValueError, r"\bk must be"),
            ({"k": 10_000}, ValueError, r"\bk must be"),
            ({"k": 1.0}, TypeError, r"\bk must be"),
            ({"which": "LM"}, ValueError, r"\bwhich must be"),
        ],
        large={"A": (_large * np.geomspace(4.0, 1.0, 30)) @ _large.T / 300.0},
        sparse=("A",),
        scaled={"A": (1, 0, 1)},
    ),
    Case(
        "spectral_norm",
        spectral_norm,
        {"A": grid(_rng, (40, 5))},
        lambda result: (result.lower, result.upper),
        bad_options=[
            ({"failure_probability": 0.0}, ValueError, "failure_probability must be"),
            ({"failure_probability": 0.6}, ValueError, "failure_probability must be"),
            ({"failure_probability": "p"}, TypeError, "failure_probability must be"),
        ],
        large={"A": _rng.standard_normal((1300, 1001)) + 0.1},
        sparse=("A",),
        scaled={"A": (1, 1)},
    ),
]
