"""Particle Gibbs against the prior of a model without exact smoother.

Simulation-based calibration: states drawn with their observations rank uniformly among the paths
that are drawn given the observations. Geweke's test: alternating "path given observations" and
"observations given path" leaves the law of the states at the prior.
"""

import numpy as np
import pytest
from scipy import stats

from randla import StochasticVolatility, particle_gibbs, ppg
from randla._random import draw_key, new_stream
from randla.smoothing._particles.ffbs import PathSmoother
from randla.smoothing._particles.problem import make_problem
from tests.statistical import claim

MODEL = StochasticVolatility(0.9, 0.5, 0.7)
N_TIMES, N_DRAWS = 8, 9

pytestmark = pytest.mark.filterwarnings("ignore::randla.smoothing.BurnInWarning")


def statistics_of(paths):
    """First and last state, sum of squares, lagged products, of paths (..., T)."""
    return np.stack(
        [
            paths[..., 0],
            paths[..., -1],
            (paths**2).sum(-1),
            (paths[..., 1:] * paths[..., :-1]).sum(-1),
        ]
    )


@claim(
    null="true states rank uniformly among draws of particle Gibbs",
    test="chi-square of the ranks of 4 statistics, Bonferroni",
    replicates=600,
    false_alarm=1e-7,
)
def test_simulation_based_calibration(trial):
    ranks = []
    for rng in trial.rngs():
        states, y = MODEL.simulate(N_TIMES, rng=rng)
        result = particle_gibbs(
            MODEL, y, n_particles=20, n_iterations=6, burn_in=5, n_chains=N_DRAWS, rng=rng
        )
        drawn = statistics_of(result.paths[:, -1, :, 0])
        ranks.append((drawn < statistics_of(np.ravel(states))[:, None]).sum(axis=1))
    for column in np.transpose(ranks):
        counts = np.bincount(column, minlength=N_DRAWS + 1)
        trial.assert_pvalue(stats.chisquare(counts).pvalue, share=0.25)


@claim(
    null="the estimate of ppg minus the functional of the true states has mean zero",
    test="z-test over joint draws of states and observations",
    replicates=1500,
    false_alarm=1e-7,
)
def test_ppg_is_unbiased_over_joint_draws(trial):
    errors = []
    for rng in trial.rngs():
        states, y = MODEL.simulate(N_TIMES, rng=rng)
        result = ppg(
            MODEL, y, "square", n_particles=10, n_iterations=8, burn_in=6, n_chains=1, rng=rng
        )
        errors.append(result.estimate[0] - np.sum(np.square(states)))
    trial.assert_mean(errors, 0.0)


def after_alternating(rng, key, n_steps, wrong=False):
    """The path after some steps of "observations given path", "path given observations"."""
    states, y = MODEL.simulate(N_TIMES, rng=rng)
    path = np.ravel(states).copy()
    stream, drawn = new_stream(key), np.empty((1, N_TIMES))
    for _ in range(n_steps):
        y = MODEL.theta[2] * np.exp(path / 2) * rng.standard_normal(N_TIMES)
        problem = make_problem(MODEL, y, "state", 5, 2, "exact", paths=("n_iterations", 1))
        given = np.zeros(N_TIMES) if wrong else path
        for _ in PathSmoother(problem, stream, 1).draw(drawn, frozen=given):
            pass
        path = drawn[0].copy()
    return path


@claim(
    null="alternating the two conditional draws keeps the prior law of the states",
    test="z-tests of the second moments, which are known",
    replicates=1500,
    false_alarm=1e-7,
)
def test_geweke(trial):
    paths = [after_alternating(rng, draw_key(rng), 5) for rng in trial.rngs()]
    moments, expected = second_moments(paths)
    trial.assert_mean(moments, expected)


def test_geweke_sees_a_chain_that_forgets_its_path():
    paths = [
        after_alternating(rng, draw_key(rng), 5, wrong=True)
        for rng in np.random.default_rng(0).spawn(1500)
    ]
    moments, expected = second_moments(paths)
    z = (moments.mean(0) - expected) / (moments.std(0) / np.sqrt(len(moments)))
    assert np.abs(z).max() > 7


def second_moments(paths):
    x = np.asarray(paths)
    phi, sigma, _ = MODEL.theta
    variance = sigma**2 / (1 - phi**2)
    moments = np.c_[x[:, 0] ** 2, x[:, -1] ** 2, x[:, 0] * x[:, 1], x[:, 0] * x[:, -1]]
    return moments, variance * np.array([1.0, 1.0, phi, phi ** (N_TIMES - 1)])
