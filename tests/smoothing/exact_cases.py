"""Cases of the exact smoothers, the ready models and maximum likelihood."""

import numpy as np

from randla import (
    ChaoticRNN,
    DiscreteHMM,
    LinearGaussian,
    StochasticVolatility,
    components,
    hmm_smoother,
    kalman_smoother,
    maximum_likelihood,
    structural,
)
from tests.conformance import Case, grid

RNG = np.random.default_rng(11)
NORMAL = LinearGaussian(
    [[0.875, 0.25], [0.0, 0.5]], np.eye(2), [[1.0, 0.5]], 0.75, [0.0, 1.0], 2 * np.eye(2)
)
SCALAR = LinearGaussian(0.5, 0.5, 1.0, 0.5, 0.0, 2.75)
HMM = DiscreteHMM([0.5, 0.5], [[0.75, 0.25], [0.125, 0.875]], [[0.75, 0.25], [0.25, 0.75]])
SERIES = grid(RNG, 12)
SERIES[4] = np.nan
SYMBOLS = np.array([0.0, 1, 1, np.nan, 0, 0, 1])


def kalman_values(result):
    names = ("state", "square", "lag_product", "score")
    sums = (result.expectation(name) for name in names)
    return result.mean, result.covariance, result.lag_covariance, result.log_likelihood, *sums


def hmm_values(result):
    return result.probs, result.pair_probs, result.log_likelihood, result.expectation("score")


def model_values(model):
    return (model.theta, *model.simulate(3, rng=0))


def likelihood_values(result):
    errors = result.monte_carlo_error
    return result.theta, result.trace, result.model.theta, np.zeros(0) if errors is None else errors


def component_values(parts):
    return tuple(v for part in parts.values() for v in (part.mean, part.standard_error))


def structural_components(y, regressors, **options):
    model = structural(level="trend", regressors=regressors)
    return components(kalman_smoother(model.replace([0.5, 0.25, 1.0]), y), **options)


def likelihood(y, **options):
    arguments = {
        "free": ["transition_matrix", "transition_cov"],
        "n_particles": 10,
        "n_steps": 3,
        "n_final": 0,
        **options,
    }
    return maximum_likelihood(arguments.pop("model", SCALAR), y, **arguments)


