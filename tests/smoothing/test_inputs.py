"""Inputs `u` of model functions, and observations in the transition."""

import math
import pickle

import numba
import numpy as np
import pytest

from randla import (
    AdditiveFunctional,
    StateSpaceModel,
    StochasticVolatility,
    ffbs,
    maximum_likelihood,
    paris,
    particle_filter,
    particle_gibbs,
    ppg,
    random,
)
from tests.smoothing import models

# Few particles, so that the tests are quick.
pytestmark = [
    pytest.mark.filterwarnings("ignore::randla.BiasWarning"),
    pytest.mark.filterwarnings("ignore::randla.BurnInWarning"),
    pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning"),
    pytest.mark.filterwarnings("ignore::randla.MaximumLikelihoodWarning"),
]

TIMES = 25
INPUTS = np.random.default_rng(2).standard_normal((TIMES, 2))


def walk_with_inputs(**changed):
    """`models.walk` with u[0] added to the state and u[1] to start and observation."""

    def initial(rng, u, theta):
        return u[1] + models.walk_initial(rng, theta)

    def transition(u, rng, t, x, theta):  # in any order
        return models.pushed_transition(rng, t, x, u, theta)

    def log_initial(x, theta, u):
        return models.walk_log_initial(x - u[1], theta)

    def log_potential(time, x, y, u, _):  # other names by position, `u` by its name
        return models.walk_log_potential(time, x, y - u[1], _)

    def observe(rng, t, x, theta, u, out):
        models.walk_observe(rng, t, x + u[1], theta, out)

    own = {
        "initial": initial, "transition": transition, "log_initial": log_initial,
        "log_potential": log_potential, "observe": observe,
    }  # fmt: skip
    return StateSpaceModel(**{**models.PUSHED, **own, **changed})


def walk_with_a_table():
    """The same with the numbers in a global."""

    def initial(rng, theta):
        return INPUTS[0, 1] + models.walk_initial(rng, theta)

    def transition(rng, t, x, theta):
        return INPUTS[t, 0] + models.walk_transition(rng, t, x, theta)

    def log_initial(x, theta):
        return models.walk_log_initial(x - INPUTS[0, 1], theta)

    def log_transition(t, x, xn, theta):
        return models.walk_log_transition(t, x, xn - INPUTS[t, 0], theta)

    def log_potential(t, x, y, theta):
        return models.walk_log_potential(t, x, y - INPUTS[t, 1], theta)

    def observe(rng, t, x, theta, out):
        models.walk_observe(rng, t, x + INPUTS[t, 1], theta, out)

    own = {
        "initial": initial, "transition": transition, "log_initial": log_initial,
        "log_transition": log_transition, "log_potential": log_potential, "observe": observe,
    }  # fmt: skip
    return StateSpaceModel(**{**models.WALK, **own})


WITH_INPUTS, WITH_A_TABLE = walk_with_inputs(), walk_with_a_table()
SERIES = WITH_A_TABLE.simulate(TIMES, rng=4)[1]
SERIES[5] = np.nan


