"""The posterior of parameters in law: Geweke's test of each move, known posteriors, calibration.

Geweke's test (J. Amer. Statist. Assoc. 99 (2004), 799-804): parameters, states and observations
are drawn from the model, then "parameters and path given observations" (the move) and
"observations given parameters and path" alternate. If the move is right all of them keep the law of
the model. Two mistakes that are easily made must be seen by it.
"""

import math
from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

from randla import LinearGaussian, posterior
from randla._validation import read_only
from randla.smoothing._particles.problem import make_problem
from randla.smoothing._posterior import exact, priors
from randla.smoothing._posterior.clouds import Clouds, ParticleProblem, Size, Smoother
from randla.smoothing._posterior.moves import Point
from randla.smoothing._posterior.particle import MixtureChain
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.tuning import Pilot, Schedule
from tests.smoothing import models
from tests.statistical import claim

pytestmark = pytest.mark.filterwarnings("ignore::randla.smoothing.PosteriorWarning")

N_TIMES, N_PARTICLES, N_STEPS = 4, 6, 60
#: Laws of coefficient, step and noise whose moments on the line are known.
LAWS = {
    "coefficient": stats.uniform(-1, 2),
    "step": stats.lognorm(0.5),
    "noise": stats.lognorm(0.5),
}
VARIANCES = np.array([math.pi**2 / 12, 0.25, 0.25])
# Of z, z^2, x_0^2, and the standardized steps and observations.
EXPECTED = np.array([0.0, 0.0, 0.0, *VARIANCES, 1.0, 1.0, 1.0])
#: Six to 48 particles in collapsed moves.
SIZE = Size(N_PARTICLES, np.zeros(3), np.array([0.5, 0.0, -1.5]), 100)
KINDS = ("sweep", "collapsed", "mixture")


def moments(theta, z, x, y):
    c, step, noise = theta
    steps, errors = (x[1:] - c * x[:-1]) / step, (y - x) / noise
    return np.array([*z, *z**2, x[0] ** 2, np.mean(steps**2), np.mean(errors**2)])


class Alternation:
    """One chain that alternates the move and new observations."""

    def __init__(self, kind):
        self.kind, self.y = kind, np.zeros(N_TIMES)
        smoothing = make_problem(models.walk, self.y, "state", N_PARTICLES, 2, "exact", paths=None)
        # The observations are written anew, in the memory that the kernels read.
        data = smoothing.data._replace(y=read_only(self.y), observed=np.ones(N_TIMES, bool))
        self.problem = ParticleProblem(
            Prior(models.walk, LAWS),
            [smoothing._replace(data=data._replace(observed=read_only(data.observed)))],
            Schedule(10**6, 0, 1),
            "particle",
            None,
            Pilot(np.zeros(3), np.diag(VARIANCES)),
            None if kind == "sweep" else SIZE,
        )

    def means(self, rng):
        """Means of the moments along a chain that starts in the law of the model."""
        y, chain = self.y, MixtureChain(self.problem, int(rng.integers(2**63)), 0)
        chain.smoother, chain.n_sweeps = Smoother(self.problem, N_PARTICLES, chain.stream), 1
        z = np.array([np.arctanh(rng.uniform(-1, 1)), *0.5 * rng.standard_normal(2)])
        chain.point, x = Point(chain.prior, z), chain.paths[0][0]
        x[0] = rng.standard_normal()
        for t in range(1, N_TIMES):
            x[t] = chain.theta[0] * x[t - 1] + chain.theta[1] * rng.standard_normal()
        total = np.zeros(len(EXPECTED))
        for k in range(N_STEPS):
            y[:] = x + chain.theta[2] * rng.standard_normal(N_TIMES)
            if self.kind == "collapsed":
                move = collapsed(chain)
            else:
                move = chain.iterate(k, adapt=False)
            for _ in move:
                pass
            total += moments(chain.theta, chain.z, x, y)
        return total / N_STEPS


def collapsed(chain):
    value = yield from chain.clouds.conditional(chain.point, chain.paths)
    yield from chain.propose(chain.clouds, value, chain.laws, False)
    yield from chain.clouds.backward(chain.paths)


@pytest.mark.parametrize("kind", KINDS)
@claim(
    null="alternating a move with new observations keeps the law of the model",
    test="z-tests of nine known moments, Bonferroni, independent chains",
    replicates=100,
    false_alarm=1e-7,
)
def test_geweke(trial, kind):
    alternation = Alternation(kind)
    trial.assert_mean([alternation.means(rng) for rng in trial.rngs()], EXPECTED)


def worst_z(kind, n_chains):
    alternation = Alternation(kind)
    draws = np.array([alternation.means(rng) for rng in np.random.default_rng(0).spawn(n_chains)])
    error = draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    return np.abs((draws.mean(axis=0) - EXPECTED) / error).max()


