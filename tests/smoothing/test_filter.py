"""The particle filter against Kalman, brute force and its identities."""

import numpy as np
import pytest

import randla
from randla import StateSpaceModel, paris, particle_filter
from randla._random import new_stream
from randla.smoothing import NoSurvivorsError
from randla.smoothing._kernels.particles import resample
from randla.smoothing._kernels.particles.weights import (
    exponentiate,
    largest,
    normalize,
    weighted_moments,
)
from tests.smoothing import models, reference
from tests.statistical import chi_square_pvalue, claim

pytestmark = pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning")

SCHEMES = ("systematic", "stratified", "multinomial", "residual")


@pytest.mark.parametrize("n", [1, 7, 8, 19])
def test_largest_entry_wherever_it_is(n):
    for k in range(n):
        a = np.linspace(-2.0, -1.0, n)
        a[k] = 3.0
        a[k - 1] = np.nan if n > 1 else a[k - 1]
        assert largest(a) == 3.0
    assert largest(np.full(n, np.nan)) == -np.inf


def test_exponentials_and_their_sums():
    x = np.concatenate(
        [-np.geomspace(1e-300, 707.0, 20001), [0.0, -708.5, -800.0, -np.inf, np.nan]]
    )
    w = np.empty_like(x)
    total, squares, n_nan = exponentiate(x, w, 0.0)
    exact = np.exp(x[:-5])
    assert np.abs(w[:-5] / exact - 1).max() < 2.3e-16 * 1.01
    assert w[-5:].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert n_nan == 1
    assert total == pytest.approx(w.sum(), rel=1e-12)
    assert squares == pytest.approx((w * w).sum(), rel=1e-12)


@pytest.mark.parametrize("n", [2, 9, 20, 31, 200])
def test_sums_of_weights_do_not_depend_on_where_the_arrays_lie(n):
    """Side by side in one piece of memory, in both orders and at all distances, or apart."""
    rng = np.random.default_rng(n)
    for _ in range(20):
        logw, w = -rng.exponential(size=n), np.empty(n)
        apart = exponentiate(logw, w, 0.0)
        for gap in range(0, 40, 3):
            memory = np.empty(2 * n + gap)
            for first, second in ((memory[:n], memory[n + gap :]), (memory[-n:], memory[:n])):
                first[:] = logw
                assert exponentiate(first, second, 0.0) == apart


