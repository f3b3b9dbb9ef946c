"""Several independent series at once."""

import pickle

import numpy as np
import pytest

from randla import (
    DiscreteHMM,
    LinearGaussian,
    components,
    ffbs,
    hmm_smoother,
    kalman_smoother,
    maximum_likelihood,
    paris,
    particle_filter,
    particle_gibbs,
    ppg,
    structural,
)
from tests.smoothing import models
from tests.smoothing.test_inputs import INPUTS, WITH_INPUTS

pytestmark = [
    pytest.mark.filterwarnings("ignore::randla.BiasWarning"),
    pytest.mark.filterwarnings("ignore::randla.BurnInWarning"),
    pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning"),
    pytest.mark.filterwarnings("ignore::randla.MaximumLikelihoodWarning"),
]

FIRST, SECOND = (np.random.default_rng(k).standard_normal(n) for k, n in ((0, 25), (1, 10)))
CALLS = [
    (particle_filter, {}),
    (particle_filter, {"n_runs": 3}),
    (particle_filter, {"store": True, "n_lags": 0}),
    (paris, {"functional": models.SUMS}),
    (ffbs, {"functional": models.SUMS, "n_paths": 8}),
    (ppg, {"functional": models.SUMS, "n_iterations": 6}),
    (particle_gibbs, {"n_iterations": 6}),
]


def fields(result):
    return {name: value for name, value in vars(result).items() if name != "series"}


@pytest.mark.parametrize(("estimate", "options"), CALLS)
def test_totals_of_particles(estimate, options):
    def run(y, rng=3):
        return estimate(models.walk, y, n_particles=40, rng=rng, **options)

    alone, single, both = run(FIRST), run([FIRST]), run((FIRST, SECOND))
    assert alone.series == ()
    for result in (single, single.series[0], both.series[0]):  # a stream for (seed, series)
        for name, value in fields(alone).items():
            np.testing.assert_array_equal(getattr(result, name), value, err_msg=name)
    other = both.series[1]
    assert both.log_likelihood == alone.log_likelihood + other.log_likelihood
    assert other.log_likelihood != run(SECOND).log_likelihood
    assert other.log_likelihood != run([FIRST, SECOND], rng=4).series[1].log_likelihood
    assert other.log_likelihood == run([SECOND, SECOND]).series[1].log_likelihood
    if estimate is particle_filter:
        np.testing.assert_array_equal(both.mean, np.concatenate([alone.mean, other.mean]))
        if both.log_likelihood_standard_error is not None:
            errors = (r.log_likelihood_standard_error for r in both.series)
            assert both.log_likelihood_standard_error == pytest.approx(np.hypot(*errors))
            assert isinstance(both.log_likelihood_standard_error, float)
            low, high = both.log_likelihood_interval()
            assert low < both.log_likelihood + 1.0 < high + 1.0
    elif estimate is not particle_gibbs:
        np.testing.assert_array_equal(both.estimate, alone.estimate + other.estimate)
        np.testing.assert_array_equal(both.per_chain, alone.per_chain + other.per_chain)
        np.testing.assert_allclose(
            both.standard_error, np.hypot(alone.standard_error, other.standard_error)
        )
        low, high = both.confidence_interval()
        assert (low < both.estimate).all()
        assert (both.estimate < high).all()
    if estimate not in (particle_filter, paris):
        assert both.paths.shape == (*alone.paths.shape[:2], 35, 1)
        assert both.mean.shape == (35, 1)
    copy = pickle.loads(pickle.dumps(both))
    assert copy.series[1].log_likelihood == other.log_likelihood


def test_a_generator_moves_on_as_for_one_series():
    numbers = []
    for y in (FIRST, [FIRST], [FIRST, SECOND]):
        rng = np.random.default_rng(5)
        particle_filter(models.walk, y, n_particles=10, rng=rng)
        numbers.append(rng.integers(1 << 60))
    assert len(set(numbers)) == 1


