"""The posterior law of the parameters of a state-space model."""

from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._parallel import progress_bar
from randla._random import draw_key
from randla._typing import Array
from randla._validation import as_choice, as_count, as_flag
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.chains import run_chains
from randla.smoothing._particles.checks import as_model
from randla.smoothing._particles.problem import make_problem
from randla.smoothing._posterior import exact, particle
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.result import PosteriorResult, warn_if_unreliable
from randla.smoothing._posterior.tuning import Chain, Schedule

Method = Literal["auto", "exact", "particle", "pmmh"]
#: Numbers in the paths that are kept, 64 MB.
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
    """TODO."""
    model = as_model(model)
    method = choose_method(model, method)
    n_iterations = as_count(n_iterations, "n_iterations", minimum=2)
    note = " (n_iterations - 1)"
    burn_in = n_iterations // 2 if burn_in is None else burn_in
    burn_in = as_count(burn_in, "burn_in", minimum=0, maximum=n_iterations - 1, note=note)
    if n_particles != "auto":
        n_particles = as_count(n_particles, "n_particles", minimum=2)
    n_chains = as_count(n_chains, "n_chains")
    key, target = int(draw_key(rng)), Prior(model, prior)
    data = model._series(y, inputs)
    numbers = n_chains * (n_iterations - burn_in) * len(data.y) * (model.dim or 1)
    schedule = Schedule(n_iterations, burn_in, max(1, -(-numbers // _PATH_NUMBERS)))
    if method == "exact":
        problem: Any = exact.ExactProblem(target, data.y, schedule)
        found = _finish(exact.pilot(problem, np.random.default_rng([key, n_chains])))
        problem, run_one = problem._replace(pilot=found), exact.exact_chain
        seconds = 1e-3 * n_iterations
    else:
        backward = "exact" if model.log_transition is not None else "ancestor"
        n = particle.N_SWEEP
        smoothing = make_problem(model, y, "state", n, 2, backward, paths=None, inputs=inputs)
        given = None if n_particles == "auto" else n_particles
        problem = particle.ParticleProblem(target, smoothing, schedule, method, given)
        found, chosen = _finish(particle.pilot(problem, key, n_chains))
        problem, run_one = problem._replace(pilot=found, chosen=chosen), particle.particle_chain
        seconds = smoothing.seconds() * n_iterations
    chains = run_chains(
        run_one,
        [(problem, key, c) for c in range(n_chains)],
        executor=executor,
        seconds=seconds * n_chains,
        n_units=n_iterations,
        progress=as_flag(progress, "progress"),
        description="posterior",
    )
    result = _result(model, target, data.y, method, schedule, chains)
    warn_if_unreliable(result)
    return result


def choose_method(model: StateSpaceModel, method: str) -> str:
    """What "auto" stands for, or an error if the model lacks what a method needs."""
    as_choice(method, "method", ("auto", "exact", "particle", "pmmh"))
    has_densities = model.log_transition is not None and model.log_initial is not None
    if method == "auto":
        return "exact" if exact.is_exact(model) else "particle" if has_densities else "pmmh"
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


def _result(
    model: StateSpaceModel,
    prior: Prior,
    y: Array,
    method: str,
    schedule: Schedule,
    chains: list[Chain],
) -> PosteriorResult:
    def stack(name: str) -> Any:
        parts = [getattr(chain, name) for chain in chains]
        return None if parts[0] is None else np.array(parts)

    mixed, changed = method == "particle", stack("changed")
    sweeps = len(chains) * (schedule.n_iterations - schedule.burn_in)
    return PosteriorResult(
        draws=stack("draws"),
        names=prior.names,
        acceptance=stack("acceptance"),
        collapsed_acceptance=stack("collapsed_acceptance"),
        update_rate=None if changed is None else changed.sum(axis=0) / sweeps,
        paths=stack("paths"),
        thin=schedule.thin,
        method=method,
        n_particles=None if method == "exact" else stack("n_particles"),
        period=stack("period") if mixed else None,
        burn_in=schedule.burn_in,
        model=model,
        _y=y,
        _last_states=stack("last_states"),
    )


def _finish(steps: Generator[int, None, Any]) -> Any:
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
