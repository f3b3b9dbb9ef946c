"""The sliced Wasserstein distance on the sphere: transport on circles, with its error."""

from dataclasses import replace
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import part_bounds, run_parts, showing_progress
from randla._random import draw_key
from randla._typing import Array
from randla._validation import as_choice, as_count, as_flag, as_number, as_points
from randla.transport._clouds import Source, as_weights_or_none
from randla.transport._controls.control_variates import Columns, Controls, directions_for
from randla.transport._controls.regression import plain_mean
from randla.transport._directions.frames import as_frames, choose_frames, the_circle
from randla.transport._estimation import Draws, SlicedEstimator
from randla.transport._kernels.circle import UNIT, circle_equal, circle_uniform, circle_weighted
from randla.transport._kernels.cost import accumulate_weights
from randla.transport._projections.costs import PairOfClouds
from randla.transport._projections.projector import SAFE_POWER
from randla.transport._result import SlicedWassersteinResult

_DEFAULT_PROJECTIONS = 256
_BATCH_NUMBERS = 1 << 16  # angles of a part
_CHUNK_NUMBERS = 1 << 21  # coordinates of frames stored at a time
_TOLERANCE = 1e-6  # of the length of a point
_ZERO = 1e-12  # length of a projection that has no angle
_CHEAP = 4  # coordinates a frame up to which the means of products are cheap
_SECONDS_ANGLE, _SECONDS_PROJECT = 4e-8, 2e-10  # for a point: angle, sort and cost; a coordinate


