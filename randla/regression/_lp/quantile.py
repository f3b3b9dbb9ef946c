"""Quantile fits of weighted rows with an optional l_1 penalty: choice of solver, certificates."""

from dataclasses import replace
from functools import partial

import numpy as np

from randla._typing import Array
from randla.regression._lp.certificate import Fit, Span, prove, span_of
from randla.regression._panels.weighted_data import Conditioned, WeightedData, condition
from randla.regression._quantile.preprocessing import Preprocessing, ScreenedFit, worthwhile
from randla.regression._quantile.screened import loss_and_gap
from randla.regression._quantile.weighted import solve_rows


def penalty_rows(l1: Array) -> Array:
    """Rows whose pinball losses with b = 0 add up to sum_j l1_j |x_j|, for every tau.

    rho_tau(t) + rho_tau(-t) = |t|: a row and its negative for each column with a penalty.
    """
    half = np.diag(l1)[l1 > 0.0]
    return np.vstack([half, -half])


def quantile_fits(
    data: WeightedData,
    penalty: Array,
    taus: list[float],
    *,
    method: str,
    rtol: float,
    generator: np.random.Generator,
    certify: bool = True,
) -> list[Fit]:
    """Minimize sum_i weight_i rho_tau(b_i - a_i'x) + sum_j penalty_j |x_j| for each tau.

    Without `certify` gaps are those of the solvers, not proven.
    """
    extra = penalty_rows(penalty)
    screened: list[ScreenedFit | None] = [None] * len(taus)
    if method == "preprocess" or (
        method == "auto" and all(worthwhile(data.n, data.d, tau) for tau in taus)
    ):
        screened = Preprocessing(data, extra, generator).solve(taus, rtol)
    everything = data.below(extra, np.zeros(len(extra)))
    conditioned = condition(everything) if None in screened else None  # once for all of them
    fits = []
    for tau, fit in zip(taus, screened, strict=True):
        if fit is None and conditioned is not None:
            fits.append(_of_all(data.n, everything, conditioned, tau, rtol, certify))
        elif fit is not None:
            fits.append(_of_screened(data, fit, certify))
    return fits


def _of_screened(data: WeightedData, result: ScreenedFit, certify: bool) -> Fit:
    screened, solution = result.screened, result.solution
    assert screened is not None
    assert solution is not None
    n_rows = screened.near.n
    n_iterations = result.n_iterations
    fit = Fit(result.x, result.z, result.value, result.gap, "preprocess", n_rows, n_iterations)
    if not certify:
        return fit
    zeros = np.zeros(len(screened.extra))
    # The columns of the near rows are as independent as those of all, unless these are too few.
    span = span_of(condition(screened.near.below(screened.extra, zeros)))
    if span.rank < data.d or not span.certified:
        span = span_of(condition(data.below(screened.extra, zeros)))
    extra = WeightedData(screened.extra, zeros)
    return proven(span, result.tau, fit, [(data, fit.z), (extra, screened.dual_of_extra(solution))])


def _of_all(
    n: int, data: WeightedData, problem: Conditioned, tau: float, rtol: float, certify: bool
) -> Fit:
    solution = solve_rows(data, tau, conditioned=problem, rtol=rtol)
    x, z, span = solution.x, solution.z, span_of(problem)
    with np.errstate(over="ignore", invalid="ignore"):  # an x that overflows is refused later
        value, gap = loss_and_gap(tau, data.residuals(x), z)
    fit = Fit(x, z, value, gap, "full", n, solution.n_iterations, span.rank)
    if certify and np.isfinite(value) and not solution.exact_fit:
        fit = proven(span, tau, fit, [(data, z)])
    return replace(fit, z=fit.z[:n])


def proven(span: Span, tau: float, fit: Fit, parts: list[tuple[WeightedData, Array]]) -> Fit:
    """The fit with its proven gap: |r|_2 <= |r|_1 <= sum rho_tau(r) / min(tau, 1 - tau)."""
    return prove(span, fit, parts, 1.0 / min(tau, 1.0 - tau), partial(_measure, tau))


def _measure(tau: float, residuals: list[Array], duals: list[Array]) -> tuple[float, float]:
    return loss_and_gap(tau, np.concatenate(residuals), np.concatenate(duals))
