"""Log-likelihood and score of structural models, fast: for the searches of maximum likelihood."""

import math

import numpy as np
from scipy.linalg.lapack import dtrtri

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
        B = model._system.B[:, 0]
        self.B = read_only(np.ascontiguousarray(B))
        means = np.vstack([model._system.m0, model._system.directions])
        self.start = np.ascontiguousarray(means.T)  # (d, 1 + q)
        (d, width), n = self.start.shape, len(rows)
        #: Numbers that are left when the diffuse states are determined.
        self.n_free = int((~np.isnan(rows)).sum()) - (width - 1)
        moving = [x for part, x in zip(model._parts, model._states, strict=True) if part.moving]
        self.n_moving = d - min((x.start for x in moving), default=d)
        self.kept = (
            np.empty(n), np.zeros((n, width)), np.zeros((n, d)), np.empty((n, d, width)),
            np.empty((n, d, d)),
        )  # fmt: skip

    def at(self, theta: Array) -> tuple[float, Array]:
        """Log-likelihood and its gradient in theta."""
        A, variances, P0, sd_noise = self.model._blocks_at(theta)
        entries = np.nonzero(A)
        sparse = (*entries, A[entries])
        F, E, gains, filtered, covariances = self.kept
        value, time = sparse_filter(
            self.y, *sparse, variances, self.B, sd_noise**2, self.start.copy(), P0, *self.kept
        )
        if time >= 0:  # given the diffuse states a row is certain
            return linear_gaussian_score(self.model.replace(theta), self.rows)
        # delta is least squares: rows F^{-1/2} [-E_1.., E_0], E_0 the innovations of the mean.
        q, seen = E.shape[1] - 1, F > 0.0
        weighted = E[seen] / np.sqrt(F[seen])[:, None]
        triangle: Array = np.asarray(np.linalg.qr(weighted[:, [*range(1, q + 1), 0]], mode="r"))
        diagonal = np.abs(np.diagonal(triangle)[:q])
        lengths = np.linalg.norm(triangle[:, :q], axis=0)
        if len(diagonal) < q or (diagonal <= _DETERMINED * lengths).any():
            return linear_gaussian_score(self.model.replace(theta), self.rows)  # which refuses
        inverse, _ = dtrtri(triangle[:q, :q]) if q else (np.empty((0, 0)), 0)
        rest = triangle[q:, q]
        value -= 0.5 * (self.n_free * _LOG_2PI + float(rest @ rest)) + np.log(diagonal).sum()
        columns = np.zeros((q + 1, q + 1))  # the mean given all of y, and a root of Cov(delta)
        columns[0, 0] = 1.0
        columns[1:, 0], columns[1:, 1:] = -inverse @ triangle[:q, q], inverse
        m = self.n_moving
        gA, gQ, gP = np.empty((m, m)), np.empty(len(A)), np.empty((m, m))
        moved = filtered @ columns if m else filtered
        gR = sparse_score(*sparse, self.B, F, E @ columns, gains, moved, covariances, gA, gQ, gP)
        return value, self.model._gradient(theta, gA, gQ, gP, gR)
