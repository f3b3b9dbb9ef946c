"""Errors in functions of users: the function is named, and the time, and the array.

Compiled code does not look at bounds by itself: what lies behind the end of an array is read as if
it belonged to it.
"""

import random as python_random
import re
import types
import warnings
from functools import partial

import numba
import numpy as np
import pytest

import randla
from randla import AdditiveFunctional, StateSpaceModel, paris, particle_filter, random
from randla.smoothing._model import specialise
from tests.smoothing import models

# Few particles, so that the tests are quick.
pytestmark = pytest.mark.filterwarnings("ignore::randla.BiasWarning")

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
def draw_two(rng, t, x, theta, out):
    out[0], out[1] = x, x


VECTOR, COLUMN = models.VECTOR_CHAIN, models.SYMBOLS[:, None]
CASES = {
    "theta forgotten": (models.WALK, {"theta": (), "names": None, "support": None}, Y,
                        r"log_potential must .* at t = 0 index 2 is out .* size 0 in theta\[2\]"),
    "helper": (models.WALK, {"transition": by_a_helper}, Y,
               r"transition must .* at t = 0 index 3 is out of bounds .* size 3 in theta\[3\]"),
    "next row": (models.WALK, {"log_potential": second_entry}, Y,
                 r"log_potential must .* at t = 0 index 1 is out of bounds .* size 1 in y\[1\]"),
    "next row of a column": (models.WALK, {"log_potential": second_entry}, Y[:, None],
                             r"log_potential must .* in y\[1\]"),
    "a table over time": (models.WALK, {"log_potential": by_time}, Y,
                          r"log_potential must .* at t = 2 index 2 .* in SHORT\[2\]"),
    "symbol": (models.CHAIN, {}, [0, 1, 2, 3, 1, 0],
               r"log_potential must .* at t = 3 index 3 .* size 3 in LOG_EMISSION\[., 3\]"),
    "long start": (VECTOR, {"initial": long_start}, COLUMN,
                   r"initial must .* at t = 0 index 2 is out of bounds .* in out\[2\]"),
    "long step": (VECTOR, {"transition": long_step}, COLUMN,
                  r"transition must .* at t = 0 .* in out\[2\]"),
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
    with pytest.raises(ValueError, match=rf"step of functional must .* in {column}\[{far}\]"):
        paris(models.vector_chain, COLUMN, functional, n_particles=5, n_chains=1, rng=0)


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


# Tables over time, read in any function, in any way, by any algorithm.

LENGTH = 40


def table(n):
    return np.linspace(-0.5, 0.5, n)


TABLE = table(1)


@numba.njit
def look_up(values, t):
    return values[t]


@numba.njit
def through_two(t):
    return look_up(TABLE, t)


def make_functions(n, how):
    """Functions of a scalar model that read a table of n entries, and their names for it."""
    closed = table(n)
    pair = closed, closed
    module = types.ModuleType("covariates")
    module.TABLE = closed
    module.look_up = numba.njit(lambda t: closed[t])
    scope = {"numba": numba, "closed": closed, "pair": pair, "module": module}
    scope |= {"look_up": look_up}
    source = f"""
def make(closed, pair):
    @numba.njit
    def read(t):
        return {how}
    return read
"""
    exec(source, scope)
    read = scope["make"](closed, pair)

    @numba.njit
    def transition(rng, t, x, theta):
        return theta[0] * x + read(t) + theta[1] * random.normal(rng)

    @numba.njit
    def log_transition(t, x, xn, theta):
        return models.walk_log_transition(t, x, xn - read(t), theta)

    @numba.njit
    def log_potential(t, x, y, theta):
        return models.walk_log_potential(t, x, y - read(t), theta)

    @numba.njit
    def observe(rng, t, x, theta, out):
        out[0] = x + read(t)

    @numba.njit
    def proposal(rng, t, x, y, theta):
        return models.best_proposal(rng, t, x, y, theta) + read(t)

    @numba.njit
    def log_proposal(t, x, xn, y, theta):
        return models.log_best_proposal(t, x, xn, y, theta) + read(t)

    @numba.njit
    def log_transition_bound(t, theta):
        return 1.0 + read(t)

    @numba.njit
    def score_step(t, x, xn, y, theta, out):
        out[0] = out[1] = out[2] = read(t)

    @numba.njit
    def score_initial(x, y, theta, out):
        out[:] = 0.0

    @numba.njit
    def step(t, x, xn, y, theta, out):
        out[0] = xn + read(t)

    @numba.njit
    def first(x, y, theta, out):
        out[0] = x

    functions = {f.__name__: f for f in (
        transition, log_transition, log_potential, observe, proposal, log_proposal,
        log_transition_bound, score_initial, score_step,
    )}  # fmt: skip
    return functions, AdditiveFunctional(1, initial=first, step=step)


SERIES = np.random.default_rng(5).standard_normal(LENGTH)
QUICK = {"n_particles": 20, "n_chains": 1, "rng": 0}


def run(algorithm, model, functional="state"):
    if algorithm == "simulate":
        return model.simulate(LENGTH, rng=0)
    if algorithm == "forecast":
        return model.forecast([0.1, 0.2], 10, start_time=LENGTH - 11, rng=0)
    if algorithm == "filter":
        return particle_filter(model, SERIES, n_particles=20, rng=0)
    if algorithm == "likelihood":
        return randla.maximum_likelihood(
            model, SERIES, n_steps=2, n_final=1, n_particles=10, n_chains=1, rng=0
        )
    if algorithm == "gibbs":
        return randla.particle_gibbs(model, SERIES, n_iterations=2, burn_in=1, **QUICK)
    if algorithm == "ppg":
        return randla.ppg(model, SERIES, functional, n_iterations=2, burn_in=1, **QUICK)
    if algorithm == "ffbs":
        return randla.ffbs(model, SERIES, functional, **QUICK)
    return paris(model, SERIES, functional, backward=algorithm, **QUICK)


WAYS = {
    "closed[t]": "closed",
    "pair[1][t]": "pair",
    "module.TABLE[t]": "module.TABLE",
    "look_up(closed, t)": "closed",
    "module.look_up(t)": "closed",
    "closed[t:][0]": "closed",
    "closed[-1 - t]": "closed",
}
USES = [
    ("transition", "filter"), ("transition", "mcmc"), ("transition", "ppg"),
    ("transition", "gibbs"), ("transition", "ffbs"), ("transition", "simulate"),
    ("transition", "forecast"), ("transition", "likelihood"),
    ("log_transition", "exact"), ("log_transition", "mcmc"), ("log_transition", "ffbs"),
    ("log_transition", "gibbs"), ("log_transition", "ppg"), ("log_transition", "likelihood"),
    ("log_transition_bound", "reject"), ("observe", "simulate"), ("observe", "forecast"),
    ("log_potential", "filter"), ("log_potential", "ancestor"), ("log_potential", "likelihood"),
    ("proposal", "filter"), ("log_proposal", "filter"), ("log_proposal", "ppg"),
    ("score_step", "likelihood"),
    ("step of functional", "mcmc"), ("step of functional", "ppg"), ("step of functional", "ffbs"),
]  # fmt: skip


def reading(name, n, how):
    """A model whose function `name` reads a table of n entries, and a functional."""
    functions, functional = make_functions(n, how)
    extra = dict(functions) if name in functions else {}
    extra = {key: extra[key] for key in extra if key == name}
    if name in ("proposal", "log_proposal"):
        extra = {"proposal": models.best_proposal, "log_proposal": models.log_best_proposal} | extra
    if name == "score_step":
        extra["score_initial"] = functions["score_initial"]
    return StateSpaceModel(**{**models.WALK, **extra}), functional


@pytest.mark.parametrize(("name", "algorithm"), USES)
def test_a_table_that_is_too_short_is_refused(name, algorithm):
    """The last of T times is t = T - 1 for what belongs to a time, T - 2 for a step."""
    enough = LENGTH - (name not in ("log_potential", "observe"))
    fails = enough - 2 if algorithm != "forecast" else enough - 1
    model, functional = reading(name, fails, "closed[t]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", randla.RandlaWarning)
        with pytest.raises(ValueError, match="out of bounds") as caught:
            run(algorithm, model, functional if "functional" in name else "state")
    t = fails + (name == "log_transition" and algorithm in ("gibbs", "ffbs"))  # backward in time
    assert str(caught.value) == (
        f"{name} must keep its indices within bounds, but at t = {t} index {t} is out of bounds "
        f"for axis 0 with size {fails} in closed[{t}]"
    )


@pytest.mark.parametrize("how", WAYS)
def test_a_table_is_named_however_it_is_read(how):
    model, _ = reading("transition", LENGTH - 2, how)
    with pytest.raises(ValueError, match=r"index .* out of bounds") as caught:
        particle_filter(model, SERIES, n_particles=20, rng=0)
    message = str(caught.value)
    assert message.startswith("transition must keep its indices within bounds, but at t = 38 ")
    assert f"in {WAYS[how]}" in message
    model, _ = reading("transition", LENGTH - 1, how)
    particle_filter(model, SERIES, n_particles=20, rng=0)


GRID = np.zeros((5, 2))


@pytest.mark.parametrize(
    ("read", "line"),
    [
        (lambda t: GRID.T[1, t], "GRID.T[1, t]"),
        (lambda t: GRID.ravel()[2 * t], "GRID.ravel()[2 * t]"),
        (lambda t: np.take(GRID, 2 * t), "np.take(GRID, 2 * t)"),
    ],
)
def test_the_line_tells_which_table_was_turned_or_handed_on(read, line):
    """Its view has no name."""
    read = numba.njit(read)
    model = StateSpaceModel(
        **{**models.WALK, "log_potential": lambda t, x, y, theta: read(t) - x * x}
    )
    text = rf"^log_potential must .* at t = 5 index \d+ is out of bounds .* in .*{re.escape(line)}"
    with pytest.raises(ValueError, match=text):
        particle_filter(model, SERIES[:6], n_particles=20, rng=0)


LEVELS, PAIRS = tuple(table(5)), (1.0, tuple(table(5)))


@numba.njit
def of_levels(t):
    return LEVELS[t]


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("LEVELS[t]", "LEVELS[5]"),
        ("PAIRS[1][t]", "PAIRS[1][5]"),
        ("of_levels(t)", "LEVELS[5]"),
        ("module.LEVELS[t]", "module.LEVELS[5]"),
    ],
)
def test_a_tuple_is_named_like_a_table(how, name):
    module = types.ModuleType("covariates")
    module.LEVELS = LEVELS
    scope = {"LEVELS": LEVELS, "PAIRS": PAIRS, "of_levels": of_levels, "module": module}
    exec(f"def log_potential(t, x, y, theta):\n    return {how} - x * x", scope)
    model = StateSpaceModel(**{**models.WALK, "log_potential": scope["log_potential"]})
    particle_filter(model, SERIES[:5], n_particles=20, rng=0)
    text = f"at t = 5 tuple index out of range in {name}"
    with pytest.raises(ValueError, match=re.escape(text) + "$"):
        particle_filter(model, SERIES[:6], n_particles=20, rng=0)


