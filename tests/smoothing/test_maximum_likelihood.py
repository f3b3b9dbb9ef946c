"""maximum_likelihood against the exact maximum, reference EM and numerical optimization."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from randla import (
    DiscreteHMM,
    LinearGaussian,
    StateSpaceModel,
    StochasticVolatility,
    datasets,
    hmm_smoother,
    kalman_smoother,
    maximum_likelihood,
    paris,
)
from randla.smoothing import MaximumLikelihoodWarning
from randla.smoothing._likelihood.parametrization import Parametrization
from randla.smoothing._likelihood.scores import ParticleScores, ParticleSettings
from tests.smoothing import models
from tests.smoothing.likelihood_cases import (
    FREE,
    HMM,
    HMM_START,
    PLANE,
    PLANE_SERIES,
    SERIES,
    START,
    SYMBOLS,
)
from tests.statistical import claim

# Exact -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "em"])
@pytest.mark.parametrize(
    ("start", "y", "free"),
    [
        (START, SERIES, FREE),
        (PLANE, PLANE_SERIES, ["transition_matrix", "transition_cov"]),
        (HMM_START, SYMBOLS, None),
    ],
    ids=["scalar", "plane", "hmm"],
)
def test_exact_maximum(start, y, free, optimizer):
    result = maximum_likelihood(
        start, y, free=free, method="exact", optimizer=optimizer, n_steps=60
    )
    assert result.converged
    parameters = Parametrization(start, free)

    def loss(z):
        model = start.replace(parameters.to_theta(z))
        smoother = hmm_smoother if isinstance(start, DiscreteHMM) else kalman_smoother
        out = smoother(model, y)
        return -out.log_likelihood, -parameters.pull_back(z, out.expectation("score"))

    z0 = parameters.to_free(np.array(result.model.theta))
    best = minimize(loss, parameters.to_free(parameters.start), jac=True, options={"gtol": 1e-7})
    assert result.log_likelihood == pytest.approx(-best.fun, abs=1e-7)
    assert np.abs(loss(z0)[1]).max() < 1e-4
    # Standard errors against second differences of the likelihood itself.
    m, h = len(z0), 1e-3
    information, E = np.empty((m, m)), h * np.eye(m)
    for i in range(m):
        for j in range(m):
            corners = (loss(z0 + a * E[i] + b * E[j])[0] * a * b for a in (1, -1) for b in (1, -1))
            information[i, j] = sum(corners) / (4 * h * h)
    J = parameters.jacobian(z0)
    expected = np.sqrt(np.diag(J @ np.linalg.inv(information) @ J.T))
    np.testing.assert_allclose(result.parameter_standard_error, expected, rtol=1e-2)
    assert (result.monte_carlo_error == 0).all()


# Particles ---------------------------------------------------------------------------------------

QUICK = {"n_steps": 40, "n_particles": 20, "n_final": 30}
EXACT = maximum_likelihood(START, SERIES, free=FREE, method="exact")


@pytest.mark.parametrize("method", ["ppg", "path"])
@claim(
    null="with 20 particles the estimates of AR(1) plus noise are within a tenth of a standard "
    "error of the Kalman maximum on average",
    test="t-test beyond the tolerance, Bonferroni over 2 parameters",
    replicates=12,
    false_alarm=1e-7,
)
def test_reaches_the_kalman_maximum(method, trial):
    errors, ratios = [], []
    for rng in trial.rngs():
        result = maximum_likelihood(START, SERIES, free=FREE, method=method, rng=rng, **QUICK)
        errors.append((result.theta - EXACT.theta) / EXACT.parameter_standard_error)
        ratios.append(result.monte_carlo_error / EXACT.parameter_standard_error)
    errors = np.array(errors)
    n = len(errors)
    excess = np.maximum(np.abs(errors.mean(0)) - 0.1, 0.0)
    t = excess / (errors.std(0, ddof=1) / math.sqrt(n))
    trial.assert_pvalue(min(1.0, 2 * len(t) * float(stats.t.sf(t.max(), n - 1))))
    # The stated error is of the size of the actual one, and the statistical one is right.
    spread = np.sqrt(np.mean(errors**2, axis=0))
    assert (spread < 3 * np.sqrt(np.mean(np.square(ratios), axis=0))).all()
    assert (spread > np.sqrt(np.mean(np.square(ratios), axis=0)) / 3).all()


def test_statistical_errors():
    result = maximum_likelihood(START, SERIES, free=FREE, rng=0, n_particles=50, n_steps=50)
    np.testing.assert_allclose(
        result.parameter_standard_error, EXACT.parameter_standard_error, rtol=0.15
    )
    np.testing.assert_allclose(
        np.sqrt(np.diag(result.parameter_covariance)), result.parameter_standard_error
    )
    low, high = result.confidence_interval(0.9)
    half = 1.6449 * np.hypot(result.parameter_standard_error, result.monte_carlo_error)
    ratio = np.exp(half[1] / result.theta[1])  # a variance has its interval by logarithms
    expected = [result.theta[0] - half[0], result.theta[1] / ratio]
    np.testing.assert_allclose(low, expected, rtol=1e-4)
    np.testing.assert_allclose(
        high, [result.theta[0] + half[0], result.theta[1] * ratio], rtol=1e-4
    )


@pytest.mark.filterwarnings("ignore::randla.BiasWarning")  # of five particles
@claim(
    null="the scores of method='paris' have the law of those of paris",
    test="z-test of the difference of means, Bonferroni over 6 parameters",
    replicates=1500,
    false_alarm=1e-7,
)
def test_scores_of_paris(trial):
    n, key = trial.replicates, np.uint64(trial.seed)
    settings = ParticleSettings("paris", 5, 2, "auto", 1, 1, key)
    scores = ParticleScores(START, [(SERIES[:20], None)], settings)
    ours = np.array([scores.expect(START) for _ in range(n)])
    theirs = paris(START, SERIES[:20], "score", n_particles=5, n_chains=n, rng=trial.rng())
    trial.assert_mean(ours - theirs.per_chain, np.zeros(6))


def test_paris_is_biased_where_ppg_is_not():
    # A control of the test above: with 5 particles the bias of the score is several times larger.
    few = {**QUICK, "n_particles": 5, "n_steps": 100, "n_sweeps": 2, "n_final": 0}
    errors = {}
    for method in ("ppg", "paris"):
        runs = [
            maximum_likelihood(START, SERIES, free=FREE, method=method, rng=k, **few).theta
            for k in range(4)
        ]
        errors[method] = np.abs(np.mean(runs, axis=0) - EXACT.theta)[1]
    assert errors["paris"] > 2 * errors["ppg"]


def test_gradient_steps():
    result = maximum_likelihood(START, SERIES, free=FREE, optimizer="sgd", rng=0, **QUICK)
    error = np.abs(result.theta - EXACT.theta) / EXACT.parameter_standard_error
    assert error.max() < 0.3


@pytest.mark.slow
def test_stochastic_volatility():
    truth = StochasticVolatility(0.95, 0.3, 0.7)
    y = truth.simulate(300, rng=3)[1]
    start = StochasticVolatility(0.8, 0.5, 1.0)
    result = maximum_likelihood(
        start, y, n_steps=80, step_size=0.08, n_particles=40, n_final=60, rng=1
    )
    # 3 components of one fixed series, 4 standard errors of an asymptotic normal law.
    assert (np.abs(result.theta - truth.theta) < 4 * result.parameter_standard_error).all()
    # EM from there stays there.
    again = maximum_likelihood(
        result.model, y, optimizer="em", n_steps=40, n_particles=40, n_final=0, rng=2
    )
    assert (np.abs(again.theta - result.theta) < 0.3 * result.parameter_standard_error).all()


def test_a_users_own_model():
    # No score functions: central differences of the log densities.
    start = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
    exact = maximum_likelihood(start, SERIES, free=FREE, method="exact")
    result = maximum_likelihood(models.walk, SERIES, free=["coefficient", "step"], rng=0, **QUICK)
    assert result.names == ("coefficient", "step")
    scale = np.array([1.0, 2.0 * result.theta[1]])  # of the variance in the step
    error = (result.theta ** [1, 2] - exact.theta) / exact.parameter_standard_error
    assert np.abs(error).max() < 0.3
    np.testing.assert_allclose(
        scale * result.parameter_standard_error, exact.parameter_standard_error, rtol=0.25
    )
    assert isinstance(result.model, StateSpaceModel)
    np.testing.assert_array_equal(result.model.theta[:2], result.theta)


def test_the_rest_stays():
    result = maximum_likelihood(START, SERIES, free="transition_matrix", rng=0, **QUICK)
    np.testing.assert_array_equal(result.model.theta[1:], START.theta[1:])
    assert result.model.transition_matrix[0, 0] == result.theta[0]
    assert result.trace.shape == (41, 1)
    assert result.trace[0, 0] == 0.5
    assert 0 < result.last_step_size < 0.05


def test_without_the_final_stage_or_with_one_chain():
    result = maximum_likelihood(START, SERIES, free=FREE, n_steps=3, n_final=0, rng=0)
    assert result.parameter_standard_error is result.monte_carlo_error is result.converged is None
    with pytest.raises(ValueError, match="n_final must be at least 1"):
        result.confidence_interval()
    one = maximum_likelihood(EXACT.model, SERIES, free=FREE, n_steps=0, n_chains=1, rng=0)
    assert one.monte_carlo_error is None
    assert one.trace.shape == (1, 2)
    assert (one.parameter_standard_error > 0).all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_unit_of_a_real_parameter_does_not_matter(optimizer):
    found = []
    for unit in (1.0, 1e-4, 1e4):
        y = unit * SERIES
        start = LinearGaussian(0.8, 1.0, 0.7 * unit, 0.9 * unit**2, 0.0, 2.75)
        free = ["observation_matrix", "observation_cov"]
        result = maximum_likelihood(start, y, free=free, method="exact", optimizer=optimizer)
        found.append(np.r_[result.theta, result.parameter_standard_error] / ([unit, unit**2] * 2))
        assert result.converged
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-4)
    y = datasets.nile()
    far = LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 0.0, 1e4)
    exact = maximum_likelihood(
        far, y, free="initial_mean", method="exact", optimizer=optimizer, n_steps=50
    )
    best = maximum_likelihood(far, y, free="initial_mean", method="exact", optimizer="em")
    np.testing.assert_allclose(exact.theta, best.theta, rtol=1e-8)


def test_the_unit_of_a_real_parameter_does_not_matter_to_sweeps():
    y = datasets.nile()
    far = LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 0.0, 1e4)
    result = maximum_likelihood(far, y, free="initial_mean", n_particles=50, rng=0)
    error = math.hypot(result.monte_carlo_error[0], 0.05 * result.parameter_standard_error[0])
    assert abs(result.theta[0] - 1111.668) < 5 * error


def test_intervals_stay_in_the_range_of_a_parameter():
    result = maximum_likelihood(HMM, SYMBOLS, free="transition_matrix", method="exact")
    low, high = result.confidence_interval(1 - 1e-9)
    assert (result.theta - 6.1 * result.parameter_standard_error < 0.0).any()
    assert ((low > 0.0) & (low < result.theta)).all()
    assert ((high < 1.0) & (high > result.theta)).all()
    result = EXACT
    (low, high), theta = result.confidence_interval(), result.theta
    error = result.parameter_standard_error
    q = stats.norm.ppf(0.975)
    np.testing.assert_allclose(
        [low[1], high[1]], theta[1] * np.exp([-q * error[1] / theta[1], q * error[1] / theta[1]])
    )
    np.testing.assert_allclose([low[0], high[0]], theta[0] + [-q * error[0], q * error[0]])


def test_directions_that_the_data_do_not_determine():
    # The second state is never visited, so that its row has no influence.
    model = DiscreteHMM([1.0, 0.0], [[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.2, 0.8]])
    with pytest.warns(MaximumLikelihoodWarning, match="hardly determined"):
        maximum_likelihood(model, [0, 1, 1, 0], free="transition_matrix", method="exact")
    # The maximum is at a variance of zero.
    with pytest.warns(MaximumLikelihoodWarning, match="hardly determined"):
        maximum_likelihood(
            START, SERIES, free=["transition_cov", "observation_cov"], method="exact"
        )


def test_likelihood_at_the_estimates():
    options = {"free": FREE, "n_steps": 3, "n_final": 0, "rng": 0}
    exact = maximum_likelihood(START, SERIES, method="exact", **options)
    assert exact.log_likelihood == kalman_smoother(exact.model, SERIES).log_likelihood
    assert exact.log_likelihood_standard_error == 0.0
    assert exact.aic == 2 * len(exact.names) - 2 * exact.log_likelihood
    result = maximum_likelihood(START, SERIES, n_particles=50, n_chains=2, **options)
    truth = kalman_smoother(result.model, SERIES).log_likelihood
    error = result.log_likelihood_standard_error
    assert 0.0 < error < 1.0
    assert abs(result.log_likelihood - truth) < 4 * error
    chain = maximum_likelihood(HMM_START, SYMBOLS, method="exact", n_steps=1, n_final=0)
    rows = [len(HMM_START.transition_matrix), len(HMM_START.emission_probs)]
    assert chain.n_parameters == len(chain.names) - sum(rows)  # a row of each sums to one


@pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning")
def test_a_far_start_is_reported():
    with pytest.warns(MaximumLikelihoodWarning, match="still moved"):
        maximum_likelihood(
            START.replace([-0.99, 1e-9, 1.0, 0.5, 0.0, 2.75]), SERIES, free=FREE, n_steps=0,
            n_particles=20, n_final=10, rng=0,
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning")
def test_data_far_beyond_the_scale_of_the_start():
    # Gradients of 1e200 have no square: no overflow, and a warning that says where it stands.
    for scale in (1e100, 1e117):
        with pytest.warns(MaximumLikelihoodWarning, match="still moved"):
            maximum_likelihood(
                START, scale * SERIES, free=FREE, n_steps=2, n_particles=20, n_final=2, rng=0
            )


def test_impossible_parameters_are_named():
    model = DiscreteHMM([1.0, 0.0], np.eye(2), [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match="t = 1") as error:
        maximum_likelihood(model, [0, 2, 1], free="emission_probs", rng=0)
    assert "DiscreteHMM" in error.value.__notes__[0]


@pytest.mark.parametrize(
    ("model", "options", "error", "text"),
    [
        (START, {"method": "newton"}, ValueError, "method must be one of 'ppg'"),
        (START, {"optimizer": "lbfgs"}, ValueError, "optimizer must be one of 'auto'"),
        (START, {"step_size": 0.0}, ValueError, "step_size must be greater than 0"),
        (START, {"method": "exact", "step_size": 0.1}, ValueError,
         "step_size must be None with optimizer='bfgs', which finds its own"),
        (START, {"decay": 2.0}, ValueError, "decay must be in"),
        (START, {"n_steps": -1}, ValueError, "n_steps must be at least 0"),
        (START, {"n_particles": 1}, ValueError, "n_particles must be at least 2"),
        (START, {"backward": "ancestor"}, ValueError, "backward must be one of"),
        (models.walk, {"method": "exact"}, ValueError, "method='exact' needs a LinearGaussian"),
        (models.walk, {"optimizer": "em"}, ValueError, "optimizer='em' needs a LinearGaussian"),
        (StochasticVolatility(0.5, 1, 1), {"method": "exact"}, ValueError, "method='exact' needs"),
        (PLANE, {"optimizer": "em", "free": "transition_matrix[0,0]"}, ValueError,
         "all entries of transition_matrix"),
        ("model", {}, TypeError, "model must be a StateSpaceModel"),
    ],
)  # fmt: skip
def test_bad_arguments(model, options, error, text):
    y = PLANE_SERIES if model is PLANE else SERIES
    with pytest.raises(error, match=text):
        maximum_likelihood(model, y, **options)


@pytest.mark.parametrize("method", ["exact", "ppg"])
def test_nothing_is_learned_from_missing_rows_alone(method):
    model = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="y must contain an observation"):
        maximum_likelihood(model, np.full(5, np.nan), method=method)


def test_names_are_shown():
    model = LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)
    y = model.simulate(10, rng=0)[1]
    options = {"method": "exact", "n_steps": 1, "n_final": 0}
    for n, expected in [
        (1, "('transition_matrix',)"),
        (3, "('transition_matrix', 'transition_cov', 'observation_cov')"),
        (4, "('transition_matrix', 'transition_cov', ...)"),
    ]:
        names = ["transition_matrix", "transition_cov", "observation_cov", "initial_mean"][:n]
        shown = repr(maximum_likelihood(model, y, free=names, **options))
        assert f"names={expected}," in shown
