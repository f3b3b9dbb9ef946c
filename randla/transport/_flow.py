"""Clouds that move along the gradient of the sliced Wasserstein distance."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from randla._random import generator_from_key
from randla._typing import Array
from randla._validation import as_count, as_points, as_vector, as_weights
from randla.transport._clouds import Source, as_weights_or_none, prepare
from randla.transport._descent import (
    Callback,
    Descent,
    SlicedWassersteinFlow,
    Watch,
    Weighted,
    step_keys,
)
from randla.transport._directions.designs import child_key
from randla.transport._gradient import Kinds
from randla.transport._matrix import as_clouds


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
    first_step: int = 0,
    callback: Callback | None = None,
    every: int = 1,
    snapshots: int | None = None,
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinFlow:
    r"""Move a cloud toward another by descent on the sliced Wasserstein distance.

    .. math::

        x_i \leftarrow x_i - \eta \frac{d}{2 a_i} \nabla_{x_i} SW_2^2(X, Y)
        = x_i + \eta d \, E[(T_i(\theta) - \theta^T x_i) \theta],

    where :math:`T_i(\theta)` is the mean of the projected points of Y that are matched with
    :math:`x_i`. In this unit :math:`\eta = 1` is the full step: it completes a translation in one
    step, and with one frame of directions it is the iterative distribution transfer of [1]_; see
    also [2]_.

    Parameters
    ----------
    X : (n, d) array_like
        Points to move; not modified.
    Y : (m, d) array_like
        Target.
    a, b : (n,) and (m,) array_like, optional
        Non-negative weights, scaled to sum 1. Points without weight do not move.
    n_steps : int, default 100
        Number of steps.
    step : float, default 1.0
        :math:`\eta`, positive and at most 2.
    n_projections : int, optional
        Number of directions, drawn again in each step; by default 64, or 8 d if that is more, but
        at most 1024.
    directions : {"auto", "iid", "orthogonal", "rqmc"}
        As for `sliced_wasserstein_gradient`.
    first_step : int, default 0
        Number of the first step. With the same seed, steps 0 to 9 followed by ten steps with
        ``first_step=10`` from the resulting points equal twenty steps at once. A Generator keeps
        its own position: each call continues with the next step.
    callback : callable, optional
        ``callback(step, points, power, standard_error)`` after a step: its number, the points
        (read-only), the squared distance before the step (see ``trace``), and its error. If it
        returns True the descent ends.
    every : int, default 1
        Call back after each step whose number plus one is a multiple of `every`.
    snapshots : int, optional
        Number of copies of the points to keep, evenly spaced from the start to the end; at least 2.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same path for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinFlow
        The ``points``, and the ``trace`` of the distance over the steps.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein_gradient : the gradient alone, for other kinds of steps.
    sliced_wasserstein_barycenter : descent toward several clouds.

    Notes
    -----
    Each step costs as much as one `sliced_wasserstein_gradient`. Memory beyond the input is that of
    a gradient and two copies of the clouds.

    References
    ----------
    .. [1] Pitié, Kokaram and Dahyot, "Automated colour grading using colour distribution
       transfer", Comput. Vis. Image Underst. 107 (2007), 123-137.
    .. [2] Bonneel, Rabin, Peyré and Pfister, "Sliced and Radon Wasserstein barycenters of
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
    start = Weighted(x, as_weights_or_none(a, x, "a", "X"))
    target = Source(y, as_weights_or_none(b, y, "b", "Y"))
    descent = Descent.of(n_steps, step, n_projections, directions, progress)
    watch = Watch.of(first_step, callback, every, snapshots, descent.n_steps)
    return descent.run(start, [target], [1.0], watch, step_keys(rng, watch.first_step))


def sliced_wasserstein_barycenter(
    clouds: Sequence[ArrayLike],
    weights: ArrayLike | None = None,
    *,
    n_points: int | None = None,
    start: ArrayLike | None = None,
    point_weights: ArrayLike | None = None,
    n_steps: int = 100,
    step: float = 1.0,
    n_projections: int | None = None,
    directions: Kinds = "auto",
    first_step: int = 0,
    callback: Callback | None = None,
    every: int = 1,
    snapshots: int | None = None,
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinFlow:
    r"""Find a cloud that minimizes a weighted sum of :math:`SW_2^2` to several clouds.

    .. math::

        \min_X \sum_k \lambda_k SW_2^2(X, Y_k), \qquad
        x_i \leftarrow x_i + \eta d \sum_k \lambda_k E[(T_i^k(\theta) - \theta^T x_i) \theta].

    The sum [1]_ is not convex in X: the result is at or near a stationary point, not a certified
    minimum.

    Parameters
    ----------
    clouds : sequence of (m_k, d) array_like
        At least one cloud; sizes may differ.
    weights : (K,) array_like, optional
        :math:`\lambda`, non-negative, scaled to sum 1. Equal by default.
    n_points : int, optional
        Points of the barycenter; by default as many as in `point_weights`, or in the largest cloud.
    start : (n, d) array_like, optional
        Initial points. By default normal points with the weighted mean of the means and of the
        covariances of the clouds.
    point_weights : (n,) array_like, optional
        Non-negative weights of the points of the barycenter, scaled to sum 1; equal by default.
        Points without weight do not move.
    n_steps : int, default 100
        Number of steps.
    step : float, default 1.0
        :math:`\eta`, positive and at most 2.
    n_projections : int, optional
        Number of directions, drawn again in each step; by default 64, or 8 d if that is more, but
        at most 1024.
    directions : {"auto", "iid", "orthogonal", "rqmc"}
        As for `sliced_wasserstein_gradient`.
    first_step, callback, every, snapshots
        As for `sliced_wasserstein_flow`; a `first_step` above zero requires `start`.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same points for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinFlow
        The ``points``, and the ``trace`` of the root of the sum over the steps.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein_flow : descent toward one cloud.

    References
    ----------
    .. [1] Bonneel, Rabin, Peyré and Pfister, "Sliced and Radon Wasserstein barycenters of
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
    weights = np.ones(len(ys)) if weights is None else weights
    shares = as_weights(weights, len(ys), "weights", each="cloud")
    shares = shares / shares.sum()
    descent = Descent.of(n_steps, step, n_projections, directions, progress)
    watch = Watch.of(first_step, callback, every, snapshots, descent.n_steps)
    w = None if point_weights is None else as_vector(point_weights, "point_weights")
    if start is not None:
        x = as_points(start, "start", dim=d, of="clouds[0]")
        if n_points not in (None, len(x)):
            raise ValueError(
                f"n_points must be left out or {len(x)}, the size of start, got {n_points}"
            )
        n = len(x)
    elif watch.first_step > 0:
        raise ValueError(f"start must be given for first_step = {first_step}, got None")
    elif n_points is not None:
        n = as_count(n_points, "n_points")
    else:
        n = max(map(len, ys)) if w is None else len(w)
    w = None if w is None else as_weights(w, n, "point_weights", each="point")
    keys = step_keys(rng, watch.first_step)
    targets = [Source(y, None) for y in ys]  # their statistics are computed once
    if start is None:
        key = next(keys)
        x, keys = _gaussian_start(targets, shares, n, child_key(key, 0)), chain([key], keys)
    return descent.run(Weighted(x, w), targets, list(shares), watch, keys)


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
            offset = (cloud.mean - cloud.center)[:, None]
            root = (cloud.points[:d] - offset) / math.sqrt(cloud.size)  # (d, n)
        points += math.sqrt(share) * rng.standard_normal((n, root.shape[1])) @ root.T
    return clouds.from_common_units(points)
