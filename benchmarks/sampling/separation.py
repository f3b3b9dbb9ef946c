"""Distortion of all norms by a sample, against its size, for each kind of score.

    python -m benchmarks.sampling.separation [--samples 50] [--figure separation.png] [--quick]

The distortion is max over x of | |SAx|_p^p / |Ax|_p^p - 1 |, from below by a search. The first
matrix is the one on which the theory separates the scores: for p < 2 plain sensitivities give its
Gaussian block too few rows, for p > 2 Lewis weights do; sensitivities plus leverage are near the
best everywhere. Means and standard errors over 50 samples a point take half an hour on one core.
"""

import argparse

import numpy as np

from randla.datasets import gaussian_blocks, heavy_tailed_rows
from randla.sampling import leverage_scores, lewis_weights, lp_sensitivities, sample_rows

POWERS = (1, 1.5, 3, 4)
FACTORS = (4, 6, 8, 12, 16, 24)  # rows a column


def instances():
    """Name -> matrix."""
    rng = np.random.default_rng(0)
    yield "blocks", gaussian_blocks(1200, 12, 36, 16, rng=0)
    heavy = rng.standard_normal((2000, 8))
    heavy[7] *= 1000
    yield "one heavy row", heavy
    yield "Pareto rows", heavy_tailed_rows(2000, 12, exponent=2.0, rng=1)
    yield "identity", np.r_[3 * np.eye(12), rng.standard_normal((2000, 12))]


def scores_of(A, p):
    """Name -> scores."""
    tau, s = np.asarray(leverage_scores(A)), np.asarray(lp_sensitivities(A, p))
    return {
        "uniform": np.ones(len(A)),
        "leverage": tau,
        "root leverage": tau ** (p / 2),
        "Lewis": np.asarray(lewis_weights(A, p, rtol=0.1)),
        "sensitivity": s,
        "sens. + leverage": s + tau,
    }


def measure(A, p, factors, n_samples):
    """Score -> (means, standard errors) over the sizes."""
    from tests.sampling.distortion import Distortion  # asv does not see the tests

    distortion, d = Distortion(A, p, n_polished=2), A.shape[1]
    out = {}
    for name, u in scores_of(A, p).items():
        errors = np.array([
            [distortion(sample_rows(A, m, p=p, scores=u, rng=seed)) for seed in range(n_samples)]
            for m in (min(f * d, len(A)) for f in factors)
        ])  # fmt: skip
        out[name] = errors.mean(1), errors.std(1, ddof=1) / np.sqrt(n_samples)
    return out


def draw(results, factors, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for name, _ in results))
    figure, axes = plt.subplots(
        len(names), len(POWERS), figsize=(4 * len(POWERS), 3.2 * len(names)), squeeze=False
    )
    for (name, p), curves in results.items():
        ax = axes[names.index(name), POWERS.index(p)]
        for score, (mean, error) in curves.items():
            ax.errorbar(factors, mean, 2 * error, label=score, capsize=2)
        ax.set(xscale="log", yscale="log", title=f"{name}, p = {p}", xlabel="rows / column")
    axes[0, 0].set_ylabel("distortion")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--figure", help="file for the picture (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="two samples of two sizes")
    arguments = parser.parse_args()
    factors, n_samples = FACTORS, arguments.samples
    if arguments.quick:
        factors, n_samples = FACTORS[1:4:2], 2
    results = {}
    for name, A in instances():
        for p in POWERS:
            results[name, p] = measure(A, p, factors, n_samples)
            print(f"{name}, p = {p}: mean distortion +- standard error at m/d = {factors}")
            for score, (mean, error) in results[name, p].items():
                cells = (f"{m:.2f} +- {e:.2f}" for m, e in zip(mean, error, strict=True))
                print(f"  {score:18s}" + "   ".join(cells), flush=True)
    if arguments.figure:
        draw(results, factors, arguments.figure)


if __name__ == "__main__":
    main()
