"""The components of a structural model: the contribution of each, given all observations."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from randla._results import Result, t_interval
from randla._typing import Array
from randla.smoothing._exact.kalman import NORMAL_95, KalmanSmootherResult
from randla.smoothing._model.plot import plot_band
from randla.smoothing._models.structural import StructuralModel


@dataclass(frozen=True, eq=False, repr=False)
class Component(Result):
    """A smoothed component of a structural model, at T times.

    Attributes
    ----------
    mean : (T,) ndarray
        Mean given all of y.
    standard_error : (T,) ndarray
        Standard deviation given all of y, with the parameters taken as known.
    """

    mean: Array
    standard_error: Array

    _shown: ClassVar[tuple[str, ...]] = ("mean", "standard_error")

    def confidence_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Normal intervals for each time, with the parameters taken as known.

        Parameters
        ----------
        level : float, optional
            Between 0 and 1.

        Returns
        -------
        low, high : (T,) ndarray
        """
        return t_interval(self.mean, self.standard_error, np.inf, level)

    def plot(self, ax: Any = None) -> Any:
        """Plot the mean with a 90% band (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        half = NORMAL_95 * self.standard_error
        bands = (self.mean, self.mean - half, self.mean + half)
        return plot_band(ax, *(band[:, None] for band in bands))


class Components(dict[str, Component]):
    """The components of a model by name."""

    __slots__ = ()

    def __repr__(self) -> str:
        n_times = len(next(iter(self.values())).mean)
        return f"Components({', '.join(self)}; {n_times} times)"

    def plot(self, axes: Any = None) -> Any:
        """Plot each component with a 90% band, one below the other (needs matplotlib).

        Coefficients, which are constant, are left out.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, optional
            Axes to draw on, one for each component; a new figure if None.

        Returns
        -------
        axes : sequence of matplotlib Axes
        """
        shown = [name for name in self if not name.startswith("coefficient[")]
        if axes is None:
            import matplotlib.pyplot as plt

            figure = plt.figure(figsize=(6.4, 1.6 * len(shown) + 0.4), layout="constrained")
            axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        if len(axes) != len(shown):
            raise ValueError(f"axes must have one entry for each of {shown}, got {len(axes)}")
        for ax, name in zip(axes, shown, strict=True):
            self[name].plot(ax)
            ax.set(xlabel="t" if name == shown[-1] else "", ylabel=name)
        return axes


def components(result: KalmanSmootherResult) -> Components:
    r"""Smooth the components of a structural model, such as trend and season.

    Each is a combination :math:`w_t' x_t` of the smoothed states, of mean :math:`w_t' m_t` and
    variance :math:`w_t' P_t w_t`. The components that enter y add up to the smoothed signal; with
    ``"noise"`` they add up to y at observed times.

    Parameters
    ----------
    result : KalmanSmootherResult
        The result of `kalman_smoother` for a model of `structural`.

    Returns
    -------
    Components
        A dict by name, with the components that the model has: ``"level"``, ``"slope"``,
        ``"seasonal"``, ``"regression"`` (:math:`x_t' \beta`) and the coefficients themselves,
        ``"coefficient[0]"`` or with the names of columns, constant in time; ``"cycle"``, ``"ar"``,
        ``"noise"``. Each has ``mean`` and ``standard_error`` (T,), ``confidence_interval(level)``,
        ``plot()``; ``plot()`` of the dict plots them all.

    Raises
    ------
    TypeError
        If `result` is not from `kalman_smoother` for a model of `structural`.
    ValueError
        If `result` is of several series.

    See Also
    --------
    structural : the models.

    Examples
    --------
    >>> from randla import datasets, kalman_smoother
    >>> from randla.smoothing import components, structural
    >>> model = structural(level="trend").replace([38.0, 3.0, 123.0])
    >>> parts = components(kalman_smoother(model, datasets.nile()))
    >>> parts
    Components(level, slope, noise; 100 times)
    >>> low, high = parts["level"].confidence_interval(0.9)
    >>> low.shape
    (100,)
    """
    if not isinstance(result, KalmanSmootherResult):
        got = type(result).__name__
        raise TypeError(f"result must be a KalmanSmootherResult, got {got}")
    model = result._model
    if not isinstance(model, StructuralModel):
        got = type(model).__name__
        raise TypeError(f"result must be of a model of `structural`, got one of a {got}")
    if len(result.series) > 1:
        raise ValueError("result must be of one series, got several: take each of result.series")
    found = Components()
    for part, x in zip(model._parts, model._states, strict=True):
        mean, covariance = result.mean[:, x], result.covariance[:, x, x]
        found.update((n, _combination(w, mean, covariance)) for n, w in part.shown.items())
    if model._has_noise:
        signal = _combination(model._system.B[:, 0], result.mean, result.covariance)
        y, sd = result._y[:, 0], np.sqrt(model.observation_cov[0, 0])
        seen = ~np.isnan(y)
        found["noise"] = Component(
            np.where(seen, y - signal.mean, 0.0), np.where(seen, signal.standard_error, sd)
        )
    return found


def _combination(weights: Array, mean: Array, covariance: Array) -> Component:
    """Combinations of the states by weights (m,) or (T, m), or (1, m)."""
    w = np.broadcast_to(weights, mean.shape)
    variance = np.einsum("ti,tij,tj->t", w, covariance, w)
    return Component((w * mean).sum(1), np.sqrt(np.maximum(variance, 0.0)))
