"""Scores of rows beside LAPACK and HiGHS."""

import numpy as np
from scipy.linalg import qr
from scipy.optimize import linprog

from randla.datasets import heavy_tailed_rows, ill_conditioned
from randla.sampling import (
    leverage_scores,
    lewis_weights,
    lp_sensitivities,
    max_sensitivity,
    sample_rows,
    total_sensitivity,
)


class LeverageScores:
    """One Gram matrix at condition 1, two at condition 1e6."""

    readme = "leverage scores of 10^5 x 20"
    params, param_names = (
        [[(10_000, 10), (100_000, 20), (50_000, 100)], [1.0, 1e6]],
        ["shape", "condition"],
    )
    headline = (100_000, 20), 1.0

    def setup(self, shape, condition):
        self.A = ill_conditioned(*shape, condition=condition, rng=0)[0]
        self.time_randla(shape, condition)

    def time_randla(self, shape, condition):
        leverage_scores(self.A)

    def time_peer_numpy_qr(self, shape, condition):
        Q = np.linalg.qr(self.A)[0]
        np.einsum("ij,ij->i", Q, Q)

    def time_peer_scipy_qr(self, shape, condition):
        Q = qr(self.A, mode="economic", check_finite=False)[0]
        np.einsum("ij,ij->i", Q, Q)

    def time_floor_two_products(self, shape, condition):
        R = self.A.T @ self.A
        self.A @ R

    def track_error_estimate(self, shape, condition):
        return leverage_scores(self.A).residual


class TwoGramMatrices(LeverageScores):
    """The same where the columns need a second Gram matrix."""

    headline = (100_000, 20), 1e6


class LewisWeights:
    """For sampling (residual 0.1), beside one leverage computation."""

    params, param_names = [[(10_000, 10), (100_000, 20)], [6.0, 1.0]], ["shape", "p"]
    headline = (100_000, 20), 1.0

    def setup(self, shape, p):
        self.A = np.random.default_rng(0).standard_normal(shape)
        self.time_randla(shape, p)

    def time_randla(self, shape, p):
        lewis_weights(self.A, p, rtol=0.1)

    def time_floor_leverage(self, shape, p):
        leverage_scores(self.A)

    def time_peer_numpy_qr(self, shape, p):
        np.linalg.qr(self.A)


class SensitivityBounds:
    """Certified bounds of all rows, beside one leverage computation."""

    params, param_names = [[(20_000, 10), (1_000_000, 20)]], ["shape"]

    def setup(self, shape):
        self.A = np.random.default_rng(0).standard_normal(shape)
        self.time_randla(shape)

    def time_randla(self, shape):
        lp_sensitivities(self.A, 1, method="bound")

    def time_floor_leverage(self, shape):
        leverage_scores(self.A)


class ExactSensitivities:
    """All rows at p = 1, to 1e-6; HiGHS solves ten of them by the compact dual program."""

    params, param_names = [[(300, 5), (1500, 10)]], ["shape"]
    n_peer = 10  # multiply the peer by n / 10

    def setup(self, shape):
        self.A = heavy_tailed_rows(*shape, exponent=2.0, rng=0)
        self.time_randla(shape)

    def time_randla(self, shape):
        lp_sensitivities(self.A, 1, rtol=1e-6)

    def time_peer_highs_ten_rows(self, shape):
        for i in range(self.n_peer):
            rest = np.delete(self.A, i, 0)
            n, d = rest.shape
            equal = np.c_[rest.T, -self.A[i]]
            bounds = [(-1, 1)] * n + [(0, None)]
            linprog(np.r_[np.zeros(n), -1.0], A_eq=equal, b_eq=np.zeros(d), bounds=bounds)


class ExactSensitivitiesNewton:
    """All rows at p = 1.5 and 3, to 1e-6; cvxpy solves one of them."""

    params, param_names = [[(300, 5), (1000, 8)], [1.5, 3.0]], ["shape", "p"]

    def setup(self, shape, p):
        self.A = heavy_tailed_rows(*shape, exponent=2.0, rng=0)
        self.time_randla(shape, p)

    def time_randla(self, shape, p):
        lp_sensitivities(self.A, p, rtol=1e-6)

    def time_peer_cvxpy_one_row(self, shape, p):
        import cvxpy

        x = cvxpy.Variable(shape[1])
        norm = cvxpy.sum(cvxpy.power(cvxpy.abs(self.A @ x), p))
        cvxpy.Problem(cvxpy.Minimize(norm), [self.A[0] @ x == 1]).solve()


class FewSensitivities:
    """The sum and the maximum of the sensitivities, without all of them."""

    params, param_names = [[(2_000, 5), (20_000, 10)]], ["shape"]

    def setup(self, shape):
        self.A = heavy_tailed_rows(*shape, exponent=1.0, rng=0)
        self.time_randla(shape)

    def time_randla(self, shape):
        total_sensitivity(self.A, 1, n_draws=50, rng=0)

    def time_randla_maximum(self, shape):
        max_sensitivity(self.A, 1)

    def time_floor_bounds(self, shape):
        lp_sensitivities(self.A, 1, method="bound")


class SampleRows:
    """A sample by Lewis weights, from the scores and from the start."""

    params, param_names = [[(20_000, 10), (1_000_000, 10)]], ["shape"]

    def setup(self, shape):
        self.A = np.random.default_rng(0).standard_normal(shape)
        self.scores = lewis_weights(self.A, 1, rtol=0.1)
        self.time_randla(shape)

    def time_randla(self, shape):
        sample_rows(self.A, 1000, p=1, rng=0)

    def time_randla_from_scores(self, shape):
        sample_rows(self.A, 1000, scores=self.scores, rng=0)

    def time_randla_fixed_size(self, shape):
        sample_rows(self.A, 1000, scores=self.scores, scheme="fixed", rng=0)

    def time_floor_one_read(self, shape):
        self.A.sum()
