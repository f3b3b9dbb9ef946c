"""Chains give the same answer on threads, processes and a Dask cluster as one after the other."""

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import randla

MODEL = randla.StochasticVolatility(0.95, 0.3, 0.6)
Y = MODEL.simulate(40, rng=0)[1]
COMMON = {"n_particles": 40, "n_chains": 3, "rng": 1}


def learn(executor, method):
    with warnings.catch_warnings():  # a few steps do not come to rest
        warnings.simplefilter("ignore", randla.smoothing.MaximumLikelihoodWarning)
        return randla.maximum_likelihood(
            MODEL, Y, free="phi", method=method, n_steps=3, n_final=4, executor=executor, **COMMON
        ).theta


CALLS = {
    "paris": lambda e: randla.paris(MODEL, Y, "state", executor=e, **COMMON).per_chain,
    "ffbs": lambda e: randla.ffbs(MODEL, Y, "state", executor=e, **COMMON).per_chain,
    "ppg": lambda e: randla.ppg(MODEL, Y, "state", n_iterations=4, executor=e, **COMMON).per_chain,
    "particle_gibbs": lambda e: (
        randla.particle_gibbs(MODEL, Y, "state", n_iterations=4, executor=e, **COMMON).paths
    ),
    "maximum_likelihood": lambda e: learn(e, "ppg"),
    "maximum_likelihood, paris": lambda e: learn(e, "paris"),
    "maximum_likelihood, path": lambda e: learn(e, "path"),
}
SLOW = CALLS.keys() - {"ppg"}


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(call, marks=pytest.mark.slow if name in SLOW else ())
        for name, call in CALLS.items()
    ],
    ids=CALLS,
)
def test_same_answer_on_any_executor(call, processes, client):
    alone = call(None)
    with ThreadPoolExecutor(2) as threads, client.get_executor() as cluster:
        for executor in (threads, processes, cluster):
            np.testing.assert_array_equal(call(executor), alone)
