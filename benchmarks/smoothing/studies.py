"""Coverage of the errors of smoothers and of learning, for `python -m benchmarks.calibration`.

For each model one series is simulated; the truth is exact. Chains are independent, so one long
list of them is cut into groups of 8, each of which gives an interval. Learning is repeated as it
is.
"""

from functools import cache

import numpy as np
from scipy import stats

from benchmarks.calibration import LEVELS, Study, shares, t_shares
from benchmarks.smoothing import filter_errors
from benchmarks.smoothing.coverage import CHAINS, models
from benchmarks.smoothing.posterior import walk
from randla import (
    LinearGaussian,
    ffbs,
    maximum_likelihood,
    paris,
    particle_gibbs,
    posterior,
    ppg,
    structural,
)
from randla.smoothing._particles.result import bound_on_bias

BATCH = 100  # groups of chains that are run at a time
SMOOTHERS = {"paris": paris, "ffbs": ffbs, "ppg": ppg, "particle_gibbs": particle_gibbs}


@cache
def repeated(name, data, n_particles, draws):
    """Of each draw a group of chains: mean, standard error, bound on the bias; and the truth."""
    model, n_times, functional, _, exact = models()[data]
    y = model.simulate(n_times, rng=1)[1]
    if functional == "state" and isinstance(model, LinearGaussian):
        y[n_times // 3 : 2 * n_times // 3] = np.nan
    options = {"n_particles": n_particles}
    if name in ("ppg", "particle_gibbs"):
        burn_in = ppg(model, y, functional, n_iterations=100, rng=2, **options).suggested_burn_in
        options |= {"n_iterations": burn_in + 20, "burn_in": burn_in}
    found = []
    for first in range(0, draws, BATCH):
        n = min(BATCH, draws - first)
        result = SMOOTHERS[name](
            model, y, functional, n_chains=CHAINS * n, rng=3 + first, **options
        )
        groups = result.per_chain.reshape(n, CHAINS, -1)
        errors = groups.std(axis=1, ddof=1) / np.sqrt(CHAINS)
        logs = result.log_likelihood_per_chain.reshape(n, CHAINS)
        bounds = list(map(bound_on_bias, groups, logs))
        found += zip(groups.mean(axis=1), errors, bounds, strict=True)
    return found, exact(model, y).expectation(functional)


def smoother(name, data, n_particles, *, include_bias=False):
    """Function of a number of draws for a `Study`."""

    def cover(draws):
        found, truth = repeated(name, data, n_particles, draws)
        return [
            t_shares(mean, error, CHAINS - 1, truth, wider=bound if include_bias else 0.0)
            for mean, error, bound in found
        ]

    return cover


TRUTH = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1 / 0.19)
FREE = "transition_matrix", "transition_cov"
LEARNING = {"n_particles": 20, "n_chains": 8, "n_steps": 50, "n_final": 200}


def algorithms_error(method):
    """Learning from one series again and again: does `monte_carlo_error` cover the maximum?"""

    def cover(draws):
        y = TRUTH.simulate(100, rng=0)[1]
        exact = maximum_likelihood(TRUTH, y, free=FREE, method="exact").theta
        held = []
        for seed in range(draws):
            r = maximum_likelihood(TRUTH, y, free=FREE, method=method, rng=seed, **LEARNING)
            held.append(t_shares(r.theta, r.monte_carlo_error, LEARNING["n_chains"] - 1, exact))
        return held

    return cover


def statistical_error(method, n_times, **options):
    """New series each time: do the intervals of both errors cover the parameters?"""

    def cover(draws):
        theta = np.array([TRUTH.theta[TRUTH.names.index(name)] for name in names()])
        held = []
        for rng in np.random.default_rng(0).spawn(draws):
            y = TRUTH.simulate(n_times, rng=rng)[1]
            r = maximum_likelihood(TRUTH, y, free=FREE, method=method, rng=rng, **options)
            held.append(shares(r, theta))
        return held

    return cover


#: Structural models: options, parameters, times.
STRUCTURAL = {
    "level, T = 100": ({}, [0.5, 1.0], 100),
    "level, T = 400": ({}, [0.5, 1.0], 400),
    "trend and season, T = 200": ({"level": "trend", "seasonal": 4}, [0.5, 0.1, 0.3, 1.0], 200),
    "level and cycle, T = 300": ({"cycle": "damped"}, [0.3, 0.6, 0.9, 0.5, 1.0], 300),
    "autoregression in noise, T = 300": ({"level": None, "ar": 2}, [1.2, -0.5, 1.0, 0.5], 300),
}


