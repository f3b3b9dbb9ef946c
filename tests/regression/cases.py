"""The public calls of `randla.regression` for the conformance suite."""

from tests.regression.least_squares_cases import CASES as LEAST_SQUARES
from tests.regression.lp_regression_cases import CASES as LP_REGRESSION

CASES = [*LEAST_SQUARES, *LP_REGRESSION]
