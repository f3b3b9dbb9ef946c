"""The public calls of `randla.datasets` for the conformance suite."""

from tests.conformance import Case

CASES: list[Case] = []
