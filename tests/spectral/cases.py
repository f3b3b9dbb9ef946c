"""Calls of this family that every check of `tests/test_conformance.py` runs."""

from tests.conformance import Case
from tests.spectral.trace_cases import TRACE_CASES

CASES: list[Case] = [*TRACE_CASES]
