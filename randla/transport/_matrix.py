"""All pairs of several clouds, each projected and sorted once for each direction."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._parallel import progress_bar, showing_progress
from randla._random import draw_key
from randla._typing import Array
from randla._validation import as_array, as_count, as_flag, as_number, as_points
from randla.transport._clouds import (
    FEW_COORDINATES,
    Clouds,
    Source,
    as_weights_or_none,
    prepare,
)
from randla.transport._controls.choice import HARMFUL, ControlVariate, as_control, auto_family
from randla.transport._controls.control_variates import (
    Controls,
    directions_for,
    make_controls,
    needed_projections,
)
from randla.transport._controls.regression import fit_or_mean
from randla.transport._directions.designs import Design, as_design
from randla.transport._projections.pair_costs import PairCosts
from randla.transport._projections.projector import SAFE_POWER
from randla.transport._result import DirectionsResult, Drawn, MeanCost

_ROUND_COSTS = 1 << 21  # costs held at a time without controls: 16 MiB


@dataclass(frozen=True, eq=False, repr=False)
class SlicedWassersteinMatrix(Drawn, DirectionsResult):
    """Sliced Wasserstein distances of all pairs of K clouds, on common directions.

    The result of `sliced_wasserstein_matrix`. The errors are those of the random directions, given
    the clouds; as all pairs share the directions, their errors are dependent.

    Attributes
    ----------
    values : (K, K) ndarray
        :math:`SW_p`, symmetric, zero on the diagonal.
    standard_errors : (K, K) ndarray or None
        Standard errors of `values`, to first order; inf if controls made a power negative (see
        `power_standard_errors`). None for directions given as an array.
    powers : (K, K) ndarray
        :math:`SW_p^p`. Without control variates ``-powers`` is conditionally positive definite at p
        = 1 and 2, so that ``exp(-c * powers)`` is a kernel.
    power_standard_errors : (K, K) ndarray or None
        Standard errors of `powers`.
    degrees_of_freedom : float or None
        Least degrees of freedom of the errors of all pairs. Each interval uses those of its pair.
    n_projections : int
        Number of directions used: as requested, rounded up to whole blocks of the design.
    control_variate : str or None
        The family that was used.
    directions : str
        "iid", "orthogonal", "rqmc", "array", or "exact" in one dimension.
    """

    values: Array
    standard_errors: Array | None
    powers: Array
    power_standard_errors: Array | None
    degrees_of_freedom: float | None
    n_projections: int
    control_variate: str | None
    directions: str
    _cost: MeanCost  # of the pairs i < j
    _design: Design

    def _interval(self, level: float) -> tuple[Array, Array]:
        low, high = self._cost.interval(level)
        return _symmetric(len(self.values), low), _symmetric(len(self.values), high)


def sliced_wasserstein_matrix(
    clouds: Sequence[ArrayLike],
    weights: Sequence[ArrayLike | None] | None = None,
    *,
    p: float = 2,
    n_projections: int | None = None,
    control_variate: ControlVariate = None,
    directions: Literal["iid", "orthogonal", "rqmc", "auto"] | ArrayLike = "auto",
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinMatrix:
    r"""Estimate the sliced Wasserstein distances between all pairs of several clouds.

    Each cloud is projected and sorted once for each direction, K sorts instead of K (K - 1), and
    all pairs use the same directions. So at p = 2 the matrix of squares, a mean of squared
    distances between quantile functions, is conditionally negative definite for any number of
    directions, and kernels made from it are positive definite [1]_. Control variates are applied to
    each pair separately: they remove most of the error, but this property then holds only
    approximately.

    Parameters
    ----------
    clouds : sequence of K (n_k, d) array_like
        Sizes may differ. A matrix is K clouds of numbers, one a row.
    weights : sequence of K (n_k,) array_like or None, optional
        Non-negative weights of each cloud, scaled to sum 1; None means uniform.
    p : float, default 2
        Order, from 1 to 16.
    n_projections : int, optional
        Number of directions, at least 2; by default 256, or 8 d if that is more, but at most 1024.
        Designs with blocks round it up.
    control_variate : str, pair or None, default None
        As for `sliced_wasserstein`, where "auto" is the default; its documentation lists how many
        directions each family needs. Too few directions for a family given by name are an error
        here. A pair of a function and its means is used for all pairs of clouds. "auto" is one
        family for all pairs; a pair whose plain mean has less than half the error uses the plain
        mean.
    directions : str or (L, d) array_like, default "auto"
        As for `sliced_wasserstein`. "auto" is "rqmc" for d = 2, and for d = 3 from 64 directions,
        otherwise "orthogonal"; below 16 directions "iid".
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same numbers for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinMatrix
        `values` and `standard_errors`, (K, K).

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    See Also
    --------
    sliced_wasserstein : one pair.

    Notes
    -----
    The work is O(L (N d + N log N + K N)) for N points in all. Memory beyond the input is a few
    rows of N numbers for each thread, 16 MiB (with control variates 4 L K^2 bytes, and 8 K d^2 for
    the covariances that "quartic", "bures" and "full" need; with fewer points than dimensions 8 (n
    + m)^2 and 8 (n + m) d instead), and in up to 64 dimensions a centered copy of the clouds.

    References
    ----------
    .. [1] Kolouri, Zou and Rohde, "Sliced Wasserstein kernels for probability distributions",
       CVPR (2016), 5258-5267.

    Examples
    --------
    >>> import numpy as np
    >>> from randla import sliced_wasserstein_matrix
    >>> rng = np.random.default_rng(0)
    >>> clouds = [rng.standard_normal((100, 2)) + [shift, 0.0] for shift in (0.0, 0.0, 3.0)]
    >>> sliced_wasserstein_matrix(clouds, rng=0).values.round(1)
    array([[0. , 0.2, 2.1],
           [0.2, 0. , 2.2],
           [2.1, 2.2, 0. ]])
    """
    points = as_clouds(clouds)
    p = as_number(p, "p", low=1.0, high=SAFE_POWER)
    d = points[0].shape[1]
    control = as_control(control_variate)
    key, progress = draw_key(rng), as_flag(progress, "progress")
    n = None if n_projections is None else as_count(n_projections, "n_projections", minimum=1)
    design = as_design(directions, d, n, key)
    masses = _as_weight_list(weights, points)
    sources = [Source(x, w) for x, w in zip(points, masses, strict=True)]
    common = prepare(sources)
    pairs = PairCosts(common, p)
    limit, n_pairs = math.inf, math.comb(len(points), 2)
    if d == 1 or not n_pairs:
        control = None
    elif control == "auto":
        limit = HARMFUL
        control = auto_family(design, p, pairs.seconds, pairs.n_points, n_pairs)
    elif control is not None:
        _check_projections(design, control, p)
    K = len(points)
    tables, exponents = np.zeros((3, K, K)), np.zeros((K, K), int)

    def fill(members: NDArray[np.intp], common: Clouds, pairs: PairCosts) -> None:
        """Enter means, errors and degrees of freedom, and the units of length of the means."""
        if pairs.pairs:
            which = tuple(members[np.array(pairs.pairs).T])
            exponents[which] = common.exponent  # groups have different units
            if control is None:
                tables[:, *which] = _plain(pairs, design)
            else:
                tables[:, *which] = _controlled(pairs, design, control, limit, progress)
        for group in pairs.groups:
            inner = members[group]  # pairs that are small compared with all
            own = prepare([sources[k] for k in inner])
            fill(inner, own, PairCosts(own, p))

    with showing_progress("sliced_wasserstein_matrix", progress):
        fill(np.arange(K), common, pairs)
    upper = np.triu_indices(K, 1)
    is_exact, is_given = d == 1, design.kind == "array" and d > 1
    means, errors, freedom = tables[:, *upper]
    freedom = np.full_like(means, math.inf) if is_exact else freedom  # no error on the line
    cost = MeanCost.of(means, None if is_given else errors, freedom, p, exponents[upper])
    return SlicedWassersteinMatrix(
        values=_symmetric(K, cost.value),
        standard_errors=None if is_given else _symmetric(K, cost.value_error),
        powers=_symmetric(K, cost.powers(means)),
        power_standard_errors=None if is_given else _symmetric(K, cost.powers(errors)),
        degrees_of_freedom=None if is_given else float(freedom.min(initial=math.inf)),
        n_projections=design.n,
        control_variate=control.name if isinstance(control, Controls) else control,
        directions="exact" if is_exact else design.kind,
        _cost=cost,
        _design=design,
    )


def _check_projections(design: Design, control: str | Controls, p: float) -> None:
    if isinstance(control, Controls):
        name, needed = "a pair", directions_for(control.k)
    else:
        name, needed = repr(control), needed_projections(control, design.dim, p)
    if design.n < needed:
        raise ValueError(
            f"n_projections must be at least {needed} for control_variate={name}, got {design.n}"
        )


def as_clouds(clouds: Any) -> list[NDArray[Any]]:
    """Validate a sequence of clouds of one dimension."""
    if isinstance(clouds, (str, bytes, Mapping, Set)) or not hasattr(clouds, "__len__"):
        raise TypeError(f"clouds must be a sequence of clouds, got {type(clouds).__name__}")
    if not len(clouds):
        raise ValueError("clouds must hold at least one cloud, got none")
    if len(getattr(clouds, "shape", ())) == 2:  # a matrix or a table, whose entries may be columns
        clouds = as_array(clouds, "clouds")
    clouds = list(clouds)
    first = as_points(clouds[0], "clouds[0]")
    others = [
        as_points(cloud, f"clouds[{k}]", dim=first.shape[1], of="clouds[0]")
        for k, cloud in enumerate(clouds[1:], 1)
    ]
    return [first, *others]


def _as_weight_list(weights: Any, points: list[NDArray[Any]]) -> list[NDArray[Any] | None]:
    if weights is None:
        return [None] * len(points)
    if isinstance(weights, (str, bytes, Mapping)) or not hasattr(weights, "__len__"):
        raise TypeError(
            f"weights must be a sequence of weights or None, got {type(weights).__name__}"
        )
    if len(weights) != len(points):
        raise ValueError(
            f"weights must have one entry for each of the {len(points)} clouds, got {len(weights)}"
        )
    pairs = enumerate(zip(weights, points, strict=True))
    return [as_weights_or_none(w, x, f"weights[{k}]", f"clouds[{k}]") for k, (w, x) in pairs]


def _plain(pairs: PairCosts, design: Design) -> tuple[Array, Array, Array]:
    """Means of the costs of all pairs and their errors over blocks, without controls."""
    L, block, n_pairs = design.n, design.block, len(pairs.pairs)
    numbers = max(n_pairs, pairs.items[0].dim)  # stored for each direction
    step = max(_ROUND_COSTS // (numbers * block), 1) * block
    pilot: Array | None = None
    total, square = np.zeros(n_pairs), np.zeros(n_pairs)
    for first in range(0, L, step):
        theta = design.rows(first, min(first + step, L))
        f = pairs(theta).reshape(len(theta) // block, block, n_pairs)  # blocks of directions
        means = f.mean(axis=1)  # (blocks, P)
        if pilot is None:
            pilot, units = means[0].copy(), np.ldexp(1.0, np.frexp(means.max(axis=0))[1])
        means = (means - pilot) / units  # squares of costs may vanish
        total += means.sum(axis=0)
        square += np.einsum("bp,bp->p", means, means)  # squares of costs less the first block's
    M = L // block  # independent blocks
    assert pilot is not None
    errors = np.zeros(n_pairs)
    if M > 1:
        errors = np.sqrt(np.maximum(square - total * total / M, 0.0) / (M - 1) / M)  # of means of M
    return pilot + units * (total / M), units * errors, np.full(n_pairs, M - 1.0)


def _controlled(
    pairs: PairCosts, design: Design, control: str | Controls, limit: float, progress: bool
) -> tuple[Array, Array, Array]:
    """Means of the costs of all pairs by regression on controls, pair by pair."""
    theta = design.rows(0, design.n)
    variances = np.empty((len(pairs.items), len(theta)))
    f = pairs(theta, variances if pairs.items[0].dim > FEW_COORDINATES else None)
    means, errors, freedom = np.empty((3, len(pairs.pairs)))
    if isinstance(control, Controls):
        controls, columns = control, control.evaluate(theta)
    with progress_bar(len(pairs.pairs), progress, "controls") as bar:
        for column, (i, j) in enumerate(pairs.pairs):
            if isinstance(control, str):
                controls = make_controls(control, pairs.items[i], pairs.items[j], pairs.p)
                columns = controls.evaluate(theta, variances[[i, j]])
            fitted, _ = fit_or_mean(
                np.ascontiguousarray(f[:, column]),
                columns.centered,
                columns.sizes,
                controls.mean_errors,
                limit=limit,
                block=design.block,
                family=controls.name,
            )
            means[column], errors[column] = fitted.estimate, fitted.standard_error
            freedom[column] = fitted.degrees_of_freedom
            bar(column + 1)
    return means, errors, freedom


def _symmetric(K: int, upper: Array) -> Array:
    out = np.zeros((K, K))
    out[np.triu_indices(K, 1)] = upper
    return out + out.T  # the diagonal is zero