def test_exact_totals():
    model = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
    gap = np.where(np.arange(10) % 3 == 0, np.nan, SECOND)
    parts = [kalman_smoother(model, y) for y in (FIRST, gap)]
    both = kalman_smoother(model, [FIRST, gap])
    assert both.log_likelihood == parts[0].log_likelihood + parts[1].log_likelihood
    assert (both.mean.shape, both.lag_covariance.shape) == ((35, 1), (33, 1, 1))
    for name in ("state", "square", "lag_product", "score"):
        expected = parts[0].expectation(name) + parts[1].expectation(name)
        np.testing.assert_array_equal(both.expectation(name), expected)
    chain = DiscreteHMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    symbols = [np.array([0, 1, 0, 0]), np.array([1.0, np.nan, 1.0])]
    parts = [hmm_smoother(chain, y) for y in symbols]
    both = hmm_smoother(chain, symbols)
    assert both.log_likelihood == parts[0].log_likelihood + parts[1].log_likelihood
    np.testing.assert_array_equal(both.probs, np.concatenate([p.probs for p in parts]))
    for name in ("state", "lag_product", "score"):
        expected = parts[0].expectation(name) + parts[1].expectation(name)
        np.testing.assert_array_equal(both.expectation(name), expected)
    for got, one, other in zip(both.counts(), *(p.counts() for p in parts), strict=True):
        np.testing.assert_array_equal(got, one + other)


def test_components_are_of_one_series():
    model = structural().replace([1.0, 1.0])
    both = kalman_smoother(model, [FIRST, SECOND])
    with pytest.raises(ValueError, match="result must be of one series, got several"):
        components(both)
    level = components(both.series[1])["level"].mean
    np.testing.assert_array_equal(level, kalman_smoother(model, SECOND).mean[:, 0])


def test_a_list_of_numbers_or_of_lists_is_one_series():
    result = particle_filter(models.walk, list(FIRST), n_particles=20, rng=0)
    assert result.series == ()
    assert result.mean.shape == (25, 1)
    rows = [[y] for y in FIRST]
    assert kalman_smoother(LinearGaussian(0.9, 1, 1, 1, 0, 1), rows).mean.shape == (25, 1)


def test_series_without_observations_count_zero():
    nothing = np.full(7, np.nan)
    result = particle_filter(models.walk, [FIRST, nothing], n_particles=40, rng=3)
    assert result.series[1].log_likelihood == 0.0
    assert result.series[1].log_likelihood_standard_error == 0.0
    assert result.log_likelihood == result.series[0].log_likelihood
    exact = {"free": "transition_matrix", "method": "exact"}
    model = LinearGaussian(0.5, 1.0, 1.0, 1.0, 0.0, 1.0)
    alone = maximum_likelihood(model, FIRST, **exact)
    got = maximum_likelihood(model, [nothing, FIRST], **exact)
    np.testing.assert_array_equal(got.theta, alone.theta)
    particles = {"n_particles": 20, "n_steps": 2, "n_final": 2, "rng": 0}
    alone = maximum_likelihood(models.walk, FIRST, **particles)
    got = maximum_likelihood(models.walk, [FIRST, nothing], **particles)
    np.testing.assert_array_equal(got.theta, alone.theta)
    with pytest.raises(ValueError, match="y must contain an observation to learn from"):
        maximum_likelihood(model, [nothing, nothing], **exact)


def test_inputs_of_several_series():
    inputs = [INPUTS, INPUTS[:10]]
    both = particle_filter(WITH_INPUTS, [FIRST, SECOND], n_particles=30, inputs=inputs, rng=0)
    alone = particle_filter(WITH_INPUTS, FIRST, n_particles=30, inputs=INPUTS, rng=0)
    assert both.series[0].log_likelihood == alone.log_likelihood
    for bad in (INPUTS, inputs[:1], inputs[0]):
        with pytest.raises(ValueError, match="inputs must be a list of 2 arrays, as y is, got"):
            particle_filter(WITH_INPUTS, [FIRST, SECOND], n_particles=30, inputs=bad)
    with pytest.raises(ValueError, match="inputs must have 10 rows") as caught:
        particle_filter(WITH_INPUTS, [FIRST, SECOND], n_particles=30, inputs=[INPUTS, INPUTS])
    assert caught.value.__notes__ == ["This was for series 1 of y."]


