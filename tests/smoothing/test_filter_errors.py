"""Errors of the particle filter: the genealogy against its definition, edge cases, refusal."""

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from randla import DegenerateFilterWarning, StateSpaceModel, particle_filter
from randla._random import draw_key, new_stream
from randla.smoothing._kernels.particles import resample
from randla.smoothing._particles import filter_run
from randla.smoothing._particles.filter_errors import pivot_interval
from randla.smoothing._particles.filter_run import FilterRun
from tests.smoothing import models, reference
from tests.smoothing.test_filter import SCHEMES
from tests.statistical import claim

CODES = dict(zip(SCHEMES, (resample.SYSTEMATIC, resample.STRATIFIED, resample.MULTINOMIAL,
                           resample.RESIDUAL), strict=True))  # fmt: skip
_, Y = models.walk.simulate(40, rng=1)
Y[[5, 6, 20]] = np.nan


def run_of(model, y, n, scheme, threshold, n_lags):
    run = FilterRun(
        model, model._series(y), n, guided=False, store=True, scheme=CODES[scheme],
        threshold=threshold, n_lags=n_lags,
    )  # fmt: skip
    run.rng = new_stream(np.uint64(7))
    run.advance(0, len(y))
    return run


def clouds(run):
    return SimpleNamespace(particles=run.particles.states, **run.particles._asdict())


def test_genealogy_may_catch_up_after_any_number_of_times(monkeypatch):
    whole = particle_filter(models.walk, Y, n_particles=100, n_lags=6, rng=0)
    monkeypatch.setattr(filter_run, "_KEPT_STATES", 200)
    cut = particle_filter(models.walk, Y, n_particles=100, n_lags=6, rng=0)
    np.testing.assert_array_equal(cut.standard_error, whole.standard_error)
    assert cut.log_likelihood_standard_error == whole.log_likelihood_standard_error


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("n_times", "n_lags", "threshold"),
    [(1, 3, 0.5), (2, 1, 0.5), (3, 5, 2.0), (40, 50, 0.5), (40, 20, 2.0), (40, 4, 0.9), (40, 1, 0)],
)
def test_genealogy_is_what_the_stored_ancestors_say(scheme, n_times, n_lags, threshold):
    run = run_of(models.walk, Y[:n_times], 30, scheme, threshold, n_lags)
    resampled = np.r_[False, run.track.ess[:-1] < threshold * 30]
    lags = run.genealogy.variances.size
    assert lags == min(n_lags + 1, n_times)
    V, U = reference.lagged_variances(clouds(run), resampled, scheme == "multinomial", lags - 1)
    np.testing.assert_allclose(run.genealogy.variances, V, rtol=1e-13, atol=2e-14)
    np.testing.assert_allclose(run.genealogy.mean_variance, U, rtol=1e-11, atol=1e-15)


@pytest.mark.slow
def test_genealogy_of_vectors_and_of_sorted_multinomial_draws():
    y = np.repeat(models.SYMBOLS, 3)[:, None]
    run = run_of(models.vector_chain, y, 50, "residual", 2.0, 7)
    V, U = reference.lagged_variances(clouds(run), np.arange(12) > 0, False, 7)
    np.testing.assert_allclose(run.genealogy.variances, V, rtol=1e-13, atol=2e-14)
    np.testing.assert_allclose(run.genealogy.mean_variance, U, rtol=1e-11, atol=1e-15)
    n = resample._SORT_FROM
    run = run_of(models.walk, Y[:5], n, "multinomial", 2.0, 3)
    V, U = reference.lagged_variances(clouds(run), np.arange(5) > 0, True, 3)
    np.testing.assert_allclose(run.genealogy.variances, V, rtol=1e-13, atol=2e-14)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_errors_are_roots_of_the_largest_lagged_variance(scheme):
    options = {"n_particles": 200, "resampling": scheme, "rng": 3}
    result = particle_filter(models.walk, Y, store=True, n_lags=6, **options)
    resampled = np.r_[False, result.ess[:-1] < 100]
    V, U = reference.lagged_variances(result, resampled, scheme == "multinomial", 6)
    assert result.log_likelihood_standard_error == pytest.approx(math.sqrt(V[2:].max()), rel=1e-11)
    np.testing.assert_allclose(result.standard_error, np.sqrt(U), rtol=1e-10)
    bare = particle_filter(models.walk, Y, n_lags=0, **options)
    assert bare.log_likelihood == result.log_likelihood
    np.testing.assert_array_equal(bare.mean, result.mean)
    assert bare.standard_error is bare.error_method is bare.suggested_n_particles is None
    assert bare.log_likelihood_standard_error is None
    for interval in (bare.log_likelihood_interval, bare.mean_interval):
        with pytest.raises(ValueError, match=r"n_lags .* must be at least 1 .* got 0"):
            interval(0.9)


