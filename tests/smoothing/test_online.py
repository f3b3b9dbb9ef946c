"""The filter of a stream: bit for bit the filter of the whole series, and its state."""

import copy
import io
import math
import multiprocessing
import pickle
import tracemalloc
from concurrent.futures import ProcessPoolExecutor

import numba
import numpy as np
import pytest

from randla import (
    DiscreteHMM,
    LinearGaussian,
    StateSpaceModel,
    StochasticVolatility,
    particle_filter,
    random,
    start_filter,
)
from randla.smoothing._particles import online
from tests.smoothing import models
from tests.statistical import claim

SERIES = np.random.default_rng(8).standard_normal(30)
SERIES[[0, 12]] = np.nan
PLANE = LinearGaussian(
    [[0.9, 0.2], [0.0, 0.7]], np.eye(2), [[1.0, 0.0], [1.0, 1.0]], np.eye(2), np.zeros(2), np.eye(2)
)


@numba.njit
def within(t, x, y, theta):
    return 0.0 if abs(x - y) < 1.5 else -math.inf


@numba.njit
def read_a_table(t, x, y, theta):
    return theta[int(y)]


@numba.njit
def driven_initial(rng, u, theta):
    return u[1] + random.normal(rng)


@numba.njit
def driven_transition(rng, t, x, y, u, theta):
    return theta[0] * x + 0.3 * y + u[0] + u[1] + random.normal(rng)


@numba.njit
def driven_log_potential(t, x, y, u, theta):
    return -0.5 * (y - x - u[1] * t) ** 2


@numba.njit
def driven_observe(rng, t, x, u, theta, out):
    out[0] = x + u[1] * t + random.normal(rng)


driven_walk = StateSpaceModel(
    initial=driven_initial,
    transition=driven_transition,
    log_potential=driven_log_potential,
    observe=driven_observe,
    theta=[0.5],
)
INPUTS = np.random.default_rng(9).standard_normal((30, 2))
hard_walk = StateSpaceModel(**{**models.WALK, "log_potential": within})
table_walk = StateSpaceModel(**{**models.WALK, "log_potential": read_a_table})


def assert_same(steps, run, whole):
    np.testing.assert_array_equal([step.mean for step in steps], whole.mean)
    np.testing.assert_array_equal([step.variance for step in steps], whole.variance)
    np.testing.assert_array_equal([step.ess for step in steps], whole.ess)
    increments = [step.log_likelihood_increment for step in steps]
    np.testing.assert_array_equal(increments, whole.log_likelihood_increments)
    assert run.log_likelihood == whole.log_likelihood
    assert run.log_likelihood_standard_error == whole.log_likelihood_standard_error
    np.testing.assert_array_equal(run.log_likelihood_per_run, whole.log_likelihood_per_run)
    if whole.standard_error is None:
        assert steps[0].standard_error is None
    else:
        np.testing.assert_array_equal([step.standard_error for step in steps], whole.standard_error)
        assert run.log_likelihood_interval(0.9) == whole.log_likelihood_interval(0.9)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (models.walk, {}),
        (models.walk, {"resampling": "residual", "ess_threshold": 1.0, "n_lags": 3}),
        (models.walk, {"resampling": "multinomial", "n_lags": 100}),
        (models.walk, {"n_lags": 0}),
        (models.walk, {"n_runs": 9}),
        (models.guided_walk, {"proposal": "auto"}),
    ],
)
def test_equals_the_whole_series(model, options):
    run = start_filter(model, n_particles=50, rng=1, **options)
    steps = [run.update(y_t) for y_t in SERIES]
    assert [step.time for step in steps] == list(range(30))
    assert run.time == 30
    assert_same(steps, run, particle_filter(model, SERIES, n_particles=50, rng=1, **options))


@pytest.mark.parametrize("n_runs", [1, 3])
def test_equals_the_whole_series_of_vectors(n_runs):
    _, y = PLANE.simulate(20, rng=2)
    y[3], y[5, 1] = np.nan, np.nan
    run = start_filter(PLANE, n_particles=50, n_runs=n_runs, rng=3)
    buffer, steps = np.empty(2), []
    for y_t in y:
        buffer[:] = y_t  # one place for all observations
        steps.append(run.update(buffer))
    assert_same(steps, run, particle_filter(PLANE, y, n_particles=50, n_runs=n_runs, rng=3))


@pytest.mark.parametrize("n_times", [*range(1, 13), 21, 22])
@pytest.mark.parametrize("n_runs", [1, 9])
def test_equals_the_series_so_far(n_times, n_runs):
    options = {"n_particles": 50, "n_lags": 10, "n_runs": n_runs, "rng": 1}
    run = start_filter(models.walk, **options)
    steps = [run.update(y_t) for y_t in SERIES[:n_times]]
    assert_same(steps, run, particle_filter(models.walk, SERIES[:n_times], **options))


