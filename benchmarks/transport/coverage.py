"""Coverage, bias and variance reduction of sliced_wasserstein, family by family, design by design.

    python benchmarks/transport/coverage.py [--replicates 1000] [--projections 60 240] [--p 2]

For each instance, design and family: how often nominal 90 % and 95 % intervals cover, the bias in
per cent, and the variance of plain Monte Carlo over the mean squared error. The truth is a run that
is hundreds of times longer. One minute for a thousand replicates of one instance.
"""

import argparse

import numpy as np

from randla._results import t_quantile
from randla.transport._clouds import as_pair
from randla.transport._control_variates import FAMILIES, make_controls, needed_projections
from randla.transport._costs import ProjectedCosts
from randla.transport._directions import Directions
from randla.transport._regression import fit


def instances():
    """Name -> pair of clouds: Gaussian clouds, narrow clusters, a torus against a box, digits."""
    from tests.transport.reference import clouds

    yield "gauss3", clouds("gauss", 3, 500)
    yield "mix3", clouds("mix", 3, 500)
    yield "shapes3", clouds("shapes", 3, 500)
    yield "gauss10", clouds("gauss", 10, 500)
    yield "mix10", clouds("mix", 10, 500)
    yield "gauss50", clouds("gauss", 50, 500)
    yield "mix50", clouds("mix", 50, 500)
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return
    images, labels = load_digits(return_X_y=True)
    yield "digits64", tuple(images[labels == k][:150] for k in (3, 8))


def truth(pair, p, costs):
    """Estimate of a long run, its error, and the variance of f."""
    x, y = pair.items
    d = pair.dim
    if d == 3:
        theta = Directions("rqmc", d, 8 * 20_000, np.uint64(1)).rows(0, 160_000)
    else:
        theta = Directions("orthogonal", d, 60_000, np.uint64(1)).rows(0, 60_000 // d * d)
    columns = make_controls("full", x, y, p).evaluate(theta)
    f = costs(theta)
    long = fit(f, columns.centred, columns.sizes, block=20_000 if d == 3 else d)
    return long.estimate, long.standard_error, f.var()


def study(pair, p, L, R, kind, names, rng):
    """Rows (name, estimate, standard error, t quantiles at 90 and 95 %) for R replicates."""
    x, y = pair.items
    costs = ProjectedCosts(x, y, p)
    design = Directions(kind, pair.dim, L, rng.integers(2**64, dtype=np.uint64))
    n = design.n
    theta = design.rows(0, R * n)
    f = costs(theta).reshape(R, n)
    for name in names:
        if name == "plain":
            table, sizes = np.empty((R, n, 0)), np.empty(0)
        else:
            if n < needed_projections(name, pair.dim, p):
                continue
            columns = make_controls(name, x, y, p).evaluate(theta)
            table, sizes = columns.centred.reshape(R, n, -1), columns.sizes
        papers = name in ("lower", "upper")
        fits = [fit(f[r], table[r], sizes, block=design.block, paper=papers) for r in range(R)]
        loo = [
            fit(f[r], table[r], sizes, block=design.block, paper=papers, cross_fit=True)
            for r in range(R)
        ]
        yield name, n, fits, loo


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--projections", type=int, nargs="+", default=[60, 240])
    parser.add_argument("--designs", nargs="+", default=["iid", "orthogonal", "rqmc"])
    parser.add_argument("--families", nargs="+", default=["plain", *FAMILIES])
    parser.add_argument("--instances", nargs="+")
    parser.add_argument("--p", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print("instance  design       L family      cover 90  95   | cross-fit 90  95 | bias %     VRF")
    for name, (X, Y) in instances():
        if options.instances and name not in options.instances:
            continue
        pair = as_pair(X, Y, None, None)
        value, error, variance = truth(pair, options.p, ProjectedCosts(*pair.items, options.p))
        print(f"{name}: {value:.8g} +- {error:.1e}")
        for L in options.projections:
            for kind in options.designs:
                R = options.replicates
                for family, n, fits, loo in study(
                    pair, options.p, L, R, kind, options.families, rng
                ):
                    line = f"{name:9s} {kind:10s} {n:3d} {family:10s}"
                    for results in (fits, loo):
                        estimate = np.array([r.estimate for r in results])
                        se = np.array([r.standard_error for r in results])
                        df = np.array([r.degrees_of_freedom for r in results])
                        inside = [
                            np.mean(abs(estimate - value) <= t_quantile(level, df) * se)
                            for level in (0.90, 0.95)
                        ]
                        line += "    {:.3f} {:.3f}".format(*inside)
                        flag = "".join(
                            "*"
                            for cover, level in zip(inside, (0.90, 0.95), strict=True)
                            if cover < level - (0.04 if n < 240 else 0.02) or cover > level + 0.05
                        )
                        line += f"{flag:2s}"
                    estimate = np.array([r.estimate for r in fits])
                    bias = 100 * (estimate.mean() / value - 1)
                    reduction = variance / n / np.mean((estimate - value) ** 2)
                    print(f"{line} {bias:8.3f} {reduction:9.3g}", flush=True)


if __name__ == "__main__":
    main()
