import numpy as np
from scipy.optimize import linprog

from randla.regression import lp_regression


def tall(n, d, seed=0):
    """An intercept and Gaussian columns, with heteroscedastic t3 noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d - 1))
    e = rng.standard_t(3, n) * (1 + 0.5 * np.abs(X[:, 0]))
    return np.column_stack([np.ones(n), X]), 1 + X.sum(axis=1) + e


class QuantileRegression:
    readme = "median regression, 10^5 x 10, certified"
    params, param_names = [(20_000, 100_000), (10,), (0.5, 0.95)], ["n", "d", "tau"]
    headline = (100_000, 10, 0.5)

    def setup(self, n, d, tau):
        self.A, self.b = tall(n, d)
        self.time_randla(n, d, tau)  # compile outside of the timing

    def time_randla(self, n, d, tau):
        lp_regression(self.A, self.b, tau=tau, rng=0)

    def time_peer_statsmodels(self, n, d, tau):
        from statsmodels.regression.quantile_regression import QuantReg

        QuantReg(self.b, self.A).fit(q=tau, max_iter=5000)

    def time_peer_scipy_highs_dual(self, n, d, tau):
        # The compact form: d equalities and n boxed variables; the primal form is far slower.
        target = (1 - tau) * self.A.sum(axis=0)
        linprog(-self.b, A_eq=self.A.T, b_eq=target, bounds=(0, 1), method="highs-ipm")

    def time_randla_all_rows(self, n, d, tau):
        lp_regression(self.A, self.b, tau=tau, method="full")

    def time_compare_numpy_lstsq(self, n, d, tau):
        np.linalg.lstsq(self.A, self.b, rcond=None)

    def track_relative_gap(self, n, d, tau):
        result = lp_regression(self.A, self.b, tau=tau, rng=0)
        return result.gap / result.value


class QuantileRegressionOfManyRows:
    params, param_names = [(200_000, 1_000_000), (10,), (0.5, 0.95)], ["n", "d", "tau"]
    headline = (1_000_000, 10, 0.5)

    def setup(self, n, d, tau):
        self.A, self.b = tall(n, d)
        self.time_randla(n, d, tau)

    def time_randla(self, n, d, tau):
        lp_regression(self.A, self.b, tau=tau, rng=0)

    def time_compare_numpy_lstsq(self, n, d, tau):
        np.linalg.lstsq(self.A, self.b, rcond=None)

    def time_floor_one_read(self, n, d, tau):
        self.A.sum()


class NineQuantiles:
    params, param_names = [(20_000, 100_000), (10,)], ["n", "d"]

    def setup(self, n, d):
        self.A, self.b = tall(n, d)
        self.taus = np.arange(1, 10) / 10
        self.time_randla(n, d)

    def time_randla(self, n, d):
        lp_regression(self.A, self.b, tau=self.taus, rng=0)

    def time_randla_one_by_one(self, n, d):
        for tau in self.taus:
            lp_regression(self.A, self.b, tau=tau, rng=0)

    def time_floor_one_quantile(self, n, d):
        lp_regression(self.A, self.b, tau=0.5, rng=0)


class Powers:
    params, param_names = [(20_000, 100_000), (10,), (1.1, 1.5, 3.0, 10.0)], ["n", "d", "p"]
    headline = (100_000, 10, 1.5)

    def setup(self, n, d, p):
        self.A, self.b = tall(n, d)
        self.time_randla(n, d, p)

    def time_randla(self, n, d, p):
        lp_regression(self.A, self.b, p)

    def time_peer_scipy_bfgs(self, n, d, p):
        from scipy.optimize import minimize

        def loss(x):
            r = self.A @ x - self.b
            size = np.abs(r)
            return (size**p).mean(), p * self.A.T @ (size ** (p - 1) * np.sign(r)) / n

        start = np.linalg.lstsq(self.A, self.b, rcond=None)[0]
        minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8})

    def time_compare_numpy_lstsq(self, n, d, p):
        np.linalg.lstsq(self.A, self.b, rcond=None)

    def track_relative_gap(self, n, d, p):
        result = lp_regression(self.A, self.b, p)
        return result.gap / result.value


class Minimax:
    params, param_names = [(2_000, 20_000), (10,)], ["n", "d"]

    def setup(self, n, d):
        self.A, self.b = tall(n, d)
        self.time_randla(n, d)

    def time_randla(self, n, d):
        lp_regression(self.A, self.b, np.inf)

    def time_peer_scipy_highs(self, n, d):
        ones = np.ones((n, 1))
        linprog(
            np.append(np.zeros(d), 1.0),
            A_ub=np.vstack([np.hstack([-self.A, -ones]), np.hstack([self.A, -ones])]),
            b_ub=np.append(-self.b, self.b),
            bounds=[(None, None)] * d + [(0, None)],
            method="highs",
        )

    def time_compare_numpy_lstsq(self, n, d):
        np.linalg.lstsq(self.A, self.b, rcond=None)


class QuantileErrors:
    """Standard errors of a median: that of each row from two fits more."""

    params, param_names = [(100_000, 1_000_000), (10,)], ["n", "d"]

    def setup(self, n, d):
        self.A, self.b = tall(n, d)
        self.fit = lp_regression(self.A, self.b, tau=0.5)
        self.time_randla(n, d)

    def time_randla(self, n, d):
        self.fit.inference(self.A, self.b)

    def time_peer_statsmodels(self, n, d):
        if n > 100_000:
            raise NotImplementedError  # which asv leaves out
        from statsmodels.regression.quantile_regression import QuantReg

        QuantReg(self.b, self.A).fit(q=0.5, max_iter=5000)  # with its errors

    def time_floor_one_fit(self, n, d):
        lp_regression(self.A, self.b, tau=0.5)
