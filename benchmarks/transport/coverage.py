"""How often the intervals of `sliced_wasserstein` hold the truth.

    python -m benchmarks.transport.coverage > coverage.csv
    python -m benchmarks.transport.coverage --table coverage.csv

The first command prints a line for each pair of clouds, power, design, number of projections and
family of controls: the shares of intervals of each nominal level that cover, in per cent. The truth
is a run that is hundreds of times longer. Shares that are close to the allowed limits (or beyond)
are counted again on more replicates with other random numbers, which then stand for the first ones.
The second command makes the table of the documentation, and lists what is beyond the limits. All of
it takes two hours of one core; options restrict it.
"""

import argparse
import csv
import sys

import numpy as np

from randla import datasets, sliced_wasserstein
from randla._results import t_of_tail
from randla.transport._clouds import as_pair
from randla.transport._controls.control_variates import FAMILIES, make_controls, needed_projections
from randla.transport._controls.regression import fit
from randla.transport._directions.designs import Directions
from randla.transport._projections.costs import ProjectedCosts

LEVELS = (0.90, 0.95, 0.99)
FIELDS = ("instance", "p", "design", "projections", "family", "replicates", "auto", *LEVELS)
_CHUNK_NUMBERS = 1 << 22  # coordinates of directions held at a time


def instances():
    """Name -> function that makes (X, Y, a, b)."""
    from tests.transport.reference import clouds

    def pair(kind, d, n=500, m=500):
        X, Y = clouds(kind, d, max(n, m))
        return X[:n], Y[:m], None, None

    def heavy():
        rng = np.random.default_rng(3)
        return rng.standard_t(3, (500, 5)), 1.5 * rng.standard_t(3, (500, 5)) + 0.3, None, None

    def weighted():
        rng = np.random.default_rng(4)
        return (*pair("gauss", 5)[:2], rng.exponential(size=500), rng.exponential(size=500))

    def digits(first, second):
        images, labels = datasets.digits()
        return images[labels == first][:150], images[labels == second][:150], None, None

    table = {f"gauss{d}": lambda d=d: pair("gauss", d) for d in (2, 3, 10, 20, 50, 100)}
    table |= {f"mix{d}": lambda d=d: pair("mix", d) for d in (3, 10, 50)}
    table |= {
        "shapes3": lambda: pair("shapes", 3),
        "heavy5": heavy,
        "weighted5": weighted,
        "unequal10": lambda: pair("gauss", 10, 500, 350),
    }
    pairs = (3, 8), (1, 7), (2, 6), (0, 6)
    return table | {f"digits{i}{j}": lambda i=i, j=j: digits(i, j) for i, j in pairs}


