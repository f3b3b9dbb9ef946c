"""Log-likelihood and score of structural models, fast: for the searches of maximum likelihood."""

import math
from typing import Any

import numpy as np
from scipy.linalg.lapack import dgeqrf, dtrtri

from randla._typing import Array
from randla._validation import read_only
from randla.smoothing._exact.kalman import linear_gaussian_score
from randla.smoothing._kernels.exact.sparse_score import sparse_filter, sparse_score
from randla.smoothing._models.structural import StructuralModel

_DETERMINED = 1e-10  # what is left of a column, relative to it, that still determines a state
_LOG_2PI = math.log(2.0 * math.pi)


class StructuralScores:
    """Log-likelihood and score of a structural model at any parameters, in O(T d (d + q))."""

    def __init__(self, model: StructuralModel, rows: Array) -> None:
        self.model, self.rows = model, rows
        self.y = read_only(np.ascontiguousarray(rows[:, 0]))
        self.B = read_only(np.ascontiguousarray(model._system.B[:, 0]))
        d, n = len(model.initial_mean), len(rows)
        D = np.empty((d, 0)) if model.diffuse is None else model.diffuse
        self.start = np.concatenate([D, model.initial_mean[:, None]], axis=1)  # (d, q + 1)
        width, self.seen = D.shape[1] + 1, ~np.isnan(self.y)
        #: Numbers that are left when the diffuse states are determined.
        self.n_free = int((~np.isnan(rows)).sum()) - (width - 1)
        A = model.transition_matrix != 0.0
        for part, x in zip(model._parts, model._states, strict=True):
            A[x, x] |= part.moving
        self.places = np.nonzero(A)
        moving = [x for part, x in zip(model._parts, model._states, strict=True) if part.moving]
        self.n_moving = d - min((x.start for x in moving), default=d)
        self.kept = (
            np.empty(n), np.zeros((n, width)), np.zeros((n, d)), np.empty((n, d, width)),
            np.empty((n, d, d)),
        )  # fmt: skip

    def at(self, theta: Array) -> tuple[float, Array]:
        """Log-likelihood and its gradient in theta."""
        found = self._filter(theta)
        if found is None:
            return linear_gaussian_score(self.model.replace(theta), self.rows)
        value, _, triangle, sparse = found
        F, E, gains, filtered, covariances = self.kept
        q, (d, m) = E.shape[1] - 1, (gains.shape[1], self.n_moving)
        columns = np.zeros((q + 1, q + 1))  # a root of Cov(delta), and the mean given all of y
        columns[q, q] = 1.0
        if q:
            inverse, _ = dtrtri(triangle[:q, :q])
            columns[:q, :q], columns[:q, q] = inverse, -inverse @ triangle[:q, q]
        gA, gQ, gP = np.empty((m, m)), np.empty(d), np.empty((m, m))
        moved = filtered @ columns if m else filtered
        gR = sparse_score(*sparse, self.B, F, E @ columns, gains, moved, covariances, gA, gQ, gP)
        return value, self.model._gradient(theta, gA, gQ, gP, gR)

    def value_and_square(self, theta: Array) -> tuple[float, float]:
        """Log-likelihood and rho^2, the sum of squares of the standardised residuals."""
        found = self._filter(theta)
        if found is None:  # rho^2 is not told
            return linear_gaussian_score(self.model.replace(theta), self.rows)[0], math.nan
        return found[:2]

    def _filter(self, theta: Array) -> tuple[float, float, Array, tuple[Any, ...]] | None:
        """Also the triangle of delta, and A; None where that takes other methods, or errors."""
        A, variances, P0, sd_noise = self.model._blocks_at(theta)
        sparse = (*self.places, A[self.places])
        F, E = self.kept[:2]
        value, time = sparse_filter(
            self.y, *sparse, variances, self.B, sd_noise**2, self.start.copy(), P0, *self.kept
        )
        if time >= 0:  # given the diffuse states a row is certain
            return None
        # delta is least squares: rows F^{-1/2} [E_delta, E_mean], made triangular.
        q = E.shape[1] - 1
        weighted = E[self.seen] / np.sqrt(F[self.seen])[:, None]
        lengths = np.sqrt((weighted[:, :q] ** 2).sum(0))
        factor = dgeqrf(weighted, overwrite_a=True)[0][: q + 1]
        triangle = np.triu(factor)
        diagonal = np.abs(np.diagonal(triangle)[:q])
        if len(diagonal) < q or (diagonal <= _DETERMINED * lengths).any():
            return None  # y does not determine the diffuse states
        square = float(triangle[q, q] ** 2) if len(triangle) > q else 0.0
        value -= 0.5 * (self.n_free * _LOG_2PI + square) + np.log(diagonal).sum()
        return float(value), square, triangle, sparse
