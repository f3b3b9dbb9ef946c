"""Calls of this family that every check of `tests/test_conformance.py` runs."""

from tests.conformance import Case
from tests.spectral.svd_cases import CASES as SVD

CASES: list[Case] = [*SVD]