CASES = [
    Case(
        "maximum_likelihood",
        likelihood,
        {"y": SERIES},
        values=likelihood_values,
        random=True,
        nan=("y",),
        large={"y": RNG.standard_normal(40), "n_final": 10},
        bad_options=[
            ({"model": 3}, TypeError, "model must be a StateSpaceModel"),
            ({"free": "phi"}, ValueError, "free must name parameters"),
            ({"method": "bfgs"}, ValueError, "method must be one of"),
            ({"optimizer": None}, TypeError, "optimizer must be one of"),
            ({"n_steps": 1.5}, TypeError, "n_steps must be an integer"),
            ({"n_sweeps": 0}, ValueError, "n_sweeps must be at least 1"),
            ({"n_final": -1}, ValueError, "n_final must be at least 0"),
            ({"n_chains": 0}, ValueError, "n_chains must be at least 1"),
            ({"n_particles": 1}, ValueError, "n_particles must be at least 2"),
            ({"n_particles": 10**12}, ValueError, "n_particles must leave the"),
            ({"step_size": -1.0}, ValueError, "step_size must be greater than 0"),
            (
                {"optimizer": "em", "step_size": 0.1},
                ValueError,
                "step_size must be None with optimizer='em'",
            ),
            ({"decay": np.nan}, ValueError, "decay must be in"),
        ],
    ),
    Case(
        "MaximumLikelihoodResult exact",
        lambda y: likelihood(y, method="exact"),
        {"y": SERIES},
        values=likelihood_values,
        takes_rng=False,
        nan=("y",),
    ),
    Case(
        "MaximumLikelihoodResult structural",
        lambda y, **options: maximum_likelihood(
            structural(), y, **{"method": "exact", "n_steps": 3, "n_final": 0, **options}
        ),
        {"y": SERIES},
        values=lambda result: (result.theta, result.trace, result.at_boundary),
        takes_rng=False,
        nan=("y",),
        bad_options=[
            ({"method": "ppg"}, ValueError, "method must be 'exact' for a model of `structural`"),
            ({"optimizer": "adam"}, ValueError, "optimizer must be 'bfgs' for a model of"),
            ({"free": "sd_slope"}, ValueError, "free must name parameters of the model"),
            ({"y": np.ones(9)}, ValueError, "y must contain different values"),
            ({"y": np.full(9, np.nan)}, ValueError, "y must contain an observation"),
        ],
    ),
    Case(
        "components",
        structural_components,
        {"y": SERIES, "regressors": grid(RNG, (12, 2))},
        values=component_values,
        takes_rng=False,
        nan=("y",),
    ),
    Case(
        "structural",
        lambda regressors, **options: structural(**{"regressors": regressors, **options}),
        {"regressors": grid(RNG, (12, 2))},
        values=lambda model: (model.theta, model.observation_matrix),
        takes_rng=False,
        bad_options=[
            ({"seasonal": 1}, ValueError, "seasonal must be at least 2"),
            ({"ar": 1.0}, TypeError, "ar must be an integer"),
            ({"noise": None}, TypeError, "noise must be True or False"),
        ],
    ),
    Case(
        "kalman_smoother",
        lambda y, model=NORMAL, inputs=None: kalman_smoother(model, y, inputs=inputs),
        {"y": SERIES},
        values=kalman_values,
        takes_rng=False,
        nan=("y",),
        bad_options=[
            ({"model": HMM}, TypeError, "model must be a LinearGaussian, got DiscreteHMM"),
            ({"model": None}, TypeError, "model must be a LinearGaussian, got NoneType"),
            ({"inputs": SERIES}, ValueError, "inputs must be None"),
        ],
    ),
    Case(
        "hmm_smoother",
        lambda y, model=HMM, inputs=None: hmm_smoother(model, y, inputs=inputs),
        {"y": SYMBOLS},
        values=hmm_values,
        takes_rng=False,
        nan=("y",),
        bad_options=[
            ({"model": NORMAL}, TypeError, "model must be a DiscreteHMM, got LinearGaussian"),
            ({"y": [0, 2]}, ValueError, "y must hold symbols 0..1"),
            ({"inputs": SYMBOLS}, ValueError, "inputs must be None"),
        ],
    ),
    Case(
        "LinearGaussian",
        LinearGaussian,
        {
            "transition_matrix": np.array([[0.875, 0.25], [0.0, 0.5]]),
            "transition_cov": np.array([[1.0, 0.25], [0.25, 2.0]]),
            "observation_matrix": np.array([[1.0, 0.5], [0.25, 1.0], [0.0, 1.0]]),
            "observation_cov": np.diag([1.0, 2.0, 0.5]),
            "initial_mean": np.array([0.0, 1.0]),
            "initial_cov": np.array([[2.0, 0.5], [0.5, 1.0]]),
        },
        values=model_values,
        takes_rng=False,
    ),
    Case(
        "LinearGaussian that varies",
        LinearGaussian,
        {
            "transition_matrix": np.array([[[0.875, 0.25], [0.0, 0.5]], [[1.0, 0.0], [0.5, 0.5]]]),
            "transition_cov": np.eye(2),
            "observation_matrix": np.array([[1.0, 0.5]]),
            "observation_cov": np.array([[[0.5]], [[1.0]], [[2.0]]]),
            "initial_mean": np.array([0.0, 1.0]),
            "initial_cov": np.array([[0.0, 0.0], [0.0, 1.0]]),
            "state_intercept": np.array([0.5, -1.0]),
            "observation_intercept": np.array([0.5, 0.25, 2.0]),
            "diffuse": np.array([[1.0], [0.5]]),
        },
        values=lambda model: tuple(model._system),
        takes_rng=False,
        bad_options=[
            ({"diffuse": np.ones((2, 2))}, ValueError, "diffuse must have linearly independent"),
            ({"state_intercept": np.ones((3, 2))}, ValueError, "vary over the same number"),
            ({"observation_intercept": np.ones(4)}, ValueError, "vary over the same number of"),
        ],
    ),
    Case(
        "StochasticVolatility",
        lambda phi=0.9, sigma=0.25, beta=0.5: StochasticVolatility(phi, sigma, beta),
        {},
        values=model_values,
        takes_rng=False,
        bad_options=[
            ({"phi": 1.0}, ValueError, r"phi must be in \(-1, 1\)"),
            ({"phi": [0.5]}, TypeError, "phi must be a real number"),
            ({"sigma": 0.0}, ValueError, "sigma must be greater than 0"),
            ({"beta": np.inf}, ValueError, "beta must be"),
        ],
    ),
    Case(
        "ChaoticRNN",
        lambda weights, **options: ChaoticRNN(weights, **options),
        {"weights": grid(RNG, (3, 3))},
        values=model_values,
        takes_rng=False,
        bad_options=[
            ({"gain": np.nan}, ValueError, "gain must be finite"),
            ({"process_sd": 0.0}, ValueError, "process_sd must be greater than 0"),
            ({"observation_scale": -1.0}, ValueError, "observation_scale must be greater than 0"),
            ({"df": -1.0}, ValueError, "df must be"),
            ({"time_step": "a"}, TypeError, "time_step must be a real number"),
            ({"time_constant": 0}, ValueError, "time_constant must be greater than 0"),
            ({"initial_sd": True}, TypeError, "initial_sd must be a real number"),
        ],
    ),
    Case(
        "DiscreteHMM",
        DiscreteHMM,
        {
            "initial_probs": np.array([0.5, 0.5]),
            "transition_matrix": np.array([[0.75, 0.25], [0.125, 0.875]]),
            "emission_probs": np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]),
        },
        values=model_values,
        bad_options=[
            (
                {"initial_probs": [0.5, 0.25]},
                ValueError,
                "initial_probs must sum to 1, got a sum of",
            ),
            ({"transition_matrix": np.eye(2) / 2}, ValueError, "rows that sum to 1, got a row"),
        ],
        takes_rng=False,
        integers=False,
    ),
]
