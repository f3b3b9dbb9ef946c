"""The public calls of `randla.transport` for the conformance suite."""

import numpy as np

from randla.transport import (
    expected_sliced_plan,
    max_sliced_wasserstein,
    sliced_wasserstein,
    sliced_wasserstein_barycenter,
    sliced_wasserstein_flow,
    sliced_wasserstein_gradient,
    sliced_wasserstein_matrix,
    sliced_wasserstein_sphere,
    sliced_wasserstein_test,
    wasserstein_1d,
)
from tests.conformance import Case, grid

_RNG = np.random.default_rng(5)
_X, _Y = grid(_RNG, (12, 4)), grid(_RNG, (9, 4), 2.0)
_A = np.arange(1.0, 13.0)
_FLAT_X, _FLAT_Y = grid(_RNG, (2, 11)), grid(_RNG, (2, 7), 2.0)
_LARGE, _HIGH = (
    {"X": _RNG.standard_normal((n, d)), "Y": 2.0 * _RNG.standard_normal((m, d))}
    for n, m, d in ((400, 300, 4), (30, 20, 24))
)
_ROUND, _BALL = (  # on the sphere, exactly in float32
    {
        name: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
        for name, x in pair.items()
    }
    for pair in ({"X": _X + 0.1, "Y": _Y - 0.1}, _LARGE)
)
_MANY = {"clouds": _LARGE["X"], "others": [_LARGE["Y"], _Y]}

