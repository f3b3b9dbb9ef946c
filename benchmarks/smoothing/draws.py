"""Binomial counts for users' models, against those of Numba."""

import numba
import numpy as np

from randla import random
from randla._random import new_stream


@numba.njit
def ours(rng, n, p, out):
    for i in range(out.size):
        out[i] = random.binomial(rng, n, p)


@numba.njit
def numbas(n, p, out):
    for i in range(out.size):
        out[i] = np.random.binomial(n, p)  # noqa: NPY002


class Binomial:
    params, param_names = [(20, 1000, 10**6), (0.01, 0.4)], ["n", "p"]
    headline = (1000, 0.4)

    def setup(self, n, p):
        self.stream, self.out = new_stream(np.uint64(1)), np.empty(10_000)
        self.time_randla(n, p)
        self.time_peer_numba(n, p)

    def time_randla(self, n, p):
        ours(self.stream, n, p, self.out)

    def time_peer_numba(self, n, p):
        numbas(n, p, self.out)
