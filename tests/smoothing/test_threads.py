"""Python threads that build and run models at the same time: they end, and agree."""

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning"),
]

# Each round builds its models inside of the threads, so that they infer types, fill tables of
# kernels and compile (or load) side by side; the second one meets a process that is warm.
PROGRAM = """
import math
import threading
import warnings

import numba
import numpy as np
import randla
from randla import random

warnings.simplefilter("ignore", randla.RandlaWarning)
y = randla.datasets.nile()[:30]
tables = [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]]


def own(scale):
    table = np.linspace(0.0, scale, len(y))

    @numba.njit
    def level(t):
        return 900.0 + table[t]

    def transition(rng, t, x, theta):
        return level(t) + theta[0] * (x - level(t)) + 50.0 * random.normal(rng)

    def log_transition(t, x, xn, theta):
        return -0.5 * ((xn - level(t) - theta[0] * (x - level(t))) / 50.0) ** 2

    def observe(rng, t, x, theta, out):
        out[0] = x + 120.0 * random.normal(rng)

    return randla.StateSpaceModel(
        initial=lambda rng, theta: 1000.0 + 100.0 * random.normal(rng),
        transition=transition,
        log_transition=log_transition,
        log_potential=lambda t, x, y, theta: -0.5 * ((y - x) / 120.0) ** 2,
        observe=observe,
        theta=[0.7],
    )


def call(results, k, scale):
    # Ten kernels around five models.
    few = {"n_particles": 20, "n_chains": 2, "rng": 0}
    sweeps = {"n_iterations": 3, "burn_in": 1, **few}
    gaussian = randla.LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 1000.0, 40000.0)
    volatility, chain = randla.StochasticVolatility(0.9, 0.3, 0.6), randla.DiscreteHMM(*tables)
    network, model = randla.ChaoticRNN(np.eye(2)), own(scale)
    states, symbols = chain.simulate(len(y), rng=0)
    results[k] = (
        randla.particle_filter(gaussian, y, n_particles=20, rng=0).log_likelihood,
        randla.particle_filter(model, y, n_particles=20, rng=0).log_likelihood,
        randla.kalman_smoother(gaussian, y).log_likelihood,
        *randla.paris(model, y, "state", **few).estimate,
        *randla.ppg(volatility, y / 1000.0, "score", **sweeps).estimate,
        *randla.ffbs(chain, symbols, "square", **few).estimate,
        *randla.hmm_smoother(chain, symbols).expectation("state"),
        *randla.particle_gibbs(gaussian, y, "lag_product", **sweeps).estimate,
        *network.simulate(5, rng=0)[1].flat,
        *model.replace([0.8]).forecast([900.0, 1000.0], 5, rng=0)[1].flat,
    )


for scale in (1.0, 2.0):
    results = [None] * 8
    threads = [
        threading.Thread(target=call, args=(results, k, scale), daemon=True) for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] is not None
    assert len(set(results)) == 1, results
    print(*map(float.hex, map(float, results[0])))
"""


def test_threads_that_build_models_end_and_agree(tmp_path):
    """With an empty cache and with a full one; a deadlock would last until the time is over."""
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path))
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    empty, full = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
        ).stdout
        for _ in range(2)
    )
    assert empty == full
    assert len(empty.splitlines()) == 2
