"""Gradients, flows and matrices beside what one would write in NumPy."""

import numpy as np

from randla.transport import (
    max_sliced_wasserstein,
    sliced_wasserstein,
    sliced_wasserstein_flow,
    sliced_wasserstein_gradient,
    sliced_wasserstein_matrix,
)
from randla.transport._directions.designs import Directions


class Gradient:
    """Two clouds of 2048 points, as in point cloud flows."""

    params, param_names = [[3, 50]], ["d"]
    headline = (3,)

    def setup(self, d):
        rng = np.random.default_rng(0)
        self.X, self.Y = rng.standard_normal((2048, d)), rng.random((2048, d))
        self.theta = Directions("orthogonal", d, 400, np.uint64(1)).rows(0, 400)
        self.time_randla(d)

    def time_randla(self, d):
        sliced_wasserstein_gradient(self.X, self.Y, directions=self.theta)

    def time_peer_numpy_argsort(self, d):
        U, V = self.theta @ self.X.T, self.theta @ self.Y.T
        order = np.argsort(U, axis=1)
        V.sort(axis=1)
        R = np.empty_like(U)
        np.put_along_axis(R, order, np.take_along_axis(U, order, axis=1) - V, axis=1)
        2.0 / U.size * R.T @ self.theta

    def time_floor_the_distance(self, d):
        sliced_wasserstein(self.X, self.Y, directions=self.theta)


class Flow:
    """Ten steps of 2048 points, 64 directions each."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.X, self.Y = rng.standard_normal((2048, 3)), rng.random((2048, 3))
        self.time_randla()

    def time_randla(self):
        sliced_wasserstein_flow(self.X, self.Y, n_steps=10, rng=0)

    def time_peer_numpy_argsort(self):
        X, rng = self.X.copy(), np.random.default_rng(0)
        for _ in range(10):
            theta = np.linalg.qr(rng.standard_normal((22, 3, 3)))[0].reshape(-1, 3)
            U, V = theta @ X.T, theta @ self.Y.T
            order = np.argsort(U, axis=1)
            V.sort(axis=1)
            R = np.empty_like(U)
            np.put_along_axis(R, order, V - np.take_along_axis(U, order, axis=1), axis=1)
            X += R.T @ theta / 22


class Matrix:
    """All pairs of 20 clouds of 500 points, 200 directions."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.clouds = [rng.standard_normal((500, 10)) + rng.standard_normal(10) for _ in range(20)]
        self.theta = Directions("iid", 10, 200, np.uint64(1)).rows(0, 200)
        self.time_randla()

    def time_randla(self):
        sliced_wasserstein_matrix(self.clouds, directions=self.theta)

    def time_randla_pair_by_pair(self):
        for i in range(20):
            for j in range(i):
                sliced_wasserstein(self.clouds[i], self.clouds[j], directions=self.theta)

    def time_peer_numpy(self):
        rows = [np.sort(self.theta @ X.T, axis=1) for X in self.clouds]
        for i in range(20):
            for j in range(i):
                gap = rows[i] - rows[j]
                np.einsum("ln,ln->l", gap, gap)


class Maximum:
    """Fourteen ascents, beside the best of as many random directions as take the same time."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.X, self.Y = rng.standard_normal((1000, 20)), rng.standard_normal((1000, 20))
        self.Y[:, 3] *= 2.0
        self.time_randla()

    def time_randla(self):
        return max_sliced_wasserstein(self.X, self.Y, rng=0)