@pytest.mark.slow
def test_inputs_are_a_table_bit_for_bit():
    model = pickle.loads(pickle.dumps(WITH_INPUTS))
    # First of all a forecast, before anything is known of the size of an observation.
    future = model.forecast([0.5, -1.0], 6, start_time=9, inputs=INPUTS[9:16], rng=0)
    states, y = model.simulate(TIMES, inputs=INPUTS, rng=4)
    expected = WITH_A_TABLE.simulate(TIMES, rng=4)
    np.testing.assert_array_equal(states, expected[0])
    np.testing.assert_array_equal(y, expected[1])
    for a, b in zip(
        future, WITH_A_TABLE.forecast([0.5, -1.0], 6, start_time=9, rng=0), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    for estimate, options in [
        (particle_filter, {"n_particles": 50}),
        (paris, {"functional": "score", "n_particles": 30, "backward": "exact"}),
        (ffbs, {"functional": "state", "n_particles": 30}),
        (ppg, {"functional": "score", "n_particles": 30, "n_iterations": 6}),
    ]:
        got = estimate(model, SERIES, inputs=INPUTS, rng=1, **options)
        expected = estimate(WITH_A_TABLE, SERIES, rng=1, **options)
        assert got.log_likelihood == expected.log_likelihood
        name = "mean" if estimate is particle_filter else "per_chain"
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


@pytest.mark.slow
def test_maximum_likelihood_with_inputs_is_that_with_a_table():
    options = {"n_particles": 20, "n_steps": 3, "n_final": 3, "n_chains": 2, "rng": 0}
    got = maximum_likelihood(WITH_INPUTS, SERIES, inputs=INPUTS, **options)
    expected = maximum_likelihood(WITH_A_TABLE, SERIES, **options)
    np.testing.assert_array_equal(got.theta, expected.theta)
    np.testing.assert_array_equal(got.parameter_covariance, expected.parameter_covariance)


@numba.njit
def inputs_first(x, y, u, theta, out):
    out[0], out[1] = u, u * x


@numba.njit
def inputs_next(t, x, xn, y, u, theta, out):
    out[0], out[1] = u, u * x


WEIGHTED = AdditiveFunctional(2, initial=inputs_first, step=inputs_next)


@pytest.mark.parametrize("smoother", [paris, ffbs, particle_gibbs])
@pytest.mark.parametrize("model", [models.walk, StochasticVolatility(0.9, 0.3, 0.6), WITH_INPUTS])
def test_a_functional_may_take_inputs(model, smoother):
    # Row 0 at time 0, and row t in the step from t: a sum that is known.
    more = {"n_iterations": 8} if smoother is particle_gibbs else {}
    inputs = np.arange(1.0, TIMES + 1)
    if model is WITH_INPUTS:  # whose rows have two entries
        inputs = INPUTS
        step = AdditiveFunctional(
            2,
            initial=lambda x, y, u, theta, out: inputs_first(x, y, u[1], theta, out),
            step=lambda t, x, xn, y, u, theta, out: inputs_next(t, x, xn, y, u[1], theta, out),
        )
        weights = inputs[:, 1]
    else:
        step, weights = WEIGHTED, inputs
    result = smoother(model, SERIES, step, n_particles=30, inputs=inputs, rng=0, **more)
    expected = weights[0] + weights[:-1].sum()
    np.testing.assert_allclose(result.per_chain[:, 0], expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"inputs must be given, \(T,\) or \(T, m\)"):
        smoother(model, SERIES, step, n_particles=30, **more)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (None, r"inputs must be given, \(T,\) or \(T, m\), since a function has an argument u"),
        (INPUTS[:-1], r"inputs must have 25 rows \(one for each of y\), got shape \(24, 2\)"),
        (np.vstack([INPUTS, INPUTS]), r"inputs must have 25 rows .* got shape \(50, 2\)"),
        (INPUTS[None], r"inputs must have shape \(T,\) or \(T, m\), got shape \(1, 25, 2\)"),
        (np.where(INPUTS > 2.0, np.nan, INPUTS), "inputs must be finite, got NaN"),
        (np.where(INPUTS > 2.0, np.inf, INPUTS), "inputs must be finite, got inf"),
        ([INPUTS, INPUTS], r"inputs must have shape \(T,\) or \(T, m\), got shape \(2, 25, 2\)"),
    ],
)
def test_bad_inputs(inputs, text):
    assert (INPUTS > 2.0).any()
    more = {"n_particles": 10, "inputs": inputs}
    for call in (
        lambda: particle_filter(WITH_INPUTS, SERIES, **more),
        lambda: paris(WITH_INPUTS, SERIES, "state", **more),
        lambda: ffbs(WITH_INPUTS, SERIES, None, **more),
        lambda: ppg(WITH_INPUTS, SERIES, "state", n_iterations=5, **more),
        lambda: particle_gibbs(WITH_INPUTS, SERIES, n_iterations=5, **more),
        lambda: maximum_likelihood(WITH_INPUTS, SERIES, **more),
    ):
        with pytest.raises(ValueError, match=text):
            call()


def test_bad_inputs_of_draws():
    with pytest.raises(ValueError, match=r"inputs must be given, .* argument u, got None"):
        WITH_INPUTS.simulate(5)
    with pytest.raises(ValueError, match=r"inputs must have 5 rows \(n_steps\), got shape"):
        WITH_INPUTS.simulate(5, inputs=INPUTS)
    with pytest.raises(ValueError, match=r"inputs must have 6 rows \(n_steps \+ 1: those of"):
        WITH_INPUTS.forecast([0.0], 5, inputs=INPUTS[:5])


def test_inputs_that_nobody_takes_are_refused():
    for call in (
        lambda: particle_filter(models.walk, SERIES, n_particles=10, inputs=INPUTS),
        lambda: paris(models.walk, SERIES, "state", n_particles=10, inputs=INPUTS),
        lambda: models.walk.simulate(TIMES, inputs=INPUTS),
        lambda: models.walk.forecast([0.0], TIMES - 1, inputs=INPUTS),
    ):
        with pytest.raises(ValueError, match="inputs must be None, since no function of the"):
            call()


