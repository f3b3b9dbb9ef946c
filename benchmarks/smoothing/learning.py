"""Learning with few particles: scores of particle Gibbs beside those of PaRIS and of single paths.

    python -m benchmarks.smoothing.learning        a minute on two cores

Two parameters of an autoregression in noise; the same particles, sweeps and steps for all. Errors
are to the exact maximum, in units of the statistical standard errors, and the means of several
runs, so that they show the bias.
"""

import numpy as np

from randla import LinearGaussian, maximum_likelihood

TRUTH = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1 / 0.19)
START = LinearGaussian(0.5, 0.5, 1.0, 1.0, 0.0, 1 / 0.19)
FREE = "transition_matrix", "transition_cov"


class Learning:
    """The largest error of a parameter, averaged over runs."""

    params, param_names = [5, 20, 50], ["particles"]
    headline = (20,)
    runs = 8

    def setup(self, n_particles):
        self.y = TRUTH.simulate(100, rng=0)[1]
        self.exact = maximum_likelihood(START, self.y, free=FREE, method="exact")
        self.time_randla(n_particles)

    def learn(self, n_particles, method, rng=0):
        return maximum_likelihood(
            START,
            self.y,
            free=FREE,
            method=method,
            n_particles=n_particles,
            n_final=0,
            rng=rng,
        )

    def time_randla(self, n_particles):
        self.learn(n_particles, "ppg")

    def time_randla_paris_scores(self, n_particles):
        self.learn(n_particles, "paris")

    def error(self, n_particles, method):
        """Mean error over the runs, in statistical standard errors, of the worst parameter."""
        found = [self.learn(n_particles, method, rng).theta for rng in range(self.runs)]
        error = np.mean(found, axis=0) - self.exact.theta
        return float(np.abs(error / self.exact.parameter_standard_error).max())

    def track_error_ppg(self, n_particles):
        return self.error(n_particles, "ppg")

    def track_error_paris(self, n_particles):
        return self.error(n_particles, "paris")


def main():
    print("largest mean error, in statistical standard errors")
    print("particles     ppg    path   paris")
    for n_particles in Learning.params:
        study = Learning()
        study.setup(n_particles)
        errors = [study.error(n_particles, m) for m in ("ppg", "path", "paris")]
        print(f"{n_particles:9d}", "  ".join(f"{e:6.3f}" for e in errors), flush=True)


if __name__ == "__main__":
    main()
