"""l_p regression of a Dask array for 1 < p < inf: Newton's method from the minimiser of a sample.

A step is three passes: the Gram matrix with the second derivatives; the norms for several lengths
of the step, together with what is left of A'z; and the norm of the dual point
z = psi(r) - psi'(r) A y, from which that was taken. See `randla.regression._lp.newton`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._dask.certificate import proven, span_of_tiles
from randla._dask.residuals import (
    Data,
    fitted,
    norm_from,
    norms,
    residuals,
    residuals_and_rounding,
    zeros,
)
from randla._tall import dask_arrays
from randla._tall.blocks import as_block
from randla._tall.dask import DaskMatrix
from randla._tall.whitening import whiten
from randla.regression._lp.newton import FLOOR, derivatives
from randla.regression._lp.norm import norm_plane
from randla.regression._lp.quantile import Plane
from randla.regression._lp.sampled import smoothed_share
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.weighted import ROUNDING, Rows

Array = NDArray[np.float64]

_MAX_STEPS = 40
#: Lengths of a step that are tried in one pass.
_LENGTHS = 2.0 ** -np.arange(-1.0, 7.0)
#: A dual point counts as feasible up to this.
_FEASIBLE = 1e-12
#: For p < 2 the loss is smoothed where residuals are below this quantile, at first; then less.
_SMALL, _SHRINK, _SHARPEST = 0.01, 0.1, 1e-13


@dataclass(frozen=True)
class Point:
    """A point x, the unit of its residuals, the smoothing beside it, and the Newton step y there.

    `left` is what z = psi - psi' X y leaves of X'z, X = V A `transform` having orthonormal columns.
    """

    x: Array
    unit: float
    eps: float
    transform: Array
    p: float
    y: Array
    left: Array

    def block(self, A: Any, b: Any, weight: Any) -> tuple[Array, Array, Array, Array]:
        """X, residuals over their unit, and first and second derivatives of the loss."""
        X = as_block(A) @ self.transform
        if weight is not None:
            X = X * weight[:, None]
        r = residuals(A, b, weight, self.x) / self.unit
        slope, curvature = derivatives(r, self.p, self.eps)
        if self.p > 2.0:  # the largest is p - 1, as the largest residual is one
            curvature = np.maximum(curvature, FLOOR * (self.p - 1.0))
        return X, r, slope, curvature

    def dual(self, A: Any, b: Any, weight: Any) -> tuple[Array, Array, Array]:
        """X, residuals and the dual point of a block."""
        X, r, slope, curvature = self.block(A, b, weight)
        return X, r, slope - curvature * (X @ self.y) - X @ self.left


def solve(data: Data, few: Rows, p: float, rtol: float, *, exact: bool) -> Plane:
    """The minimiser of a sample with its gap over all rows, or, with `exact`, of all rows."""
    found = norm_plane(few, p, rtol)
    tiles, x, q = DaskMatrix(data.A), found.x, p / (p - 1.0)
    white = whiten(tiles, data.weight)
    T = white.transform if white.rank else np.zeros((few.d, 1))  # one zero column for a zero matrix
    transform = T if tiles.column_scale is None else tiles.column_scale[:, None] * T
    table = dask_arrays.compute(norms(data, residuals_and_rounding, 2, p, x=x))
    (value, noise), unit = norm_from(table, p), float(table[0, 0])
    if value <= ROUNDING * noise:
        return replace(fitted(data, x, float(value), few.n, found.n_iterations), rank=white.rank)
    span = span_of_tiles(tiles, data.weight, white)
    share = _SMALL if exact else smoothed_share(few.d, few.n)
    eps = float(np.quantile(np.abs(few.b - few.A @ x), share)) / unit if p < 2.0 else 0.0
    best, best_point, size_z, steps = -np.inf, None, 1.0, 0
    r = transform.shape[1]
    while True:
        nothing = np.zeros(r)
        point = Point(x, unit, eps, transform, p, nothing, nothing)
        total = dask_arrays.compute(
            dask_arrays.join_rows(_gram_and_gradient, *data.operands, shape=(r, r + 1), point=point)
        )
        y = Cholesky(total[:, :r]).solve(total[:, r])
        point = Point(x, unit, eps, transform, p, y, nothing)
        left, table = dask_arrays.compute(
            dask_arrays.join_rows(_left, *data.operands, shape=(1, r), point=point),
            norms(data, _shorter_residuals, len(_LENGTHS), p, point=point),
        )
        point = Point(x, unit, eps, transform, p, y, left[0])
        sums, norm_z = dask_arrays.compute(
            dask_arrays.join_rows(_products, *data.operands, shape=(1, r + 2), point=point),
            norms(data, _dual_columns, 1, q, point=point),
        )
        size, bound = float(norm_from(norm_z, q)[0]), -np.inf
        limit = _FEASIBLE * (data.A.shape[0] * sums[0, 1]) ** 0.5
        if size > 0.0 and np.linalg.norm(sums[0, 2:]) <= limit:
            bound = unit * float(sums[0, 0]) / size
        if bound > best:
            best, best_point, size_z = bound, point, size
        if not exact or value - best <= rtol * value or steps == _MAX_STEPS:
            break
        values = unit * norm_from(table, p)
        k = int(np.argmin(values))
        sharper = max(eps * (_SHRINK if _LENGTHS[k] == 1.0 else 0.5), _SHARPEST)
        if values[k] >= value and (p >= 2.0 or eps <= _SHARPEST):
            break
        if values[k] < value:
            x = x + _LENGTHS[k] * unit * (transform @ y)
            value, unit = values[k], unit * float(table[k, 0])
        eps, steps = (sharper if p < 2.0 else 0.0), steps + 1
    if best_point is None:
        z, best = dask_arrays.map_rows(zeros, *data.operands, width=None), 0.0
    else:
        z = dask_arrays.map_rows(_dual, *data.operands, width=None, point=best_point) / size_z
    gap = max(float(value) - best, 0.0)
    n_rows = data.n if exact else few.n
    method = "full" if exact else "sample"
    plane = Plane(x, z, float(value), gap, method, n_rows, found.n_iterations + steps)
    longest = float(data.n) ** max(0.5 - 1.0 / p, 0.0)  # |r|_2 beside |r|_p, at most
    return proven(data, plane, span, longest)


def _gram_and_gradient(first: int, A: Any, b: Any, weight: Any, *, point: Point) -> Array:
    X, _, slope, curvature = point.block(A, b, weight)
    return np.hstack([X.T @ (curvature[:, None] * X), (slope @ X)[:, None]])


def _left(first: int, A: Any, b: Any, weight: Any, *, point: Point) -> Array:
    X, _, z = point.dual(A, b, weight)
    return (z @ X)[None]


def _shorter_residuals(A: Any, b: Any, weight: Any, *, point: Point) -> Array:
    X, r, _, _ = point.block(A, b, weight)
    return r[:, None] - np.multiply.outer(X @ point.y, _LENGTHS)


def _products(first: int, A: Any, b: Any, weight: Any, *, point: Point) -> Array:
    """r'z, z'z and X'z."""
    X, r, z = point.dual(A, b, weight)
    return np.concatenate([[r @ z, z @ z], z @ X])[None]


def _dual_columns(A: Any, b: Any, weight: Any, *, point: Point) -> Array:
    return point.dual(A, b, weight)[2][:, None]


def _dual(first: int, A: Any, b: Any, weight: Any, *, point: Point) -> Array:
    return point.dual(A, b, weight)[2]
