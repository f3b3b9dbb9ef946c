"""Coverage of the intervals of `lstsq` from one sketch, for `python -m benchmarks.calibration`."""

import numpy as np

from benchmarks.calibration import LEVELS, Study, shares
from benchmarks.regression.intervals import instances
from randla import KroneckerProduct, lstsq

N, D = 4096, 16
SKETCHES = "srht", "block-srht", "gaussian", "sparse-sign"


def coverage(A, b, sketch_size, sketch="auto", simultaneous=False, **options):
    """Function of a number of draws for a `Study`."""

    def cover(draws):
        exact = lstsq(A, b, **options).x
        results = (
            lstsq(A, b, sketch_size=sketch_size, sketch=sketch, rng=seed, **options)
            for seed in range(draws)
        )
        if simultaneous:
            return [all_held(result, exact) for result in results]
        return [shares(result, exact) for result in results]

    return cover


def all_held(result, exact):
    """Whether the simultaneous intervals hold all coefficients."""
    intervals = [result.confidence_interval(level, simultaneous=True) for level in LEVELS]
    return [np.all((low <= exact) & (exact <= high)) for low, high in intervals]


def deficient(n, rng):
    """A matrix of eight columns and rank six."""
    B = rng.standard_normal((n, 6))
    return np.c_[B, B[:, 0] + B[:, 1], B[:, 2]]


def studies():
    rng = np.random.default_rng(0)
    for data, A, b in instances(N, D, rng):
        for sketch in SKETCHES:
            for share in (0.02,) if sketch == "gaussian" else (0.02, 0.25):
                m = round(share * N)
                name = f"{data}, m/n = {share}"
                yield Study(f"lstsq, {sketch}", name, 4000, coverage(A, b, m, sketch))
        for simultaneous_at in (0.02, 0.25):
            m = round(simultaneous_at * N)
            yield Study(
                "lstsq, srht, simultaneous",
                f"{data}, m/n = {simultaneous_at}",
                4000,
                coverage(A, b, m, "srht", simultaneous=True),
            )
    A = rng.standard_normal((N, D))
    b = A.sum(axis=1) + rng.standard_normal(N)
    weights = rng.exponential(size=N)
    heavy = rng.standard_t(2, (N, D)), rng.standard_t(2, N)
    yield Study("lstsq, small sample", "three rows more than columns", 4000, coverage(A, b, D + 3))
    yield Study("lstsq, weights", "exponential weights", 4000, coverage(A, b, 200, weights=weights))
    yield Study(
        "lstsq, weights", "heavy tails", 4000, coverage(*heavy, sketch_size=200, weights=weights)
    )
    for ridge in (1.0, 1e3):
        yield Study("lstsq, ridge", f"ridge = {ridge:g}", 4000, coverage(A, b, 200, ridge=ridge))
    yield Study("lstsq, rank deficient", "rank 6 of 8", 4000, coverage(deficient(N, rng), b, 200))
    factors = rng.standard_normal((60, 4)), rng.standard_normal((50, 3))
    for name, noise in (
        ("normal", rng.standard_normal(3000)),
        ("cubes of normals", rng.standard_normal(3000) ** 3),
        ("Student t, 2 degrees", rng.standard_t(2, 3000)),
    ):
        for m in (100, 600):
            cover = coverage(KroneckerProduct(*factors), noise, m)
            yield Study("lstsq, Kronecker product", f"{name}, m = {m}", 4000, cover)
