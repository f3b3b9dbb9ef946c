"""Traces and diagonals of a sparse operator: the price of their errors, and published XTrace."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from randla import diagonal, trace
from randla.spectral._traces.leave_out import Downdate, XTrace


def published_xtrace(A, m, rng):
    """XTrace by Epperly, Tropp and Webber (2024) and its error, in plain NumPy.

    The error is the spread of the terms over sqrt(m).
    """
    n = A.shape[0]
    X = rng.standard_normal((n, m))
    X *= np.sqrt(n) / np.linalg.norm(X, axis=0)
    Y = A.matmat(X)
    Q, R = np.linalg.qr(Y)
    Z = A.matmat(Q)
    S = np.linalg.inv(R).T
    S /= np.linalg.norm(S, axis=0)
    W, T, H = Q.T @ X, Z.T @ X, Q.T @ Z
    d = np.einsum("ij,ij->j", S, W)
    V = W - S * d  # coordinates of x_i on the basis without i
    residual = n - np.einsum("ij,ij->j", W, W) + d**2
    forms = (
        np.einsum("ij,ij->j", X, Y)
        - np.einsum("ij,ij->j", V, R)
        - np.einsum("ij,ij->j", T, V)
        + np.einsum("ij,ij->j", V, H @ V)
    )
    inside = np.trace(H) - np.einsum("ij,ij->j", S, H @ S)
    terms = inside + (n - m + 1) / residual * forms
    return terms.mean(), terms.std(ddof=1) / np.sqrt(m)


class Traces:
    """Two hundred products with B'B, for a sparse B of five entries a row."""

    params, param_names = [10_000, 100_000], ["n"]
    n_products = 200

    def setup(self, n):
        rng = np.random.default_rng(0)
        B = aslinearoperator(sparse.random_array((n, n), density=5 / n, format="csr", rng=rng))
        self.A = B.T @ B
        self.time_randla(n)  # compile outside of the timing

    def time_randla(self, n):
        trace(self.A, self.n_products, rng=0)

    def time_randla_psd(self, n):
        trace(self.A, self.n_products, psd=True, rng=0)

    def time_randla_diagonal(self, n):
        diagonal(self.A, self.n_products, symmetric=True, method="xdiag", rng=0)

    def time_peer_published_xtrace(self, n):
        published_xtrace(self.A, self.n_products // 2, np.random.default_rng(0))

    def time_floor_products(self, n):
        self.A.matmat(np.ones((n, self.n_products // 2)))
        self.A.matmat(np.ones((n, self.n_products // 2)))

    def time_randla_standard_error_alone(self, n):
        """Only what the error costs, which does not depend on n."""
        m, rng = self.n_products // 2, np.random.default_rng(0)
        H, W, T, R = (rng.standard_normal((m, m)) for _ in range(4))
        downdate = Downdate(np.triu(R) + m * np.eye(m), 0.0)
        XTrace(downdate, n, H, W, T, np.ones(m)).replicates()
