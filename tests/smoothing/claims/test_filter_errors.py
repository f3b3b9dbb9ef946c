"""Errors of the particle filter in miniature: they hold, they refuse, the wrong constant fails.

The tables of `docs/calibration` have more settings.
"""

import numpy as np
import pytest

from randla import LinearGaussian, kalman_smoother, particle_filter
from tests.smoothing import reference
from tests.statistical import claim

pytestmark = pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning")

MODEL = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1 / 0.19)
Y = MODEL.simulate(50, rng=1)[1]
OUTLIER = LinearGaussian(0.9, 1.0, 1.0, 0.05**2, 0.0, 1 / 0.19), np.array([0.0, 0.0, 4.0, 0.0, 0.0])


@claim(
    null="one run: 92 to 99.5% of nominal 95% intervals of log Z hold, and V is its variance",
    test="one-sided limits of the coverage; ratio of the mean of V (near 1.07, error 0.05)",
    replicates=1000,
    false_alarm=2e-7,
)
def test_one_run(trial):
    exact = kalman_smoother(MODEL, Y).log_likelihood
    held, logs, variances = [], [], []
    for rng in trial.rngs():
        result = particle_filter(MODEL, Y, n_particles=250, proposal="bootstrap", rng=rng)
        logs.append(result.log_likelihood)
        if not np.isnan(result.log_likelihood_standard_error):
            low, high = result.log_likelihood_interval()
            held.append(low <= exact <= high)
            variances.append(result.log_likelihood_standard_error**2)
    assert len(held) > 0.95 * len(logs)
    trial.assert_between(held, 0.92, 0.995, share=0.5)
    assert 0.8 < np.mean(variances) / np.var(logs, ddof=1) < 1.35


@claim(
    null="V of multinomial resampling is too small for systematic resampling (a control)",
    test="ratio of the mean of V^(5) to the variance below 0.8: near 0.6, error 0.06",
    replicates=300,
    false_alarm=1e-7,
)
def test_the_multinomial_constant_is_wrong_for_systematic_resampling(trial):
    logs, variances = [], []
    for rng in trial.rngs():
        result = particle_filter(
            MODEL, Y, n_particles=250, proposal="bootstrap", store=True, n_lags=5, rng=rng
        )
        logs.append(result.log_likelihood)
        resampled = np.r_[False, result.ess[:-1] < 125]
        for constant in (True, False):
            V, _ = reference.lagged_variances(result, resampled, constant, 5)
            variances.append(V[5])
    wrong, right = np.reshape(variances, (-1, 2)).mean(axis=0) / np.var(logs, ddof=1)
    assert wrong < 0.8 < right


@pytest.mark.parametrize("n_runs", [1, 8])
@claim(
    null="an outlier that hardly any particle explains is refused in 95% of runs",
    test="share refused (all of them)",
    replicates=200,
    false_alarm=1e-7,
)
def test_refused(n_runs, trial):
    model, y = OUTLIER
    refused = []
    for rng in trial.rngs():
        result = particle_filter(
            model, y, n_particles=100, n_runs=n_runs, proposal="bootstrap", rng=rng
        )
        refused.append(np.isnan(result.log_likelihood_standard_error))
        assert np.isnan(result.log_likelihood_interval()).all() == refused[-1]
    trial.assert_between(refused, 0.95, 1.0)


@claim(
    null="eight runs: 92 to 99% of nominal 95% intervals of log Z hold, 93 to 97% of the means",
    test="one-sided limits of the coverage",
    replicates=400,
    false_alarm=1e-7,
)
def test_eight_runs(trial):
    smoothers = [kalman_smoother(MODEL, Y[: t + 1]) for t in range(len(Y))]
    exact, means = smoothers[-1].log_likelihood, np.array([s.mean[-1] for s in smoothers])
    held, shares = [], []
    for rng in trial.rngs():
        result = particle_filter(MODEL, Y, n_particles=100, n_runs=8, proposal="bootstrap", rng=rng)
        low, high = result.log_likelihood_interval()
        held.append(low <= exact <= high)
        low, high = result.mean_interval()
        shares.append(np.mean((low <= means) & (means <= high)))
    trial.assert_between(held, 0.92, 0.99, share=0.5)
    trial.assert_between(shares, 0.93, 0.97, share=0.5)
