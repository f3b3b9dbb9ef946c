"""Sketches beside SciPy's CountSketch, the Gram matrix and one read of the matrix."""

import numpy as np
from scipy import sparse
from scipy.linalg import clarkson_woodruff_transform, hadamard

from randla import (
    SRHT,
    BlockSRHT,
    CountSketch,
    GaussianSketch,
    KroneckerProduct,
    KroneckerSRHT,
    SparseSignSketch,
    fwht,
)


class Srht:
    """Drawn and applied: four rows of the sketch for each column."""

    params, param_names = [(2**14, 2**18), (64, 200)], ["n", "d"]
    headline = (2**18, 64)

    def setup(self, n, d):
        rng = np.random.default_rng(0)
        self.A, self.b, self.m = rng.standard_normal((n, d)), rng.standard_normal(n), 4 * d
        self.fortran, self.single = np.asfortranarray(self.A), self.A.astype(np.float32)
        self.time_randla(n, d)  # compiles
        self.time_randla_fortran(n, d)
        self.time_randla_float32(n, d)

    def time_randla(self, n, d):
        SRHT(self.m, n, rng=0) @ self.A

    def time_randla_with_right_hand_side(self, n, d):
        SRHT(self.m, n, rng=0)._sketch(self.A, self.b)

    def time_randla_block(self, n, d):
        BlockSRHT(self.m, n, rng=0) @ self.A

    def time_randla_fortran(self, n, d):
        SRHT(self.m, n, rng=0) @ self.fortran

    def time_randla_float32(self, n, d):
        SRHT(self.m, n, rng=0) @ self.single

    def time_peer_scipy_countsketch(self, n, d):
        clarkson_woodruff_transform(self.A, self.m, rng=0)

    def time_compare_numpy_gram(self, n, d):
        self.A.T @ self.A

    def time_floor_one_read(self, n, d):
        self.A.sum()


class Adjoint:
    """S.T @ Y; the floor writes an array of that size."""

    params, param_names = [(2**14, 2**18), (64,)], ["n", "d"]

    def setup(self, n, d):
        self.S, self.Y = SRHT(4 * d, n, rng=0), np.ones((4 * d, d))
        self.time_randla(n, d)

    def time_randla(self, n, d):
        self.S.T @ self.Y

    def time_floor_one_write(self, n, d):
        np.full((n, d), 1.0)


class Countsketch:
    params, param_names = [(2**14, 2**18), (64, 200)], ["n", "d"]
    headline = (2**18, 64)

    def setup(self, n, d):
        self.A, self.m = np.random.default_rng(0).standard_normal((n, d)), 4 * d
        self.time_randla(n, d)

    def time_randla(self, n, d):
        CountSketch(self.m, n, rng=0) @ self.A

    def time_peer_scipy_countsketch(self, n, d):
        clarkson_woodruff_transform(self.A, self.m, rng=0)

    def time_floor_one_read(self, n, d):
        self.A.sum()


class SparseSigns:
    """Eight signs a column, of a dense matrix."""

    params, param_names = [(2**14, 2**18), (64, 200)], ["n", "d"]
    headline = (2**18, 64)

    def setup(self, n, d):
        self.A, self.m = np.random.default_rng(0).standard_normal((n, d)), 4 * d
        rows = np.argsort(np.random.default_rng(1).random((n, 32)), axis=1)[:, :8] * (self.m // 32)
        signs = np.random.default_rng(2).choice((-1.0, 1.0), 8 * n) / np.sqrt(8)
        places = rows.ravel(), np.repeat(np.arange(n), 8)
        self.S = sparse.csr_array((signs, places), shape=(self.m, n))
        self.time_randla(n, d)

    def time_randla(self, n, d):
        SparseSignSketch(self.m, n, rng=0) @ self.A

    def time_peer_scipy_sparse_product(self, n, d):
        self.S @ self.A

    def time_randla_srht(self, n, d):
        SRHT(self.m, n, rng=0) @ self.A

    def time_floor_one_read(self, n, d):
        self.A.sum()


class SparseOperand:
    """CountSketch of a CSR matrix with a twentieth of its entries stored."""

    params, param_names = [(2**14, 2**18), (200,)], ["n", "d"]

    def setup(self, n, d):
        rng = np.random.default_rng(0)
        self.A = sparse.random_array((n, d), density=0.05, rng=rng, format="csr")
        self.m = 4 * d
        self.time_randla(n, d)
        self.time_randla_srht(n, d)

    def time_randla(self, n, d):
        CountSketch(self.m, n, rng=0) @ self.A

    def time_randla_srht(self, n, d):
        SRHT(self.m, n, rng=0) @ self.A

    def time_peer_scipy_countsketch(self, n, d):
        clarkson_woodruff_transform(self.A, self.m, rng=0)

    def time_floor_one_read(self, n, d):
        self.A.data.sum()


class Gaussian:
    params, param_names = [(2**12, 2**15), (32,)], ["n", "d"]

    def setup(self, n, d):
        rng = np.random.default_rng(0)
        self.A, self.m = rng.standard_normal((n, d)), 4 * d
        self.time_randla(n, d)

    def time_randla(self, n, d):
        GaussianSketch(self.m, n, rng=0) @ self.A

    def time_peer_numpy_whole_matrix(self, n, d):
        np.random.default_rng(0).standard_normal((self.m, n)) @ self.A

    def time_floor_one_read(self, n, d):
        self.A.sum()


class Kronecker:
    """A product of n^2 rows that is not formed; the peer forms it."""

    params, param_names = [(64, 512), (8,)], ["n", "d"]

    def setup(self, n, d):
        rng = np.random.default_rng(0)
        self.A1, self.A2 = rng.standard_normal((n, d)), rng.standard_normal((n, d))
        self.time_randla(n, d)

    def time_randla(self, n, d):
        KroneckerSRHT(4 * d * d, (n, n), rng=0) @ KroneckerProduct(self.A1, self.A2)

    def time_randla_srht_of_the_formed_product(self, n, d):
        SRHT(min(4 * d * d, n * n), n * n, rng=0) @ np.kron(self.A1, self.A2)


class Fwht:
    """Along the first axis of an array in C order."""

    params, param_names = [(2**10, 2**16), (64,)], ["n", "d"]

    def setup(self, n, d):
        self.X = np.random.default_rng(0).standard_normal((n, d))
        self.time_randla(n, d)

    def time_randla(self, n, d):
        fwht(self.X)

    def time_randla_last_axis(self, n, d):
        fwht(self.X.T, axis=1)

    def time_peer_dense_matrix(self, n, d):
        if n > 2**12:
            raise NotImplementedError
        hadamard(n, dtype=float) @ self.X

    def time_floor_one_copy(self, n, d):
        self.X.copy()
