"""A, b and weights in memory, and their rows conditioned: well scaled, independent columns."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._panels import Panels
from randla._parallel import part_bounds, run_parts
from randla._scaling import EPS, power_of_two_scale
from randla._tall.dense import DenseMatrix
from randla._tall.whitening import SIMPLE, is_proven, whiten
from randla._typing import Array
from randla._validation import is_sparse, read_only
from randla.regression._kernels import accurate as kernels
from randla.regression._panels.cholesky import Cholesky

#: Reciprocal condition of a Gram matrix above which the columns are used unchanged: directions then
#: have half of their digits, and the certificate is that of the columns themselves.
_WELL_CONDITIONED = 1e-7
#: Residuals up to this many rounding errors count as zero if all of them do.
ROUNDING = 16.0
#: Entries of a part of A, which threads share (1 MB).
PART_ENTRIES = 1 << 17
#: Relative residual of least squares above which no exact fit is searched for.
_FITTED = 1e-6


@dataclass
class WeightedData:
    """Rows of A (n, d), dense or CSR, right-hand sides b and weights (n,); None is ones."""

    A: Any
    b: NDArray[Any]
    weight: Array | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.A.shape[0])

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self.A.shape[1])

    def dense(self, index: Any = slice(None)) -> NDArray[Any]:
        """Some rows of A as an array."""
        if is_sparse(self.A):
            return self.A[index].toarray()
        if isinstance(index, np.ndarray):
            return self.A.take(index, axis=0)  # faster than indexing
        return self.A[index]

    def take(self, index: Any) -> "WeightedData":
        """Some rows, dense."""
        weight = None if self.weight is None else self.weight[index]
        return WeightedData(self.dense(index), self.b[index], weight)

    def below(self, A: Array, b: Array) -> "WeightedData":
        """These rows, dense, with more rows of weight one below them."""
        if len(b) == 0:
            return self
        weight = None if self.weight is None else np.append(self.weight, np.ones(len(b)))
        return WeightedData(np.vstack([self.dense(), A]), np.append(self.b, b), weight)

    def weighted(self, values: Array) -> Array:
        """Values (n,) or rows (n, k), times the weights."""
        if self.weight is None:
            return values
        return self.weight * values if values.ndim == 1 else self.weight[:, None] * values

    def each_part(self, visit: Callable[[slice], Any]) -> list[Any]:
        """Call ``visit(span of rows)`` for all rows, on several threads."""
        bounds = part_bounds(self.n, -(-self.n * self.d // PART_ENTRIES))
        seconds = 2e-9 * self.n * self.d
        return run_parts(lambda k: visit(slice(*bounds[k])), len(bounds), seconds=seconds)

    def residuals(self, x: Array) -> Array:
        """Weighted residuals b - A x."""
        return self.weighted(self.b - self.A @ x)

    def rounding(self, x: Array) -> Array:
        """Bounds for the rounding errors of the weighted residuals, up to a small constant."""
        terms = np.abs(self.b) + abs(self.A) @ np.abs(x)
        return EPS * self.weighted(terms)

    def fitted(self, x: Array, residuals: Array | None = None) -> bool:
        """Whether b = A x up to rounding, in each row."""
        errors = np.abs(self.residuals(x) if residuals is None else residuals)
        if errors.max(initial=0.0) > _FITTED * np.abs(self.weighted(self.b)).max(initial=0.0):
            return False  # without reading A
        return bool((errors <= ROUNDING * self.rounding(x)).all())

    def infeasibility(self, z: Array) -> float:
        """The largest entry of A' diag(weight) z relative to its terms; inf for NaN."""
        terms = np.abs(z)
        terms = terms + 1e-3 * terms.max(initial=0.0)  # zeros have rounding errors too
        sums = np.abs(self.A.T @ self.weighted(z))
        terms = abs(self.A).T @ self.weighted(terms)
        ratio = np.divide(sums, terms, out=np.zeros(self.d), where=sums != 0.0)
        return float(ratio.max(initial=0.0)) if np.isfinite(ratio).all() else np.inf

    # In twice the precision ----------------------------------------------------------------------

    def dual_sums(self, z: Array, scale: Array) -> tuple[Array, Array, float]:
        """With y = weight z: A'y, summed in twice the precision, |A|'|y| and |b|'|y|.

        `scale` are powers of two that multiply the columns.
        """
        return joined_sums(self.partial_sums(z, scale))

    def partial_sums(self, z: Array, scale: Array) -> list[tuple[Array, float]]:
        """Terms of `dual_sums`, a part of the rows each: A'y as two lines, |A|'|y|; |b|'|y|."""
        y = read_only(np.asarray(self.weighted(z), np.float64))
        b = read_only(self.b.astype(np.float64, copy=False))

        def part(span: slice) -> tuple[Array, float]:
            sums = np.zeros((3, self.d))
            reach = kernels.add_columns(self._scaled(span, scale), b[span], y[span], *sums)
            return sums, reach

        return self.each_part(part)

    def accurate_residuals(self, x: Array, scale: Array) -> Array:
        """Weighted residuals as if computed in twice the precision; `scale` as for `dual_sums`."""
        x, out = read_only(x / scale), np.empty(self.n)
        b = read_only(self.b.astype(np.float64, copy=False))
        self.each_part(
            lambda span: kernels.subtract_rows(self._scaled(span, scale), x, b[span], out[span])
        )
        return self.weighted(out)

    def _scaled(self, span: slice, scale: Array) -> Array:
        """A block of A, its columns times powers of two."""
        block = np.ascontiguousarray(self.dense(span), np.float64)
        return read_only(block if (scale == 1.0).all() else block * scale)


