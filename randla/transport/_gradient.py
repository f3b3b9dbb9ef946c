"""Gradient of the sliced Wasserstein distance with respect to the points."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._random import draw_key
from randla._typing import Array
from randla._validation import as_choice, as_count, as_flag, as_number
from randla.transport._clouds import Clouds, as_pair
from randla.transport._controls.regression import plain_mean
from randla.transport._directions.designs import Design, as_design
from randla.transport._projections.costs import ProjectedCosts
from randla.transport._projections.pair_slopes import Estimate, PairSlopes
from randla.transport._projections.projector import MAX_POWER, SAFE_POWER
from randla.transport._result import (
    DirectionsResult,
    Drawn,
    MeanCost,
    directions_interval,
    times_unit,
)

Kinds = Literal["iid", "orthogonal", "rqmc", "auto"]


@dataclass(frozen=True, eq=False, repr=False)
class SlicedWassersteinGradient(Drawn, DirectionsResult):
    """The sliced Wasserstein distance of two clouds and its gradient, with errors.

    The result of `sliced_wasserstein_gradient`. The errors are those of the random directions,
    given the clouds.

    Attributes
    ----------
    value : float
        The distance :math:`SW_p`.
    power : float
        Its power :math:`SW_p^p`.
    power_standard_error : float or None
        Standard error of `power`; None for directions given as an array.
    gradient : (n, d) ndarray
        Gradient of `power` with respect to the points X, or (m, d) with respect to Y for
        ``wrt="Y"``; zero rows for points without weight.
    standard_error : ndarray or None
        Standard error of `gradient`.
    degrees_of_freedom : float or None
        Degrees of freedom of all errors: number of independent blocks of directions, minus one.
    n_projections : int
        Number of directions used: as requested, rounded up to whole blocks of the design.
    directions : str
        "iid", "orthogonal", "rqmc", "array", or "exact" in one dimension.
    gradient_Y, standard_error_Y : (m, d) ndarray or None
        The same with respect to the points Y, for ``wrt="both"``.
    weight_gradient, weight_gradient_Y : (n,) and (m,) ndarray or None
        Gradient of `power` with respect to the weights, scaled to sum 1, for ``weights=True``: the
        derivative for mass that moves to a point from all points in proportion to their weights, so
        that its weighted mean is zero. Zero for points without weight.
    weight_standard_error, weight_standard_error_Y : ndarray or None
        Standard errors of the weight gradients.
    """

    value: float
    power: float
    power_standard_error: float | None
    gradient: Array
    standard_error: Array | None
    degrees_of_freedom: float | None
    n_projections: int
    directions: str
    gradient_Y: Array | None
    standard_error_Y: Array | None
    weight_gradient: Array | None
    weight_standard_error: Array | None
    weight_gradient_Y: Array | None
    weight_standard_error_Y: Array | None
    _slopes: Array  # `gradient` in units in which it is moderate ...
    _slope_errors: Array | None  # ... and its errors
    _unit: float  # ... times this unit
    _to_value: float  # d value / d power, in these units
    _design: Design

    def _interval(self, level: float) -> tuple[Array, Array]:
        errors = self._slope_errors, self.degrees_of_freedom
        low, high = directions_interval(self._slopes, *errors, level)
        return times_unit(low, self._unit), times_unit(high, self._unit)

    @property
    def value_gradient(self) -> Array:
        """Gradient of `value`: that of `power` times value^(1 - p) / p; zero if `value` is 0.

        It has no unit of length, and stays in range even if `gradient` does not.
        """
        return self._slopes * self._to_value


def sliced_wasserstein_gradient(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_projections: int | None = None,
    directions: Kinds | ArrayLike = "auto",
    wrt: Literal["X", "Y", "both"] = "X",
    weights: bool = False,
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinGradient:
    r"""Compute a sliced Wasserstein distance and its gradient in the points and the weights.

    .. math::

        \frac{\partial SW_p^p}{\partial x_i} = E\Big[ p \sum_j \delta_{ij}(\theta)\,
        \mathrm{sign}(t_{ij}) |t_{ij}|^{p-1} \theta \Big], \qquad t_{ij} = \theta^T (x_i - y_j),

    with :math:`\delta(\theta)` the optimal coupling of the two projections [1]_. The derivative
    with respect to the weight of a point is the mean over :math:`\theta` of the Kantorovich
    potential of its projection, up to a constant.

    Parameters
    ----------
    X : (n, d) array_like
        Points of the first cloud; 1-D input is n points on a line.
    Y : (m, d) array_like
        Points of the second cloud.
    a, b : (n,) and (m,) array_like, optional
        Non-negative weights, scaled to sum 1. Uniform by default.
    p : float, default 2
        Order, from 1 to 1000. At p = 1 and at ties the gradient is one of several.
    n_projections : int, optional
        Number of directions, at least 2; by default 256, or 8 d if that is more, but at most 1024.
        Designs with blocks round it up.
    directions : str or (L, d) array_like, default "auto"
        As for `sliced_wasserstein`. "auto" is "rqmc" for d = 2, and for d = 3 from 64 directions,
        otherwise "orthogonal": the variance of a gradient comes from :math:`\theta \theta^T`, whose
        mean over a frame is exact. At p = 2 the other designs use the same fact through a linear
        control. Below 16 directions "auto" is "iid".
    wrt : {"X", "Y", "both"}, default "X"
        The points to differentiate by. "both" costs one sort more than a pass for either one.
    weights : bool, default False
        Also differentiate by the weights of both clouds (at ties of levels, as between samples of
        equal size, the mean of the two one-sided derivatives).
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same numbers for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinGradient
        `value`, `power`, `gradient` of the power, and its `standard_error`; also those of Y and of
        the weights if requested.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein : the distance, with control variates.
    sliced_wasserstein_flow : moves a cloud along the gradient.

    Notes
    -----
    The work is that of `sliced_wasserstein` with a sort that carries the permutation, and O(L n d)
    for the sums. Memory beyond the input is 16 MiB or one block of L' rows of n numbers, four
    arrays of the size of X (six if some points have no weight; the same for Y if requested), and in
    up to 64 dimensions a centered copy of the clouds.

    References
    ----------
    .. [1] Bonneel, Rabin, Peyré and Pfister, "Sliced and Radon Wasserstein barycenters of
       measures", J. Math. Imaging Vis. 51 (2015), 22-45.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import sliced_wasserstein_gradient
    >>> X = np.random.default_rng(0).standard_normal((50, 4))
    >>> result = sliced_wasserstein_gradient(X, X + [1.0, 0.0, 0.0, 0.0], rng=0)
    >>> result.gradient.sum(axis=0).round(6) + 0.0  # 2 (mean of X - mean of Y) / d
    array([-0.5,  0. ,  0. ,  0. ])
    >>> result = sliced_wasserstein_gradient(X, 2.0 * X, wrt="both", weights=True, rng=0)
    >>> result.gradient_Y.shape
    (50, 4)
    >>> far = (X**2).sum(axis=1) > 8.0  # points far out are those that should weigh more
    >>> bool(result.weight_gradient[far].max() < 0.0)
    True
    """
    clouds = as_pair(X, Y, a, b)
    p = as_number(p, "p", low=1.0, high=MAX_POWER)
    progress, weights = as_flag(progress, "progress"), as_flag(weights, "weights")
    as_choice(wrt, "wrt", ("X", "Y", "both"))
    key = draw_key(rng)
    n = None if n_projections is None else as_count(n_projections, "n_projections", minimum=1)
    design = as_design(directions, clouds.dim, n, key)
    x, y = clouds.items
    unit = 1.0
    if 2.0 * p > SAFE_POWER:  # the squares of slopes
        # the user's directions may begin with those of the smallest costs
        n_first = design.n if design.kind == "array" else min(design.n, 1024)
        theta = design.rows(0, n_first)  # to choose a unit
        unit = 1.0 / (float(ProjectedCosts(x, y, p).distances(theta).max()) or 1.0)
    slopes = PairSlopes(x, y, p, points=wrt, weights=weights, unit=unit)
    costs, gradients, of_weights = slopes(design, progress)
    is_given = design.kind == "array" and clouds.dim > 1
    sizes = {name: len(np.atleast_1d(np.asarray(Z))) for name, Z in (("X", X), ("Y", Y))}
    kept = {"X": x.kept, "Y": y.kept}

    def complete(name: str, estimate: Estimate | None) -> tuple[Any, Any]:
        """A gradient with zeros for points without weight; no error for the user's directions."""
        if estimate is None:
            return None, None
        full, errors = (_with_zeros(rows, kept[name], sizes[name]) for rows in estimate)
        return full, None if is_given else errors

    first = complete("Y" if wrt == "Y" else "X", gradients["Y" if wrt == "Y" else "X"])
    second = complete("Y", gradients["Y"] if wrt == "both" else None)
    flat = [complete(name, of_weights.get(name)) for name in ("X", "Y")]
    return _result(costs, [first, second], flat, clouds, p, unit, design)


