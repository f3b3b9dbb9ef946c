r"""Errors of quantile fits: sandwiches of densities at the fits, jointly for several quantiles.

For quantiles s and t, with :math:`D_s = \sum_i w_i f_{s,i} a_i a_i^T` from densities f,

.. math:: \mathrm{Cov}(x_s, x_t) = (\min(s, t) - s t)\, D_s^{-1} D_0 D_t^{-1}, \qquad
          D_0 = \sum_i m_i a_i a_i^T,

where m is w^2, for frequencies w. If rows of positive density do not determine all coefficients (a
rare indicator, a far tail), the others keep their errors, from the rows that do not involve those.

Source: Koenker, "Quantile regression", Cambridge University Press (2005), sections 3.2 and 3.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from randla._results import warn_caller
from randla._typing import Array
from randla.regression._errors import density
from randla.regression._errors.basis import Basis, Bread
from randla.regression._errors.clusters import factor_of_groups, group_sums
from randla.regression._errors.density import Residuals
from randla.regression._errors.errors import Errors
from randla.regression._errors.factors import root
from randla.regression._errors.lp_fit import LpRows
from randla.regression._errors.options import CLUSTERED, InferenceOptions, InferenceWarning
from randla.regression._resampling.bootstrap import bootstrap_quantiles
from randla.regression._resampling.rank import rank_errors

_ASSUMED = {
    "iid": "errors of one law, independent of A (Siddiqui)",
    "robust": "independent rows, local densities, shrunk",
    "nid": "independent rows, local densities (Hendricks-Koenker)",
    "powell": "independent rows, kernel of one width (Powell)",
    "rank": "independent rows, rank inversion",
    "cluster": "independent groups, jackknife (CR3)",
    "CR1": "independent groups, CR1 (Parente-Santos Silva)",
}
_UNDETERMINED = "at tau = {:g} too few rows determine it"
_ALL_ZERO = "the scores of all groups are zero, as each has as many rows on either side"
#: Variance, relative to that of independent rows, which is a rounding error.
_BALANCED = 1e-20
_OF_CLUSTERS = "in the tails, 95% intervals for clusters covered in 87 to 98% of simulations"
#: Effective rows beyond a fit, for each column, below which standard errors are wide.
_FEW = 5.0
#: Loss of a number of rows by rounding errors.
_ROUNDING = 1e-12


def quantile_errors(rows: LpRows, options: InferenceOptions) -> Errors:
    """The errors of one kind for the coefficients of quantile fits."""
    residuals = Residuals.of(rows)
    _warn_of_few_or_equal_rows(residuals)
    fit, data, kind = rows.fit, rows.data, options.kind
    if kind == "bootstrap":
        return bootstrap_quantiles(data, fit.x, list(fit.taus), options)
    basis = Basis.of(rows)
    f = _densities(kind, residuals, basis)
    if kind in CLUSTERED:
        return _clustered(residuals, basis, f, kind)
    F, reasons = _sandwich(residuals, basis, f)
    df = np.full(fit.x.shape, float(data.n_rows - fit.rank))
    unit = np.broadcast_to(data.coefficient_units, df.shape)
    notes = _notes(residuals)
    errors = Errors(F, df, _ASSUMED[kind], notes, reasons=reasons, unit=unit)
    errors = errors.completed(basis.null)
    return rank_errors(data, fit.x, list(fit.taus), f, errors) if kind == "rank" else errors


def _clustered(residuals: Residuals, basis: Basis, f: Any, kind: str) -> Errors:
    """The dual vector has the scores of the rows, with their weights."""
    rows = residuals.rows
    data, d = rows.data, len(rows.y)
    empty = data.tall.compute((f > 0.0).sum(axis=0)) == 0  # quantiles without any density
    V = f + empty
    V = V if data.w is None else V * data.w[:, None]
    sums = group_sums(data, basis.T, V, rows.dual if rows.has_dual else _signs(residuals))
    F, df, reasons = factor_of_groups(sums, kind, n_rows=data.n_rows)
    perfect = residuals.is_perfect
    for t in np.flatnonzero(empty | perfect):
        numbers = range(t * d, (t + 1) * d)
        if perfect[t]:
            reasons = {j: reason for j, reason in reasons.items() if j not in numbers}
            df[:, t] = np.where(np.isnan(df[:, t]), sums.scores.shape[0] - 1.0, df[:, t])
        else:
            reasons |= dict.fromkeys(numbers, _UNDETERMINED.format(rows.fit.taus[t]))
        F[numbers.start : numbers.stop] = 0.0 if perfect[t] else np.nan
    for t in np.flatnonzero(~(empty | perfect)):  # signs that balance in all groups
        half = basis.T @ Bread.of(sums.grams[t].sum(axis=0), data.n_rows).inverse
        usual = ((half @ basis.meat) * half).sum(axis=1)  # of independent rows
        here = np.square(F[t * d : (t + 1) * d]).sum(axis=1)
        balanced = t * d + np.flatnonzero((here <= _BALANCED * usual) & (usual > 0.0))
        F[balanced] = np.nan
        reasons |= dict.fromkeys(balanced.tolist(), _ALL_ZERO)
    unit = np.broadcast_to(data.coefficient_units, df.shape)
    notes = (*_notes(residuals), _OF_CLUSTERS)
    errors = Errors(F, df, _ASSUMED[kind], notes, reasons=reasons, unit=unit)
    return errors.completed(basis.null)


def _signs(residuals: Residuals) -> Any:
    """Scores in place of an unknown dual vector, zero where residuals are."""
    u, w = residuals.rows.u, residuals.rows.data.w
    signs = (residuals.taus - (u < 0.0)) * residuals.kept
    return signs if w is None else signs * w[:, None]


def _few_rows(residuals: Residuals) -> list[tuple[float, float]]:
    """Quantiles with few (effective) rows beyond the fit, on the side that has fewer rows.

    If all rows are on the fit there is no error.
    """
    taus, data = residuals.taus, residuals.rows.data
    beyond = density.effective_rows(data) * np.minimum(taus, 1.0 - taus)
    few = (beyond < (1.0 - _ROUNDING) * _FEW * data.d) & ~residuals.is_perfect
    return list(zip(taus[few].tolist(), beyond[few].tolist(), strict=True))


def _notes(residuals: Residuals) -> tuple[str, ...]:
    """Note where errors are wide."""
    return tuple(
        f"only {n:.3g} rows lie beyond the fit of tau = {tau:g}: errors are wide"
        for tau, n in _few_rows(residuals)
    )


def _densities(kind: str, residuals: Residuals, basis: Basis) -> Any:
    """The densities (n, k), or (k,) where they are equal."""
    if kind == "iid":
        s = residuals.sparsity
        return np.divide(1.0, s, out=np.zeros_like(s), where=s > 0.0)
    if kind == "powell":
        return density.normal_kernel(residuals)
    if kind == "CR1":
        return density.flat_kernel(residuals)
    difference = density.quantile_differences(residuals)
    if kind == "nid":
        return density.hendricks_koenker(residuals, difference)
    return density.shrunk(residuals, difference, basis)


def _sandwich(residuals: Residuals, basis: Basis, f: Any) -> tuple[Array, dict[int, str]]:
    """Factor (k d, .) for the scaled coefficients, and the reason if some have no error."""
    data, taus, T = residuals.rows.data, residuals.taus, basis.T
    k, r = len(taus), T.shape[1]
    if f.ndim == 1:
        D = f[:, None, None] * basis.gram
    else:
        (D,) = data.sums(_breads, f, data.w, shapes=[(k, r, r)], T=basis.factor)
    breads = [Bread.of(D_t, data.n_rows) for D_t in D]
    meats = np.broadcast_to(basis.meat, (k, k, r, r))
    if not all(bread.is_whole for bread in breads):
        (meats,) = data.sums(
            _meats, data.w, shapes=[(k, k, r, r)], breads=breads, squares=not data.repeats,
            T=basis.factor,
        )  # fmt: skip
    factors = np.minimum(taus, taus[:, None]) - taus * taus[:, None]
    perfect = residuals.is_perfect
    factors[perfect] = factors[:, perfect] = 0.0
    meat = (factors[:, :, None, None] * meats).transpose(0, 2, 1, 3).reshape(k * r, k * r)
    halves = root(meat).reshape(k, r, -1)
    F = np.vstack([T @ bread.inverse @ half for bread, half in zip(breads, halves, strict=True)])
    determined = np.stack([b.holds(T) | z for b, z in zip(breads, perfect, strict=True)])
    F[~determined.ravel()] = np.nan
    reasons = {
        int(t * data.d + j): _UNDETERMINED.format(taus[t]) for t, j in np.argwhere(~determined)
    }
    return F, reasons


def _breads(X: Array, f: Array, w: Array | None, *, T: Array | None) -> list[Array]:
    Q = X if T is None else X @ T
    v = f if w is None else f * w[:, None]
    return [np.stack([Q.T @ (column[:, None] * Q) for column in v.T])]


def _meats(
    X: Array, w: Array | None, *, T: Array | None, breads: list[Bread], squares: bool
) -> list[Array]:
    """D_0 over the rows that are in the spaces of both quantiles of a pair."""
    Q = X if T is None else X @ T
    inside = np.stack([bread.holds(Q) for bread in breads])  # (k, rows)
    m = np.ones(len(Q)) if w is None else w * w if squares else w
    pairs = inside[:, None] * inside * m
    return [np.einsum("stn,ni,nj->stij", pairs, Q, Q, optimize=True)]


def _warn_of_few_or_equal_rows(residuals: Residuals) -> None:
    data, d = residuals.rows.data, residuals.rows.data.d
    for tau, n in _few_rows(residuals):
        warn_caller(
            f"only {n:.3g} rows lie beyond the fit of tau = {tau:g}, for {d} coefficients: "
            "standard errors are wide there, often twice the true ones",
            InferenceWarning,
        )
    off = ~residuals.is_perfect
    for tau, n_zero in zip(residuals.taus[off], residuals.n_zero[off], strict=True):
        if n_zero > max(2.0 * d, 0.01 * data.n):
            warn_caller(
                f"b equals the fit of tau = {tau:g} in {n_zero} rows: quantiles of discrete "
                "values have no standard errors; add uniform noise as wide as the steps of b to "
                "get some",
                InferenceWarning,
            )
