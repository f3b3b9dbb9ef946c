"""Errors of quantile fits."""

from __future__ import annotations

from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors
from randla.regression._inference.lp_fit import LpFit
from randla.regression._inference.options import InferenceOptions


def quantile_errors(
    fit: LpFit, data: FittedData, names: tuple[str, ...], options: InferenceOptions
) -> Errors:
    """What a kind says of the coefficients of quantile fits."""
    # rank: rank_errors(fit, data, density, errors) with the default's density (n, k), lazy if data
    #       are, in units of 1 / b, and the Errors of "robust" -> Errors.
    # bootstrap: bootstrap_errors(fit, data, errors, options) with the Errors of "robust" for bands
    #       (for l_p with p < 1.5 errors is None) -> Errors.
    # cluster, CR1: group_sums(data, weight * density of one tau (n,), fit.dual[:, j]) ->
    #       (D_g (G, d, d), s_g (G, d)) in scaled columns of `data`, then a function of
    #       (D, D_g, s_g) -> covariance (d, d) in scaled columns, and df (d,).
    raise NotImplementedError
