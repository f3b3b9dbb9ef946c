"""Bias and error of smoothers with the same number of particles in all sweeps together.

One chain each, 100 observations of an autoregression in noise, the sum of squares of the states.
Particle Gibbs pays for its smaller bias with variance: see where it wins in the docs of `ppg`.
"""

import warnings

import numpy as np

from randla import LinearGaussian, ffbs, kalman_smoother, paris, ppg
from randla.smoothing import BurnInWarning

BUDGET = 500
MODEL = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0 / 0.19)


class EqualBudget:
    """Errors in units of the true value, over independent runs."""

    params, param_names = [100, 1000], ["replicates"]
    headline = (1000,)

    def setup(self, replicates):
        self.y = MODEL.simulate(100, rng=0)[1]
        self.truth = kalman_smoother(MODEL, self.y).expectation("square").item()
        self.time_randla(replicates)

    def gibbs(self, n_sweeps, burn_in, n_chains, rng):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BurnInWarning)
            return ppg(
                MODEL,
                self.y,
                "square",
                n_particles=BUDGET // n_sweeps,
                n_iterations=n_sweeps - 1,  # and the unconditional one
                burn_in=burn_in,
                n_chains=n_chains,
                rng=rng,
            )

    def errors(self, result):
        errors = (result.per_chain[:, 0] - self.truth) / self.truth
        return {
            "bias": errors.mean(),
            "bias_se": errors.std(ddof=1) / np.sqrt(len(errors)),
            "rmse": np.sqrt((errors**2).mean()),
        }

    def time_randla(self, replicates):
        self.gibbs(10, 3, 1, 0)

    def time_peer_own_paris(self, replicates):
        paris(MODEL, self.y, "square", n_particles=BUDGET, n_chains=1, rng=0)

    def all_errors(self, replicates):
        return {
            "paris": self.paris(replicates),
            "ffbs": self.errors(
                ffbs(
                    MODEL,
                    self.y,
                    "square",
                    n_particles=BUDGET,
                    n_paths=100,
                    n_chains=replicates,
                    rng=2,
                )
            ),
            "ppg_5_sweeps": self.errors(self.gibbs(5, 2, replicates, 3)),
            "ppg_10_sweeps": self.errors(self.gibbs(10, 3, replicates, 4)),
            "ppg_20_sweeps": self.errors(self.gibbs(20, 4, replicates, 5)),
        }

    def paris(self, replicates):
        return self.errors(
            paris(MODEL, self.y, "square", n_particles=BUDGET, n_chains=replicates, rng=1)
        )

    def track_bias_paris(self, replicates):
        return self.paris(replicates)["bias"]

    def track_bias_ppg_10_sweeps(self, replicates):
        return self.errors(self.gibbs(10, 3, replicates, 4))["bias"]

    def track_rmse_paris(self, replicates):
        return self.paris(replicates)["rmse"]

    def track_rmse_ppg_10_sweeps(self, replicates):
        return self.errors(self.gibbs(10, 3, replicates, 4))["rmse"]


if __name__ == "__main__":
    study = EqualBudget()
    study.setup(4000)
    for name, errors in study.all_errors(4000).items():
        print(f"{name:14s}", ", ".join(f"{k} {v:.2e}" for k, v in errors.items()))
