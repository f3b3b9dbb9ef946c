"""The posterior law of the parameters of a state-space model."""

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
from randla.smoothing._posterior import exact
from randla.smoothing._posterior.priors import Prior
from randla.smoothing._posterior.result import PosteriorResult, warn_if_unreliable

#: Numbers in the paths that are kept, 64 MB.
_PATH_NUMBERS = 1 << 23
_EXACT_PATHS = 100  # of each chain, two smoothers each


def posterior(
    model: StateSpaceModel,
    y: ArrayLike,
    prior: Any,
    *,
    method: Literal["auto", "exact"] = "auto",
    n_iterations: int = 2000,
    burn_in: int | None = None,
    n_chains: int = 4,
    executor: Executor | None = None,
    progress: bool = False,
    rng: Any = None,
) -> PosteriorResult:
    """TODO."""
    model = as_model(model)
    as_choice(method, "method", ("auto", "exact"))
    n_iterations = as_count(n_iterations, "n_iterations", minimum=2)
    most = n_iterations - 1
    burn_in = n_iterations // 2 if burn_in is None else burn_in
    burn_in = as_count(burn_in, "burn_in", minimum=0, maximum=most, note=" (n_iterations - 1)")
    n_chains = as_count(n_chains, "n_chains")
    key = int(draw_key(rng))
    progress = as_flag(progress, "progress")
    values, _ = model._as_observations(y)
    problem = exact.ExactProblem(Prior(model, prior), values, n_iterations, burn_in)
    pilot = _finish(exact.pilot(problem, np.random.default_rng([key, n_chains])))
    problem = problem._replace(pilot=pilot)
    results = run_chains(
        exact.exact_chain,
        [(problem, key, c) for c in range(n_chains)],
        executor=executor,
        seconds=1e-3 * n_iterations * n_chains,
        n_units=n_iterations,
        progress=progress,
        description="posterior",
    )
    draws, acceptance = (np.array(part) for part in zip(*results, strict=True))
    result = PosteriorResult(
        draws=draws[:, burn_in:],
        names=problem.prior.names,
        acceptance=acceptance,
        collapsed_acceptance=None,
        update_rate=None,
        paths=None,
        thin=1,
        method="exact",
        n_particles=None,
        period=None,
        burn_in=burn_in,
        model=model,
        _y=values,
        _last_states=None,
    )
    warn_if_unreliable(result)
    return result


def _finish(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
