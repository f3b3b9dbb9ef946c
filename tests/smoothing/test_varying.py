"""Linear Gaussian models with intercepts or a time axis: drawing from them, and particles."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from randla import (
    LinearGaussian,
    kalman_smoother,
    maximum_likelihood,
    paris,
    particle_filter,
    start_filter,
)
from tests.smoothing.test_diffuse import random_arguments


def varying(d, k, n_steps=8):
    rng = np.random.default_rng([d, k])
    arguments = random_arguments(rng, d, k, 0, n_steps, d + 1, k + 1, d + 1)
    return LinearGaussian(**arguments)


MODELS = {"scalar": varying(1, 1), "vector": varying(3, 2), "one observed": varying(2, 1)}
each_model = pytest.mark.parametrize("name", MODELS)


def moments(model, t, x):
    """Mean and covariance of x_{t+1} given x_t = x."""
    mean = model.transition_matrix[t] @ x + model.state_intercept[t]
    return mean, model.transition_cov[t]


def row_moments(model, t, x):
    mean = model.observation_matrix[t] @ x + model.observation_intercept[t]
    return mean, model.observation_cov[t]


@each_model
def test_densities_and_optimal_proposals(name):
    model, theta, normal = MODELS[name], MODELS[name]._arguments, multivariate_normal
    stream, rng = np.array([1, 2, 3, 4], np.uint64), np.random.default_rng(0)
    states, y = model.simulate(8, rng=rng)
    rows = y.reshape(8, -1)
    given = (lambda x: float(x[0])) if model.dim is None else (lambda x: x)
    for t in range(7):
        x, xn = states[t], states[t + 1]
        law = normal(*moments(model, t, x))
        assert model.log_transition(t, given(x), given(xn), theta) == pytest.approx(law.logpdf(xn))
        row = normal(*row_moments(model, t, x)).logpdf(rows[t])
        assert model.log_potential(t, given(x), y[t], theta) == pytest.approx(row)
        # With the optimal proposal q g / m does not depend on the new state.
        weights = []
        for _ in range(2):
            if model.dim is None:
                new = model.proposal(stream, t, given(x), y[t + 1], theta)
            else:
                new = np.empty(len(x))
                model.proposal(stream, t, x, y[t + 1], theta, new)
            weight = model.log_transition(t, given(x), new, theta)
            weight += model.log_potential(t + 1, new, y[t + 1], theta)
            weights.append(weight - model.log_proposal(t, given(x), new, y[t + 1], theta))
        assert weights[0] == pytest.approx(weights[1], abs=1e-9)
        B, R = model.observation_matrix[t + 1], model.observation_cov[t + 1]
        mean, Q = moments(model, t, x)
        predicted = normal(row_moments(model, t + 1, mean)[0], B @ Q @ B.T + R)
        assert weights[0] == pytest.approx(predicted.logpdf(rows[t + 1]), abs=1e-9)


@each_model
def test_draws_follow_the_functions(name):
    model, d = MODELS[name], len(MODELS[name].initial_mean)
    start = np.random.default_rng(1).normal(size=(2, d))
    states, y = model.forecast(start, 3, start_time=4, rng=5)
    assert states.shape == (2, 3, d)
    # The same streams without intercepts: the intercepts are what is added.
    plain = LinearGaussian(
        model.transition_matrix, model.transition_cov, model.observation_matrix,
        model.observation_cov, model.initial_mean, model.initial_cov,
    )  # fmt: skip
    others, z = plain.forecast(start, 3, start_time=4, rng=5)
    shift = np.zeros(d)
    for h in range(3):
        shift = model.transition_matrix[4 + h] @ shift + model.state_intercept[4 + h]
        np.testing.assert_allclose(states[:, h] - others[:, h], [shift, shift], atol=1e-12)
        row = model.observation_matrix[5 + h] @ shift + model.observation_intercept[5 + h]
        np.testing.assert_allclose((y - z)[:, h].reshape(2, -1), [row, row], atol=1e-12)


@pytest.mark.slow
def test_a_filter_finds_the_exact_likelihood():
    model = MODELS["one observed"]
    y = model.simulate(8, rng=0)[1]
    y[3] = np.nan
    exact = kalman_smoother(model, y)
    result = particle_filter(model, y, n_particles=4000, n_runs=4, rng=1)
    error = result.log_likelihood_standard_error
    assert abs(result.log_likelihood - exact.log_likelihood) < 6 * error + 1e-3
    run = start_filter(model, n_particles=50, rng=1)
    for row in y:
        run.update(row)
    with pytest.raises(ValueError, match="beyond the times that the model has"):
        run.update(0.5)


def test_constant_matrices_with_an_intercept():
    plain = LinearGaussian(0.5, 1.0, 2.0, 1.0, 0.0, 2.0)
    moved = LinearGaussian(0.5, 1.0, 2.0, 1.0, 0.0, 2.0, state_intercept=0.0,
                           observation_intercept=3.0)  # fmt: skip
    x, y = plain.simulate(20, rng=0)
    other, z = moved.simulate(20, rng=0)
    np.testing.assert_array_equal(x, other)
    np.testing.assert_allclose(z, y + 3.0, atol=1e-14)
    one, two = (particle_filter(m, v, n_particles=50, rng=2) for m, v in ((plain, y), (moved, z)))
    np.testing.assert_allclose(one.mean, two.mean, atol=1e-12)


def test_what_such_models_cannot_do_is_said():
    model, y = MODELS["scalar"], np.zeros(8)
    diffuse = LinearGaussian(0.5, 1.0, 1.0, 1.0, 0.0, 0.0, diffuse=True)
    for call in (
        lambda: diffuse.simulate(3),
        lambda: particle_filter(diffuse, y, n_particles=10),
        lambda: paris(diffuse, y, "state", n_particles=10),
        lambda: start_filter(diffuse, n_particles=10),
        lambda: maximum_likelihood(diffuse, y),
    ):
        with pytest.raises(ValueError, match="model must have a law of its start"):
            call()
    assert diffuse.forecast([0.0], 3, rng=0)[0].shape == (1, 3, 1)
    with pytest.raises(ValueError, match=r"n_steps must not lead beyond .* got 9 times"):
        model.simulate(9)
    with pytest.raises(ValueError, match=r"n_steps must not lead beyond .* got 9 times"):
        model.forecast([0.0], 4, start_time=4)
    with pytest.raises(ValueError, match="y must have as many times"):
        particle_filter(model, y[:7], n_particles=10)
    with pytest.raises(ValueError, match="functional='score' needs densities and their scores"):
        paris(model, y, "score", n_particles=10)
    with pytest.raises(ValueError, match=r"method='ppg' needs densities, .* use method='exact'"):
        maximum_likelihood(model, y)
    with pytest.raises(ValueError, match="optimizer='em' needs a LinearGaussian without"):
        maximum_likelihood(model, y, method="exact", optimizer="em", free="initial_mean")
