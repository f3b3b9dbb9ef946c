"""Intervals for coefficients of quantile fits by inversion of rank tests.

Fix coefficient j at c and fit the others to b - c a_j: the dual z(c) gives the rank statistic

    T(c) = a_j' z(c) / sqrt(tau (1 - tau) sum m_i â_i²),

where â is the residual of a_j after least squares on the other columns with weights w f, f the
densities of the rows at their quantiles, and m = w² (w for frequency weights). The interval
contains all c with |T(c)| <= t. T is a decreasing step function of c: z(c) does not change until a
row reaches the fit, so that all of its steps are found one by one, each by one dual simplex step,
from the vertex of the fit outward; T is never evaluated at a jump, where z(c) is not unique. The
steps are stored, so that intervals of any level up to a limit need no data.

Sources: Koenker, "Confidence intervals for regression quantiles", in "Asymptotic statistics",
Springer (1994), 349-359 (parametric programming; interpolation between jumps); Koenker and Machado,
"Goodness of fit and related inference processes for quantile regression", J. Amer. Statist. Assoc.
94 (1999), 1296-1310 (weights).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._parallel import run_parts
from randla._results import t_of_tail, warn_caller
from randla._typing import Array
from randla._validation import as_level
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors
from randla.regression._errors.options import InferenceWarning
from randla.regression._kernels import vertex as kernels
from randla.regression._resampling.vertex import APART, FittedRows, Near, Vertex, symmetric

#: Jumps between two recomputations, and recomputations after which a walk gives up.
_JUMPS, _LOOKS = 256, 2000
#: Standard errors that a walk moves with the rows near its start, among more rows than these.
_STRIDE, _MANY = 0.4, 500
#: Changes of the dual values of the basis with S that count as zero, relative to the largest.
_STILL = 1e-12
_NOTE = "intervals by inverted rank tests; std err, t and P>|t| are those of kind 'robust'"
#: A stride that may leave the band, and one whose basis is singular.
_OUTSIDE, _LOST = -1, -2
#: Rows are kept within this many times the t quantile, plus one, of standard errors; and the factor
#: by which that is widened if it does not suffice.
_MARGIN, _WIDER = 1.3, 2.0
#: Lower bound of densities, as a fraction of their mean.
_LEAST_DENSITY = 1e-3
#: Error probability, of all coefficients together, to which the steps are followed.
_ERROR = 0.01
#: Jumps this close are one, relative to the move by which a typical row changes sides; and if rows
#: were moved apart.
_SAME, _SAME_APART = 1e-13, 100.0 * APART


def rank_errors(
    data: FittedData, x: Array, taus: list[float], density: Array | None, robust: Errors
) -> Errors:
    """`robust` with the intervals of inverted rank tests.

    x (d, k) in the user's units; density (n, k), that of each row at its quantile (the default's
    f), or None for rows with equal densities. Refuses data that are not in memory.
    """
    if data.tall.lazy:
        raise ValueError("A must be in memory for kind='rank', got a Dask array")
    rows, (d, k) = FittedRows.of(data), x.shape
    df = np.broadcast_to(robust.degrees_of_freedom, (d, k)).astype(float)
    error = _ERROR / max(d * k, 10)
    reach = t_of_tail(0.5 * error, df)
    known = np.repeat(rows.determined[:, None], k, axis=1)
    steps: dict[tuple[int, int], tuple[Steps, Steps]] = {}
    walks: list[tuple[int, int, _Walk]] = []
    for q, tau in enumerate(taus):
        scaled = x[:, q] * data.b_scale
        vertex = rows.vertex(scaled, tau)
        if vertex is None and rows.data.fitted(scaled):  # intervals of no width
            steps |= {(int(j), q): (_NO_WIDTH, _NO_WIDTH) for j in np.flatnonzero(known[:, q])}
        elif vertex is not None:
            scales = _score_scales(data, vertex, None if density is None else density[:, q])
            band = vertex.near(_MARGIN * float(reach[:, q].max()) + 1.0)
            walks += [
                (int(j), q, _Walk(vertex, band, int(j), scales[j], reach[j, q]))
                for j in np.flatnonzero(known[:, q])
            ]
    seconds = 1e-5 * sum(np.sqrt(data.n) * data.d for _ in walks)
    found = run_parts(lambda i: walks[i // 2][2].steps(2 * (i % 2) - 1), 2 * len(walks),
                      seconds=seconds, blas=True)  # fmt: skip
    for i, (j, q, _) in enumerate(walks):
        low, high = found[2 * i : 2 * i + 2]
        if low is not None and high is not None:
            steps[j, q] = low, high
    if len(steps) < np.count_nonzero(known):
        warn_caller(
            "intervals by rank inversion are NaN if steps of the statistic were lost to rounding",
            InferenceWarning,
        )
    law = "one density" if density is None else "density of each from neighboring fits"
    return replace(
        robust,
        assumed=f"independent rows, {law}",
        notes=(*robust.notes, _NOTE),
        interval=RankIntervals(x, 1.0 / float(data.b_scale[0]), df, error, steps),
    )


class Steps(NamedTuple):
    """A rank statistic on one side of a coefficient."""

    offsets: Array  # of the jumps from the coefficient
    levels: Array  # |T| after each jump
    beyond: float  # the end for higher t: infinite where there are no further jumps

    def end(self, t: float) -> float:
        """The offset at which |T| reaches t, interpolated between jumps as in R."""
        crossing = int(np.searchsorted(self.levels, t, side="right"))
        if crossing == len(self.levels):
            return self.beyond
        if crossing == 0:
            return float(self.offsets[0])
        inner, outer = self.levels[crossing - 1 : crossing + 1]
        before, at = self.offsets[crossing - 1 : crossing + 1]
        return float(at + (outer - t) / (outer - inner) * (before - at))


_NO_WIDTH = Steps(np.zeros(1), np.full(1, np.inf), np.nan)


@dataclass(frozen=True)
class RankIntervals:
    """Intervals of all coefficients for any level that the steps reach.

    Attributes
    ----------
    x, degrees_of_freedom : (d, k) ndarray
    unit : float
        The power of two that multiplies the offsets of the steps.
    error : float
        The least error probability of an interval.
    steps : dict
        The steps below and above coefficient j of fit q, by (j, q); none if an interval is NaN.
    """

    x: Array
    unit: float
    degrees_of_freedom: Array
    error: float
    steps: dict[tuple[int, int], tuple[Steps, Steps]]

    def __call__(self, level: float) -> tuple[Array, Array]:
        """Low and high (d, k)."""
        error = 1.0 - as_level(level)
        if error < self.error * (1.0 - 1e-9):
            raise ValueError(
                f"level must be at most {1.0 - self.error:.6g} for kind='rank' (also for each "
                f"simultaneous interval), got {level:.6g}"
            )
        t = t_of_tail(0.5 * error, self.degrees_of_freedom)
        ends = np.full((2, *self.x.shape), np.nan)
        for at, sides in self.steps.items():
            ends[:, at[0], at[1]] = [side.end(float(t[at])) for side in sides]
        return self.x + self.unit * ends[0], self.x + self.unit * ends[1]


def _score_scales(data: FittedData, vertex: Vertex, density: Array | None) -> Array:
    """The standard deviation of a_j'z for each column j, (d,), in the columns of the vertex.

    With D = sum w f a a' and M = sum m a a' it is (v e_j'D^-1 M D^-1 e_j)^1/2 / e_j'D^-1 e_j.
    """
    rows, n = vertex.rows, vertex.rows.n
    w = np.ones(n) if rows.weight is None else rows.weight.ravel()[:n]  # rows are multiplied by it
    f = np.ones(n)
    if density is not None and density.any():
        f = density / float(density.max())
        f = np.maximum(f, _LEAST_DENSITY * float(f.mean()))  # so that D has all of its rank
    D = symmetric(rows.gram(rows.lines(f / w)))
    M = symmetric(rows.gram(rows.lines(1.0 / w) if data.repeats else None))
    unit = 1.0 / np.sqrt(np.maximum(np.diagonal(D), 1e-300))
    inverse = unit[:, None] * np.linalg.pinv(unit[:, None] * D * unit, hermitian=True) * unit
    T = vertex.directions
    breads = T @ inverse
    variances = vertex.tau * (1.0 - vertex.tau) * np.einsum("ij,jk,ik->i", breads, M, breads)
    with np.errstate(divide="ignore", invalid="ignore"):  # a column that is left out
        return np.asarray(np.sqrt(variances) / (breads * T).sum(axis=1))


# Along the steps ----------------------------------------------------------------------------------


@dataclass
class _Walk:
    """The steps of one coefficient of one fit."""

    vertex: Vertex
    band: tuple[Near, NDArray[np.intp]]
    column: int
    scale: float  # standard deviation of the statistic
    reach: float  # up to where T is followed

    def steps(self, sign: int) -> Steps | None:
        """The steps below (-1) or above (+1) the coefficient; None if they are lost to rounding."""
        vertex, limit, band = self.vertex, _MARGIN * self.reach + 1.0, self.band
        while True:
            walker = _Walker(vertex, *band, limit, self.column, sign)
            status, jumps = walker.follow(self.reach * self.scale)
            if status in (kernels.DONE, kernels.ENOUGH) or walker.has_all:
                break
            limit *= _WIDER
            band = vertex.near(limit)
        if status == kernels.ENOUGH:
            return None
        length = vertex.column_lengths[self.column]
        offsets = vertex.unit * (vertex.shift[self.column] + length * jumps[:, 0])
        # Rows that reach the fit together make one jump.
        same = (_SAME_APART if vertex.apart else _SAME) * vertex.typical_move(self.column)
        last = np.append(np.diff(jumps[:, 0]) * sign > same, True)
        levels = np.abs(jumps[last, 1]) / self.scale
        return Steps(offsets[last], levels, sign * np.inf if status == kernels.NO_MORE else np.nan)


class _Walker:
    """The optimal vertex of the rows of a band while t'y moves to delta, by small strides.

    In a stride only the rows near its start may change sides.
    """

    def __init__(
        self, vertex: Vertex, near: Near, index: NDArray[np.intp], limit: float, column: int,
        sign: int,
    ) -> None:  # fmt: skip
        rows = near.rows
        self.vertex, self.near, self.rows, self.sign = vertex, near, rows, sign
        self.has_all = rows.n == vertex.rows.n
        self.limit = np.inf if self.has_all else limit
        self.lengths = vertex.lengths.ravel()[index]
        self.t = vertex.directions[column]
        self.basis = np.searchsorted(index, vertex.basis)
        self.side = near.sides(rows.rhs, self.basis)
        self.fixed, level = self._first_row()
        self.place = np.array([0.0, level])  # delta and S

    def _first_row(self) -> tuple[int, float]:
        """The row of the basis that t replaces, and the level of S then.

        S falls from 0 until a row of the basis has its dual value at a bound.
        """
        inverse, tau = self.vertex.inverse, self.vertex.tau
        z = self.near.dual(self.side, inverse)
        alpha = self.t @ inverse
        rate = -self.sign * alpha
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(rate > 0.0, tau - z, tau - 1.0 - z) / rate
        room[np.abs(alpha) <= _STILL * np.abs(alpha).max()] = np.inf
        fixed = int(np.argmin(room))
        self.side.ravel()[self.basis[fixed]] = np.sign(rate[fixed])
        return fixed, -self.sign * max(float(room[fixed]), 0.0)

    def follow(self, level: float) -> tuple[int, Array]:
        """How it ended, and all jumps (m, 2) of delta and S after them, up to a level of |S|."""
        found, status = [self.place[None].copy()], kernels.ENOUGH
        if abs(self.place[1]) >= level:
            return kernels.DONE, found[0]
        stride = _STRIDE if self.rows.n > _MANY else np.inf
        for _ in range(_LOOKS):
            status, jumps = self._stride(stride, level)
            found.append(jumps)
            if status == kernels.DONE or (stride == np.inf and status == kernels.NO_MORE):
                break
            if status in (_OUTSIDE, _LOST):
                status = kernels.TOO_FAR if status == _OUTSIDE else kernels.ENOUGH
                break
            if len(jumps) == 0:  # rows are sparse
                stride = 4.0 * stride if stride < 100.0 else np.inf
            status = kernels.ENOUGH
        return status, np.concatenate(found)

    def _stride(self, stride: float, level: float) -> tuple[int, Array]:
        """Jumps at vertices at most `stride` standard errors from the present one."""
        rows, fixed, basis = self.rows, self.fixed, self.basis
        # Recomputed, without accumulated rounding errors.
        B, b = rows.rows(basis), rows.rhs.ravel()[basis]
        B[fixed], b[fixed] = self.t, self.place[0]
        try:
            inverse = np.asarray(np.linalg.inv(B), np.float64)
        except np.linalg.LinAlgError:
            return _LOST, np.empty((0, 2))
        y, metric = inverse @ b, self.vertex.metric
        if np.sqrt(y @ metric @ y) + stride > self.limit:
            return _OUTSIDE, np.empty((0, 2))
        r = rows.residuals(y)
        z = self.near.dual(self.side, inverse)
        self.place[1] = -z[fixed]
        inside = np.abs(r.ravel()[: rows.n]) <= stride * self.lengths
        inside[basis] = True
        index = np.flatnonzero(inside)
        few, at = rows.subset(index, r), np.searchsorted(index, basis)
        side, jumps = few.lines(self.side.ravel()[index]), np.empty((_JUMPS, 2))
        status, count = kernels.walk(
            few.data, few.rhs, side, at, inverse, z, fixed, self.near.tau, self.sign,
            np.array([level, stride**2]), metric, self.place, np.zeros_like(y),
            np.zeros_like(side), jumps,
        )  # fmt: skip
        self.side.ravel()[index] = side.ravel()[: len(index)]
        self.basis = index[at]
        return int(status), jumps[:count]
