"""The public calls of `randla.sketching` for the conformance suite."""

from tests.sketching.least_squares_cases import CASES as LEAST_SQUARES
from tests.sketching.operator_cases import CASES as OPERATORS

CASES = [*OPERATORS, *LEAST_SQUARES]
