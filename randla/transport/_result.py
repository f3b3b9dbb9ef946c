"""The result of `sliced_wasserstein`, and the intervals of all results of random directions."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from randla._results import Result, axes_or_new, t_interval
from randla._typing import Array
from randla.transport._directions.designs import Design


def directions_interval(
    estimate: Any, standard_error: Any, degrees_of_freedom: Any, level: float
) -> tuple[Array, Array]:
    """`t_interval` of means over random directions; ValueError if the directions were given."""
    if standard_error is None:
        raise ValueError(
            "confidence_interval needs random directions; these were given as an array"
        )
    return t_interval(estimate, standard_error, degrees_of_freedom, level)


def times_unit(x: Any, unit: Any) -> Any:
    """``x * unit`` if the unit may be out of range (0 or inf): zeros stay zeros."""
    if isinstance(x, float):
        return float(x) * float(unit) if x != 0.0 else 0.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        out = np.asarray(np.multiply(x, unit))
        np.copyto(out, 0.0, where=np.equal(x, 0.0))
        return out


def histogram_of_costs(ax: Any, costs: Array, *, bins: int, **style: Any) -> None:
    """Histogram of costs W_p^p, in a single bin if they are equal up to rounding."""
    largest = float(np.abs(costs).max())
    if not largest < math.inf:
        raise ValueError(
            "plot needs costs in the range of floating-point numbers, got inf: scale X and Y"
        )
    is_constant = np.ptp(costs) <= 1e-9 * largest
    ax.hist(costs, bins=1 if is_constant else bins, alpha=0.6, **style)


@dataclass(frozen=True, eq=False)
class MeanCost:
    """Means of projected costs, elementwise, in a unit of length in which they are moderate.

    Powers W_p^p may leave the range of floating-point numbers while distances W_p do not.
    """

    mean: Any  # of W_p^p, in units of length^p; controls may make it negative
    error: Any  # its standard error; None for the user's directions
    freedom: Any  # degrees of freedom of the error
    p: float
    length: Any  # in units of the input; inf if it is out of range

    @classmethod
    def of(
        cls, mean: Any, error: Any, freedom: Any, p: float, exponent: Any, unit: float = 1.0
    ) -> "MeanCost":
        """From costs of lengths times `unit`, of clouds in units of 2^exponent."""
        with np.errstate(over="ignore"):
            return cls(mean, error, freedom, p, np.ldexp(1.0 / unit, exponent))

    @property
    def value(self) -> Any:
        """Distances in the units of the input, zero if the mean is negative."""
        return times_unit(np.maximum(self.mean, 0.0) ** (1.0 / self.p), self.length)

    @property
    def value_error(self) -> Any:
        """Standard errors of `value`, to first order; inf if the mean is not positive."""
        is_positive, q = np.greater(self.mean, 0.0), 1.0 / self.p
        slope = np.where(is_positive, self.mean, 1.0)[()] ** (q - 1.0)  # p times d value / d mean
        unknown = np.where(np.greater(self.error, 0.0), np.inf, 0.0)
        return times_unit(np.where(is_positive, self.error * slope * q, unknown)[()], self.length)

    def powers(self, costs: Any) -> Any:
        """Costs in the units of the input."""
        return times_unit(costs, self._power_of_length)

    @cached_property
    def _power_of_length(self) -> Any:
        with np.errstate(over="ignore", under="ignore"):
            return self.length**self.p

    def interval(self, level: float) -> tuple[Any, Any]:
        """Map intervals for W_p^p to W_p: clip at zero, take the p-th root."""
        ends = directions_interval(self.mean, self.error, self.freedom, level)
        low, high = (np.maximum(end, 0.0) ** (1.0 / self.p) for end in ends)
        return times_unit(low, self.length), times_unit(high, self.length)


class DirectionsResult(Result):
    """Base of the results whose errors are those of random directions."""

    def confidence_interval(self, level: float = 0.95) -> tuple[Any, Any]:
        """Return Student t intervals for distances (through their powers) or gradients.

        Parameters
        ----------
        level : float, default 0.95
            Coverage probability of an interval, over the draw of the directions; each number has
            its own interval.

        Returns
        -------
        low, high : float or ndarray
            With the shape of the estimate: `value`, `values`, `gradient`, or ``trace`` (for the
            directions of a step). Both are equal to it if it is exact; those of distances are not
            below zero.

        Raises
        ------
        ValueError
            If the directions were given, so that there is no standard error; or if `level` is not
            between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> from randla import sliced_wasserstein, sliced_wasserstein_flow
        >>> X, Y = np.random.default_rng(0).standard_normal((2, 100, 4))
        >>> low, high = sliced_wasserstein(X, Y + 1.0, rng=0).confidence_interval(0.99)
        >>> print(f"{low:.3f} {high:.3f}")
        1.036 1.038
        >>> low, high = sliced_wasserstein_flow(X, Y, n_steps=20, rng=0).confidence_interval()
        >>> bool(high[-1] < low[0])  # the distance has fallen
        True
        """
        return self._interval(level)

    def _interval(self, level: float) -> tuple[Any, Any]:
        raise NotImplementedError


class Drawn:
    """Common part of the results of one design."""

    _design: Design

    @property
    def direction_vectors(self) -> Array:
        """The directions that were used, (n_projections, d), drawn again on each access.

        Passed to another call as ``directions=`` they repeat this one without the controls.
        """
        return self._design.rows(0, self._design.n).copy()


@dataclass(frozen=True, eq=False, repr=False)
class SlicedWassersteinResult(Drawn, DirectionsResult):
    """An estimate of the sliced Wasserstein distance of two clouds, with its error.

    The result of `sliced_wasserstein` and `sliced_wasserstein_sphere`. The errors are those of the
    random directions, given the two clouds; the attributes called population are about the laws
    that the clouds were drawn from. ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        :math:`SW_p`, the root of `power` (zero if that is negative).
    standard_error : float or None
        Standard error of `value`, to first order. Zero if the value is exact; None if `power` is
        not positive (use `confidence_interval` instead) or if the directions were given.
    power : float
        :math:`SW_p^p`. Control variates may make it slightly negative. It may leave the range of
        floating-point numbers, and be inf or 0, while `value` does not.
    power_standard_error : float or None
        Standard error of `power`.
    degrees_of_freedom : float or None
        Degrees of freedom of Student's t in the interval; inf if the value is exact.
    n_projections : int
        Number of directions used: as requested, rounded up to whole blocks of the design.
    variance_reduction : float or None
        Variance of the plain mean of as many independent directions, divided by the squared
        `power_standard_error`.
    control_variate : str or None
        The family that was used.
    directions : str
        The design that was used: "iid", "orthogonal", "rqmc", "array", or "exact" in one dimension.
    coefficients : (k,) ndarray
        Coefficients of the control variates, in the order in which `sliced_wasserstein` lists them;
        zero for controls that were constant or collinear, or whose mean is not known accurately
        enough.
    converged : bool
        Whether `rtol` and `atol` were met (True if there were none).
    projected_costs : (n_projections,) ndarray
        :math:`W_p^p` of the projections on each direction; `power` estimates their mean.
    adjusted_costs : (n_projections,) ndarray
        The same minus the control variates, each centered at its mean and multiplied by its
        coefficient. Their mean is `power` (unless it is cross-fitted), and the error is computed
        from their spread.
    population_power : float or None
        :math:`SW_p^p` of the laws that the clouds were drawn from: `power` minus `bias`, possibly
        slightly negative. This and the following attributes are None unless ``population=True``.
    population_standard_error : float or None
        Standard error of `population_power`: for the sampling of the points, the choice of the
        directions, and the remaining bias.
    bias : float or None
        The average excess of `power` due to sampling.
    near_equal : bool or None
        Whether `population_power` is at most two standard errors: the laws may be equal.
    """

    value: float
    standard_error: float | None
    power: float
    power_standard_error: float | None
    degrees_of_freedom: float | None
    n_projections: int
    variance_reduction: float | None
    control_variate: str | None
    directions: str
    coefficients: Array
    converged: bool
    projected_costs: Array
    adjusted_costs: Array
    _cost: MeanCost
    _design: Design
    population_power: float | None = None
    population_standard_error: float | None = None
    bias: float | None = None
    near_equal: bool | None = None
    _population: MeanCost | None = None

    _shown: ClassVar[tuple[str, ...]] = (
        "value",
        "standard_error",
        "power",
        "power_standard_error",
        "n_projections",
        "variance_reduction",
        "control_variate",
        "directions",
    )

    def __float__(self) -> float:
        return self.value

    def _summary(self) -> dict[str, Any]:
        if self._population is None:
            return super()._summary()
        names = "population_power", "population_standard_error", "bias", "near_equal"
        return {name: getattr(self, name) for name in (*self._shown[:4], *names)}

    def _interval(self, level: float) -> tuple[Any, Any]:
        low, high = self._cost.interval(level)
        return float(low), float(high)

    def population_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return an interval for the distance of the laws that the clouds were drawn from.

        The interval is normal for the power, with a lower end of at least zero and the upper end
        computed from zero or more; the p-th root is taken of both ends.

        Parameters
        ----------
        level : float, default 0.95
            Coverage probability, over samples and directions. The actual coverage is about 90% at
            a nominal 90% from dimension 8 and 50 points on (82 to 94% if clusters differ in their
            shares of the points); 75 to 95% in dimensions 1 and 2, if data are skewed or in
            clusters.

        Returns
        -------
        low, high : float

        Raises
        ------
        ValueError
            Unless the call had ``population=True``; or if `level` is not between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> from randla import sliced_wasserstein
        >>> X, Y = np.random.default_rng(0).standard_normal((2, 200, 10))
        >>> result = sliced_wasserstein(X, Y, population=True, rng=0)
        >>> low, high = result.population_interval(0.9)  # of one law
        >>> print(f"{result.value:.2f}, for the laws {low:.2f} to {high:.2f}")
        0.17, for the laws 0.00 to 0.14
        """
        if self._population is None:
            raise ValueError("population_interval needs sliced_wasserstein(..., population=True)")
        cost = self._population
        low, _ = t_interval(cost.mean, cost.error, np.inf, level)
        _, high = t_interval(max(cost.mean, 0.0), cost.error, np.inf, level)
        ends = (np.maximum(end, 0.0) ** (1.0 / cost.p) for end in (low, high))
        low, high = (times_unit(end, cost.length) for end in ends)
        return float(low), float(high)

    def plot(self, ax: Any = None) -> Any:
        """Plot histograms of `projected_costs` and `adjusted_costs`, with `power` as a line.

        The narrower the second, the more effective the control variates. Needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        drawn = [("projected costs", self.projected_costs, "C2")]
        if self.control_variate is not None:
            label = f"minus the controls ({self.control_variate})"
            drawn.append((label, self.adjusted_costs, "C0"))
        for label, costs, color in drawn:
            histogram_of_costs(ax, costs, bins=30, color=color, label=label)
        ax.axvline(self.power, color="0.5", lw=1.5, label="estimate")
        ax.set(xlabel="$W_p^p$ on a direction", ylabel="directions")
        ax.legend()
        return ax
