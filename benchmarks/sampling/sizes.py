"""The distortion at the sizes that `sample_rows(eps=...)` chooses.

    python -m benchmarks.sampling.sizes [--eps 0.5] [--samples 50] [--quick]

For each power and kind of scores: the distortion that nine samples in ten keep to, on the instance
where it is largest and where it is smallest, and the rows that were asked for relative to those
that would have done on the hardest one, (eps / distortion)^2. The constants of `_rows.py` are right
if no distortion is above eps and that ratio is small.
"""

import argparse

import numpy as np

from randla import datasets
from randla.sampling import leverage_scores, lewis_weights, lp_sensitivities, sample_rows
from randla.sampling._samples.sample_rows import size_for

POWERS = (1.0, 1.5, 2.0, 3.0, 4.0)
KINDS = ("lewis", "sensitivity", "sensitivity+leverage")


def instances(n, d):
    """Name -> matrix of about n rows and d columns."""
    rng = np.random.default_rng(0)
    gaussian = rng.standard_normal((n, d))
    heavy = gaussian.copy()
    heavy[7] *= 1000
    few = d // 4
    yield "Gaussian", gaussian
    yield "one heavy row", heavy
    yield "log-normal", rng.lognormal(0.0, 1.0, (n, d))
    yield "Pareto", datasets.heavy_tailed_rows(n, d, exponent=1.0, rng=0)
    yield "blocks", datasets.gaussian_blocks(3 * n // 4, few, d - few, n // 4 // (d - few), rng=0)
    yield "unequal groups", np.c_[np.ones(n), datasets.unequal_groups(n, d, rng=0)[:, 1:]]
    yield "stacked identities", datasets.stacked_identities(n // d * d, d, 1, rng=0)[0]


def quantiles(eps, p, n, d, n_samples):
    """Kind -> (instance, distortion of nine samples in ten) for all instances."""
    from tests.sampling.distortion import Distortion  # asv does not see the tests

    found = {}
    for name, A in instances(n, d):
        distortion = Distortion(A, p, n_polished=2)
        tau, s = np.asarray(leverage_scores(A)), np.asarray(lp_sensitivities(A, p, rtol=0.05))
        scores = {
            "lewis": np.asarray(lewis_weights(A, p, rtol=0.1)),
            "sensitivity": s,
            "sensitivity+leverage": s + tau,
        }
        for kind, u in scores.items():
            size = int(np.ceil(size_for(eps, p, A.shape[1], kind, s.sum())))
            if size < len(A):
                samples = (sample_rows(A, size, p=p, scores=u, rng=k) for k in range(n_samples))
                errors = [distortion(sample) for sample in samples]
                found.setdefault(kind, []).append((name, np.quantile(errors, 0.9)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eps", type=float, default=0.5)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="ten samples, p = 1 and 3")
    arguments = parser.parse_args()
    n_samples = 10 if arguments.quick else arguments.samples
    print(f"90% of {n_samples} samples, eps = {arguments.eps}, {arguments.columns} columns")
    for p in (1.0, 3.0) if arguments.quick else POWERS:
        found = quantiles(arguments.eps, p, arguments.rows, arguments.columns, n_samples)
        for kind in KINDS:
            names, errors = zip(*found[kind], strict=True)
            top, low = np.argmax(errors), np.argmin(errors)
            print(
                f"p = {p:<4g}{kind:22s}{errors[top]:.2f} ({names[top]})   "
                f"{errors[low]:.2f} ({names[low]})   {(arguments.eps / errors[top]) ** 2:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