def test_geweke_sees_a_forgotten_jacobian(monkeypatch):
    flat = {k: lambda z, f=f: (f(z)[0], 0.0) for k, f in priors._POINTS.items()}
    monkeypatch.setattr(priors, "_POINTS", flat)
    assert worst_z("sweep", 40) > 7  # 10.4


def test_geweke_sees_a_likelihood_of_another_cloud(monkeypatch):
    """Zhat of a fresh filter in the place of that of the cloud which holds the path."""
    right = Clouds.conditional

    def wrong(self, point, paths):
        yield from right(self, point, paths)
        return (yield from self.fresh(point))

    monkeypatch.setattr(Clouds, "conditional", wrong)
    assert worst_z("collapsed", 150) > 7


# Known posteriors ---------------------------------------------------------------------------------

MODEL = LinearGaussian(0.8, 0.7, 1.0, 0.5, 0.0, 1.0)
Y = MODEL.simulate(40, rng=5)[1]
# Of squares, so that both models have the same prior: log sigma^2 = 2 log sigma.
VARIANCE_LAWS = {
    "transition_matrix": stats.uniform(-1, 2),
    "transition_cov": stats.lognorm(1.0),
    "observation_cov": stats.lognorm(1.0),
}


@lru_cache(maxsize=1)
def on_the_exact_likelihood():
    return posterior(MODEL, Y, VARIANCE_LAWS, n_iterations=8000, n_chains=2, rng=0)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["particle", "pmmh"])
@claim(
    null="chains with particles have the moments of those on the exact likelihood",
    test="z-test of means and squares on the line, over independent chains",
    replicates=16,
    false_alarm=1e-6,
)
def test_same_posterior_as_with_the_exact_likelihood(trial, method):
    reference = on_the_exact_likelihood()
    chains = posterior(
        models.walk, Y, LAWS, method=method, n_iterations=700, burn_in=300,
        n_chains=trial.replicates, rng=trial.rng(),
    ).draws  # fmt: skip
    chains = chains ** np.array([1.0, 2.0, 2.0])  # variances
    mean, sd = reference.mean, reference.sd
    found = np.concatenate([chains.mean(axis=1), ((chains - mean) ** 2).mean(axis=1)], axis=1)
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    error = np.hypot(error, np.r_[reference.standard_error, 0.05 * sd**2])
    # Student's law of 15 degrees of freedom, six comparisons.
    limit = stats.t.isf(trial.claim.false_alarm / 12, len(found) - 1)
    assert (np.abs(found.mean(axis=0) - np.r_[mean, sd**2]) < limit * error).all()


@pytest.mark.slow
@claim(
    null="true parameters rank uniformly among draws from their posterior",
    test="chi-square of the ranks of 2 parameters, Bonferroni",
    replicates=64,
    false_alarm=1e-7,
)
def test_calibration_on_the_exact_likelihood(trial):
    laws = {k: v for k, v in VARIANCE_LAWS.items() if k != "observation_cov"}
    ranks = []
    for rng in trial.rngs():
        c, q = (law.rvs(random_state=rng) for law in laws.values())
        model = MODEL.replace([c, q, *MODEL.theta[2:]])
        y = model.simulate(20, rng=rng)[1]
        result = posterior(model, y, laws, n_iterations=180, burn_in=90, n_chains=1, rng=rng)
        ranks.append((result.draws[0, ::10] < [c, q]).sum(axis=0))
    for column in np.transpose(ranks):
        counts = np.bincount(column // 2, minlength=5)  # ranks 0..9 in pairs
        trial.assert_pvalue(stats.chisquare(counts).pvalue, share=0.5)


@pytest.mark.slow
@claim(
    null="true parameters rank uniformly among draws from their posterior by particles",
    test="chi-square of the ranks of 3 parameters, Bonferroni",
    replicates=48,
    false_alarm=1e-7,
)
def test_calibration_of_the_mixture(trial):
    ranks = []
    for rng in trial.rngs():
        theta = [law.rvs(random_state=rng) for law in LAWS.values()]
        model = models.walk.replace(theta)
        y = model.simulate(20, rng=rng)[1]
        result = posterior(
            model, y, LAWS, n_iterations=180, burn_in=90, n_particles=60, n_chains=1, rng=rng
        )
        ranks.append((result.draws[0, ::10] < theta).sum(axis=0))
    for column in np.transpose(ranks):
        counts = np.bincount(column // 2, minlength=5)
        trial.assert_pvalue(stats.chisquare(counts).pvalue, share=1 / 3)


def test_exact_likelihood_is_what_the_reference_uses():
    assert exact.is_exact(MODEL)
    assert not exact.is_exact(models.walk)
