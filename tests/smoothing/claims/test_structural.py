"""Structural models: what their errors claim, on simulated series."""

import numpy as np

from randla import components, kalman_smoother, maximum_likelihood, structural
from tests.statistical import claim

TREND = structural(level="trend", seasonal=4, ar=1).replace([0.5, 0.1, 0.3, 0.7, 0.8, 1.0])


def simulated(model, n_times, rng):
    """States and y; diffuse states start at zero, which matters to nothing."""
    start = rng.multivariate_normal(model.initial_mean, model.initial_cov)
    states, y = model.forecast(start[None], n_times, rng=rng)
    return states[0], y[0]


COLUMNS = {"level": 0, "slope": 1, "seasonal": 2, "ar": 5}


@claim(
    null="errors of smoothed components have mean zero and the variance that is stated",
    test="z-tests of errors and their squares over the standard errors, Bonferroni",
    replicates=400,
    false_alarm=1e-7,
)
def test_components(trial):
    draws = []
    for rng in trial.rngs():
        states, y = simulated(TREND, 30, rng)
        y[10:15] = np.nan
        parts = components(kalman_smoother(TREND, y))
        z = [
            (parts[name].mean - states[:, k])[[0, 12, 29]] / parts[name].standard_error[[0, 12, 29]]
            for name, k in COLUMNS.items()
        ]
        draws.append(np.concatenate([np.ravel(z), np.square(z).ravel()]))
    trial.assert_mean(draws, np.repeat([0.0, 1.0], 12))


@claim(
    null="95% intervals of maximum likelihood cover between 92 and 98% at T = 400",
    test="limits beyond these two, for each parameter",
    replicates=400,
    false_alarm=1e-7,
)
def test_intervals(trial):
    truth = structural().replace([0.5, 1.0])
    held = []
    for rng in trial.rngs():
        y = simulated(truth, 400, rng)[1]
        low, high = maximum_likelihood(structural(), y, method="exact").confidence_interval(0.95)
        held.append((low < truth.theta) & (truth.theta < high))
    for covered in np.transpose(held):
        trial.assert_between(covered, 0.92, 0.98, share=0.5)