def joined_sums(parts: list[tuple[Array, float]]) -> tuple[Array, Array, float]:
    """The sums over all parts, rounded once."""
    sums, reaches = (np.array(values) for values in zip(*parts, strict=True))
    exact = [math.fsum(column) for column in sums[:, :2].reshape(-1, sums.shape[2]).T]
    return np.array(exact), sums[:, 2].sum(axis=0), float(reaches.sum())


def stacked(parts: list[WeightedData]) -> WeightedData:
    """Dense rows, one part below the other."""
    A, b = (np.concatenate([getattr(part, name) for part in parts]) for name in ("A", "b"))
    weights = [part.weight for part in parts if part.weight is not None]
    return WeightedData(A, b, np.concatenate(weights) if weights else None)


@dataclass
class Conditioned:
    """Panels of (diag(weight) A) T, with well conditioned columns, and T (d, r).

    `scale` are powers of two for the columns of A, and `columns` r independent ones; `plain` means
    that T only scales. `null` (d, d - r) is an orthonormal basis of A x = 0. `proven` means that
    the columns of A T are orthonormal in exact arithmetic, up to a tenth, and all others depend on
    them exactly; `doubtful` that more than rounding errors was left out.
    """

    panels: Panels
    transform: Array
    factor: Cholesky
    scale: Array
    columns: NDArray[np.intp]
    plain: bool
    null: Array | None = None
    proven: bool = True
    doubtful: bool = False

    @property
    def scaled_transform(self) -> Array:
        """T for the scaled columns."""
        return self.transform / self.scale[:, None]

    def with_rhs(self, residuals: Array) -> tuple[Panels, float]:
        """The rows with a right-hand side of size one, and the unit that was divided out."""
        unit = 1.0 / float(power_of_two_scale(np.abs(residuals).max(initial=0.0)))
        panels = copy(self.panels)  # the rows are shared
        panels.rhs = panels.lines(residuals / unit)
        return panels, unit