def truth(pair, p, costs):
    """Estimate of a long run."""
    x, y = pair.items
    d = pair.dim
    kind, n = ("rqmc", 160_000) if d <= 3 else ("orthogonal", 200_000 // d * d)
    design = Directions(kind, d, n, np.uint64(1))
    theta = design.rows(0, design.n)
    variances = np.empty((2, len(theta)))
    f = costs(theta, variances)
    columns = make_controls("full", x, y, p).evaluate(theta, variances)
    return fit(f, columns.centered, columns.sizes, block=design.block).estimate


def coverage(pair, p, costs, value, design, families, R, cross_fit):
    """Shares of intervals that cover (one for each level), for each family."""
    x, y = pair.items
    n, controls = design.n, {}
    for name in families:
        if name == "none" or n >= needed_projections(name, pair.dim, p):
            controls[name] = None if name == "none" else make_controls(name, x, y, p)
    fits = {name: [] for name in controls}
    step = max(_CHUNK_NUMBERS // (n * pair.dim), 1)
    for first in range(0, R, step):
        last = min(first + step, R)
        theta = design.rows(first * n, last * n)
        variances = np.empty((2, len(theta)))
        f = costs(theta, variances).reshape(-1, n)
        for name, family in controls.items():
            table, sizes = np.empty((last - first, n, 0)), np.empty(0)
            if family is not None:
                columns = family.evaluate(theta, variances)
                table, sizes = columns.centered.reshape(last - first, n, -1), columns.sizes
            how = {"block": design.block, "family": name}
            fits[name] += [
                fit(values, rows, sizes, cross_fit=cross_fit, **how)
                for values, rows in zip(f, table, strict=True)
            ]
    shares = {}
    for name, results in fits.items():
        error = np.array([abs(r.estimate - value) / r.standard_error for r in results])
        freedom = np.array([r.degrees_of_freedom for r in results])
        inside = [error <= t_of_tail(0.5 - 0.5 * level, freedom) for level in LEVELS]
        shares[name] = 100.0 * np.mean(inside, axis=1)
    return shares


def limits(L):
    """How many points an interval may fall short, and how many it may be over."""
    return (4.0 if L < 240 else 2.0), 5.0


def is_close(shares, L, R):
    """Whether a share is beyond a limit, or nearer to it than a standard error."""
    short, over = limits(L)
    for share, level in zip(shares, LEVELS, strict=True):
        noise = 100.0 * np.sqrt(level * (1.0 - level) / R)
        off = share - 100.0 * level
        if off < -short + noise or off > over - noise:
            return True
    return False


def study(name, make, options, write):
    """Write a line for each setting of one pair of clouds."""
    X, Y, a, b = make()
    pair = as_pair(X, Y, a, b)
    key = np.random.default_rng([options.seed, pair.dim])
    for p in options.p:
        costs = ProjectedCosts(*pair.items, p)
        value = truth(pair, p, costs)
        for L in options.projections:
            for kind in options.designs:
                auto = sliced_wasserstein(X, Y, a, b, p=p, n_projections=L, directions=kind, rng=0)
                families = options.families
                for R in (options.replicates, options.recheck):
                    design = Directions(kind, pair.dim, L, key.integers(2**64, dtype=np.uint64))
                    shares = coverage(pair, p, costs, value, design, families, R, options.cross_fit)
                    families = []
                    for family, share in shares.items():
                        if R != options.recheck and is_close(share, L, R):
                            families.append(family)
                            continue
                        chosen = family == (auto.control_variate or "none")
                        rounded = [round(float(s), 1) for s in share]
                        write([name, p, kind, L, family, R, int(chosen), *rounded])
                    if not families:
                        break


def read(paths):
    """Lines of earlier runs, by setting: later ones stand for earlier ones."""
    rows = {}
    for path in paths:
        with open(path) as file:
            for row in csv.DictReader(file):
                rows[tuple(row[k] for k in FIELDS[:5])] = row
    return list(rows.values())


def print_table(rows, p):
    """Lowest and highest share of each family, and what is beyond the limits."""
    sizes = sorted({int(row["projections"]) for row in rows})
    columns = [(L, level) for L in sizes for level in LEVELS]
    rule = "=" * 9 + "  ==========" * len(columns)
    heads = "L" + " " * 8 + "".join(f"  {L:<10d}" for L, _ in columns)
    levels = "nominal  " + "".join(f"  {100 * level:<10g}" for _, level in columns)
    print(f"\np = {p:g}\n", rule, heads.rstrip(), levels.rstrip(), rule, sep="\n")
    for family in dict.fromkeys(row["family"] for row in rows):
        line = f"{family:9s}"
        for L, level in columns:
            shares = [
                float(row[str(level)])
                for row in rows
                if (row["family"], row["projections"]) == (family, str(L))
            ]
            span = f"{min(shares):.1f}-{max(shares):.1f}" if shares else "--"
            line += f"  {span:<10s}"
        print(line.rstrip())
    print(rule)
    for row in rows:
        short, over = limits(int(row["projections"]))
        for level in LEVELS[:2]:
            off = float(row[str(level)]) - 100.0 * level
            if off < -short or off > over:
                chosen = " (the choice of auto)" if row["auto"] == "1" else ""
                setting = " ".join(row[k] for k in FIELDS[:5])
                print(f"beyond: {setting}: {row[str(level)]} at {100 * level:g} %{chosen}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--recheck", type=int, default=1500, help="replicates near a limit")
    parser.add_argument("--projections", type=int, nargs="+", default=[20, 30, 40, 60, 240, 1000])
    parser.add_argument("--designs", nargs="+", default=["iid", "orthogonal", "rqmc"])
    parser.add_argument("--families", nargs="+", default=["none", *FAMILIES])
    parser.add_argument("--instances", nargs="+", default=list(instances()))
    parser.add_argument("--p", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--cross-fit", action="store_const", const=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--table", nargs="+", metavar="CSV", help="make tables of earlier output")
    options = parser.parse_args()
    if options.table:
        rows = read(options.table)
        for p in sorted({row["p"] for row in rows}, key=float):
            print_table([row for row in rows if row["p"] == p], float(p))
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(FIELDS)

    def write(row):
        writer.writerow(row)
        sys.stdout.flush()

    for name in options.instances:
        study(name, instances()[name], options, write)


if __name__ == "__main__":
    main()
