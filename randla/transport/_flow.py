"""Clouds that move along the gradient of the sliced Wasserstein distance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import progress_bar
from randla._random import draw_key, generator_from_key
from randla._results import axes_or_new
from randla._typing import Array
from randla._validation import as_count, as_flag, as_number, as_points, as_weights
from randla.transport._clouds import Source, as_weights_or_none, prepare
from randla.transport._directions import Design, as_design, child_key
from randla.transport._gradient import Kinds
from randla.transport._matrix import as_clouds
from randla.transport._regression import plain_mean
from randla.transport._result import DirectionsResult, MeanCost, directions_interval
from randla.transport._slopes import ProjectedSlopes


@dataclass(frozen=True, eq=False, repr=False)
class SlicedWassersteinFlow(DirectionsResult):
    """Where a cloud has moved, and how its distance to the target fell.

    Attributes
    ----------
    points : (n, d) ndarray
        After the last step.
    trace : (n_steps,) ndarray
        Before each step: :math:`SW_2` to the target (flow), or the square root of the weighted
        sum of the squares (barycenter).
    trace_standard_error : (n_steps,) ndarray
        Of `trace`, from the random directions of that step.
    degrees_of_freedom : float
        Of the Student t law by which `trace` errs: seven where eight blocks of orthogonal
        directions are drawn a step, as by default; inf if there is no error.
    n_projections : int
        Directions of each step.
    """

    points: Array
    trace: Array
    trace_standard_error: Array
    degrees_of_freedom: float
    n_projections: int

    def _interval(self, level: float) -> tuple[Array, Array]:
        error = self.trace_standard_error, self.degrees_of_freedom
        low, high = directions_interval(self.trace, *error, level)
        return np.maximum(low, 0.0), high

    def plot(self, ax: Any = None) -> Any:
        """Draw `trace` over the steps, with its interval of 95 per cent.

        Needs matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        ax = axes_or_new(ax)
        steps = np.arange(len(self.trace))
        ax.plot(steps, self.trace)
        ax.fill_between(steps, *self.confidence_interval(0.95), alpha=0.3)
        ax.set(xlabel="step", ylabel="sliced Wasserstein distance", yscale="log")
        return ax


