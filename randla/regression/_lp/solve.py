"""Weighted rows of the user, and their fits by a suitable solver."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import single_threaded_blas
from randla._scaling import power_of_two_scale
from randla._tall.base import TallMatrix
from randla._tall.open import open_tall
from randla._typing import Array
from randla.regression._lp.certificate import Fit
from randla.regression._lp.norm import norm_fit
from randla.regression._lp.options import LpOptions, as_options
from randla.regression._lp.out_of_core import tall_norm_fit, tall_quantile_fits
from randla.regression._lp.quantile import quantile_fits
from randla.regression._lp.tall_data import TallData


def weighted_rows(
    tall: TallMatrix, b: Any, weights: Any, root: float
) -> tuple[TallData, float, NDArray[np.intp] | None]:
    """The rows with weights up to one, to the power `root`; their unit; which rows are kept.

    In memory, rows of weight zero are removed: they must not even count as met exactly.
    """
    if weights is None:
        return TallData(tall, b, None, tall.n), 1.0, None
    w = tall.vector(weights, "weights").astype(np.float64)
    largest, n_positive = tall.compute(w.max(), (w > 0.0).sum())
    if not largest > 0.0:
        raise ValueError("weights must have a positive sum, got only zeros")
    unit, n = float(power_of_two_scale(largest)), int(n_positive)
    weight = unit * w if root == 1.0 else (unit * w) ** root  # of the residuals
    if tall.lazy or n == tall.n:
        return TallData(tall, b, weight, n), unit, None
    live = np.flatnonzero(weight)
    return TallData(tall.take(live), b[live], weight[live], len(live)), unit, live


def fits_of(
    data: TallData, charge: Array, options: LpOptions, *, certify: bool = True
) -> list[Fit]:
    """The fit of each quantile, or of the norm; `charge` is the penalty in units of the weights.

    Quantile fits in memory need not be proven.
    """
    p, method = options.p, options.method
    by_sample = data.A.lazy or method == "sample"  # by passes that start from a sample
    rules: dict[str, Any] = {"rtol": options.rtol, "generator": options.generator}
    if by_sample:
        rules |= {"size": options.sample_rows(data.n), "exact": method != "sample"}
    if p > 1.0:
        if by_sample:
            return [tall_norm_fit(data, p, **rules)]
        return [norm_fit(data.in_memory, p, options.rtol)]
    if by_sample:
        return tall_quantile_fits(data, charge, options.taus, **rules)
    rules |= {"method": method, "certify": certify}
    return quantile_fits(data.in_memory, charge, options.taus, **rules)


@np.errstate(over="ignore", invalid="ignore")
def coefficients(A: Any, b: Any, *, p: float, tau: Any = None, weights: Any = None) -> Array:
    """The coefficients (d, k) of exact fits of checked data: several quantiles, or one norm."""
    tall = open_tall(A)
    options = as_options(
        tall.n, tall.d, p, tau=tau, l1=0.0, method="auto", size=None, rtol=1e-8, rng=None,
        column=False, lazy=tall.lazy,
    )  # fmt: skip
    data, _, _ = weighted_rows(tall, b, weights, options.root)
    with single_threaded_blas():
        fits = fits_of(data, options.penalty, options, certify=False)
        return np.stack([fit.x for fit in fits], axis=1)
