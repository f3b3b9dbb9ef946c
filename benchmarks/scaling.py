"""Time against size, beside the law that theory predicts, and the gain from threads.

    python -m benchmarks.scaling                    everything
    python -m benchmarks.scaling sketching threads  only these

The times go to ``docs/benchmarks/scaling.csv``, with the law at each size. When the pages are
built, ``docs/_ext/pictures.py`` draws them, beside a fixed cost of a call plus a multiple of the
law, both fitted to the points: that shows whether the time grows as it should. Times are in
milliseconds, those of "threads" relative to one thread.
"""

import argparse
import csv
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numba
import numpy as np

import randla
from randla import datasets
from randla._results import RandlaWarning

TABLE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks" / "scaling.csv"
HEADER = ["figure", "curve", "against", "size", "time", "law", "law at this size"]
_SECONDS, _MOST_ROUNDS = 0.4, 25  # time and calls spent on one point
_THREAD_ROUNDS = 5
Call = Callable[[], Any]


@dataclass(frozen=True)
class Curve:
    """Calls of one function at growing sizes of one parameter."""

    title: str
    parameter: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Call]
    law: Callable[[float], float]
    law_name: str


def tall(n: int, d: int) -> np.ndarray:
    """Normal entries, drawn once for the first 4096 rows and repeated: the values do not matter."""
    block = np.random.default_rng(0).standard_normal((min(n, 4096), d))
    return np.resize(block, (n, d))


def srht(m: int, n: int, d: int) -> Call:
    A = tall(n, d)
    return lambda: randla.SRHT(m, n, rng=0) @ A


def srht_additions(m: float) -> float:
    """For an entry of A: the transform of its block of B rows, and its share of m accumulators."""
    block = max(512.0, 2.0 ** np.ceil(np.log2(m / 2)))
    return float(np.log2(block) + m / block)


def least_squares(n: int, d: int) -> Call:
    A = np.random.default_rng(0).standard_normal((n, d))
    b = A.sum(axis=1) + np.random.default_rng(1).standard_normal(n)
    return lambda: randla.lstsq(A, b)


def lewis(n: int, d: int) -> Call:
    A = datasets.heavy_tailed_rows(n, d, rng=0)
    return lambda: randla.lewis_weights(A, 1, rtol=0.1)


def median_regression(n: int, d: int) -> Call:
    rng = np.random.default_rng(0)
    A, noise = rng.standard_normal((n, d)), rng.standard_t(3, n)
    b = A.sum(axis=1) + noise
    return lambda: randla.lp_regression(A, b, tau=0.5, rng=0)


def sliced(n: int, d: int, n_projections: int) -> Call:
    X, Y = datasets.gaussian_clouds(n, d, rng=0)
    return lambda: randla.sliced_wasserstein(X, Y, n_projections=n_projections, rng=0)


def series(n_steps: int) -> tuple[randla.StateSpaceModel, np.ndarray]:
    model = randla.StochasticVolatility(0.975, 0.16, 0.63)
    return model, model.simulate(n_steps, rng=0)[1]


def filtering(n_steps: int, n_particles: int) -> Call:
    model, y = series(n_steps)
    return lambda: randla.particle_filter(model, y, n_particles=n_particles, rng=0)


def smoothing(n_steps: int, n_particles: int) -> Call:
    model, y = series(n_steps)
    options: dict[str, Any] = {"n_iterations": 5, "n_chains": 2, "rng": 0}

    def call() -> None:
        with warnings.catch_warnings():  # too few sweeps for an estimate, enough for a time
            warnings.simplefilter("ignore", RandlaWarning)
            randla.ppg(model, y, "state", n_particles=n_particles, **options)

    return call


