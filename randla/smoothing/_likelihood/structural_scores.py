"""Log-likelihood and score of structural models, fast: for the searches of maximum likelihood."""

import math

import numpy as np

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._exact.kalman import linear_gaussian_score
from randla.smoothing._kernels.exact.sparse_score import DONE, sparse_filter, sparse_score
from randla.smoothing._models.structural import StructuralModel

_LOG_2PI = math.log(2.0 * math.pi)


class StructuralScores:
    """Log-likelihood and score of a structural model at any parameters, in O(T d (d + q))."""

    def __init__(self, model: StructuralModel, rows: Array) -> None:
        self.model, self.rows = model, rows
        self.y = read_only(np.ascontiguousarray(rows[:, 0]))
        self.B = read_only(np.ascontiguousarray(model._system.B[:, 0]))
        d, n = len(model.initial_mean), len(rows)
        D = np.empty((d, 0)) if model.diffuse is None else model.diffuse
        width = D.shape[1] + 1
        self.start = np.concatenate([D, model.initial_mean[:, None]], axis=1)  # (d, q + 1)
        #: Numbers that are left when the diffuse states are determined.
        self.n_free = int((~np.isnan(rows)).sum()) - (width - 1)
        A = model.transition_matrix != 0.0
        for _, _, x in model._moving:
            A[x, x] = True
        self.places = np.nonzero(A)
        m = d - min((x.start for _, _, x in model._moving), default=d)
        self.triangle, self.solution = np.empty((2, width, width))
        self.past = (
            np.empty(n), np.empty((n, width)), np.empty((n, d)), np.empty((n, d, width)),
            np.empty((n, d, d)), np.zeros(n, np.bool_),
        )  # fmt: skip
        self.gradients = np.empty((m, m)), np.empty(d), np.empty((m, m))

    def at(self, theta: Array) -> tuple[float, Array]:
        """Log-likelihood and its gradient in theta."""
        A, variances, P0, sd_noise = self.model._blocks_at(theta)
        values = A[self.places]
        value, _, found = self._filter(values, variances, P0, sd_noise)
        if not found:
            return linear_gaussian_score(self.model.replace(theta), self.rows)
        gR = sparse_score(*self.places, values, self.B, self.solution, *self.past, *self.gradients)
        return value, self.model._gradient(theta, *self.gradients, gR, P0)

    def value_and_square(self, theta: Array) -> tuple[float, float]:
        """Log-likelihood and rho^2, the sum of squares of the standardized residuals."""
        A, variances, P0, sd_noise = self.model._blocks_at(theta)
        value, square, found = self._filter(A[self.places], variances, P0, sd_noise)
        if not found:  # rho^2 is not available
            return linear_gaussian_score(self.model.replace(theta), self.rows)[0], math.nan
        return value, square

    def _filter(
        self, values: Array, variances: Array, P0: Array, sd_noise: float
    ) -> tuple[float, float, bool]:
        """Also whether it succeeded: otherwise other methods have the likelihood, or the error."""
        value, status = sparse_filter(
            self.y, *self.places, values, variances, self.B, sd_noise * sd_noise, self.start, P0,
            self.triangle, self.solution, *self.past,
        )  # fmt: skip
        square = float(self.triangle[-1, -1]) ** 2
        return value - 0.5 * (self.n_free * _LOG_2PI + square), square, status == DONE
