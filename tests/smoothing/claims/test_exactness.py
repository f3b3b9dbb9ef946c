"""Exact identities of the particle smoothers, on a chain whose paths can be summed over.

If a chain of sweeps starts from the smoothing law it keeps it, for any number of particles: then
the estimate of each sweep is unbiased and each path has that law. Averages over the sweeps of a
chain are tested; the chains are independent.
"""

from types import FunctionType

import numpy as np
import pytest

from randla._jit import unsaved_kernel
from randla._random import draw_key, uniform
from randla.smoothing._kernels.particles import sweep as sweep_module
from randla.smoothing._kernels.particles.backward import count_impossible, make_densities
from randla.smoothing._kernels.particles.resample import search, systematic_indices
from randla.smoothing._particles import sweeps as sweeps_module
from randla.smoothing._particles.problem import make_problem
from randla.smoothing._particles.sweeps import GibbsChain
from tests.smoothing import models
from tests.smoothing.reference import chain_paths
from tests.statistical import claim

N_SWEEPS = 200
FIRST_MISSING = np.array([np.nan, 2.0, 1.0, np.nan])
CASES = {
    "exact": (models.chain, "exact", 3, 2, models.SYMBOLS),
    "reject": (models.chain, "reject", 3, 2, models.SYMBOLS),
    "mcmc": (models.chain, "mcmc", 2, 2, models.SYMBOLS),
    "mcmc, three draws": (models.chain, "mcmc", 3, 3, models.SYMBOLS),
    "mcmc, missing rows": (models.chain, "mcmc", 3, 2, FIRST_MISSING),
    "all particles": (models.chain, "exact", 2, None, models.SYMBOLS),
    "ancestor": (models.chain, "ancestor", 5, 1, models.SYMBOLS),
    "guided mcmc": (models.guided_chain, "mcmc", 3, 2, models.SYMBOLS),
    "guided mcmc, missing rows": (models.guided_chain, "mcmc", 3, 2, FIRST_MISSING),
    "guided exact": (models.guided_chain, "exact", 3, 2, models.SYMBOLS),
    "vector mcmc": (models.vector_chain, "mcmc", 3, 2, models.SYMBOLS[:, None]),
}


def chain_problem(model, backward, n_particles, n_backward, y):
    functional = models.SUMS if model.dim is None else models.VECTOR_SUMS
    problem = make_problem(
        model,
        y,
        functional,
        n_particles=n_particles,
        n_backward=n_backward,
        backward=backward,
        paths=("n_iterations", 1),
    )
    return problem._replace(limit=2)  # few proposals: the exact draw behind them is tested too


def run_from_the_smoothing_law(problem, trial):
    """Means over the sweeps of each chain: of the estimates, and of the indicators of the paths."""
    y = problem.y.reshape(len(problem.y))
    paths, weights, _ = chain_paths(y)
    rng, key = trial.rng(), draw_key(trial.rng())
    codes = 3 ** np.arange(len(y))[::-1]
    estimates, shares = np.empty((trial.replicates, 3)), np.empty((trial.replicates, len(paths)))
    out = np.empty((N_SWEEPS, 3))
    drawn = np.empty((N_SWEEPS, len(y), *problem.state_shape))
    for r, start in enumerate(rng.choice(len(paths), trial.replicates, p=weights / weights.sum())):
        chain = GibbsChain(problem, key, r, trace=True)
        chain.started = True
        chain.path[...] = paths[start].astype(float).reshape(-1, *(1,) * len(problem.state_shape))
        if problem.state_shape:
            chain.path[:, 1] *= -1
        list(chain.sweeps(out, drawn))
        estimates[r] = out.mean(0)
        states = drawn.reshape(N_SWEEPS, len(y), -1)[:, :, 0].astype(int)
        shares[r] = np.bincount(states @ codes, minlength=len(paths)) / N_SWEEPS
    return estimates, shares


def pooled(values, law, smallest=2e-3):
    """Cells of the path law, the rare ones pooled: a normal limit needs some counts."""
    rare = law < smallest
    return np.column_stack([values[..., ~rare], values[..., rare].sum(-1)])


def assert_invariant(problem, trial, estimates, shares):
    _, weights, sums = chain_paths(problem.y.reshape(len(problem.y)))
    law = weights / weights.sum()
    trial.assert_mean(estimates, law @ sums, share=0.5)
    trial.assert_mean(pooled(shares, law), pooled(law[None], law), share=0.5)


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c == "vector mcmc" else ()) for c in CASES]
)
@claim(
    null="one sweep keeps the smoothing law and its estimate is unbiased",
    test="z-tests over independent chains, Bonferroni over 3 sums and the paths",
    replicates=500,
    false_alarm=2e-7,
)
def test_sweep_is_exact(case, trial):
    problem = chain_problem(*CASES[case])
    assert_invariant(problem, trial, *run_from_the_smoothing_law(problem, trial))


