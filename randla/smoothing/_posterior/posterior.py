"""The posterior law of the parameters of a state-space model."""

from collections.abc import Generator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._random import draw_key
from randla._validation import as_choice, as_count, as_flag
from randla.smoothing._model.observations import as_rows
from randla.smoothing._model.series import as_inputs
from randla.smoothing._model.several import as_several, each_series
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.chains import run_chains
from randla.smoothing._particles.checks import as_model
from randla.smoothing._particles.problem import (
    Backward,
    SmoothingProblem,
    make_problem,
    require_memory,
)
from randla.smoothing._posterior import exact, particle
from randla.smoothing._posterior.clouds import ParticleProblem
from randla.smoothing._posterior.exact import path_given_all
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.result import PosteriorResult, warn_if_unreliable
from randla.smoothing._posterior.tuning import Chain, Schedule

Method = Literal["auto", "exact", "particle", "pmmh"]
_PILOT, _PATHS = 1 << 40, 1 << 41  # their streams, beyond those of any chain
#: Numbers in the stored paths, 64 MB.
_PATH_NUMBERS = 1 << 23
_EXACT_PATHS, _EXACT_NUMBERS = 100, 1 << 21  # paths of each chain, numbers in all of them


def posterior(
    model: StateSpaceModel,
    y: ArrayLike,
    prior: Any,
    *,
    method: Method = "auto",
    n_iterations: int = 2000,
    burn_in: int | None = None,
    n_particles: int | Literal["auto"] = "auto",
    n_chains: int = 4,
    inputs: ArrayLike | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    rng: Any = None,
) -> PosteriorResult:
    r"""Draw the parameters of a state-space model from their posterior law.

    .. math::
        p(\theta \mid y) \propto p(\theta) \, p_\theta(y),

    by Markov chains on the unconstrained scale of the parameters. If the likelihood is known
    ("exact") each iteration makes Metropolis steps on it. Otherwise ("particle") the chains move
    parameters and path together: sweeps of particle Gibbs [1]_ (a filter conditional on the path, a
    new path backward through it, ten steps of a random walk of the parameters given the path), and
    at intervals a collapsed move that renews both at once: proposals of the parameters, each with a
    fresh filter, are compared by the estimated likelihoods of the clouds [2]_. Both leave the
    posterior invariant, for any number of particles. Sweeps alone are slow if path and parameters
    depend on each other, collapsed moves alone if the series is long.

    Parameters
    ----------
    model : StateSpaceModel
        The model; the chains begin with a random walk from its parameters.
    y : (T,) or (T, k) array_like
        Observations, NaN if missing; or a list of arrays, several independent series (then without
        paths and forecasts).
    prior : dict or function
        Dict from names of parameters to frozen distributions of `scipy.stats`, as in
        ``{"sigma": scipy.stats.halfnorm(scale=1)}``; any object with a method `logpdf` is accepted.
        Parameters that are not named stay fixed. The name of an argument with several entries means
        each of them, or all together with a distribution of vectors or matrices: `invwishart` for a
        covariance, `dirichlet` for each row of probabilities (or for one:
        ``"transition_matrix[0]"``). Or a function of `theta`, all parameters (p,), that returns a
        log density: then all are free, and of ready models those that `maximum_likelihood` frees by
        default. There is no default: flat priors of scales often have no posterior.
    method : {"auto", "exact", "particle", "pmmh"}, optional
        "pmmh" consists of collapsed moves alone, with likelihoods that are kept until the next
        acceptance. "auto" is "exact" for a `LinearGaussian` or `DiscreteHMM`, "pmmh" for a model
        without `log_transition` or `log_initial`, and otherwise "particle" or "pmmh", whichever is
        predicted to give more effective draws for its particles ("particle" if `n_particles` is
        given).
    n_iterations : int, optional
        Number of iterations of each chain, including the burn-in.
    burn_in : int, optional
        Discarded iterations, in which the chains learn the shape and scale of their proposals. Half
        of the iterations by default.
    n_particles : int or "auto", optional
        Particles of collapsed moves. "auto" estimates the spread of the log-likelihood estimates,
        aims at a standard deviation of 1.5 (1 for "pmmh") for all parameters, and skips collapsed
        moves if that would take more than 5000 particles. Sweeps have 20.
    n_chains : int, optional
        Independent chains.
    inputs : (T,) or (T, m) array_like, optional
        Row t is the argument `u` of the model's functions at time t, see `StateSpaceModel`.
    executor : concurrent.futures.Executor, optional
        Runs the chains, one task each; the default is threads.
    progress : bool, optional
        Show a progress bar (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result, for any number of threads; chain c is a function of
        the seed and c only.

    Returns
    -------
    PosteriorResult
        With `draws`, `names`, `mean`, `sd`, `quantile`, their Monte Carlo errors `standard_error`
        and `quantile_standard_error`, `r_hat`, `ess_bulk`, `ess_tail`, `paths`, `forecast`.

    Warns
    -----
    PosteriorWarning
        If the chains do not agree (`r_hat` above 1.01), are worth fewer than 100 independent draws
        each, or sweeps hardly renew the path at some time.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, a prior distribution is not frozen, is discrete or
        extends beyond the range of its parameter, the prior is not finite at the parameters of the
        model, or the model lacks a function that `method` needs.

    See Also
    --------
    maximum_likelihood : a point with standard errors for long series.
    particle_gibbs : paths with known parameters.

    Notes
    -----
    A random walk from the model's parameters, shared by all chains, finds the center and the shape
    of the posterior; the chains then start from a wider law around it. Shape, scales and (once, at
    half of the burn-in) the number of particles are learned in the burn-in and then fixed, by
    counted iterations and never by the clock. The number of particles is a function of the
    parameters: larger where observations are more precise, where a filter with the number suited to
    the center would stick. If "auto" has to choose, it uses the autocorrelation of the sweeps of
    the first walk, and the particles that collapsed moves alone would need, to predict which is
    cheaper: usually the latter in stochastic volatility and short series of counts, the mixture in
    long linear ones. In a mixture, collapsed moves take nearly all of the time while they are
    cheap, and half of it in long series, where an iteration has up to four sweeps.

    Time O(n_chains n_iterations T (20 + N)) for N particles in collapsed moves, which become rarer
    as N grows; memory O(T N) for each chain, and at most 64 MB for the paths.

    References
    ----------
    .. [1] Andrieu, Doucet and Holenstein, "Particle Markov chain Monte Carlo methods", J. R.
       Statist. Soc. B 72 (2010), 269-342.
    .. [2] Mendes, Carter, Gunawan and Kohn, "A flexible particle Markov chain Monte Carlo method",
       Stat. Comput. 30 (2020), 783-798, arXiv:1401.1667.

    Examples
    --------
    >>> import scipy.stats as st
    >>> from randla import LinearGaussian, posterior
    >>> model = LinearGaussian(0.8, 1.0, 1.0, 0.5, 0.0, 2.8)
    >>> _, y = model.simulate(100, rng=0)
    >>> prior = {"transition_matrix": st.uniform(-1, 2)}
    >>> prior["transition_cov"] = st.invgamma(3, scale=2)
    >>> result = posterior(model, y, prior, n_iterations=1000, rng=1)
    >>> result.names
    ('transition_matrix', 'transition_cov')
    >>> low, high = result.quantile([0.025, 0.975])
    >>> bool((low < [0.8, 1.0]).all() and (high > [0.8, 1.0]).all())
    True
    """
    model = as_model(model)
    several = as_several(y, inputs)
    if several and len(several) == 1:  # a list of one series
        ((y, inputs),), several = several, None
    n_iterations = as_count(n_iterations, "n_iterations", minimum=2)
    note = " (n_iterations - 1)"
    burn_in = n_iterations // 2 if burn_in is None else burn_in
    burn_in = as_count(burn_in, "burn_in", minimum=0, maximum=n_iterations - 1, note=note)
    is_auto = isinstance(n_particles, str) and n_particles == "auto"
    given = None if is_auto else as_count(n_particles, "n_particles", minimum=2)
    chosen_method = choose_method(model, method, given)
    n_chains = as_count(n_chains, "n_chains")
    run_one: Any
    key, target = int(draw_key(rng)), Prior(model, prior)
    schedule = Schedule(n_iterations, burn_in, 1)
    if chosen_method == "exact":
        as_inputs(inputs, wanted=False)
        rows = [exact.rows_of(model, one) for one, _ in several or [(y, None)]]
        problem: Any = exact.ExactProblem(target, rows, schedule)
        found = _finish(exact.pilot(problem, np.random.default_rng([key, _PILOT])))
        problem, run_one = problem._replace(pilot=found), exact.exact_chain
        seconds = 1e-3 * n_iterations
    else:
        backward: Backward = "exact" if model.log_transition is not None else "ancestor"

        def one_series(i: int, y: Any, inputs: Any) -> SmoothingProblem:
            n = particle.N_SWEEP
            return make_problem(model, y, "state", n, 2, backward, paths=None, inputs=inputs)

        series = each_series(one_series, several) if several else [one_series(0, y, inputs)]
        problem = ParticleProblem(target, series, schedule, chosen_method, given)
        require_memory(problem.n_times, given or 2, model.dim or 1)
        numbers = n_chains * (n_iterations - burn_in) * problem.n_times * (model.dim or 1)
        schedule = schedule._replace(thin=max(1, -(-numbers // _PATH_NUMBERS)))
        problem = problem._replace(schedule=schedule)
        found, chosen_method, size = _finish(particle.pilot(problem, key, _PILOT))
        problem = problem._replace(pilot=found, method=chosen_method, size=size)
        run_one = particle.particle_chain
        seconds = sum(one.seconds() for one in series) * n_iterations
    chains = run_chains(
        run_one,
        [(problem, key, c) for c in range(n_chains)],
        executor=executor,
        seconds=seconds * n_chains,
        n_units=n_iterations,
        progress=as_flag(progress, "progress"),
        description="posterior",
    )
    result = _result(target, chosen_method, schedule, chains)
    if several:
        return _checked(result)
    if chosen_method == "exact":
        result = _with_exact_paths(result, y, np.random.default_rng([key, _PATHS]))
    else:
        result = replace(result, _y=series[0].y)
    return _checked(result)


def _checked(result: PosteriorResult) -> PosteriorResult:
    warn_if_unreliable(result)
    return result


def choose_method(model: StateSpaceModel, method: str, n_particles: int | None) -> str:
    """The method that "auto" selects, or an error if the model lacks a function that it needs.

    "auto" remains if the pilot is to choose between "particle" and "pmmh".
    """
    as_choice(method, "method", ("auto", "exact", "particle", "pmmh"))
    has_densities = model.log_transition is not None and model.log_initial is not None
    if method == "auto":
        if exact.is_exact(model):
            return "exact"
        if not has_densities:
            return "pmmh"
        return "auto" if n_particles is None else "particle"
    if method == "exact" and not exact.is_exact(model):
        raise ValueError(
            f"method='exact' needs a LinearGaussian or DiscreteHMM model, got "
            f"{type(model).__name__}"
        )
    if method == "particle" and not has_densities:
        raise ValueError(
            "method='particle' needs a model with log_transition and log_initial, got one "
            "without: method='pmmh' does not"
        )
    return method


def _result(prior: Prior, method: str, schedule: Schedule, chains: list[Chain]) -> PosteriorResult:
    def stack(name: str) -> Any:
        parts = [getattr(chain, name) for chain in chains]
        return None if parts[0] is None else np.array(parts)

    rates = stack("update_rate")
    return PosteriorResult(
        draws=stack("draws"),
        names=prior.names,
        acceptance=stack("acceptance"),
        collapsed_acceptance=stack("collapsed_acceptance"),
        update_rate=None if rates is None else rates.mean(axis=0),
        paths=stack("paths"),
        thin=schedule.thin,
        method=method,
        n_particles=None if method == "exact" else stack("n_particles"),
        period=stack("period") if method == "particle" else None,
        burn_in=schedule.burn_in,
        model=prior.model,
        _y=None,
        _last_states=stack("last_states"),
    )


def _with_exact_paths(result: PosteriorResult, y: Any, rng: np.random.Generator) -> PosteriorResult:
    """The result with 100 paths of each chain, if the series is short enough."""
    model, (n_chains, n_kept, _) = result.model, result.draws.shape
    values = as_rows(y, np.size(y) // len(np.asarray(y)))
    thin = max(1, -(-n_kept // _EXACT_PATHS))
    kept, paths = range(0, n_kept, thin), None
    if n_chains * len(kept) * len(values) * (model.dim or 1) <= _EXACT_NUMBERS:
        models = [[result._model_at(c, k) for k in kept] for c in range(n_chains)]
        paths = np.array([[path_given_all(m, values, rng) for m in chain] for chain in models])
    return replace(result, paths=paths, thin=thin, _y=values)


def _finish(steps: Generator[int, None, Any]) -> Any:
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
