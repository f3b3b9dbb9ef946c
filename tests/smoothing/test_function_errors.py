"""Errors in functions of users: the function is named, and the time, and the expression.

Compiled code does not look at bounds by itself: what lies behind the end of an array is read as if
it belonged to it.
"""

import linecache
import re
import types
import warnings
from functools import partial

import numba
import numpy as np
import pytest

import randla
from randla import AdditiveFunctional, StateSpaceModel, paris, particle_filter, random
from randla.smoothing._model.content import UnhashableError, content_key
from tests.smoothing import models

# Few particles, so that the tests are quick.
pytestmark = [
    pytest.mark.filterwarnings("ignore::randla.BiasWarning"),
    pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning"),
]

SHORT = np.array([0.1, 0.2])
Y = np.array([0.3, -1.0, 0.5, 2.0, 0.1])


def define(source, **scope):
    """What a source defines, which tracebacks can read as that of a file."""
    file = f"<source {hash(source)}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    exec(compile(source, file, "exec"), scope)
    return scope


@numba.njit
def helper(theta):
    return theta[7]


@numba.njit
def by_a_helper(rng, t, x, theta):
    return 0.5 * x + helper(theta) * random.normal(rng)


@numba.njit
def second_entry(t, x, y, theta):
    return -0.5 * (y[0] + y[1] - x) ** 2


@numba.njit
def by_time(t, x, y, theta):
    return -0.5 * (y - x) ** 2 + SHORT[t] + theta[2]


@numba.njit
def long_start(rng, theta, out):
    out[0] = out[1] = 0.0
    out[int(theta[0])] = 1.0


@numba.njit
def long_step(rng, t, x, theta, out):
    for k in range(int(theta[1])):
        out[k] = 0.0


BY_TIME = StateSpaceModel(**{**models.WALK, "log_potential": by_time})
NEXT_ROW = StateSpaceModel(**{**models.WALK, "log_potential": second_entry})
LONG = StateSpaceModel(
    **{**models.VECTOR_CHAIN, "initial": long_start, "transition": long_step}, theta=[1.0, 2.0]
)
COLUMN = models.SYMBOLS[:, None]
CASES = {
    "theta forgotten": (StateSpaceModel(**{**models.WALK, "log_potential": by_time, "theta": (),
                                           "names": None, "support": None}), Y,
                        r"log_potential must .* at t = 0 index 2 is out .* size 0 in theta\[2\]"),
    "helper": (StateSpaceModel(**{**models.WALK, "transition": by_a_helper}), Y,
               r"transition must .* at t = 0 index 7 is out of bounds .* size 3 in theta\[7\]"),
    "next row": (NEXT_ROW, Y,
                 r"log_potential must .* at t = 0 index 1 is out of bounds .* size 1 in y\[1\]"),
    "next row of a column": (NEXT_ROW, Y[:, None], r"log_potential must .* in y\[1\]"),
    "a table over time": (BY_TIME, Y, r"log_potential must .* at t = 2 index 2 .* in SHORT\[t\]"),
    "symbol": (models.chain, [0, 1, 2, 3, 1, 0],
               r"log_potential .* at t = 3 index 3 .* 3 in LOG_EMISSION\[int\(x\), int\(y\)\]"),
    "long start": (LONG.replace([2.0, 2.0]), COLUMN,
                   r"initial must .* at t = 0 index 2 is out of bounds .* in out\[int\(theta\[0"),
    "long step": (LONG.replace([1.0, 3.0]), COLUMN,
                  r"transition must .* at t = 0 .* in out\[k\]"),
}  # fmt: skip


def with_types(names, *of_compiler):
    """Names of cases, those skipped without the compiler that need the types of arguments."""
    marks = {name: pytest.mark.compiled for name in of_compiler}
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


@pytest.mark.parametrize("case", with_types(CASES, "next row"))
def test_an_index_out_of_bounds_is_named(case):
    model, y, message = CASES[case]
    with pytest.raises(ValueError, match=message):
        particle_filter(model, y, n_particles=10, rng=0)


FAR = {"x": 2, "xn": 2, "y": 1, "theta": 1, "out": 1}
FAR_STEP = define(
    "def step(t, x, xn, y, theta, out):\n    way = theta[0]\n    out[0] = 0.0\n"
    + "".join(f"    if way == {k}:\n        out[0] = {a}[{n}]\n" for k, (a, n) in
              enumerate(FAR.items()))
)["step"]  # fmt: skip
NOTHING = AdditiveFunctional(1, initial=lambda x, y, theta, out: out.fill(0.0), step=FAR_STEP)
CHAIN_WITH_THETA = StateSpaceModel(**models.VECTOR_CHAIN, theta=[-1.0])


