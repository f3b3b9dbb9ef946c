"""Rows that matter: leverage scores, Lewis weights, sensitivities, samples, l_p regression."""

from randla.sampling._leverage import leverage_scores
from randla.sampling._lewis import lewis_weights
from randla.sampling._lp_regression import LpRegressionResult, lp_regression
from randla.sampling._rows import RowSample, sample_rows
from randla.sampling._scores import NotConvergedWarning, Scores
from randla.sampling._sensitivity import lp_sensitivities
from randla.sampling._total_sensitivity import (
    MaxSensitivity,
    TotalSensitivity,
    max_sensitivity,
    total_sensitivity,
)

__all__ = [
    "LpRegressionResult",
    "MaxSensitivity",
    "NotConvergedWarning",
    "RowSample",
    "Scores",
    "TotalSensitivity",
    "leverage_scores",
    "lewis_weights",
    "lp_regression",
    "lp_sensitivities",
    "max_sensitivity",
    "sample_rows",
    "total_sensitivity",
]
