"""Singular values with their brackets, beside those of others, which have none.

`track_error_` methods have the largest relative error of the values.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from randla import svd


def error(s, exact):
    """The largest relative error of the leading singular values."""
    return np.abs(s / exact[: len(s)] - 1.0).max()


def decaying(m, n, rng):
    """Singular values near 1/j over noise."""
    A = rng.standard_normal((m, n)) @ (np.linalg.qr(rng.standard_normal((n, n)))[0].T
                                       / np.arange(1, n + 1)[:, None])  # fmt: skip
    return A + 1e-3 * rng.standard_normal((m, n))


class _Accuracy:
    """Errors of ours and of scikit-learn's values, and the width of our brackets."""

    def track_error(self, shape):
        return error(self.fit.s, self.exact)

    def track_width(self, shape):
        return (self.fit.s_upper / self.fit.s_lower - 1.0).max()

    def track_error_of_sklearn(self, shape):
        return error(self.peer, self.exact)


class Dense(_Accuracy):
    """Fifty values of 20,000 x 1000."""

    readme = "50 singular values, 20,000 x 1000"
    params, param_names = [[(4000, 300), (20_000, 1000)]], ["shape"]
    k = 50

    def setup(self, shape):
        self.A = decaying(*shape, np.random.default_rng(0))
        self.exact = np.sqrt(np.linalg.eigvalsh(self.A.T @ self.A)[::-1])
        self.time_randla(shape)

    def time_randla(self, shape):
        self.fit = svd(self.A, self.k, rng=0)

    def time_peer_sklearn_randomized_svd(self, shape):
        from sklearn.utils.extmath import randomized_svd

        self.peer = randomized_svd(self.A, self.k, random_state=0)[1]

    def time_peer_numpy_gram_eigh(self, shape):
        squares, V = np.linalg.eigh(self.A.T @ self.A)
        s = np.sqrt(squares[: -self.k - 1 : -1])
        return self.A @ V[:, : -self.k - 1 : -1] / s

    def time_peer_scipy_svds(self, shape):
        svds(self.A, self.k)


class Centered:
    """Principal components of a tall matrix: 20 of 200,000 x 200."""

    params, param_names = [[(20_000, 50), (200_000, 200)]], ["shape"]

    def setup(self, shape):
        self.A = decaying(*shape, np.random.default_rng(0)) + 3.0
        self.time_randla(shape)

    def time_randla(self, shape):
        svd(self.A, 20, center=True, rng=0)

    def _fit(self, solver):
        from sklearn.decomposition import PCA

        PCA(20, svd_solver=solver, random_state=0).fit(self.A)

    def time_peer_sklearn_pca_randomized(self, shape):
        self._fit("randomized")

    def time_peer_sklearn_pca_auto(self, shape):
        self._fit("auto")


class Sparse(_Accuracy):
    """Thirty values of 100,000 x 5000 with 10^6 entries and no gap; ARPACK has no bracket."""

    params, param_names = [[(10_000, 1000), (100_000, 5000)]], ["shape"]

    def setup(self, shape):
        rng = np.random.default_rng(0)
        self.A = sparse.random_array(shape, density=10.0 / shape[1], rng=rng, format="csr")
        self.time_randla(shape)

    def time_randla(self, shape):
        self.fit = svd(self.A, 30, rng=0)

    def time_peer_scipy_svds(self, shape):
        self.exact = np.sort(svds(self.A, 30)[1])[::-1]

    def time_peer_sklearn_randomized_svd(self, shape):
        from sklearn.utils.extmath import randomized_svd

        self.peer = randomized_svd(self.A, 30, random_state=0)[1]


class Dask:
    """Twenty values of a tall Dask array, of a gigabyte at the headline, in blocks of 64 MB."""

    params, param_names = [[(20_000, 500), (50_000, 2500)]], ["shape"]

    def setup(self, shape):
        try:
            import dask.array as da
        except ImportError as missing:
            raise NotImplementedError from missing
        A = decaying(*shape, np.random.default_rng(0))
        self.exact = np.sqrt(np.linalg.eigvalsh(A.T @ A)[::-1])
        self.A = da.from_array(A, chunks=(max((1 << 23) // shape[1], 1), shape[1]))
        self.time_randla(shape)
        self.time_randla_within_tol(shape)

    def time_randla(self, shape):
        """As many products with A'A as the peer: a pass for each, and one for U."""
        self.few = svd(self.A, 20, max_passes=4, rng=0)

    def time_randla_within_tol(self, shape):
        self.fit = svd(self.A, 20, rng=0)

    def time_peer_dask_svd_compressed(self, shape):
        """Two power iterations: by default there are none."""
        import dask.array as da

        u, s, vt = da.linalg.svd_compressed(self.A, 20, n_power_iter=2, seed=0)
        self.peer = da.compute(u, s, vt)[1]

    def track_error(self, shape):
        return error(self.few.s, self.exact)

    def track_error_within_tol(self, shape):
        return error(self.fit.s, self.exact)

    def track_error_of_dask(self, shape):
        return error(self.peer, self.exact)

    def track_passes(self, shape):
        return self.fit.n_passes