def test_nothing_was_seen():
    run = start_filter(models.walk, n_particles=50, rng=1)
    assert (run.time, run.log_likelihood, run.log_likelihood_standard_error) == (0, 0.0, 0.0)
    assert run.log_likelihood_interval() == (0.0, 0.0)
    assert start_filter(models.walk, n_particles=50, n_runs=4).log_likelihood_standard_error == 0.0


@pytest.mark.slow
def test_equals_the_whole_series_with_inputs():
    """And with observations in the transition; a state holds the last rows of both."""
    _, y = driven_walk.simulate(30, inputs=INPUTS, rng=1)
    run = start_filter(driven_walk, n_particles=500, rng=1)
    steps, buffer = [], np.empty(2)  # one place for all inputs
    for t, (y_t, buffer[:]) in enumerate(zip(y, INPUTS, strict=True)):
        if t in (0, 1, 2, 17):
            run = start_filter(driven_walk, state=run.state())
        steps.append(run.update(y_t, buffer))
    assert_same(steps, run, particle_filter(driven_walk, y, n_particles=500, inputs=INPUTS, rng=1))


def test_forecasts_take_the_inputs_that_follow():
    run = start_filter(driven_walk, n_particles=50, rng=1)
    for t in range(3):
        run.update(0.2 * t, INPUTS[t])
    future = np.zeros((4, 2))
    future[0, 1] = 1e6  # at the next time: in its observation, and in the state after it
    states, observations = run.forecast(4, future)
    far = np.abs(np.stack([states[..., 0], observations])) > 1e5
    assert far.any(axis=1).tolist() == [[False, True, True, True], [True, True, True, True]]
    assert far.all(axis=1).tolist() == far.any(axis=1).tolist()
    np.testing.assert_allclose(observations[:, 0], 3e6, rtol=1e-3)  # u times its time


@pytest.mark.parametrize(
    ("y_t", "u_t", "message"),
    [
        (0.1, None, "u_t must be given, since a function has an argument u"),
        (0.1, [1.0, np.nan], "u_t must be finite"),
        (0.1, [1.0, 2.0, 3.0], r"u_t must be an array of shape \(2,\) at each time"),
        (0.1, 1.0, r"u_t must be an array of shape \(2,\) at each time"),
        (np.nan, [1.0, 2.0], "y_t must not be missing, as the transition depends on it"),
    ],
)
def test_bad_inputs_are_named(y_t, u_t, message):
    run = start_filter(driven_walk, n_particles=50, rng=1)
    run.update(0.1, [0.0, 0.0])
    with pytest.raises(ValueError, match=message):
        run.update(y_t, u_t)
    for inputs in (None, np.zeros((3, 2)), np.zeros(2), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="inputs must"):
            run.forecast(2, inputs)


# The state --------------------------------------------------------------------------------------


def saved(state):
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    return np.load(file)


def go_on(model, state, y):
    run = start_filter(model, state=state)
    return [run.update(y_t) for y_t in y], run


@pytest.mark.parametrize("options", [{"resampling": "multinomial", "n_lags": 6}, {"n_runs": 3}])
@pytest.mark.parametrize("n_before", [0, 1, 2, 17])
@pytest.mark.parametrize(
    "kept", [saved, lambda state: pickle.loads(pickle.dumps(state))], ids=["savez", "pickle"]
)
def test_goes_on_from_a_state(options, n_before, kept):
    run = start_filter(models.walk, n_particles=50, rng=1, **options)
    steps = [run.update(y_t) for y_t in SERIES[:n_before]]
    state = kept(run.state())
    for y_t in SERIES[n_before:]:
        run.update(y_t)  # the state is a copy
    later, resumed = go_on(models.walk, state, SERIES[n_before:])
    whole = particle_filter(models.walk, SERIES, n_particles=50, rng=1, **options)
    assert_same(steps + later, resumed, whole)
    assert all(isinstance(value, np.ndarray) for value in run.state().values())


@pytest.mark.compiled
def test_goes_on_in_another_process():
    model = StochasticVolatility(0.95, 0.3, 0.6)
    run = start_filter(model, n_particles=50, rng=1)
    steps = [run.update(y_t) for y_t in SERIES[:10]]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        later, resumed = pool.submit(go_on, model, run.state(), SERIES[10:]).result()
    assert_same(steps + later, resumed, particle_filter(model, SERIES, n_particles=50, rng=1))


def test_a_filter_is_copied_and_pickled():
    run = start_filter(models.walk, n_particles=50, rng=1)
    run.update(0.3)
    other, third = copy.deepcopy(run), pickle.loads(pickle.dumps(run))
    step = run.update(0.5)
    assert other.update(0.5).mean == third.update(0.5).mean == step.mean
    assert other.update(0.1).mean != other.update(0.5).mean
    assert repr(run).startswith("OnlineFilter(time=2, n_particles=50")


