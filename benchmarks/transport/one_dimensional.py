"""Exact distances on the line, many rows at a time."""

import numpy as np

from randla.transport import wasserstein_1d


class Rows:
    """Equal sizes."""

    params, param_names = [[(100, 1_000), (10, 100_000)]], ["rows_n"]

    def setup(self, size):
        rng = np.random.default_rng(0)
        self.x, self.y = rng.standard_normal((2, *size))
        self.columns = np.ascontiguousarray(self.x.T), np.ascontiguousarray(self.y.T)
        self.time_randla(size)

    def time_randla(self, size):
        wasserstein_1d(self.x, self.y)

    def time_peer_pot(self, size):
        from ot import wasserstein_1d as pot

        pot(*self.columns, p=2)

    def time_peer_numpy(self, size):
        gap = np.sort(self.x, axis=1) - np.sort(self.y, axis=1)
        np.sqrt((gap * gap).mean(axis=1))


class OneWeightedPair:
    """Weights and sizes that differ."""

    params, param_names = [[1_000, 100_000]], ["n"]

    def setup(self, n):
        rng = np.random.default_rng(0)
        self.x, self.y = rng.standard_normal(n), rng.standard_normal(n - n // 10)
        a, b = rng.random(n), rng.random(n - n // 10)
        self.a, self.b = a / a.sum(), b / b.sum()
        self.time_randla(n)

    def time_randla(self, n):
        wasserstein_1d(self.x, self.y, self.a, self.b, p=1)

    def time_peer_pot(self, n):
        from ot import emd2_1d

        emd2_1d(self.x, self.y, self.a, self.b, metric="minkowski", p=1)

    def time_peer_scipy(self, n):
        from scipy.stats import wasserstein_distance

        wasserstein_distance(self.x, self.y, self.a, self.b)
