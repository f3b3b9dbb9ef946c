"""Errors of fits in the norm l_p."""

from __future__ import annotations

from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors
from randla.regression._inference.lp_fit import LpFit
from randla.regression._inference.options import InferenceOptions


def norm_errors(
    fit: LpFit, data: FittedData, names: tuple[str, ...], options: InferenceOptions
) -> Errors:
    """What a kind says of the coefficients of a fit in the norm l_p, 1 < p < inf."""
    raise NotImplementedError