def condition(data: WeightedData) -> Conditioned:
    """Scale the columns by powers of two; make them orthonormal if scaling is not enough."""
    n, d = data.n, data.d
    panels = Panels(n, d).fill(data.dense(), weight=data.weight)
    scale = power_of_two_scale(panels.column_maxima())
    panels.data[:, :d] *= scale[:, None]
    G = panels.gram()
    if n >= d and np.diagonal(G).min(initial=1.0) > 0.0:
        factor = Cholesky(G)
        if factor.reciprocal_condition() > _WELL_CONDITIONED:
            return Conditioned(panels, np.diag(scale), factor, scale, np.arange(d), True)
    scaled = np.ascontiguousarray(panels.data[:, :d].transpose(0, 2, 1)).reshape(-1, d)[:n]
    white = whiten(DenseMatrix(scaled))
    T = white.transform if white.rank else np.zeros((d, 1))  # one zero column for a zero matrix
    orthonormal = Panels(n, T.shape[1])
    orthonormal.weight = panels.weight
    np.matmul(T.T, panels.data[:, :d], out=orthonormal.data[:, : T.shape[1]])
    factor = Cholesky(orthonormal.gram())
    problem = Conditioned(orthonormal, scale[:, None] * T, factor, scale, white.columns, False)
    problem.proven, problem.doubtful = is_proven(white), white.left_out or white.shortened
    if white.rank < d:
        problem.null, exact = _null_space(panels, orthonormal, T, scale, white.columns)
        problem.proven &= exact
        problem.doubtful &= not exact
    return problem


def _null_space(
    panels: Panels, orthonormal: Panels, T: Array, scale: Array, columns: NDArray[np.intp]
) -> tuple[Array, bool]:
    """Orthonormal null-space basis of A, from the coefficients of its dependent columns.

    And whether they are sums of the others exactly, with simple coefficients.
    """
    d = panels.d
    others = np.setdiff1d(np.arange(d), columns)
    # A_others = A_columns C with C = T[columns] (A T)'A_others, as A T is orthonormal.
    products = (orthonormal.data @ panels.data[:, :d].transpose(0, 2, 1)).sum(axis=0)
    coefficients = T[columns] @ products[: T.shape[1], others]
    simple, exact = np.rint(coefficients * SIMPLE) / SIMPLE, True
    for column, multiples in zip(others, simple.T, strict=True):
        for data in panels.data:
            error = np.empty(data.shape[1])
            rows, target = np.ascontiguousarray(data[columns].T), data[column].copy()
            kernels.subtract_rows(rows, multiples.copy(), target, error)
            exact &= not error.any()
    if exact:  # without the rounding errors, which matter for rows that are not used here
        coefficients = simple
    basis = np.zeros((d, len(others)))
    basis[others, np.arange(len(others))] = 1.0
    if len(columns):
        basis[columns] = -coefficients  # A (e_other - C) = 0
    basis *= (scale / scale.max())[:, None]
    Q: Array = np.linalg.qr(basis / np.abs(basis).max(axis=0))[0]
    return Q, exact


def shortest(
    data: WeightedData, problem: Conditioned, x: Array, start: Array | None = None
) -> Array:
    """The x of least norm with the same A x (one of many solutions); x itself if this is uncertain.

    `problem` may have only some of the rows; `start` are the target residuals, by default those of
    x, with its rounding errors.
    """
    if problem.null is None or not np.isfinite(x).all():
        return x
    y = x - problem.null @ (problem.null.T @ x)
    blur = 0.0 if start is not None else data.rounding(x)
    start = data.residuals(x) if start is None else start
    if problem.panels.n == data.n:  # rounding errors of the null space, by least squares
        for _ in range(2):
            moved = problem.panels.lines(data.residuals(y) - start)
            y = y + problem.transform @ problem.panels.transposed_product(moved)
    limit = ROUNDING * np.maximum(data.rounding(y), blur)
    return y if (np.abs(data.residuals(y) - start) <= limit).all() else x


def exact_fit(data: WeightedData, problem: Conditioned) -> Array | None:
    """The shortest x with b = A x up to rounding in each row, if there is one."""
    x = np.zeros(data.d)
    for attempt in range(3):  # least squares, refined twice
        if data.fitted(x):  # a shorter x has less rounding: no residual of x may be left
            return shortest(data, problem, x, np.zeros(data.n))
        panels, unit = problem.with_rhs(data.residuals(x))
        y = problem.factor.solve(panels.transposed_product(panels.rhs))
        if attempt == 0 and np.abs(panels.residuals(y)).max() > _FITTED:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            x = x + problem.transform @ (unit * y)
        if not np.isfinite(x).all():
            return None
    return None
