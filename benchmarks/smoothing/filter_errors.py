"""Coverage of the errors of `particle_filter`, for `python -m benchmarks.calibration`.

One series a setting and new seeds each time, bootstrap filters. Intervals count where they are not
refused, the rows "refused" say how often they were. The truth is exact, or for nonlinear
models from 16 runs of 100,000 particles, whose error is below a twentieth of the smallest that
is measured.
"""

import math
from functools import cache

import numba
import numpy as np

from benchmarks.calibration import LEVELS, Study
from randla import (
    LinearGaussian,
    StateSpaceModel,
    StochasticVolatility,
    kalman_smoother,
    particle_filter,
    random,
)

WALK = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1 / 0.19)
SHARP = LinearGaussian(0.9, 1.0, 1.0, 0.05**2, 0.0, 1 / 0.19)
VOLATILITY = StochasticVolatility(0.975, 0.16, 0.63)
LIMIT = StochasticVolatility(0.9, 0.6, 1.0)
SHORT_MEMORY = LinearGaussian(0.5, 1.0, 1.0, 0.25, 0.0, 1 / 0.75)
LONG_MEMORY = LinearGaussian(0.99, 1.0, 1.0, 1.0, 0.0, 1 / 0.0199)
TURN = np.array([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
PLANE = LinearGaussian(0.95 * TURN, np.eye(2), [[1.0, 0.0]], 1.0, np.zeros(2), np.eye(2) / 0.0975)


@numba.njit
def grown(rng, t, x, theta):
    """The growth model of Gordon, Salmond and Smith (1993): y = x^2 / 20 + e hides the sign."""
    mean = 0.5 * x + 25.0 * x / (1.0 + x * x) + 8.0 * math.cos(1.2 * (t + 1))
    return mean + 3.0 * random.normal(rng)


@numba.njit
def observe_growth(rng, t, x, theta, out):
    out[0] = x * x / 20.0 + random.normal(rng)


GROWTH = StateSpaceModel(
    initial=lambda rng, theta: 2.0 * random.normal(rng),
    transition=grown,
    log_potential=lambda t, x, y, theta: (
        -0.5 * (y - x * x / 20.0) ** 2 - 0.5 * math.log(2.0 * math.pi)
    ),
    observe=observe_growth,
)
OUTLIER = np.array([0.0, 0.0, 4.0, 0.0, 0.0])
SETTINGS = {
    "autoregression, T = 50": (WALK, 50, (100, 250, 1000)),
    "autoregression, T = 500": (WALK, 500, (100, 250, 1000)),
    "stochastic volatility, T = 500": (VOLATILITY, 500, (100, 250)),
    "autoregression 0.5, T = 50": (SHORT_MEMORY, 50, (100,)),
    "autoregression 0.99, T = 200": (LONG_MEMORY, 200, (250,)),
    "two dimensions, one observed, T = 100": (PLANE, 100, (100,)),
    "two modes, T = 50": (GROWTH, 50, (200,)),
    "informative observations, T = 50": (SHARP, 50, (100, 250, 1000)),
    "an outlier, T = 5": (SHARP, OUTLIER, (100,)),
    "volatile volatility, T = 100, a known limit of one run": (LIMIT, 100, (50,)),
}


@cache
def series(name):
    """Observations, their log-likelihood and the filtered means (T, 1)."""
    model, y, _ = SETTINGS[name]
    if np.ndim(y) == 0:
        y = model.simulate(y, rng=1)[1]
    if isinstance(model, LinearGaussian):  # the last smoothed mean is filtered
        exact = [kalman_smoother(model, y[: t + 1]) for t in range(len(y))]
        return y, exact[-1].log_likelihood, np.array([e.mean[-1] for e in exact])
    large = particle_filter(model, y, n_particles=100_000, n_runs=16, rng=0)
    return y, large.log_likelihood, large.mean


@cache
def results(name, n_particles, n_runs, draws):
    """Of each draw: whether it was kept, and what the intervals of log Z and the means held."""
    y, log_z, mean = series(name)
    kept, held, shares = [], [], []
    for seed in range(draws):
        r = particle_filter(
            SETTINGS[name][0], y, n_particles=n_particles, n_runs=n_runs, proposal="bootstrap",
            rng=[n_particles, n_runs, seed],
        )  # fmt: skip
        kept.append(not np.isnan(r.log_likelihood_standard_error))
        if kept[-1]:
            intervals = [r.log_likelihood_interval(level) for level in LEVELS]
            held.append([low <= log_z <= high for low, high in intervals])
        intervals = [r.mean_interval(level) for level in LEVELS]
        shares.append([np.mean((low <= mean) & (mean <= high)) for low, high in intervals])
    return np.array(kept), np.array(held), np.array(shares)


def studies():
    for n_runs, draws in ((1, 1000), (8, 500)):
        for name, (_, _, sizes) in SETTINGS.items():
            for n in sizes:
                yield from _studies(name, n, n_runs, draws)


def _studies(name, n, n_runs, draws):
    data = f"{name}: {n} particles" + (f", {n_runs} runs" if n_runs > 1 else "")
    always = name.startswith("an outlier") or (n < 1000 and name.startswith("informative"))

    def refused(d):
        return np.repeat(~results(name, n, n_runs, d)[0][:, None], len(LEVELS), axis=1)

    yield Study("particle_filter: refused", data, draws, refused)
    if not always:
        yield Study(
            "particle_filter: log_likelihood_interval", data, draws,
            lambda d: results(name, n, n_runs, d)[1],
        )  # fmt: skip
    yield Study(
        "particle_filter: mean_interval", data, draws, lambda d: results(name, n, n_runs, d)[2]
    )
