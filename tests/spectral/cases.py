"""Calls of this family that every check of `tests/test_conformance.py` runs."""

from tests.conformance import Case

CASES: list[Case] = []
