"""The posterior of parameters: priors, moves, results, and what is refused."""

import math
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats as st
from scipy.signal import lfilter

from randla import DiscreteHMM, LinearGaussian, StateSpaceModel, posterior, structural
from randla._random import new_stream
from randla.smoothing import PosteriorWarning
from randla.smoothing._particles.problem import make_problem
from randla.smoothing._posterior import exact, particle
from randla.smoothing._posterior.clouds import Clouds, ParticleProblem, Size, choose, constant
from randla.smoothing._posterior.moves import Walk
from randla.smoothing._posterior.particle import MixtureChain, ParticleState
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.tuning import Schedule
from tests.smoothing import models
from tests.smoothing.likelihood_cases import AR1, HMM, PLANE, SERIES, SYMBOLS
from tests.smoothing.posterior_cases import EXACT_PRIOR, PRIOR
from tests.smoothing.test_inputs import INPUTS, SERIES as INPUT_SERIES, WITH_INPUTS

pytestmark = pytest.mark.filterwarnings("ignore::randla.smoothing.PosteriorWarning")

LAWS = [
    st.norm(0.3, 0.5), st.halfnorm(scale=2.0), st.gamma(2.0, scale=0.5), st.invgamma(3.0),
    st.beta(2, 3), st.uniform(-1, 2), st.lognorm(0.5), st.t(4, loc=1.0), st.truncnorm(-1, 2),
    st.halfcauchy(),
]  # fmt: skip
SHORT = {"n_iterations": 16, "n_chains": 2}


class Duck:
    """A law that is none of SciPy's."""

    def logpdf(self, x):
        return -0.5 * x * x


# Priors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.dist.name)
def test_a_law_is_that_of_scipy_on_the_line(law):
    """log prior + log |d theta / dz|, the slope by differences."""
    model = models.walk.replace([0.5, 0.4, 0.6])
    name = "coefficient" if law.support()[0] < 0 and law.support()[1] <= 1 else "step"
    if law.support()[0] < 0 and name == "step":  # on all real numbers
        model = StateSpaceModel(**{**models.WALK, "support": None, "theta": [0.5, 0.4, 0.6]})
    prior = Prior(model, {name: law})
    k = model.names.index(name)
    for z in prior.start + np.array([[-0.4], [0.0], [0.7]]):
        theta, value = prior.density(z)
        up, down = (prior.theta(z + h)[k] for h in (1e-5, -1e-5))
        assert value == pytest.approx(law.logpdf(theta[k]) + math.log((up - down) / 2e-5), abs=1e-8)
        assert theta[k] == pytest.approx(model.inverse(model.transform(theta))[k])


def test_joint_laws_of_covariances_and_probabilities():
    wishart = st.invwishart(5, np.eye(2))
    dirichlet = st.dirichlet([2.0, 3.0])
    for model, name, law, value in (
        (PLANE, "transition_cov", wishart, lambda theta: PLANE.replace(theta).transition_cov),
        (HMM, "transition_matrix[1]", dirichlet, lambda t: HMM.replace(t).transition_matrix[1]),
    ):
        prior = Prior(model, {name: law})
        free = prior.free if name == "transition_cov" else prior.free[:-1]  # all but one of a row
        z = prior.start + 0.2
        columns = [(prior.theta(z + h) - prior.theta(z - h))[free] / 2e-6
                   for h in 1e-6 * np.eye(prior.size)]  # fmt: skip
        volume = math.log(abs(np.linalg.det(columns)))
        theta, density = prior.density(z)
        assert density == pytest.approx(float(law.logpdf(value(theta))) + volume, abs=1e-6)


def test_the_name_of_an_argument_stands_for_its_entries():
    prior = Prior(PLANE, {"transition_matrix": st.norm(0, 1)})
    assert prior.names == tuple(f"transition_matrix[{i},{j}]" for i in (0, 1) for j in (0, 1))
    assert prior.density(prior.start)[1] == pytest.approx(
        st.norm(0, 1).logpdf(PLANE.transition_matrix).sum()
    )
    both = Prior(HMM, {"transition_matrix": st.dirichlet([2, 2])})
    assert len(both.names) == 4
    assert both.size == 2