def test_faults_in_functions_with_inputs_are_named():
    def past_the_end(t, x, y, u, theta):
        return u[2] * x

    model = walk_with_inputs(log_potential=past_the_end)
    with pytest.raises(ValueError, match=r"log_potential must .* at t = 0 .* size 2 in u\[2\]$"):
        particle_filter(model, SERIES, n_particles=10, inputs=INPUTS, rng=0)
    with pytest.raises(TypeError, match=r"initial must compile under Numba: .* \(u is a number, a"):
        particle_filter(WITH_INPUTS, SERIES, n_particles=10, inputs=INPUTS[:, 0], rng=0)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("initial", "rng, y, theta"),
        ("observe", "rng, t, x, y, out"),
        ("log_potential", "u, x, y, theta"),
        ("transition", "rng, y, x, theta"),
        ("log_transition", "t, x, y, theta"),
    ],
)
def test_known_names_elsewhere_are_refused(name, arguments):
    scope: dict = {}
    exec(f"def function({arguments}):\n    return 0.0", scope)
    with pytest.raises(
        (TypeError, ValueError), match=rf"{name} must take \(.*\), got \({arguments}"
    ):
        StateSpaceModel(**{**models.WALK, name: scope["function"]})


# The observation in the transition: stochastic volatility with leverage.


def leverage_initial(rng, theta):
    return theta[1] / math.sqrt(1.0 - theta[0] ** 2) * random.normal(rng)


def leverage_log_initial(x, theta):
    return (
        0.5 * math.log1p(-(theta[0] ** 2))
        - math.log(theta[1])
        - 0.5 * ((1.0 - theta[0] ** 2) * (x / theta[1]) ** 2)
    )


def leverage_log_potential(t, x, y, theta):
    return -0.5 * x - 0.5 * (y / theta[2]) ** 2 * math.exp(-x)


def leverage_observe(rng, t, x, theta, out):
    out[0] = theta[2] * math.exp(0.5 * x) * random.normal(rng)


def leverage_transition(rng, t, x, y, theta):
    e = y * math.exp(-0.5 * x) / theta[2]  # the shock of y_t
    rest = math.sqrt(1.0 - theta[3] ** 2) * random.normal(rng)
    return theta[0] * x + theta[1] * (theta[3] * e + rest)


def leverage_log_transition(t, x, xn, y, theta):
    e = y * math.exp(-0.5 * x) / theta[2]
    sd = theta[1] * math.sqrt(1.0 - theta[3] ** 2)
    return -0.5 * ((xn - theta[0] * x - theta[1] * theta[3] * e) / sd) ** 2 - math.log(sd)


LEVERAGE = {
    "initial": leverage_initial, "transition": leverage_transition,
    "log_initial": leverage_log_initial, "log_transition": leverage_log_transition,
    "log_potential": leverage_log_potential, "observe": leverage_observe,
    "names": ["phi", "sigma", "beta", "rho"], "support": ["tanh", "log", "log", "tanh"],
}  # fmt: skip
leverage = StateSpaceModel(**LEVERAGE, theta=[0.9, 0.4, 0.6, -0.7])


def plain_transition(rng, t, x, theta):
    return theta[0] * x + theta[1] * random.normal(rng)


def plain_log_transition(t, x, xn, theta):
    return -0.5 * ((xn - theta[0] * x) / theta[1]) ** 2 - math.log(theta[1])


@pytest.mark.slow
def test_without_correlation_leverage_is_the_plain_model():
    none = leverage.replace([0.9, 0.4, 0.6, 0.0])
    own = {"transition": plain_transition, "log_transition": plain_log_transition}
    plain = StateSpaceModel(**{**LEVERAGE, **own}, theta=none.theta)
    states, y = none.simulate(TIMES, rng=5)
    for a, b in zip((states, y), plain.simulate(TIMES, rng=5), strict=True):
        np.testing.assert_array_equal(a, b)
    given = none.forecast([0.1, 0.2], 4, start_time=3, y=0.7, rng=0)
    for a, b in zip(given, plain.forecast([0.1, 0.2], 4, start_time=3, rng=0), strict=True):
        np.testing.assert_array_equal(a, b)
    for estimate, options in [
        (particle_filter, {"n_particles": 50}),
        (paris, {"functional": "state", "n_particles": 30}),
        (ffbs, {"functional": "state", "n_particles": 30, "backward": "exact"}),
    ]:
        got = estimate(none, y, rng=1, **options)
        assert got.log_likelihood == estimate(plain, y, rng=1, **options).log_likelihood


