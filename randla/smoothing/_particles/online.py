"""The particle filter of a stream of observations, one at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import run_parts
from randla._random import as_generator, draw_key, new_stream
from randla._results import Result
from randla._typing import Array
from randla._validation import as_choice, as_count, as_number
from randla.smoothing._kernels.particles.resample import systematic_indices
from randla.smoothing._model.series import Series, as_inputs, require_rows
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.checks import NoSurvivorsError, as_model
from randla.smoothing._particles.filter import SCHEMES
from randla.smoothing._particles.filter_errors import (
    error_of_run,
    error_of_runs,
    pivot_interval,
    run_interval,
)
from randla.smoothing._particles.filter_result import averaged
from randla.smoothing._particles.filter_run import FilterRun, use_proposal
from randla.smoothing._particles.online_rows import Rows, following, like
from randla.smoothing._particles.online_state import go_on_from, options_in, restore, state_of
from randla.smoothing._particles.problem import require_room


@dataclass(frozen=True, eq=False, repr=False)
class FilterStep(Result):
    """Filtered moments after one observation of a stream: the result of `OnlineFilter.update`.

    Attributes
    ----------
    time : int
        Index t of the observation, from 0.
    mean, variance : (d,) ndarray
        Moments of the state at t given the observations 0..t.
    standard_error : (d,) ndarray or None
        Standard error of `mean`, given the data; None for one run with ``n_lags=0``.
    ess : float
        Effective sample size before resampling, the minimum over runs.
    log_likelihood_increment : float
        Estimate of log p(y_t | y_0, ..., y_{t-1}); zero for a missing observation.
    """

    time: int
    mean: Array
    variance: Array
    standard_error: Array | None
    ess: float
    log_likelihood_increment: float


class OnlineFilter:
    """A particle filter between two observations of a stream: the result of `start_filter`.

    Attributes
    ----------
    time : int
        Number of observations so far, which is the time of the next one.
    """

    def __init__(self, model: StateSpaceModel, options: Mapping[str, Any], key: np.uint64) -> None:
        self._model, self._options, self._key = model, dict(options), key
        n, n_runs = options["n_particles"], options["n_runs"]
        self._runs = [
            FilterRun(
                model, None, n,
                guided=use_proposal(model, options["proposal"]),
                scheme=SCHEMES[options["resampling"]],
                threshold=options["ess_threshold"],
                n_lags=options["n_lags"] if n_runs == 1 else 0,
            )
            for _ in range(n_runs)
        ]  # fmt: skip
        for c, run in enumerate(self._runs):
            run.rng = new_stream(key, c)
            for table in (*run.particles, *run.moments, *run.genealogy):
                table.fill(0)
        self.time = 0
        self._logs = np.zeros(n_runs)  # log Zhat of each run
        # The least effective sample size of one run, or the largest spread of the increments of
        # several, and its time.
        self._worst = math.inf if n_runs == 1 else -1.0, 0
        self._seen = False  # any observation
        self._last = Rows(None, None)
        self._torn = False  # whether an update was interrupted

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"OnlineFilter(time={self.time}, {options})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _resumed, (self._model, self.state())

    def update(self, y_t: ArrayLike, u_t: ArrayLike | None = None) -> FilterStep:
        """Process the next observation.

        After an error the filter is as it was before: the observation may be given again, corrected
        or as NaN. (After Ctrl-C, or another interruption, the filter is unusable, and says so.)

        Parameters
        ----------
        y_t : float or (k,) array_like
            The observation; NaN if it is missing. It must not be missing if the model's transition
            depends on the observation.
        u_t : float or (m,) array_like, optional
            The argument `u` of the model's functions at this time.

        Returns
        -------
        FilterStep

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, or as for `particle_filter`.
        """
        self._require_whole()
        self._model._require_times(self.time + 1)
        t, several = self.time, len(self._runs) > 1
        series, rows = following(self._model, t, self._last, y_t, u_t)
        alive = [run for run in self._runs if run.error is None]
        streams = [run.rng.copy() for run in alive]
        self._torn = True
        if several:
            size = alive[0].particles.states[0].size * len(alive)
            errors = run_parts(
                lambda k: _advance(alive[k], series, t), len(alive), seconds=2e-8 * size
            )
        else:
            errors = [_advance(alive[0], series, t)]
        # With several runs, some may end.
        fatal = [e for e in errors if e and not (several and isinstance(e, NoSurvivorsError))]
        if fatal or all(errors):
            for run, stream in zip(alive, streams, strict=True):
                restore(run, t, stream)
            self._torn = False
            raise (fatal or errors)[0]  # type: ignore[misc]
        for run, error in zip(alive, errors, strict=True):
            if isinstance(error, NoSurvivorsError):
                run.error = error
        self._seen |= bool(series.observed[0])
        step = self._step_of_several(t, alive) if several else self._step_of_one(t, alive[0])
        self.time, self._last = t + 1, rows
        self._torn = False
        return step

    def _require_whole(self) -> None:
        if self._torn:
            raise RuntimeError(
                "an update of this filter was interrupted: start another one from an earlier state"
            )

    def _step_of_one(self, t: int, run: FilterRun) -> FilterStep:
        """The numbers of time t, entered in the sums over the times."""
        row, track, squares = t % 2, run.track, run.genealogy.mean_variance
        ess, increment = float(track.ess[row]), float(track.increments[row])
        self._logs[0] += increment
        if ess < self._worst[0]:
            self._worst = ess, t
        mean, variance = run.moments.mean[row].copy(), run.moments.variance[row].copy()
        error = np.sqrt(squares[row]) if len(run.genealogy.variances) else None
        return FilterStep(t, mean, variance, error, ess, increment)

    def _step_of_several(self, t: int, ran: list[FilterRun]) -> FilterStep:
        """The step of several runs, of which those that `ran` were alive before."""
        row, before = t % 2, self.log_likelihood  # of the times before t
        alive = [run for run in ran if run.error is None]
        increments = np.array(
            [-np.inf if run.error else run.track.increments[row] for run in self._runs]
        )
        self._logs += increments
        # Infinite from the time on at which one of them ends.
        spread = float(increments.std()) if len(alive) == len(self._runs) else math.inf
        if spread > self._worst[0]:
            self._worst = spread, t
        means, variances = (np.array([run.moments[k] for run in alive]) for k in range(2))
        mean, variance, error = (table[row] for table in averaged(means, variances))
        ess = min(float(run.track.ess[row]) for run in alive)
        return FilterStep(t, mean, variance, error, ess, _log_mean(self._logs) - before)

    @property
    def log_likelihood(self) -> float:
        """Logarithm of an unbiased estimate of the likelihood so far, the average over the runs."""
        return _log_mean(self._logs) if self.time else 0.0

    @property
    def log_likelihood_per_run(self) -> Array:
        """The same for each run, (n_runs,); -inf if no particle survived."""
        return self._logs.copy()

    @property
    def log_likelihood_standard_error(self) -> float | None:
        """Standard error of `log_likelihood`, given the data; NaN, with a warning, if unreliable.

        None for one run with ``n_lags=0``. As for `particle_filter`, including the warning.
        """
        n, variances = self._options["n_particles"], self._runs[0].genealogy.variances
        if len(self._runs) == 1 and len(variances) == 0:
            return None
        if self.time == 0:
            return 0.0
        if len(self._runs) > 1:
            return error_of_runs(self._logs, self._worst[1], n)[0]
        return error_of_run(variances, self.time, *self._worst, n, seen=self._seen)[0]

    def log_likelihood_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the logarithm of the likelihood, as for `FilterResult`.

        Parameters
        ----------
        level : float, optional
            Coverage, between 0 and 1.

        Returns
        -------
        low, high : float
            NaN if the standard error is NaN.
        """
        error = self.log_likelihood_standard_error
        if error is None:
            raise ValueError("n_lags (or n_runs - 1) must be at least 1 for an interval, got 0")
        if math.isnan(error):
            return math.nan, math.nan
        if len(self._runs) > 1:
            return pivot_interval(self._logs, level)
        return run_interval(self.log_likelihood, error, self._worst[0], level)

    def forecast(
        self, n_steps: int, inputs: ArrayLike | None = None, *, rng: Any = None
    ) -> tuple[Array, Array]:
        """Draw the future, one path for each particle; the filter does not change.

        The particles are resampled first, so that all paths have equal weight.

        Parameters
        ----------
        n_steps : int
            Number h of times to look ahead.
        inputs : (h,) or (h, m) array_like, optional
            The argument `u` of the model's functions at these times.
        rng : {None, int, SeedSequence, Generator}, optional
            By default a function of the seed of the filter and of the time.

        Returns
        -------
        states : (n, h, d) ndarray
            The times from `time` on; n = n_particles for each run with surviving particles.
        observations : (n, h) or (n, h, k) ndarray

        Raises
        ------
        ValueError
            If there was no observation yet, or as for `StateSpaceModel.forecast`.
        """
        self._require_whole()
        if self.time == 0:
            raise ValueError("forecast needs an observation before it: call update first")
        row, wants = (self.time - 1) % 2, self._model._compiled.functions.wants
        n_steps = as_count(n_steps, "n_steps")
        future, options = as_inputs(inputs, "u" in wants), {}
        y, u = self._last
        if future is not None and u is not None:
            require_rows(future, n_steps, "one for each time from the next one on")
            options["inputs"] = np.concatenate((u, like(future, u, "inputs")))
        if "y" in wants and y is not None:
            options["y"] = y[0]
        own = np.random.SeedSequence([int(self._key), self.time])
        generator = as_generator(own if rng is None else rng)
        states = []
        for run in self._runs:
            if run.error is None:
                chosen = np.empty(self._options["n_particles"], np.int32)
                systematic_indices(
                    run.weights.cumulative, run.track.totals[row], generator.random(), chosen
                )
                states.append(run.particles.states[row][chosen])
        return self._model.forecast(
            np.concatenate(states), n_steps, start_time=self.time - 1, rng=generator, **options
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """All that determines the future of the filter besides the model, as copied arrays.

        Returns
        -------
        state : dict of ndarrays
            Can be pickled, or saved by ``numpy.savez(file, **state)``; `start_filter` accepts it. A
            filter that continues from it gives the same numbers, bit for bit on the same machine.
        """
        self._require_whole()
        return state_of(self)


def start_filter(
    model: StateSpaceModel,
    *,
    n_particles: int | None = None,
    n_runs: int = 1,
    n_lags: int = 20,
    resampling: Literal["systematic", "stratified", "multinomial", "residual"] = "systematic",
    ess_threshold: float = 0.5,
    proposal: Literal["auto", "bootstrap", "guided"] = "auto",
    state: Mapping[str, Any] | None = None,
    rng: Any = None,
) -> OnlineFilter:
    """Filter a stream of observations that arrive one at a time.

    The numbers are those of `particle_filter` on the series of all observations, bit for bit for
    the same options and seed. (If some of several runs lose all their particles, only the remaining
    runs count from then on, while `particle_filter`, which knows the end, uses them for all times.)

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    n_particles : int
        Number N of particles of each run, at least 2.
    n_runs, n_lags, resampling, ess_threshold, proposal : optional
        As in `particle_filter`.
    state : dict of ndarrays, optional
        The result of `OnlineFilter.state`: the new filter continues from there, with the options of
        the old one (a different value of an option is refused). The parameters of the model may
        differ.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result. Must be None with a `state`, which has its own stream.

    Returns
    -------
    OnlineFilter
        With `update`, `log_likelihood`, `forecast` and `state`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    See Also
    --------
    particle_filter : the same for a complete series.

    Notes
    -----
    Time O(N) an observation, memory O(N n_lags) in all, for streams of any length: `update`
    allocates only the numbers that it returns.

    Examples
    --------
    >>> from randla import StochasticVolatility, particle_filter, start_filter
    >>> model = StochasticVolatility(0.95, 0.3, 0.6)
    >>> _, y = model.simulate(100, rng=0)
    >>> run = start_filter(model, n_particles=500, rng=1)
    >>> steps = [run.update(y_t) for y_t in y[:60]]
    >>> steps[-1].mean.shape, steps[-1].standard_error.shape
    ((1,), (1,))

    Continue later, possibly in another process; the whole series at once gives the same:

    >>> later = start_filter(model, state=run.state())
    >>> steps += [later.update(y_t) for y_t in y[60:]]
    >>> whole = particle_filter(model, y, n_particles=500, rng=1)
    >>> whole.log_likelihood == later.log_likelihood
    True
    >>> states, observations = later.forecast(5)
    >>> observations.shape
    (500, 5)
    """
    model = as_model(model)
    model._require_start()
    options = {
        "n_particles": n_particles, "n_runs": n_runs, "n_lags": n_lags, "resampling": resampling,
        "ess_threshold": ess_threshold, "proposal": proposal,
    }  # fmt: skip
    if state is not None:
        options = options_in(state, options)
        if rng is not None:
            raise ValueError("rng must be None with a state, which has its own stream")
    n = options["n_particles"] = as_count(options["n_particles"], "n_particles", minimum=2)
    n_runs = options["n_runs"] = as_count(options["n_runs"], "n_runs")
    n_lags = options["n_lags"] = as_count(options["n_lags"], "n_lags", minimum=0)
    require_room(2, n, model.dim or 1, n_runs, n_lags)
    as_choice(options["resampling"], "resampling", tuple(SCHEMES))
    options["ess_threshold"] = as_number(
        options["ess_threshold"], "ess_threshold", low=0.0, high=1.0
    )
    started = OnlineFilter(model, options, draw_key(0 if state is not None else rng))
    if state is not None:
        go_on_from(started, state)
    return started


def _resumed(model: StateSpaceModel, state: Mapping[str, Any]) -> OnlineFilter:
    return start_filter(model, state=state)


def _log_mean(logs: Array) -> float:
    """Logarithm of the mean of Zhat."""
    if len(logs) == 1:
        return float(logs[0])
    return float(np.logaddexp.reduce(logs) - math.log(len(logs)))


def _advance(run: FilterRun, series: Series, t: int) -> Exception | None:
    """Run time t; return the error instead of raising it."""
    run.series = series
    try:
        run.advance(t, t + 1)
    except Exception as error:
        return error
    return None