@pytest.mark.parametrize("array", with_types(FAR, "y"))
def test_a_functional_out_of_bounds_is_named(array):
    model = CHAIN_WITH_THETA.replace([list(FAR).index(array)])
    text = rf"step of functional must .* in {array}\[{FAR[array]}\]"
    with pytest.raises(ValueError, match=text):
        paris(model, COLUMN, NOTHING, n_particles=5, n_chains=1, rng=0)


def test_a_functional_of_a_ready_model_is_tried():
    def initial(x, y, theta, out):
        out[0], out[1] = x, x

    def step(t, x, xn, y, theta, out):
        out[0] = xn

    functional = AdditiveFunctional(1, initial=initial, step=step)
    model = randla.StochasticVolatility(0.9, 0.3, 0.6)
    with pytest.raises(ValueError, match=r"initial of functional must .* out\[1\]"):
        paris(model, Y, functional, n_particles=5, n_chains=1, rng=0)


def test_an_index_in_observe_is_named():
    def observe(rng, t, x, theta, out):
        out[0], out[1] = x, x

    model = StateSpaceModel(**{**models.WALK, "observe": observe}, observation_dim=1)
    for draw in (lambda: model.simulate(3), lambda: model.forecast([1.0], 3)):
        with pytest.raises(ValueError, match=r"observe must .* out\[1\]"):
            draw()


# What is valid must pass, however it looks to plain Python, and is not blamed for others.


@numba.njit
def counts(rng, theta):
    return 0.0


@numba.njit
def counts_on(rng, t, x, theta):
    return x + 1.0 + 0.0 * theta[int(theta[0]) * (t == 2)]


@numba.njit
def lags_behind(t, x, y, theta):  # at a state of the wrong time the index is out of bounds
    level = SHORT[int(x) - t] - y * y
    if x > 1e9:
        return 0.0 * np.exp(-1.0 / (0.0 * x))
    return level + (np.log(y) if y > 0.0 else 1.0 / (1.0 + abs(y)))  # of zero Python raises


def test_valid_functions_pass_and_are_not_blamed():
    model = StateSpaceModel(
        initial=counts, transition=counts_on, log_potential=lags_behind, theta=[0.0]
    )
    y = [1, 0, 3, -2, 1]
    assert np.isfinite(particle_filter(model, y, n_particles=10, rng=0).log_likelihood)
    text = r"^transition must .* at t = 2 index 9 .* in theta\[int\(theta\[0\]\) \* \(t == 2\)\]$"
    with pytest.raises(ValueError, match=text):
        particle_filter(model.replace([9.0]), y, n_particles=10, rng=0)


def test_missing_rows_are_not_looked_at():
    y = np.array([np.nan, 1.0, np.nan])
    particle_filter(models.chain, y, n_particles=5, rng=0)


# Tables over time, read in any function by any algorithm: all of them read one table, each at an
# index that an entry of theta of its own shifts.

LENGTH = 40
TABLE = np.zeros(LENGTH)
READERS = (
    "transition", "log_transition", "log_potential", "observe", "proposal", "log_proposal",
    "log_transition_bound", "score_step", "step of functional",
)  # fmt: skip
FREE = models.WALK["names"]
FIRST_SHIFT = len(FREE)
READ = "TABLE[t + int(theta[k])]"


@numba.njit
def read(t, k, theta):
    return TABLE[t + int(theta[k])]


@numba.njit
def table_transition(rng, t, x, theta):
    return models.walk_transition(rng, t, x, theta) + read(t, FIRST_SHIFT, theta)


@numba.njit
def table_log_transition(t, x, xn, theta):
    return models.walk_log_transition(t, x, xn, theta) + read(t, FIRST_SHIFT + 1, theta)


@numba.njit
def table_log_potential(t, x, y, theta):
    return models.walk_log_potential(t, x, y, theta) + read(t, FIRST_SHIFT + 2, theta)


@numba.njit
def table_observe(rng, t, x, theta, out):
    out[0] = x + read(t, FIRST_SHIFT + 3, theta)


@numba.njit
def table_proposal(rng, t, x, y, theta):
    return models.best_proposal(rng, t, x, y, theta) + read(t, FIRST_SHIFT + 4, theta)


@numba.njit
def table_log_proposal(t, x, xn, y, theta):
    return models.log_best_proposal(t, x, xn, y, theta) + read(t, FIRST_SHIFT + 5, theta)


@numba.njit
def table_log_transition_bound(t, theta):
    return 1.0 + read(t, FIRST_SHIFT + 6, theta)


@numba.njit
def no_score(x, y, theta, out):
    out[:] = 0.0


@numba.njit
def table_score_step(t, x, xn, y, theta, out):
    out[:] = read(t, FIRST_SHIFT + 7, theta)


