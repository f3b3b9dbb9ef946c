"""Does `sketch_size` keep its promise? Failure rates on hard instances, as a table.

    python benchmarks/sketching/calibration.py [--draws 400] [--d 32] [--n 4096] [--sketch SRHT ...]

For each instance, sketch, eps and delta: m from `sketch_size`, the share of draws in which some
coefficient is off by more than eps/sqrt(d) |r| sqrt(G_jj), which must be at most delta, and the
0.9 quantile of the worst error over that bound. Two minutes with the defaults.
"""

import argparse

import numpy as np

from randla import SRHT, BlockSRHT, CountSketch, GaussianSketch, SparseSignSketch, sketch_size

SKETCHES = {
    "SRHT": SRHT,
    "BlockSRHT": BlockSRHT,
    "GaussianSketch": GaussianSketch,
    "SparseSign 8": SparseSignSketch,
    "CountSketch": CountSketch,
}


def instances(n, d, rng):
    """Name -> (A, b): benign, coherent with a spread residual, one heavy row, equal leverages."""
    A = rng.standard_normal((n, d))
    yield "incoherent", A, A.sum(1) + rng.standard_normal(n)
    A = rng.standard_t(2, (n, d)) * np.logspace(0, 3, d)
    yield "heavy tails, scales", A, A @ np.ones(d) + rng.standard_t(3, n)
    b = rng.standard_normal(n)
    yield "coherent", np.eye(n, d), b
    for k in (1, 8):
        b = np.zeros(n)
        b[d : d + k] = 1.0
        yield f"[I; 0], {k} heavy", np.eye(n, d), b
    b = np.zeros(n)
    b[rng.choice(n, 8, replace=False)] = 1.0
    yield "stacked identities", np.tile(np.eye(d), (n // d, 1)), b


def excesses(make, m, A, b, draws, eps):
    """Worst error of a coefficient over its bound, for each draw."""
    d = A.shape[1]
    Q, R = np.linalg.qr(A)
    inverse = np.linalg.inv(R)
    x = inverse @ (Q.T @ b)
    bound = eps / np.sqrt(d) * np.linalg.norm(b - A @ x) * np.sqrt((inverse**2).sum(1))
    out = []
    for seed in range(draws):
        SA, Sb = make(m, len(A), rng=seed)._sketch(A, b)
        y = np.linalg.lstsq(SA, Sb, rcond=None)[0]
        out.append((np.abs(y - x) / bound).max())
    return np.array(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--d", type=int, default=32)
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--sketch", nargs="+", default=list(SKETCHES), choices=list(SKETCHES))
    options = parser.parse_args()
    n, d = options.n // options.d * options.d, options.d
    print(f"n = {n}, d = {d}, {options.draws} draws; failures must be at most delta")
    print(
        f"{'instance':20} {'sketch':15} {'eps':>4} {'delta':>6} {'m':>6} {'failures':>9} {'q90':>6}"
    )
    for name, A, b in instances(n, d, np.random.default_rng(0)):
        for kind, make in ((kind, SKETCHES[kind]) for kind in options.sketch):
            for eps, delta in ((1.0, 0.05), (1.0, 0.2), (0.5, 0.05)):
                m = sketch_size(d, eps=eps, delta=delta, n=n if kind == "SRHT" else None)
                excess = excesses(make, m, A, b, options.draws, eps)
                print(
                    f"{name:20} {kind:15} {eps:4} {delta:6} {m:6} {np.mean(excess > 1):9.3f} "
                    f"{np.quantile(excess, 0.9):6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
