"""Quantile regression of weighted rows of any scale and rank, all of them at once."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._panels import Panels
from randla._parallel import part_bounds, run_parts
from randla._scaling import power_of_two_scale
from randla._tall.dense import DenseMatrix
from randla._tall.whitening import SIMPLE, is_proven, whiten
from randla._typing import Array
from randla._validation import is_sparse, read_only
from randla.regression._kernels import accurate as kernels
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.heavy_tails import into_box, solve_pinball
from randla.regression._quantile.interior_point import MAX_ITERATIONS

#: Reciprocal condition of a Gram matrix above which the columns serve as they are.
_WELL_CONDITIONED = 1e-7
#: Residuals up to so many rounding errors count as zero where all of them are.
ROUNDING = 16.0
#: A'z beside the sizes of what it sums: above the one it is polished, above the other refused.
SHARP, FEASIBLE = 1e-12, 1e-10
#: Dual values below this share of the largest count as zero where A'z stays zero.
_NEGLIGIBLE = 1e-18
#: Entries of a part of A, which threads share.
PART_ENTRIES = 1 << 17
#: Relative residual of least squares above which no exact fit is looked for.
_FITTED = 1e-6


@dataclass
class Rows:
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

    def take(self, index: Any) -> "Rows":
        """Some rows, dense."""
        weight = None if self.weight is None else self.weight[index]
        return Rows(self.dense(index), self.b[index], weight)

    def below(self, A: Array, b: Array) -> "Rows":
        """These rows, dense, with more rows of weight one below them."""
        if len(b) == 0:
            return self
        weight = None if self.weight is None else np.append(self.weight, np.ones(len(b)))
        return Rows(np.vstack([self.dense(), A]), np.append(self.b, b), weight)

    def weighted(self) -> NDArray[Any]:
        """All rows as an array, times their weights."""
        A = self.dense()
        return A if self.weight is None else self.weight[:, None] * A

    def transposed_product(self, z: Array) -> Array:
        """A' diag(weight) z."""
        return self.A.T @ (z if self.weight is None else self.weight * z)

    def dual_sums(self, z: Array, scale: Array) -> tuple[Array, Array, float]:
        """With y = weight z: A'y, summed in twice the precision, |A|'|y| and |b|'|y|.

        `scale` are powers of two that multiply the columns.
        """
        return joined_sums(self.partial_sums(z, scale))

    def partial_sums(self, z: Array, scale: Array) -> list[tuple[Array, float]]:
        """The same for parts of the rows: A'y as two lines, and |A|'|y|; and |b|'|y|."""
        y = z if self.weight is None else self.weight * z
        y = read_only(np.asarray(y, np.float64))
        b = read_only(self.b.astype(np.float64, copy=False))

        def part(span: slice) -> tuple[Array, float]:
            sums = np.zeros((3, self.d))
            reach = kernels.add_columns(self._scaled(span, scale), b[span], y[span], *sums)
            return sums, reach

        return self._each_part(part)

    def accurate_residuals(self, x: Array, scale: Array) -> Array:
        """Weighted residuals as if computed in twice the precision; `scale` as for `dual_sums`."""
        x, out = read_only(x / scale), np.empty(self.n)
        b = read_only(self.b.astype(np.float64, copy=False))

        def part(span: slice) -> None:
            kernels.subtract_rows(self._scaled(span, scale), x, b[span], out[span])

        self._each_part(part)
        return out if self.weight is None else self.weight * out

    def _scaled(self, span: slice, scale: Array) -> Array:
        """A block of A, its columns times powers of two."""
        block = np.ascontiguousarray(self.dense(span), np.float64)
        return read_only(block if (scale == 1.0).all() else block * scale)

    def _each_part(self, visit: Callable[[slice], Any]) -> list[Any]:
        """Call ``visit(span of rows)`` for all rows, on several threads."""
        bounds = part_bounds(self.n, -(-self.n * self.d // PART_ENTRIES))
        seconds = 2e-9 * self.n * self.d
        return run_parts(lambda k: visit(slice(*bounds[k])), len(bounds), seconds=seconds)

    def residuals(self, x: Array) -> Array:
        """Weighted residuals b - A x."""
        r = self.b - self.A @ x
        return r if self.weight is None else self.weight * r

    def infeasibility(self, z: Array) -> float:
        """The largest entry of A' diag(weight) z beside the sizes of its terms; inf for NaN."""
        size = np.abs(z)
        size = size + 1e-3 * size.max(initial=0.0)  # zeros have rounding errors of their own
        if self.weight is not None:
            z, size = self.weight * z, self.weight * size
        off, size = np.abs(self.A.T @ z), abs(self.A).T @ size
        ratio = np.divide(off, size, out=np.zeros(self.d), where=off != 0.0)
        return float(ratio.max(initial=0.0)) if np.isfinite(ratio).all() else np.inf

    def rounding(self, x: Array) -> Array:
        """Bounds for the rounding errors of the weighted residuals, up to a small constant."""
        size = np.abs(self.b) + abs(self.A) @ np.abs(x)
        return np.finfo(np.float64).eps * (size if self.weight is None else self.weight * size)

    def fitted(self, x: Array) -> bool:
        """Whether b = A x up to rounding, in each row."""
        size = np.abs(self.residuals(x))
        scale = np.abs(self.b if self.weight is None else self.weight * self.b).max(initial=0.0)
        if size.max(initial=0.0) > _FITTED * scale:
            return False  # without a look at A
        return bool((size <= ROUNDING * self.rounding(x)).all())


def joined_sums(parts: list[tuple[Array, float]]) -> tuple[Array, Array, float]:
    """The sums over all parts, rounded once."""
    sums, reaches = zip(*parts, strict=True)
    found = np.array(sums)
    exact = [math.fsum(column) for column in found[:, :2].reshape(-1, found.shape[2]).T]
    return np.array(exact), found[:, 2].sum(axis=0), float(sum(reaches))


@dataclass
class Conditioned:
    """Panels of (diag(weight) A) T, with well conditioned columns, and T (d, r).

    `scale` are powers of two for the columns of A, and `columns` r independent ones; `plain` says
    that T does no more than to scale. `null` (d, d - r) is an orthonormal basis of A x = 0.
    `proven` and `doubtful` are those of `randla.regression._lp.certificate.Span`.
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


@dataclass
class RowsSolution:
    """Minimiser (d,), dual of the weighted rows and their residuals (n,), and how it was found.

    The dual lies in the box and A' diag(weight) z = 0, up to rounding.
    """

    x: Array
    z: Array
    residuals: Array
    n_iterations: int
    exact_fit: bool = False
    stalled: bool = False  # iterations ended at their limit


def condition(rows: Rows) -> Conditioned:
    """Scale the columns by powers of two; make them orthonormal where that is not enough."""
    n, d = rows.n, rows.d
    panels = Panels(n, d).fill(rows.dense(), weight=rows.weight)
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
    found = Conditioned(orthonormal, scale[:, None] * T, factor, scale, white.columns, False)
    found.proven, found.doubtful = is_proven(white), white.left_out or white.shortened
    if white.rank < d:
        found.null, exact = _null_space(panels, orthonormal, T, scale, white.columns)
        found.proven &= exact
        found.doubtful &= not exact
    return found


def _null_space(
    panels: Panels, orthonormal: Panels, T: Array, scale: Array, columns: NDArray[np.intp]
) -> tuple[Array, bool]:
    """Orthonormal basis of the x with A x = 0, from what the dependent columns are made of.

    And whether they are made of the others exactly, with simple coefficients.
    """
    d = panels.d
    others = np.setdiff1d(np.arange(d), columns)
    parts = orthonormal.data @ panels.data[:, :d].transpose(0, 2, 1)
    made_of = T[columns] @ parts.sum(axis=0)[: T.shape[1], others]
    simple, exact = np.rint(made_of * SIMPLE) / SIMPLE, True
    for column, coefficients in zip(others, simple.T, strict=True):
        for data in panels.data:
            left = np.empty(data.shape[1])
            rows, target = np.ascontiguousarray(data[columns].T), data[column].copy()
            kernels.subtract_rows(rows, coefficients.copy(), target, left)
            exact &= not left.any()
    if exact:  # without the rounding errors, which matter for rows that are not seen here
        made_of = simple
    basis = np.zeros((d, len(others)))
    basis[others, np.arange(len(others))] = 1.0
    if len(columns):
        basis[columns] = -made_of
    basis *= (scale / scale.max())[:, None]
    Q: Array = np.linalg.qr(basis / np.abs(basis).max(axis=0))[0]
    return Q, exact


def solve_rows(
    rows: Rows,
    tau: float,
    *,
    conditioned: Conditioned | None = None,
    x0: Array | None = None,
    known_side: Array | None = None,
    residual_scale: float = 0.0,
    rtol: float = 1e-8,
    crossover: bool = True,
    max_iterations: int = MAX_ITERATIONS,
) -> RowsSolution:
    """Minimise the weighted sum of rho_tau(b_i - a_i'x), in at most `max_iterations` iterations a solve.

    `x0` is given if it is near the solution; known_side (n,) then has +1 or -1 for rows that are known
    to lie above or below the optimal plane, and `residual_scale` a typical residual.
    """
    n = rows.n
    problem = condition(rows) if conditioned is None else conditioned
    if x0 is None and (fit := exact_fit(rows, problem)) is not None:
        return RowsSolution(fit, np.zeros(n), rows.residuals(fit), 0, exact_fit=True)
    start = np.zeros(rows.d) if x0 is None else x0
    residuals = rows.residuals(start)
    if not problem.transform.any():  # nothing to choose: each row takes the bound of its sign
        z = np.where(residuals > 0.0, tau, np.where(residuals < 0.0, tau - 1.0, 0.0))
        return RowsSolution(start, z, residuals, 0)
    panels, unit = with_rhs(problem.panels, residuals)
    solution = solve_pinball(
        panels,
        problem.factor,
        tau,
        known_side=None if known_side is None else panels.lines(known_side),
        residual_scale=residual_scale / unit,
        rtol=rtol,
        crossover=crossover,
        max_iterations=max_iterations,
    )
    with np.errstate(over="ignore", invalid="ignore"):  # told by the caller
        x = start + problem.transform @ (unit * solution.x)
    z, residuals = solution.z.ravel()[:n], unit * solution.residuals.ravel()[:n]
    vertex = solution.vertex
    if not problem.plain and np.isfinite(x).all():
        try:
            if vertex is not None:
                x, z = _polished_vertex(rows, problem, vertex, x, z)
                residuals = rows.residuals(x)
        except np.linalg.LinAlgError:  # equal rows, which differ in A T by rounding errors only
            vertex = None
        if vertex is None:
            z = _polished_dual(rows, problem, tau, z)
        z = into_box(z, tau)
    if x0 is None and problem.null is not None:
        x = shortest(rows, problem, x)
        residuals = rows.residuals(x)
    if vertex is not None:
        x = _with_exact_zeros(rows, vertex, x)
    if rows.infeasibility(z) > SHARP:  # rows may be of very different sizes
        z = into_box(_polished_dual(rows, problem, tau, z), tau)
        if rows.infeasibility(z) > FEASIBLE:
            z = np.zeros(n)
    size = np.abs(z)
    if size.max(initial=0.0) <= ROUNDING * np.finfo(np.float64).eps:  # beside a box of size one
        z, size = np.zeros(n), np.zeros(n)
    negligible = (size > 0.0) & (size <= _NEGLIGIBLE * size.max(initial=0.0))
    if negligible.any():  # where zeros were meant
        whole = np.where(negligible, 0.0, z)
        z = whole if rows.infeasibility(whole) <= SHARP else z
    return RowsSolution(x, z, residuals, solution.n_iterations, stalled=solution.stalled)


def _with_exact_zeros(rows: Rows, vertex: NDArray[np.intp], x: Array) -> Array:
    """Zeros for the coefficients of which the vertex has a row x_j = 0, as a penalty has."""
    through = rows.dense(vertex[rows.b[vertex] == 0.0])
    if len(through):
        alone = np.count_nonzero(through, axis=1) == 1
        x = x.copy()
        x[np.abs(through[alone]).argmax(axis=1)] = 0.0
    return x


def _polished_vertex(
    rows: Rows, problem: Conditioned, vertex: NDArray[np.intp], x: Array, z: Array
) -> tuple[Array, Array]:
    """A vertex and its dual, once more in the columns of A: T has rounding errors of its own."""
    columns, scale = problem.columns, problem.scale
    basis = rows.take(vertex)
    square = (basis.weighted() * scale)[:, columns]
    x, z = x.copy(), z.copy()
    for _ in range(2):
        x[columns] += scale[columns] * np.linalg.solve(square, basis.residuals(x))
        z[vertex] -= np.linalg.solve(square.T, rows.dual_sums(z, scale)[0][columns])
    return x, z


def _polished_dual(rows: Rows, problem: Conditioned, tau: float, z: Array) -> Array:
    """The same for a dual that is not at a vertex: the least change in the metric of its slacks."""
    panels, n = problem.panels, rows.n
    metric = panels.lines(np.maximum((z - (tau - 1.0)) * (tau - z), 0.0))
    factor = Cholesky(panels.gram(metric))
    for _ in range(2):
        left = factor.solve(problem.scaled_transform.T @ rows.dual_sums(z, problem.scale)[0])
        z = z + (metric * panels.residuals(left, np.zeros_like(metric))).ravel()[:n]
    return z


def with_rhs(panels: Panels, residuals: Array) -> tuple[Panels, float]:
    """The same rows with a right-hand side of size one, and the unit that was divided out."""
    unit = 1.0 / float(power_of_two_scale(np.abs(residuals).max(initial=0.0)))
    given = copy(panels)  # the rows are shared
    given.rhs = panels.lines(residuals / unit)
    return given, unit


def shortest(rows: Rows, problem: Conditioned, x: Array, start: Array | None = None) -> Array:
    """The x of least norm with the same A x (one solution where there are many); x in doubt.

    `problem` may be that of some of the rows; `start` are the residuals that are aimed at, those
    of x, with its rounding errors, by default.
    """
    if problem.null is None or not np.isfinite(x).all():
        return x
    y = x - problem.null @ (problem.null.T @ x)
    blur = 0.0 if start is not None else rows.rounding(x)
    start = rows.residuals(x) if start is None else start
    if problem.panels.n == rows.n:  # rounding errors of the null space, by least squares
        for _ in range(2):
            moved = problem.panels.lines(rows.residuals(y) - start)
            y = y + problem.transform @ problem.panels.transposed_product(moved)
    limit = ROUNDING * np.maximum(rows.rounding(y), blur)
    return y if (np.abs(rows.residuals(y) - start) <= limit).all() else x


def exact_fit(rows: Rows, problem: Conditioned) -> Array | None:
    """The shortest x with b = A x up to rounding in each row, if there is one."""
    x, panels = np.zeros(rows.d), problem.panels
    for attempt in range(3):
        if rows.fitted(x):  # a shorter one has less rounding: no residual of x may be left
            return shortest(rows, problem, x, np.zeros(rows.n))
        residuals = rows.residuals(x)
        panels, unit = with_rhs(panels, residuals)
        y = problem.factor.solve(panels.transposed_product(panels.rhs))
        if attempt == 0 and np.abs(panels.residuals(y)).max() > _FITTED:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            x = x + problem.transform @ (unit * y)
        if not np.isfinite(x).all():
            return None
    return None
