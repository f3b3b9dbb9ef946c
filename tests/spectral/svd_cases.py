"""The calls of `svd` for the conformance suite."""

import numpy as np

from randla.spectral import svd
from tests.conformance import Case, grid

_rng = np.random.default_rng(0)
_BAD = [
    ({"k": 0}, ValueError, r"\bk must be"),
    ({"k": 6}, ValueError, r"\bk must be"),
    ({"k": 2.0}, TypeError, r"\bk must be"),
    ({"k": None}, ValueError, r"\bk or rtol must be given"),
    ({"rtol": 0.0}, ValueError, r"\brtol must be"),
    ({"rtol": 1.0}, ValueError, r"\brtol must be"),
    ({"tol": 0.0}, ValueError, r"\btol must be"),
    ({"center": 1}, TypeError, r"\bcenter must be"),
    ({"certify": "none"}, ValueError, r"\bcertify must be"),
    ({"max_passes": 1}, ValueError, r"\bmax_passes must be"),
]


def _values(result):
    return result.s, np.abs(result.Vt), result.error, result.explained_variance_ratio


def _case(name, **options):
    fixed = {"k": 2, **options}
    return Case(
        name,
        lambda **arguments: svd(**{**fixed, **arguments}),
        {"A": grid(_rng, (40, 5)) * np.array([5.0, 3.0, 2.0, 1.0, 1.0]) + 2.0},
        _values,
        bad_options=_BAD,
        large={"A": _rng.standard_normal((30_000, 64)) * np.geomspace(10.0, 1.0, 64) + 1.0},
        sparse=("A",),
        scaled={"A": (1, 0, 1, 0)},
    )


CASES = [_case("svd"), _case("svd centered", center=True)]
