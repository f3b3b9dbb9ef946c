"""How far a weighted sample of rows can be wrong about a norm: a search for the worst vector."""

import numpy as np
from scipy.optimize import minimize


class Distortion:
    """max over x of ``| |SAx|_p^p / |Ax|_p^p - 1 |``, from below.

    Random directions, directions of single rows and the columns are tried first (their norms are
    computed once for a matrix), then the worst few of them are improved by a quasi-Newton method.
    """

    def __init__(self, A, p, *, n_random=200, n_rows=150, n_polished=3, seed=0):
        rng = np.random.default_rng(seed)
        self.p, self.n_polished = p, n_polished
        self.Q = np.linalg.qr(A)[0]
        n, d = self.Q.shape
        rows = np.argsort(-np.linalg.norm(self.Q, axis=1))[: n_rows // 3]
        rows = np.r_[rows, rng.integers(n, size=n_rows - len(rows))]
        basis = np.linalg.lstsq(A, self.Q, rcond=None)[0]  # A basis = Q
        columns = np.linalg.pinv(basis)[:, : min(d, 64)]
        rows = rows[np.linalg.norm(self.Q[rows], axis=1) > 0]
        self.starts = np.c_[rng.standard_normal((d, n_random)), self.Q[rows].T, columns]
        self.powers = np.abs(self.Q @ self.starts) ** p
        self.totals = self.powers.sum(0)

    def __call__(self, sample):
        ratios = (sample.weights @ self.powers[sample.indices]) / self.totals
        order = np.argsort(ratios)
        worst = max(1 - ratios[order[0]], ratios[order[-1]] - 1)
        for sign, starts in ((1, order[: self.n_polished]), (-1, order[-self.n_polished :])):
            for k in starts:
                ratio = self._polish(self.starts[:, k], sample, sign)
                worst = max(worst, sign * (1 - ratio))
        return worst

    def _polish(self, x, sample, sign):
        """The ratio at a local minimum (sign 1) or maximum (-1) of its logarithm."""
        Q, SQ, w, p = self.Q, self.Q[sample.indices], sample.weights, self.p

        def log_ratio(x):
            r, s = Q @ x, SQ @ x
            below, above = np.abs(r), np.abs(s)
            below_slopes, above_slopes = below ** (p - 1), w * above ** (p - 1)
            total, part = below_slopes @ below, above_slopes @ above
            if part <= 0:
                return -700.0, np.zeros_like(x)
            slope = SQ.T @ (above_slopes * np.sign(s)) / part
            slope -= Q.T @ (below_slopes * np.sign(r)) / total
            return sign * np.log(part / total), sign * p * slope

        x = x / np.linalg.norm(x)
        return np.exp(sign * minimize(log_ratio, x, jac=True, options={"maxiter": 25}).fun)