@claim(
    null="E[Zhat^2 V_{0,n}] = Var Zhat for multinomial resampling at each step",
    test="z-test of the paired difference; without the factors c it must fail",
    replicates=20000,
    false_alarm=1e-7,
)
def test_variance_of_the_likelihood_is_unbiased(trial):
    y, n = models.SYMBOLS, 3
    z = reference.chain_paths(y)[1].sum()
    run = FilterRun(
        models.chain, models.chain._series(y), n, guided=False, store=False, n_lags=len(y)
    )
    draws = np.empty((trial.replicates, 2))
    for r in range(trial.replicates):
        run.rng = new_stream(np.uint64(trial.seed), r)
        run.advance(0, len(y))
        V = run.genealogy.variances[-1]
        q = 1 - (1 - V) * (1 - 1 / n) ** len(y)  # V = 1 - c^{r+1} (1 - q), r = T - 1
        draws[r] = math.exp(run.log_likelihood()), V
        draws[r] = draws[r, 0] ** 2 * np.array([V, q]) - (draws[r, 0] - z) ** 2
    trial.assert_mean(draws[:, 0], 0.0)
    with pytest.raises(AssertionError):
        trial.assert_mean(draws[:, 1], 0.0)


def test_one_two_and_no_observations():
    one = particle_filter(models.walk, Y[:1], n_particles=100, rng=0)
    w2 = 1 / one.ess[0]
    assert one.log_likelihood_standard_error == pytest.approx(math.sqrt(w2 - 0.01), rel=1e-10)
    low, high = one.log_likelihood_interval(0.9)
    assert 0.5 * (low + high) - one.log_likelihood == pytest.approx(0.5 * (w2 - 0.01))
    two = particle_filter(models.walk, Y[:2], n_particles=100, n_lags=9, rng=0)
    assert two.log_likelihood_standard_error > one.log_likelihood_standard_error
    for n_runs in (1, 3):
        none = particle_filter(models.walk, [np.nan] * 4, n_particles=10, n_runs=n_runs, rng=0)
        np.testing.assert_allclose(none.log_likelihood_interval(), 0.0, atol=1e-12)
        assert none.log_likelihood_standard_error == pytest.approx(0.0, abs=1e-12)
        assert (none.standard_error > 0).all()


OUTLIER = StateSpaceModel(**{**models.WALK, "theta": [0.9, 1.0, 0.05]})


@pytest.mark.parametrize(
    ("model", "y", "n", "text"),
    [
        (OUTLIER, [0.0, 0.0, 4.0, 0.0, 0.0], 100, r"sample size falls to 1\.\d at t = [23]"),
        (models.walk, [0.1, 0.2, 0.3], 19, r"n_particles = 19 is below 20.*n_particles=20 at"),
    ],
)
def test_refusal_of_one_run(model, y, n, text):
    with pytest.warns(DegenerateFilterWarning, match=text):
        result = particle_filter(model, y, n_particles=n, rng=0)
    assert math.isfinite(result.log_likelihood)
    assert math.isnan(result.log_likelihood_standard_error)
    assert np.isnan(result.log_likelihood_interval()).all()
    assert np.isfinite(result.mean_interval(0.9)).all()
    assert result.suggested_n_particles >= 10 * n / result.ess.min()


def flat(t, x, y, theta):
    return 0.0


def gate(t, x, y, theta):  # an observation is the probability to survive, if that is below 1
    return 0.0 if x > y else -np.inf


def test_weights_that_never_differ_show_no_variance():
    model = StateSpaceModel(**{**models.WALK, "log_potential": flat})
    with pytest.warns(DegenerateFilterWarning, match="the genealogy shows no variance"):
        result = particle_filter(model, np.zeros(5), n_particles=50, rng=0)
    assert math.isnan(result.log_likelihood_standard_error)


@pytest.mark.compiled
def test_runs_without_survivors():
    model = StateSpaceModel(**{**models.WALK, "log_potential": gate})
    y = np.array([-9.0, -9.0, 3.0, -9.0])
    with pytest.warns(DegenerateFilterWarning, match=r"no particle survived t = 2 in \d of 8 runs"):
        result = particle_filter(model, y, n_particles=20, n_runs=8, rng=1)
    alive = np.isfinite(result.log_likelihood_per_run)
    assert 1 < alive.sum() < 8
    mean = np.exp(result.log_likelihood_per_run).mean()  # the dead ones count as zero
    assert result.log_likelihood == pytest.approx(math.log(mean))
    assert result.log_likelihood_increments.sum() == pytest.approx(result.log_likelihood)
    assert np.isnan(result.log_likelihood_interval()).all()
    assert np.isfinite(result.mean_interval()).all()
    assert result.suggested_n_particles == 200
    y[2] = 50.0
    with pytest.raises(ValueError, match=r"-inf for all particles, as it is at t = 2"):
        particle_filter(model, y, n_particles=20, n_runs=3, rng=1)


