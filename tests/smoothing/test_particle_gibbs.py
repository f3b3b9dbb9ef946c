"""Particle Gibbs: the chain of paths, the PaRIS estimator made of its sweeps, diagnostics."""

import _thread
import math
import threading
import time
import warnings

import numpy as np
import pytest

import randla
from randla import (
    DiscreteHMM,
    LinearGaussian,
    ffbs,
    hmm_smoother,
    kalman_smoother,
    particle_filter,
    particle_gibbs,
    ppg,
    random,
)
from randla._random import draw_key, new_stream
from randla.smoothing import BurnInWarning
from randla.smoothing._particles import ffbs as ffbs_module, sweeps as sweeps_module
from randla.smoothing._particles.ffbs import PathSmoother
from randla.smoothing._particles.particle_gibbs import as_burn_in
from randla.smoothing._particles.problem import make_problem
from randla.smoothing._particles.result import SmoothingResult, warn_if_short
from tests.smoothing import models, reference
from tests.smoothing.claims.test_exactness import chain_problem, pooled
from tests.statistical import claim

# Few particles, so that the tests are quick.
pytestmark = [
    pytest.mark.filterwarnings("ignore::randla.BiasWarning"),
    pytest.mark.filterwarnings("ignore::randla.DegenerateFilterWarning"),
]

Y = models.walk.simulate(25, rng=5)[1]
Y[[4, 11]] = np.nan
EXACT = reference.walk_sums(Y, models.walk.theta)


@pytest.mark.parametrize(
    ("model", "backward"),
    [
        (models.chain, "exact"),
        (models.chain, "mcmc"),
        (models.chain, "reject"),
        (models.guided_chain, "exact"),
        (models.vector_chain, "exact"),
    ],
    ids=["exact", "mcmc", "reject", "guided", "vector"],
)
@claim(
    null="a path drawn through a conditional filter keeps the smoothing law",
    test="z-tests over independent chains, Bonferroni over the paths",
    replicates=300,
    false_alarm=1e-7,
)
def test_paths_keep_their_law(model, backward, trial):
    n_sweeps, vector = 40, model.dim is not None
    y = np.array([0.0, np.nan, 1.0, 0.0])
    problem = chain_problem(model, backward, 3, 2, y[:, None] if vector else y)
    paths, weights, _ = reference.chain_paths(y)
    law = weights / weights.sum()
    rng, key, shares = trial.rng(), draw_key(trial.rng()), np.empty((trial.replicates, len(law)))
    smoother = PathSmoother(problem, new_stream(key), 1)
    drawn = np.empty((n_sweeps + 1, 4, *problem.state_shape))
    for r, start in enumerate(rng.choice(len(law), trial.replicates, p=law)):
        drawn[0] = np.c_[paths[start], -paths[start]] if vector else paths[start]
        for s in range(n_sweeps):
            for _ in smoother.draw(drawn[s + 1 : s + 2], frozen=drawn[s]):
                pass
        states = drawn[1:].reshape(n_sweeps, 4, -1)[:, :, 0].astype(int)
        shares[r] = np.bincount(states @ [27, 9, 3, 1], minlength=81) / n_sweeps
    trial.assert_mean(pooled(shares, law), pooled(law[None], law))


def test_ppg_against_kalman():
    result = ppg(
        models.walk, Y, models.SUMS, n_particles=60, n_iterations=120, burn_in=20, n_chains=8, rng=2
    )
    # Student t with 7 degrees of freedom: 9 standard errors have probability 4e-5; fixed seed.
    assert (np.abs(result.estimate - EXACT) < 5 * result.standard_error).all()
    assert result.per_iteration.shape == (8, 120, 3)
    assert result.start.shape == (8, 3)
    np.testing.assert_allclose(result.per_chain, result.per_iteration[:, 20:].mean(1))
    np.testing.assert_allclose(result.estimate, result.per_chain.mean(0))
    assert result.paths.shape == (8, 120, 25, 1)
    assert (result.r_hat < 1.05).all()
    assert ((result.update_rate > 0.3) & (result.update_rate < 1)).all()
    mean, V, _ = reference.walk_smoother(Y, models.walk.theta)
    np.testing.assert_allclose(result.mean[:, 0], mean, atol=0.25)
    low, median, high = result.quantile([0.1, 0.5, 0.9])[:, :, 0]
    np.testing.assert_allclose((high - low) / np.sqrt(np.diag(V)), 2.56, rtol=0.25)
    assert ((low < median) & (median < high)).all()
    assert len(repr(result).splitlines()) <= 10


