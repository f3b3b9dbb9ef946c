"""The public calls of `randla.sketching` for the conformance suite."""

from tests.conformance import Case

CASES: list[Case] = []