def test_several_runs_are_independent_runs(each_thread_count):
    options = {"n_particles": 60, "rng": 4}
    one = particle_filter(models.walk, Y, **options)
    three, eight = (particle_filter(models.walk, Y, n_runs=k, **options) for k in (3, 8))
    assert eight.log_likelihood_per_run[0] == one.log_likelihood
    np.testing.assert_array_equal(three.log_likelihood_per_run, eight.log_likelihood_per_run[:3])
    first, *others = each_thread_count(
        lambda: particle_filter(models.walk, np.tile(Y, 20), n_particles=2000, n_runs=4, rng=4)
    )
    assert all(np.array_equal(first.mean, other.mean) for other in others)
    assert eight.error_method == "runs"
    logs = eight.log_likelihood_per_run
    assert eight.log_likelihood == pytest.approx(np.log(np.exp(logs - logs[0]).mean()) + logs[0])
    s = logs.std(ddof=1)
    error = math.sqrt(s**2 / 8 + s**4 / 14)
    assert eight.log_likelihood_standard_error == pytest.approx(error)
    assert eight.suggested_n_particles == math.ceil(60 * s**2)
    assert eight.log_likelihood_interval(0.9) == pivot_interval(logs, 0.9)
    low, high = eight.mean_interval(0.95)
    np.testing.assert_allclose(high - low, 2 * 2.364624 * eight.standard_error, rtol=1e-6)
    low, high = one.mean_interval(0.95)
    t = stats.t.ppf(0.975, one.ess - 1)
    np.testing.assert_allclose((high - low)[:, 0], 2 * t * one.standard_error[:, 0], rtol=1e-9)
    again = pickle.loads(pickle.dumps(eight))
    assert again.log_likelihood_interval() == eight.log_likelihood_interval()


def test_average_of_runs():
    results = particle_filter(models.walk, Y, n_particles=60, n_runs=2, rng=4)
    series = models.walk._series(Y)
    means, squares = [], []
    for c in range(2):
        run = FilterRun(
            models.walk, series, 60, guided=False, store=False, scheme=resample.SYSTEMATIC,
            threshold=0.5,
        )  # fmt: skip
        run.rng = new_stream(draw_key(4), c)
        run.advance(0, len(Y))
        means.append(run.moments.mean)
        squares.append(run.moments.variance + run.moments.mean**2)
    np.testing.assert_allclose(results.mean, np.mean(means, axis=0), rtol=1e-12)
    variance = np.mean(squares, axis=0) - np.mean(means, axis=0) ** 2
    np.testing.assert_allclose(results.variance, variance, rtol=1e-9)
    error = np.abs(means[0] - means[1]) / 2  # the standard deviation of two, over root two
    np.testing.assert_allclose(results.standard_error, error, rtol=1e-9)


def test_spread_beyond_four_is_refused():
    with pytest.warns(
        DegenerateFilterWarning, match=r"deviation of \d+\.\d .* from t = 2.*not det"
    ):
        result = particle_filter(OUTLIER, [0, 0, 4, 0, 0], n_particles=100, n_runs=8, rng=0)
    assert np.isnan(result.log_likelihood_interval()).all()
    assert math.isnan(result.log_likelihood_standard_error)
    assert np.isfinite(result.standard_error).all()


@pytest.mark.parametrize(("logs", "level"), [([0.1, 0.9, -0.4, 0.0], 0.9), (range(8), 0.95)])
def test_pivot_interval_is_that_of_simulated_pivots(logs, level):
    logs = np.array(logs, float)
    rng, n, m, s = np.random.default_rng(0), len(logs), logs.mean(), logs.std(ddof=1)
    u, normal = rng.chisquare(n - 1, 10**6), rng.standard_normal(10**6)
    pivots = m - normal * s * np.sqrt((n - 1) / (n * u)) + s**2 * (n - 1) / (2 * u)
    tail = 0.5 * (1 - level)
    expected = np.quantile(pivots, [tail, 1 - tail])
    np.testing.assert_allclose(pivot_interval(logs, level), expected, rtol=0, atol=0.03 * s)
    shifted = pivot_interval(logs + 1e4, level)
    np.testing.assert_allclose(shifted, np.add(pivot_interval(logs, level), 1e4), rtol=1e-9)


def test_pivot_interval_of_equal_runs():
    assert pivot_interval(np.full(4, 2.5), 0.9) == (2.5, 2.5)


@claim(
    null="the pivot interval of 8 log-normal runs holds log E[Zhat] in 87 to 93% at nominal 90%",
    test="share of intervals at three standard deviations, one-sided normal limits",
    replicates=300,
    false_alarm=1e-7,
)
def test_pivot_interval_holds(trial):
    rng = trial.rng()
    for s in (0.1, 3.0):
        held = []
        for _ in range(trial.replicates):
            low, high = pivot_interval(s * rng.standard_normal(8) - s**2 / 2, 0.9)
            held.append(low <= 0.0 <= high)
        trial.assert_between(held, 0.87, 0.93, share=0.5)


def test_clouds_of_several_runs_are_refused():
    with pytest.raises(ValueError, match="store=True keeps the clouds of a single run, got n_runs"):
        particle_filter(models.walk, Y, n_particles=50, n_runs=2, store=True)