def sliced_wasserstein_flow(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    n_steps: int = 100,
    step: float = 1.0,
    n_projections: int | None = None,
    directions: Kinds = "auto",
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinFlow:
    r"""Move a cloud towards another by descent on the sliced Wasserstein distance :math:`SW_2^2`.

    .. math::

        x_i \leftarrow x_i - \eta \frac{d}{2 a_i} \nabla_{x_i} SW_2^2(X, Y)
        = x_i + \eta d \, E[(T_i(\theta) - \theta^T x_i) \theta],

    where :math:`T_i(\theta)` is the mean of the projected points of Y that :math:`x_i` is matched
    with. In this unit :math:`\eta = 1` is the full step: it ends a translation in one step, and
    with one frame of directions it is the iterative distribution transfer of [1]_.

    Parameters
    ----------
    X : (n, d) array_like
        Points to move; not modified.
    Y : (m, d) array_like
        Target.
    a, b : (n,) and (m,) array_like, optional
        Non-negative weights, scaled to sum 1. Points without weight stay.
    n_steps : int, default 100
        Number of steps.
    step : float, default 1.0
        :math:`\eta`, positive and at most 2.
    n_projections : int, optional
        Directions of each step, drawn anew; by default 64, or 8 d if that is more, but
        at most 1024.
    directions : {"auto", "iid", "orthogonal", "rqmc"}
        As for `sliced_wasserstein_gradient`.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same path for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinFlow
        `points`, and the `trace` of the distance.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein_gradient : The gradient alone, for steps of another kind.
    sliced_wasserstein_barycenter : Descent towards several clouds.

    Notes
    -----
    Each step is one `sliced_wasserstein_gradient` in work. Memory beyond the input is that of a
    gradient and two copies of the clouds.

    References
    ----------
    .. [1] Pitie, Kokaram and Dahyot, "Automated colour grading using colour distribution
       transfer", Comput. Vis. Image Underst. 107 (2007), 123-137.
    .. [2] Bonneel, Rabin, Peyre and Pfister, "Sliced and Radon Wasserstein barycenters of
       measures", J. Math. Imaging Vis. 51 (2015), 22-45.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import sliced_wasserstein_flow
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.standard_normal((200, 3)), rng.random((200, 3))
    >>> flow = sliced_wasserstein_flow(X, Y, n_steps=20, rng=0)
    >>> bool(flow.trace[-1] < 0.1 * flow.trace[0])
    True
    """
    x = as_points(X, "X")
    y = as_points(Y, "Y", dim=x.shape[1])
    mass = as_weights_or_none(a, len(x), "a")
    target = Source(y, as_weights_or_none(b, len(y), "b"))
    descent = _Descent.of(n_steps, step, n_projections, directions, progress)
    return descent.run(x, mass, [target], [1.0], draw_key(rng))


def sliced_wasserstein_barycenter(
    clouds: Sequence[ArrayLike],
    weights: ArrayLike | None = None,
    *,
    n_points: int | None = None,
    start: ArrayLike | None = None,
    n_steps: int = 100,
    step: float = 1.0,
    n_projections: int | None = None,
    directions: Kinds = "auto",
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinFlow:
    r"""Cloud of points that minimises the weighted sum of :math:`SW_2^2` to several clouds.

    .. math::

        \min_X \sum_k \lambda_k SW_2^2(X, Y_k), \qquad
        x_i \leftarrow x_i + \eta d \sum_k \lambda_k E[(T_i^k(\theta) - \theta^T x_i) \theta].

    The sum is not convex in X: the result is a point of rest, or near one, not a certified
    minimum.

    Parameters
    ----------
    clouds : sequence of (m_k, d) array_like
        At least one cloud; sizes may differ.
    weights : (K,) array_like, optional
        :math:`\lambda`, non-negative, scaled to sum 1. Equal by default.
    n_points : int, optional
        Points of the barycenter; by default as many as the largest cloud has.
    start : (n, d) array_like, optional
        Where to start. By default normal points with the weighted mean of the means and of the
        covariances of the clouds.
    n_steps : int, default 100
        Number of steps.
    step : float, default 1.0
        :math:`\eta`, positive and at most 2.
    n_projections : int, optional
        Directions of each step, drawn anew; by default 64, or 8 d if that is more, but
        at most 1024.
    directions : {"auto", "iid", "orthogonal", "rqmc"}
        As for `sliced_wasserstein_gradient`.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same points for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinFlow
        `points`, and the `trace` of the root of the sum.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein_flow : Descent towards one cloud.

    References
    ----------
    .. [1] Bonneel, Rabin, Peyre and Pfister, "Sliced and Radon Wasserstein barycenters of
       measures", J. Math. Imaging Vis. 51 (2015), 22-45.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import sliced_wasserstein_barycenter
    >>> Y = np.random.default_rng(0).standard_normal((100, 2))
    >>> result = sliced_wasserstein_barycenter([Y, Y + [4.0, 0.0]], n_steps=50, rng=0)
    >>> np.allclose(result.points.mean(axis=0), Y.mean(axis=0) + [2.0, 0.0])
    True
    """
    ys = as_clouds(clouds)
    d = ys[0].shape[1]
    shares = np.ones(len(ys)) if weights is None else as_weights(weights, len(ys), "weights")
    shares = shares / shares.sum()
    targets = [Source(y, None) for y in ys]  # their statistics are found once
    key = draw_key(rng)
    if start is not None:
        x = as_points(start, "start", dim=d, of="clouds[0]")
        if n_points not in (None, len(x)):
            raise ValueError(
                f"n_points must be left out or {len(x)}, the size of start, got {n_points}"
            )
    else:
        n = max(map(len, ys)) if n_points is None else as_count(n_points, "n_points")
        x = _gaussian_start(targets, shares, n, child_key(key, 0))
    descent = _Descent.of(n_steps, step, n_projections, directions, progress)
    return descent.run(x, None, targets, list(shares), child_key(key, 1))


def _gaussian_start(ys: list[Source], shares: Array, n: int, key: np.uint64) -> Array:
    """Normal points whose mean and covariance are the weighted means of those of the clouds."""
    clouds = prepare(ys)
    rng, d = generator_from_key(key), clouds.dim
    points = np.zeros((n, d))
    for share, cloud in zip(shares, clouds.items, strict=True):
        points += share * cloud.mean  # sum_k lambda_k m_k
        if d <= cloud.size:
            eigenvalues, V = np.linalg.eigh(cloud.covariance)
            root = V * np.sqrt(np.maximum(eigenvalues, 0.0))  # V diag(lambda)^(1/2): root root' = S
        else:  # a root of the covariance that needs no array of d^2 numbers
            offset = (cloud.mean - cloud.centre)[:, None]
            root = (cloud.points[:d] - offset) / math.sqrt(cloud.size)  # (d, n)
        points += math.sqrt(share) * rng.standard_normal((n, root.shape[1])) @ root.T
    return clouds.from_common_units(points)


@dataclass(frozen=True)
class _Descent:
    """Options of a descent on sum_k share_k SW_2^2(X, Y_k), for flows and barycenters."""

    n_steps: int
    step: float
    n_projections: int | None
    directions: str
    progress: bool

    @classmethod
    def of(
        cls, n_steps: Any, step: Any, n_projections: Any, directions: Any, progress: Any
    ) -> "_Descent":
        """Validate the options."""
        n_steps = as_count(n_steps, "n_steps")
        step = as_number(step, "step", low=0.0, high=2.0, closed="right")
        if n_projections is not None:
            n_projections = as_count(n_projections, "n_projections", minimum=2)
        if not isinstance(directions, str):
            raise TypeError(
                f"directions must be 'iid', 'orthogonal', 'rqmc' or 'auto', "
                f"got {type(directions).__name__}"
            )
        return cls(n_steps, step, n_projections, directions, as_flag(progress, "progress"))

    def run(
        self,
        start: NDArray[Any],
        mass: NDArray[Any] | None,
        targets: list[Source],
        shares: list[float],
        key: np.uint64,
    ) -> SlicedWassersteinFlow:
        """Move points (n, d) of weights `mass` (n,), with new directions for each step."""
        points, n_steps = start.astype(np.float64), self.n_steps
        design = as_design(self.directions, points.shape[1], self.n_projections, key, 64)
        trace, errors = np.empty(n_steps), np.empty(n_steps)
        with progress_bar(n_steps, self.progress, "flow") as bar:
            for k in range(n_steps):
                design = design.renewed(child_key(key, k))  # new directions, of the same kind
                cost = self._move(points, mass, targets, shares, design)
                trace[k], errors[k] = cost.value, cost.value_error
                bar(k + 1)
        return SlicedWassersteinFlow(points, trace, errors, cost.freedom, design.n)

    def _move(
        self,
        points: Array,
        mass: NDArray[Any] | None,
        targets: list[Source],
        shares: list[float],
        design: Design,
    ) -> MeanCost:
        """Take one step, in place; its arrays of the size of the clouds do not outlive it.

        Returns the cost before.
        """
        clouds = prepare([Source(points, mass), *targets])
        own, *others = clouds.items
        slopes = ProjectedSlopes(own, others, shares, 2.0)(design)
        mean = plain_mean(slopes.costs @ shares, design.block)  # of sum_k lambda_k f_k
        # x_i - eta d / (2 a_i) times the gradient, in the units of the input
        masses = 1.0 / own.size if own.weights is None else own.weights[:, None]
        move = slopes.gradient * (-0.5 * design.dim * self.step) / masses
        move *= math.ldexp(1.0, clouds.exponent)
        points[slice(None) if own.kept is None else own.kept] += move
        error, freedom = mean.standard_error, mean.degrees_of_freedom
        return MeanCost.of(mean.estimate, error, freedom, 2.0, clouds.exponent)
