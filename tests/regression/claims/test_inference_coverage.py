"""Coverage of the intervals for independent rows: what "robust" promises, and what others do not.

The designs are those of ``benchmarks/regression/inference_least_squares.py``, whose table has all
kinds; the limits stand 2 points below what they were measured at.
"""

import numpy as np
import pytest

from randla import lstsq
from tests.statistical import claim

TOGETHER = 4  # right-hand sides for one A


def design(name, n, rng):
    """Three columns, a constant first, and the standard deviations of the errors."""
    x = {
        "normal": lambda: rng.standard_normal(n),
        "t3": lambda: rng.standard_normal(n),
        "exponential": lambda: rng.exponential(size=n),
        "log-normal": lambda: rng.lognormal(0.0, 1.2, n),
        "four treated": lambda: 1.0 * (np.arange(n) < 4),
    }[name]()
    A = np.column_stack([np.ones(n), x, rng.standard_normal(n)])
    if name in ("normal", "t3"):
        return A, np.ones(n)
    return A, 1.0 + x if name == "four treated" else 0.3 + x


def shares_covered(trial, name, n, kind):
    """For each A the share of its right-hand sides whose interval holds the slope, (., 2)."""
    shares = []
    for rng in trial.rngs(trial.replicates // TOGETHER):
        A, scale = design(name, n, rng)
        shape = n, TOGETHER
        errors = rng.standard_t(3, shape) if name == "t3" else rng.standard_normal(shape)
        B = scale[:, None] * errors  # coefficients are 0
        low, high = lstsq(A, B).inference(A, B, kind=kind).confidence_interval()
        shares.append(((low <= 0.0) & (high >= 0.0))[1:].mean(axis=1))
    return np.array(shares)


@pytest.mark.parametrize(
    ("name", "n", "measured"),
    [
        ("normal", 20, 0.973),
        ("t3", 20, 0.980),
        ("exponential", 20, 0.945),
        ("exponential", 50, 0.951),
        ("exponential", 200, 0.941),
        ("log-normal", 20, 0.954),
        ("log-normal", 50, 0.951),
        ("log-normal", 200, 0.953),
        ("four treated", 20, 0.962),
        ("four treated", 50, 0.958),
        ("four treated", 200, 0.953),
    ],
)
@claim(
    null="robust intervals cover both slopes as often as was measured, less 2 points",
    test="one-sided normal test of the shares of 500 matrices, 2 slopes",
    replicates=2000,
    false_alarm=1e-7,
)
def test_robust_covers(trial, name, n, measured):
    for column in shares_covered(trial, name, n, "robust").T:
        trial.assert_between(column, measured - 0.02, 1.0, share=0.5)


@claim(
    null="intervals of one variance cover 95% where there is one",
    test="two-sided normal test of the shares of 500 matrices, 2 slopes",
    replicates=2000,
    false_alarm=1e-7,
)
def test_one_variance_covers(trial):
    for column in shares_covered(trial, "normal", 20, "iid").T:
        trial.assert_between(column, 0.95, 0.95, share=0.5)


@pytest.mark.parametrize(
    ("name", "n", "kind", "most"),
    [
        ("normal", 20, "HC0", 0.90),
        ("log-normal", 50, "HC0", 0.75),
        ("log-normal", 50, "HC3", 0.90),
        ("exponential", 200, "iid", 0.70),
        ("four treated", 50, "HC1", 0.87),
    ],
)
@claim(
    null="other formulas hold the first slope less often than they say",
    test="one-sided normal test of the shares of 500 matrices",
    replicates=2000,
    false_alarm=1e-7,
)
def test_other_kinds_fall_short(trial, name, n, kind, most):
    trial.assert_between(shares_covered(trial, name, n, kind)[:, 0], 0.0, most)
