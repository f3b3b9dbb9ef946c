"""Least squares with error estimates, l_p and quantile regression with a certificate."""

from randla.regression._errors.options import InferenceWarning
from randla.regression._inference.result import Inference, Prediction
from randla.regression._inference.wald import WaldTest
from randla.regression._least_squares.lstsq import lstsq
from randla.regression._least_squares.options import LstsqWarning
from randla.regression._least_squares.result import LstsqResult
from randla.regression._lp.lp_regression import lp_regression
from randla.regression._lp.result import LpRegressionResult

__all__ = [
    "Inference",
    "InferenceWarning",
    "LpRegressionResult",
    "LstsqResult",
    "LstsqWarning",
    "Prediction",
    "WaldTest",
    "lp_regression",
    "lstsq",
]
