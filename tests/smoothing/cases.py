"""The public calls of `randla.smoothing` for the conformance suite."""

from functools import partial

import numpy as np

from randla import (
    AdditiveFunctional,
    LinearGaussian,
    StateSpaceModel,
    ffbs,
    paris,
    particle_filter,
    particle_gibbs,
    ppg,
    start_filter,
)
from tests.conformance import Case, grid
from tests.smoothing import models
from tests.smoothing.exact_cases import CASES as EXACT_CASES
from tests.smoothing.posterior_cases import CASES as POSTERIOR_CASES

SERIES = grid(np.random.default_rng(3), 15)
SERIES[4] = np.nan
THREE_A_TIME = LinearGaussian(0.9, 1.0, np.ones((3, 1)), np.eye(3), 0.0, 1.0)
COMMON = [
    ({"n_particles": 1}, ValueError, "n_particles must be at least 2"),
    ({"n_particles": 2.5}, TypeError, "n_particles must be an integer"),
    ({"n_particles": 10**12}, ValueError, "n_particles must leave the"),
    ({"model": "walk"}, TypeError, "model must be a StateSpaceModel"),
]
SMOOTHER = [
    *COMMON,
    ({"n_chains": 0}, ValueError, "n_chains must be at least 1"),
    ({"backward": "bset"}, ValueError, "backward must be one of"),
    ({"backward": None}, TypeError, "backward must be one of"),
    ({"backward": "reject"}, ValueError, "needs a model with log_transition_bound"),
    ({"functional": "mean"}, ValueError, "functional must be"),
    ({"functional": 1}, TypeError, "functional must be"),
]
CHAIN = [
    *SMOOTHER,
    ({"n_iterations": 0}, ValueError, "n_iterations must be at least 1"),
    ({"burn_in": 20}, ValueError, "burn_in must be at least 0 and at most 19"),
    ({"burn_in": 1.0}, TypeError, "burn_in must be an integer"),
]


def call(function, **defaults):
    def run(y, model=models.walk, **options):
        arguments = {"n_particles": 40, **defaults, **options}
        if "functional" in arguments:
            return function(model, y, arguments.pop("functional"), **arguments)
        return function(model, y, **arguments)

    return run


def streamed(y_t, model=THREE_A_TIME, **options):
    run = start_filter(model, **{"n_particles": 40, **options})
    run.update(y_t)
    return run, run.update(y_t)


def followed(result):
    run, step = result
    return step.mean, step.variance, step.ess, run.log_likelihood, *run.forecast(2)


def smoothed(result):
    arrays = [result.estimate, result.standard_error, result.per_chain]
    if result.paths is not None:
        arrays += [result.paths, result.mean, result.quantile([0.1, 0.9])]
    if result.per_iteration is not None:
        arrays += [result.per_iteration, result.update_rate, result.r_hat]
    return (*arrays, *result.confidence_interval(0.9), result.log_likelihood)


def filtered(result):
    names = (
        "mean", "variance", "standard_error", "ess", "log_likelihood", "particles", "log_weights",
        "ancestors",
    )  # fmt: skip
    return tuple(getattr(result, name) for name in names)


def simulated(theta, rng=None, **options):
    settings = {**models.WALK, "support": None, "theta": theta, **options}
    return StateSpaceModel(**settings).simulate(6, rng=rng)


def crossings(y, n_out=3):
    functional = AdditiveFunctional(n_out, initial=models.sums_first, step=models.sums_next)
    return ffbs(models.walk, y, functional, n_particles=1000, rng=0)