@numba.njit
def table_step(t, x, xn, y, theta, out):
    out[0] = xn + read(t, FIRST_SHIFT + 8, theta)


TABLE_WALK = {
    **models.WALK,
    "transition": table_transition,
    "log_transition": table_log_transition,
    "log_potential": table_log_potential,
    "observe": table_observe,
    "log_transition_bound": table_log_transition_bound,
    "score_initial": no_score,
    "score_step": table_score_step,
    "theta": [*models.WALK["theta"], *np.zeros(len(READERS))],
    "names": [*FREE, *READERS],
    "support": [*models.WALK["support"], *["real"] * len(READERS)],
}
READING = StateSpaceModel(**TABLE_WALK)
READING_GUIDED = StateSpaceModel(
    **TABLE_WALK, proposal=table_proposal, log_proposal=table_log_proposal
)
READING_SUM = AdditiveFunctional(1, initial=no_score, step=table_step)
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
            model, SERIES, free=FREE, n_steps=2, n_final=1, n_particles=10, n_chains=1, rng=0
        )
    if algorithm == "gibbs":
        return randla.particle_gibbs(model, SERIES, n_iterations=2, burn_in=1, **QUICK)
    if algorithm == "ppg":
        return randla.ppg(model, SERIES, functional, n_iterations=2, burn_in=1, **QUICK)
    if algorithm == "ffbs":
        return randla.ffbs(model, SERIES, functional, **QUICK)
    return paris(model, SERIES, functional, backward=algorithm, **QUICK)


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


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        pytest.param(*use, marks=pytest.mark.slow if use[1] in ("gibbs", "ppg") else ())
        for use in USES
    ],
)
def test_a_table_that_is_too_short_is_refused(name, algorithm):
    """The last of T times is t = T - 1 for what belongs to a time, T - 2 for a step."""
    enough = LENGTH - (name not in ("log_potential", "observe"))
    fails = enough - 2 if algorithm != "forecast" else enough - 1
    model = READING_GUIDED if "proposal" in name else READING
    theta = model.theta.copy()
    theta[model.names.index(name)] = LENGTH - fails
    functional = READING_SUM if "functional" in name else "state"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", randla.RandlaWarning)
        with pytest.raises(ValueError, match="out of bounds") as caught:
            run(algorithm, model.replace(theta), functional)
    t = fails + (name == "log_transition" and algorithm in ("gibbs", "ffbs"))  # backward in time
    assert str(caught.value) == (
        f"{name} must keep its indices within bounds, but at t = {t} index {LENGTH + t - fails} is "
        f"out of bounds for axis 0 with size {LENGTH} in {READ}"
    )


# Ways to read a table of five entries, and the expression that is told.

ENTRIES, GRID = np.zeros(5), np.zeros((5, 2))
LEVELS, PAIRS = tuple(ENTRIES), (1.0, tuple(ENTRIES))


@numba.njit
def look_up(values, t):
    return values[t]


@numba.njit
def of_levels(t):
    return LEVELS[t]


WAYS = {
    "ENTRIES[t]": "ENTRIES[t]",
    "closed[t]": "closed[t]",
    "pair[1][t]": "pair[1][t]",
    "module.TABLE[t]": "module.TABLE[t]",
    "look_up(closed, t)": "values[t]",
    "module.look_up(t)": "ENTRIES[t]",
    "closed[t:][0]": "closed[t:][0]",
    "closed[-1 - t]": "closed[-1 - t]",
    "GRID.T[1, t]": "GRID.T[1, t]",
    "GRID.ravel()[2 * t]": "GRID.ravel()[2 * t]",
    "np.take(GRID, 2 * t)": "np.take(GRID, 2 * t)",
    "LEVELS[t]": "LEVELS[t]",
    "PAIRS[1][t]": "PAIRS[1][t]",
    "of_levels(t)": "LEVELS[t]",
    "module.LEVELS[t]": "module.LEVELS[t]",
}


@pytest.fixture(scope="module")
def reader():
    """A model whose transition reads a table in the way theta[0]."""
    module = types.ModuleType("covariates")
    module.TABLE, module.LEVELS = ENTRIES, LEVELS
    module.look_up = numba.njit(lambda t: ENTRIES[t])
    ways = "".join(f"        if way == {k}:\n            return {how}\n"
                   for k, how in enumerate(WAYS))  # fmt: skip
    body = f"    def read(way, t):\n{ways}        return 0.0\n    return read"
    scope = define(
        f"def make(closed, pair):\n{body}", np=np, module=module, look_up=look_up,
        of_levels=of_levels, GRID=GRID, ENTRIES=ENTRIES, LEVELS=LEVELS, PAIRS=PAIRS,
    )  # fmt: skip
    read = numba.njit(scope["make"](ENTRIES.copy(), (ENTRIES, ENTRIES.copy())))

    @numba.njit
    def transition(rng, t, x, theta):
        return x + read(int(theta[0]), t)

    return StateSpaceModel(**{**models.WALK, "transition": transition, "support": None})


