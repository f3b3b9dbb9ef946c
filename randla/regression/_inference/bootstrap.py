"""Refits with random weights (the Bayesian bootstrap): standard errors without a formula."""

from __future__ import annotations

from collections.abc import Callable

from randla._typing import Array
from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors
from randla.regression._inference.options import InferenceOptions


def bootstrap_quantiles(
    data: FittedData, x: Array, taus: list[float], options: InferenceOptions
) -> Errors:
    """For quantile fits x (d, k), in the units of the caller. Refuses what is not in memory."""
    raise NotImplementedError


def bootstrap_least_squares(data: FittedData, x: Array, options: InferenceOptions) -> Errors:
    """For least squares fits x (d, k); in memory or Dask."""
    raise NotImplementedError


def bootstrap_norm(
    data: FittedData,
    x: Array,
    p: float,
    solve: Callable[[Array], Array] | None,
    options: InferenceOptions,
) -> Errors:
    """For a fit x (d, 1) in the l_p norm, 1 < p < inf.

    ``solve(weights (n,))`` is the fit (d,) of the rows of `data` with these weights of |r|^p in
    place of its own, in the units of the caller: asked where Newton's method does not converge.
    """
    raise NotImplementedError
