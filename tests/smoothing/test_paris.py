"""PaRIS against forward-only smoothing on its own clouds, Kalman, and its known rates."""

import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import randla
from randla import (
    LinearGaussian,
    StateSpaceModel,
    ffbs,
    maximum_likelihood,
    paris,
    particle_gibbs,
    ppg,
)
from randla._random import draw_key
from randla.smoothing import BiasWarning, DegenerateSmoothingWarning
from randla.smoothing._kernels.particles.sweep import weighted_mean, weighted_sum
from randla.smoothing._particles.problem import make_problem
from randla.smoothing._particles.result import bound_on_bias
from randla.smoothing._particles.sweeps import GibbsChain
from tests.smoothing import models, reference
from tests.statistical import claim

# Few particles, so that the tests are quick.
pytestmark = pytest.mark.filterwarnings("ignore::randla.BiasWarning")

Y = models.walk.simulate(25, rng=5)[1]
Y[[4, 11]] = np.nan
bounded_walk = StateSpaceModel(
    **models.WALK,
    log_transition_bound=lambda t, theta: -np.log(theta[1]) - 0.5 * np.log(2 * np.pi),
)


def log_transition(t, x, xn):
    plain = getattr(models.walk_log_transition, "py_func", models.walk_log_transition)
    return plain(t, x, xn, models.walk.theta)


def one_sweep(model, backward, n_backward, key, chain, n_particles=30, functional=models.SUMS):
    problem = make_problem(
        model,
        Y,
        functional,
        n_particles=n_particles,
        n_backward=n_backward,
        backward=backward,
        paths=("n_iterations", 1),
    )
    run = GibbsChain(problem, key, chain, trace=True)
    estimates = np.empty((1, problem.functional.n_out))
    list(run.sweeps(estimates, np.empty((1, len(Y)))))
    return run, estimates[0]


def smoothed_on(run):
    """Forward-only smoothing on the cloud of a sweep, for the three sums."""
    noise, states = models.walk.theta[2], run.particles.states
    logw = np.nan_to_num(-0.5 * ((Y[:, None] - states) / noise) ** 2)  # zero where missing
    logw -= np.logaddexp.reduce(logw, axis=1, keepdims=True)
    zero = np.zeros(states.shape[1])
    functions = [
        (lambda x: x, lambda t, x, xn: xn + 0 * x),
        (lambda x: x * x, lambda t, x, xn: xn * xn + 0 * x),
        (lambda x: zero, lambda t, x, xn: x * xn),
    ]
    return np.array(
        [reference.forward_smoothing(states, logw, log_transition, *h) for h in functions]
    )


@pytest.mark.parametrize("functional", [models.SUMS, "state"], ids=["costly", "cheap"])
def test_all_particles_is_forward_smoothing(functional):
    run, estimate = one_sweep(models.walk, "mcmc", None, np.uint64(1), 0, functional=functional)
    np.testing.assert_allclose(estimate, smoothed_on(run)[: len(estimate)], rtol=1e-11)


@pytest.mark.parametrize("backward", ["exact", "reject", "mcmc"])
@claim(
    null="given the cloud, PaRIS has the mean of forward-only smoothing",
    test="z-tests of the differences, Bonferroni over 3 sums",
    replicates=600,
    false_alarm=1e-7,
)
def test_unbiased_given_the_cloud(backward, trial):
    model = bounded_walk if backward == "reject" else models.walk
    key = draw_key(trial.rng())
    differences = np.empty((trial.replicates, 3))
    for r in range(trial.replicates):
        run, estimate = one_sweep(model, backward, 3, key, r)
        differences[r] = estimate - smoothed_on(run)
    trial.assert_mean(differences, 0.0)


def test_rows_without_weight_may_hold_anything():
    w, values, out = np.array([0.25, 0.0, 0.75]), np.ones((3, 2)), np.empty(2)
    values[1] = np.nan
    weighted_mean(w, values, out)
    np.testing.assert_array_equal(out, 1.0)
    weighted_sum(w, np.ones((3, 2)), values, 2.0, out)
    np.testing.assert_array_equal(out, 4.0)


def test_against_kalman():
    exact = reference.walk_sums(Y, models.walk.theta)
    result = paris(models.walk, Y, models.SUMS, n_particles=4000, n_chains=8, rng=3)
    # The bias, of order 25 / 4000 of the spread of the sums, hides below the error.
    assert (np.abs(result.estimate - exact) < 6 * result.standard_error).all()
    assert (result.standard_error < 0.02 * np.abs(exact) + 0.3).all()
    low, high = result.confidence_interval(0.9)
    np.testing.assert_allclose((low + high) / 2, result.estimate)
    assert result.log_likelihood == pytest.approx(
        reference.walk_smoother(Y, models.walk.theta)[2], abs=0.1
    )


def test_large_clouds():
    """Ancestors are drawn in another way there, and the proposals need a table of their own."""
    exact = reference.walk_sums(Y, models.walk.theta)
    result = paris(models.walk, Y, models.SUMS, n_particles=40000, n_chains=4, rng=3)
    assert (np.abs(result.estimate - exact) < 0.01 * np.abs(exact) + 0.2).all()


