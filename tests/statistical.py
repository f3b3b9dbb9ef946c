"""Statistical claims: each states its null, its test, its replicates and its false-alarm rate.

    @claim(
        null="the sampled norm is unbiased",
        test="z-test of the mean, Bonferroni over 3 norms",
        replicates=2000,
        false_alarm=1e-6,
    )
    def test_norm_is_unbiased(trial):
        draws = np.array([estimate(rng=rng) for rng in trial.rngs()])
        trial.assert_mean(draws, expected)

A normal run has fixed seeds, so a green suite stays green. ``pytest --statistical=long`` takes
fresh seeds and ten times the replicates; then each claim may fail with the probability that it
states. The probabilities are summed over the suite and printed; `tests/test_statistical.py` fails
if their sum is above 1e-4.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

SUITE_FALSE_ALARM = 1e-4


@dataclass(frozen=True)
class Claim:
    null: str
    test: str
    replicates: int
    false_alarm: float


@dataclass(frozen=True)
class Trial:
    """What a test of a claim gets: its replicates, its seeds and tests at its level."""

    claim: Claim
    replicates: int
    seed: int

    def rngs(self, n: int | None = None) -> Iterator[np.random.Generator]:
        """One independent generator for each replicate."""
        for child in np.random.SeedSequence(self.seed).spawn(n or self.replicates):
            yield np.random.default_rng(child)

    def rng(self) -> np.random.Generator:
        """A single generator, independent of those of `rngs`."""
        return np.random.default_rng([self.seed, 1])

    def assert_mean(self, draws, expected, *, share: float = 1.0, se_floor: float = 0.0) -> None:
        """Each column of `draws` (replicates first) has the expected mean: |z| below the limit.

        The normal limit is Bonferroni's over the columns; `share` of the claim's false-alarm
        probability is spent. `se_floor` guards columns that are constant up to rounding.
        """
        draws = np.asarray(draws, float).reshape(len(draws), -1)
        expected = np.broadcast_to(np.asarray(expected, float).ravel(), draws.shape[1:])
        error = draws.mean(0) - expected
        scale = np.abs(expected) + np.abs(draws).mean(0)
        se = draws.std(0, ddof=1) / math.sqrt(len(draws)) + se_floor + 1e-13 * scale
        z = np.divide(error, se, out=np.zeros_like(error), where=se > 0)
        limit = normal_limit(self.claim.false_alarm * share, draws.shape[1])
        worst = np.argmax(np.abs(z))
        assert abs(z[worst]) <= limit, (
            f"{self.claim.null}: column {worst} is {z[worst]:.1f} standard errors from "
            f"{expected[worst]:.6g} (limit {limit:.1f})"
        )

    def assert_pvalue(self, pvalue: float, *, share: float = 1.0) -> None:
        """A p-value is not below the false-alarm probability of the claim."""
        limit = self.claim.false_alarm * share
        assert pvalue >= limit, f"{self.claim.null}: p = {pvalue:.2e} (limit {limit:.0e})"

    def assert_between(self, covered, low: float, high: float, *, share: float = 1.0) -> None:
        """The mean of one number in [0, 1] for each replicate is not outside [low, high].

        `covered` holds, for each replicate, a bool or a share (of coordinates covered): the
        replicates are the independent units. One-sided normal limits with the empirical spread,
        but no less than a binomial's at the bound.
        """
        covered = np.asarray(covered, float)
        n, mean = len(covered), covered.mean()
        spread = covered.std(ddof=1)
        limit = normal_limit(self.claim.false_alarm * share, 1)
        for bound, sign in ((low, 1.0), (high, -1.0)):
            binomial = math.sqrt(max(bound * (1.0 - bound), 1e-12)) if spread > 0 else 0.0
            slack = limit * max(spread, binomial if set(covered) <= {0.0, 1.0} else 0.0)
            assert sign * (mean - bound) >= -slack / math.sqrt(n), (
                f"{self.claim.null}: {mean:.4f} is outside [{low}, {high}] "
                f"by more than {slack / math.sqrt(n):.4f}"
            )


def claim(*, null: str, test: str, replicates: int, false_alarm: float = 1e-7) -> Callable:
    """Mark a test as a statistical claim; it asks for the fixture `trial`."""
    return pytest.mark.claim(Claim(null, test, replicates, false_alarm))


def make_trial(request: pytest.FixtureRequest) -> Trial:
    marker = request.node.get_closest_marker("claim")
    if marker is None:
        raise pytest.UsageError("the fixture `trial` needs the decorator @claim(...)")
    stated: Claim = marker.args[0]
    seed = zlib.crc32(request.node.name.encode())  # not of the file, which may be moved
    if request.config.getoption("--statistical") == "long":
        seed = int(np.random.SeedSequence().generate_state(1)[0])
        print(f"seed {seed}")  # shown when the test fails
        return Trial(stated, 10 * stated.replicates, seed)
    return Trial(stated, stated.replicates, seed)


def normal_limit(false_alarm: float, n_comparisons: int) -> float:
    """Two-sided normal limit by Bonferroni."""
    from scipy.special import ndtri

    return float(-ndtri(false_alarm / (2 * n_comparisons)))


def chi_square_pvalue(counts, expected, smallest: float = 20.0) -> float:
    """Chi-square p-value after pooling the cells of small expected count.

    Without pooling a cell of expected count 1e-5 that is hit once gives a p-value of 1e-12.
    """
    from scipy.stats import chi2

    counts, expected = np.asarray(counts, float).ravel(), np.asarray(expected, float).ravel()
    rare = expected < smallest
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] == 0.0:
        assert counts[-1] == 0.0, "an impossible cell was hit"
        counts, expected = counts[:-1], expected[:-1]
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, len(counts) - 1))
