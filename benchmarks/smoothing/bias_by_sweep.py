"""Bias of particle Gibbs after each sweep: it falls geometrically, faster with more particles.

    python -m benchmarks.smoothing.bias_by_sweep        a minute on two cores

Means of independent chains, in percent of the exact value, for the models whose value is exact.
"""

import numpy as np

from benchmarks.smoothing.equal_budget import STUDIES, gibbs
from randla import kalman_smoother

N_SWEEPS, CHAINS = 9, 1000
PARTICLES = {"autoregression": (5, 10, 20, 40), "five_dimensions": (20, 40, 80, 160)}


def main():
    print(f"percent of the truth, {CHAINS} chains; sweep 0 is the unconditional one (plain PaRIS)")
    for name, sizes in PARTICLES.items():
        model, n_times, functional = STUDIES[name]
        y = model.simulate(n_times, rng=0)[1]
        truth = kalman_smoother(model, y).expectation(functional).sum()
        for n in sizes:
            runs = gibbs(model, y, functional, n, N_SWEEPS, 0, CHAINS, rng=n)
            sweeps = np.c_[runs.start.sum(axis=1), runs.per_iteration.sum(axis=2)]
            errors = 100 * (sweeps - truth) / abs(truth)
            error = errors[:, -1].std(ddof=1) / np.sqrt(CHAINS)
            bias = " ".join(f"{b:7.2f}" for b in errors.mean(axis=0))
            print(f"{name:16s} N={n:<4d} {bias}   (s.e. {error:.2f})", flush=True)


if __name__ == "__main__":
    main()