@claim(
    null="the variance grows in proportion to T for M = 2; for the genealogy it is far larger",
    test="ratios of variances, within wide margins (the true ones are near 8 and 12)",
    replicates=400,
    false_alarm=1e-7,
)
def test_variance_over_time(trial):
    y = models.walk.simulate(400, rng=8)[1]
    variance = {
        (n_times, backward): paris(
            models.walk,
            y[:n_times],
            models.SUMS,
            n_particles=100,
            backward=backward,
            n_chains=trial.replicates,
            rng=trial.rng(),
        )
        .per_chain[:, 0]
        .var()
        for n_times, backward in ((50, "mcmc"), (400, "mcmc"), (400, "ancestor"))
    }
    assert 3 < variance[400, "mcmc"] / variance[50, "mcmc"] < 24
    assert variance[400, "ancestor"] > 5 * variance[400, "mcmc"]


def test_chains_and_executors_give_the_same_bits():
    def run(**options):
        return paris(models.walk, Y, models.SUMS, n_particles=50, rng=1, **options)

    first = run().per_chain
    np.testing.assert_array_equal(run(n_chains=8).per_chain[:4], first)
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(run(executor=pool).per_chain, first)


@pytest.mark.slow
def test_processes_give_the_same_bits():
    first = paris(models.walk, Y, models.SUMS, n_particles=50, rng=1).per_chain
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        again = paris(models.walk, Y, models.SUMS, n_particles=50, rng=1, executor=pool)
    np.testing.assert_array_equal(again.per_chain, first)


def test_one_chain_and_one_observation():
    result = paris(models.walk, [0.5], models.SUMS, n_particles=20000, n_chains=1, rng=0)
    assert result.standard_error is None
    np.testing.assert_allclose(result.estimate, [0.25, 0.5 + 0.25**2, 0.0], atol=0.03)
    with pytest.raises(ValueError, match="n_chains must be at least 2"):
        result.confidence_interval()
    with pytest.raises(ValueError, match="paths are drawn by"):
        _ = result.mean
    assert result.r_hat is None
    assert result.suggested_burn_in is None


def without_density():
    return StateSpaceModel(**{**models.WALK, "log_transition": None})


@pytest.mark.filterwarnings("ignore::randla.smoothing.BurnInWarning")
def test_models_without_a_density():
    model = without_density()
    with pytest.warns(DegenerateSmoothingWarning, match="no log_transition") as caught:
        result = paris(model, Y, models.SUMS, n_particles=30, rng=1)
    assert caught[0].filename == __file__
    with pytest.warns(DegenerateSmoothingWarning) as caught:
        particle_gibbs(model, Y, n_particles=30, n_iterations=20, n_chains=2, rng=1)
    assert caught[0].filename == __file__
    learnable = StateSpaceModel(
        **{**models.WALK, "log_transition": None},
        score_initial=lambda x, y, theta, out: None,
        score_step=lambda t, x, xn, y, theta, out: None,
    )
    with pytest.warns(DegenerateSmoothingWarning) as caught:
        maximum_likelihood(learnable, Y, n_steps=0, n_final=0, rng=1)
    assert caught[0].filename == __file__
    assert result.backward == "ancestor"
    chosen = paris(model, Y, models.SUMS, n_particles=30, backward="ancestor", rng=1)
    np.testing.assert_array_equal(result.per_chain, chosen.per_chain)
    for backward in ("mcmc", "exact", "reject"):
        with pytest.raises(ValueError, match=f"backward='{backward}' needs a model with log_trans"):
            paris(model, Y, models.SUMS, n_particles=30, backward=backward)
    with pytest.raises(ValueError, match="n_backward=None needs"):
        paris(model, Y, models.SUMS, n_particles=30, n_backward=None, backward="ancestor")
    with pytest.raises(ValueError, match="needs a model with log_transition_bound"):
        paris(models.walk, Y, models.SUMS, n_particles=30, backward="reject")


def test_wrong_densities_are_named():
    def log_transition(t, x, xn, theta):
        if theta[0] == 0.0:
            return np.nan if t == 5 else -0.5 * (xn - x) ** 2
        if theta[0] == 1.0:
            return -np.inf if t == 6 else -0.5 * (xn - x) ** 2
        return 1.0 - 0.5 * (xn - x) ** 2  # above its bound

    def bound(t, theta):
        return 0.5

    model = StateSpaceModel(
        initial=models.walk_initial,
        transition=lambda rng, t, x, theta: x + models.random.normal(rng),
        log_potential=lambda t, x, y, theta: 0.0,
        log_transition=log_transition,
        log_transition_bound=bound,
        theta=[0.0],
    )
    messages = [
        r"log_transition .* NaN .* from t = 5 to 6",
        r"log_transition .* -inf .* t = 6 to 7",
    ]
    reject = {
        "n_particles": 30,
        "backward": "reject",
        "rng": 0,
    }  # soon compiled
    for k, message in enumerate(messages):
        with pytest.raises(ValueError, match=message):
            paris(model.replace([k]), Y, "state", n_particles=30, rng=0)
        with pytest.raises(ValueError, match=message):
            randla.ffbs(model.replace([k]), Y, None, **reject)
    with pytest.raises(ValueError, match=r"log_transition_bound .* exceeded it \d+ times"):
        randla.ffbs(model.replace([2]), Y, None, **reject)
    assert np.isfinite(paris(model.replace([2]), Y, "state", n_particles=30, rng=0).estimate).all()


