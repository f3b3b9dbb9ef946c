"""The public calls of `randla.smoothing` for the conformance suite."""

from tests.conformance import Case

CASES: list[Case] = []