@pytest.mark.parametrize(
    ("y", "error", "text"),
    [
        ([], ValueError, "y must "),
        ([FIRST, "SECOND"], TypeError, "y must be one array or a list of arrays, .* with str in"),
        ([FIRST, [1.0]], TypeError, "y must be one array or a list of arrays, .* with list in"),
        ([FIRST, np.zeros((3, 2))], ValueError, r"same number of components, .* \(25,\), \(3, 2\)"),
        ([FIRST, np.zeros(0)], ValueError, "y must "),
    ],
)
def test_bad_series(y, error, text):
    gaussian = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
    for call in (
        lambda: particle_filter(models.walk, y, n_particles=10),
        lambda: ppg(models.walk, y, "state", n_particles=10, n_iterations=5),
        lambda: maximum_likelihood(models.walk, y),
        lambda: kalman_smoother(gaussian, y),
    ):
        with pytest.raises(error, match=text):
            call()


# Maximum likelihood.

TRUTH = LinearGaussian(0.8, 1.0, 1.0, 0.5, 0.0, 2.8)
START = LinearGaussian(0.5, 0.5, 1.0, 0.5, 0.0, 2.8)
MANY = [TRUTH.simulate(n, rng=n)[1] for n in (60, 100, 40)]
FREE = ["transition_matrix", "transition_cov"]


def test_exact_maximum_likelihood_of_several_series():
    result = maximum_likelihood(START, MANY, free=FREE, method="exact")
    total = kalman_smoother(result.model, MANY)
    assert result.log_likelihood == pytest.approx(total.log_likelihood, rel=1e-12)
    assert np.abs(total.expectation("score")[:2]).max() < 1e-4
    single = maximum_likelihood(START, MANY[:1], free=FREE, method="exact")
    alone = maximum_likelihood(START, MANY[0], free=FREE, method="exact")
    np.testing.assert_array_equal(single.theta, alone.theta)
    np.testing.assert_array_equal(single.parameter_covariance, alone.parameter_covariance)


def test_particle_maximum_likelihood_of_several_series():
    exact = maximum_likelihood(START, MANY, free=FREE, method="exact")
    options = {"n_particles": 50, "n_steps": 40, "n_final": 30, "rng": 0}
    result = maximum_likelihood(START, MANY, free=FREE, **options)
    # Five standard errors in each of two parameters: below 1e-6, but for the bias (Louis' errors
    # have a noise of some 10%).
    assert (np.abs(result.theta - exact.theta) < 5 * result.monte_carlo_error + 1e-3).all()
    np.testing.assert_allclose(
        result.parameter_standard_error, exact.parameter_standard_error, rtol=0.2
    )
    short = {"n_particles": 20, "n_steps": 3, "n_final": 3, "rng": 0}
    single = maximum_likelihood(START, MANY[:1], free=FREE, **short)
    alone = maximum_likelihood(START, MANY[0], free=FREE, **short)
    np.testing.assert_array_equal(single.theta, alone.theta)
    np.testing.assert_array_equal(single.monte_carlo_error, alone.monte_carlo_error)


@pytest.mark.parametrize(
    ("start", "ys", "free"),
    [
        (START, MANY, [*FREE, "observation_cov"]),
        (LinearGaussian(0.8, 1.0, 1.0, 0.5, 0.5, 2.8), MANY, ["initial_mean"]),
        (
            DiscreteHMM([0.5, 0.5], [[0.7, 0.3], [0.2, 0.8]], [[0.7, 0.3], [0.4, 0.6]]),
            [np.array([0, 0, 1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 0, 0, 1])],
            ["transition_matrix"],
        ),
    ],
)
def test_exact_expectation_maximization_of_several_series(start, ys, free):
    options = {"free": free, "method": "exact", "n_final": 0}
    result = maximum_likelihood(start, ys, optimizer="em", n_steps=400, **options)
    smoother = hmm_smoother if isinstance(start, DiscreteHMM) else kalman_smoother
    reached = smoother(result.model, ys).log_likelihood
    best = maximum_likelihood(start, ys, optimizer="bfgs", n_steps=400, **options)
    assert reached == pytest.approx(smoother(best.model, ys).log_likelihood, abs=1e-3)
