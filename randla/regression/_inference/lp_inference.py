"""Statistical errors of l_p and quantile fits: the request, and the module that serves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from randla.regression._errors.errors import Errors, warn_of_missing
from randla.regression._errors.lp_fit import EPS, ZERO, LpFit, LpRows
from randla.regression._errors.options import NORMS, QUANTILES, InferenceOptions
from randla.regression._inference.norm import norm_errors
from randla.regression._inference.quantile import quantile_errors
from randla.regression._inference.result import Inference
from randla.regression._resampling.carried import without_carried


def require_inference(p: float, has_penalty: bool, is_sampled: bool) -> None:
    """Refuse fits whose coefficients have no standard errors, with the reason."""
    if p == float("inf"):
        raise ValueError(
            "inference must be for p < inf, got p = inf: its coefficients have no normal limit, "
            "and the bootstrap is not valid for them"
        )
    if p > 3.0:
        raise ValueError(
            f"inference must be for p at most 3, got p = {p:g}: standard errors would need sixth "
            "moments of the residuals"
        )
    if has_penalty:
        raise ValueError(
            "inference must be for fits without a penalty, got l1 > 0: coefficients that were "
            "selected from the same data have no valid standard errors"
        )
    if is_sampled:
        raise ValueError(
            "inference must be for exact fits, got method='sample': solve with method='auto', "
            "which is as fast"
        )


def lp_inference(
    fit: LpFit, shape: tuple[int, ...], names: tuple[str, ...], A: Any, b: Any, *,
    weights: Any, groups: Any, **options: Any,
) -> Inference:  # fmt: skip
    """The errors of a fit whose x has the given shape, from its A, b and weights."""
    for value, name in ((A, "A"), (b, "b")):
        if value is None:
            raise ValueError(
                f"{name} must be given as to lp_regression (after a formula, its data as A), "
                "as results keep no data"
            )
    kinds = QUANTILES if fit.taus else NORMS
    chosen = InferenceOptions.of(kinds, groups=groups, weights=weights, **options)
    with np.errstate(all="ignore"):  # no decorator, which would appear as the caller of warnings
        rows = LpRows.open(fit, A, b, weights, repeats=chosen.repeats, groups=groups)
        _require_more_rows_than_rank(rows)
        errors = (quantile_errors if fit.taus else norm_errors)(rows, chosen)
        if chosen.kind == "bootstrap":
            errors = without_carried(errors, rows.data)
        errors = _without_rounding(errors, rows)
    warn_of_missing(errors, names * fit.x.shape[1])
    columns: tuple[Any, ...] = () if len(shape) == 1 else fit.taus or (0,)
    data = rows.data
    return Inference.of(
        fit.x.reshape(shape), errors, algorithmic=None, kind=chosen.kind, names=names,
        columns=columns, column_kind="tau" if fit.taus else "column", n_rows=data.n_rows,
        n_groups=None if data.groups is None else data.groups.n_groups,
    )  # fmt: skip


def _without_rounding(errors: Errors, rows: LpRows) -> Errors:
    """Errors without p-values of coefficients that are rounding errors of a perfect fit."""
    sizes = np.sqrt(rows.gram.diagonal())[:, None] * np.abs(rows.y)
    is_rounding = (sizes > 0.0) & (sizes <= ZERO * EPS * sizes.sum(axis=0))
    fitted = errors.variances == 0.0
    df = np.where(is_rounding & fitted, np.nan, errors.degrees_of_freedom)
    return replace(errors, degrees_of_freedom=df)


def _require_more_rows_than_rank(rows: LpRows) -> None:
    rank, n = rows.fit.rank, rows.data.n_rows
    if rank == 0:
        raise ValueError("A must have a nonzero column, got only zeros")
    if n <= rank:
        raise ValueError(
            f"A must have more rows with weight than its rank, {rank}, for errors to be "
            f"estimated, got {n} rows"
        )
