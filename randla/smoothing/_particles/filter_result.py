"""The result of a particle filter: moments and the likelihood, with their errors."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from randla._results import t_interval
from randla._typing import Array
from randla._validation import as_level
from randla.smoothing._model.plot import plot_band
from randla.smoothing._model.several import (
    SeriesResult,
    root_of_squares,
    stacked,
    total,
)
from randla.smoothing._particles.filter_errors import (
    error_of_run,
    error_of_runs,
    pivot_interval,
    run_interval,
    worst_time,
)
from randla.smoothing._particles.filter_run import FilterRun
from randla.smoothing._particles.records import IntArray


@dataclass(frozen=True, eq=False, repr=False)
class FilterResult(SeriesResult):
    """Filtered moments and the likelihood, with the errors of the algorithm.

    The result of `particle_filter`, for T times and states of d components.

    Attributes
    ----------
    mean, variance : (T, d) ndarray
        Moments of the state at t given the observations 0..t, component by component; d = 1 for a
        scalar model. For several runs: the average of the means, and moments of all particles.
    standard_error : (T, d) ndarray or None
        Standard error of `mean`, given the data.
    ess : (T,) ndarray
        Effective sample size 1 / sum of squared weights, before resampling; the minimum over runs.
    log_likelihood : float
        Logarithm of an unbiased estimate of the likelihood, the average over the runs.
    log_likelihood_standard_error : float or None
        Standard error of `log_likelihood`, given the data; NaN if it is unreliable.
    log_likelihood_increments : (T,) ndarray
        Terms of `log_likelihood`: estimates of log p(y_t | y_0, ..., y_{t-1}), zero if missing.
    log_likelihood_per_run : (n_runs,) ndarray
        The logarithm for each run; -inf if no particle survived.
    error_method : {"genealogy", "runs"} or None
        Source of the errors: the genealogy of the particles of one run, the spread of several runs,
        or None for one run with ``n_lags=0``, whose errors are None.
    suggested_n_particles : int or None
        Suggested number of particles of each run, for a standard error of 1 of its log-likelihood,
        or less if one run needs more particles to estimate its error; a lower bound if the error is
        NaN.
    particles : (T, N, d) ndarray or None
        The clouds, if they were stored.
    log_weights : (T, N) ndarray or None
        Logarithms of the normalized weights of the clouds, before resampling.
    ancestors : (T, N) ndarray of int32 or None
        ``ancestors[t, i]`` is the particle of time t - 1 from which particle i of time t was drawn;
        row 0 is 0..N-1.
    series : tuple of FilterResult
        The results of several series, of which this is the total, with their times one below the
        other; empty for one series.
    """

    mean: Array
    variance: Array
    standard_error: Array | None
    ess: Array
    log_likelihood: float
    log_likelihood_standard_error: float | None
    log_likelihood_increments: Array
    log_likelihood_per_run: Array
    error_method: str | None
    suggested_n_particles: int | None
    particles: Array | None
    log_weights: Array | None
    ancestors: IntArray | None

    _shown: ClassVar[tuple[str, ...]] = (
        "mean", "standard_error", "ess", "log_likelihood", "log_likelihood_standard_error",
        "error_method", "suggested_n_particles", "particles",
    )  # fmt: skip

    _combine: ClassVar[Any] = {
        **dict.fromkeys(
            (
                "mean", "variance", "standard_error", "ess", "log_likelihood_increments",
                "particles", "log_weights", "ancestors",
            ),
            stacked,
        ),
        **dict.fromkeys(
            ("log_likelihood", "log_likelihood_per_run", "suggested_n_particles"), total
        ),
        "log_likelihood_standard_error": root_of_squares,
    }  # fmt: skip

    @classmethod
    def of_one(cls, run: FilterRun) -> "FilterResult":
        """One run, with the errors of its genealogy if it was kept."""
        (states, log_weights, ancestors), track = run.particles, run.track
        log_z = run.log_likelihood()
        error = log_z_error = suggested = method = None
        if run.genealogy.variances.size > 0:
            error, method = np.sqrt(run.genealogy.mean_variance), "genealogy"
            t = int(track.ess.argmin())
            log_z_error, suggested = error_of_run(
                run.genealogy.variances, len(track.ess), float(track.ess[t]), t,
                log_weights.shape[1], seen=bool(run.series.observed.any()),
            )  # fmt: skip
        return cls(
            *run.moments,
            standard_error=error,
            ess=track.ess,
            log_likelihood=log_z,
            log_likelihood_standard_error=log_z_error,
            log_likelihood_increments=track.increments,
            log_likelihood_per_run=np.array([log_z]),
            error_method=method,
            suggested_n_particles=suggested,
            particles=states.reshape(*states.shape[:2], -1) if run.stored else None,
            log_weights=log_weights - track.levels[:, None] if run.stored else None,  # normalized
            ancestors=ancestors if run.stored else None,
        )

    @classmethod
    def of_several(cls, runs: list[FilterRun]) -> "FilterResult":
        """Independent runs, with the errors of their spread."""
        alive = [run for run in runs if run.error is None]
        if not alive and runs[0].error is not None:
            raise runs[0].error
        means, variances = (np.array([run.moments[k] for run in alive]) for k in range(2))
        increments = np.array([run.track.increments for run in runs])
        logs = np.array([run.log_likelihood() for run in runs])
        sums = increments.cumsum(axis=1)
        sums[:, -1] = logs
        # Of the average of Zhat up to each time, which is unbiased.
        log_z = np.logaddexp.reduce(sums, axis=0) - math.log(len(runs))
        n = runs[0].particles.log_weights.shape[1]
        log_z_error, suggested = error_of_runs(logs, worst_time(increments), n)
        mean, variance, error = averaged(means, variances)
        return cls(
            mean=mean,
            variance=variance,
            standard_error=error,
            ess=np.min([run.track.ess for run in alive], axis=0),
            log_likelihood=float(log_z[-1]),
            log_likelihood_standard_error=log_z_error,
            log_likelihood_increments=np.diff(log_z, prepend=0.0),
            log_likelihood_per_run=logs,
            error_method="runs",
            suggested_n_particles=suggested,
            particles=None,
            log_weights=None,
            ancestors=None,
        )

    def log_likelihood_interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Interval of the logarithm of the likelihood.

        For one run :math:`\log \hat Z + V/2 \pm t \sqrt V`, V the square of the standard error and
        t with one degree of freedom less than the least effective sample size. For several runs the
        generalized pivot of a log-normal mean [1]_. NaN if the standard error is NaN.

        Parameters
        ----------
        level : float, optional
            Coverage, between 0 and 1.

        Returns
        -------
        low, high : float

        Raises
        ------
        ValueError
            If there are no errors.

        References
        ----------
        .. [1] Krishnamoorthy and Mathew, "Inferences on the means of lognormal distributions
           using generalized p-values and generalized confidence intervals", J. Statist. Plann.
           Inference 115 (2003), 103-121.
        """
        as_level(level)
        _, log_z_error = self._errors()
        if math.isnan(log_z_error):
            return math.nan, math.nan
        if self.error_method == "runs":
            return pivot_interval(self.log_likelihood_per_run, level)
        return run_interval(self.log_likelihood, log_z_error, float(self.ess.min()), level)

    def mean_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Intervals of the filtered means, component by component.

        Student t, for one run with one degree of freedom less than the effective sample size at
        each time, a rule that was measured. The coverage then holds on average over the times, not
        at the worst of them: where the effective sample size is below 2, a fifth to two thirds of
        nominal 95% intervals covered.

        Parameters
        ----------
        level : float, optional
            Coverage of each interval, between 0 and 1.

        Returns
        -------
        low, high : (T, d) ndarrays

        Raises
        ------
        ValueError
            If there are no errors.
        """
        error, _ = self._errors()
        if self.error_method == "runs":
            degrees_of_freedom = np.isfinite(self.log_likelihood_per_run).sum() - 1.0
        else:
            degrees_of_freedom = self.ess[:, None] - 1.0
        degrees_of_freedom = np.maximum(degrees_of_freedom, 1.0)
        return t_interval(self.mean, error, degrees_of_freedom, level)

    def _errors(self) -> tuple[Array, float]:
        if self.standard_error is None or self.log_likelihood_standard_error is None:
            raise ValueError("n_lags (or n_runs - 1) must be at least 1 for an interval, got 0")
        return self.standard_error, self.log_likelihood_standard_error

    def plot(self, ax: Any = None) -> Any:
        """Plot the filtered means with bands of two standard deviations (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        half = 2.0 * np.sqrt(self.variance)
        return plot_band(ax, self.mean, self.mean - half, self.mean + half)


def averaged(means: Array, variances: Array) -> tuple[Array, Array, Array]:
    """Moments over the runs, and standard errors of the mean, from those of each (R, T, d)."""
    if means[0].size == 1:  # NumPy sums a single column in a different order from each of several
        twice = averaged(*(np.repeat(table, 2, axis=1) for table in (means, variances)))
        return twice[0][:1], twice[1][:1], twice[2][:1]
    error = np.full_like(means[0], np.nan)
    if len(means) > 1:
        error = means.std(axis=0, ddof=1) / math.sqrt(len(means))
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0), error