def sliced_wasserstein_sphere(
    X: ArrayLike,
    Y: ArrayLike | None = None,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_projections: int | None = None,
    control_variate: Literal["quadratic", "quartic", "auto"] | None = "auto",
    directions: Literal["iid", "orthogonal", "rqmc", "auto"] | ArrayLike = "auto",
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinResult:
    r"""Estimate a sliced Wasserstein distance on the sphere, of two clouds or to the uniform law.

    .. math::

        SSW_p^p = E\, W_p^p(U_\# \mu, U_\# \nu), \qquad
        U_\# \delta_x = \text{angle of } U^T x,

    for a frame U of two orthonormal columns, uniform among all of them: points are projected to a
    random plane and from there to its circle, on which the transport cost is exact [1]_ [2]_.
    Distances on the circle are in turns; the largest is one half. Control variates of exactly known
    mean remove most of the variance over the frames, as in `sliced_wasserstein`.

    Parameters
    ----------
    X : (n, d) array_like
        Points on the unit sphere, one a row, d at least 2: of length one within 1e-6.
    Y : (m, d) array_like, optional
        The other cloud; if left out, the uniform law of the sphere.
    a, b : (n,) and (m,) array_like, optional
        Non-negative weights, scaled to sum 1. Uniform by default.
    p : float, default 2
        Order, from 1 to 16.
    n_projections : int, optional
        Number of frames, at least 2; 256 by default. Designs with blocks round it up.
    control_variate : {None, "quadratic", "quartic", "auto"}
        With P = UU', means m and second moments S of the two clouds:

        - None: the plain mean;
        - "quadratic": :math:`m^T P m` of both clouds and of their difference,
          :math:`\mathrm{tr}(P S)` of both (two of these five for the uniform law);
        - "quartic": also the products of two of these;
        - "auto": "quartic" from 70 frames (25 for the uniform law) if its means are cheap,
          "quadratic" from 25 (16), else None; none if the plain mean has less than half of the
          error with controls.
    directions : str or (L, d, 2) array_like, default "auto"
        - "iid": independent frames;
        - "orthogonal": d // 2 planes at right angles for each of several rotations;
        - "rqmc": eight randomizations of quasi-random frames (d = 3: of planes at right angles to
          Fibonacci points; else Sobol points);
        - "auto": "rqmc" for d = 3 from 64 frames, otherwise "iid";
        - frames with orthonormal columns within 1e-6. Then there is no standard error, and "auto"
          means no control variate.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same number for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinResult
        As for `sliced_wasserstein`, in turns. On the circle (d = 2) the value is exact.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described, or a plane is at right angles to a point within 1e-12,
        which then has no angle; NaN and inf are refused.

    Warns
    -----
    FewProjectionsWarning
        If a family of control variates or a design that was given by name needs more frames.

    See Also
    --------
    sliced_wasserstein : projections to lines.

    Notes
    -----
    The work is O(L (n + m) (d + log n)), about ten times as much for weighted clouds and unequal
    sizes. With fewer points than coordinates no array of d x d numbers is made.

    References
    ----------
    .. [1] Bonet, Berg, Courty, Septier, Drumetz and Pham, "Spherical sliced-Wasserstein", ICLR
       (2023), arXiv:2206.08780.
    .. [2] Delon, Salomon and Sobolevski, "Fast transport optimization for Monge costs on the
       circle", SIAM J. Appl. Math. 70 (2010), 2239-2258.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import sliced_wasserstein_sphere
    >>> X = np.random.default_rng(0).standard_normal((300, 3)) + [1.0, 0.0, 0.0]
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> result = sliced_wasserstein_sphere(X, rng=0)  # from the uniform law
    >>> print(f"{result.value:.3f} +- {result.standard_error:.0e} ({result.control_variate})")
    0.099 +- 5e-05 (quartic)
    """
    x = _as_sphere(X, "X", a, "a")
    y = None if Y is None else _as_sphere(Y, "Y", b, "b", x.dim)
    if y is None and b is not None:
        raise ValueError("b must be left out without Y, got weights")
    p = as_number(p, "p", low=1.0, high=SAFE_POWER)
    families = (None, "quadratic", "quartic", "auto")
    control = as_choice(control_variate, "control_variate", families)
    progress = as_flag(progress, "progress")
    n = None if n_projections is None else as_count(n_projections, "n_projections")
    key = draw_key(rng) if isinstance(directions, str) or rng is not None else np.uint64(0)
    estimator = _SphereEstimator(_CircleCosts(x, y, p), control)
    if isinstance(directions, str):
        design: Any = choose_frames(directions, x.dim, n or _DEFAULT_PROJECTIONS, key)
    else:
        design = as_frames(directions, x.dim, n)
    with showing_progress("sliced_wasserstein_sphere", progress):
        return estimator.exact() if x.dim == 2 else estimator.result(design)


class _OnSphere(Source):
    """Weighted points (n, d) of length one."""

    def __init__(self, points: Array, weights: NDArray[Any] | None) -> None:
        super().__init__(points, weights)
        self.size, self.dim = self.points.shape

    def mean(self, Z: Array) -> Array:
        """Weighted mean over the last axis, that of the points."""
        mean: Array = Z.mean(axis=-1) if self.weights is None else Z @ self.weights
        return mean

    def sorted_turns(self, angles: Array, levelled: bool) -> tuple[Array, NDArray[np.int64]]:
        """Angles (R, n) in turns, sorted in each row; if requested, the accumulated masses (R, n),
        or (1, n) if they are equal for all rows, in the units of `_kernels.circle`.
        """
        angles *= 0.5 / np.pi
        if self.weights is None:
            angles.sort(axis=1)
            order = np.arange(self.size, dtype=np.int32)[None]
        else:
            order = np.argsort(angles, axis=1).astype(np.int32)
            angles = np.take_along_axis(angles, order, axis=1)
        levels = np.empty(order.shape if levelled else (1, 0), np.int64)
        if levelled:
            accumulate_weights(self.units, order, levels)  # in units of 2^-62
            levels >>= 2
        return angles, levels


def _as_sphere(X: Any, name: str, w: Any, weights_name: str, dim: int | None = None) -> _OnSphere:
    points = as_points(X, name, dim=dim).astype(np.float64, copy=False)
    if points.shape[1] < 2:
        raise ValueError(
            f"{name} must have points of dimension 2 or more, got shape {points.shape}"
        )
    lengths = np.sqrt(np.einsum("nd,nd->n", points, points))
    worst = lengths[np.abs(lengths - 1.0).argmax()]
    if not abs(worst - 1.0) <= _TOLERANCE:
        raise ValueError(
            f"{name} must have rows of length 1 within {_TOLERANCE:g}, got a row of length "
            f"{worst:.9g}: divide by np.linalg.norm({name}, axis=1, keepdims=True)"
        )
    return _OnSphere(points, as_weights_or_none(w, points, weights_name, name))


class _CircleCosts(PairOfClouds):
    """W_p^p on the circles of frames, and the quadratic forms of the controls there.

    The forms are m'Pm for m the means of the clouds and their difference, and tr(PS) for the second
    moments S, from the projected points themselves.
    """

    exponent = 0  # of the unit of length, a turn

    def __init__(self, x: _OnSphere, y: _OnSphere | None, p: float) -> None:
        clouds = [x] if y is None else [x, y]
        self.n_points = sum(c.size for c in clouds)
        super().__init__(p, self.n_points, x.dim, False)
        is_equal = y is not None and x.size == y.size and x.weights is None and y.weights is None
        self.clouds, self.dim, self._levelled = clouds, x.dim, not is_equal
        self.n_forms = 2 if y is None else 5
        self.seconds = self.n_points * (_SECONDS_ANGLE + _SECONDS_PROJECT * x.dim)
        if self._levelled and y is not None:
            self.seconds *= 3.0

    def with_forms(self, U: Array) -> tuple[Array, Array]:
        """Costs (L,) and forms (L, 2 or 5) at frames (L, d, 2)."""
        L = len(U)
        axes = np.ascontiguousarray(U.transpose(0, 2, 1))  # (L, 2, d)
        costs, forms = np.empty(L), np.empty((L, self.n_forms))
        bounds = part_bounds(L, -(-L // max(_BATCH_NUMBERS // self.n_points, 1)))

        def task(part: int) -> None:
            rows = slice(*bounds[part])
            sides, means, traces = [], [], []
            for cloud in self.clouds:
                Z = (axes[rows].reshape(-1, self.dim) @ cloud.points.T).reshape(-1, 2, cloud.size)
                squares = Z[:, 0] ** 2 + Z[:, 1] ** 2
                if squares.min() < _ZERO**2:
                    raise ValueError(
                        "directions must have no plane at right angles to a point, got "
                        f"{np.sqrt(squares.min()):.2g} as the length of a projection"
                    )
                means.append(cloud.mean(Z))
                traces.append(cloud.mean(squares))
                sides.append(cloud.sorted_turns(np.arctan2(Z[:, 1], Z[:, 0]), self._levelled))
            if len(means) == 2:
                means.append(means[0] - means[1])
            lengths = [np.einsum("lk,lk->l", mean, mean) for mean in means]  # |U'm|^2
            forms[rows] = np.stack(lengths + traces, axis=1)
            self._couple(sides, costs[rows])

        run_parts(task, len(bounds), seconds=L * self.seconds, blas=True)
        return costs, forms

    def _couple(self, sides: list[tuple[Array, NDArray[np.int64]]], out: Array) -> None:
        (u, a), *others = sides
        if not others:
            _from_uniform(u, a, self.p, out)
        elif self._levelled:
            ((v, b),) = others
            circle_weighted(u, v, a, b, self.p, out)
        else:
            circle_equal(u, others[0][0], self.p, out)

    @cached_property
    def factors(self) -> list[Array]:
        """R (r, d) of each form tr(PA), A = R'R."""
        means = [cloud.mean(cloud.points.T)[None] for cloud in self.clouds]
        if len(means) == 2:
            means.append(means[0] - means[1])
        means = [m if m @ m.T > _ZERO else np.zeros_like(m) for m in means]  # more than rounding
        moments = [c.points * np.sqrt(c.masses)[:, None] for c in self.clouds]
        return means + moments

    def form_means(self) -> Array:
        """Exact means (k,) of the forms: E tr(PA) = 2 tr A / d."""
        return np.array([2.0 * np.einsum("rd,rd->", R, R) for R in self.factors]) / self.dim

    def product_means(self) -> Array:
        """Exact means (k, k) of the products of two forms:

            E tr(PA) tr(PB) = (4 d tr A tr B + 4 (d - 2) tr AB) / (d (d - 1) (d + 2)),

        moments of second order of the projector P onto a random plane (as they are when both sides
        are summed over B with sum I).
        """
        d, factors = self.dim, self.factors
        if d <= self.n_points:
            squares = np.array([(R.T @ R).ravel() for R in factors])
            products = squares @ squares.T  # tr AB
        else:  # never an array of d^2 numbers
            products = np.array([[np.square(R @ S.T).sum() for S in factors] for R in factors])
        traces = 0.5 * d * self.form_means()
        scale = d * (d - 1.0) * (d + 2.0)
        mean: Array = (4.0 * d * np.outer(traces, traces) + 4.0 * (d - 2.0) * products) / scale
        return mean


class _SphereEstimator(SlicedEstimator):
    """The estimator of `sliced_wasserstein`, for frames instead of directions."""

    def __init__(self, costs: _CircleCosts, control: str | None) -> None:
        super().__init__(costs, costs, control, None)
        self.circle = costs

    def exact(self) -> SlicedWassersteinResult:
        """The exact cost of clouds on the circle: that of any frame."""
        frame = the_circle()
        f = self.circle.with_forms(frame.rows(0, 1))[0]
        return replace(self._result(None, None, plain_mean(f), f, f), _design=frame)

    def controls(self, design: Any) -> Controls | None:
        """The controls for a design: the requested ones, or fewer if frames are too few."""
        n, k = design.n, self.circle.n_forms
        sizes = {"quartic": k + k * (k + 1) // 2, "quadratic": k}
        affordable = [name for name in sizes if n >= directions_for(sizes[name])]
        wanted: Any = self._control
        if wanted == "auto":
            if min(self.circle.dim, self.circle.n_points) > _CHEAP * n:
                affordable = affordable[-1:]
            wanted = None if design.kind == "array" else next(iter(affordable), None)
        name = wanted if wanted in affordable else next(iter(affordable), None)
        if wanted is None:
            name = None
        used = "none" if name is None else repr(name)
        message = f"control_variate={wanted!r} needs more than {n} projections: using {used}"
        self._warning = message if name != wanted else None
        if name is not None and name not in self._made:
            self._made[name] = _controls(name, self.circle)
        return None if name is None else self._made[name]

    def draw(self, design: Any, known: Draws | None = None) -> Draws:
        """Costs and controls at the frames of a design."""
        controls, d = self.controls(design), self.circle.dim
        step = max(_CHUNK_NUMBERS // (2 * d * design.block), 1) * design.block
        drawn = [
            self.circle.with_forms(design.rows(start, min(start + step, design.n)))
            for start in range(0, design.n, step)
        ]
        f, forms = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        columns = Columns(np.empty((len(f), 0)), np.empty(0))
        if controls is not None:
            columns = controls.evaluate(forms)
        return Draws(controls, f, columns.centered, columns.sizes, np.empty((2, 0)))


def _controls(name: str, circle: _CircleCosts) -> Controls:
    """The controls of a family: functions of the forms (L, k) at some frames."""
    means = circle.form_means()
    scales = np.array([1.0 / mean if mean > 0.0 else 0.0 for mean in means])
    pairs: list[tuple[int, int]] = []
    exact = np.sign(means)  # of the forms over their means
    if name == "quartic":
        pairs = list(combinations_with_replacement(range(len(means)), 2))
        products = circle.product_means() * np.outer(scales, scales)
        exact = np.concatenate([exact, [products[pair] for pair in pairs]])

    def evaluate(forms: Array) -> Columns:
        forms = forms * scales
        columns = [forms, *(forms[:, [i]] * forms[:, [j]] for i, j in pairs)]
        return Columns(np.concatenate(columns, axis=1) - exact, np.ones(len(exact)))

    units = np.concatenate([scales, [scales[i] * scales[j] for i, j in pairs]])
    zeros = np.zeros(len(exact))
    return Controls(name, len(exact), evaluate, units, zeros, zeros)


def _from_uniform(u: Array, levels: NDArray[np.int64], p: float, out: Array) -> None:
    """W_p^p between sorted rows (R, n), in turns, and the uniform law of the circle.

    At p = 2, with masses a and their mid-levels M, it is Var u + sum a u (1 - 2 M) + 1/12.
    """
    if p != 2.0:
        circle_uniform(u, levels, p, out)
        return
    after = levels * UNIT
    mass = np.diff(after, prepend=0.0, axis=1)
    mean = (mass * u).sum(axis=1, keepdims=True)
    u = u - mean  # a full turn of the circle: the cost does not change
    middle = after - 0.5 * mass
    out[:] = (mass * u * (u + 1.0 - 2.0 * middle)).sum(axis=1) + 1.0 / 12.0
    np.maximum(out, 0.0, out=out)