@pytest.mark.compiled
def test_a_list_is_named_which_numba_does_not_take():
    scope = {"LEVELS": list(LEVELS)}
    exec("def log_potential(t, x, y, theta):\n    return LEVELS[t] - x * x", scope)
    model = StateSpaceModel(**{**models.WALK, "log_potential": scope["log_potential"]})
    text = "log_potential must compile under Numba: LEVELS is a list: make it a NumPy array$"
    with pytest.raises(TypeError, match=text):
        particle_filter(model, SERIES[:5], n_particles=20, rng=0)


def test_a_table_that_the_state_is_looked_up_in():
    """Only some particles run off the end."""
    steps = np.zeros((2, 60))

    @numba.njit
    def transition(rng, t, x, theta):
        return x + steps[t % 2, int(x)] + (random.uniform(rng) < 0.8)

    model = StateSpaceModel(
        initial=lambda rng, theta: 0.0,
        transition=transition,
        log_potential=lambda t, x, y, theta: -1e-3 * (y - x) ** 2,
    )
    with pytest.raises(ValueError, match="index 60 is out of bounds for axis 1 with size 60 in"):
        particle_filter(model, np.zeros(200), n_particles=50, rng=0)
    particle_filter(model, np.zeros(60), n_particles=50, rng=0)


