"""Rows that matter: leverage scores, Lewis weights, sensitivities, and samples of rows."""

from randla.sampling._samples.sample_rows import RowSample, sample_rows
from randla.sampling._scores.extremes import (
    MaxSensitivity,
    TotalSensitivity,
    max_sensitivity,
    total_sensitivity,
)
from randla.sampling._scores.leverage import leverage_scores
from randla.sampling._scores.lewis import lewis_weights
from randla.sampling._scores.result import NotConvergedWarning, Scores
from randla.sampling._scores.sensitivity import lp_sensitivities

__all__ = [
    "MaxSensitivity",
    "NotConvergedWarning",
    "RowSample",
    "Scores",
    "TotalSensitivity",
    "leverage_scores",
    "lewis_weights",
    "lp_sensitivities",
    "max_sensitivity",
    "sample_rows",
    "total_sensitivity",
]
