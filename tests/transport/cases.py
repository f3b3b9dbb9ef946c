"""The public calls of `randla.transport` for the conformance suite."""

from tests.conformance import Case

CASES: list[Case] = []
