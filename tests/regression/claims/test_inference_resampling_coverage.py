"""Rank intervals and the bootstrap over repeated data; see the table of the calibration page."""

import warnings
from functools import partial

import numpy as np
import pytest

from randla.regression import lp_regression, lstsq
from randla.regression._errors.options import InferenceWarning
from tests.data import growing_spread, ten_columns
from tests.statistical import claim

exponential = partial(growing_spread, law=np.random.Generator.exponential)


def covered(trial, make, taus, **options):
    """Which 95% intervals hold the truth: (replicates, d, taus)."""
    out = []
    for rng in trial.rngs():
        A, b, truth = make(rng)
        exact = np.stack([truth(tau) for tau in taus], axis=1)
        if options["kind"] == "bootstrap":
            options["rng"] = rng
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InferenceWarning)
            result = lp_regression(A, b, tau=taus).inference(A, b, **options)
        low, high = result.confidence_interval()
        out.append((low <= exact) & (exact <= high))
    return np.array(out)


def assert_each(trial, hits, low, high=1.0):
    """Each coefficient at each quantile is covered as often as between the bounds."""
    hits = hits.reshape(len(hits), -1).T
    for column in hits:
        trial.assert_between(column, low, high, share=1.0 / len(hits))


@pytest.mark.slow
@claim(
    null="rank intervals at 95% hold 90% or more where the scale grows with x",
    test="one-sided normal, Bonferroni over 3 coefficients and 3 quantiles",
    replicates=300,
)
def test_rank_beside_unequal_scales(trial):
    assert_each(trial, covered(trial, exponential, [0.1, 0.5, 0.95], kind="rank"), 0.90)


@pytest.mark.slow
@claim(
    null="rank intervals at 95% hold 90% or more for ten columns and 100 rows",
    test="one-sided normal, Bonferroni over 10 coefficients",
    replicates=300,
)
def test_rank_of_ten_columns(trial):
    assert_each(trial, covered(trial, ten_columns, [0.5], kind="rank"), 0.90)


@claim(
    null="bootstrap intervals at 95% of the median hold 90% or more",
    test="one-sided normal, Bonferroni over 3 coefficients",
    replicates=200,
)
def test_bootstrap_of_the_median(trial):
    hits = covered(trial, exponential, [0.5], kind="bootstrap", n_replicates=100)
    assert_each(trial, hits, 0.90)


@claim(
    null="bootstrap intervals at 95% of a far quantile of 100 rows hold between 80% and 97%",
    test="one-sided normal, Bonferroni over 3 coefficients",
    replicates=200,
)
def test_bootstrap_of_a_far_quantile(trial):
    hits = covered(trial, exponential, [0.95], kind="bootstrap", n_replicates=100)
    assert_each(trial, hits, 0.80, 0.97)


@pytest.mark.slow
@claim(
    null="bootstrap intervals at 95% of least squares and of l_1.3 hold 88% or more",
    test="one-sided normal, Bonferroni over 3 coefficients and 2 fits",
    replicates=300,
)
def test_bootstrap_of_norms(trial):
    hits = []
    for rng in trial.rngs():
        A, b, _ = exponential(rng, 200)
        fits = lstsq(A, b), lp_regression(A, b, 1.3)
        intervals = [
            fit.inference(A, b, kind="bootstrap", n_replicates=100, rng=rng).confidence_interval()
            for fit in fits
        ]
        hits.append([(low <= 1.0) & (high >= 1.0) for low, high in intervals])
    assert_each(trial, np.array(hits), 0.88)