CURVES = {
    "sketching": [
        Curve("SRHT, d = 64, m = 256", "n", (2**12, 2**14, 2**16, 2**18, 2**20),
              lambda n: srht(256, n, 64), lambda n: n, "n"),
        Curve("SRHT, n = 2^16, m = 4 d", "d", (8, 32, 128, 512),
              lambda d: srht(4 * d, 2**16, d), lambda d: d, "d"),
        Curve("SRHT, n = 2^18, d = 64", "m", (64, 256, 1024, 4096),
              lambda m: srht(m, 2**18, 64), srht_additions, "(log2 B + m / B), additions"),
        Curve("lstsq, d = 64", "n", (2**12, 2**14, 2**16, 2**18),
              lambda n: least_squares(n, 64), lambda n: n, "n"),
        Curve("lstsq, n = 2^16", "d", (8, 32, 128, 512),
              lambda d: least_squares(2**16, d), lambda d: d**2, "d^2"),
    ],
    "sampling": [
        Curve("lewis_weights(p=1), d = 20", "n", (1000, 10_000, 100_000, 1_000_000),
              lambda n: lewis(n, 20), lambda n: n, "n"),
        Curve("lewis_weights(p=1), n = 10^5", "d", (5, 10, 20, 40, 80),
              lambda d: lewis(100_000, d), lambda d: d**2, "d^2"),
        Curve("lp_regression(tau=0.5), d = 10", "n", (1000, 10_000, 100_000, 1_000_000),
              lambda n: median_regression(n, 10), lambda n: n, "n"),
        Curve("lp_regression(tau=0.5), n = 10^5", "d", (3, 6, 12, 24),
              lambda d: median_regression(100_000, d), lambda d: d**2, "d^2"),
    ],
    "transport": [
        Curve("sliced_wasserstein, d = 3, L = 100", "n", (100, 1000, 10_000, 100_000),
              lambda n: sliced(n, 3, 100), lambda n: n * np.log(n), "n log n"),
        Curve("sliced_wasserstein, n = 10^4, L = 100", "d", (3, 10, 30, 100),
              lambda d: sliced(10_000, d, 100), lambda d: d, "d"),
        Curve("sliced_wasserstein, n = 10^4, d = 3", "L", (100, 300, 1000, 3000),
              lambda n: sliced(10_000, 3, n), lambda n: n, "L"),
    ],
    "smoothing": [
        Curve("particle_filter, T = 200", "N", (100, 1000, 10_000, 100_000),
              lambda n: filtering(200, n), lambda n: n, "N"),
        Curve("particle_filter, N = 1000", "T", (20, 100, 500, 2500),
              lambda t: filtering(t, 1000), lambda t: t, "T"),
        Curve("ppg, T = 200, 6 sweeps", "N", (50, 200, 800, 3200),
              lambda n: smoothing(200, n), lambda n: n, "N"),
        Curve("ppg, N = 100, 6 sweeps", "T", (20, 100, 500, 2500),
              lambda t: smoothing(t, 100), lambda t: t, "T"),
    ],
}  # fmt: skip

THREADED = {
    "SRHT, 2^18 x 64": lambda: srht(256, 2**18, 64),
    "lstsq, 2^18 x 64": lambda: least_squares(2**18, 64),
    "lewis_weights, 10^6 x 20": lambda: lewis(1_000_000, 20),
    "sliced_wasserstein, 10^4 x 3": lambda: sliced(10_000, 3, 300),
    "ppg, N = 800, T = 200": lambda: smoothing(200, 800),
}


def median_seconds(call: Call) -> float:
    """Median over calls after a first one, which compiles."""
    call()
    times: list[float] = []
    while len(times) < _MOST_ROUNDS and (len(times) < 3 or sum(times) < _SECONDS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return statistics.median(times)


def measure_curves(name: str) -> Iterator[list[str]]:
    for curve in CURVES[name]:
        for size in curve.sizes:
            time = f"{1e3 * median_seconds(curve.prepare(size)):.3g}"
            law = f"{curve.law(size):.6g}"
            yield [name, curve.title, curve.parameter, str(size), time, curve.law_name, law]


def measure_threads() -> Iterator[list[str]]:
    counts = range(1, numba.config.NUMBA_NUM_THREADS + 1)
    for name, prepare in THREADED.items():
        call, rounds = prepare(), []
        for _ in range(_THREAD_ROUNDS):  # in turns, so that another's load affects all alike
            rounds.append([])
            for count in counts:
                numba.set_num_threads(count)
                rounds[-1].append(median_seconds(call))
        times = np.median(rounds, axis=0)
        for count, relative in zip(counts, times / times[0], strict=True):
            yield ["threads", name, "threads", str(count), f"{relative:.3g}", "", ""]


def main(names: list[str] | None = None) -> None:
    """Measure the figures of these names anew; the others stay."""
    figures: dict[str, list[list[str]]] = {name: [] for name in (*CURVES, "threads")}
    if TABLE.exists():
        with TABLE.open(newline="") as file:
            for row in list(csv.reader(file))[1:]:
                figures[row[0]].append(row)
    for name in names or list(figures):
        figures[name] = []
        for row in measure_threads() if name == "threads" else measure_curves(name):
            print(", ".join(row), flush=True)
            figures[name].append(row)
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([HEADER, *(row for rows in figures.values() for row in rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("figures", nargs="*", choices=[*CURVES, "threads", []])
    main(parser.parse_args().figures)
