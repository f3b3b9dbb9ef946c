"""Bias and error of smoothers with the same number of particles in all sweeps together.

    python -m benchmarks.smoothing.equal_budget        three minutes on two cores

The three models of the paper on particle Gibbs with PaRIS statistics and a scalar autoregression,
one chain a run, 500 particles a run. Errors are those of a sum over the components of a functional,
relative to its true value: exact for the linear models, else the mean of 64 long chains of 500
particles. Particle Gibbs pays for its smaller bias with variance.
"""

import warnings

import numpy as np

from randla import (
    ChaoticRNN,
    LinearGaussian,
    StochasticVolatility,
    ffbs,
    kalman_smoother,
    paris,
    ppg,
)
from randla.smoothing import BurnInWarning

BUDGET = 500
SWEEPS = {"ppg_5_sweeps": (5, 2), "ppg_10_sweeps": (10, 3), "ppg_20_sweeps": (20, 4)}


def rotation(d):
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]


def five_dimensions():
    """The linear Gaussian model in five dimensions, all of which are observed."""
    eye = np.eye(5)
    return LinearGaussian(0.9 * rotation(5), eye, eye, eye, np.zeros(5), eye / 0.19)


def chaotic_network():
    """A network of two neurons that is observed with heavy-tailed noise."""
    return ChaoticRNN(np.random.default_rng(0).standard_normal((2, 2)) / np.sqrt(2), df=2.0)


# Model, times, functional.
STUDIES = {
    "autoregression": (LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0 / 0.19), 100, "square"),
    "five_dimensions": (five_dimensions(), 30, "lag_product"),
    "volatility": (StochasticVolatility(0.975, 0.165, 0.63), 100, "square"),
    "chaotic_network": (chaotic_network(), 50, "square"),
}


def gibbs(model, y, functional, n_particles, n_sweeps, burn_in, n_chains, rng):
    """Runs of particle Gibbs; the unconditional sweep counts as one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BurnInWarning)
        return ppg(
            model,
            y,
            functional,
            n_particles=n_particles,
            n_iterations=n_sweeps - 1,
            burn_in=burn_in,
            n_chains=n_chains,
            rng=rng,
        )


class EqualBudget:
    """Errors in units of the true value, over independent runs."""

    params, param_names = [list(STUDIES)], ["model"]
    headline = ("autoregression",)
    replicates = 200

    def setup(self, name):
        self.model, n_times, self.functional = STUDIES[name]
        self.y = self.model.simulate(n_times, rng=0)[1]
        if isinstance(self.model, LinearGaussian):
            truth = kalman_smoother(self.model, self.y).expectation(self.functional)
        else:
            truth = gibbs(self.model, self.y, self.functional, BUDGET, 41, 10, 64, 9).estimate
        self.truth = truth.sum()
        self.time_randla(name)

    def time_randla(self, name):
        gibbs(self.model, self.y, self.functional, BUDGET // 10, 10, 3, 1, 0)

    def time_randla_paris(self, name):
        paris(self.model, self.y, self.functional, n_particles=BUDGET, n_chains=1, rng=0)

    def run(self, method):
        """Estimates (replicates, p) of one method."""
        arguments = self.model, self.y, self.functional
        runs = {"n_particles": BUDGET, "n_chains": self.replicates}
        if method == "paris":
            return paris(*arguments, **runs, rng=1).per_chain
        if method == "ffbs":
            return ffbs(*arguments, **runs, n_paths=100, rng=2).per_chain
        n_sweeps, burn_in = SWEEPS[method]
        sizes = BUDGET // n_sweeps, n_sweeps, burn_in, self.replicates
        return gibbs(*arguments, *sizes, rng=3 + n_sweeps).per_chain

    def errors(self, method):
        """Bias, its standard error and root mean squared error, relative to the truth."""
        errors = (self.run(method).sum(axis=1) - self.truth) / abs(self.truth)
        error = errors.std(ddof=1) / np.sqrt(len(errors))
        return errors.mean(), error, np.sqrt((errors**2).mean())

    def track_bias_paris(self, name):
        return self.errors("paris")[0]

    def track_bias_ppg_10_sweeps(self, name):
        return self.errors("ppg_10_sweeps")[0]

    def track_rmse_paris(self, name):
        return self.errors("paris")[2]

    def track_rmse_ppg_10_sweeps(self, name):
        return self.errors("ppg_10_sweeps")[2]


def main():
    print("relative errors in percent      bias   (s.e.)    rmse")
    for name in STUDIES:
        study = EqualBudget()
        study.replicates = 1000
        study.setup(name)
        for method in ("paris", "ffbs", *SWEEPS):
            bias, error, rmse = (100 * e for e in study.errors(method))
            print(f"{name:16s} {method:14s} {bias:7.3f} ({error:.3f}) {rmse:7.3f}", flush=True)


if __name__ == "__main__":
    main()