def test_parameters_may_change_on_the_way():
    run = start_filter(models.walk, n_particles=50, rng=1)
    run.update(0.3)
    other = models.walk.replace([0.5, 2.0, 1.0])
    assert go_on(other, run.state(), [1.0])[0][0].mean != run.update(1.0).mean


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (None, {"state": 3}, TypeError, "state must be a dict of arrays, got int"),
        (None, {"state": {}}, ValueError, "state must be the result of state.., got no entry"),
        (None, {"rng": 1}, ValueError, "rng must be None with a state"),
        (None, {"n_particles": 60}, ValueError, "n_particles must be 50, as in state, or left out"),
        (None, {"n_runs": 2}, ValueError, "n_runs must be 1, as in state"),
        (None, {"resampling": "residual"}, ValueError, "resampling must be 'systematic', as in"),
        (None, {"model": PLANE}, ValueError, "must be of float64 with shape .1, 50, 2. for this"),
        ({"log_weights": np.zeros((1, 40))}, {}, ValueError, "must be of float64 with shape .1, 5"),
        ({"n_particles": 1}, {}, ValueError, "n_particles must be at least 2"),
        ({"resampling": "none"}, {}, ValueError, "resampling must be one of"),
    ],
)
def test_bad_states_are_named(change, options, error, message):
    run = start_filter(models.walk, n_particles=50, rng=1)
    run.update(0.3)
    arguments = {"model": models.walk, "state": {**run.state(), **(change or {})}, **options}
    with pytest.raises(error, match=message):
        start_filter(**arguments)


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "bad", "message"),
    [
        (hard_walk, 1e3, "no particle can explain"),
        (table_walk, 9.0, r"theta\[9\]|out of bounds|index"),
        (models.walk, np.inf, "y_t must be finite"),
        (models.walk, [[1.0], [2.0]], "y_t must be a number or 1-D"),
        (models.walk, [1.0, 2.0], "y_t must be a number at each time"),
    ],
)
@pytest.mark.parametrize(
    "options", [{"n_runs": 3}, {"resampling": "residual"}, {"resampling": "multinomial"}]
)
def test_after_an_error_all_is_as_before(model, bad, message, options):
    good = [0.0, 0.5, 1.0, 0.2, 1.4, 0.3]
    run, twin = (start_filter(model, n_particles=50, rng=1, **options) for _ in range(2))
    for y_t in good[:4]:
        with pytest.raises((ValueError, IndexError), match=message):
            run.update(bad)
        run.update(y_t)
        twin.update(y_t)
        for name, value in run.state().items():
            np.testing.assert_array_equal(value, twin.state()[name], err_msg=name)
    with pytest.raises((ValueError, IndexError)):
        run.update(bad)
    for y_t in good[4:]:
        assert run.update(y_t).mean == twin.update(y_t).mean
    assert run.log_likelihood == twin.log_likelihood


def test_a_run_may_come_to_an_end():
    """Of several: the others go on, and the error is not to be trusted."""
    y = np.array([0.0, 0.5, 2.9, 3.2])
    run = start_filter(hard_walk, n_particles=3, n_runs=30, rng=2)
    steps = [run.update(y_t) for y_t in y]
    with pytest.warns(match="no particle survived t = ") as warned:
        whole = particle_filter(hard_walk, y, n_particles=3, n_runs=30, rng=2)
    dead = np.isneginf(whole.log_likelihood_per_run)
    assert 0 < dead.sum() < 30
    np.testing.assert_array_equal(run.log_likelihood_per_run, whole.log_likelihood_per_run)
    assert run.log_likelihood == whole.log_likelihood
    np.testing.assert_array_equal(steps[-1].mean, whole.mean[-1])
    with pytest.warns(match="no particle survived t = ") as as_before:
        assert np.isnan(run.log_likelihood_standard_error)
    assert str(warned[0].message) == str(as_before[0].message)
    later, resumed = go_on(hard_walk, run.state(), [3.0, 2.8])  # the dead stay dead
    assert [step.ess for step in later] == [run.update(y_t).ess for y_t in (3.0, 2.8)]
    np.testing.assert_array_equal(run.log_likelihood_per_run, resumed.log_likelihood_per_run)