# Degenerate filters: |bias| <= cv(likelihood) sd(estimate) allows for any bias there.

OUTLIER = np.array([0.0, 0.0, 4.0, 0.0, 0.0])


@pytest.mark.parametrize("smoother", [randla.paris, randla.ffbs])
@pytest.mark.parametrize("n_particles", [200, 1000, 5000])
def test_degenerate_particles_are_warned_of(smoother, n_particles):
    model = models.walk.replace([0.9, 1.0, 0.05])
    for seed, place, sign in [(0, 2, 1.0), (1, 3, 1.0), (2, 1, -1.0)]:
        y = sign * np.roll(OUTLIER, place - 2)
        text = rf"falls to [1-4]\.\d at t = ({place}|{place + 1}): .*n_particles="
        with pytest.warns(BiasWarning, match=text):
            smoother(model, y, "state", n_particles=n_particles, rng=seed)


@pytest.mark.parametrize("smoother", [randla.paris, randla.ffbs])
def test_nothing_is_warned_of_where_the_particles_do_not_degenerate(smoother):
    guided = randla.LinearGaussian(0.9, 1.0, 1.0, 0.05**2, 0.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smoother(guided, OUTLIER, "state", n_particles=1000, rng=0)
        for seed in range(5):
            smoother(models.walk, [0.0, np.nan, 1.0, 0.5, -1.0], "state", n_particles=200, rng=seed)


@pytest.mark.parametrize("model", [models.walk, LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0)])
def test_a_problem_keeps_its_types_in_another_process(model):  # else kernels are compiled again
    problem = make_problem(model, [0.0, 1.0], "state", 5, 2, "auto", paths=None)
    copy = pickle.loads(pickle.dumps(problem))
    for array in (*copy.data, copy.model.theta):
        assert not array.flags.writeable


@pytest.mark.parametrize("smoother", [paris, ffbs])
def test_bound_on_the_bias(smoother):
    result = smoother(models.walk, Y, models.SUMS, n_particles=30, n_chains=5, rng=0)
    logs = result.log_likelihood_per_chain
    mean = np.exp(logs - logs.max()).mean()
    assert result.log_likelihood == pytest.approx(logs.max() + np.log(mean))
    bound = np.sqrt(np.exp(logs.var(ddof=1)) - 1) * result.per_chain.std(axis=0, ddof=1)
    np.testing.assert_allclose(result.bias_bound, bound, rtol=1e-12)
    low, high = result.confidence_interval(0.9)
    wide_low, wide_high = result.confidence_interval(0.9, include_bias=True)
    np.testing.assert_allclose([low - wide_low, wide_high - high], [bound, bound], rtol=1e-9)
    with pytest.raises(TypeError, match="include_bias must be True or False"):
        result.confidence_interval(0.9, include_bias=1)
    one = smoother(models.walk, Y, models.SUMS, n_particles=30, n_chains=1, rng=0)
    assert one.bias_bound is None
    assert one.log_likelihood_per_chain[0] == logs[0]


def test_bound_on_the_bias_of_chains_that_differ_without_limit():
    bound = bound_on_bias(np.array([[0.0, 1.0], [0.0, 2.0]]), np.array([-100.0, 100.0]))
    np.testing.assert_array_equal(bound, [np.nan, np.inf])


def test_other_smoothers_have_no_bound_on_the_bias():
    result = ppg(models.walk, Y, models.SUMS, n_particles=30, n_iterations=20, rng=0)
    assert result.bias_bound is None
    assert len(result.log_likelihood_per_chain) == 4
    with pytest.raises(ValueError, match="include_bias=True needs a bias_bound"):
        result.confidence_interval(include_bias=True)


@claim(
    null="with the bound on the bias at least 90% of nominal 90% intervals hold, where hardly one"
    " does without",
    test="share of intervals of three sums of a series with an outlier",
    replicates=60,
    false_alarm=1e-7,
)
def test_intervals_with_the_bias(trial):
    model, y = models.walk.replace([0.9, 1.0, 0.05]), np.array([0.0, 0.0, 4.0, 0.0, 0.0])
    exact = reference.walk_sums(y, model.theta)
    plain, wide = [], []
    for rng in trial.rngs():
        result = paris(model, y, models.SUMS, n_particles=40, rng=rng)
        for held, include in ((plain, False), (wide, True)):
            low, high = result.confidence_interval(0.9, include_bias=include)
            held.append(np.mean((low <= exact) & (exact <= high)))
    trial.assert_between(wide, 0.9, 1.0)
    assert np.mean(plain) < 0.5