_BAD_P = [
    ({"p": 0.5}, ValueError, "p must be in .* got 0.5"),
    ({"p": np.inf}, ValueError, "p must be in"),
    ({"p": np.nan}, ValueError, "p must be in"),
    ({"p": "2"}, TypeError, "p must be a real number"),
]
_BAD_WEIGHTS = [
    ({"a": -np.ones(12)}, ValueError, "a must be non-negative, got -1"),
    ({"a": np.zeros(12)}, ValueError, "a must have a positive sum"),
    ({"b": np.ones(8)}, ValueError, r"shape \(9,\), one number for each point of Y, got"),
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
        np.float64(float(result)),
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
        large={"x": _RNG.standard_normal((600, 400)), "y": _RNG.standard_normal((600, 300))},
        scaled={"x y": (1,)},
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
        large=_LARGE,
        rtol32=2e-5,
        scaled={"X Y": (1, 1, None, None)},
        bad_options=[
            *_BAD_P,
            *_BAD_WEIGHTS,
            *_BAD_DIRECTIONS,
            ({"X": _X[:, :3]}, ValueError, "Y must have points of dimension 3, like X"),
            ({"rtol": -1.0}, ValueError, "rtol must be at least 0"),
            ({"atol": np.nan}, ValueError, "atol must be at least 0"),
            ({"rtol": 0.1, "directions": np.eye(4)}, ValueError, "rtol and atol need random"),
            ({"max_projections": 1}, ValueError, "max_projections must be at least 2"),
            ({"control_variate": "cubic"}, ValueError, "control_variate must be one of None"),
            ({"control_variate": 3}, TypeError, "control_variate must be one of None"),
            ({"control_variate": (3, 4)}, TypeError, "control_variate must be one of None"),
            ({"control_variate": (np.sum, [0.0])}, ValueError, "control_variate must be one of"),
            ({"control_variate": (np.sum, [[0], [0, 1]])}, ValueError, "or a pair .function, mea"),
            ({"control_variate": (np.abs, [np.nan])}, ValueError, "control_variate must"),
            ({"cross_fit": 1}, TypeError, "cross_fit must be True or False"),
            ({"population": 1}, TypeError, "population must be True or False"),
            ({"n_projections": 3, "directions": np.eye(4)}, ValueError, "left out or 4"),
        ],
    ),
    Case(
        name="sliced_wasserstein weighted",
        call=lambda **kw: sliced_wasserstein(n_projections=60, p=1.5, **kw),
        arrays={"X": _X, "Y": _Y, "a": _A},
        values=sliced_values,
        random=True,
        large={**_LARGE, "a": np.arange(400.0)},
        scaled={"X Y": (1, 1, None, None), "a": (0, 0, 0, 0)},
    ),
    Case(
        name="sliced_wasserstein adaptive",
        call=lambda **kw: sliced_wasserstein(rtol=0.02, control_variate="upper", **kw),
        arrays={"X": _X[:, :3], "Y": _Y[:, :3]},
        values=sliced_values,
        random=True,
        scaled={"X Y": (1, 1, None, None)},
    ),
    Case(
        name="sliced_wasserstein bures",
        call=lambda **kw: sliced_wasserstein(control_variate="bures", **kw),
        arrays={"X": _X, "Y": _Y},
        values=sliced_values,
        random=True,
        large=_HIGH,
        scaled={"X Y": (1, 1, None, None)},
    ),
    Case(
        name="sliced_wasserstein population",
        call=lambda **kw: sliced_wasserstein(population=True, **kw),
        arrays={"X": grid(_RNG, (90, 4)), "Y": grid(_RNG, (60, 4), 2.0)},
        values=lambda r: (
            np.float64(r.population_power),
            np.float64(r.bias),
            np.array(r.population_interval()),
        ),
        random=True,
        large=_LARGE,
        rtol32=1e-4,
        scaled={"X Y": (None, None, 1)},
        bad_options=[
            ({"p": 1}, ValueError, "population=True needs p from 1.5"),
            ({"X": _X}, ValueError, "population=True needs X to have at least 20 points"),
        ],
    ),
    Case(
        name="sliced_wasserstein_test",
        call=lambda **kw: sliced_wasserstein_test(**{"n_permutations": 30, **kw}),
        arrays={"X": _X, "Y": _Y},
        values=lambda r: (np.float64(r.statistic), np.float64(r.p_value), r.null),
        random=True,
        large=_LARGE,
        scaled={"X Y": (None, 0, None)},
        bad_options=[
            ({"p": 17}, ValueError, "p must be in"),
            *_BAD_P,
            ({"X": _X[:, :3]}, ValueError, "Y must have points of dimension 3, like X"),
            ({"n_permutations": 0}, ValueError, "n_permutations must be at least 1"),
            ({"n_projections": 0}, ValueError, "n_projections must be at least 1"),
        ],
    ),
    Case(
        name="sliced_wasserstein_gradient",
        call=sliced_wasserstein_gradient,
        arrays={"X": _X, "Y": _Y},
        values=lambda r: (np.float64(r.value), r.gradient, r.standard_error),
        random=True,
        large=_LARGE,
        scaled={"X Y": (1, 1, 1)},
        rtol32=0.2,  # ties that rounding breaks the other way
        integers=False,  # at ties each order has a subgradient of its own
        bad_options=[
            ({"p": 1001}, ValueError, "p must be in"),
            ({"wrt": "both X"}, ValueError, "wrt must be one of 'X', 'Y', 'both'"),
            ({"weights": _A}, TypeError, "weights must be True or False"),
            *_BAD_P,
            *_BAD_WEIGHTS,
            *_BAD_DIRECTIONS,
        ],
    ),
    Case(
        name="sliced_wasserstein_gradient of all",
        call=lambda **kw: sliced_wasserstein_gradient(wrt="both", weights=True, **kw),
        arrays={"X": _X, "Y": _Y, "a": _A},
        values=lambda r: (r.gradient, r.gradient_Y, r.weight_gradient, r.weight_gradient_Y),
        random=True,
        large={**_LARGE, "a": np.arange(1.0, 401.0)},
        scaled={"X Y": (1, 1, None, None), "a": (0, 0, 0, 0)},
        rtol32=0.2,
        integers=False,
    ),
    Case(
        name="sliced_wasserstein_matrix",
        call=lambda clouds, others=(_Y, _X[:7] + 1.0), **kw: sliced_wasserstein_matrix(
            [clouds, *others], **kw
        ),
        arrays={"clouds": _X},
        values=lambda r: (r.values, r.standard_errors, r.powers),
        random=True,
        large=_MANY,
        scaled={"clouds others": (1, 1, None)},
        bad_options=[
            *_BAD_P,
            ({"p": 17}, ValueError, "p must be in"),
            *_BAD_DIRECTIONS,
            ({"weights": [None]}, ValueError, "weights must have one entry for each"),
            ({"weights": 3}, TypeError, "weights must be a sequence"),
            ({"weights": {0: _A}}, TypeError, "weights must be a sequence"),
            ({"weights": [None, None, -_A[:7]]}, ValueError, r"weights\[2\] must be non-neg"),
            ({"control_variate": "cubic"}, ValueError, "control_variate must be one of None"),
            ({"control_variate": 3}, TypeError, "control_variate must be one of None"),
            (
                {"control_variate": (np.abs, np.zeros(4)), "n_projections": 20},
                ValueError,
                "n_projections must be at least 22",
            ),
            (
                {"control_variate": "full", "n_projections": 30},
                ValueError,
                "n_projections must be at least 40",
            ),
        ],
    ),
    Case(
        name="sliced_wasserstein_matrix controlled",
        call=lambda clouds, others=(_Y,), a=_A, **kw: sliced_wasserstein_matrix(
            [*others, clouds], [*(None for _ in others), a], control_variate="quadratic", **kw
        ),
        arrays={"clouds": _X},
        values=lambda r: (r.values, r.standard_errors),
        random=True,
        large={**_MANY, "a": np.arange(400.0)},
        scaled={"clouds others": (1, 1)},
    ),
    Case(
        name="sliced_wasserstein_flow",
        call=lambda **kw: sliced_wasserstein_flow(**{"n_steps": 3, **kw}),
        arrays={"X": _X, "Y": _Y},
        values=lambda r: (r.points, r.trace, r.trace_standard_error),
        random=True,
        integers=False,
        large={**_LARGE, "n_projections": 400},
        scaled={"X Y": (1, 1, 1)},
        bad_options=[
            *_BAD_WEIGHTS,
            ({"n_steps": 0}, ValueError, "n_steps must be at least 1"),
            ({"step": 0.0}, ValueError, "step must be in"),
            ({"step": 2.5}, ValueError, "step must be in"),
            ({"n_projections": 1}, ValueError, "n_projections must be at least 2"),
            ({"directions": np.eye(4)}, TypeError, "directions must be 'iid'"),
            ({"directions": "best"}, ValueError, "directions must be one of"),
            ({"first_step": -1}, ValueError, "first_step must be at least 0"),
            ({"callback": 3}, TypeError, "callback must be callable or None, got int"),
            ({"every": 0}, ValueError, "every must be at least 1"),
            ({"snapshots": 1}, ValueError, "snapshots must be at least 2"),
            ({"snapshots": 5}, ValueError, "snapshots must be at least 2 and at most 4"),
        ],
    ),
    Case(
        name="sliced_wasserstein_barycenter",
        call=lambda clouds, **kw: sliced_wasserstein_barycenter(
            [clouds, _Y], **{"n_steps": 3, **kw}
        ),
        arrays={"clouds": _X},
        values=lambda r: (r.points, r.trace),
        random=True,
        integers=False,
        bad_options=[
            ({"weights": [1.0]}, ValueError, r"of shape \(2,\), one number for each cloud"),
            ({"weights": [1.0, -1.0]}, ValueError, "weights must be non-negative"),
            ({"n_points": 0}, ValueError, "n_points must be at least 1"),
            ({"start": _X, "n_points": 3}, ValueError, "n_points must be left out or 12"),
            ({"start": _X[:, :2]}, ValueError, "start must have points of dimension 4"),
            ({"point_weights": -_A}, ValueError, "point_weights must be non-negative"),
            ({"point_weights": _A, "n_points": 3}, ValueError, r"point_weights must be of shape"),
        ],
    ),
    Case(
        name="sliced_wasserstein_sphere",
        call=sliced_wasserstein_sphere,
        arrays=_ROUND,
        values=sliced_values,
        random=True,
        integers=False,
        large=_BALL,
        bad_options=[
            *_BAD_P,
            ({"p": 17}, ValueError, "p must be in"),
            *_BAD_WEIGHTS,
            *_BAD_DIRECTIONS[:4],
            ({"directions": np.eye(4)}, ValueError, r"directions must have shape \(L, 4, 2\)"),
            ({"directions": np.ones((3, 4, 2))}, ValueError, "orthonormal columns within 1e-6"),
            (
                {"directions": np.eye(4)[None, :, :2], "n_projections": 3},
                ValueError,
                "n_projections must be left out or 1",
            ),
            ({"control_variate": "full"}, ValueError, "control_variate must be one of None"),
            ({"control_variate": 3}, TypeError, "control_variate must be one of None"),
            ({"X": 2.0 * _ROUND["X"]}, ValueError, "X must have rows of length 1 within 1e-06"),
            ({"X": np.ones((3, 1))}, ValueError, "X must have points of dimension 2 or more"),
            ({"Y": _ROUND["Y"][:, :3]}, ValueError, "Y must have points of dimension 4"),
            ({"Y": None, "b": np.ones(9)}, ValueError, "b must be left out without Y"),
        ],
    ),
    Case(
        name="sliced_wasserstein_sphere weighted",
        call=lambda **kw: sliced_wasserstein_sphere(n_projections=60, p=1.5, **kw),
        arrays={**_ROUND, "a": _A},
        values=sliced_values,
        random=True,
        integers=False,
    ),
    Case(
        name="expected_sliced_plan",
        call=expected_sliced_plan,
        arrays={"X": _X, "Y": _Y},
        values=lambda r: (r.barycentric, np.float64(r.cost), r.standard_error),
        random=True,
        integers=False,  # at ties each order is a plan of its own
        large=_LARGE,
        scaled={"X Y": (1, None, 1)},
        rtol32=0.2,  # ties that rounding breaks the other way
        bad_options=[
            *_BAD_P,
            ({"p": 17}, ValueError, "p must be in"),
            *_BAD_WEIGHTS,
            *_BAD_DIRECTIONS,
        ],
    ),
    Case(
        name="expected_sliced_plan weighted",
        call=lambda **kw: expected_sliced_plan(n_projections=30, p=1, **kw),
        arrays={"X": _X, "Y": _Y, "a": _A},
        values=lambda r: (r.barycentric, np.float64(r.cost)),
        random=True,
        integers=False,
        rtol32=0.2,
        large={**_LARGE, "a": np.arange(400.0)},
        scaled={"X Y": (1, 1), "a": (0, 0)},
    ),
    Case(
        name="max_sliced_wasserstein",
        call=max_sliced_wasserstein,
        arrays={"X": _X, "Y": _Y},
        values=lambda r: (np.float64(float(r)),),
        large=_LARGE,
        scaled={"X Y": (1,)},
        bad_options=[
            *_BAD_P,
            *_BAD_WEIGHTS,
            ({"n_starts": 0}, ValueError, "n_starts must be at least 1"),
            ({"n_starts": 257}, ValueError, "n_starts must be at least 1 and at most 256"),
            ({"rtol": -1}, ValueError, "rtol must be at least 0"),
            ({"max_iterations": 0}, ValueError, "max_iterations must be at least 1"),
        ],
    ),
]
