"""Particle Gibbs: sweeps that are conditional on a path, and the estimator based on them."""

import time
from collections.abc import Generator
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from randla._random import new_stream
from randla._typing import Array
from randla._validation import as_count
from randla.smoothing._model.additive_functional import AdditiveFunctional
from randla.smoothing._model.several import over_series
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.chains import independent_chains
from randla.smoothing._particles.checks import PIECE_SECONDS, as_model
from randla.smoothing._particles.ffbs import PathSmoother, path_sums
from randla.smoothing._particles.problem import (
    Backward,
    SmoothingProblem,
    choose_backward,
    make_problem,
)
from randla.smoothing._particles.result import SmoothingResult, warn_if_short
from randla.smoothing._particles.sweeps import GibbsChain, surviving_start


@over_series
def ppg(
    model: StateSpaceModel,
    y: ArrayLike,
    functional: AdditiveFunctional | str,
    *,
    n_particles: int,
    n_iterations: int,
    burn_in: int | None = None,
    n_backward: int | None = 2,
    backward: Backward = "auto",
    n_chains: int = 4,
    inputs: ArrayLike | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    rng: Any = None,
) -> SmoothingResult:
    r"""Estimate a smoothed sum over time by the PaRIS particle Gibbs sampler.

    A sweep is a PaRIS pass in which one particle follows the path drawn by the previous sweep [1]_.
    If that path has the smoothing law then the sweep's estimate :math:`e_l` is unbiased, for any
    number of particles, and the new path has the smoothing law again; the first path comes from an
    unconditional pass, and its influence decays geometrically in the number of sweeps. The estimate
    is the mean of :math:`e_l` over the sweeps after the burn-in,

    .. math::
        \frac{1}{k - k_0} \sum_{l = k_0 + 1}^{k} e_l,
        \qquad |\text{bias}| = O\Big(\frac{\kappa^{k_0}}{N (k - k_0)}\Big), \quad \kappa < 1.

    Parameters
    ----------
    model : StateSpaceModel
        The model; if it has a `proposal`, particles are drawn from it.
    y : (T,) or (T, k) array_like, or a list of arrays
        Observations. A row that is wholly NaN is missing. Arrays in a list or tuple are several
        independent series: log-likelihoods and functionals add up, errors add in squares, and
        `series` of the result has each one. Series i is a function of the seed and i only.
    functional : AdditiveFunctional or {"state", "square", "lag_product", "score"}
        The sum: by name of :math:`x_t`, of :math:`x_t^2`, of :math:`x_t x_{t+1}` (component by
        component), or the gradient of the log-likelihood in theta (Fisher's identity).
    n_particles : int
        Number N of particles, including the conditional one; at least 2. Choose it first: 40 to 100
        for a scalar state, more in higher dimension.
    n_iterations : int
        Number k of sweeps after the unconditional one.
    burn_in : int, optional
        Number k0 of discarded sweeps, below `n_iterations`. Default max(4, n_iterations // 4), at
        most n_iterations - 1. See `suggested_burn_in` of the result.
    n_backward : int or None, optional
        Number M of backward draws; None averages over all particles, O(N^2).
    backward : {"auto", "exact", "reject", "mcmc", "ancestor"}, optional
        How to draw the indices, as for `paris`.
    n_chains : int, optional
        Independent chains, each with its own burn-in, for the standard error.
    inputs : (T,) or (T, m) array_like, or a list of arrays, optional
        Row t is the argument `u` at time t of functions of the model or functional, see
        `StateSpaceModel`.
    executor : concurrent.futures.Executor, optional
        Runs the chains, one task each; the default is threads.
    progress : bool, optional
        Show a progress bar (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result; chain c is a function of the seed and c only.

    Returns
    -------
    SmoothingResult
        With `estimate`, `standard_error`, `per_chain`, `per_iteration`, `update_rate`,
        `suggested_burn_in`, `r_hat`, `paths`, and `mean` and `quantile` of the states.

    Warns
    -----
    BurnInWarning
        If the burn-in is below the suggested one, or the chains still drift.
    DegenerateSmoothingWarning
        If "auto" has to fall back on the genealogy.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the model lacks a function that `backward` needs, one
        of its functions gives NaN (the message names the time), or the history would need more
        than 8 GiB.

    See Also
    --------
    paris : one pass with all of the particles.
    particle_gibbs : the chain of paths, with exact backward draws.

    Notes
    -----
    For a single number from a short series at equal cost, `paris` or `ffbs` with all of the
    particles in one pass has the smaller mean squared error. This estimator is for averages over
    many runs or chains, for gradients, and for intervals with correct coverage: averaging reduces
    variance, never bias, and here the bias is small from the start.

    Within one chain the estimates of successive sweeps are correlated; `standard_error` uses only
    the spread between chains. The remaining bias is the same for all chains and is not included.

    If no particle survives the unconditional start of a chain, another start is drawn, up to 100
    times; `log_likelihood` accounts for that.

    Time O(k T N M), memory T N (8 d + 4) bytes for each chain.

    References
    ----------
    .. [1] Cardoso, Janati El Idrissi, Le Corff, Moulines and Olsson, "State and parameter
       learning with PaRIS particle Gibbs", ICML (2023), arXiv:2301.00900.

    Examples
    --------
    >>> from randla import StochasticVolatility, ppg
    >>> model = StochasticVolatility(0.95, 0.3, 0.6)
    >>> _, y = model.simulate(50, rng=0)
    >>> result = ppg(model, y, "state", n_particles=100, n_iterations=40, burn_in=20, rng=1)
    >>> result.estimate.shape, result.per_iteration.shape, result.update_rate.shape
    ((1,), (4, 40, 1), (50,))
    """
    n_iterations = as_count(n_iterations, "n_iterations")
    burn_in = as_burn_in(burn_in, n_iterations)
    stored = ("n_iterations", n_iterations)
    problem = make_problem(
        model, y, functional, n_particles, n_backward, backward, paths=stored, inputs=inputs
    )
    starts, estimates, paths, changed, logs, n_starts = independent_chains(
        _ppg_chain, problem, n_iterations, n_chains=n_chains, n_sweeps=n_iterations,
        executor=executor, progress=progress, rng=rng, description="ppg",
    )  # fmt: skip
    start, per_iteration = np.array(starts), np.array(estimates)
    return _result(problem, burn_in, paths, changed, logs, n_starts, per_iteration, start)