def _result(
    costs: Array,
    gradients: list[tuple[Any, Any]],
    of_weights: list[tuple[Any, Any]],
    clouds: Clouds,
    p: float,
    unit: float,
    design: Design,
) -> SlicedWassersteinGradient:
    """In the units of the input, from estimates and errors in those of the clouds, times `unit`."""
    is_given = design.kind == "array" and clouds.dim > 1
    (gradient, errors), (gradient_y, errors_y) = gradients
    mean = plain_mean(costs, design.block)
    error, freedom = (None, None) if is_given else (mean.standard_error, mean.degrees_of_freedom)
    power = float(costs.mean())
    cost = MeanCost.of(power, error, freedom, p, clouds.exponent, unit)
    with np.errstate(over="ignore", under="ignore"):
        # d power / d x, where power is (unit length)^p and x in units of the clouds, unit * length
        slope_unit = float(cost.length ** (p - 1.0)) / unit
    return SlicedWassersteinGradient(
        value=float(cost.value),
        power=float(cost.powers(power)),
        power_standard_error=None if is_given else float(cost.powers(error)),
        gradient=times_unit(gradient, slope_unit),
        standard_error=_times(errors, slope_unit),
        degrees_of_freedom=freedom,
        n_projections=design.n,
        directions="exact" if clouds.dim == 1 else design.kind,
        gradient_Y=_times(gradient_y, slope_unit),
        standard_error_Y=_times(errors_y, slope_unit),
        weight_gradient=_powers(of_weights[0][0], cost),
        weight_standard_error=_powers(of_weights[0][1], cost),
        weight_gradient_Y=_powers(of_weights[1][0], cost),
        weight_standard_error_Y=_powers(of_weights[1][1], cost),
        _slopes=gradient,
        _slope_errors=errors,
        _unit=slope_unit,
        _to_value=power ** (1.0 / p - 1.0) / (p * unit) if power > 0.0 else 0.0,
        _design=design,
    )


def _times(rows: Array | None, unit: float) -> Any:
    return None if rows is None else times_unit(rows, unit)


def _powers(rows: Array | None, cost: MeanCost) -> Any:
    return None if rows is None else cost.powers(rows)


def _with_zeros(rows: Array, kept: NDArray[np.intp] | None, size: int) -> Array:
    """Spread rows over an array of `size` rows; all others are zero."""
    if kept is None:
        return rows
    full = np.zeros((size, *rows.shape[1:]))
    full[kept] = rows  # points without weight do not matter
    return full
