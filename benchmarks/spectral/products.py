"""Products with the Gram matrix beside SciPy and NumPy, and eigenvalues beside ARPACK."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh

from randla import eigh
from randla.spectral._matrix import open_matrix


class SparseGramTimes:
    """Of 10^6 entries in 100,000 rows of 5000 columns."""

    params, param_names = [1, 8, 40], ["s"]

    def setup(self, s):
        rng = np.random.default_rng(0)
        self.A = sparse.random_array((100_000, 5000), density=2e-3, rng=rng, format="csr")
        self.X, self.matrix = rng.standard_normal((5000, s)), open_matrix(self.A)
        self.time_randla(s)  # compile outside of the timing

    def time_randla(self, s):
        self.matrix.gram_times(self.X)

    def time_peer_scipy(self, s):
        self.A.T @ (self.A @ self.X)


class CenteredGram:
    """The pilot-centered Gram matrix of 200,000 x 200; the peer's loses all digits to an offset."""

    def setup(self):
        self.A = np.random.default_rng(0).standard_normal((200_000, 200)) + 3.0

    def time_randla(self):
        open_matrix(self.A, center=True).gram()

    def time_peer_numpy(self):
        mean = self.A.mean(axis=0)
        self.A.T @ self.A - len(self.A) * np.outer(mean, mean)


class Eigh:
    """Ten eigenvalues of a sparse matrix without a gap; the peer has no brackets."""

    def setup(self):
        A = sparse.random_array((20_000, 20_000), density=2e-4, rng=np.random.default_rng(0))
        self.A = (A + A.T).tocsr()
        self.time_randla()

    def time_randla(self):
        eigh(self.A, 10, rng=0)

    def time_peer_scipy_eigsh(self):
        eigsh(self.A, 10)
