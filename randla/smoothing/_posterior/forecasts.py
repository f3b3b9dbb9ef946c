"""Futures of a series with parameters and last states drawn from their posterior."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from randla._random import as_generator
from randla._results import Result
from randla._typing import Array
from randla._validation import as_count, as_quantile_levels
from randla.smoothing._model.plot import plot_band
from randla.smoothing._posterior import diagnostics
from randla.smoothing._posterior.diagnostics import quantile_errors
from randla.smoothing._posterior.exact import last_state

_MOST_FUTURES = 2000


def draw_futures(result: Any, n: int, inputs: ArrayLike | None, rng: Any) -> "ForecastResult":
    """One future for each of up to 2000 draws of a `PosteriorResult`."""
    n, generator = as_count(n, "n"), as_generator(rng)
    if result._y is None:
        raise ValueError("y must be one series for a forecast, got several")
    n_chains, n_kept, _ = result.draws.shape
    kept = np.arange(0, n_kept, -(-n_chains * n_kept // _MOST_FUTURES))
    states, observations = [], []
    now = {"start_time": len(result._y) - 1, "inputs": inputs}
    if "y" in result.model._compiled.functions.wants:  # the next state depends on it
        last = now["y"] = result._y[-1]
        if np.isnan(last).any():
            raise ValueError(
                "y must not be missing at its last time for a forecast, since the transition "
                "depends on it, got NaN"
            )
    for c, k in np.ndindex(n_chains, len(kept)):
        model = result._model_at(c, kept[k])
        if result._last_states is None:
            start = last_state(model, result._y, generator)
        else:
            start = result._last_states[c, kept[k]]
        x, y = model.forecast(start[None], n, rng=generator, **now)
        states.append(x[0])
        observations.append(y[0])
    shape = (n_chains, len(kept))
    return ForecastResult(*(np.reshape(a, shape + a[0].shape) for a in (states, observations)))


@dataclass(frozen=True, eq=False, repr=False)
class ForecastResult(Result):
    """Future paths of a series, with the posterior uncertainty of parameters and states.

    The result of `PosteriorResult.forecast`, for n future times.

    Attributes
    ----------
    states : (n_chains, n_draws, n, d) ndarray
        Paths of the states; d = 1 for a scalar model.
    observations : (n_chains, n_draws, n) or (n_chains, n_draws, n, k) ndarray
        Paths of the observations.
    """

    states: Array
    observations: Array

    _shown: ClassVar[tuple[str, ...]] = ("mean", "standard_error", "states", "observations")

    @property
    def mean(self) -> Array:
        """Means of the observations, (n,) or (n, k)."""
        return self.observations.mean(axis=(0, 1))

    @property
    def standard_error(self) -> Array:
        """Monte Carlo standard errors of `mean`."""
        return diagnostics.mcse_mean(self.observations)

    def quantile(self, q: ArrayLike) -> Array:
        """Quantiles of the observations: the ends of an interval that contains a future value.

        Parameters
        ----------
        q : float or (m,) array_like
            Probabilities in [0, 1].

        Returns
        -------
        quantiles : (n[, k]) or (m, n[, k]) ndarray
        """
        return np.quantile(self.observations, as_quantile_levels(q), axis=(0, 1))

    def quantile_standard_error(self, q: ArrayLike) -> Array:
        """Monte Carlo standard errors of `quantile`.

        Parameters
        ----------
        q : float or (m,) array_like
            Probabilities in [0, 1].

        Returns
        -------
        errors : (n[, k]) or (m, n[, k]) ndarray
        """
        return quantile_errors(self.observations, q)

    def plot(self, ax: Any = None) -> Any:
        """Plot the means with 90% bands (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        low, high = self.quantile([0.05, 0.95])
        columns = [v.reshape(len(v), -1) for v in (self.mean, low, high)]
        return plot_band(ax, *columns)
