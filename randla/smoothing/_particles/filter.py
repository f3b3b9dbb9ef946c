"""The particle filter, plain or conditional on a path: the state given the observations so far."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._parallel import progress_bar
from randla._random import draw_key, new_stream
from randla._results import Result
from randla._typing import Array
from randla._validation import as_choice, as_count, as_flag, as_number
from randla.smoothing._kernels.particles import resample
from randla.smoothing._kernels.particles.filter import filter_template
from randla.smoothing._model.plot import plot_band
from randla.smoothing._model.series import Series
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.checks import as_model, pieces, raise_for_status
from randla.smoothing._particles.problem import require_memory
from randla.smoothing._particles.records import IntArray, Moments, ParticleRun

_SCHEMES = {
    "multinomial": resample.MULTINOMIAL,
    "systematic": resample.SYSTEMATIC,
    "stratified": resample.STRATIFIED,
    "residual": resample.RESIDUAL,
}
#: Share of N above every effective sample size: resample at each step.
ALWAYS = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class FilterResult(Result):
    """Filtered moments and the likelihood.

    Attributes
    ----------
    mean, variance : (T, d) ndarray
        Moments of the state at t given the observations 0..t, component by component; d = 1 for a
        scalar model.
    ess : (T,) ndarray
        Effective sample size 1 / sum of squared weights, before resampling.
    log_likelihood : float
        Logarithm of an unbiased estimate of the likelihood.
    log_likelihood_increments : (T,) ndarray
        Its terms, estimates of log p(y_t | y_0, ..., y_{t-1}); zero for a missing row.
    particles : (T, N, d) ndarray or None
        The clouds, if they were stored.
    log_weights : (T, N) ndarray or None
        Logarithms of the normalised weights of the clouds, before resampling.
    ancestors : (T, N) ndarray of int32 or None
        ``ancestors[t, i]`` is the particle of time t - 1 from which particle i of time t was
        drawn; row 0 counts 0..N-1.
    """

    mean: Array
    variance: Array
    ess: Array
    log_likelihood: float
    log_likelihood_increments: Array
    particles: Array | None
    log_weights: Array | None
    ancestors: IntArray | None

    _shown: ClassVar[tuple[str, ...]] = ("mean", "variance", "ess", "log_likelihood", "particles")

    def plot(self, ax: Any = None) -> Any:
        """Draw the filtered means with bands of two standard deviations (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        half = 2.0 * np.sqrt(self.variance)
        return plot_band(ax, self.mean, self.mean - half, self.mean + half)


def particle_filter(
    model: StateSpaceModel,
    y: ArrayLike,
    *,
    n_particles: int,
    resampling: Literal["systematic", "stratified", "multinomial", "residual"] = "systematic",
    ess_threshold: float = 0.5,
    proposal: Literal["auto", "bootstrap", "guided"] = "auto",
    store: bool = False,
    inputs: ArrayLike | None = None,
    progress: bool = False,
    rng: Any = None,
) -> FilterResult:
    r"""Filter a series with weighted particles.

    Particles are drawn from the transition (bootstrap filter [1]_) or from the model's proposal
    (guided), weighted by the potential, and resampled where the effective sample size falls below
    ``ess_threshold * n_particles``. The estimate :math:`\hat Z` of the likelihood is unbiased,
    :math:`E[\hat Z] = p(y_{0:T-1})`, for every scheme and threshold; its logarithm is not.

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    y : (T,) or (T, k) array_like
        Observations. A row that is wholly NaN is missing.
    n_particles : int
        Number N of particles, at least 2.
    resampling : {"systematic", "stratified", "multinomial", "residual"}, optional
        Systematic resampling needs one uniform number a step and adds the least noise.
    ess_threshold : float, optional
        In [0, 1]; 0 never resamples, 1 at every step where the weights are not all equal.
    proposal : {"auto", "bootstrap", "guided"}, optional
        "auto" is guided where the model has a `proposal` or an `initial_proposal`.
    store : bool, optional
        Keep the clouds: T N (8 d + 12) bytes, 8 GiB at most.
    inputs : (T,) or (T, m) array_like, optional
        Row t is the argument `u` of the model's functions at time t, see `StateSpaceModel`.
    progress : bool, optional
        Show a progress bar (needs tqdm).
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result.

    Returns
    -------
    FilterResult
        With `mean`, `variance`, `ess`, `log_likelihood` and, if stored, the clouds.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or a density gives NaN, or all particles have weight
        zero at some time (the message names it).

    See Also
    --------
    paris, ppg, ffbs : smoothed expectations, given all of the observations.

    Notes
    -----
    Time O(T N), memory O(N + T d) unless the clouds are stored.

    References
    ----------
    .. [1] Gordon, Salmond and Smith, "Novel approach to nonlinear/non-Gaussian Bayesian state
       estimation", IEE Proc. F 140 (1993), 107-113.

    Examples
    --------
    >>> from randla import StochasticVolatility, particle_filter
    >>> model = StochasticVolatility(0.95, 0.3, 0.6)
    >>> _, y = model.simulate(100, rng=0)
    >>> result = particle_filter(model, y, n_particles=500, rng=1)
    >>> result.mean.shape, result.ess.shape
    ((100, 1), (100,))
    """
    model = as_model(model)
    model._require_start()
    series = model._series(y, inputs)
    n_times = len(series.y)
    n_particles = as_count(n_particles, "n_particles", minimum=2)
    scheme = _SCHEMES[as_choice(resampling, "resampling", tuple(_SCHEMES))]
    threshold = as_number(ess_threshold, "ess_threshold", low=0.0, high=1.0)
    guided = use_proposal(model, proposal)
    store = as_flag(store, "store")
    if store:
        require_memory(n_times, n_particles, model.dim or 1)
    run = FilterRun(model, series, n_particles, guided=guided, store=store)
    run.rng = new_stream(draw_key(rng))
    with progress_bar(n_times, as_flag(progress, "progress"), "particle filter") as bar:
        for begin, end in pieces(n_times, run.first_piece()):
            run.advance(begin, end, scheme, threshold)
            bar(end)
    (states, log_weights, ancestors), track = run.particles, run.track
    return FilterResult(
        *run.moments,
        ess=track.ess,
        log_likelihood=run.log_likelihood(),
        log_likelihood_increments=track.increments,
        particles=states.reshape(*states.shape[:2], -1) if store else None,
        log_weights=log_weights - track.levels[:, None] if store else None,  # normalised
        ancestors=ancestors if store else None,
    )


def use_proposal(model: StateSpaceModel, proposal: str) -> bool:
    """Whether to draw from the model's proposal."""
    as_choice(proposal, "proposal", ("auto", "bootstrap", "guided"))
    has_one = model.proposal is not None or model.initial_proposal is not None
    if proposal == "guided" and not has_one:
        raise ValueError("proposal='guided' needs a model with a proposal, got one without")
    return has_one and proposal != "bootstrap"


class FilterRun(ParticleRun):
    """Work space of one filter, advanced piece by piece."""

    def __init__(
        self, model: StateSpaceModel, series: Series, n: int, *, guided: bool, store: bool
    ) -> None:
        n_times = len(series.y)
        rows = n_times if store else min(2, n_times)  # all times, or the last two
        super().__init__(model, n_times, n, (rows, rows, rows))
        _, _, propagate = model._compiled.feynman_kac(guided=guided)
        self.kernel = model._compiled.kernel(filter_template, propagate)
        self.series = series
        self.moments = Moments(*(np.empty((n_times, model.dim or 1)) for _ in range(2)))
        self.no_path = np.empty((0, *self.state_shape))  # no rows: not conditional
        self.rng = np.empty(4, np.uint64)

    def first_piece(self) -> int:
        """Times that take well below a second unless the model is very slow."""
        return max(1, int(1e6 / (self.particles.states[0].size + 1)))  # some 30 ms

    def advance(
        self,
        begin: int,
        end: int,
        scheme: int = resample.MULTINOMIAL,
        threshold: float = ALWAYS,
        path: Array | None = None,
    ) -> None:
        """Run the times begin, ..., end - 1; with `path` conditional on it, in slot 0."""
        self.kernel(
            self.rng, self.series, begin, end, scheme, threshold,
            self.no_path if path is None else path, self.particles, self.weights, self.moments,
            self.track,
        )  # fmt: skip
        raise_for_status(self.track.info)