@pytest.mark.parametrize("d", [1, 3])
def test_weighted_moments(d):
    rng = np.random.default_rng(0)
    X, w = 5.0 + rng.standard_normal((40, d)), rng.exponential(size=40)
    w[::7], X[::7] = 0.0, np.inf  # what has no weight does not count
    w /= w.sum()
    mean, variance = np.full(d, 3.0), np.full(d, 3.0)
    assert weighted_moments(w, X, mean, variance)
    used = w > 0
    np.testing.assert_allclose(mean, w[used] @ X[used], rtol=1e-14)
    np.testing.assert_allclose(variance, w[used] @ (X[used] - mean) ** 2, rtol=1e-13)
    X[1, d - 1] = np.inf
    assert not weighted_moments(w, X, mean, variance)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_normalized_weights(n):
    logw = np.random.default_rng(n).normal(size=n) * 300 - 5000
    logw[0] = -np.inf if n > 1 else logw[0]
    w, c, info = np.empty(n), np.empty(n), np.zeros(3, np.int64)
    level, total, ess = normalize(logw, w, c, 3, info)
    expected = np.exp(logw - logw.max())
    assert level == pytest.approx(logw.max() + np.log(expected.sum()))
    np.testing.assert_allclose(w, expected / expected.sum(), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(c[:-1], w.cumsum()[:-1], rtol=1e-12, atol=1e-300)
    assert c[-1] == np.inf
    assert total == pytest.approx(1.0)
    assert ess == pytest.approx(1 / (w * w).sum())
    assert info[0] == 0


def cloud(n, seed=0, zeros=True):
    w = 0.1 + np.random.default_rng(seed).exponential(size=n) ** 2
    if zeros:
        w[:: max(n // 3, 2)] = 0.0
        w[-1] = 0.0
    w /= w.sum()
    c = w.cumsum()
    total = c[-1]
    c[-1] = np.inf
    return w, c, total


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.999])
@pytest.mark.parametrize(("n", "cells"), [(1, 1), (2, 4), (5, 5), (100, 200), (1000, 1000)])
def test_systematic_indices_are_a_search(n, cells, offset):
    _, c, total = cloud(n, zeros=n > 5)
    A = np.empty(cells, np.int32)
    resample.systematic_indices(c, total, offset, A)
    expected = np.searchsorted(c, (np.arange(cells) + offset) / cells * total, side="right")
    np.testing.assert_array_equal(A, np.minimum(expected, n - 1))


@pytest.mark.parametrize("scheme", SCHEMES)
@claim(
    null="the expected number of offspring is N w and particles of weight zero have none",
    test="z-tests, Bonferroni over the particles",
    replicates=4000,
    false_alarm=1e-7,
)
def test_offspring(scheme, trial):
    n = 12
    w, c, total = cloud(n)
    A, guide, gaps = np.empty(n, np.int32), np.empty(2 * n, np.int32), np.empty(n)
    stream, counts = new_stream(np.uint64(trial.seed)), np.empty((trial.replicates, n))
    code = SCHEMES.index(scheme)
    code = (resample.SYSTEMATIC, resample.STRATIFIED, resample.MULTINOMIAL, resample.RESIDUAL)[code]
    for r in range(trial.replicates):
        resample.DRAWS[code](code, stream, (w.copy(), c.copy(), guide, gaps), total, A, 0)
        counts[r] = np.bincount(A, minlength=n)
    trial.assert_mean(counts[:, w > 0], n * w[w > 0])
    assert counts[:, w == 0].sum() == 0
    if scheme in ("systematic", "residual"):
        assert (counts >= np.floor(n * w)).all()
        assert scheme == "residual" or (counts <= np.ceil(n * w)).all()


@pytest.mark.parametrize("n", [3, 500, 40000])
@claim(
    null="multinomial ancestors are independent draws from the weights",
    test="chi-square over the particles, and over two halves of them",
    replicates=20000,
    false_alarm=1e-7,
)
def test_multinomial_ancestors(n, trial):
    w, c, total = cloud(n, zeros=n > 3)
    repeats = max(trial.replicates // n, 1)
    A, guide, gaps = np.empty(n, np.int32), np.empty(2 * n, np.int32), np.empty(n)
    stream, counts, sides = new_stream(np.uint64(trial.seed)), np.zeros(n), np.zeros(2)
    middle = np.searchsorted(w.cumsum(), 0.4)
    share = w[: middle + 1].sum()
    for _ in range(repeats):
        A[0] = 7 % n
        resample.multinomial(stream, (w, c, guide, gaps), total, A, 1)
        assert A[0] == 7 % n
        counts += np.bincount(A[1:], minlength=n)
        sides += (A[1:] <= middle).sum(), (A[1:] > middle).sum()
    trial.assert_pvalue(chi_square_pvalue(counts, repeats * (n - 1) * w), share=0.5)
    expected = repeats * (n - 1) * np.array([share, 1 - share])
    trial.assert_pvalue(chi_square_pvalue(sides, expected), share=0.5)


@pytest.mark.slow
@claim(
    null="E[Zhat] = Z for every scheme and threshold, bootstrap and guided, with missing rows",
    test="z-tests, Bonferroni over the settings",
    replicates=1500,
    false_alarm=1e-7,
)
def test_likelihood_is_unbiased(trial):
    settings = [
        (model, scheme, threshold)
        for model in (models.chain, models.guided_chain)
        for scheme, threshold in [*zip(SCHEMES, [0.5] * 4, strict=True), ("systematic", 1.0),
                                  ("multinomial", 0.0)]
    ]  # fmt: skip
    y = np.array([0.0, 2.0, np.nan, 1.0])
    _, weights, _ = reference.chain_paths(y)
    draws = [
        [
            particle_filter(
                m, y, n_particles=4, resampling=s, ess_threshold=e, rng=rng
            ).log_likelihood
            for m, s, e in settings
        ]
        for rng in trial.rngs()
    ]
    trial.assert_mean(np.exp(draws), weights.sum())


def test_moments_against_kalman():
    _, y = models.walk.simulate(30, rng=1)
    y[[0, 7, 29]] = np.nan
    for model in (models.walk, models.guided_walk):
        result = particle_filter(model, y, n_particles=20000, rng=2)
        for t in (0, 7, 15, 28):
            mean, V, _ = reference.walk_smoother(y[: t + 1], model.theta)
            assert result.mean[t, 0] == pytest.approx(mean[-1], abs=0.06)
            assert result.variance[t, 0] == pytest.approx(V[-1, -1], rel=0.08)
        exact = reference.walk_smoother(y, model.theta)[2]
        assert result.log_likelihood == pytest.approx(exact, abs=0.15)
        assert result.log_likelihood_increments[7] == pytest.approx(0.0, abs=1e-12)


@claim(
    null="the optimal proposal halves the variance of the log-likelihood at least",
    test="ratio of variances; the true one is near 0.2",
    replicates=300,
    false_alarm=1e-7,
)
def test_guiding_helps(trial):
    _, y = models.walk.simulate(30, rng=1)
    plain, guided = (
        np.var(
            [particle_filter(m, y, n_particles=50, rng=rng).log_likelihood for rng in trial.rngs()]
        )
        for m in (models.walk, models.guided_walk)
    )
    assert guided < plain / 2
    bootstrap = particle_filter(models.guided_walk, y, n_particles=50, proposal="bootstrap", rng=3)
    assert (
        bootstrap.log_likelihood
        == particle_filter(models.walk, y, n_particles=50, rng=3).log_likelihood
    )


def test_stored_history_is_consistent():
    _, y = models.walk.simulate(20, rng=1)
    result = particle_filter(models.walk, y, n_particles=64, store=True, rng=4)
    assert result.particles.shape == (20, 64, 1)
    assert result.log_weights.shape == result.ancestors.shape == (20, 64)
    w = np.exp(result.log_weights)
    np.testing.assert_allclose(w.sum(1), 1.0, rtol=1e-12)
    np.testing.assert_allclose((w[:, :, None] * result.particles).sum(1), result.mean, atol=1e-12)
    np.testing.assert_allclose(1 / (w * w).sum(1), result.ess, rtol=1e-10)
    kept = result.ess >= 32  # not resampled: ancestors are 0..N-1 and weights are carried
    assert kept.any()
    assert not kept.all()
    for t in np.flatnonzero(kept[:-1]):
        np.testing.assert_array_equal(result.ancestors[t + 1], np.arange(64))
    assert (
        result.mean.tolist() == particle_filter(models.walk, y, n_particles=64, rng=4).mean.tolist()
    )


def test_one_observation_and_all_missing():
    result = particle_filter(models.walk, [0.3], n_particles=5000, rng=0)
    assert result.mean.shape == (1, 1)
    assert result.mean[0, 0] == pytest.approx(0.15, abs=0.05)
    assert result.particles is result.log_weights is result.ancestors is None
    nothing = particle_filter(models.walk, [np.nan, np.nan], n_particles=10, rng=0)
    assert nothing.log_likelihood == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_what_goes_wrong_is_named_with_its_time():
    def log_potential(t, x, y, theta):
        if theta[0] == 0.0 and t == 3:
            return -np.inf
        if theta[0] == 1.0 and t == 2 and x > 0.5:
            return np.nan
        if theta[0] == 2.0:
            return np.nan
        if theta[0] == 3.0 and t == 1:
            return np.inf
        return 0.0

    def transition(rng, t, x, theta):
        if t == 1 and theta[0] >= 4.0:
            return np.nan if theta[0] == 4.0 else np.inf
        return models.walk_transition(rng, t, x, theta)

    model = StateSpaceModel(
        initial=models.walk_initial,
        transition=transition,
        log_potential=log_potential,
        log_transition=models.walk_log_transition,
        theta=[0.0, 1.0],
    )
    for k, text in enumerate([
        r"log_potential .* -inf for all particles, as it is at t = 3.*proposal",
        r"log_potential .* NaN at t = 2",
        r"log_potential .* NaN at t = 0",
        r"log_potential .* \+inf at t = 1",
        r"transition .* finite states, got NaN .* at t = 2",
        r"^transition .* at t = 2",
    ]):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            particle_filter(model.replace([k, 1.0]), np.zeros(5), n_particles=50, rng=0)
    with pytest.raises(NoSurvivorsError, match="t = 3"):
        particle_filter(model.replace([0, 1.0]), np.zeros(5), n_particles=50, n_runs=3, rng=0)
    with pytest.raises(ValueError, match=r"^(log_)?transition .* t = (2|1 to 2)"):
        paris(model.replace([5, 1.0]), np.zeros(4), "state", n_particles=20, rng=0)
    good = particle_filter(model.replace([-1, 1.0]), np.zeros(5), n_particles=50, rng=0)
    assert good.ess[4] > 49


def test_a_history_that_is_too_large_is_refused():
    y = np.broadcast_to(0.0, 10**6)
    with pytest.raises(ValueError, match=r"n_particles must leave the history .* 18626\.5 GiB"):
        particle_filter(models.walk, y, n_particles=10**6, store=True)


def test_bad_arguments():
    y = np.zeros(3)
    for options, error, text in [
        ({"n_particles": 1}, ValueError, "n_particles must be at least 2, got 1"),
        ({"n_particles": 5, "resampling": "best"}, ValueError, "resampling must be one of"),
        ({"n_particles": 5, "ess_threshold": 2.0}, ValueError, "ess_threshold"),
        ({"n_particles": 5, "proposal": "guided"}, ValueError, "proposal='guided' needs"),
        ({"n_particles": 5, "store": 1}, TypeError, "store"),
    ]:
        with pytest.raises(error, match=text):
            particle_filter(models.walk, y, **options)
    with pytest.raises(TypeError, match="model must be a StateSpaceModel"):
        particle_filter("walk", y, n_particles=5)
    with pytest.raises(ValueError, match="y must contain numbers"):
        particle_filter(models.walk, [0.0, np.inf], n_particles=5)


@pytest.mark.compiled
def test_observations_come_as_the_potential_takes_them():
    shapes = (3,), (3, 1)
    row, column = (particle_filter(models.walk, np.zeros(s), n_particles=5, rng=0) for s in shapes)
    assert column.log_likelihood == row.log_likelihood
    with pytest.raises(ValueError, match=r"y must have shape \(T,\)"):
        particle_filter(models.walk, np.zeros((3, 2)), n_particles=5)


def test_results_stand_at_the_top_level():
    assert randla.particle_filter is particle_filter
