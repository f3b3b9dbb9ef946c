"""Sliced Wasserstein distances in many dimensions beside their floor.

    python -m benchmarks.transport.high_dimension

prints the CPU time of one thread over that of the floor, both taken in turns, which says something
on a busy machine too. Another kernel of OpenBLAS than the processor's own makes the floor too high:
look at OPENBLAS_CORETYPE.
"""

import time
from functools import partial

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.transport.sliced import instance
from randla import sliced_wasserstein

SIZES = [(n, d, 256) for d in (50, 784, 3072) for n in (500, 3_000)]
SIZES += [(20_000, 50, 256), (20_000, 784, 64), (1_000, 3, 1_000), (10_000, 3, 100)]


class HighDimension:
    """The products of both clouds with the directions, and the sorts of half of the rows by NumPy
    on one thread: what two threads share.
    """

    params, param_names = [SIZES], ["n_d_L"]
    headline = ((3_000, 784, 256),)

    def setup(self, size):
        n, d, L = size
        self.X, self.Y, self.theta = instance(d, n, n, L)
        self.options = {"n_projections": L, "rng": 0}
        self.time_randla(size)
        self.time_randla_no_controls(size)

    def time_randla(self, size):
        return sliced_wasserstein(self.X, self.Y, **self.options)

    def time_randla_no_controls(self, size):
        return sliced_wasserstein(self.X, self.Y, control_variate=None, **self.options)

    def time_floor_products_and_half_the_sorts(self, size, share=0.5):
        for Z in (self.X, self.Y):
            rows = self.theta @ Z.T
            rows[: int(share * len(rows))].sort(axis=1)


def least_seconds(calls, rounds):
    """Least CPU time of each call in so many rounds of all of them."""
    best = np.full(len(calls), np.inf)
    for _ in range(rounds):
        for k, call in enumerate(calls):
            start = time.thread_time()
            call()
            best[k] = min(best[k], time.thread_time() - start)
    return best


def main():
    """Print a line for each size: over the floor with half of the sorts, and with all of them."""
    numba.set_num_threads(1)
    print("     n    d    L   none  auto    none  auto (all sorts)")
    with threadpool_limits(1):
        for size in SIZES:
            case = HighDimension()
            case.setup(size)
            floor = case.time_floor_products_and_half_the_sorts
            calls = [
                partial(case.time_randla_no_controls, size),
                partial(case.time_randla, size),
                partial(floor, size, 0.5),
                partial(floor, size, 1.0),
            ]
            none, auto, half, whole = least_seconds(calls, 7)
            n, d, L = size
            ratios = (
                f"{none / half:5.2f} {auto / half:5.2f}   {none / whole:5.2f} {auto / whole:5.2f}"
            )
            name = case.time_randla(size).control_variate
            print(f"{n:6d} {d:4d} {L:4d}  {ratios}  {name}", flush=True)


if __name__ == "__main__":
    main()
