"""Coverage of the intervals of `ppg` after the burn-in that it suggests.

    python -m benchmarks.smoothing.coverage        two minutes on two cores

For each model one series is simulated, the truth is exact, and the intervals of 8 chains are
repeated. Chains are independent, so one long list of them is cut into groups of 8.
"""

import warnings

import numpy as np
from scipy.stats import t as student

from randla import DiscreteHMM, LinearGaussian, hmm_smoother, kalman_smoother, ppg
from randla.smoothing import BurnInWarning

LEVELS = 0.9, 0.95
CHAINS = 8


def rotation(d):
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]


def models():
    """Models with their length, functional, particles and exact smoother."""
    walk = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0 / 0.19)
    level = LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 1000.0, 40000.0)
    five = LinearGaussian(
        0.9 * rotation(5), np.eye(5), np.eye(5), np.eye(5), np.zeros(5), np.eye(5) / 0.19
    )
    chain = DiscreteHMM(
        [0.5, 0.3, 0.2],
        [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]],
        [[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]],
    )
    return {
        "autoregression in noise": (walk, 100, "square", 20, kalman_smoother),
        "autoregression, score": (walk, 100, "score", 20, kalman_smoother),
        "local level, a third missing": (level, 100, "state", 30, kalman_smoother),
        "five dimensions, lag products": (five, 30, "lag_product", 60, kalman_smoother),
        "hidden Markov chain": (chain, 40, "state", 10, hmm_smoother),
    }


def coverage(model, n_times, functional, n_particles, exact, replicates):
    """Shares of intervals that hold the truth, over replicates and components, by level."""
    y = model.simulate(n_times, rng=1)[1]
    if functional == "state" and isinstance(model, LinearGaussian):
        y[n_times // 3 : 2 * n_times // 3] = np.nan
    truth = exact(model, y).expectation(functional)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BurnInWarning)
        pilot = ppg(model, y, functional, n_particles=n_particles, n_iterations=100, rng=2)
        burn_in = pilot.suggested_burn_in
        result = ppg(
            model,
            y,
            functional,
            n_particles=n_particles,
            n_iterations=burn_in + 20,
            burn_in=burn_in,
            n_chains=CHAINS * replicates,
            rng=3,
        )
    groups = result.per_chain.reshape(replicates, CHAINS, -1)
    errors = groups.mean(axis=1) - truth
    z = np.abs(errors) / (groups.std(axis=1, ddof=1) / np.sqrt(CHAINS))
    # the intervals of a result with 8 chains
    return burn_in, [(z <= student.ppf(0.5 + 0.5 * level, CHAINS - 1)).mean() for level in LEVELS]


def main(replicates=400):
    print("model                             N  burn-in    90%    95%")
    for name, (model, n_times, functional, n, exact) in models().items():
        burn_in, covered = coverage(model, n_times, functional, n, exact, replicates)
        print(f"{name:31s} {n:3d} {burn_in:6d}  ", "  ".join(f"{100 * c:5.1f}" for c in covered))


if __name__ == "__main__":
    main()
