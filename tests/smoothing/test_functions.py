"""What the functions of a model may be: their generators, names and arguments."""

import operator
import random as python_random
import re
import types

import numba
import numpy as np
import pytest
from numba import literal_unroll

import randla
from randla import AdditiveFunctional, StateSpaceModel, paris, particle_filter, random
from tests.smoothing import models

# Few particles, so that the tests are quick.
pytestmark = [
    pytest.mark.filterwarnings("ignore::randla.BiasWarning"),
    pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning"),
]

SERIES = np.random.default_rng(5).standard_normal(40)


# Random numbers that no seed of ours controls.

OWN = np.random.default_rng(0)
normal_of_numpy = np.random.normal


@numba.njit
def draws_deep(x):
    return x + draws_deeper(x)


@numba.njit
def draws_deeper(x):
    return python_random.gauss(0.0, x)


@numba.vectorize
def noise(x):
    return x + normal_of_numpy()


def fill_noise(x, out):
    out[0] = x[0] + normal_of_numpy()


noises = numba.guvectorize(["void(float64[:], float64[:])"], "(n)->(n)")(fill_noise)


@numba.cfunc("float64(float64)")
def callback(x):
    return x + normal_of_numpy()


@numba.experimental.jitclass([("scale", numba.float64)])
class Source:
    def __init__(self, scale):
        self.scale = scale

    def draw(self):
        return self.scale * normal_of_numpy()


@numba.experimental.jitclass([("scale", numba.float64)])
class Accessor:
    def __init__(self, scale):
        self.scale = scale

    @property
    def drawn(self):
        return self.scale * draws_deep(1.0)


WRONG_DRAWS = {
    "np.random.normal()": "np.random.normal",
    "np.random.default_rng(3).normal()": "np.random.default_rng",
    "numpy_random.normal()": "numpy_random.normal",
    "python_random.random()": "python_random.random",
    "normal_of_numpy()": "normal_of_numpy",
    "gauss(0.0, 1.0)": "gauss",
    "OWN.normal()": "OWN",
    "pair[1](0.0, 1.0)": "pair",
    "closed()": "closed",
    "draws_deep(x)": "python_random.gauss",
    "module.draw(x)": "python_random.gauss",
    "with_default(x)": "a default",
    "noise(x)": "normal_of_numpy",
    "noises(out, out)": "normal_of_numpy",
    "callback(x)": "normal_of_numpy",
    "Source(2.0).draw()": "normal_of_numpy",
    "Accessor(2.0).drawn": "python_random.gauss",
    "sum([np.random.uniform() for _ in range(3)])": "np.random.uniform",
}


@pytest.mark.parametrize("draw", WRONG_DRAWS)
def test_other_generators_are_refused(draw):
    module = types.ModuleType("helpers")
    module.draw = draws_deep
    scope = {
        "np": np, "numpy_random": np.random, "python_random": python_random, "OWN": OWN,
        "normal_of_numpy": normal_of_numpy, "gauss": python_random.gauss, "module": module,
        "draws_deep": draws_deep, "noise": noise, "noises": noises,
        "pair": (1.0, python_random.gauss), "callback": callback, "Source": Source,
        "Accessor": Accessor,
        "with_default": numba.njit(lambda x, generator=OWN: x),
    }  # fmt: skip
    source = f"""
def make(closed):
    def transition(rng, t, x, theta):
        return x + {draw} {"+ closed()" if draw == "closed()" else ""}
    return transition
"""
    exec(source, scope)
    text = rf"transition must draw from its stream rng .* it uses {re.escape(WRONG_DRAWS[draw])},"
    with pytest.raises(ValueError, match=text):
        StateSpaceModel(**{**models.WALK, "transition": scope["make"](np.random.normal)})


def test_generators_are_refused_in_functionals_and_in_helpers_that_come_later():
    def by_another_name(rng, t, x, theta):
        q = np
        z = x + 1.0
        return z + q.random.normal()

    with pytest.raises(ValueError, match=r"transition must draw .* np.random.normal"):
        StateSpaceModel(**{**models.WALK, "transition": by_another_name})
    with pytest.raises(ValueError, match=r"step must draw .* normal_of_numpy"):
        AdditiveFunctional(
            1,
            initial=models.sums_first,
            step=lambda t, x, xn, y, theta, out: normal_of_numpy(),
        )
    scope = {"numba": numba, "np": np}
    exec("def transition(rng, t, x, theta):\n    return helper(x)", scope)
    model = StateSpaceModel(**{**models.WALK, "transition": scope["transition"]})
    exec("@numba.njit\ndef helper(x):\n    return np.random.normal(x)", scope)
    with pytest.raises(ValueError, match=r"transition must draw .* np.random.normal"):
        model.simulate(3)