def _result(
    problem: SmoothingProblem,
    burn_in: int,
    paths: list[Array],
    changed: list[Any],
    logs: list[float],
    n_starts: list[int],
    per_iteration: Array | None,
    start: Array | None = None,
) -> SmoothingResult:
    """Averages over the sweeps after the burn-in, with a warning if they are too few."""
    result = SmoothingResult.of(
        None if per_iteration is None else per_iteration[:, burn_in:].mean(axis=1),
        logs,
        problem,
        per_iteration=per_iteration,
        paths=paths,
        update_rate=np.mean(changed, axis=0) / len(paths[0]),  # (T,), over chains and sweeps
        burn_in=burn_in,
        n_starts=sum(n_starts),
        start=start,
    )
    warn_if_short(result)
    return result


def _ppg_chain(
    problem: SmoothingProblem, key: np.uint64, c: int, n_iterations: int
) -> Generator[int, None, tuple[Any, ...]]:
    chain = GibbsChain(problem, key, c, trace=True)
    start = np.empty((1, problem.functional.n_out))
    estimates = np.empty((n_iterations, problem.functional.n_out))
    paths = np.empty((n_iterations, len(problem.y), *problem.state_shape))
    n_starts = yield from surviving_start(chain, lambda: chain.sweeps(start, paths[:1]))
    log_likelihood = chain.log_likelihood()  # of the unconditional sweep: unbiased
    chain.changed[:] = 0  # the first path replaced none
    yield from chain.sweeps(estimates, paths)
    return start[0], estimates, paths, chain.changed, log_likelihood, n_starts