def test_a_function_is_a_prior_of_all_parameters():
    prior = Prior(models.walk, lambda theta: -float(theta @ theta))
    theta, value = prior.density(prior.start)
    assert prior.names == models.walk.names
    slopes = models.walk.slope(models.walk.theta)
    assert value == pytest.approx(-theta @ theta + np.log(slopes).sum())


def test_laws_that_are_no_scipy_laws():
    prior = Prior(models.walk, {"step": Duck()})
    assert prior.density(np.array([0.0]))[1] == pytest.approx(-0.5)
    assert prior.spread() == pytest.approx(0.3)


def test_spread_of_a_prior_on_the_line():
    spread = Prior(models.walk, {"step": st.lognorm(0.7), "noise": st.halfcauchy()}).spread()
    assert spread[0] == pytest.approx(0.7, rel=0.02)
    assert np.isfinite(spread).all()


def test_far_out_there_is_no_density():
    prior = Prior(models.walk, PRIOR)
    for z in ([0, 800, 0], [0, -800, 0], [40, 0, 0], [np.inf, 0, 0], [np.nan, 0, 0]):
        with np.errstate(all="ignore"):
            assert prior.density(np.array(z, float))[1] == -math.inf


@pytest.mark.parametrize(
    ("prior", "error", "message"),
    [
        ({"step": st.halfnorm}, TypeError, "prior.'step'. must be a frozen distribution"),
        ({"step": st.poisson(3)}, TypeError, "a discrete one"),
        ({"step": 3.0}, TypeError, "no logpdf"),
        ({"step": st.norm(0, 1)}, ValueError, "support in that of the parameter"),
        ({"coefficient": st.uniform(-2, 4)}, ValueError, "support in that of the parameter"),
        ({"step": st.uniform(2, 3)}, ValueError, "finite log density at the parameters"),
        (lambda theta: math.nan, ValueError, "finite log density .* got -inf"),
        (lambda theta: theta, TypeError, "prior must return a number"),
        (lambda theta: None, TypeError, "prior must return a number"),
        (lambda theta: math.inf, ValueError, "finite log density .* got inf"),
        ({"step": st.multivariate_normal([1, 1])}, ValueError, "a law of one number"),
        ({"step": st.lognorm([1, 2])}, ValueError, "a law of one number"),
        ({"step": st.lognorm(1), "step[": st.lognorm(1)}, ValueError, "must name parameters"),
        ([("step", st.lognorm(1))], TypeError, "prior must be a dict"),
        (st.norm(0, 1), TypeError, "prior must be a dict"),
    ],
)
def test_bad_priors(prior, error, message):
    with pytest.raises(error, match=message):
        posterior(models.walk, SERIES, prior, **SHORT)


