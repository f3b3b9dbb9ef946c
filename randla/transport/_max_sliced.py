"""The largest projected Wasserstein distance, by ascent on the sphere."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from randla._parallel import progress_bar
from randla._random import draw_key
from randla._results import Result
from randla._typing import Array
from randla._validation import as_count, as_flag, as_number
from randla.transport._clouds import Cloud, as_pair, pair_moments
from randla.transport._directions.designs import Directions, GivenDirections
from randla.transport._projections.costs import ProjectedCosts
from randla.transport._projections.projector import SAFE_POWER
from randla.transport._projections.slopes import ProjectedSlopes

_CANDIDATES = 256  # random directions; the best of them are starts
_STEPS = 2.0 ** np.arange(-6.0, 3.0)  # lengths tried along the gradient, relative to the last one


@dataclass(frozen=True, eq=False, repr=False)
class MaxSlicedWasserstein(Result):
    """The largest projected distance that was found: the result of `max_sliced_wasserstein`.

    Attributes
    ----------
    value : float
        :math:`W_p` of the projections on `direction`: a lower bound on the maximum over all
        directions. The maximum itself is not certified, as the function has many local maxima.
    direction : (d,) ndarray
        Unit vector, the first non-zero coordinate positive.
    is_lower_bound : bool
        True, unless d = 1, when the value is exact.
    n_iterations : int
        Total number of steps of all ascents.
    converged : bool
        Whether the best ascent ended because no step gained more than `rtol`.
    """

    value: float
    direction: Array
    is_lower_bound: bool
    n_iterations: int
    converged: bool

    _shown: ClassVar[tuple[str, ...]] = ("value", "is_lower_bound", "direction", "converged")

    def __float__(self) -> float:
        return self.value


def max_sliced_wasserstein(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_starts: int = 8,
    rtol: float = 1e-8,
    max_iterations: int = 200,
    rng: Any = None,
    progress: bool = False,
) -> MaxSlicedWasserstein:
    r"""Find a lower bound of the largest Wasserstein distance of projections.

    .. math::

        \max_{|\theta| = 1} W_p(\theta_\# \mu, \theta_\# \nu).

    Ascent along the gradient on the sphere, with the length of each step chosen among several, from
    the best of 256 random directions, the difference of the means, and the extreme eigenvectors of
    the two covariances relative to each other and of their difference. The function is not concave:
    the result is a **lower bound** of this distance [1]_.

    Parameters
    ----------
    X : (n, d) array_like
        Points of the first cloud; 1-D input is n points on a line.
    Y : (m, d) array_like
        Points of the second cloud.
    a, b : (n,) and (m,) array_like, optional
        Non-negative weights, scaled to sum 1. Uniform by default.
    p : float, default 2
        Order, from 1 to 16.
    n_starts : int, default 8
        Number of random starts, the best of 256 directions, in addition to the five others.
    rtol : float, default 1e-8
        An ascent ends when a step gains less than this, relative to the power.
    max_iterations : int, default 200
        Maximum number of steps of each ascent.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same result for any number of threads.
    progress : bool, default False
        Show how many of the ascents have ended (needs tqdm).

    Returns
    -------
    MaxSlicedWasserstein
        `value`, a lower bound, and the `direction` that attains it.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein : the mean over directions.

    Notes
    -----
    A step of an ascent is a gradient and a few distances: O((n + m) (d + log(n + m))), up to
    `max_iterations` steps for each of `n_starts` + 5 starts. Memory beyond the input is that of
    `sliced_wasserstein_gradient`.

    References
    ----------
    .. [1] Deshpande, Hu, Sun, Pyrros, Siddiqui, Koyejo, Zhao, Forsyth and Schwing, "Max-sliced
       Wasserstein distance and its use for GANs", CVPR (2019), arXiv:1904.05877.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import max_sliced_wasserstein
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> result = max_sliced_wasserstein(X, X + [0.0, 3.0, 4.0], rng=0)
    >>> round(result.value, 6), result.direction.round(6) + 0.0
    (5.0, array([0. , 0.6, 0.8]))
    """
    clouds = as_pair(X, Y, a, b)
    p = as_number(p, "p", low=1.0, high=SAFE_POWER)
    n_starts = as_count(n_starts, "n_starts", minimum=1, maximum=_CANDIDATES)
    rtol = as_number(rtol, "rtol", low=0.0)
    max_iterations = as_count(max_iterations, "max_iterations")
    progress = as_flag(progress, "progress")
    key = draw_key(rng)
    x, y = clouds.items
    length = math.ldexp(1.0, clouds.exponent)
    costs = ProjectedCosts(x, y, p)
    if clouds.dim == 1:
        value = float(costs(np.ones((1, 1)))[0]) ** (1.0 / p) * length
        return MaxSlicedWasserstein(value, np.ones(1), False, 0, True)
    candidates = Directions("iid", clouds.dim, _CANDIDATES, key).rows(0, _CANDIDATES)
    best = candidates[np.argsort(-costs(candidates), kind="stable")[:n_starts]]  # the largest first
    starts = np.concatenate([_moment_starts(x, y), best])
    ascent = _Ascent(x, y, p, costs)
    with progress_bar(len(starts), progress, "ascents") as bar:
        theta, f, n_iterations, converged = ascent.run(starts, rtol, max_iterations, bar)
    top = int(np.argmax(f))
    direction = theta[top]
    if direction[np.flatnonzero(direction)[0]] < 0.0:  # costs are even in the direction
        direction = -direction
    value = float(f[top]) ** (1.0 / p) * length
    return MaxSlicedWasserstein(value, direction, True, n_iterations, bool(converged[top]))


def _moment_starts(x: Cloud, y: Cloud) -> Array:
    """Directions in which the first two moments differ most."""
    moments = pair_moments(x, y)
    S1, S2 = moments.first, moments.second
    r = len(S1)
    reach = max(x.reach, y.reach)
    # above the rounding of the covariances, which are all rounding if one point has all the weight
    variance = max(float(np.trace(S1) + np.trace(S2)) / r, 1e-8 * reach**2, 1e-100)
    floor = 1e-6 * variance * np.eye(r)  # of both covariances, so that they can be inverted
    relative = eigh(S1 + floor, S2 + floor)[1]  # S_1 v = lambda S_2 v: extreme ratios q_1 / q_2
    difference = eigh(S1 - S2)[1]  # extreme differences q_1 - q_2
    starts = [moments.delta, relative[:, 0], relative[:, -1], difference[:, 0], difference[:, -1]]
    table = np.array([v / norm for v in starts if (norm := math.sqrt(v @ v)) > 0.0])
    return table if moments.basis is None else table @ moments.basis.T


class _Ascent:
    """Steps along the gradient on the sphere for several directions at a time."""

    def __init__(self, x: Cloud, y: Cloud, p: float, costs: ProjectedCosts) -> None:
        self._x, self._y, self._costs = x, y, costs
        self._slopes = ProjectedSlopes(x, [y], [1.0], p), ProjectedSlopes(y, [x], [1.0], p)

    def run(
        self, theta: Array, rtol: float, max_iterations: int, bar: Callable[[int], None]
    ) -> tuple[Array, Array, int, NDArray[np.bool_]]:
        """Directions at the end, their costs, the number of steps, and which ascents ended."""
        theta, f = theta.copy(), self._costs(theta)  # (A, d), (A,)
        lengths, done = np.full(len(theta), 0.25), np.zeros(len(theta), bool)
        n_iterations = 0
        for _ in range(max_iterations):
            active = np.flatnonzero(~done)
            if not len(active):
                break
            n_iterations += len(active)
            gradient = self._gradient(theta[active])
            norm = np.sqrt(np.einsum("ld,ld->l", gradient, gradient))
            unit = gradient / np.where(norm > 0.0, norm, 1.0)[:, None]
            unit = _tangential(unit, theta[active])  # at a maximum all of it may be rounding
            steps = lengths[active, None] * _STEPS  # 1/64 to 4 times the last one
            tried = theta[active, None, :] + steps[:, :, None] * unit[:, None, :]  # (A, 9, d)
            tried /= np.linalg.norm(tried, axis=2, keepdims=True)  # back to the sphere
            costs = self._costs(tried.reshape(-1, theta.shape[1])).reshape(steps.shape)
            choice = np.argmax(costs, axis=1)
            rows = np.arange(len(active))
            gained = costs[rows, choice] - f[active]  # of the best of nine steps
            better = gained > 0.0
            moved = active[better]
            theta[moved] = tried[rows, choice][better]
            lengths[active] = np.minimum(steps[rows, choice], 1.0)  # where to search next time
            lengths[active[~better]] *= 2.0**-6  # all steps were too long
            f[moved] = costs[rows, choice][better]
            done[active] = (gained <= rtol * f[active]) & (better | (lengths[active] < 1e-9))
            done[active[norm == 0.0]] = True  # a stationary point
            bar(int(done.sum()))
        return theta, f, n_iterations, done

    def _gradient(self, theta: Array) -> Array:
        """Tangential part of the derivative of f with respect to the direction."""
        design, d = GivenDirections(theta), theta.shape[1]
        out = np.zeros_like(theta)
        for cloud, slopes in zip((self._x, self._y), self._slopes, strict=True):
            R = slopes.rows(design.rows(0, design.n))  # (L, n): df / d(theta' x_i)
            out += R @ cloud.points[:d].T.astype(np.float64)  # sum_i r_i (x_i - c)
            out += R.sum(axis=1)[:, None] * cloud.center  # and the contribution of the center
        return _tangential(out, theta)


def _tangential(vectors: Array, theta: Array) -> Array:
    """The parts of vectors (L, d) at right angles to unit vectors (L, d)."""
    return vectors - np.einsum("ld,ld->l", vectors, theta)[:, None] * theta
