"""Quantile planes of weighted rows with an optional l_1 penalty: which solver, and certificates."""

from dataclasses import dataclass

import numpy as np

from randla.sampling._globbing import GlobbedSolution, Globbing, worthwhile
from randla.sampling._panels import Array
from randla.sampling._pinball import Conditioned, Rows, condition, solve_rows


@dataclass
class Plane:
    """One quantile: x (d,), dual of the weighted rows (n,), loss and duality gap, and the cost."""

    x: Array
    z: Array
    value: float
    gap: float
    method: str
    n_rows: int
    n_iterations: int


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
        planes = [None if solution is None else _from_globs(solution) for solution in found]
    if any(plane is None for plane in planes):
        everything = rows.below(extra, np.zeros(len(extra)))
        conditioned = condition(everything)
        for k, tau in enumerate(taus):
            if planes[k] is None:
                planes[k] = _from_all(rows.n, everything, conditioned, tau, rtol)
    return [plane for plane in planes if plane is not None]


def _from_globs(solution: GlobbedSolution) -> Plane:
    return Plane(
        solution.x,
        solution.z,
        solution.value,
        solution.gap,
        "preprocess",
        len(solution.keep),
        solution.n_iterations,
    )


def _from_all(n: int, rows: Rows, conditioned: Conditioned, tau: float, rtol: float) -> Plane:
    solution = solve_rows(rows, tau, conditioned=conditioned, rtol=rtol)
    with np.errstate(over="ignore", invalid="ignore"):  # x that overflows is refused by the caller
        residuals = rows.residuals(solution.x)
        loss = np.maximum(tau * residuals, (tau - 1.0) * residuals)
        gap = float((loss - solution.z * residuals).sum())
    return Plane(
        solution.x, solution.z[:n], float(loss.sum()), gap, "full", n, solution.n_iterations
    )
