"""Low-rank factors of kernel matrices beside the published method in NumPy and scikit-learn."""

import numpy as np
from scipy.linalg import solve_triangular

from randla import pivoted_cholesky


def accelerated_in_numpy(X, k, length_scale, rng, n_proposals=120):
    """Algorithm of Epperly, Tropp and Webber, arXiv:2410.03969, as plainly as it reads."""
    squares = (X * X).sum(axis=1)

    def entries(rows, columns):
        distances = squares[rows, None] + squares[columns] - 2.0 * (X[rows] @ X[columns].T)
        return np.exp(-np.maximum(distances, 0.0) / (2.0 * length_scale**2))

    every, d, F, j = np.arange(len(X)), np.ones(len(X)), np.zeros((len(X), k)), 0
    while j < k:
        P = rng.choice(len(X), size=n_proposals, p=d / d.sum())
        C = entries(P, P) - F[P, :j] @ F[P, :j].T
        start, L, accepted = np.diag(C).copy(), np.zeros_like(C), []
        for a in range(n_proposals):
            if C[a, a] > 1e-12 * start[a] and rng.random() * start[a] < C[a, a]:
                column = C[:, a] / np.sqrt(C[a, a])
                L[:, len(accepted)] = column
                accepted.append(a)
                C -= np.outer(column, column)
        accepted = accepted[: k - j]
        S, s = P[accepted], len(accepted)
        G = entries(every, S) - F[:, :j] @ F[S, :j].T
        F[:, j : j + s] = solve_triangular(np.tril(L[accepted, :s]), G.T, lower=True).T
        d = np.maximum(d - (F[:, j : j + s] ** 2).sum(axis=1), 0.0)
        d[S] = 0.0
        j += s
    return F, d


class GaussianKernel:
    """Of normal points in ten dimensions, length scale 3."""

    readme = "1000 columns of a kernel, 10^5 points"
    params, param_names = [[(10_000, 300), (100_000, 300), (100_000, 1000)]], ["n, k"]
    headline = ((100_000, 1000),)

    def setup(self, size):
        self.X = np.random.default_rng(0).standard_normal((size[0], 10))
        self.time_randla((1000, 10))

    def time_randla(self, size):
        pivoted_cholesky(self.X, size[1], kernel="gaussian", length_scale=3.0, rng=0)

    def time_peer_numpy_rpcholesky(self, size):
        accelerated_in_numpy(self.X, size[1], 3.0, np.random.default_rng(0))

    def time_peer_sklearn_nystroem(self, size):
        from sklearn.kernel_approximation import Nystroem

        features = Nystroem(gamma=0.5 / 9.0, n_components=size[1], random_state=0)
        self.missing = 1.0 - np.sum(features.fit_transform(self.X) ** 2) / size[0]

    def track_trace_error_over_that_of_nystroem(self, size):
        fit = pivoted_cholesky(self.X, size[1], kernel="gaussian", length_scale=3.0, rng=0)
        return fit.trace_error / fit.trace / self.missing


class ClusterAndOutliers(GaussianKernel):
    """A small cluster, and as many points far from it as half of the columns."""

    params, param_names = [[(10_000, 300)]], ["n, k"]
    headline = ((10_000, 300),)

    def setup(self, size):
        rng = np.random.default_rng(0)
        self.X = 0.3 * rng.standard_normal((size[0], 10))
        self.X[: size[1] // 2] = 300.0 * rng.standard_normal((size[1] // 2, 10))
        self.time_randla((1000, 10))
