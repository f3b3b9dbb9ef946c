"""Least squares that knows its own error, l_p and quantile regression with a certificate."""

from randla.regression._least_squares.lstsq import lstsq
from randla.regression._least_squares.options import LstsqWarning
from randla.regression._least_squares.result import LstsqResult
from randla.regression._lp.lp_regression import LpRegressionResult, lp_regression

__all__ = [
    "LpRegressionResult",
    "LstsqResult",
    "LstsqWarning",
    "lp_regression",
    "lstsq",
]