def test_after_an_interruption_the_filter_is_refused(monkeypatch):
    run = start_filter(models.walk, n_particles=50, rng=1)
    run.update(0.3)
    earlier = run.state()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(online, "_advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.update(0.2)
    monkeypatch.undo()
    for call in (run.state, lambda: run.update(0.2), lambda: run.forecast(2)):
        with pytest.raises(RuntimeError, match="was interrupted"):
            call()
    start_filter(models.walk, state=earlier).update(0.2)


@pytest.mark.parametrize(
    ("y_t", "u_t", "error", "message"),
    [
        ([0.1] * 3, None, ValueError, r"y_t must be an array of shape \(2,\) at each time, got"),
        (0.1, None, ValueError, r"y_t must be an array of shape \(2,\) at each time, got"),
        ([], None, ValueError, "y_t must be a number or 1-D"),
        ("a", None, TypeError, "y_t must"),
        (None, None, TypeError, "y_t must"),
        ([1j, 1j], None, TypeError, "y_t must"),
        ([0.1, 0.2], 1.0, ValueError, "u_t must be None, since no function has"),
    ],
)
def test_bad_observations_are_named(y_t, u_t, error, message):
    run = start_filter(PLANE, n_particles=50, rng=1)
    for _ in range(2):
        with pytest.raises(error, match=message):
            run.update(y_t, u_t)
        run.update([0.1, np.nan])
    assert run.time == 2


def test_numbers_that_the_model_does_not_know_are_named():
    chain = DiscreteHMM(models.INITIAL, models.TRANSITION, models.EMISSION)
    run = start_filter(chain, n_particles=50, rng=1)
    run.update(1.0)
    for bad in (1.5, 3.0, -1.0):
        with pytest.raises(ValueError, match=r"must hold symbols 0\.\.2"):
            run.update(bad)
    run.update(np.nan)


def test_n_particles_must_be_given():
    with pytest.raises(TypeError, match="n_particles must be an integer, got NoneType"):
        start_filter(models.walk)


# Cost -------------------------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.parametrize("options", [{}, {"resampling": "residual", "n_lags": 5}])
def test_an_update_allocates_its_numbers_only(options):
    """10^4 particles: any array of them has 40 kB at least. What else lives in the process (threads
    of tests before, Numba) may allocate a few kB meanwhile.
    """
    run = start_filter(models.walk, n_particles=10_000, rng=1, **options)
    for y_t in SERIES:
        run.update(y_t)
    tracemalloc.start()
    try:
        run.update(0.1)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for y_t in SERIES:
            run.update(y_t)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert peak - before < 30_000


# Forecasts --------------------------------------------------------------------------------------


def test_forecasts_leave_the_filter_alone():
    run = start_filter(models.walk, n_particles=50, n_runs=2, rng=1)
    run.update(0.3)
    before = run.state()
    states, observations = run.forecast(4)
    assert states.shape == (100, 4, 1)
    assert observations.shape == (100, 4)
    for name, value in run.state().items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(run.forecast(4)[0], states)
    resumed = start_filter(models.walk, state=before)
    np.testing.assert_array_equal(resumed.forecast(4)[0], states)
    np.testing.assert_array_equal(run.forecast(4, rng=5)[1], run.forecast(4, rng=5)[1])
    assert (run.forecast(4, rng=5)[1] != observations).all()
    run.update(0.2)
    assert (run.forecast(4)[0] != states).all()


@pytest.mark.parametrize(
    ("n_steps", "inputs", "message"),
    [(0, None, "n_steps must be at least 1"), (3, [1.0] * 3, "has an argument u")],
)
def test_bad_forecasts_are_named(n_steps, inputs, message):
    run = start_filter(models.walk, n_particles=50, rng=1)
    with pytest.raises(ValueError, match="forecast needs an observation before it"):
        run.forecast(2)
    run.update(0.3)
    with pytest.raises(ValueError, match=message):
        run.forecast(n_steps, inputs)


@claim(
    null="forecasts have the moments of the exact filter's",
    test="z-tests of means and squares of two steps, filters as replicates",
    replicates=300,
    false_alarm=1e-7,
)
def test_forecasts_against_the_exact_law(trial):
    y = [0.5, np.nan, 1.5]
    mean, variance = 0.0, 1.0  # Kalman's filter of the walk: coefficient .9, variances one
    for t, y_t in enumerate(y):
        mean, variance = (0.9 * mean, 0.81 * variance + 1.0) if t else (mean, variance)
        if not np.isnan(y_t):
            gain = variance / (variance + 1.0)
            mean, variance = mean + gain * (y_t - mean), (1.0 - gain) * variance
    draws = []
    for rng in trial.rngs():
        run = start_filter(models.walk, n_particles=1000, rng=rng)
        for y_t in y:
            run.update(y_t)
        states, observations = run.forecast(2)
        draws.append([*states[..., 0].mean(0), *(states[..., 0] ** 2).mean(0),
                      *observations.mean(0), *(observations**2).mean(0)])  # fmt: skip
    expected, squares = [], []
    for _ in range(2):
        mean, variance = 0.9 * mean, 0.81 * variance + 1.0
        expected.append(mean)
        squares.append(mean**2 + variance)
    trial.assert_mean(draws, [*expected, *squares, *expected, *np.add(squares, 1.0)])