@claim(
    null="the bias of a sweep's estimate falls with the number of sweeps, and with N",
    test="z-tests between sweeps, one-sided with wide margins",
    replicates=1500,
    false_alarm=1e-7,
)
def test_bias_falls_geometrically(trial):
    y = models.walk.simulate(60, rng=6)[1]
    exact = reference.walk_sums(y, models.walk.theta)
    bias = {}
    for n_particles in (10, 40):
        with pytest.warns(BurnInWarning):
            result = ppg(
                models.walk,
                y,
                models.SUMS,
                n_particles=n_particles,
                n_iterations=6,
                burn_in=0,
                n_chains=trial.replicates,
                rng=trial.rng(),
            )
        draws = np.concatenate([result.start[:, None], result.per_iteration], axis=1)[:, :, 1]
        bias[n_particles] = draws.mean(0) - exact[1]
    assert bias[10][0] < -8
    assert abs(bias[10][6]) < 0.35 * abs(bias[10][0])
    assert abs(bias[40][0]) < 0.5 * abs(bias[10][0])
    assert abs(bias[40][3]) < 0.35 * abs(bias[40][0]) + 0.5


@pytest.mark.filterwarnings("ignore::randla.smoothing.BurnInWarning")
@claim(
    null="90% and 95% intervals cover after a sufficient burn-in",
    test="binomial, within 3 points of the level",
    replicates=600,
    false_alarm=2e-7,
)
def test_coverage(trial):
    y = models.walk.simulate(20, rng=7)[1]
    exact = reference.walk_sums(y, models.walk.theta)
    covered = {0.9: [], 0.95: []}
    for rng in trial.rngs():
        result = ppg(
            models.walk, y, models.SUMS, n_particles=40, n_iterations=16, burn_in=8, rng=rng
        )
        for level, hits in covered.items():
            low, high = result.confidence_interval(level)
            hits.append(((low <= exact) & (exact <= high)).mean())
    for level, hits in covered.items():
        trial.assert_between(hits, level - 0.03, level + 0.03, share=0.5)


def test_particle_gibbs_against_kalman():
    result = particle_gibbs(
        models.walk, Y, models.SUMS, n_particles=60, n_iterations=300, n_chains=8, rng=2
    )
    assert result.backward == "exact"
    assert result.burn_in == 75
    assert (np.abs(result.estimate - EXACT) < 5 * result.standard_error).all()
    assert result.paths.shape == (8, 300, 25, 1)
    x = result.paths[:, :, :, 0]
    np.testing.assert_allclose(result.per_iteration[:, :, 0], x.sum(2), rtol=1e-12, atol=1e-11)
    lag = (x[:, :, 1:] * x[:, :, :-1]).sum(2)
    np.testing.assert_allclose(result.per_iteration[:, :, 2], lag, rtol=1e-11, atol=1e-11)
    plain = particle_gibbs(models.walk, Y, n_particles=60, n_iterations=300, n_chains=8, rng=2)
    np.testing.assert_array_equal(plain.paths, result.paths)
    assert plain.estimate is None
    assert plain.n_chains == 8
    with pytest.raises(ValueError, match="functional must be given"):
        plain.confidence_interval()


def test_ffbs_against_kalman():
    mean, V, loglik = reference.walk_smoother(Y, models.walk.theta)
    for backward in ("mcmc", "exact"):
        result = ffbs(
            models.walk,
            Y,
            models.SUMS,
            n_particles=800,
            n_paths=500,
            backward=backward,
            n_chains=8,
            rng=4,
        )
        assert (np.abs(result.estimate - EXACT) < 6 * result.standard_error).all()
        assert result.paths.shape == (8, 500, 25, 1)
        np.testing.assert_allclose(result.mean[:, 0], mean, atol=0.12)
        np.testing.assert_allclose(result.paths.reshape(-1, 25).var(0), np.diag(V), rtol=0.15)
        assert result.log_likelihood == pytest.approx(loglik, abs=0.3)
    more = ffbs(models.walk, Y, None, n_particles=20, n_paths=300, rng=4)  # more paths than N
    assert more.paths.shape == (4, 300, 25, 1)
    assert more.estimate is None


def test_streams_depend_on_the_chain_only():
    options = {"n_particles": 30, "rng": 1}
    for run in (
        lambda **o: ppg(models.walk, Y, models.SUMS, n_iterations=30, burn_in=15, **options, **o),
        lambda **o: ffbs(models.walk, Y, models.SUMS, **options, **o),
        lambda **o: particle_gibbs(models.walk, Y, models.SUMS, n_iterations=40, burn_in=20,
                                   **options, **o),
    ):  # fmt: skip
        np.testing.assert_array_equal(run(n_chains=6).paths[:4], run().paths)


