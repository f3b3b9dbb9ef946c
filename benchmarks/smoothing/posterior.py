"""Effective draws of parameters a second: `posterior` beside the PMMH of `particles`.

    python -m benchmarks.smoothing.posterior        some minutes; see particles_server.py

Process times of one run, so that other work on the machine does not matter. The prior is normal on
(atanh phi, log sigma, log r) for both. The peer's chains walk on that scale, too; they start in the
prior, adapt their proposals all the time, and their first half is left out.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import time
import warnings

import numba
import numpy as np

from randla import StateSpaceModel, StochasticVolatility, posterior, random
from randla.smoothing import PosteriorWarning
from randla.smoothing._posterior.diagnostics import ess_bulk, r_hat


@numba.njit
def normal(z, sd):
    return -0.5 * (z / sd) ** 2 - math.log(sd) - 0.5 * math.log(2.0 * math.pi)


@numba.njit
def observe(rng, t, x, theta, out):
    out[0] = x + theta[2] * random.normal(rng)


walk = StateSpaceModel(
    initial=lambda rng, theta: random.normal(rng),
    transition=lambda rng, t, x, theta: theta[0] * x + theta[1] * random.normal(rng),
    log_initial=lambda x, theta: normal(x, 1.0),
    log_transition=lambda t, x, xn, theta: normal(xn - theta[0] * x, theta[1]),
    log_potential=lambda t, x, y, theta: normal(y - x, theta[2]),
    observe=observe,
    theta=[0.9, 1.0, 1.0],
    names=["coefficient", "step", "noise"],
    support=["tanh", "log", "log"],
)
VOLATILITY = StochasticVolatility(0.975, 0.16, 0.63)
MODELS = {"autoregression in noise": (walk, 100), "volatility": (VOLATILITY, 500)}


def log_prior(theta):
    """Normal with standard deviation 1 around (1, 0, 0) on the line of the parameters."""
    z = math.atanh(theta[0]) - 1.0, math.log(theta[1]), math.log(theta[2])
    slopes = 1.0 - theta[0] ** 2, theta[1], theta[2]
    return -0.5 * sum(v * v for v in z) - sum(map(math.log, slopes))


class Posterior:
    """Time of a default run, and of a twentieth of it."""

    params, param_names = [[100, 2000], list(MODELS)], ["n_iterations", "model"]
    headline = (2000, "autoregression in noise")

    def setup(self, n_iterations, name):
        self.model, n_times = MODELS[name]
        self.y = self.model.simulate(n_times, rng=0)[1]
        self.run(12)

    def run(self, n_iterations=2000, rng=0, method="auto"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PosteriorWarning)
            return posterior(
                self.model, self.y, log_prior, method=method, n_iterations=n_iterations, rng=rng
            )

    def time_randla(self, n_iterations, name):
        self.run(n_iterations)

    def track_r_hat(self, n_iterations, name):
        return float(self.run(n_iterations).r_hat.max())


def peer_chains(name, y, n_particles, n_iterations, n_chains):
    """Draws (n_chains, n_kept, 3) of the peer and its seconds."""
    python = os.environ.get("RANDLA_PARTICLES_PYTHON")
    if python is None:
        raise SystemExit("RANDLA_PARTICLES_PYTHON is not set, see particles_server.py")
    task = {"name": name, "y": y.tolist(), "n_particles": n_particles}
    task |= {"n_iterations": n_iterations, "n_chains": n_chains}
    script = pathlib.Path(__file__).with_name("particles_pmmh.py")
    done = subprocess.run(
        [python, str(script)], input=json.dumps(task), capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    return np.array(answer["draws"]), answer["seconds"]


def main():
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    for name, (n_particles, n_iterations) in {
        "autoregression in noise": (100, 3000),
        "volatility": (200, 1500),
    }.items():
        study = Posterior()
        study.setup(2000, name)
        rows = {}
        began = time.process_time()
        result = study.run()
        rows["randla"] = result.draws, time.process_time() - began
        rows["particles"] = peer_chains(name, study.y, n_particles, int(scale * n_iterations), 2)
        for who, (draws, seconds) in rows.items():
            size = ess_bulk(draws).min()
            print(
                f"{name:24s} {who:10s} least ess {size:7.0f}  r_hat {r_hat(draws).max():.3f}  "
                f"{seconds:6.1f} s  {size / seconds:8.2f} a second",
                flush=True,
            )


if __name__ == "__main__":
    main()
