"""Do confidence intervals from one sketch cover as often as they say? As a table.

    python benchmarks/regression/intervals.py [--draws 500] [--n 4096] [--d 16] [--sketch srht ...]
    python benchmarks/regression/intervals.py --small [--draws 500]

For each kind of data, sketch and share m/n: how often the nominal 90 and 95% intervals of single
coefficients, and the simultaneous 95% intervals of all of them, hold the exact solution; how often
some coefficient is off by more than `linf_bound` (which must be at most delta, 0.05); and the mean
square of error over standard error for each coefficient, averaged (t laws: a little above 1).
Standard errors of the shares: about 0.5 points for single coefficients (they are correlated within
a draw) and 1 point for simultaneous ones, with 500 draws. About five minutes with the defaults.

With ``--small``: the SRHT of few rows on its worst data, one heavy row, for n = 1000.
"""

import argparse

import numpy as np

from randla import datasets, lstsq

SKETCHES = ("srht", "block-srht", "gaussian", "sparse-sign", "count")
SHARES = (0.02, 0.1, 0.25, 0.5)
#: Columns, and rows of the sketch beyond them, for --small.
FEW_COLUMNS, EXTRA_ROWS = (1, 2, 4, 8, 16), (1, 2, 3, 4, 6, 8, 12, 24)


def instances(n, d, rng):
    """Name -> (A, b)."""
    A = rng.standard_normal((n, d))
    yield "benign", A, A.sum(axis=1) + rng.standard_normal(n)
    A = rng.standard_t(2, (n, d)) * np.logspace(0, 3, d)
    yield "heavy tails", A, A @ np.ones(d) + rng.standard_t(2, n)
    A = np.eye(n, d) + 1e-3 * rng.standard_normal((n, d))
    yield "coherent", A, A.sum(axis=1) + rng.standard_normal(n)
    yield "one heavy row", *datasets.collision_attack(n, d, n_heavy=1)
    yield "eight heavy rows", *datasets.collision_attack(n, d, n_heavy=8)
    yield "aligned pairs", *datasets.aligned_pairs(n, d)


def coverage(A, b, sketch, m, draws):
    """Shares of the 90%, 95% and simultaneous intervals that cover, of failures, and z^2."""
    exact = lstsq(A, b).x
    hits = np.zeros((draws, 5))
    for seed in range(draws):
        result = lstsq(A, b, sketch_size=m, sketch=sketch, rng=seed)
        error = np.abs(result.x - exact)
        for k, options in enumerate(({"level": 0.9}, {}, {"simultaneous": True})):
            low, high = result.confidence_interval(**options)
            hit = (low <= exact) & (exact <= high)
            hits[seed, k] = hit.all() if k == 2 else hit.mean()
        hits[seed, 3] = error.max() > result.linf_bound
        with np.errstate(over="ignore"):  # a sparse sketch may see no residual at all
            hits[seed, 4] = np.mean((error / np.maximum(result.standard_error, 1e-300)) ** 2)
    return hits.mean(axis=0)


def print_small_sketches(draws):
    """Coverage of single and of simultaneous 95% intervals, a line for each number of columns."""
    print("m - d = ".rjust(8) + "".join(f"{extra:14}" for extra in EXTRA_ROWS))
    for d in FEW_COLUMNS:
        A, b = datasets.collision_attack(1000, d, n_heavy=1)
        shares = [100 * coverage(A, b, "srht", d + extra, draws)[1:3] for extra in EXTRA_ROWS]
        print(f"d = {d:4}" + "".join(f"{single:7.1f} /{every:5.1f}" for single, every in shares))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--d", type=int, default=16)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--sketch", nargs="+", default=SKETCHES, choices=SKETCHES)
    options = parser.parse_args()
    if options.small:
        print_small_sketches(options.draws)
        return
    n, d = options.n, options.d
    print(f"n = {n}, d = {d}, {options.draws} draws")
    print(f"{'data':17} {'sketch':12} {'m/n':>5} {'90%':>6} {'95%':>6} {'all':>6} {'off':>6} z^2")
    for name, A, b in instances(n, d, np.random.default_rng(0)):
        for sketch in options.sketch:
            for share in SHARES:
                single, usual, every, off, z2 = coverage(
                    A, b, sketch, round(share * n), options.draws
                )
                print(
                    f"{name:17} {sketch:12} {share:5} {100 * single:6.1f} {100 * usual:6.1f} "
                    f"{100 * every:6.1f} {100 * off:6.1f} {z2:4.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