@unsaved_kernel
def systematic_slots(rng, weights, total, ancestors, first):
    """A silent bug: plain systematic resampling for the slots beside the frozen one."""
    _, cumulative, guide, _ = weights
    systematic_indices(cumulative, total, 0.0, guide)
    u, slots = uniform(rng), ancestors.size - first
    for i in range(first, ancestors.size):
        ancestors[i] = search(cumulative, (i - first + u) / slots * total)


@unsaved_kernel
def uniform_search(c, position):
    """A silent bug: the last index of the path drawn without its weight."""
    return min(int(position * c.size), c.size - 1)


WRONG = {
    "systematic resampling": {"multinomial": systematic_slots},
    "last index without weight": {"search": uniform_search},
}


@pytest.mark.parametrize("wrong", WRONG)
@claim(
    null="one sweep keeps the smoothing law (it does not: a control of the test above)",
    test="z-tests, must fail: at z = 11.6 with the first sampler, at a limit of 5.6",
    replicates=1000,
    false_alarm=1e-7,
)
def test_wrong_samplers_are_seen(wrong, trial, monkeypatch):
    template = sweep_module.sweep_template
    scope = {**template.__globals__, **WRONG[wrong]}
    changed = FunctionType(template.__code__, scope, "wrong_sweep_template")
    monkeypatch.setattr(sweeps_module, "sweep_template", changed)
    problem = chain_problem(models.chain, "mcmc", 5, 2, models.SYMBOLS)
    estimates, shares = run_from_the_smoothing_law(problem, trial)
    with pytest.raises(AssertionError):
        assert_invariant(problem, trial, estimates, shares)


@pytest.mark.parametrize("dim", [None, 2])
def test_densities_of_pairs(dim):
    rng = np.random.default_rng(0)
    shape = (5,) if dim is None else (5, dim)
    x, xn, J = rng.standard_normal(shape), rng.standard_normal(shape), np.array([3, 0, 0, 4, 1])
    xn[2] = np.nan

    def log_transition(t, x, xn, theta):
        return -((xn - x) ** 2)

    def log_transition_of_vectors(t, x, xn, theta):
        return -np.sum((xn - x) ** 2)

    if dim is not None:
        log_transition = log_transition_of_vectors
    out = np.empty(5)
    densities = make_densities(unsaved_kernel(log_transition), dim is None)
    assert densities(0, np.empty(0), x, J, xn, out) == 1
    expected = [log_transition(0, x[J[i]], xn[i], None) for i in range(5)]
    np.testing.assert_allclose(out, expected, rtol=1e-12)


def test_only_particles_with_a_weight_count_as_impossible():
    never = -np.inf
    densities, logw = np.array([never, never, 0.0, never]), np.array([0.0, never, 0.0, 0.0])
    assert count_impossible(densities, logw) == 2


@pytest.mark.parametrize("n_particles", [2, 3])
@pytest.mark.parametrize("case", ["mcmc", "exact", "guided mcmc"])
@claim(
    null="E[Zhat] = Z and E[Zhat * estimate] = Z E[h], while the estimate is biased",
    test="z-tests, Bonferroni over 4 columns; the bias must be seen",
    replicates=20000,
    false_alarm=1e-7,
)
def test_likelihood_times_estimate_is_unbiased(case, n_particles, trial):
    model, backward, _, n_backward, y = CASES[case]
    problem = chain_problem(model, backward, n_particles, n_backward, y)
    key = draw_key(trial.rng())
    chain = GibbsChain(problem, key, 0, trace=False)
    draws = np.empty((trial.replicates, 4))
    out, no_paths = np.empty((1, 3)), np.empty((1, 0))
    for r in range(trial.replicates):
        chain.started = False
        list(chain.sweeps(out, no_paths))
        draws[r] = np.exp(chain.log_likelihood())
        draws[r, 1:] *= out[0]
    _, weights, sums = chain_paths(y)
    trial.assert_mean(draws, np.append(weights.sum(), weights @ sums))
    with pytest.raises(AssertionError):
        trial.assert_mean(draws[:, 1:] / draws[:, :1], weights @ sums / weights.sum())
