"""l_p and quantile regression on a sample of the rows, with a certificate for all of them.

Rows are drawn by the scores of [A b]: scores of A alone say nothing about the residuals. The lower
bound is that of all rows. For 1 < p < inf it comes from a Newton step y of all rows at the sample's
x: z = psi - psi' A y has A'z = 0, psi being the derivative of the loss, and is off by the square of
the step only. For p = 1 and quantiles the rows far from the sample's plane are summed into two, and
the dual of that small problem serves all rows, as in `_globbing`.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from randla._tall.blocks import open_block
from randla._tall.whitening import whiten
from randla._typing import Array
from randla._validation import is_sparse
from randla.regression._lp.certificate import span_of, span_of_whitening
from randla.regression._lp.newton import derivatives, norm
from randla.regression._lp.norm import certified_norm, norm_plane
from randla.regression._lp.quantile import Plane, certified_loss, penalty_rows, quantile_planes
from randla.regression._panels.cholesky import Cholesky
from randla.regression._quantile.weighted import FEASIBLE, Rows, condition, solve_rows
from randla.sampling._samples.sample_rows import sample_rows

#: Rows of a sample for each column of [A b], if no size is given.
_ROWS_A_COLUMN = 50
#: Rows near the plane of a sample: so many standard errors of the plane,
#: but so many for each row of the sample at least and at most.
_BAND, _FEWEST, _MOST = 6.0, 10, 400
#: Relative tolerance of the small problem.
_TOLERANCE = 1e-3
#: For p < 2 the loss is smoothed where residuals are below this quantile, in units of the sample's
#: error, sqrt(d / size): a Newton step of that length must not leave what is smooth.
_SMALL, _LARGEST_SMALL = 1.4, 0.5


def default_size(n: int, d: int, p: float) -> int:
    """Rows of a sample of [A b].

    At p = 1 so many that the rows near its plane, see `band`, are at most 50 times as many.
    """
    least = (_BAND * n * np.sqrt(d) / 100.0) ** (2.0 / 3.0) if p == 1.0 else 0.0
    return min(n, max(_ROWS_A_COLUMN * (d + 1), math.ceil(least)))


def rows_near(n: int, d: int, size: int, tau: float) -> int:
    """Rows near the plane of a sample that its certificate takes one by one."""
    return min(int(np.clip(band(n, d, size, tau), _FEWEST * size, _MOST * size)), n)


def band(n: int, d: int, size: int, tau: float) -> float:
    """Rows near the plane of a sample among which the plane of all rows is looked for."""
    return float(_BAND * n * np.sqrt(tau * (1.0 - tau) * d / size))


def smoothed_share(d: int, size: int) -> float:
    """Share of the rows whose loss is smoothed for the certificate of a sample, for p < 2."""
    return min(_SMALL * math.sqrt(d / size), _LARGEST_SMALL)


def sampled_quantiles(
    rows: Rows,
    penalty: Array,
    taus: list[float],
    *,
    size: int,
    rtol: float,
    generator: np.random.Generator,
) -> list[Plane]:
    """Planes of the sample, with loss and gap over all rows."""
    few = _drawn(rows, 1.0, size, generator)
    found = quantile_planes(few, penalty, taus, method="auto", rtol=rtol, generator=generator)
    extra = penalty_rows(penalty)
    return [
        _certified(rows, extra, tau, plane, few.n) for tau, plane in zip(taus, found, strict=True)
    ]


def sampled_norm(
    rows: Rows, p: float, *, size: int, rtol: float, generator: np.random.Generator
) -> Plane:
    """The minimiser for the sample, with norm and gap over all rows."""
    few = _drawn(rows, p, size, generator)
    found = norm_plane(few, p, rtol)
    metric = _Metric(rows)
    r = rows.residuals(found.x)
    value, q, span = norm(r, p), p / (p - 1.0), metric.span
    if rows.fitted(found.x):
        return Plane(
            found.x, np.zeros(rows.n), value, value, "sample", few.n, found.n_iterations, span.rank
        )
    size_r = np.abs(r)
    unit = float(size_r.max())
    share = smoothed_share(rows.d, few.n)
    eps = float(np.quantile(size_r[size_r > 0.0], share)) / unit if p < 2.0 else 0.0
    slope, curvature = derivatives(r / unit, p, eps)
    z = metric.projected(slope, curvature)
    z = metric.projected(metric.projected(z, np.ones(rows.n)), np.ones(rows.n))
    largest = norm(z, q)
    z = z / largest if largest > 0.0 and rows.infeasibility(z) <= FEASIBLE else np.zeros(rows.n)
    plane = replace(found, z=z, method="sample", n_rows=few.n)
    return certified_norm(rows, span, p, plane)


def _drawn(rows: Rows, p: float, size: int, generator: np.random.Generator) -> Rows:
    """A sample whose p-th powers of weighted residuals are unbiased for those of all rows."""
    M: Any
    if is_sparse(rows.A):
        from scipy.sparse import csr_array, diags_array, hstack

        M = csr_array(hstack([rows.A, rows.b[:, None]]))
        M = M if rows.weight is None else csr_array(diags_array(rows.weight) @ M)
    else:
        M = np.column_stack([rows.A, rows.b])
        if rows.weight is not None:
            M *= rows.weight[:, None]
    if not (M.data if is_sparse(M) else M).any():
        return rows.take(np.arange(1))  # nothing to fit: any row will do
    sample = sample_rows(M, size, p=p, rng=generator)
    if len(sample) == 0:  # as may happen for a size of one or two: exactly so many then
        sample = sample_rows(M, size, p=p, scheme="fixed", rng=generator)
    taken = rows.take(sample.indices)
    root = sample.weights ** (1.0 / p)
    return replace(taken, weight=root if taken.weight is None else taken.weight * root)


class _Metric:
    """Projections on the dual points of V A, tile by tile."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.tiles = rows, open_block(rows.A)
        white, scale = whiten(self.tiles, rows.weight), self.tiles.column_scale
        self.T = white.transform if white.rank else np.zeros((rows.d, 1))  # as in `condition`
        self.scale = np.ones(rows.d) if scale is None else scale
        self.span = span_of_whitening(white, self.scale)
        if self.span.rank < rows.d:  # which may be exact
            self.span = span_of(condition(rows))

    def transposed(self, z: Array) -> Array:
        """(A T)'V z."""
        return self.T.T @ self.rows.dual_sums(z, self.scale)[0]

    def projected(self, z: Array, metric: Array) -> Array:
        """Add to z what makes A'V z = 0 and is least in a metric (n,)."""
        V = np.ones(self.rows.n) if self.rows.weight is None else self.rows.weight
        factor = Cholesky(self.tiles.gram(self.T, V * np.sqrt(metric)))
        y = self.scale * (self.T @ factor.solve(self.transposed(z)))
        return z - metric * V * (self.rows.A @ y)


