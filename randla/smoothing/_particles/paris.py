"""PaRIS: smoothed sums over time, online and in linear time."""

from collections.abc import Generator
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from randla._typing import Array
from randla.smoothing._model.additive_functional import AdditiveFunctional
from randla.smoothing._model.several import over_series
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.chains import independent_chains
from randla.smoothing._particles.problem import Backward, SmoothingProblem, make_problem
from randla.smoothing._particles.result import SmoothingResult, warn_if_degenerate
from randla.smoothing._particles.sweeps import GibbsChain


@over_series
def paris(
    model: StateSpaceModel,
    y: ArrayLike,
    functional: AdditiveFunctional | str,
    *,
    n_particles: int,
    n_backward: int | None = 2,
    backward: Backward = "auto",
    n_chains: int = 4,
    inputs: ArrayLike | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    rng: Any = None,
) -> SmoothingResult:
    r"""Estimate a smoothed sum over time by the particle-based rapid incremental smoother.

    Each particle carries a statistic that is updated with the filter,

    .. math::
        \beta_{t+1}^i = \frac1M \sum_{m=1}^M \beta_t^{J^{i,m}} + h_t(X_t^{J^{i,m}}, X_{t+1}^i),

    with `M` indices from the backward kernel
    :math:`B_t(i, j) \propto W_t^j q_t(X_t^j, X_{t+1}^i)`, and
    :math:`\sum_i W_{T-1}^i \beta_{T-1}^i` estimates
    :math:`E[h(x_{0:T-1}) \mid y_{0:T-1}]` [1]_.

    Parameters
    ----------
    model : StateSpaceModel
        The model; if it has a `proposal`, particles are drawn from it.
    y : (T,) or (T, k) array_like, or a list of arrays
        Observations. A row that is wholly NaN is missing. Arrays in a list or tuple are several
        independent series; `series` of the result has each one.
    functional : AdditiveFunctional or {"state", "square", "lag_product", "score"}
        The sum: by name of :math:`x_t`, of :math:`x_t^2`, of :math:`x_t x_{t+1}` (component by
        component), or the gradient of the log-likelihood in theta (Fisher's identity).
    n_particles : int
        Number N of particles, at least 2.
    n_backward : int or None, optional
        Number M of backward draws. With 1 the variance grows with the square of T, from 2 on in
        proportion to T. None: the mean over all particles (forward-only smoothing [2]_), O(N^2).
    backward : {"auto", "exact", "reject", "mcmc", "ancestor"}, optional
        How to draw the indices. "mcmc" starts at the ancestor and makes a Metropolis-Hastings step
        for each further draw: the cheapest for equal accuracy, with any density. "reject" needs the
        model's `log_transition_bound`. "exact" costs O(N) a draw. "ancestor" is the genealogy (M =
        1), the only choice without a transition density, and degenerates. "auto" is "mcmc" if there
        is a density.
    n_chains : int, optional
        Independent repetitions, for the standard error.
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
        With `estimate`, `standard_error`, `per_chain` and `log_likelihood`.

    Warns
    -----
    BiasWarning
        If the effective sample size falls below 5 at some time: the bias may then exceed the
        standard error.
    DegenerateSmoothingWarning
        If "auto" has to fall back on the genealogy.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the model lacks a function that `backward` needs, or
        one of its functions gives NaN (the message names the time).

    See Also
    --------
    ppg : removes most of the bias by sweeps conditional on a path.
    ffbs : draws whole paths, backward in time.

    Notes
    -----
    **The estimate has a bias of order T / N that the spread of the chains does not show**: it is
    the same for all of them, and `standard_error` does not include it; the guide has the measured
    coverage of intervals. The product of the likelihood estimate :math:`\hat Z` with the estimate
    is unbiased. So the bias is at most the coefficient of variation of :math:`\hat Z` times the
    standard deviation of the estimate of one chain; with the standard deviation s of the chains'
    log-likelihoods,

    .. math::
        |\mathrm{bias}| \le \sqrt{e^{s^2} - 1} \; \mathrm{sd},

    which is `bias_bound` of the result, up to the noise of s and sd;
    ``confidence_interval(include_bias=True)`` adds it on both sides.

    Time O(T N M), memory O(N p).

    References
    ----------
    .. [1] Olsson and Westerborn, "Efficient particle-based online smoothing in general hidden
       Markov models: the PaRIS algorithm", Bernoulli 23 (2017), 1951-1996,
       arXiv:1412.7550.
    .. [2] Del Moral, Doucet and Singh, "Forward smoothing using sequential Monte Carlo",
       arXiv:1012.5390 (2010).

    Examples
    --------
    >>> from randla import StochasticVolatility, paris
    >>> model = StochasticVolatility(0.95, 0.3, 0.6)
    >>> _, y = model.simulate(100, rng=0)
    >>> result = paris(model, y, "state", n_particles=500, rng=1)
    >>> result.estimate.shape, result.per_chain.shape
    ((1,), (4, 1))
    """
    problem = make_problem(
        model, y, functional, n_particles, n_backward, backward, paths=None, inputs=inputs
    )
    estimates, logs, ess = independent_chains(
        _chain, problem, n_chains=n_chains, n_sweeps=1,
        executor=executor, progress=progress, rng=rng, description="paris",
    )  # fmt: skip
    warn_if_degenerate(ess, problem)
    return SmoothingResult.of(np.array(estimates), logs, problem, identity=True)


def _chain(
    problem: SmoothingProblem, key: np.uint64, c: int
) -> Generator[int, None, tuple[Array, float, Array]]:
    chain = GibbsChain(problem, key, c, trace=False)
    estimates = np.empty((1, problem.functional.n_out))
    yield from chain.sweeps(estimates, np.empty((1, 0, *problem.state_shape)))
    return estimates[0], chain.log_likelihood(), chain.track.ess
