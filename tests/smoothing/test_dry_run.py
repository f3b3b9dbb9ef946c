"""Functions of users that use an index out of bounds: compiled code would not notice."""

import numba
import numpy as np
import pytest

import randla
from randla import AdditiveFunctional, StateSpaceModel, paris, particle_filter, random
from randla.smoothing import _dry_run
from tests.smoothing import models

SHORT = np.array([0.1, 0.2])
Y = np.array([0.3, -1.0, 0.5, 2.0, 0.1])


@numba.njit
def helper(theta):
    return theta[3]


@numba.njit
def second_entry(t, x, y, theta):
    return -0.5 * (y[0] + y[1] - x) ** 2


@numba.njit
def by_a_helper(rng, t, x, theta):
    return 0.5 * x + helper(theta) * random.normal(rng)


@numba.njit
def by_time(t, x, y, theta):
    return -0.5 * (y - x) ** 2 + SHORT[t]


@numba.njit
def long_start(rng, theta, out):
    out[0], out[1], out[2] = 0.0, 1.0, 2.0


@numba.njit
def long_step(rng, t, x, theta, out):
    for k in range(3):
        out[k] = 0.0


@numba.njit
def reads_far(t, x, xn, theta):
    return -x[2]


@numba.njit
def draw_two(rng, t, x, theta, out):
    out[0], out[1] = x, x


VECTOR = models.VECTOR_CHAIN
CASES = {
    "theta forgotten": (models.WALK, {"theta": (), "names": None, "support": None}, Y,
                        r"log_potential must .* at t = 0 theta\[2\] .* theta with 0 entries"),
    "helper": (models.WALK, {"transition": by_a_helper}, Y,
               r"transition must .* theta\[3\] is out of bounds for theta with 3 entries"),
    "next row": (models.WALK, {"log_potential": second_entry}, Y,
                 r"log_potential must .* at t = 0 y\[1\] is out of bounds for y with 1 entry"),
    "next row of a column": (models.WALK, {"log_potential": second_entry}, Y[:, None],
                             r"log_potential must .* y\[1\]"),
    "a table over time": (models.WALK, {"log_potential": by_time}, Y,
                          "log_potential must .* at t = [2-4] index . is out of bounds"),
    "symbol": (models.CHAIN, {}, [0, 1, 2, 3, 1, 0],
               "log_potential must .* at t = 3 index 3 is out of bounds for axis 1 with size 3"),
    "long start": (VECTOR, {"initial": long_start}, models.SYMBOLS,
                   r"initial must .* at t = 0 out\[2\] .* out with 2 entries"),
    "long step": (VECTOR, {"transition": long_step}, models.SYMBOLS,
                  r"transition must .* at t = 1 out\[2\]"),
    "state": (VECTOR, {"log_transition": reads_far}, models.SYMBOLS,
              r"log_transition must .* x\[2\] is out of bounds for x with 2 entries"),
}  # fmt: skip


def with_types(names, *of_compiler):
    """Names of cases, those skipped without the compiler that need the types of arguments."""
    marks = {name: pytest.mark.compiled for name in of_compiler}
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


@pytest.mark.parametrize("case", with_types(CASES, "next row"))
def test_an_index_out_of_bounds_is_named(case):
    functions, changes, y, message = CASES[case]
    model = StateSpaceModel(**{**functions, **changes})
    with pytest.raises(ValueError, match=message):
        particle_filter(model, y, n_particles=10, rng=0)


@pytest.mark.parametrize("column", with_types(["x", "xn", "y", "theta", "out"], "y"))
def test_a_functional_out_of_bounds_is_named(column):
    far = {"x": 2, "xn": 2, "y": 1, "theta": 0, "out": 1}[column]
    source = f"def step(t, x, xn, y, theta, out):\n    out[0] = {column}[{far}]\n"
    scope: dict = {}
    exec(source, scope)

    def initial(x, y, theta, out):
        out[0] = 0.0

    functional = AdditiveFunctional(1, initial=initial, step=scope["step"])
    with pytest.raises(ValueError, match=rf"step of functional must .* {column}\[{far}\] is out"):
        paris(models.vector_chain, models.SYMBOLS, functional, n_particles=5, n_chains=1, rng=0)


def test_a_functional_of_a_ready_model_is_tried():
    def initial(x, y, theta, out):
        out[0], out[1] = x, x

    def step(t, x, xn, y, theta, out):
        out[0] = xn

    functional = AdditiveFunctional(1, initial=initial, step=step)
    model = randla.StochasticVolatility(0.9, 0.3, 0.6)
    with pytest.raises(ValueError, match=r"initial of functional must .* out\[1\]"):
        paris(model, Y, functional, n_particles=5, n_chains=1, rng=0)


def test_drawing_is_tried():
    changes = {"observe": draw_two, "observation_dim": 1}
    with pytest.raises(ValueError, match=r"observe must .* out\[1\]"):
        StateSpaceModel(**{**models.WALK, **changes}).simulate(3)
    with pytest.raises(ValueError, match=r"observe must .* out\[1\]"):
        StateSpaceModel(**{**models.WALK, **changes}).forecast([1.0], 3)
    with pytest.raises(ValueError, match=r"transition must .* theta\[3\]"):
        StateSpaceModel(**{**models.WALK, "transition": by_a_helper}).simulate(3)


# What is valid must pass, however it looks to plain Python.


@numba.njit
def divides(t, x, y, theta):
    return -0.5 * (y - x) ** 2 + np.exp(-1.0 / (0.0 * x)) * 0.0 if x > 1e9 else -0.5 * (y - x) ** 2


@numba.njit
def counts(rng, theta):
    return 0.0


@numba.njit
def counts_on(rng, t, x, theta):
    return x + 1.0


@numba.njit
def lags_behind(t, x, y, theta):  # at a state of the wrong time the index is out of bounds
    return SHORT[int(x) - t] - y * y


@numba.njit
def takes_logs(t, x, y, theta):  # plain Python raises for the logarithm of zero
    return np.log(y) - 0.5 * (y - x) ** 2 if y > 0 else -0.5 * x * x + 1.0 / (1.0 + abs(y))


@pytest.mark.parametrize(
    "changes",
    [
        {"log_potential": divides},
        {"log_potential": takes_logs},
        {"initial": counts, "transition": counts_on, "log_potential": lags_behind},
    ],
)
def test_valid_functions_pass(changes):
    model = StateSpaceModel(**{**models.WALK, **changes})
    result = particle_filter(model, [1, 0, 3, -2, 1], n_particles=10, rng=0)
    assert np.isfinite(result.log_likelihood)


def test_missing_rows_are_not_looked_at():
    y = np.array([np.nan, 1.0, np.nan])
    particle_filter(StateSpaceModel(**models.CHAIN), y, n_particles=5, rng=0)


def test_the_trial_is_not_repeated_for_the_same_data(monkeypatch):
    made, kind = [], _dry_run._Trial

    def counting(*arguments):
        made.append(arguments)
        return kind(*arguments)

    monkeypatch.setattr(_dry_run, "_Trial", counting)
    model = StateSpaceModel(**models.WALK)
    for y, theta, expected in ((Y, 0.9, 1), (Y, 0.5, 1), (Y + 1.0, 0.5, 2), (Y[:3], 0.5, 3)):
        particle_filter(model.replace([theta, 1.0, 1.0]), y, n_particles=10, rng=0)
        assert len(made) == expected
    particle_filter(randla.StochasticVolatility(0.9, 0.3, 0.6), Y, n_particles=10, rng=0)
    assert len(made) == 3
