"""The optimal vertex of a quantile fit, and the rows near it that may change sides.

Rank tests and resampled fits move a fit by a few standard errors. Rows farther away keep their
side, so that only their sum of z a matters, z being tau or tau - 1.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from randla._panels import Panels
from randla._random import hashes
from randla._scaling import power_of_two_scale
from randla._typing import Array
from randla.regression._errors.data import FittedData
from randla.regression._kernels import vertex as kernels
from randla.regression._panels.cholesky import Cholesky
from randla.regression._panels.weighted_data import Conditioned, WeightedData, condition
from randla.regression._resampling.resampling import ALONE, NullSpace, decided_alone

#: Residuals below this fraction of their mean count as zero; if more than d rows have such ones,
#: they are moved apart by random multiples of `APART`.
_TIE, APART = 1e-11, 1e-9
#: Pivots to the optimum, for each column, after which a solve gives up; and its attempts.
_MOST, _ATTEMPTS = 100, 4
#: Minimum number of rows, for each column, to estimate the density near the fit.
_IN_WINDOW = 10
#: Least width of a window, relative to the mean residual.
_LEAST_WIDTH = 0.02
#: Minimum density of every row, as a fraction of the average density.
_LEAST_DENSITY = 0.05


@dataclass
class FittedRows:
    """Rows of a fit in memory, in well conditioned columns, for all of its quantiles.

    x is that of the fit plus unit * transform @ y, for y in these columns.
    """

    data: WeightedData
    conditioned: Conditioned

    @classmethod
    def of(cls, data: FittedData) -> FittedRows:
        """Read and condition the rows."""
        rows = WeightedData(data.tall.A, data.B[:, 0], data.w)
        return cls(rows, condition(rows))

    @property
    def null(self) -> Array:
        """Orthonormal y with X y = 0 in columns whose largest entry is about 1."""
        if self.conditioned.null is None:
            return np.empty((self.data.d, 0))
        return np.asarray(
            np.linalg.qr(self.conditioned.null / self.conditioned.scale[:, None])[0], np.float64
        )

    @property
    def determined(self) -> NDArray[np.bool_]:
        """Which coefficients are functions of A x."""
        return NullSpace.of(self.null, np.ones(self.data.d)).determined

    def decided_alone(self, repeats: bool) -> NDArray[np.bool_]:
        """Which coefficients a single row determines; frequencies above 1 are several rows."""
        panels, T = self.conditioned.panels, self.conditioned.scaled_transform
        whitener = self.conditioned.factor.whitener()
        leverage = np.square(panels.norms(whitener).ravel()[: panels.n])
        alone = leverage > 1.0 - ALONE
        if repeats and self.data.weight is not None:
            alone &= self.data.weight <= 1.0
        Q = panels.rows(np.flatnonzero(alone)) @ whitener.T
        return decided_alone(T @ whitener.T, Q)

    def vertex(self, x: Array, tau: float) -> Vertex | None:
        """The optimal vertex at the fit x (d,); None for a perfect fit, or if it is not found."""
        rows, unit = self.conditioned.with_rhs(self.data.residuals(x))
        sizes = np.abs(rows.rhs)
        mean = float(sizes.sum()) / rows.n
        tied = np.count_nonzero(sizes <= _TIE * mean) - (rows.rhs.size - rows.n) > rows.d
        if self.data.fitted(x):
            return None
        weight = rows.lines(np.ones(rows.n))
        for apart in (False, True):
            if apart:
                noise = rows.lines(2.0**-63 * hashes(np.uint64(1), rows.n).astype(float) - 1.0)
                rows = replace_rhs(rows, rows.rhs + APART * mean * noise)
            elif tied:
                continue
            basis = _nearest_rows(rows, mean)
            if basis is not None:
                near = Near(rows, np.zeros(rows.d), tau)
                solved = near.refit(weight, basis)
                if solved is not None:
                    return Vertex(self, rows, tau, unit, *solved, apart)
        return None


def replace_rhs(rows: Panels, rhs: Array) -> Panels:
    """The same rows with another right-hand side."""
    out = copy(rows)
    out.rhs = rhs
    return out


def _nearest_rows(rows: Panels, mean: float) -> NDArray[np.intp] | None:
    """The d independent rows of least residuals; None if there are none."""
    n, d = rows.n, rows.d
    distance = np.abs(rows.rhs.ravel()[:n])
    k = 4 * d
    while True:
        k = min(k, n)
        top = np.argpartition(distance, k - 1)[:k]
        weighted = rows.rows(top) / (distance[top] + 1e-10 * mean)[:, None]
        _, order, _, _, _ = lapack.dgeqp3(weighted.T)  # QR with column pivoting
        independent = rows.rows(top[order[:d] - 1]) if k >= d else np.zeros((d, d))
        if k >= d and np.linalg.cond(independent) < 1e12:
            return np.asarray(top[order[:d] - 1])
        if k == n:
            return None
        k *= 4


@dataclass
class Near:
    """Some rows, and the sum far (d,) of z a over those that keep their side."""

    rows: Panels
    far: Array
    tau: float

    def at(self, basis: NDArray[np.intp]) -> tuple[Array, Array, Array, Array] | None:
        """Inverse of a basis, y, residuals and sides (K, PANEL) of its vertex; None if singular."""
        try:
            inverse = np.asarray(np.linalg.inv(self.rows.rows(basis)), np.float64)
        except np.linalg.LinAlgError:
            return None
        y = inverse @ self.rows.rhs.ravel()[basis]
        r = self.rows.residuals(y)
        return inverse, y, r, self.sides(r, basis)

    def sides(self, r: Array, basis: NDArray[np.intp]) -> Array:
        """+1 and -1, and 0 for the basis and beyond n."""
        side = np.where(r < 0.0, -1.0, 1.0)
        side.ravel()[self.rows.n :] = 0.0
        side.ravel()[basis] = 0.0
        return side

    def dual(self, side: Array, inverse: Array) -> Array:
        """The dual values of the basis, given those of the others by their sides."""
        z = side * ((self.tau - 0.5) * side + 0.5)  # tau, tau - 1 or 0
        return np.asarray(-(self.far + self.rows.transposed_product(z)) @ inverse)

    def refit(
        self, weight: Array, basis: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], Array, Array] | None:
        """Basis, y and inverse of the optimum of rows with weights (K, PANEL), from another basis.

        None if it is not reached. It is accepted if recomputed numbers require no pivot.
        """
        rows, basis = self.rows, basis.astype(np.int64)
        step, order = np.zeros((2, *rows.rhs.shape)), np.empty(rows.rhs.size, np.int64)
        for _ in range(_ATTEMPTS):
            start = self.at(basis)
            if start is None:
                return None
            inverse, y, r, side = start
            fresh = inverse.copy()
            status, n_pivots = kernels.refit(
                rows.data, weight, r, side, basis, inverse, self.far, self.tau,
                _MOST * rows.d, step, order,
            )  # fmt: skip
            if status != kernels.DONE:
                return None
            if n_pivots == 0:
                return basis, y, fresh
        return None


@dataclass
class Vertex:
    """The optimal vertex of a fit: its basis, y there, and the inverse of the basis."""

    source: FittedRows
    rows: Panels  # the right-hand side is the residuals of the fit
    tau: float
    unit: float
    basis: NDArray[np.intp]
    y: Array
    inverse: Array
    apart: bool  # whether rows were moved apart

    def __post_init__(self) -> None:
        """Residuals from the vertex, and a rough covariance of the moves of a fit."""
        rows, tau = self.rows, self.tau
        self.rows = replace_rhs(rows, rows.residuals(self.y))
        self.rows.rhs.ravel()[self.basis] = 0.0
        n, d = rows.n, rows.d
        distance = rows.unweighted(self.rows.rhs).ravel()[:n]
        k = min(max(_IN_WINDOW * d, int(n**0.75)), n) - 1
        width = float(np.partition(distance, k)[k])
        width = max(width, _LEAST_WIDTH * float(distance.mean()))
        # Powell's D, with windows of one width, and v D^-1 A'A D^-1.
        inside = (distance <= width) / (2.0 * width)
        if rows.weight is not None:
            inside /= rows.weight.ravel()[:n]
        G, D = symmetric(rows.gram()), symmetric(rows.gram(rows.lines(inside)))
        D += _LEAST_DENSITY * float(inside.mean()) * G
        whitener, of_density = Cholesky(G).whitener(), Cholesky(D).whitener()
        # C with C'C the covariance, and its inverse.
        root = np.linalg.inv(whitener).T @ of_density.T @ of_density
        self.root = np.sqrt(tau * (1.0 - tau)) * root
        half = whitener @ D
        self.metric = half.T @ half / (tau * (1.0 - tau))
        self.lengths = rows.norms(self.root)

    @property
    def shift(self) -> Array:
        """The x of the vertex less that of the fit, in units of `unit`."""
        return self.source.conditioned.transform @ self.y

    @cached_property
    def column_lengths(self) -> Array:
        """The norms (d,) of the rows T_j of the transform."""
        T = self.source.conditioned.transform
        scale = power_of_two_scale(np.abs(T).max(axis=1))  # the squares may be out of range
        return np.asarray(np.linalg.norm(scale[:, None] * T, axis=1) / scale)

    @cached_property
    def directions(self) -> Array:
        """For each coefficient t (d, r) with x_j = |T_j| t'y, of length one (zero for none)."""
        lengths = self.column_lengths
        T = self.source.conditioned.transform
        return np.asarray(T / np.where(lengths > 0.0, lengths, 1.0)[:, None])

    def typical_move(self, column: int) -> float:
        """The change of t'y of a column if the fit of a row changes by a mean residual."""
        rows, t = self.rows, self.directions[column]
        length = float(np.sqrt(t @ symmetric(rows.gram()) @ t / rows.n))
        return float(np.abs(rows.rhs).sum()) / rows.n / length

    def near(self, limit: float) -> tuple[Near, NDArray[np.intp]]:
        """The rows at most `limit` standard errors away, and their indices."""
        rows, n = self.rows, self.rows.n
        far = np.abs(rows.rhs) > limit * self.lengths
        far.ravel()[self.basis] = False
        far.ravel()[n:] = False
        index = np.flatnonzero(~far.ravel()[:n])
        if 3 * len(index) > n:
            return Near(rows, np.zeros(rows.d), self.tau), np.arange(n)
        z = np.where(far, np.where(rows.rhs > 0.0, self.tau, self.tau - 1.0), 0.0)
        return Near(rows.subset(index, rows.rhs), rows.transposed_product(z), self.tau), index


def symmetric(lower: Array) -> Array:
    """The symmetric matrix with this lower triangle."""
    return np.tril(lower) + np.tril(lower, -1).T
