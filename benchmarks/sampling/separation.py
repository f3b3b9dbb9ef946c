"""Distortion of all norms by a sample, against its size, for each kind of score.

    python -m benchmarks.sampling.separation [--samples 50] [--figure separation.png] [--quick]

The distortion is max over x of | |SAx|_p^p / |Ax|_p^p - 1 |, from below by a search; means and
standard errors over the samples. The matrices are the hard instances of `randla.datasets`, with
the right-hand side as one more column where that is what is hard, and two more. The first is the
one on which the theory separates the scores: for p < 2 plain sensitivities give its Gaussian block
too few rows, for p > 2 Lewis weights do; sensitivities plus leverage are near the best everywhere.
It takes ten minutes on one core.
"""

import argparse
from pathlib import Path

import numpy as np

from randla import datasets
from randla.sampling import leverage_scores, lewis_weights, lp_sensitivities, sample_rows

POWERS = (1, 1.5, 3, 4)
FACTORS = (6, 12, 24)  # rows a column
STYLE = Path(__file__).resolve().parents[2] / "docs" / "randla.mplstyle"  # transparent
COLORS = {  # as in examples/sampling/plot_distortion.py
    "uniform": "C3",
    "leverage": "C1",
    "root leverage": "C5",
    "Lewis": "C0",
    "sensitivity": "C2",
    "sens. + leverage": "C4",
}


def instances():
    """Name -> matrix."""
    rng = np.random.default_rng(0)
    yield "blocks", datasets.gaussian_blocks(1200, 12, 36, 16, rng=0)
    yield "Pareto rows", datasets.heavy_tailed_rows(1000, 8, exponent=1.0, rng=0)
    groups = datasets.unequal_groups(1000, 8, rng=0)
    yield "unequal groups", np.c_[np.ones(1000), groups[:, 1:]]
    yield "stacked identities", np.c_[datasets.stacked_identities(1000, 8, 40, rng=0)]
    yield "collision attack", np.c_[datasets.collision_attack(1000, 8, 40)]
    yield "aligned pairs", np.c_[datasets.aligned_pairs(1000, 8)]
    yield "ill conditioned", datasets.ill_conditioned(1000, 8, condition=1e6, rng=0)[0]
    heavy = rng.standard_normal((1000, 8))
    heavy[7] *= 1000
    yield "one heavy row", heavy
    yield "identity", np.r_[3 * np.eye(8), rng.standard_normal((1000, 8))]


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

    distortion, d = Distortion(A, p, n_polished=1), A.shape[1]
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

    plt.style.use(STYLE)
    names = [  # but for those that weighted samples keep exactly
        name
        for name in dict.fromkeys(name for name, _ in results)
        if any(results[name, p]["Lewis"][0].max() > 0.01 for p in POWERS)
    ]
    size = 7.2, 2.3 * len(names) + 0.8
    figure, axes = plt.subplots(len(names), 2, figsize=size, layout="constrained", squeeze=False)
    for row, name in zip(axes, names, strict=True):
        for ax, p in zip(row, (POWERS[0], POWERS[-1]), strict=True):
            for k, (score, (mean, error)) in enumerate(results[name, p].items()):
                shifted = np.array(factors) * (1 + 0.03 * (k - 2.5))
                ax.errorbar(shifted, mean, 2 * error, label=score, color=COLORS[score], lw=1.2)
            ax.set(xscale="log", ylim=(0, min(ax.get_ylim()[1], 3)))
            ax.set_title(f"{name}, p = {p}", fontsize="small")
            ax.set_xticks(factors, factors)
            ax.minorticks_off()
        row[0].set_ylabel("distortion")
    for ax in axes[-1]:
        ax.set_xlabel("rows / columns")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3)
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--figure", help="file for the picture (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="two samples of one size")
    arguments = parser.parse_args()
    factors, n_samples = FACTORS, arguments.samples
    if arguments.quick:
        factors, n_samples = FACTORS[:1], 2
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