@over_series
def particle_gibbs(
    model: StateSpaceModel,
    y: ArrayLike,
    functional: AdditiveFunctional | str | None = None,
    *,
    n_particles: int,
    n_iterations: int,
    burn_in: int | None = None,
    backward: Backward = "auto",
    n_chains: int = 4,
    inputs: ArrayLike | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    rng: Any = None,
) -> SmoothingResult:
    r"""Draw a Markov chain of paths whose law tends to the smoothing law.

    Each iteration runs a filter in which one particle follows the current path, and draws a new
    path backward through it [1]_ [2]_. The smoothing law is invariant for any number of particles.

    Parameters
    ----------
    model : StateSpaceModel
        The model; if it has a `proposal`, particles are drawn from it.
    y : (T,) or (T, k) array_like, or a list of arrays
        Observations. A row that is wholly NaN is missing. Arrays in a list or tuple are several
        independent series; `series` of the result has each one.
    functional : AdditiveFunctional or {"state", "square", "lag_product", "score"}, optional
        Averaged over the paths after the burn-in. `ppg` estimates it with less variance.
    n_particles : int
        Number N of particles, including the conditional one; at least 2.
    n_iterations : int
        Number of paths in each chain.
    burn_in : int, optional
        Paths left out of averages and quantiles, below `n_iterations`. Default max(4, n_iterations
        // 4), at most n_iterations - 1.
    backward : {"auto", "exact", "reject", "mcmc", "ancestor"}, optional
        How to draw the path; "auto" is "exact" if there is a transition density, since for one path
        it costs no more than the filter. "ancestor" is the sampler of [1]_, which hardly renews the
        early part of a long path.
    n_chains : int, optional
        Independent chains.
    inputs : (T,) or (T, m) array_like, or a list of arrays, optional
        Row t is the argument `u` at time t of functions of the model or functional.
    executor : concurrent.futures.Executor, optional
        Runs the chains, one task each; the default is threads.
    progress : bool, optional
        Show a progress bar (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result; chain c is a function of the seed and c only.

    Returns
    -------
    SmoothingResult
        With `paths` (n_chains, n_iterations, T, d), `mean` and `quantile` of the states,
        `update_rate`, and the estimates if there is a functional.

    Warns
    -----
    BurnInWarning
        If the burn-in is below the suggested one, or the chains still drift.
    DegenerateSmoothingWarning
        If "auto" has to fall back on the genealogy.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the model lacks a function that `backward` needs, one
        of its functions gives NaN (the message names the time), or the history would need more
        than 8 GiB.

    See Also
    --------
    ppg : averages the functional over the particles of each sweep.

    Notes
    -----
    Time O(k T N), memory T N (8 d + 12) bytes for each chain.

    References
    ----------
    .. [1] Andrieu, Doucet and Holenstein, "Particle Markov chain Monte Carlo methods", J. R.
       Statist. Soc. B 72 (2010), 269-342 (with a discussion by Whiteley).
    .. [2] Lindsten and Schön, "Backward simulation methods for Monte Carlo statistical
       inference", Found. Trends Mach. Learn. 6 (2013), 1-143.

    Examples
    --------
    >>> from randla import StochasticVolatility, particle_gibbs
    >>> model = StochasticVolatility(0.95, 0.3, 0.6)
    >>> _, y = model.simulate(50, rng=0)
    >>> result = particle_gibbs(model, y, n_particles=100, n_iterations=50, rng=1)
    >>> result.paths.shape, result.mean.shape
    ((4, 50, 50, 1), (50, 1))
    """
    n_iterations = as_count(n_iterations, "n_iterations")
    burn_in = as_burn_in(burn_in, n_iterations)
    backward = choose_backward(as_model(model), backward, default="exact")  # O(N) for one path
    path_functional = "state" if functional is None else functional
    stored = ("n_iterations", n_iterations)
    problem = make_problem(
        model, y, path_functional, n_particles, 2, backward, paths=stored, inputs=inputs
    )
    paths, changed, logs, n_starts = independent_chains(
        _gibbs_chain, problem, n_iterations, n_chains=n_chains, n_sweeps=n_iterations,
        executor=executor, progress=progress, rng=rng, description="particle Gibbs",
    )  # fmt: skip
    per_iteration = None
    if functional is not None:
        per_iteration = np.array([path_sums(problem, p) for p in paths])
    return _result(problem, burn_in, paths, changed, logs, n_starts, per_iteration)


def _gibbs_chain(
    problem: SmoothingProblem, key: np.uint64, c: int, n_iterations: int
) -> Generator[int, None, tuple[Any, ...]]:
    smoother = PathSmoother(problem, new_stream(key, c), 1)
    paths = np.empty((n_iterations + 1, len(problem.y), *problem.state_shape))  # 0: the start
    n_starts = yield from surviving_start(smoother, lambda: smoother.draw(paths[:1]))
    log_likelihood = smoother.filter.log_likelihood()
    smoother.changed[:] = 0  # of the unconditional start
    last_yield = time.perf_counter()
    for k in range(n_iterations):
        yield from smoother.draw(paths[k + 1 : k + 2], frozen=paths[k])
        if time.perf_counter() - last_yield > PIECE_SECONDS and k + 1 < n_iterations:
            yield k + 1
            last_yield = time.perf_counter()
    return paths[1:], smoother.changed, log_likelihood, n_starts


def as_burn_in(burn_in: Any, n_iterations: int) -> int:
    """Sweeps to leave out, or the default."""
    if burn_in is None:
        return min(max(4, n_iterations // 4), n_iterations - 1)
    note, most = " (n_iterations - 1)", n_iterations - 1
    return as_count(burn_in, "burn_in", minimum=0, maximum=most, note=note)