def test_pieces_do_not_change_the_result(monkeypatch):
    """Work that is cut by time, as long work is, gives the same bits; a patch spares seconds."""
    from randla.smoothing._particles import (
        checks,
        particle_gibbs as particle_gibbs_module,
        sweeps as sweeps_module,
    )

    def run():
        return [
            ppg(models.walk, Y, models.SUMS, n_particles=30, n_iterations=30, burn_in=15, rng=1),
            particle_gibbs(models.walk, Y, n_particles=30, n_iterations=30, burn_in=15, rng=1),
            ffbs(models.walk, Y, None, n_particles=30, rng=1),
        ]

    expected = run()
    for module in (checks, sweeps_module, particle_gibbs_module):
        monkeypatch.setattr(module, "PIECE_SECONDS", 1e-7)
    for result, other in zip(run(), expected, strict=True):
        np.testing.assert_array_equal(result.paths, other.paths)


def test_interrupts():
    """Ctrl-C stops a long run within a second or so, at the end of a piece."""
    y = models.walk.simulate(200, rng=1)[1]
    options = {"n_particles": 1000, "n_iterations": 20000, "burn_in": 100, "rng": 0}
    ppg(models.walk, y[:3], models.SUMS, **{**options, "n_iterations": 101})  # compiled
    timer = threading.Timer(1.0, _thread.interrupt_main)
    started = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ppg(models.walk, y, models.SUMS, **options)
    assert time.perf_counter() - started < 6.0  # a minute and more without


def test_short_burn_in_is_reported():
    with pytest.warns(BurnInWarning, match="burn_in = 0 is below the suggested"):
        ppg(models.walk, Y, models.SUMS, n_particles=5, n_iterations=20, burn_in=0, rng=0)
    problem = make_problem(models.walk, Y, models.SUMS, 5, 2, "mcmc", paths=None)
    drifting = np.random.default_rng(0).normal(size=(6, 40, 1)) + np.arange(40)[:, None] / 10
    result = SmoothingResult.of(
        drifting.mean(1),
        np.zeros(6),
        problem,
        per_iteration=drifting,
        update_rate=np.full(9, 0.99),
        burn_in=4,
    )
    assert result.suggested_burn_in == 1
    assert result.r_hat[0] > 1.2
    with pytest.warns(BurnInWarning, match="still drift"):
        warn_if_short(result)
    still = SmoothingResult.of(
        drifting.mean(1),
        np.zeros(6),
        problem,
        per_iteration=np.zeros((6, 40, 1)),
        update_rate=np.zeros(9),
        burn_in=4,
    )
    assert still.suggested_burn_in == 1437  # log(0.05) / log(1 - 1 / 480)
    assert still.r_hat.tolist() == [1.0]


# Zeros that a filter with few particles seldom gets past.
LEFT_RIGHT = randla.DiscreteHMM(
    [0.7, 0.1, 0.1, 0.1],
    [[0.9, 0.1, 0.0, 0.0], [0.0, 0.9, 0.1, 0.0], [0.0, 0.0, 0.9, 0.1], [0.0, 0.0, 0.0, 1.0]],
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]],
)
ONWARD = [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2]


@pytest.mark.slow
@claim(
    null="the likelihood stays unbiased where starts are drawn anew",
    test="z-test of the mean",
    replicates=600,
    false_alarm=1e-7,
)
def test_a_start_that_dies_is_drawn_anew(trial):
    """Of 8 particles none survives in most of the starts."""
    options = {"n_particles": 8, "n_iterations": 2, "burn_in": 1, "n_chains": 3}
    exact = randla.hmm_smoother(LEFT_RIGHT, ONWARD).log_likelihood
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", randla.RandlaWarning)
        for name in ("ppg", "particle_gibbs"):
            draws = [
                getattr(randla, name)(LEFT_RIGHT, ONWARD, "state", rng=rng, **options)
                for rng in trial.rngs()
            ]
            likelihoods = np.exp([draw.log_likelihood - exact for draw in draws])
            assert len(np.unique(likelihoods)) > trial.replicates // 2
            trial.assert_mean(likelihoods, 1.0, share=0.5)