def test_functions_that_are_not_cached_are_checked_as_well():
    """An array of records is none of the things whose content is hashed."""
    records = np.zeros(4, dtype=[("level", float), ("day", int)])

    @numba.njit
    def log_potential(t, x, y, theta):
        return records[t]["level"] - x * x

    with pytest.raises(specialise.UnhashableError):
        specialise.content_key(log_potential)
    model = StateSpaceModel(**{**models.WALK, "log_potential": log_potential})
    with pytest.raises(ValueError, match=r"log_potential must .* at t = 4 .* in records\[4\]"):
        particle_filter(model, SERIES, n_particles=20, rng=0)


# What else goes wrong in a function.


@numba.njit
def refuses(x):
    if x > 0.0:
        raise RuntimeError("no state above zero", 3)
    return x


@numba.njit
def refuses_in_transition(rng, t, x, theta):
    return x + random.normal(rng) if t < 7 else refuses(x + 10.0)


@numba.njit
def raises_an_index_error(t, x, y, theta):
    if t == 3:
        raise IndexError("the third")
    return -x * x


def test_exceptions_of_users_carry_the_name_of_the_function():
    def of(**changes):
        return StateSpaceModel(**{**models.WALK, **changes})

    text = r"no state above zero \(raised by transition at t = 7\)"
    for model, error, message in [
        (of(transition=refuses_in_transition), RuntimeError, text),
        (of(log_potential=raises_an_index_error), IndexError, "third .raised by log_potential at"),
    ]:
        with pytest.raises(error, match=message) as caught:
            particle_filter(model, SERIES, n_particles=20, rng=0)
        if error is RuntimeError:
            assert caught.value.args[1] == 3
    with pytest.raises(RuntimeError, match=text):
        of(transition=refuses_in_transition).simulate(10, rng=0)


