"""Quantile planes of weighted rows with an optional l_1 penalty: which solver, and certificates."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from randla._typing import Array
from randla.regression._lp.certificate import Proof, Span, loss_and_gap, prove, span_of
from randla.regression._quantile.preprocessing import GlobbedSolution, Globbing, worthwhile
from randla.regression._quantile.weighted import Conditioned, Rows, condition, solve_rows


@dataclass
class Plane:
    """One quantile: x (d,), dual of the weighted rows (n,), loss and proven gap, and the cost.

    `rank` and `certified` are those of its `Span`; `rounding` is what rounding errors of the
    residuals may make up of the gap.
    """

    x: Array
    z: Array
    value: float
    gap: float
    method: str
    n_rows: int
    n_iterations: int
    rank: int = 0
    certified: bool = True
    rounding: float = 0.0


def penalty_rows(l1: Array) -> Array:
    """Rows whose pinball losses with b = 0 add up to sum_j l1_j |x_j|, for every tau.

    rho_tau(t) + rho_tau(-t) = |t|: a row and its negative for each column with a penalty.
    """
    half = np.diag(l1)[l1 > 0.0]
    return np.vstack([half, -half])


def quantile_planes(
    rows: Rows,
    penalty: Array,
    taus: list[float],
    *,
    method: str,
    rtol: float,
    generator: np.random.Generator,
) -> list[Plane]:
    """Minimise sum_i weight_i rho_tau(b_i - a_i'x) + sum_j penalty_j |x_j| for each tau."""
    extra = penalty_rows(penalty)
    planes: list[Plane | None] = [None] * len(taus)
    if method == "preprocess" or (
        method == "auto" and all(worthwhile(rows.n, rows.d, tau) for tau in taus)
    ):
        found = Globbing(rows, extra, generator).solve(taus, rtol)
        planes = [
            None if solution is None else _from_globs(rows, extra, tau, solution)
            for tau, solution in zip(taus, found, strict=True)
        ]
    if any(plane is None for plane in planes):
        everything = rows.below(extra, np.zeros(len(extra)))
        conditioned = condition(everything)
        for k, tau in enumerate(taus):
            if planes[k] is None:
                planes[k] = _from_all(rows.n, everything, conditioned, tau, rtol)
    return [plane for plane in planes if plane is not None]


def _from_globs(rows: Rows, extra: Array, tau: float, found: GlobbedSolution) -> Plane:
    n_rows = len(found.keep)
    plane = Plane(
        found.x, found.z, found.value, found.gap, "preprocess", n_rows, found.n_iterations
    )
    return certified_loss(rows, extra, rows.take(found.keep), tau, plane, found.z_extra)


def certified_loss(
    rows: Rows, extra: Array, some: Rows, tau: float, plane: Plane, z_extra: Array
) -> Plane:
    """The plane of `rows` and `extra` with its proven gap.

    The columns of `some` of the rows are as independent as those of all, unless these rows are too
    few.
    """
    zeros = np.zeros(len(extra))
    span = span_of(condition(some.below(extra, zeros)))
    if span.rank < rows.d or not span.certified:
        span = span_of(condition(rows.below(extra, zeros)))
    return _proven(span, tau, plane, [(rows, plane.z), (Rows(extra, zeros), z_extra)])


def _from_all(n: int, rows: Rows, conditioned: Conditioned, tau: float, rtol: float) -> Plane:
    solution = solve_rows(rows, tau, conditioned=conditioned, rtol=rtol)
    x, z, span = solution.x, solution.z, span_of(conditioned)
    with np.errstate(over="ignore", invalid="ignore"):  # x that overflows is refused by the caller
        value, gap = loss_and_gap(tau, [rows.residuals(x)], [z])
    plane = Plane(x, z, value, gap, "full", n, solution.n_iterations, span.rank)
    if np.isfinite(value) and not solution.exact_fit:
        plane = _proven(span, tau, plane, [(rows, z)])
    return replace(plane, z=plane.z[:n])


def _proven(span: Span, tau: float, plane: Plane, parts: list[tuple[Rows, Array]]) -> Plane:
    c, measure = 1.0 / min(tau, 1.0 - tau), partial(loss_and_gap, tau)
    proof = prove(span, parts, plane.x, plane.value, plane.gap, c, measure)
    return proven_plane(plane, span, proof)


def proven_plane(plane: Plane, span: Span, proof: Proof) -> Plane:
    """The plane with what is proven of it; a dual point that proves nothing becomes zero."""
    return replace(
        plane, z=plane.z if proof.gap < proof.value else np.zeros_like(plane.z),
        value=proof.value, gap=proof.gap, rounding=proof.rounding,
        rank=span.rank, certified=span.certified,
    )  # fmt: skip