def test_bad_priors_of_joint_parameters():
    for prior, message in (
        ({"transition_matrix[0,0]": st.beta(2, 2)}, "prior must name whole rows"),
        ({"transition_matrix[0]": st.dirichlet([1, 1, 1])}, "of the 2 that it names together"),
        ({"transition_matrix": st.dirichlet([1, 1]), "transition_matrix[0]": st.dirichlet([1, 1])},
         "each parameter once"),
        ({"emission_probs[0]": st.dirichlet([1, 1, 1])}, "that can move"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Prior(DiscreteHMM([1.0, 0.0], HMM.transition_matrix, np.eye(2, 3)), prior)


# Moves --------------------------------------------------------------------------------------------


def last_of(steps):
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def mixture_problem(y, n=6, **options):
    smoothing = make_problem(models.walk, y, "state", n, 2, "exact", paths=None)
    prior = Prior(models.walk, PRIOR)
    return ParticleProblem(prior, [smoothing], Schedule(20, 10, 1), "particle", None, **options)


def test_density_of_a_path():
    y = SERIES[:25]  # with gaps
    state = ParticleState(mixture_problem(y), 0, 0)
    x = np.random.default_rng(0).standard_normal(25)
    state.paths[0][0] = x
    c, q, r = theta = np.array([0.7, 0.5, 0.8])
    expected = st.norm.logpdf(x[0]) + st.norm.logpdf(x[1:], c * x[:-1], q).sum()
    expected += np.nansum(st.norm.logpdf(y, x, r))
    assert state._given_path(theta) == pytest.approx(expected, rel=1e-12)


def test_likelihood_of_a_collapsed_move_is_that_of_its_own_cloud():
    """Not of another filter: the cloud that holds the path and its likelihood belong together."""
    problem = mixture_problem(SERIES[:10])
    state = ParticleState(problem, 3, 0)
    clouds = Clouds(problem, constant(7, state.z), state.stream)
    for _ in state.start_path(clouds.present):
        pass
    value = last_of(clouds.conditional(state.point, state.paths))
    states, log_weights, _ = clouds.present.parts[0].filter.particles
    np.testing.assert_array_equal(states[:, 0], state.paths[0][0])
    increments = np.log(np.mean(np.exp(log_weights), axis=1))  # multinomial at every step
    assert value == pytest.approx(increments.sum(), rel=1e-12)


def test_an_accepted_cloud_takes_the_place_of_the_present_one():
    problem = mixture_problem(SERIES[:10])
    state = ParticleState(problem, 3, 0)
    clouds = Clouds(problem, constant(7, state.z), state.stream)
    for _ in range(3):  # two work spaces in turn
        present = clouds.present
        for _ in clouds.fresh(state.point):
            pass
        assert clouds.present is present
        fresh = clouds.other
        assert fresh is not present
        clouds.accept()
        assert clouds.present is fresh


def test_particles_as_a_function_of_the_parameters():
    size = Size(100, np.array([1.0, 0.0]), np.array([0.0, -1.0]), 3000)
    others = [[1.0, 0.0], [9.0, 0.4], [1.0, -1.0], [1.0, 5.0], [1.0, -2.6], [1.0, -99.0]]
    assert [size.at(np.array(z)) for z in others] == [100, 100, 200, 50, 800, 800]
    assert size._replace(n=60).at(np.array([1.0, 5.0])) == 40
    assert size._replace(n=6).at(np.array([1.0, 5.0])) == 6  # as few as that were given
    assert size._replace(most=150).at(np.array([1.0, -2.0])) == 150
    assert constant(9, size.mean).at(np.array([1.0, -7.0])) == 9


def test_walk_finds_its_scale():
    rng, walk, z = np.random.default_rng(0), Walk(9.0 * np.eye(2), 0.3), np.zeros(2)
    for _ in range(3000):
        other, _ = walk.propose(z, rng)
        accepted = -0.5 * other @ other + 0.5 * z @ z > -rng.exponential()
        z = other if accepted else z
        walk.adapt(accepted)
    assert 0.5 < walk.reached()[0, 0] < 2.0


@pytest.mark.parametrize(("n", "n_times", "rhythm"), [
    (40, 10, (1, 1)), (130, 500, (1, 1)), (200, 500, (4, 1)), (500, 100, (2, 1)),
    (300, 1000, (20, 2)), (900, 1000, (20, 4)),
])  # fmt: skip
def test_rhythm_of_collapsed_moves(n, n_times, rhythm):
    """Cheap moves are made often, dear ones are at most half of the time."""
    chain = MixtureChain.__new__(MixtureChain)
    problem = mixture_problem(np.zeros(n_times))
    chain.problem = problem._replace(schedule=Schedule(2000, 1000, 1))
    assert chain._rhythm(n) == rhythm


def test_number_of_particles_goes_with_the_variance():
    """Precise observations need more of them."""
    problem = mixture_problem(SERIES)
    z = Prior(models.walk, PRIOR).start
    line = z + np.array([[0.1, 0.0, -0.8], [-0.1, 0.1, 0.0], [0.1, -0.1, 0.8]] * 4)
    stream = ParticleState(problem, 1, 0).stream
    size = last_of(choose(problem, stream, line))
    assert 40 <= size.n <= 300
    np.testing.assert_allclose(size.mean, line.mean(axis=0))
    assert size.doublings[2] < -0.3
    given = last_of(choose(problem._replace(n_particles=33), stream, line))
    assert given.at(line[0]) == given.at(line[2]) == 33


# Results ------------------------------------------------------------------------------------------


def test_exact_posterior_of_one_parameter():
    """Against the density on a grid, within five Monte Carlo standard errors."""
    law = st.uniform(-1, 2)
    result = posterior(AR1, SERIES, {"transition_matrix": law}, n_iterations=1000, rng=0)
    grid = np.linspace(0.3, 0.999, 400)
    rows, k = exact.rows_of(AR1, SERIES), AR1.names.index("transition_matrix")
    logs = [exact.likelihood_of(AR1.replace(np.r_[g, AR1.theta[k + 1 :]]), rows) for g in grid]
    w = np.exp(np.array(logs) - max(logs))
    w /= w.sum()
    assert result.method == "exact"
    assert abs(result.mean[0] - w @ grid) < 5 * result.standard_error[0] + 1e-3
    for q in (0.1, 0.5, 0.9):
        truth = np.interp(q, np.cumsum(w), grid)
        assert abs(result.quantile(q)[0] - truth) < 5 * result.quantile_standard_error(q)[0] + 2e-3


def test_fields_of_a_mixture():
    result = posterior(models.walk, SERIES, PRIOR, n_iterations=40, n_chains=3, rng=1)
    assert result.method == "particle"
    assert result.draws.shape == (3, 20, 3)
    assert result.paths.shape == (3, 20, 60, 1)
    assert result.update_rate.shape == (60,)
    assert (result.update_rate > 0.2).all()
    assert result.n_particles.shape == result.period.shape == result.acceptance.shape == (3,)
    assert ((result.acceptance >= 0) & (result.acceptance <= 1)).all()
    np.testing.assert_array_equal(result._last_states, result.paths[:, :, -1])
    for values in (result.mean, result.sd, result.standard_error, result.r_hat, result.ess_tail):
        assert values.shape == (3,)
    assert result.quantile([0.1, 0.5]).shape == (2, 3)
    assert result.quantile_standard_error([0.1, 0.5]).shape == (2, 3)
    with pytest.raises(ValueError, match="q must be"):
        result.quantile(1.5)


@pytest.mark.parametrize(
    "model", [AR1, LinearGaussian(1.0, 1.0, 1.0, 1.0, 0.0, 0.0, diffuse=[True])]
)
def test_exact_paths_have_the_smoothing_law(model):
    """Draws of paths at the true parameters have the smoothed moments."""
    y, rng = SERIES[:30, None], np.random.default_rng(0)
    smoothed = exact.kalman_smoother(model, y)
    paths = np.array([exact.path_given_all(model, y, rng) for _ in range(800)])[..., 0]
    sd = np.sqrt(smoothed.covariance[:, 0, 0])
    z = (paths.mean(0) - smoothed.mean[:, 0]) / sd * math.sqrt(800)
    assert np.abs(z).max() < 5
    np.testing.assert_allclose(paths.std(0), sd, rtol=0.2)
    lag = np.mean((paths - paths.mean(0))[:, 1:] * (paths - paths.mean(0))[:, :-1], axis=0)
    np.testing.assert_allclose(lag, smoothed.lag_covariance[:, 0, 0], atol=0.15)


def test_last_states_of_exact_chains_have_the_filtered_law():
    rng, smoothed = np.random.default_rng(0), exact.kalman_smoother(AR1, SERIES)
    draws = np.array([exact.last_state(AR1, SERIES, rng) for _ in range(200)])
    sd = math.sqrt(smoothed.covariance[-1, 0, 0])
    assert abs(draws.mean() - smoothed.mean[-1, 0]) < 5 * sd / math.sqrt(200)
    assert draws.std() == pytest.approx(sd, rel=0.25)


def test_exact_paths_of_finite_states_have_the_smoothing_law():
    rng = np.random.default_rng(0)
    hmm = exact.hmm_smoother(HMM, SYMBOLS[:20])
    states = np.array([exact.path_given_all(HMM, SYMBOLS[:20], rng) for _ in range(800)])[..., 0]
    np.testing.assert_allclose((states == 1).mean(0), hmm.probs[:, 1], atol=0.09)
    stays = (states[:, 1:] == states[:, :-1]).mean(0)
    np.testing.assert_allclose(stays, np.trace(hmm.pair_probs, axis1=1, axis2=2), atol=0.09)


def test_posterior_of_a_structural_model():
    prior = {"sd_level": st.halfnorm(), "sd_noise": st.halfnorm()}
    y = np.where(np.arange(20) == 5, np.nan, 100.0 + SERIES[:20].cumsum())
    model = structural(level="trend")
    result = posterior(model, y, prior, n_iterations=20, n_chains=2, rng=0)
    assert result.paths.shape == (2, 10, 20, 2)
    assert result.forecast(3).observations.shape == (2, 10, 3)
    at_end = model.replace([0.0, 1.0, 1.0])  # as maximum likelihood may leave it
    for law in (prior, lambda theta: -np.sum(theta**2)):
        result = posterior(at_end, y, law, n_iterations=30, n_chains=1, rng=0)
        assert (result.draws >= 0.0).all()


def test_hidden_markov_posterior():
    prior = {"transition_matrix": st.dirichlet([2, 2]), "emission_probs[0]": st.dirichlet([1] * 3)}
    result = posterior(HMM, SYMBOLS, prior, n_iterations=60, n_chains=2, rng=0)
    assert result.draws.shape == (2, 30, 7)
    np.testing.assert_allclose(result.draws[..., :2].sum(-1), 1.0)
    assert set(np.unique(result.paths)) <= {0.0, 1.0}
    assert result.forecast(3, rng=0).observations.shape == (2, 30, 3)


@pytest.mark.parametrize("model", [models.walk, AR1])
def test_forecasts(model):
    prior = PRIOR if model is models.walk else EXACT_PRIOR
    result = posterior(model, SERIES, prior, n_iterations=40, n_chains=2, rng=1)
    future = result.forecast(4, rng=0)
    assert future.states.shape == (2, 20, 4, 1)
    assert future.observations.shape == (2, 20, 4)
    assert future.mean.shape == future.standard_error.shape == (4,)
    low, high = future.quantile([0.1, 0.9])
    assert (low < high).all()
    assert future.quantile_standard_error([0.1, 0.9]).shape == (2, 4)
    again = result.forecast(4, rng=0)
    np.testing.assert_array_equal(future.observations, again.observations)
    if result.method == "particle":  # draw by draw, from the last state of its own path
        rng = np.random.default_rng(0)
        for c, k in np.ndindex(2, 20):
            own, last = model.replace(result.draws[c, k]), result.paths[c, k, -1:]
            states, observations = own.forecast(last, 4, start_time=59, rng=rng)
            np.testing.assert_array_equal(future.states[c, k], states[0])
            np.testing.assert_array_equal(future.observations[c, k], observations[0])
    with pytest.raises(ValueError, match="n must be at least 1"):
        result.forecast(0)


def test_pickled_result_is_the_same():
    result = posterior(models.walk, SERIES, PRIOR, rng=1, **SHORT)
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(copy.draws, result.draws)
    np.testing.assert_array_equal(
        copy.forecast(2, rng=0).observations, result.forecast(2, rng=0).observations
    )
    assert "r_hat" in repr(result)
    prior = Prior(models.walk, PRIOR)  # goes to processes
    again, z = pickle.loads(pickle.dumps(prior)), prior.start + 0.3
    assert again.density(z)[1] == prior.density(z)[1]


def test_same_for_threads_and_executors(each_thread_count):
    def draws(executor=None):
        return posterior(models.walk, SERIES, PRIOR, executor=executor, rng=3, **SHORT).draws

    first, *others = each_thread_count(draws)
    with ThreadPoolExecutor(2) as executor:
        others.append(draws(executor))
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_a_chain_depends_on_the_seed_and_its_number_only():
    for model, prior in ((AR1, EXACT_PRIOR), (models.walk, PRIOR)):
        few, many = (
            posterior(model, SERIES, prior, n_iterations=16, n_chains=n, rng=3) for n in (2, 3)
        )
        np.testing.assert_array_equal(few.draws, many.draws[:2])


def test_without_a_density_of_the_transition_only_marginal_moves():
    functions = {k: v for k, v in models.WALK.items() if k != "log_transition"}
    model = StateSpaceModel(**functions)
    result = posterior(model, SERIES[:20], PRIOR, n_particles=50, rng=0, **SHORT)
    assert result.method == "pmmh"
    assert result.update_rate is None
    assert (result.n_particles == 50).all()
    with pytest.raises(ValueError, match="needs a model with log_transition and log_initial"):
        posterior(model, SERIES[:20], PRIOR, method="particle")
    with pytest.raises(TypeError, match="executor must be None or"):
        posterior(models.walk, SERIES, PRIOR, executor=3, **SHORT)
    with pytest.raises(ValueError, match="method='exact' needs a LinearGaussian"):
        posterior(model, SERIES[:20], PRIOR, method="exact")


def test_impossible_observations_are_named():
    hmm = DiscreteHMM([0.5, 0.5], np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="impossible"):
        posterior(hmm, [0, 1], {"initial_probs": st.dirichlet([1, 1])})


def test_several_series_add_up():
    """Two with a gap between them that says nothing, or one: likelihoods of independent halves."""
    halves = [SERIES[:20], SERIES[30:]]
    problem = exact.ExactProblem(
        Prior(AR1, EXACT_PRIOR), [exact.rows_of(AR1, h) for h in halves], Schedule(4, 2, 1)
    )
    each = [exact.likelihood_of(AR1, exact.rows_of(AR1, h)) for h in halves]
    assert problem.strict(AR1.theta) == pytest.approx(sum(each))
    result = posterior(AR1, halves, EXACT_PRIOR, rng=0, **SHORT)
    assert result.paths is None
    with pytest.raises(ValueError, match="one series for a forecast"):
        result.forecast(2)
    alone = posterior(AR1, [halves[0]], EXACT_PRIOR, rng=0, **SHORT)
    assert alone.paths.shape[2] == 20
    assert alone.forecast(2, rng=0).mean.shape == (2,)


def test_several_series_by_particles():
    """Densities of paths and likelihoods of clouds are products over the series."""
    halves = [SERIES[:10], SERIES[30:45]]
    each = [mixture_problem(half) for half in halves]
    problem = each[0]._replace(series=[one.series[0] for one in each])
    state = ParticleState(problem, 3, 0)
    clouds = Clouds(problem, constant(2000, state.z), state.stream)
    for _ in state.start_path(clouds.present):
        pass
    value = last_of(clouds.conditional(state.point, state.paths))
    c, q, r = state.theta
    model = LinearGaussian(c, q * q, 1.0, r * r, 0.0, 1.0)
    truth = sum(exact.likelihood_of(model, exact.rows_of(model, half)) for half in halves)
    assert value == pytest.approx(truth, abs=0.5)
    total = state._given_path(state.theta)
    for one, path in zip(each, list(state.paths), strict=True):
        state.problem, state.paths = one, [path]
        total -= state._given_path(state.theta)
    assert total == pytest.approx(0.0, abs=1e-9)
    for method in ("particle", "pmmh"):
        result = posterior(models.walk, halves, PRIOR, method=method, n_particles=20, **SHORT)
        assert result.paths is None
        assert method == "pmmh" or result.update_rate.shape == (25,)
        with pytest.raises(ValueError, match="one series for a forecast"):
            result.forecast(2)


@pytest.mark.slow
def test_inputs_of_series_and_of_forecasts():
    result = posterior(
        WITH_INPUTS, INPUT_SERIES, PRIOR, method="particle", inputs=INPUTS, rng=0, **SHORT
    )
    assert result.forecast(3, INPUTS[:4], rng=0).observations.shape == (2, 8, 3)
    with pytest.raises(ValueError, match="inputs must have 4 rows"):
        result.forecast(3, INPUTS[:3])
    with pytest.raises(ValueError, match="inputs must have"):
        posterior(WITH_INPUTS, INPUT_SERIES, PRIOR, inputs=INPUTS[1:], **SHORT)


def test_auto_takes_the_cheaper_moves(monkeypatch):
    """Those whose particles promise more; the pilot has no other streams by it."""
    series, found = SERIES[:10], {}
    for most, method in ((0.0, "particle"), (math.inf, "pmmh")):
        monkeypatch.setattr(particle, "_most_marginal", lambda line, most=most: most)
        found[method] = posterior(models.walk, series, PRIOR, rng=0, **SHORT)
        assert found[method].method == method
    given = posterior(models.walk, series, PRIOR, method="pmmh", rng=0, **SHORT)
    np.testing.assert_array_equal(found["pmmh"].draws, given.draws)
    given = posterior(models.walk, series, PRIOR, n_particles=20, rng=0, **SHORT)
    assert given.method == "particle"


def test_marginal_moves_need_not_many_particles_where_sweeps_are_slow():
    """0.04 draws for N particles, against one for 50 or more in half of the time."""
    noise = np.random.default_rng(0).standard_normal((200, 2))
    slow = lfilter([1.0], [1.0, -0.97], noise, axis=0)  # an ESS near 200 (1 - 0.97) / 1.97 = 3
    assert particle._most_marginal(noise) == pytest.approx(4.0, rel=0.4)
    assert 75 < particle._most_marginal(np.c_[noise[:, 0], slow[:, 0]]) < 700


@pytest.mark.slow
def test_epidemic_with_counts_and_inputs():
    """No density of the start: marginal moves alone."""
    rates = np.linspace(0.5, 0.2, 20)
    _, y = models.epidemic.simulate(20, inputs=rates, rng=0)
    law = {"recovery": st.beta(2, 5), "reported": st.beta(5, 5)}
    result = posterior(models.epidemic, y, law, inputs=rates, n_particles=60, rng=0, **SHORT)
    assert result.method == "pmmh"
    assert result.paths.shape == (2, 8, 20, 2)
    assert (result.paths[..., 0, :] == [490.0, 10.0]).all()
    assert (np.diff(result.paths[..., 0], axis=-1) <= 0.0).all()  # the susceptible


def test_chains_that_are_too_short_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error", PosteriorWarning)
        with pytest.raises(PosteriorWarning, match="n_iterations"):
            posterior(AR1, SERIES, EXACT_PRIOR, rng=0, **SHORT)


def test_pictures_and_arviz():
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    result = posterior(AR1, SERIES, EXACT_PRIOR, rng=0, n_iterations=40)
    assert result.plot().size >= 2
    ax = result.plot(plt.figure().add_subplot(), name="observation_cov")
    assert ax.get_xlabel() == "observation_cov"
    with pytest.raises(ValueError, match="name must be one of"):
        result.plot(name="phi")
    result.forecast(3, rng=0).plot()
    plt.close("all")
    arviz = pytest.importorskip("arviz")
    data = result.to_arviz()
    assert data.posterior["observation_cov"].shape == (4, 20)
    assert arviz.ess(data)["observation_cov"] > 0


@pytest.mark.slow
def test_a_model_with_a_vector_state():
    model = LinearGaussian(
        0.5 * np.eye(2), np.eye(2), [[1.0, 0.5]], 0.75, [0.0, 1.0], 2 * np.eye(2)
    )
    y = model.simulate(15, rng=0)[1]
    law = {"transition_matrix": st.norm(0, 0.5), "transition_cov": st.invwishart(4, np.eye(2))}
    for method in ("exact", "particle"):
        result = posterior(model, y, law, method=method, rng=0, **SHORT)
        assert result.paths.shape == (2, 8, 15, 2)
        assert result.draws.shape == (2, 8, 7)


def test_streams_are_not_shared_between_chains():
    problem = mixture_problem(SERIES[:10])
    a, b = (ParticleState(problem, 5, c) for c in (0, 1))
    assert not np.array_equal(a.stream, b.stream)
    np.testing.assert_array_equal(a.stream, new_stream(np.uint64(5), 0))
