"""The harness itself: its total false-alarm probability, and that it sees what is wrong."""

import numpy as np
import pytest

from tests.statistical import SUITE_FALSE_ALARM, chi_square_pvalue, claim


def test_false_alarm_of_the_suite(request):
    assert sum(request.config.false_alarms) <= SUITE_FALSE_ALARM


@claim(null="a mean of normals", test="z-test", replicates=1000, false_alarm=1e-7)
def test_mean_test_sees_a_shift(trial):
    draws = np.array([rng.standard_normal(3) for rng in trial.rngs()])
    trial.assert_mean(draws, 0.0)
    with pytest.raises(AssertionError):
        trial.assert_mean(draws + [0.0, 0.3, 0.0], 0.0)


@claim(null="a coverage of 0.9", test="binomial", replicates=2000, false_alarm=1e-7)
def test_coverage_test_sees_a_shortfall(trial):
    u = trial.rng().random(trial.replicates)
    trial.assert_between(u < 0.9, 0.88, 0.92)
    with pytest.raises(AssertionError):
        trial.assert_between(u < 0.8, 0.88, 0.92)
    with pytest.raises(AssertionError):
        trial.assert_between(u < 1.0, 0.88, 0.92)


@claim(null="a die is fair", test="chi-square", replicates=6000, false_alarm=1e-7)
def test_chi_square_sees_a_loaded_die(trial):
    faces = np.bincount(trial.rng().integers(6, size=trial.replicates), minlength=6)
    expected = np.full(6, trial.replicates / 6)
    trial.assert_pvalue(chi_square_pvalue(faces, expected))
    loaded = faces + np.array([1, -1, 0, 0, 0, 0]) * (trial.replicates // 30)
    assert chi_square_pvalue(loaded, expected) < 1e-6