def test_our_generator_is_not_refused_whatever_its_name():
    scope = {"np": np, "randla": randla, "random": random, "normal": random.normal}
    exec(
        "def transition(rng, t, x, theta):\n"
        "    return np.exp(-x * x) + random.normal(rng) + randla.random.normal(rng) + normal(rng)",
        scope,
    )
    model = StateSpaceModel(**{**models.WALK, "transition": scope["transition"]})
    first, second = (model.simulate(5, rng=3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


# Names of functions and of arguments.


@pytest.mark.parametrize("name", ["function", "reordered", "random", "t", "out"])
def test_a_function_may_have_any_name(name):
    scope = {"own": models.walk_log_potential}
    exec(f"def {name}(y, x, t, theta):\n    return own(t, x, y, theta)", scope)
    model = StateSpaceModel(**{**models.WALK, "log_potential": scope[name]})
    got = particle_filter(model, SERIES, n_particles=30, rng=0).log_likelihood
    assert got == particle_filter(models.walk, SERIES, n_particles=30, rng=0).log_likelihood


def test_arguments_are_bound_by_their_names():
    @numba.njit
    def log_potential(x, y, t, theta):
        return models.walk_log_potential(t, x, y, theta)

    @numba.njit
    def transition(theta, x, t, rng):
        return models.walk_transition(rng, t, x, theta)

    def log_transition(xn, x, t, theta):
        return models.walk_log_transition(t, x, xn, theta)

    def observe(out, x, theta, t, rng):
        models.walk_observe(rng, t, x, theta, out)

    def step(out, theta, y, xn, x, t):
        models.sums_next(t, x, xn, y, theta, out)

    changed = {"log_potential": log_potential, "transition": transition}
    changed |= {"log_transition": log_transition, "observe": observe}
    model = StateSpaceModel(**{**models.WALK, **changed})
    functional = AdditiveFunctional(3, initial=models.sums_first, step=step)
    expected = paris(models.walk, SERIES, models.SUMS, n_particles=30, rng=0).per_chain
    got = paris(model, SERIES, functional, n_particles=30, rng=0).per_chain
    np.testing.assert_array_equal(got, expected)
    for a, b in zip(model.simulate(9, rng=1), models.walk.simulate(9, rng=1), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_names_stand_for_their_places():
    @numba.njit
    def log_potential(_, state, observation, parameters):
        return models.walk_log_potential(0, state, observation, parameters)

    @numba.njit
    def transition(rng, time, x, _):  # a mixture, each known name in its place
        return models.walk_transition(rng, time, x, np.array([0.9, 1.0, 1.0]))

    model = StateSpaceModel(
        **{**models.WALK, "log_potential": log_potential, "transition": transition}
    )
    got = particle_filter(model, SERIES, n_particles=30, rng=0).log_likelihood
    assert got == particle_filter(models.walk, SERIES, n_particles=30, rng=0).log_likelihood


@pytest.mark.parametrize(
    "arguments",
    [
        "x, y, time, theta",  # a mixture whose known names are elsewhere
        "t, x, xn, theta",  # a name that this function is not given
        "rng, x, y, theta",
        "t, y, state, theta",
        "t, x, theta, y=None",
        "x, y, theta",
        "t, x, y, *theta",
        "t, x, y, *, theta",
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments):
    scope: dict = {}
    exec(f"def log_potential({arguments}):\n    return 0.0", scope)
    if arguments == "t, x, theta, y=None":  # an order of its own, all the same
        StateSpaceModel(**{**models.WALK, "log_potential": scope["log_potential"]})
        return
    places = len(arguments.split(",")) == 4 and "*" not in arguments  # then a name is misplaced
    error = TypeError if places else ValueError
    match = rf"log_potential must take \(t, x, y, theta\), got \({re.escape(arguments)}\)"
    with pytest.raises(error, match=match):
        StateSpaceModel(**{**models.WALK, "log_potential": scope["log_potential"]})


def test_an_array_is_named_in_a_function_with_another_order():
    @numba.njit
    def log_potential(x, y, t, theta):
        return theta[5] * x

    model = StateSpaceModel(**{**models.WALK, "log_potential": log_potential})
    with pytest.raises(ValueError, match=r"log_potential must .* at t = 0 .* in theta\[5\]$"):
        particle_filter(model, SERIES, n_particles=20, rng=0)


def test_functions_may_contain_what_no_kernel_of_the_library_does():
    """Such passes of Numba are left out for kernels only."""
    combine = numba.njit(lambda function, a, b: function(a, b))

    def plain(t, x, y, theta):
        return -0.5 * (x - y) * (x - y)

    def rich(t, x, y, theta):
        def square(v):
            return v * v

        halves = [0.5 * square(v) for v in (x - y, 0.0)]
        total = (np.ones(2) - 2.0 * np.ones(2))[0] * halves[0] - halves[1]
        for zero in literal_unroll((0, 0.0)):
            total += zero
        return combine(operator.add, total, 0.0)

    first, second = (
        particle_filter(
            StateSpaceModel(**{**models.WALK, "log_potential": f}), SERIES, n_particles=20, rng=0
        )
        for f in (plain, rich)
    )
    assert first.log_likelihood == second.log_likelihood
