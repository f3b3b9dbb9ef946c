"""Coverage of the intervals for groups of rows: what the default promises, and what CR1 does not.

Errors have a random effect of the group and a random slope; columns are a constant, one that is
constant in each group, and one that varies within groups.
"""

import numpy as np
import pytest
from scipy.special import ndtri

from randla import lp_regression, lstsq
from tests.statistical import claim

TOGETHER = 40  # right-hand sides for one A


def sizes_of(name, rng):
    """Sizes of the groups, and how many of them are treated (None: a normal column)."""
    if name == "ten equal":
        return np.full(10, 20), None
    n_groups = {"uneven": 25, "few treated": 25, "seven treated": 60}[name]
    sizes = 5 + rng.exponential(15, n_groups).astype(int)
    sizes[-1] = 60
    return sizes, {"uneven": None, "few treated": 3, "seven treated": 7}[name]


def shares_covered(trial, name, kind, n_replicates):
    """For each A the share of its right-hand sides whose interval holds the coefficient, (., 3)."""
    shares = []
    for rng in trial.rngs(n_replicates // TOGETHER):
        sizes, n_treated = sizes_of(name, rng)
        groups = np.repeat(np.arange(len(sizes)), sizes)
        n_groups, n = len(sizes), len(groups)
        z = rng.standard_normal(n_groups)
        if n_treated is not None:
            z = np.arange(n_groups) < n_treated
        x = rng.standard_normal(n) + 0.5 * rng.standard_normal(n_groups)[groups]
        A = np.column_stack([np.ones(n), z[groups], x])
        effect, slope = rng.standard_normal((2, n_groups, TOGETHER))
        errors = effect[groups] + 0.5 * slope[groups] * x[:, None]
        B = errors + rng.standard_normal((n, TOGETHER))  # coefficients are 0
        low, high = lstsq(A, B).inference(A, B, kind=kind, groups=groups).confidence_interval()
        shares.append(((low <= 0.0) & (high >= 0.0)).mean(axis=1))
    return np.array(shares)


@pytest.mark.parametrize("name", ["ten equal", "uneven", "few treated", "seven treated"])
@claim(
    null="CR3 with Bell-McCaffrey degrees of freedom covers at least 92% of each coefficient",
    test="one-sided normal test of the shares of 50 matrices, 3 coefficients",
    replicates=2000,
    false_alarm=1e-7,
)
def test_groups_are_covered(trial, name):
    shares = shares_covered(trial, name, "cluster", trial.replicates)
    for column in shares.T:
        trial.assert_between(column, 0.92, 1.0, share=1 / 3)


@pytest.mark.parametrize("name", ["uneven", "few treated"])
@claim(
    null="CR2 with Bell-McCaffrey degrees of freedom covers at least 91% of each coefficient",
    test="one-sided normal test of the shares of 50 matrices, 3 coefficients",
    replicates=2000,
    false_alarm=1e-7,
)
def test_groups_are_covered_by_the_unbiased_form(trial, name):
    shares = shares_covered(trial, name, "CR2", trial.replicates)
    for column in shares.T:
        trial.assert_between(column, 0.91, 1.0, share=1 / 3)


@claim(
    null="CR1 with three treated groups covers less than 86% of their effect",
    test="one-sided normal test of the shares of 50 matrices",
    replicates=2000,
    false_alarm=1e-7,
)
def test_the_common_formula_fails_for_few_treated_groups(trial):
    trial.assert_between(
        shares_covered(trial, "few treated", "CR1", trial.replicates)[:, 1], 0, 0.86
    )


# Quantiles ---------------------------------------------------------------------------------------

TAUS = (0.1, 0.5, 0.95)


def quantiles_covered(trial, n_groups, kind="cluster"):
    """Whether the intervals hold the coefficients, (replicates, 3 coefficients, 3 quantiles)."""
    held = []
    for rng in trial.rngs():
        groups = np.repeat(np.arange(n_groups), 20)
        n = len(groups)
        z = rng.standard_normal(n_groups)[groups]
        A = np.column_stack([np.ones(n), z, rng.standard_normal(n)])
        effect = 0.7 * rng.standard_normal(n_groups)[groups]
        b = A.sum(axis=1) + effect + rng.standard_normal(n)
        truth = np.ones((3, 3))
        truth[0] += np.sqrt(1.49) * ndtri(TAUS)
        fit = lp_regression(A, b, tau=TAUS)
        low, high = fit.inference(A, b, kind=kind, groups=groups).confidence_interval()
        held.append((low <= truth) & (truth <= high))
    return np.array(held, float)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::randla.RandlaWarning")  # of few rows beyond a fit
@pytest.mark.parametrize(("n_groups", "least"), [(10, (0.9, 0.93, 0.9)), (30, (0.88, 0.93, 0.86))])
@claim(
    null="quantiles of groups are covered by 93% at the median, 86 to 90% in the tails",
    test="one-sided normal test for each of 3 coefficients and 3 quantiles",
    replicates=500,
    false_alarm=1e-7,
)
def test_quantiles_of_groups_are_covered(trial, n_groups, least):
    held = quantiles_covered(trial, n_groups)
    for j, bound in enumerate(least):
        for column in held[:, :, j].T:
            trial.assert_between(column, bound, 1.0, share=1 / 9)
