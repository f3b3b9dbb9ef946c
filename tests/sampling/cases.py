"""The public calls of `randla.sampling` for the conformance suite."""

from tests.conformance import Case

CASES: list[Case] = []
