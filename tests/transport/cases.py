"""The public calls of `randla.transport` for the conformance suite."""

import numpy as np

from randla.transport import sliced_wasserstein, wasserstein_1d
from tests.conformance import Case, grid

_RNG = np.random.default_rng(5)
_X, _Y = grid(_RNG, (12, 4)), grid(_RNG, (9, 4), 2.0)
_A = np.arange(1.0, 13.0)
_FLAT_X, _FLAT_Y = grid(_RNG, (2, 11)), grid(_RNG, (2, 7), 2.0)

_BAD_P = [
    ({"p": 0.5}, ValueError, "p must be in .* got 0.5"),
    ({"p": np.inf}, ValueError, "p must be in"),
    ({"p": np.nan}, ValueError, "p must be in"),
    ({"p": "2"}, TypeError, "p must be a real number"),
]
_BAD_WEIGHTS = [
    ({"a": -np.ones(12)}, ValueError, "a must be non-negative, got -1"),
    ({"a": np.zeros(12)}, ValueError, "a must have a positive sum"),
    ({"b": np.ones(8)}, ValueError, r"b must be of shape \(9,\), got shape \(8,\)"),
    ({"b": np.full(9, np.nan)}, ValueError, "b must be finite"),
]
_BAD_DIRECTIONS = [
    ({"n_projections": 0}, ValueError, "n_projections must be at least"),
    ({"n_projections": 1}, ValueError, "n_projections must be at least 2"),
    ({"n_projections": 10.0}, TypeError, "n_projections must be an integer"),
    ({"directions": "random"}, ValueError, "directions must be one of 'iid'"),
    ({"directions": np.ones((3, 4))}, ValueError, "directions must have rows of length 1"),
    ({"directions": np.eye(3)}, ValueError, r"directions must have shape \(L, 4\)"),
]


def sliced_values(result):
    return (
        np.float64(result.value),
        np.float64(result.standard_error),
        np.float64(result.power),
        result.coefficients,
    )


CASES: list[Case] = [
    Case(
        name="wasserstein_1d",
        call=lambda rng=None, **kw: wasserstein_1d(**kw),
        arrays={"x": _FLAT_X, "y": _FLAT_Y},
        takes_rng=False,
        higher=("x", "y"),
        bad_options=[
            *_BAD_P,
            ({"a": -np.ones(11)}, ValueError, "a must be non-negative"),
            ({"a": np.zeros(11)}, ValueError, "a must have a positive sum"),
            ({"b": np.ones(8)}, ValueError, r"b must be of shape \(7,\)"),
            ({"x": np.zeros((3, 11))}, ValueError, "y must have leading axes that broadcast"),
            ({"x": np.zeros((2, 0))}, ValueError, "x must hold at least one point"),
            ({"y": 1.0}, ValueError, "y must hold at least one point"),
        ],
    ),
    Case(
        name="SlicedWassersteinResult",
        call=sliced_wasserstein,
        arrays={"X": _X, "Y": _Y},
        values=sliced_values,
        random=True,
        bad_options=[
            *_BAD_P,
            *_BAD_WEIGHTS,
            *_BAD_DIRECTIONS,
            ({"X": _X[:, :3]}, ValueError, "Y must have points of dimension 3 as X has"),
            ({"rtol": -1.0}, ValueError, "rtol must be at least 0"),
            ({"atol": np.nan}, ValueError, "atol must be at least 0"),
            ({"rtol": 0.1, "directions": np.eye(4)}, ValueError, "rtol and atol need random"),
            ({"max_projections": 1}, ValueError, "max_projections must be at least 2"),
            ({"control_variate": "cubic"}, ValueError, "control_variate must be one of None"),
            ({"control_variate": 3}, TypeError, "control_variate must be a name"),
            ({"control_variate": (3, 4)}, TypeError, "control_variate must be a name"),
            ({"control_variate": (np.sum, [0.0])}, ValueError, "control_variate must be a name"),
            ({"control_variate": (np.abs, [np.nan])}, ValueError, "control_variate must"),
            ({"cross_fit": 1}, TypeError, "cross_fit must be True or False"),
            ({"n_projections": 3, "directions": np.eye(4)}, ValueError, "left out or 4"),
        ],
    ),
    Case(
        name="sliced_wasserstein weighted",
        call=lambda **kw: sliced_wasserstein(n_projections=60, p=1.5, **kw),
        arrays={"X": _X, "Y": _Y, "a": _A},
        values=sliced_values,
        random=True,
    ),
    Case(
        name="sliced_wasserstein adaptive",
        call=lambda **kw: sliced_wasserstein(rtol=0.02, control_variate="upper", **kw),
        arrays={"X": _X[:, :3], "Y": _Y[:, :3]},
        values=sliced_values,
        random=True,
    ),
]
