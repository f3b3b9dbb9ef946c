"""Log-determinants of covariance matrices beside dense Cholesky."""

import numpy as np
from scipy.linalg import cholesky

from randla import logdet


class LogDeterminant:
    """A Gaussian process in the plane, of low effective rank, to less than 0.5."""

    readme = "log-determinant of a covariance of 4000 points"
    params, param_names = [[1500, 4000, 10_000], [0.1, 1e-3]], ["n", "noise"]
    headline = 4000, 0.1

    def setup(self, n, noise):
        X = np.random.default_rng(0).random((n, 2))
        squares = (X * X).sum(axis=1)
        A = -2.0 * X @ X.T
        A += squares
        A += squares[:, None]
        A *= -0.5 / 0.2**2
        np.exp(np.minimum(A, 0.0, out=A), out=A)
        A[np.diag_indices(n)] += noise
        self.A = A
        self.time_randla(n, noise)

    def time_randla(self, n, noise):
        return logdet(self.A, lower=noise, rng=0)

    def time_peer_scipy_cholesky(self, n, noise):
        L = cholesky(self.A, lower=True, check_finite=False)
        return 2.0 * np.log(L.diagonal()).sum()

    def time_floor_one_product(self, n, noise):
        return self.A @ np.ones((n, 16))

    def track_half_width(self, n, noise):
        low, high = self.time_randla(n, noise).confidence_interval()
        return 0.5 * (high - low)

    def track_error(self, n, noise):
        return abs(self.time_randla(n, noise).value - self.time_peer_scipy_cholesky(n, noise))