def plain_helper(t):
    return 0.1 * t


@numba.njit
def jitted_helper(t):
    return plain_helper(t)


@pytest.mark.compiled
@pytest.mark.parametrize("how", ["plain_helper(t)", "jitted_helper(t)", "module.plain_helper(t)"])
def test_a_helper_that_is_not_jitted_is_named(how):
    module = types.ModuleType("helpers")
    module.plain_helper = plain_helper
    scope = {"plain_helper": plain_helper, "jitted_helper": jitted_helper, "module": module}
    exec(f"def log_potential(t, x, y, theta):\n    return {how}", scope)
    model = StateSpaceModel(**{**models.WALK, "log_potential": scope["log_potential"]})
    text = (
        "log_potential must compile under Numba: (module.)?plain_helper is a plain Python function"
    )
    with pytest.raises(TypeError, match=f"^{text}: decorate it with numba.njit$"):
        particle_filter(model, SERIES, n_particles=20, rng=0)


# States that are written in part.


@numba.njit
def starts_in_part(rng, theta, out):
    out[0] = random.normal(rng)


@numba.njit
def starts(rng, theta, out):
    out[0], out[1] = random.normal(rng), random.normal(rng)


@numba.njit
def moves_in_part(rng, t, x, theta, out):
    out[0] = random.normal(rng)
    if t != 2:  # rows of the cloud then hold older states
        out[1] = 0.5 * x[1] + random.normal(rng)


@numba.njit
def moves(rng, t, x, theta, out):
    out[0], out[1] = random.normal(rng), 0.5 * x[1] + random.normal(rng)


@numba.njit
def starts_guided(rng, y, theta, out):
    out[1] = random.normal(rng)


@numba.njit
def moves_guided(rng, t, x, y, theta, out):
    out[:t] = 1.0


@numba.njit
def log_standard(x, theta):
    return -0.5 * (x[0] * x[0] + x[1] * x[1])


@numba.njit
def log_moves(t, x, xn, theta):
    return -0.5 * (xn[0] * xn[0] + (xn[1] - 0.5 * x[1]) ** 2)


@numba.njit
def log_first(t, x, y, theta):
    return -0.5 * (y - x[0]) ** 2


@numba.njit
def observe_in_part(rng, t, x, theta, out):
    out[0] = x[0]
    if t != 1:
        out[2] = x[1]


PLANE = {
    "initial": starts,
    "transition": moves,
    "log_initial": log_standard,
    "log_transition": log_moves,
    "log_potential": log_first,
    "observe": observe_in_part,
    "dim": 2,
}
IN_PART = {
    "initial": {"initial": starts_in_part},
    "transition": {"transition": moves_in_part},
    "initial_proposal": {
        "initial_proposal": starts_guided,
        "log_initial_proposal": lambda x, y, theta: 0.0,
    },
    "proposal": {"proposal": moves_guided, "log_proposal": lambda t, x, xn, y, theta: 0.0},
}


@pytest.mark.parametrize("case", IN_PART)
def test_an_entry_of_a_state_that_is_not_written_is_found(case):
    model = StateSpaceModel(**{**PLANE, **IN_PART[case]})
    for algorithm in (particle_filter, partial(paris, functional="state")):
        with pytest.raises(ValueError, match=r"must .* got NaN"):
            algorithm(model, Y, n_particles=10, rng=0)


def test_an_entry_of_an_observation_that_is_not_written_is_missing():
    model = StateSpaceModel(**PLANE, observation_dim=3)
    states, y = model.simulate(4, rng=0)
    expected = np.column_stack([states[:, 0], np.full(4, np.nan), states[:, 1]])
    expected[1, 2] = np.nan
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.isnan(model.forecast(states, 3, rng=0)[1][..., 1]), True)


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
    with pytest.raises(ValueError, match=r"log_potential must take \(t, x, y, theta\), got \("):
        StateSpaceModel(**{**models.WALK, "log_potential": scope["log_potential"]})


def test_an_array_is_named_in_a_function_with_another_order():
    @numba.njit
    def log_potential(x, y, t, theta):
        return theta[5] * x

    model = StateSpaceModel(**{**models.WALK, "log_potential": log_potential})
    with pytest.raises(ValueError, match=r"log_potential must .* at t = 0 .* in theta\[5\]"):
        particle_filter(model, SERIES, n_particles=20, rng=0)
