"""The result of maximum likelihood: estimates with their errors, and intervals."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from randla._results import RandlaWarning, Result, axes_or_new
from randla._typing import Array
from randla.smoothing._likelihood.parametrization import single_supports
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._model.supports import support_interval


class MaximumLikelihoodWarning(RandlaWarning):
    """The maximum was not reached, or the data do not determine some direction.

    Issued by `maximum_likelihood`.
    """


@dataclass(frozen=True, eq=False, repr=False)
class MaximumLikelihoodResult(Result):
    """Maximum-likelihood estimates and their errors: the result of `maximum_likelihood`.

    f is the number of free parameters.

    Attributes
    ----------
    theta : (f,) ndarray
        The estimates.
    names : tuple of str
        Their names.
    parameter_standard_error : (f,) ndarray or None
        Statistical error: the root of the diagonal of the inverse observed information, by Louis'
        identity (from differences of the exact score with ``method="exact"``). None without the
        final stage.
    monte_carlo_error : (f,) ndarray or None
        Error of the algorithm, given the data: standard error of `theta` around the maximizer, from
        the spread of independent chains. It does not include the bias that all chains share with
        ``method="paris"``. Zero with ``method="exact"``; None with one chain or without the final
        stage.
    parameter_covariance : (f, f) ndarray or None
        Statistical covariance of the estimates.
    trace : (n_steps + 1, f) ndarray
        The start and the parameters after each step of the optimizer.
    model : StateSpaceModel
        The model at the estimates.
    log_likelihood : float
        Log-likelihood at the estimates: exact with ``method="exact"``, else from eight runs of
        `particle_filter` with `n_particles` each.
    log_likelihood_standard_error : float
        Error of the algorithm, given the data: zero with ``method="exact"``, NaN if the runs differ
        too much. The error of a difference between models is the root of the sum of the squares,
        also with the same seed.
    n_parameters : int
        Number of free parameters (of each row of probabilities all but one), including the
        directions of a diffuse start, of each series.
    last_step_size : float
        Last step size of the optimizer; the error that the steps leave is proportional to it. The
        final stage removes that error.
    converged : bool or None
        Whether the last step of the final stage was within its noise; None without that stage.
    method, optimizer : str
        What was used.
    at_boundary : (f,) ndarray of bool
        For a model of `structural`, estimates at the edge of their range, such as standard
        deviations of zero: there the maximum has no normal law and no standard error (NaN).
    """

    theta: Array
    names: tuple[str, ...]
    parameter_standard_error: Array | None
    monte_carlo_error: Array | None
    parameter_covariance: Array | None
    trace: Array
    model: StateSpaceModel
    log_likelihood: float
    log_likelihood_standard_error: float
    n_parameters: int
    last_step_size: float
    converged: bool | None
    method: str
    optimizer: str
    at_boundary: NDArray[np.bool_]

    _shown: ClassVar[tuple[str, ...]] = (
        "names", "theta", "parameter_standard_error", "monte_carlo_error", "log_likelihood",
        "log_likelihood_standard_error", "converged", "method",
    )  # fmt: skip

    @property
    def aic(self) -> float:
        """Akaike's information criterion, ``2 n_parameters - 2 log_likelihood``.

        Its standard error is twice that of `log_likelihood`.
        """
        return 2.0 * (self.n_parameters - self.log_likelihood)

    def confidence_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Confidence intervals of the parameters, with both errors.

        Normal on the unconstrained scale given by `StateSpaceModel.support` (variances and standard
        deviations by logarithms, probabilities by logits), so that they stay in the range of the
        parameter. NaN if the estimate is `at_boundary`.

        They are valid for long series.

        Parameters
        ----------
        level : float, optional
            Between 0 and 1.

        Returns
        -------
        low, high : (f,) ndarray

        Raises
        ------
        ValueError
            If there are no standard errors.
        """
        if self.parameter_standard_error is None:
            raise ValueError("n_final must be at least 1 for standard errors, got 0")
        algorithm = 0.0 if self.monte_carlo_error is None else self.monte_carlo_error
        error = np.hypot(self.parameter_standard_error, algorithm)  # independent errors
        kinds = single_supports(self.model)
        places = [self.model.names.index(name) for name in self.names]
        intervals = [
            support_interval(kinds[place], estimate, spread, level)
            for place, estimate, spread in zip(places, self.theta, error, strict=True)
        ]
        low, high = np.array(intervals).reshape(-1, 2).T
        return low, high

    def plot(self, ax: Any = None) -> Any:
        """Plot the trace of each parameter, relative to its estimate (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        unit = np.where(self.theta != 0.0, np.abs(self.theta), 1.0)
        ax.plot((self.trace - self.theta) / unit, label=list(self.names))
        ax.axhline(0.0, color="0.7", zorder=0)
        ax.set(xlabel="step", ylabel="(parameter - estimate) / |estimate|")
        if len(self.names) <= 10:
            ax.legend()
        return ax