gibbs_options = {"n_iterations": 20, "burn_in": 16, "functional": models.SUMS}
CASES = [
    *EXACT_CASES,
    *POSTERIOR_CASES,
    Case(
        "particle_filter",
        call(particle_filter, store=True, n_particles=400),  # few would warn
        {"y": SERIES},
        values=filtered,
        random=True,
        nan=("y",),
        rtol32=1e-3,
        bad_options=[
            *COMMON,
            ({"resampling": "none"}, ValueError, "resampling must be one of"),
            ({"ess_threshold": -0.5}, ValueError, "ess_threshold must be in"),
            ({"store": "yes"}, TypeError, "store must be True or False"),
            ({"n_runs": 0}, ValueError, "n_runs must be at least 1"),
            ({"n_runs": True}, TypeError, "n_runs must be an integer"),
            ({"n_runs": 1.5}, TypeError, "n_runs must be an integer"),
            ({"n_runs": 2}, ValueError, "store=True keeps the clouds of a single run"),
            ({"n_runs": 10**12, "store": False}, ValueError, "n_runs must leave the work space"),
            ({"n_lags": -1}, ValueError, "n_lags must be at least 0"),
            ({"n_lags": 2.0}, TypeError, "n_lags must be an integer"),
            ({"proposal": "guided"}, ValueError, "proposal='guided' needs a model"),
            ({"proposal": "optimal"}, ValueError, "proposal must be one of"),
        ],
    ),
    Case(
        "particle_filter inputs",
        partial(call(particle_filter, store=True, n_lags=0), model=models.pushed_walk),
        {"y": SERIES, "inputs": grid(np.random.default_rng(4), (15, 2))},
        values=filtered,
        random=True,
        nan=("y",),
        rtol32=1e-3,
    ),
    Case(
        "start_filter",
        streamed,
        {"y_t": SERIES[:3]},
        values=followed,
        random=True,
        nan=("y_t",),
        rtol32=1e-3,
        bad_options=[
            *COMMON,
            ({"resampling": "none"}, ValueError, "resampling must be one of"),
            ({"ess_threshold": -0.5}, ValueError, "ess_threshold must be in"),
            ({"n_runs": 10**12}, ValueError, "n_runs must leave the work space"),
            ({"n_runs": 0}, ValueError, "n_runs must be at least 1"),
            ({"n_lags": -1}, ValueError, "n_lags must be at least 0"),
            ({"proposal": "optimal"}, ValueError, "proposal must be one of"),
            ({"state": 1}, TypeError, "state must be a dict of arrays"),
        ],
    ),
    Case(
        "paris",
        call(paris, functional=models.SUMS, n_particles=1000),
        {"y": SERIES},
        values=smoothed,
        random=True,
        nan=("y",),
        bad_options=[*SMOOTHER, ({"n_backward": 0}, ValueError, "n_backward must be at least 1")],
    ),
    Case(
        "ffbs",
        call(ffbs, functional=models.SUMS, n_particles=1000),
        {"y": SERIES},
        values=smoothed,
        random=True,
        nan=("y",),
        bad_options=[*SMOOTHER, ({"n_paths": 0}, ValueError, "n_paths must be at least 1")],
    ),
    Case(
        "ppg",
        call(ppg, **gibbs_options),
        {"y": SERIES},
        values=smoothed,
        random=True,
        nan=("y",),
        bad_options=[*CHAIN, ({"n_backward": 0}, ValueError, "n_backward must be")],
    ),
    Case(
        "particle_gibbs",
        call(particle_gibbs, **gibbs_options),
        {"y": SERIES},
        values=smoothed,
        random=True,
        nan=("y",),
        bad_options=CHAIN,
    ),
    Case(
        "StateSpaceModel",
        simulated,
        {"theta": np.array([0.5, 1.0, 0.75])},
        values=tuple,
        random=True,
        empty=("theta",),
        bad_options=[
            ({"initial": None}, TypeError, "initial must be a function"),
            ({"log_transition": models.walk_initial}, ValueError, "log_transition must take"),
            ({"names": ["a"]}, ValueError, "names must have one entry"),
            ({"support": ["real", "log", "square"]}, ValueError, "support must be one of"),
            ({"dim": 0}, ValueError, "dim must be at least 1"),
        ],
    ),
    Case(
        "AdditiveFunctional",
        crossings,
        {"y": SERIES},
        values=smoothed,
        takes_rng=False,
        nan=("y",),
        bad_options=[({"n_out": 0}, ValueError, "n_out must be at least 1")],
    ),
]
