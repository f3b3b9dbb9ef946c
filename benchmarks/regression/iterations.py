"""Iterations of the interior point method: designs, noises and quantiles of all kinds.

    python -m benchmarks.regression.iterations [--rows 20000] [--columns 10] [--method full]

A solve is one run of the method; a regression may need several (some rows first, then all with
their residuals cut, once more where a cut row ended on the other side).
"""

import argparse

import numpy as np

from randla.regression import lp_regression
from randla.regression._quantile.interior_point import InteriorPoint

DESIGNS = {
    "Gaussian": lambda rng, n, d: rng.standard_normal((n, d)),
    "uniform": lambda rng, n, d: rng.random((n, d)),
    "log-normal": lambda rng, n, d: rng.lognormal(0, 1.5, (n, d)),
    "t2": lambda rng, n, d: rng.standard_t(2, (n, d)),
    "Cauchy": lambda rng, n, d: rng.standard_cauchy((n, d)),
    "one-hot": lambda rng, n, d: np.eye(d)[np.minimum(rng.zipf(1.5, n), d) - 1],
}
NOISES = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "t3": lambda rng, n: rng.standard_t(3, n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(n),
}
TAUS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SEEDS = range(3)


def iterations(design, n, d, method):
    """Iterations of each solve, and of each regression."""
    solves, regressions, solve = [], [], InteriorPoint.solve

    def counted(self, *args, **options):
        solution = solve(self, *args, **options)
        solves.append(solution.n_iterations)
        return solution

    InteriorPoint.solve = counted
    try:
        for noise in NOISES:
            for seed in SEEDS:
                rng = np.random.default_rng([seed, *map(ord, design + noise)])
                A = np.column_stack([np.ones(n), DESIGNS[design](rng, n, d - 1)])
                b = A.sum(axis=1) + NOISES[noise](rng, n)
                for tau in TAUS:
                    result = lp_regression(A, b, tau=tau, method=method, rng=seed)
                    regressions.append(result.n_iterations)
    finally:
        InteriorPoint.solve = solve
    return np.array(solves), np.array(regressions)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--method", default="full", choices=("full", "preprocess"))
    arguments = parser.parse_args()
    n_problems = len(NOISES) * len(SEEDS) * len(TAUS)
    print(f"{n_problems} regressions a design, {arguments.rows} x {arguments.columns}")
    print("design      a solve: median, 95%, max, above 25   a regression: median, 95%, max")
    for design in DESIGNS:
        found = iterations(design, arguments.rows, arguments.columns, arguments.method)
        cells = []
        for counts in found:
            middle, high = np.quantile(counts, (0.5, 0.95))
            cells += [f"{middle:.0f}", f"{high:.0f}", f"{counts.max()}"]
        cells.insert(3, f"{(found[0] > 25).sum()} of {len(found[0])}")
        print(f"{design:12s}" + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
