"""Log-determinants: unbiased, and intervals that hold where those of Gauss alone do not."""

import numpy as np
import pytest

from randla import logdet
from randla._results import t_interval
from tests.spectral.test_logdet import exact, kernel_matrix
from tests.statistical import claim

N = 80


def runs(trial, noise, **options):
    A = kernel_matrix(N, noise)
    return [logdet(A, lower=noise, rng=rng, **options) for rng in trial.rngs()], exact(A)


@pytest.mark.parametrize("preconditioner", ["auto", None])
@claim(
    null="log-determinants are unbiased but for the bracket of the quadrature",
    test="z-test of the mean value; the bracket is below a hundredth of the spread",
    replicates=250,
    false_alarm=1e-7,
)
def test_unbiased(trial, preconditioner):
    results, expected = runs(trial, 1.0, n_products=60, preconditioner=preconditioner)
    values = np.array([r.value for r in results])
    widths = [r.quadrature_upper - r.quadrature_lower for r in results]
    trial.assert_mean(values, expected, se_floor=np.mean(widths) / 2.0)


@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("preconditioner", ["auto", None])
@claim(
    null="intervals hold at least 93 per cent at nominal 95, whether the quadrature is done or not",
    test="one-sided binomial",
    replicates=200,
    false_alarm=1e-7,
)
def test_coverage(trial, preconditioner, noise):
    results, expected = runs(trial, noise, n_products=40, preconditioner=preconditioner)
    covered = [low <= expected <= high for low, high in map(_interval, results)]
    trial.assert_between(covered, 0.93, 1.0)


def _interval(result):
    return result.confidence_interval()


@claim(
    null="the intervals of Gauss quadrature alone hold below 20 per cent with few products",
    test="one-sided binomial",
    replicates=100,
    false_alarm=1e-7,
)
def test_gauss_alone_is_seen_to_fail(trial):
    results, expected = runs(trial, 1e-4, n_products=80, preconditioner=None)
    covered = []
    for r in results:
        low, high = t_interval(r.quadrature_upper, r._end_errors[1], r.degrees_of_freedom)
        covered.append(low <= expected <= high)
    trial.assert_between(covered, 0.0, 0.2)
