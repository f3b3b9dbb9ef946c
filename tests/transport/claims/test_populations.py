"""Intervals for the distance of the laws of two samples, and the bias that is taken off."""

import numpy as np
import pytest

from randla.transport import sliced_wasserstein
from tests.statistical import claim

pytestmark = pytest.mark.filterwarnings("ignore::randla.PopulationWarning")  # of few points


@pytest.mark.parametrize("law", ["normal", "modes", "equal"])
@claim(
    null="nominal 90% intervals of the distance of two laws in d = 8 cover in 84 or more",
    test="one-sided normal limit",
    replicates=250,
    false_alarm=1e-7,
)
def test_population_intervals_cover(trial, law):
    n, m, d = 60, 40, 8
    shift, scale = {"normal": (0.3, 1.3), "modes": (0.5, 1.0), "equal": (0.0, 1.0)}[law]
    truth = np.hypot(shift, scale - 1.0)  # Y has the law of scale X + shift, and E XX' = I

    def draw(rng, n):
        x = rng.standard_normal((n, d))
        x[:, 0] += 3.0 * rng.choice([-1.0, 1.0], n) * (law == "modes")
        return x

    inside, powers = [], []
    for rng in trial.rngs():
        X, Y = draw(rng, n), scale * draw(rng, m) + shift
        result = sliced_wasserstein(
            X, Y, population=True, control_variate=None, n_projections=100, rng=rng
        )
        low, high = result.population_interval(0.9)
        inside.append(low <= truth <= high)
        powers.append([result.power, result.population_power])
    trial.assert_between(inside, 0.84, 1.0, share=0.5)
    power, corrected = np.mean(powers, axis=0) - truth**2
    assert abs(corrected) < 0.4 * power  # most of the bias is gone


@claim(
    null="at P = Q products of spacings are within 10% of the mean cost",
    test="z-tests that the means are not farther apart",
    replicates=1500,
    false_alarm=1e-7,
)
def test_products_of_spacings_estimate_the_bias(trial):
    excess = []
    for rng in trial.rngs():
        x, y = rng.standard_normal((2, 100))
        result = sliced_wasserstein(x, y, population=True)
        excess.append([result.population_power, 0.1 * result.power])
    excess = np.array(excess)
    # the two most extreme points leave some per cent
    for sign in (1.0, -1.0):
        draws = sign * excess[:, 0] - excess[:, 1]
        trial.assert_between(0.5 + np.clip(draws, -0.5, 0.5), 0.0, 0.5, share=0.5)
