"""The calls of `posterior` for the conformance suite."""

import warnings
from threading import Lock

import numpy as np
import scipy.stats as st

from randla import posterior
from randla.smoothing import PosteriorWarning
from tests.conformance import Case, grid
from tests.smoothing import models
from tests.smoothing.exact_cases import SCALAR

SERIES = grid(np.random.default_rng(3), 15)
SERIES[4] = np.nan
PRIOR = {"coefficient": st.uniform(-1, 2), "step": st.lognorm(0.5), "noise": st.lognorm(0.5)}
EXACT_PRIOR = {"transition_matrix": st.uniform(-1, 2), "observation_cov": st.invgamma(2)}
_FILTERS = Lock()  # the filters of warnings are those of all threads


def short(y, model=models.walk, prior=PRIOR, **options):
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", PosteriorWarning)  # so few draws are never enough
        return posterior(model, y, prior, **{"n_iterations": 16, "n_chains": 2, **options})


def exactly(y, **options):
    return short(y, **{"model": SCALAR, "prior": EXACT_PRIOR, **options})


def values(result):
    return result.draws, result.paths, result.mean, result.quantile([0.1, 0.9]), result.acceptance


CASES = [
    Case(
        name,
        call,
        {"y": SERIES},
        values=values,
        random=True,
        nan=("y",),
        bad_options=[
            ({"model": "walk"}, TypeError, "model must be a StateSpaceModel"),
            ({"prior": {}}, ValueError, "prior must name at least one parameter"),
            ({"prior": 3}, TypeError, "prior must be a dict"),
            ({"prior": {3: st.norm()}}, TypeError, "prior must have names"),
            ({"prior": {"phi": st.norm()}}, ValueError, "prior must name parameters"),
            ({"method": "hmc"}, ValueError, "method must be one of"),
            ({"n_iterations": 1}, ValueError, "n_iterations must be at least 2"),
            ({"burn_in": 16}, ValueError, "burn_in must be at least 0 and at most 15"),
            ({"burn_in": 1.0}, TypeError, "burn_in must be an integer"),
            ({"n_particles": 1}, ValueError, "n_particles must be at least 2"),
            (
                {"n_particles": 10**12, "model": models.walk, "prior": PRIOR},
                ValueError,
                "n_particles must leave the history",
            ),
            ({"n_particles": "all"}, TypeError, "n_particles must be an integer"),
            ({"n_chains": 0}, ValueError, "n_chains must be at least 1"),
            ({"inputs": [1.0]}, ValueError, "inputs must be None"),
        ],
    )
    for name, call in (("posterior", short), ("posterior exact", exactly))
]