def _certified(rows: Rows, extra: Array, tau: float, plane: Plane, size: int) -> Plane:
    """The plane with its loss over all rows, and a dual from the rows near it and two sums."""
    n, x = rows.n, plane.x
    r = rows.residuals(x)
    if rows.fitted(x) and not (extra @ x).any():
        value = float(np.maximum(tau * r, (tau - 1.0) * r).sum())
        return replace(plane, z=np.zeros(n), value=value, gap=value, method="sample", n_rows=size)
    weight = np.ones(n) if rows.weight is None else rows.weight
    distance = np.divide(np.abs(r), weight, out=np.zeros(n), where=weight > 0.0)
    kept = rows_near(n, rows.d, size, tau)
    edge = np.partition(distance, kept - 1)[kept - 1]
    side = np.sign(r) * (distance > edge)
    keep = np.flatnonzero(side == 0.0)
    masks = np.stack([weight * (side > 0.0), weight * (side < 0.0)])
    A = np.vstack([extra, (rows.A.T @ masks.T).T])
    small = rows.take(keep).below(A, np.append(np.zeros(len(extra)), masks @ rows.b))
    far = np.zeros(small.n)
    far[-2:] = 1.0, -1.0
    spread = float(np.abs(r).mean())
    solution = solve_rows(
        small, tau, x0=x, known_side=far, residual_scale=spread, rtol=_TOLERANCE, crossover=False
    )
    z = np.where(side > 0.0, solution.z[-2], solution.z[-1])
    z[keep] = solution.z[: len(keep)]
    r, dual = np.append(r, -(extra @ x)), np.append(z, solution.z[len(keep) : -2])
    loss = np.maximum(tau * r, (tau - 1.0) * r)
    n_iterations = plane.n_iterations + solution.n_iterations
    value, gap = float(loss.sum()), float((loss - dual * r).sum())
    found = Plane(x, z, value, gap, "sample", size, n_iterations)
    return certified_loss(rows, extra, rows.take(keep), tau, found, dual[n:])
