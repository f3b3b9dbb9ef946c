"""Maximum likelihood in state-space models, by smoothed scores."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._parallel import progress_bar
from randla._random import draw_key
from randla._results import warn_caller
from randla._typing import Array
from randla._validation import as_choice, as_count, as_flag, as_number
from randla.smoothing._likelihood.ascent import (
    ascend,
    climb,
    em_weights,
    expectation_maximization,
    step_sizes,
)
from randla.smoothing._likelihood.em import em_family
from randla.smoothing._likelihood.newton import (
    SMALLEST_EIGENVALUE,
    NewtonResult,
    newton_exact,
    newton_particles,
)
from randla.smoothing._likelihood.parametrization import Parametrization
from randla.smoothing._likelihood.result import (
    MaximumLikelihoodResult,
    MaximumLikelihoodWarning,
)
from randla.smoothing._likelihood.scores import ExactScores, ParticleScores, ParticleSettings
from randla.smoothing._likelihood.structural import structural_maximum
from randla.smoothing._model.series import as_inputs
from randla.smoothing._model.several import as_several, each_series
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._models.linear_gaussian import LinearGaussian
from randla.smoothing._models.structural import StructuralModel
from randla.smoothing._particles.checks import as_model

# On the unconstrained scale: Adam moves by about a step in each round, 200 of them by about 4.
_DEFAULT_STEP = {"adam": 0.05, "sgd": 0.3, "em": 1.0, "bfgs": 1.0}
_NO_OBSERVATION = "y must contain an observation to learn from, got NaN in every row"


def maximum_likelihood(
    model: StateSpaceModel,
    y: ArrayLike,
    *,
    free: str | Sequence[str] | None = None,
    method: Literal["ppg", "paris", "path", "exact"] = "ppg",
    optimizer: Literal["auto", "adam", "sgd", "em", "bfgs"] = "auto",
    n_steps: int = 200,
    step_size: float | None = None,
    decay: float = 0.6,
    n_particles: int = 100,
    n_sweeps: int = 1,
    n_backward: int = 2,
    backward: Literal["auto", "exact", "reject", "mcmc"] = "auto",
    n_chains: int = 4,
    n_final: int = 100,
    inputs: ArrayLike | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    rng: Any = None,
) -> MaximumLikelihoodResult:
    r"""Estimate parameters of a state-space model by maximum likelihood.

    The gradient of the log-likelihood is a smoothed expectation of an additive functional
    (Fisher's identity),

    .. math::
        \nabla \log p_\theta(y) = E_\theta\Big[\nabla \log \mu_\theta(x_0) g_0(x_0)
        + \sum_t \nabla \log q_{\theta,t}(x_t, x_{t+1}) g_{t+1}(x_{t+1}) \,\Big|\, y\Big],

    and is estimated at each step by sweeps of `ppg` that start from the paths of the previous step
    [1]_. So their bias decays over the whole run instead of starting again in each step. Step sizes
    decay, and the second half of the path of the parameters is averaged.

    A *final stage* of sweeps at fixed parameters then takes Newton steps with the observed
    information of Louis' identity [2]_,

    .. math::
        J = E[-\nabla^2 \log p_\theta(x, y) \mid y] - \mathrm{Var}[\nabla \log p_\theta(x, y)
        \mid y].

    This removes the error that the finite steps of a stochastic ascent leave, and yields the two
    errors separately: `parameter_standard_error` (statistical) from :math:`J^{-1}` and
    `monte_carlo_error` (of the algorithm) from the scores of independent chains.

    Parameters
    ----------
    model : StateSpaceModel
        The model at a starting value. Its score functions are used, or else central differences of
        its log densities.
    y : (T,) or (T, k) array_like, or a list of arrays
        Observations, NaN if missing. Arrays in a list or tuple are several independent series with
        the same parameters.
    free : str or sequence of str, optional
        Parameters to estimate, by names of ``model.names``; the name of a matrix means all its
        entries. The rest stays fixed. Default: all, but for a `LinearGaussian`
        ``transition_matrix``, ``transition_cov`` and ``observation_cov``, for a `DiscreteHMM`
        ``transition_matrix`` and ``emission_probs``, for a `ChaoticRNN` all but ``gain``.
        Covariances stay positive definite and rows of probabilities on the simplex if they are free
        as a whole; ``model.support`` constrains single parameters.
    method : {"ppg", "paris", "path", "exact"}, optional
        How the expectations are computed: by sweeps of `ppg` from kept paths; by unconditional
        sweeps of `paris`, with their bias; from the functional along the kept path alone, without
        averaging over the particles (Markovian score climbing [3]_); or by `kalman_smoother` and
        `hmm_smoother`.
    optimizer : {"auto", "adam", "sgd", "em", "bfgs"}, optional
        Adam; gradient steps, with the gradient divided by the number of observed times; expectation
        maximization for `LinearGaussian`, `DiscreteHMM` and `StochasticVolatility`, with statistics
        averaged over the steps, unless they are exact ("em" requires matrices to be free as a
        whole); or the BFGS method with ``method="exact"``, which runs until convergence. Default:
        "bfgs" for a `LinearGaussian` with ``method="exact"``, else "adam".
    n_steps : int, optional
        Maximum number of steps of the optimizer; 0 runs only the final stage.
    step_size : float, optional
        First step on the unconstrained scale; default 0.05 for "adam", 0.3 for "sgd". Must be None
        for "em", which has none, and "bfgs", which finds its own.
    decay : float, optional
        Step s is ``step_size / (1 + s / s0)**decay``, s0 a quarter of `n_steps` but at most 50.
        With particle EM the weight of new statistics decays in this way after the first quarter.
    n_particles : int, optional
        Number of particles of each chain.
    n_sweeps : int, optional
        Number of sweeps of each chain in each step.
    n_backward, backward : optional
        As in `ppg`.
    n_chains : int, optional
        Number of independent chains, whose mean score determines a step.
    n_final : int, optional
        Sweeps of each chain for each Newton step of the final stage, which has at most eight steps;
        0 skips the stage.
    inputs : (T,) or (T, m) array_like, or a list of arrays, optional
        Row t is the argument `u` of the model's functions at time t, see `StateSpaceModel`.
    executor : concurrent.futures.Executor, optional
        Runs the chains, with new tasks in each step: worthwhile if a step takes seconds. By default
        the threads of this process.
    progress : bool, optional
        Show a progress bar (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result, for any number of threads.

    Returns
    -------
    MaximumLikelihoodResult
        With `theta`, `names`, `parameter_standard_error`, `monte_carlo_error`, ``trace``, `model`.

    Warns
    -----
    DegenerateFilterWarning
        If the filters at the estimates do not determine the log-likelihood.
    MaximumLikelihoodWarning
        If the final stage did not converge, the data do not determine a direction, or an estimate
        lies at the edge of its range: the standard errors are then unreliable.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the model lacks a density that the score needs, or the
        observations are impossible under parameters of the search (a note names them).

    See Also
    --------
    ppg : the smoothed score at a fixed parameter.

    Notes
    -----
    The result is a local maximum: try several starts. Time O(n_chains T n_particles (n_steps
    n_sweeps + n_final)) in parallel over the chains, memory O(n_chains T n_particles).

    References
    ----------
    .. [1] Cardoso, Janati El Idrissi, Le Corff, Moulines and Olsson, "State and parameter
       learning with PaRIS particle Gibbs", ICML (2023), arXiv:2301.00900.
    .. [2] Louis, "Finding the observed information matrix when using the EM algorithm", J. R.
       Statist. Soc. B 44 (1982), 226-233.
    .. [3] Naesseth, Lindsten and Blei, "Markovian score climbing: variational inference with
       KL(p||q)", NeurIPS (2020), arXiv:2003.10374.

    Examples
    --------
    >>> from randla import LinearGaussian, maximum_likelihood
    >>> _, y = LinearGaussian(0.8, 1.0, 1.0, 0.5, 0.0, 2.8).simulate(200, rng=0)
    >>> start = LinearGaussian(0.5, 0.5, 1.0, 0.5, 0.0, 2.8)
    >>> exact = maximum_likelihood(
    ...     start, y, free=["transition_matrix", "transition_cov"], method="exact"
    ... )
    >>> exact.names
    ('transition_matrix', 'transition_cov')
    >>> low, high = exact.confidence_interval(0.99)
    >>> bool(low[0] < 0.8 < high[0])
    True
    """
    model = as_model(model)
    method = as_choice(method, "method", ("ppg", "paris", "path", "exact"))
    optimizer = as_choice(optimizer, "optimizer", ("auto", "adam", "sgd", "em", "bfgs"))
    if optimizer == "auto":
        # The probabilities of a hidden chain have many local maxima, and long steps may end at
        # one far from the start.
        gaussian = method == "exact" and isinstance(model, LinearGaussian)
        optimizer = "bfgs" if gaussian else "adam"
    elif optimizer == "bfgs" and method != "exact":
        raise ValueError(f"optimizer='bfgs' needs method='exact', got {method!r}")
    if isinstance(model, StructuralModel):
        _require_exact(method, optimizer)
    as_choice(backward, "backward", ("auto", "exact", "reject", "mcmc"))
    n_steps = as_count(n_steps, "n_steps", minimum=0)
    n_final = as_count(n_final, "n_final", minimum=0)
    n_sweeps = as_count(n_sweeps, "n_sweeps")
    first = _DEFAULT_STEP[optimizer]
    if step_size is not None:
        if optimizer in ("em", "bfgs"):
            has = "has none" if optimizer == "em" else "finds its own"
            raise ValueError(
                f"step_size must be None with optimizer={optimizer!r}, which {has}, "
                f"got {step_size!r}"
            )
        first = as_number(step_size, "step_size", low=0.0, closed="neither")
    decay = as_number(decay, "decay", low=0.0, high=1.0)
    settings = ParticleSettings(
        method,
        as_count(n_particles, "n_particles", minimum=2),
        as_count(n_backward, "n_backward"),
        backward,
        as_count(n_chains, "n_chains"),
        n_sweeps,
        draw_key(rng),
        executor,
    )
    several = as_several(y, inputs) or [(y, inputs)]
    if isinstance(model, StructuralModel):
        return _structural(model, several, Parametrization(model, free), n_steps, n_final)
    data = each_series(lambda _, y, inputs: model._series(y, inputs), several)
    parameters = Parametrization(model, free)
    n_observed = sum(int(series.observed.sum()) for series in data)
    if n_observed == 0:
        raise ValueError(_NO_OBSERVATION)
    # The likelihood of a series without observations is one.
    several = [s for s, series in zip(several, data, strict=True) if series.observed.any()]
    data = [series for series in data if series.observed.any()]
    family = None
    if optimizer == "em":
        family = em_family(model, [series.y for series in data], parameters)
    if method != "exact" and (family is None or n_final):
        _require_densities(model, method)
    n_parameters = _count(model, parameters, len(data))
    newton: NewtonResult | None = None
    n_units = n_steps + (1 if n_final else 0)  # of the progress bar
    with progress_bar(n_units, as_flag(progress, "progress"), "maximum likelihood") as report:
        scores: ExactScores | ParticleScores
        if method == "exact":
            scores = ExactScores(model, [y for y, _ in several], family)
        else:
            scores = ParticleScores(model, several, settings, family)
        if not parameters.limited.all():  # some range over all real numbers, in unknown units
            parameters.find_units(scores.gradient_from(model), n_observed)
        if isinstance(scores, ExactScores) and optimizer == "bfgs":
            trace, theta, last_step = climb(scores.at, parameters, n_steps, report)
        elif family is None:
            trace, theta, last_step = ascend(
                lambda theta: scores.expect(model.replace(theta)), parameters, optimizer,
                steps=step_sizes(n_steps, first, decay), n_observed=n_observed, report=report,
            )  # fmt: skip
        else:
            weights = np.ones(n_steps) if method == "exact" else em_weights(n_steps, decay)
            trace, theta, last_step = expectation_maximization(
                scores.expect, family, model, weights, report
            )
        if n_final:
            parameters = parameters.moved(model, theta)  # zeros from EM stay zero
            if isinstance(scores, ExactScores):
                newton = newton_exact(scores.at, parameters, theta)
            else:
                newton = newton_particles(scores, parameters, model, theta, n_final)
            theta = newton.theta
        fitted = model.replace(theta)
        log_likelihood, log_likelihood_error = scores.log_likelihood(fitted)
        report(n_units)
    if newton is not None:
        _warn(newton, "exact" if method == "exact" else "particles")
    covariance = None if newton is None else newton.covariance
    return MaximumLikelihoodResult(
        theta=theta[parameters.free],
        names=parameters.names,
        parameter_standard_error=_root(covariance),
        monte_carlo_error=None if newton is None else _root(newton.monte_carlo),
        parameter_covariance=covariance,
        trace=trace[:, parameters.free],  # (n_steps + 1, f)
        model=fitted,
        log_likelihood=log_likelihood,
        log_likelihood_standard_error=log_likelihood_error,
        n_parameters=n_parameters,
        last_step_size=last_step,
        converged=None if newton is None else newton.converged,
        method=method,
        optimizer=optimizer,
        at_boundary=np.zeros(len(parameters.names), np.bool_),
    )


def _require_densities(model: StateSpaceModel, method: str) -> None:
    """Raise ValueError unless scores of the model can be estimated by particles."""
    model._require_start()
    functions = model._compiled.functions
    if functions.score_initial is not None:
        return
    if functions.is_ready:
        raise ValueError(
            f"method={method!r} needs densities, got a {type(model).__name__} with a singular "
            "covariance, intercepts or a time axis, which has none: use method='exact'"
        )
    missing = [n for n in ("log_initial", "log_transition") if getattr(functions, n) is None]
    if missing:
        raise ValueError(
            "model must have its log densities log_initial and log_transition (or score_initial "
            f"and score_step) for maximum_likelihood, got one without {' and '.join(missing)}: "
            "give them to StateSpaceModel, or call posterior(method='pmmh'), which needs neither"
        )


def _require_exact(method: str, optimizer: str) -> None:
    for name, value, wanted in (("method", method, "exact"), ("optimizer", optimizer, "bfgs")):
        if value != wanted:
            raise ValueError(
                f"{name} must be {wanted!r} for a model of `structural`, whose transitions have no "
                f"density where a standard deviation is zero, got {value!r}"
            )


def _structural(
    model: StructuralModel,
    several: Sequence[tuple[Any, Any]],
    parameters: Parametrization,
    n_steps: int,
    n_final: int,
) -> MaximumLikelihoodResult:
    def rows_of(i: int, y: Any, inputs: Any) -> Array:
        as_inputs(inputs, False)  # its functions take none
        return model._as_rows(y)

    series = [rows for rows in each_series(rows_of, several) if not np.isnan(rows).all()]
    if not series:
        raise ValueError(_NO_OBSERVATION)
    found = structural_maximum(model, series, list(parameters.names), n_steps, n_final > 0)
    if found.newton is not None:
        _warn(found.newton, "exact")
    error = found.error
    return MaximumLikelihoodResult(
        theta=found.theta[parameters.free],
        names=parameters.names,
        parameter_standard_error=error,
        monte_carlo_error=None if error is None else np.zeros(len(error)),
        parameter_covariance=found.covariance,
        trace=found.trace[:, parameters.free],
        model=model.replace(found.theta),
        log_likelihood=found.value,
        log_likelihood_standard_error=0.0,
        n_parameters=_count(model, parameters, len(series)),
        last_step_size=0.0,
        converged=None if found.newton is None else found.newton.converged,
        method="exact",
        optimizer="bfgs",
        at_boundary=found.at_boundary,
    )


def _count(model: StateSpaceModel, parameters: Parametrization, n_series: int) -> int:
    """Numbers that are estimated: each series has its own diffuse start."""
    directions = getattr(model, "diffuse", None)
    return parameters.size + (0 if directions is None else n_series * directions.shape[1])


def _warn(newton: NewtonResult, kind: str) -> None:
    if not newton.converged:  # then the information is that of another point
        warn_caller(
            f"the final stage still moved by {newton.distance:.2g} statistical standard errors: "
            "use more steps (n_steps) or sweeps (n_final), or another start",
            MaximumLikelihoodWarning,
        )
    elif newton.smallest_eigenvalue < SMALLEST_EIGENVALUE[kind]:
        warn_caller(
            "some combination of the free parameters is hardly determined by the data (the "
            "observed information is not positive definite), or an estimate lies at the edge of "
            "its range: the standard errors are not reliable. Free fewer parameters, or use more "
            "sweeps in the final stage (n_final)",
            MaximumLikelihoodWarning,
        )


def _root(covariance: Array | None) -> Array | None:
    """Standard errors from a covariance, if there is one."""
    return None if covariance is None else np.sqrt(np.maximum(np.diag(covariance), 0.0))