@pytest.mark.parametrize("how", WAYS)
def test_the_expression_is_told_however_a_table_is_read(how, reader):
    model = reader.replace([list(WAYS).index(how), 1.0, 1.0])
    model.simulate(6, rng=0)
    text = rf"^transition must keep .* but at t = 5 .*out of .* in {re.escape(WAYS[how])}$"
    with pytest.raises(ValueError, match=text):
        model.simulate(7, rng=0)


def test_without_a_source_the_function_is_named_all_the_same():
    scope = {"TABLE": ENTRIES}
    exec("def transition(rng, t, x, theta):\n    return TABLE[t]", scope)
    model = StateSpaceModel(**{**models.WALK, "transition": scope["transition"]})
    text = "^transition must .* at t = 5 index 5 is out of bounds for axis 0 with size 5$"
    with pytest.raises(ValueError, match=text):
        model.simulate(7, rng=0)


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
    def transition(rng, t, x, theta):
        return records[t]["level"] - x * x

    with pytest.raises(UnhashableError):
        content_key(transition)
    model = StateSpaceModel(**{**models.WALK, "transition": transition})
    with pytest.raises(ValueError, match=r"transition must .* at t = 4 .* in records\[t\]"):
        model.simulate(6, rng=0)


# What else goes wrong in a function.


@numba.njit
def refuses(x):
    if x > 0.0:
        raise RuntimeError("no state above zero", 3)
    return x


@numba.njit
def refuses_in_transition(rng, t, x, theta):
    return x + random.normal(rng) if t != theta[0] else refuses(abs(x))


@numba.njit
def raises_an_index_error(t, x, y, theta):
    if t == theta[1]:
        raise IndexError("the third")
    return -x * x


def test_exceptions_of_users_carry_the_name_of_the_function():
    changes = {"transition": refuses_in_transition, "log_potential": raises_an_index_error}
    model = StateSpaceModel(**{**models.WALK, **changes, "support": None})
    text = r"no state above zero \(raised by transition at t = 7\)"
    for theta, error, message in [
        ([7.0, -1.0, 0.0], RuntimeError, text),
        ([-1.0, 3.0, 0.0], IndexError, "third .raised by log_potential at t = 3"),
    ]:
        with pytest.raises(error, match=message) as caught:
            particle_filter(model.replace(theta), SERIES, n_particles=20, rng=0)
        if error is RuntimeError:
            assert caught.value.args[1] == 3
    with pytest.raises(RuntimeError, match=text):
        model.replace([7.0, -1.0, 0.0]).simulate(10, rng=0)


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
def starts(rng, theta, out):
    out[0] = random.normal(rng)
    if theta[0] > 0.0:
        out[1] = random.normal(rng)


@numba.njit
def moves(rng, t, x, theta, out):
    out[0] = random.normal(rng)
    if t != theta[1]:  # rows of the cloud then hold older states
        out[1] = 0.5 * x[1] + random.normal(rng)


@numba.njit
def starts_guided(rng, y, theta, out):
    starts(rng, theta, out)


@numba.njit
def moves_guided(rng, t, x, y, theta, out):
    moves(rng, t, x, theta, out)


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
    "bootstrap": StateSpaceModel(**PLANE, theta=[1.0, -1.0]),
    "guided": StateSpaceModel(
        **PLANE,
        initial_proposal=starts_guided,
        log_initial_proposal=lambda x, y, theta: 0.0,
        proposal=moves_guided,
        log_proposal=lambda t, x, xn, y, theta: 0.0,
        theta=[1.0, -1.0],
    ),
}


@pytest.mark.parametrize("theta", [[0.0, -1.0], [1.0, 2.0]])
@pytest.mark.parametrize("proposal", IN_PART)
def test_an_entry_of_a_state_that_is_not_written_is_found(proposal, theta):
    for algorithm in (particle_filter, partial(paris, functional="state")):
        algorithm(IN_PART[proposal], Y, n_particles=10, rng=0)
        with pytest.raises(ValueError, match=r"must .* got NaN"):
            algorithm(IN_PART[proposal].replace(theta), Y, n_particles=10, rng=0)


def test_an_entry_of_an_observation_that_is_not_written_is_missing():
    model = StateSpaceModel(**PLANE, theta=[1.0, -1.0], observation_dim=3)
    states, y = model.simulate(4, rng=0)
    expected = np.column_stack([states[:, 0], np.full(4, np.nan), states[:, 1]])
    expected[1, 2] = np.nan
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.isnan(model.forecast(states, 3, rng=0)[1][..., 1]), True)
