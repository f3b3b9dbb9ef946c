"""The public calls of `randla.sampling` for the conformance suite."""

import numpy as np

from randla.sampling import (
    leverage_scores,
    lewis_weights,
    lp_sensitivities,
    max_sensitivity,
    sample_rows,
    total_sensitivity,
)
from tests.conformance import Case, grid

_rng = np.random.default_rng(0)
_A = grid(_rng, (60, 4), scale=2.0)
_A[3] *= 16
_w = np.abs(grid(_rng, 60)) + 0.25
_small = grid(_rng, (24, 3), scale=2.0)
_tall, _many = _rng.standard_normal((9000, 10)), _rng.standard_normal((300, 4))
_tall[3] *= 16
_SCORES = {"sparse": ("A",), "scaled": {"A": (0, 0, 0)}}  # of any unit

_BAD_POWER = [
    ({"p": 0.5}, ValueError, r"\bp must be at least 1"),
    ({"p": np.nan}, ValueError, r"\bp must be"),
    ({"p": "1"}, TypeError, r"\bp must be a real number"),
    ({"p": [1.0]}, TypeError, r"\bp must be a real number"),
    ({"A": np.zeros((0, 3))}, ValueError, r"\bA must have rows and columns"),
    ({"A": np.zeros((3, 0))}, ValueError, r"\bA must have rows and columns"),
]
_BAD_SENSITIVITY = [
    *_BAD_POWER,
    ({"method": "fast"}, ValueError, r"\bmethod must be one of"),
    ({"rtol": 0.0}, ValueError, r"\brtol must be"),
    ({"rtol": 1.0}, ValueError, r"\brtol must be"),
    ({"rows": [60]}, ValueError, r"\brows must be"),
    ({"rows": [0.5]}, TypeError, r"\brows must be"),
]


def _scores(result):
    return np.asarray(result), result.lower, result.upper


def _sample(result):
    return result.indices, result.weights, result.probabilities