def test_starts_that_die_are_drawn_anew_up_to_a_number_and_only_they():
    options = {"n_particles": 8, "n_iterations": 4, "burn_in": 1, "rng": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", randla.RandlaWarning)
        first, again = (ppg(LEFT_RIGHT, ONWARD, "state", **options) for _ in range(2))
        np.testing.assert_array_equal(first.per_iteration, again.per_iteration)
        alone = ppg(LEFT_RIGHT, ONWARD, "state", n_chains=1, **options)
        np.testing.assert_array_equal(alone.per_iteration[0], first.per_iteration[0])
        learned = randla.maximum_likelihood(
            LEFT_RIGHT, ONWARD, n_particles=8, n_steps=2, n_final=0, rng=0
        )
        assert np.isfinite(learned.theta).all()
        text = "no particle can explain the observation"
        with pytest.raises(ValueError, match=text):
            randla.paris(LEFT_RIGHT, ONWARD, "state", n_particles=8, n_chains=50, rng=0)
        with pytest.raises(ValueError, match=text):
            ppg(LEFT_RIGHT, ONWARD[::-1], "state", **options)  # no path goes back


@pytest.mark.slow
def test_starts_of_learning_that_die_are_drawn_anew():
    """Also those from which a unit is measured, and with which the final stage begins."""
    options = {"n_particles": 8, "rng": 0}
    narrow = randla.StateSpaceModel(
        initial=lambda rng, theta: random.uniform(rng),
        transition=lambda rng, t, x, theta: random.uniform(rng),
        log_initial=lambda x, theta: 0.0,
        log_transition=lambda t, x, xn, theta: 0.0,
        log_potential=lambda t, x, y, theta: -math.inf if x > 0.15 else -((y - theta[0] * x) ** 2),
        theta=[0.5],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", randla.RandlaWarning)
        for found in (
            randla.maximum_likelihood(LEFT_RIGHT, ONWARD, n_steps=0, n_final=2, **options),
            randla.maximum_likelihood(narrow, [0.3] * 4, n_steps=0, n_final=0, **options),
        ):
            assert np.isfinite(found.theta).all()


def test_a_start_that_is_drawn_anew_does_not_depend_on_pieces_of_work(monkeypatch):
    """They are cut by the clock, and a start may die in any of them."""
    options = {"n_particles": 8, "n_iterations": 3, "burn_in": 1, "rng": 0}
    monkeypatch.setattr(sweeps_module, "PIECE_SECONDS", 0.0)  # one sweep at a time
    found = []
    for cuts in ([11], [1, 11], [7, 11], [3, 6, 9, 11]):
        cut = [*zip([0, *cuts], cuts, strict=False)]
        for module in (sweeps_module, ffbs_module):
            monkeypatch.setattr(module, "pieces", lambda n, size, cut=cut: iter(cut))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", randla.RandlaWarning)
            first = ppg(LEFT_RIGHT, ONWARD, "state", **options)
            second = particle_gibbs(LEFT_RIGHT, ONWARD, "state", **options)
        found.append([first.log_likelihood, *first.paths.flat, *second.paths.flat])
    np.testing.assert_array_equal(found, found[:1] * 4)


def test_default_burn_in_and_bad_arguments():
    assert [as_burn_in(None, n) for n in (1, 2, 5, 12, 40)] == [0, 1, 4, 4, 10]
    assert as_burn_in(0, 5) == 0
    for n_iterations, burn_in in ((5, 5), (5, -1)):
        with pytest.raises(ValueError, match=r"burn_in must be at least 0 and at most 4 \(n_iter"):
            ppg(
                models.walk,
                Y,
                models.SUMS,
                n_particles=5,
                n_iterations=n_iterations,
                burn_in=burn_in,
            )
    for options, error, text in [
        ({"n_iterations": 0}, ValueError, "n_iterations must be at least 1"),
        ({"n_particles": 1}, ValueError, "n_particles must be at least 2"),
        ({"n_backward": 0}, ValueError, "n_backward must be at least 1"),
        ({"backward": "best"}, ValueError, "backward must be one of"),
        ({"n_chains": 0}, ValueError, "n_chains must be at least 1"),
        ({"functional": "median"}, ValueError, "functional must be an AdditiveFunctional or one"),
        ({"functional": 3}, TypeError, "functional must be"),
        ({"n_particles": 10**9}, ValueError, "n_particles must leave the history"),
        ({"n_iterations": 10**9}, ValueError, "n_iterations must leave the history"),
        ({"executor": 2}, TypeError, "executor must be None or"),
        ({"progress": 1}, TypeError, "progress must be True or False"),
    ]:
        arguments = {"functional": models.SUMS, "n_particles": 5, "n_iterations": 5, **options}
        with pytest.raises(error, match=text):
            ppg(models.walk, Y, **arguments)
    with pytest.raises(TypeError, match="model must be"):
        particle_gibbs(3, Y, n_particles=5, n_iterations=5)
    problem = make_problem(models.walk, Y, models.SUMS, 9, 2, "auto", paths=None)
    assert problem.backward == "mcmc"


def test_plots():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    result = ffbs(models.walk, Y, None, n_particles=20, rng=0)
    ax = result.plot()
    assert len(ax.lines) == 1
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), result.mean[:, 0])
    filtered = particle_filter(models.walk, Y, n_particles=20, rng=0)
    assert filtered.plot(ax=ax) is ax
    exact = kalman_smoother(LinearGaussian(0.9, 1.0, 1.0, 1.0, 0.0, 1.0), Y)
    np.testing.assert_array_equal(exact.plot().lines[0].get_ydata(), exact.mean[:, 0])
    probs = hmm_smoother(DiscreteHMM([0.5, 0.5], np.eye(2), np.eye(2)), [1, 1]).plot()
    assert len(probs.collections) == 2
    plt.close("all")
