"""Free parameters as a vector without constraints."""

import numpy as np
import pytest

from randla import (
    ChaoticRNN,
    DiscreteHMM,
    LinearGaussian,
    StochasticVolatility,
)
from randla.smoothing._likelihood.parametrization import Parametrization
from tests.smoothing.exact_reference import central_difference
from tests.smoothing.likelihood_cases import HMM, PLANE, START

PARAMETRISATIONS = {
    "single": (StochasticVolatility(0.9, 0.3, 0.5), None),
    "real": (START, "initial_mean"),
    "matrix and covariance": (PLANE, ["transition_matrix", "transition_cov"]),
    "variances": (
        LinearGaussian(np.eye(2), np.diag([1.0, 2.0]), np.eye(2), np.eye(2), [0, 0], np.eye(2)),
        ["transition_cov[0,0]", "transition_cov[1,1]"],
    ),
    "rows": (HMM, None),
    "row with a zero": (
        DiscreteHMM([1.0, 0.0], np.full((2, 2), 0.5), [[0.5, 0.5, 0.0], [0.2, 0.7, 0.1]]),
        ["emission_probs"],
    ),
    "network": (ChaoticRNN([[0.5, -1.0], [2.0, 0.1]]), None),
}


@pytest.mark.parametrize("name", PARAMETRISATIONS)
def test_transforms(name):
    model, free = PARAMETRISATIONS[name]
    parameters = Parametrization(model, free)
    z = parameters.to_free(np.array(model.theta))
    np.testing.assert_allclose(parameters.to_theta(z), model.theta, rtol=1e-12, atol=1e-15)
    z = z + np.random.default_rng(0).standard_normal(len(z))
    theta = parameters.to_theta(z)
    np.testing.assert_allclose(model.replace(theta).theta, theta)  # stays in the support
    np.testing.assert_allclose(parameters.to_free(theta), z, rtol=1e-9, atol=1e-9)
    jacobian = parameters.jacobian(z)
    for j in range(len(z)):

        def value(x, j=j):
            moved = z.copy()
            moved[j] = x
            return parameters.to_theta(moved)[parameters.free]

        expected = central_difference(value, z[j], 1e-3)
        np.testing.assert_allclose(jacobian[:, j], expected, rtol=1e-8, atol=1e-8)
    gradient = np.random.default_rng(1).standard_normal((3, len(theta)))
    np.testing.assert_allclose(
        parameters.pull_back(z, gradient), gradient[:, parameters.free] @ jacobian
    )


@pytest.mark.parametrize(
    ("model", "free", "error", "text"),
    [
        (START, "phi", ValueError, r"free must name parameters of the model \(transition_matrix"),
        (START, 3, TypeError, "free must be None, a name or a sequence"),
        (START, [1], TypeError, "free must be None, a name or a sequence"),
        (START, [], ValueError, "free must name at least one"),
        (HMM, "transition_matrix[0,1]", ValueError, "whole rows of transition_matrix, got 1"),
        (PLANE, "transition_cov[1,0]", ValueError, "all entries of transition_cov"),
        (PLANE, "transition_cov[0,0]", ValueError, "all entries of transition_cov"),
    ],
)
def test_bad_free_parameters(model, free, error, text):
    with pytest.raises(error, match=text):
        Parametrization(model, free)


def test_a_parameter_without_curvature_keeps_its_unit():
    for name in ("initial_mean", "observation_matrix"):  # one starts at 0, the other does not
        parameters = Parametrization(START, name)
        parameters.find_units(np.zeros_like, 100)
        assert parameters.blocks[0].scale == 1.0
    parameters = Parametrization(START, "initial_mean")
    parameters.find_units(lambda theta: -1e-10 * theta, 100)
    assert parameters.blocks[0].scale == pytest.approx(1e6)
