"""Least squares beside LAPACK's drivers and a plain Cholesky solve.

``python -m benchmarks least_squares --all`` prints every ratio; times are those of as many threads
as Numba and BLAS are given, draws of sketches included.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lstsq as scipy_lstsq

from randla import lstsq


def problem(n, d, condition):
    """Gaussian data; with a condition number, columns that are mixed and graded."""
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((n, d)), rng.standard_normal(n)
    if condition > 1.0:
        V = np.linalg.qr(rng.standard_normal((d, d)))[0]
        A = (A * np.geomspace(1.0, 1.0 / condition, d)) @ V.T
    return A, b


def relative_gradient(A, b, x):
    """|A'r| / (|A| |r|), the size of the backward error where r is not small."""
    r = b - A @ x
    return np.linalg.norm(A.T @ r) / (np.linalg.norm(A) * np.linalg.norm(r))


class FullPrecision:
    readme = "least squares to full precision, 2^18 x 64"
    params = ([(4000, 20), (2**15, 64), (2**18, 64), (2**18, 200), (2**16, 1000)], [1.0, 1e10])
    param_names = ("shape", "condition")
    headline = (2**18, 64), 1.0
    timeout = 600

    def setup(self, shape, condition):
        self.A, self.b = problem(*shape, condition)
        self.time_randla(shape, condition)  # compile outside of the timing

    def time_randla(self, shape, condition):
        lstsq(self.A, self.b, rng=0)

    def time_peer_numpy(self, shape, condition):
        np.linalg.lstsq(self.A, self.b, rcond=None)

    def time_peer_scipy_gelsy(self, shape, condition):
        scipy_lstsq(self.A, self.b, lapack_driver="gelsy", check_finite=False)

    def time_compare_plain_cholesky(self, shape, condition):
        G = self.A.T @ self.A
        if condition == 1.0:  # else it breaks down
            cho_solve(cho_factor(G), self.A.T @ self.b)

    def track_error_randla(self, shape, condition):
        return relative_gradient(self.A, self.b, lstsq(self.A, self.b, rng=0).x)

    def track_error_numpy(self, shape, condition):
        return relative_gradient(self.A, self.b, np.linalg.lstsq(self.A, self.b, rcond=None)[0])


class OneSketch:
    readme = "least squares from one sketch, `eps=1`, 2^18 x 64"
    params = ([(4000, 20), (2**15, 64), (2**18, 64), (2**18, 200)], ["eps=1", "m=8d"])
    param_names = ("shape", "size")
    headline = (2**18, 64), "eps=1"
    timeout = 600

    def setup(self, shape, size):
        self.A, self.b = problem(*shape, 1.0)
        self.options = {"eps": 1.0} if size == "eps=1" else {"sketch_size": 8 * shape[1]}
        self.time_randla(shape, size)

    def time_randla(self, shape, size):
        lstsq(self.A, self.b, rng=0, **self.options)

    def time_peer_numpy(self, shape, size):
        np.linalg.lstsq(self.A, self.b, rcond=None)

    def time_floor_one_read(self, shape, size):
        self.A.sum()


class SmallProblems:
    """Where there is little to gain: the price of checking the input and of the result."""

    params, param_names = [[(50, 3), (500, 20), (1000, 100), (300, 300), (20, 50)]], ["shape"]
    headline = ((50, 3),)

    def setup(self, shape):
        self.A, self.b = problem(*shape, 1.0)
        self.time_randla(shape)

    def time_randla(self, shape):
        lstsq(self.A, self.b)

    def time_peer_numpy(self, shape):
        np.linalg.lstsq(self.A, self.b, rcond=None)


class RobustErrors:
    """A fit with its errors; the floor is the fit alone."""

    readme = "least squares with HC3 errors, 10^5 x 10"
    params = ([(1000, 5), (100_000, 10), (1_000_000, 10), (100_000, 50)], ["iid", "HC3", "robust"])
    param_names = ("shape", "kind")
    headline = (100_000, 10), "HC3"
    timeout = 600

    def setup(self, shape, kind):
        self.A, self.b = problem(*shape, 1.0)
        self.time_randla(shape, kind)

    def time_randla(self, shape, kind):
        lstsq(self.A, self.b).inference(self.A, self.b, kind=kind)

    def time_peer_statsmodels(self, shape, kind):
        import statsmodels.api as sm

        cov_type = {"iid": "nonrobust", "robust": "HC3"}.get(kind, kind)
        _ = sm.OLS(self.b, self.A).fit(cov_type=cov_type, use_t=True).bse

    def time_floor_fit(self, shape, kind):
        lstsq(self.A, self.b)

    def track_error_randla(self, shape, kind):
        """Largest relative difference of an error to that by the definition."""
        A, r = self.A, self.b - self.A @ lstsq(self.A, self.b).x
        H = A @ np.linalg.inv(A.T @ A)
        if kind == "iid":
            V = np.linalg.inv(A.T @ A) * (r @ r) / (shape[0] - shape[1])
        else:
            V = (H.T * (r / (1.0 - np.einsum("ij,ij->i", H, A))) ** 2) @ H
        found = lstsq(A, self.b).inference(A, self.b, kind=kind).standard_error
        return np.abs(found / np.sqrt(np.diag(V)) - 1.0).max()