@pytest.mark.slow
def test_leverage_in_draws_and_in_the_score():
    x, y = leverage.simulate(4000, rng=3)
    phi, sigma, beta, rho = leverage.theta
    shocks = y[:-1] / beta * np.exp(-0.5 * x[:-1, 0]), (x[1:, 0] - phi * x[:-1, 0]) / sigma
    assert np.corrcoef(*shocks)[0, 1] == pytest.approx(rho, abs=0.04)  # 5 sd of (1 - rho^2)/63
    # One path a state, from its own observation; y_t is drawn before x_{t+1} on the way.
    states = np.zeros(4000)
    present = np.where(np.arange(4000) < 2000, 1.0, -1.0)
    x, y = leverage.forecast(states, 2, y=present, rng=1)
    first = x[:, 0, 0] - sigma * rho * present / beta
    assert abs(first.mean()) < 5 * sigma / math.sqrt(4000)
    assert first.std() == pytest.approx(sigma * math.sqrt(1 - rho**2), rel=0.06)
    shocks = y[:, 0] / beta * np.exp(-0.5 * x[:, 0, 0]), x[:, 1, 0] - phi * x[:, 0, 0]
    assert np.corrcoef(*shocks)[0, 1] == pytest.approx(rho, abs=0.04)
    # The score of one path by hand: with N = 2 particles that hardly move all paths agree.
    series = leverage.simulate(6, rng=0)[1]
    paths = ffbs(leverage, series, "score", n_particles=2, n_paths=1, n_chains=1, rng=0)
    path = paths.paths[0, 0, :, 0]

    def log_density(theta):
        value = leverage_log_initial(path[0], theta) + leverage_log_potential(
            0, path[0], series[0], theta
        )
        for t in range(5):
            value += leverage_log_transition(t, path[t], path[t + 1], series[t], theta)
            value += leverage_log_potential(t + 1, path[t + 1], series[t + 1], theta)
        return value

    steps = 1e-6 * np.eye(4)
    expected = [
        (log_density(leverage.theta + h) - log_density(leverage.theta - h)) / 2e-6 for h in steps
    ]
    np.testing.assert_allclose(paths.estimate, expected, rtol=1e-6)


def test_a_missing_row_is_refused_where_the_transition_sees_it():
    y = leverage.simulate(10, rng=0)[1]
    y[-1] = np.nan  # leads nowhere
    assert np.isfinite(particle_filter(leverage, y, n_particles=50, rng=0).log_likelihood)
    y[[4, 7]] = np.nan
    with pytest.raises(ValueError, match=r"y must not be missing .* got NaN at t = 4"):
        particle_filter(leverage, y, n_particles=50)
    with pytest.raises(ValueError, match=r"y must not be missing .* got NaN at t = 4"):
        maximum_likelihood(leverage, y)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (None, r"y must be given, the observation at start_time of shape \(\) or \(3,\)"),
        ([0.1, 0.2], r"y must be the observation at start_time of shape .* got shape \(2,\)"),
        (np.nan, "y must be finite, got NaN"),
    ],
)
def test_bad_observations_of_a_forecast(y, text):
    with pytest.raises(ValueError, match=text):
        leverage.forecast([0.0, 0.1, 0.2], 3, y=y)
    with pytest.raises(ValueError, match="y must be None, since the transition does not depend"):
        models.walk.forecast([0.0], 3, y=0.1)


# An epidemic of counts, as a user would write it.


@pytest.mark.slow
def test_an_epidemic_with_inputs():
    contacts = np.where(np.arange(30) < 15, 0.8, 0.25)  # a lockdown
    x, y = models.epidemic.simulate(30, inputs=contacts, rng=2)
    assert (x.sum(axis=1) <= 500).all()
    assert (y >= 0).all()
    result = ppg(
        models.epidemic, y, "state", n_particles=100, n_iterations=12, inputs=contacts, rng=0
    )
    high = np.quantile(result.paths[:, 4:, :, 1], 0.995, axis=(0, 1))
    low = np.quantile(result.paths[:, 4:, :, 1], 0.005, axis=(0, 1))
    assert ((low <= x[:, 1]) & (x[:, 1] <= high)).mean() > 0.8
    late, wrong = (
        particle_filter(models.epidemic, y, n_particles=300, inputs=u, rng=0).log_likelihood
        for u in (contacts, contacts[::-1])
    )
    assert late > wrong + 5.0
    future, counts = models.epidemic.forecast(
        result.paths[:, -1, -1], 5, start_time=29, inputs=np.full(6, 0.25), rng=0
    )
    assert future.shape == (4, 5, 2)
    assert counts.shape == (4, 5)
