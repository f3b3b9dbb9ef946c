"""Learning with few particles: scores of particle Gibbs beside those of PaRIS and of single paths.

    python -m benchmarks.smoothing.learning        two minutes on two cores

The same particles, sweeps and steps for all; errors are to the exact maximum, in units of the
statistical standard errors, and the means of several runs, so that they show the bias.
"""

import numpy as np

from benchmarks.smoothing.equal_budget import five_dimensions
from randla import LinearGaussian, maximum_likelihood

# True model, start, parameters that are learned, times.
STUDIES = {
    "autoregression": (
        LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1 / 0.19),
        LinearGaussian(0.5, 0.5, 1.0, 1.0, 0.0, 1 / 0.19),
        ("transition_matrix", "transition_cov"),
        100,
    ),
    "five_dimensions": (
        five_dimensions(),
        LinearGaussian(
            0.5 * np.eye(5), np.eye(5), np.eye(5), np.eye(5), np.zeros(5), np.eye(5) / 0.19
        ),
        ("transition_matrix",),
        100,
    ),
}


class Learning:
    """The largest error of a parameter, averaged over runs."""

    params = (list(STUDIES), [5, 20, 50])
    param_names = ("model", "particles")
    headline = ("autoregression", 20)
    runs = 8

    def setup(self, name, n_particles):
        truth, self.start, self.free, n_times = STUDIES[name]
        self.y = truth.simulate(n_times, rng=0)[1]
        self.exact = maximum_likelihood(self.start, self.y, free=self.free, method="exact")
        self.time_randla(name, n_particles)

    def learn(self, n_particles, method, rng=0):
        return maximum_likelihood(
            self.start,
            self.y,
            free=self.free,
            method=method,
            n_particles=n_particles,
            n_final=0,
            rng=rng,
        )

    def time_randla(self, name, n_particles):
        self.learn(n_particles, "ppg")

    def time_peer_own_paris_scores(self, name, n_particles):
        self.learn(n_particles, "paris")

    def error(self, n_particles, method):
        """Mean error over the runs, in statistical standard errors, of the worst parameter."""
        found = [self.learn(n_particles, method, rng).theta for rng in range(self.runs)]
        error = np.mean(found, axis=0) - self.exact.theta
        return float(np.abs(error / self.exact.parameter_standard_error).max())

    def track_error_ppg(self, name, n_particles):
        return self.error(n_particles, "ppg")

    def track_error_paris(self, name, n_particles):
        return self.error(n_particles, "paris")


def main():
    print("largest mean error, in statistical standard errors        ppg    path   paris")
    for name in STUDIES:
        for n_particles in Learning.params[1]:
            study = Learning()
            study.setup(name, n_particles)
            errors = [study.error(n_particles, m) for m in ("ppg", "path", "paris")]
            shown = "  ".join(f"{e:6.3f}" for e in errors)
            print(f"{name:16s} {n_particles:3d} particles {'':25s} {shown}", flush=True)


if __name__ == "__main__":
    main()