def structural_error(options, theta, n_times):
    """New series each time: intervals of the parameters that are not at the boundary."""

    def cover(draws):
        truth, held = structural(**options).replace(theta), []
        for rng in np.random.default_rng(1).spawn(draws):
            # Diffuse states start at zero, which matters to nothing.
            start = rng.multivariate_normal(truth.initial_mean, truth.initial_cov)
            y = truth.forecast(start[None], n_times, rng=rng)[1][0]
            r = maximum_likelihood(structural(**options), y, method="exact")
            inside = np.isfinite(r.parameter_standard_error)
            held.append(shares(r, np.array(theta), which=inside))
        return held

    return cover


def names():
    y = TRUTH.simulate(20, rng=0)[1]
    return maximum_likelihood(TRUTH, y, free=FREE, method="exact").names


def credible(model, laws, n_times, method):
    """Parameters from the prior, a series, its posterior: do the quantiles hold the parameters?"""

    def cover(draws):
        held, places = [], [model.names.index(name) for name in laws]
        for rng in np.random.default_rng(0).spawn(draws):
            theta = np.array(model.theta)
            theta[places] = [law.rvs(random_state=rng) for law in laws.values()]
            truth = model.replace(theta)
            y = truth.simulate(n_times, rng=rng)[1]
            r = posterior(truth, y, laws, method=method, n_iterations=1000, n_chains=2, rng=rng)
            tails = [(0.5 - level / 2, 0.5 + level / 2) for level in LEVELS]
            pairs = [r.quantile(pair) for pair in tails]
            held.append(
                [np.mean((lo <= theta[places]) & (theta[places] <= hi)) for lo, hi in pairs]
            )
        return held

    return cover


@cache
def repeated_chains(draws):
    """The posterior of one series again and again."""
    y = walk.simulate(50, rng=1)[1]
    return [posterior(walk, y, PRIOR, n_iterations=1000, n_chains=2, rng=k) for k in range(draws)]


def monte_carlo(statistic, error):
    """One series, chains again and again: do Monte Carlo errors cover the exact posterior?"""

    def cover(draws):
        runs = repeated_chains(draws)
        values = np.array([statistic(r) for r in runs])
        # All runs together are as good as exact: the error of their mean is a tenth of one's.
        truth = values.mean(axis=0)
        pairs = zip(values, runs, strict=True)
        return [t_shares(value, error(r), np.inf, truth) for value, r in pairs]

    return cover


#: The same prior for both forms of the model: log sigma^2 = 2 log sigma.
PRIOR = {
    "coefficient": stats.uniform(-1, 2),
    "step": stats.lognorm(0.5),
    "noise": stats.lognorm(0.5),
}
PRIOR_OF_VARIANCES = {
    "transition_matrix": stats.uniform(-1, 2),
    "transition_cov": stats.lognorm(1.0),
    "observation_cov": stats.lognorm(1.0),
}


def studies():
    for data, (*_, n_particles, _) in models().items():
        few, many = f"{data}: {n_particles} particles", f"{data}: {20 * n_particles} particles"
        for name in ("paris", "ffbs"):
            yield Study(name, few, 800, smoother(name, data, n_particles))
            cover = smoother(name, data, n_particles, include_bias=True)
            yield Study(f"{name}: include_bias", few, 800, cover)
        for name in ("paris", "ffbs"):
            yield Study(name, many, 400, smoother(name, data, 20 * n_particles))
        for name in ("ppg", "particle_gibbs"):
            yield Study(name, few, 800, smoother(name, data, n_particles))
    yield from filter_errors.studies()
    for method in ("ppg", "paris"):
        cover = algorithms_error(method)
        yield Study(f"maximum_likelihood, {method}: monte_carlo_error", "T = 100", 100, cover)
    for n_times in (50, 200, 1000):
        cover = statistical_error("exact", n_times)
        data = f"T = {n_times}"
        yield Study("maximum_likelihood, exact: confidence_interval", data, 300, cover)
    for data, arguments in STRUCTURAL.items():
        cover = structural_error(*arguments)
        yield Study("maximum_likelihood, structural: confidence_interval", data, 500, cover)
    cover = statistical_error("ppg", 200, **LEARNING)
    yield Study("maximum_likelihood, ppg: confidence_interval", "T = 200", 100, cover)
    cover = credible(TRUTH, PRIOR_OF_VARIANCES, 50, "exact")
    yield Study("posterior, exact: quantile", "T = 50", 300, cover)
    for method in ("particle", "pmmh"):
        cover = credible(walk, PRIOR, 50, method)
        yield Study(f"posterior, {method}: quantile", "T = 50", 300, cover)
    cover = monte_carlo(lambda r: r.mean, lambda r: r.standard_error)
    yield Study("posterior: standard_error of mean", "T = 50", 100, cover)
    cover = monte_carlo(lambda r: r.quantile(0.9), lambda r: r.quantile_standard_error(0.9))
    yield Study("posterior: quantile_standard_error(0.9)", "T = 50", 100, cover)