CASES: list[Case] = [
    Case(
        "leverage_scores",
        leverage_scores,
        {"A": _A, "weights": _w},
        values=_scores,
        large={"A": _tall, "weights": _rng.random(9000)},
        sparse=("A",),
        scaled={"A": (0, 0, 0), "weights": (0, 0, 0), "A weights": (0, 0, 0)},
        bad_options=[
            ({"method": "qr"}, ValueError, r"\bmethod must be one of"),
            ({"method": None}, TypeError, r"\bmethod must be one of"),
            ({"ridge": -1.0}, ValueError, r"\bridge must be at least 0"),
            ({"ridge": "big"}, TypeError, r"\bridge must be a real number"),
            ({"weights": -_w}, ValueError, r"\bweights must be non-negative"),
            ({"weights": np.zeros(60)}, ValueError, r"\bweights must have a positive sum"),
            ({"weights": _w[:-1]}, ValueError, r"\bweights must be"),
            ({"A": np.zeros((3, 0))}, ValueError, r"\bA must have rows and columns"),
        ],
    ),
    Case(
        "leverage_scores sketch",
        lambda A, **options: leverage_scores(A, method="sketch", **options),
        {"A": grid(_rng, (330, 40))},
        random=True,
        large={"A": _rng.standard_normal((3000, 40))},
        sparse=("A",),
        scaled={"A": (0,)},
    ),
    Case(
        "lewis_weights",
        lambda A, p=1.5, **options: lewis_weights(A, p, **options),
        {"A": _A},
        values=_scores,
        large={"A": _tall},
        **_SCORES,
        bad_options=[
            ({"p": 0.0}, ValueError, r"\bp must be"),
            ({"p": np.inf}, ValueError, r"\bp must be"),
            ({"p": "1"}, TypeError, r"\bp must be a real number"),
            ({"rtol": 0.0}, ValueError, r"\brtol must be greater than 0"),
            ({"max_iterations": 0}, ValueError, r"\bmax_iterations must be at least 1"),
            ({"max_iterations": 1.5}, TypeError, r"\bmax_iterations must be an integer"),
        ],
    ),
    *(
        Case(
            f"lewis_weights p={p}",
            lambda A, p=p, **options: lewis_weights(A, p, **options),
            {"A": _A},
            values=_scores,
            **_SCORES,
        )
        for p in (0.5, 4)
    ),
    Case(
        "lp_sensitivities p=1",
        lambda A, p=1, **options: lp_sensitivities(A, p, **options),
        {"A": _A},
        values=_scores,
        bad_options=_BAD_SENSITIVITY,
        large={"A": _many},
        **_SCORES,
    ),
    Case(
        "lp_sensitivities p=3",
        lambda A, **options: lp_sensitivities(A, 3, rtol=1e-9, **options),
        {"A": _A},
        values=_scores,
        large={"A": _many},
        **_SCORES,
    ),
    Case(
        "lp_sensitivities p=inf",
        lambda A, **options: lp_sensitivities(A, np.inf, **options),
        {"A": _small},
        values=_scores,
        **_SCORES,
    ),
    Case(
        "lp_sensitivities bound",
        lambda A, **options: lp_sensitivities(A, 1, method="bound", **options),
        {"A": _A},
        values=_scores,
        large={"A": _tall},
        **_SCORES,
    ),
    Case(
        "lp_sensitivities sketch",
        lambda A, **options: np.asarray(lp_sensitivities(A, 1.5, method="sketch", **options)),
        {"A": _A[:, :1]},  # 40 rows a column: with one column the sample is a part
        random=True,
        large={"A": _tall},
        sparse=("A",),
        scaled={"A": (0,)},
    ),
    Case(
        "total_sensitivity",
        lambda A, p=1, n_draws=10, **options: total_sensitivity(A, p, n_draws=n_draws, **options),
        {"A": _A},
        values=lambda r: (r.value, r.standard_error, r.lower, r.upper),
        random=True,
        sparse=("A",),
        scaled={"A": (0, 0, 0, 0)},
        bad_options=[
            *_BAD_POWER,
            ({"p": np.inf}, ValueError, r"\bp must be"),
            ({"n_draws": 1}, ValueError, r"\bn_draws must be at least 2"),
            ({"n_draws": 2.0}, TypeError, r"\bn_draws must be an integer"),
        ],
    ),
    Case(
        "max_sensitivity",
        lambda A, p=1.5, **options: max_sensitivity(A, p, **options),
        {"A": _A},
        values=lambda r: (r.value, r.lower, r.upper, r.row),
        sparse=("A",),
        scaled={"A": (0, 0, 0, 0)},
        bad_options=[
            *_BAD_POWER,
            ({"rtol": -1.0}, ValueError, r"\brtol must be"),
        ],
    ),
    Case(
        "sample_rows scores",
        lambda A, scores, **options: sample_rows(A, 20, p=1, scores=scores, **options),
        {"A": _A, "scores": _w},
        values=_sample,
        random=True,
        sparse=("A",),
        scaled={"A": (0, 0, 0), "scores": (0, 0, 0)},
        bad_options=[
            ({"scores": "best"}, ValueError, r"\bscores must be one of"),
            ({"scores": -_w}, ValueError, r"\bscores must be non-negative"),
            ({"scores": np.zeros(60)}, ValueError, r"\bscores must have a positive sum"),
            ({"scheme": "pivotal"}, ValueError, r"\bscheme must be one of"),
        ],
    ),
    Case(
        "sample_rows eps",
        lambda A, eps=0.9, **options: sample_rows(A, p=1, eps=eps, **options),
        {"A": _A},
        values=_sample,
        random=True,
        sparse=("A",),
        bad_options=[
            ({"eps": 0.0}, ValueError, r"\beps must be in"),
            ({"eps": 1.0}, ValueError, r"\beps must be in"),
            ({"eps": "small"}, TypeError, r"\beps must be a real number"),
            ({"eps": 0.5, "scores": "uniform"}, ValueError, r"\beps must be left out .* give size"),
            ({"eps": 0.5, "size": 10}, ValueError, "size or eps .* got size=10 and eps=0.5"),
        ],
    ),
    Case(
        "sample_rows fixed",
        lambda A, size=20, p=1.5, **options: sample_rows(A, size, p=p, scheme="fixed", **options),
        {"A": _A},
        values=lambda r: (r.indices,),
        random=True,
        large={"A": _tall},
        sparse=("A",),
        scaled={"A": (0,)},
        bad_options=[
            *_BAD_POWER,
            ({"size": 0}, ValueError, r"\bsize must be at least 1"),
            ({"size": 61}, ValueError, r"\bsize must be at least 1 and at most 60"),
            ({"size": 3.0}, TypeError, r"\bsize must be an integer"),
            ({"size": None}, ValueError, r"\bsize .* or eps .* must be given, got neither"),
        ],
    ),
]
