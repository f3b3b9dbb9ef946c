"""The sliced Wasserstein distance, with its error and with most of its variance removed."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._parallel import showing_progress
from randla._random import draw_key
from randla._validation import are_in_memory, as_choice, as_count, as_flag, as_number
from randla.transport._clouds import as_pair
from randla.transport._controls.choice import ControlVariate, as_control
from randla.transport._directions.designs import Design, as_directions, choose_design
from randla.transport._estimation import SlicedEstimator, Tolerance
from randla.transport._population import projections_for, require_samples, with_population
from randla.transport._projections.costs import PairOfClouds, ProjectedCosts
from randla.transport._projections.projector import MAX_POWER
from randla.transport._result import SlicedWassersteinResult

_DEFAULT_PROJECTIONS = 256


def sliced_wasserstein(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_projections: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_projections: int = 65536,
    control_variate: ControlVariate = "auto",
    directions: Literal["iid", "orthogonal", "rqmc", "auto"] | ArrayLike = "auto",
    cross_fit: bool | None = None,
    population: bool = False,
    rng: Any = None,
    progress: bool = False,
) -> SlicedWassersteinResult:
    r"""Estimate the sliced Wasserstein distance of two weighted clouds, with a standard error.

    .. math::

        SW_p^p = E f(\theta), \qquad f(\theta) = W_p^p(\theta_\# \mu, \theta_\# \nu)
        = \int_0^1 |F_\theta^{-1}(t) - G_\theta^{-1}(t)|^p dt,

    for a direction :math:`\theta` uniform on the unit sphere, where the measures
    :math:`\mu = \sum_i a_i \delta_{x_i}` and :math:`\nu = \sum_j b_j \delta_{y_j}` are projected to
    :math:`\theta^T x`. The one-dimensional costs f are exact. Their mean is estimated by least
    squares on control variates, functions of :math:`\theta` of known mean, which remove most of the
    variance; the intercept is the estimate, and the error is computed from residuals with the
    direction (or the block of dependent directions) left out.

    Parameters
    ----------
    X : (n, d) array_like or Dask array
        Points of the first cloud, one a row; 1-D input is n points on a line. If both clouds are
        float32, they are projected and sorted in float32.
    Y : (m, d) array_like or Dask array
        Points of the second cloud.
    a, b : (n,) and (m,) array_like, optional
        Non-negative weights, scaled to sum 1; weights below 1e-19 of the sum count as zero. Uniform
        by default.
    p : float, default 2
        Order, at least 1 (at most 1000).
    n_projections : int, optional
        Number of directions, at least 2; 256 by default, and the initial number if there is a
        tolerance. Designs with blocks round it up.
    rtol, atol : float, optional
        Draw directions until half of the 95% confidence interval of `value` is at most
        ``max(atol, rtol * value)``. The number grows by half or more at a time, so that the rule is
        checked only a few times; still, an interval after stopping does not have exactly 95%
        coverage.
    max_projections : int, default 65536
        Maximum number of directions if the tolerances are not met (rounded up to whole blocks).
    control_variate : str, pair or None, default "auto"
        With :math:`\Delta` the difference of the means, :math:`S_1, S_2` the covariances,
        :math:`l = (\theta^T \Delta)^2` and :math:`q_k = \theta^T S_k \theta`:

        - None: the plain mean;
        - "lower" (l) and "upper" (:math:`l + q_1 + q_2`): the controls of [1]_, with its
          coefficient (least squares if the control explains all of f, which leaves no error);
        - "quadratic": :math:`l, q_1, q_2`;
        - "quartic": also :math:`l^2, l q_1, l q_2, q_1^2, q_1 q_2, q_2^2`;
        - "bures": quadratic and :math:`\sqrt{q_1 q_2}`;
        - "full": quartic and :math:`\sqrt{q_1 q_2}`;
        - "harmonics": all monomials of degree 2 (4 if d is 2 or 3) but the last [2]_;
        - a pair: a function of (L, d) directions that returns (L, k) values, and their k exact
          means over the sphere;
        - "auto": "full" from 60 directions if its mean is cheap, "quartic" from 40 ("quadratic"
          above 64 dimensions if the means of its products would take more than half of the time
          of the costs), "quadratic" from 20 (22 if p is not 2), else None. It uses no controls on
          the quasi-random points of the plane, where none are needed, and "bures" on those in
          space; none for p above 5, where f is too heavy-tailed, or if the plain mean has less
          than half of the error with controls.

        The mean of :math:`\sqrt{q_1 q_2}` is known to a relative 1e-9. If that would dominate the
        error, as for clouds that nearly agree, this control gets the coefficient zero.

        For p other than 2, "quadratic" to "full" have :math:`|\theta^T \Delta|^p` as last control.
        k controls need 3 k + 10 directions ("harmonics" 5 k, if that is more), a single one 4; with
        fewer, a smaller family is used, and named in the result (with a warning if the family was
        given by name).
    directions : str or (L, d) array_like, default "auto"
        - "iid": independent, uniform;
        - "orthogonal": frames of d orthogonal directions (smaller if there are fewer than 8 d);
        - "rqmc": eight randomizations of equal angles (d = 2), of Fibonacci points on half a
          sphere (d = 3), of Sobol points (3 < d < 21202; the numbers of points are powers of two);
        - "auto": "rqmc" for d = 2 from 16 directions and for d = 3 from 64, otherwise "iid";
        - unit vectors, one a row, within 1e-6. Then there is no standard error, and "auto" means
          no control variate.
    cross_fit : bool, optional
        Estimate the coefficients for each direction (or block) from the others, which makes `power`
        exactly unbiased for controls with exact means that are given by name ("auto" may use the
        costs); otherwise it has a bias of order k / L, visible only for small L. None means True
        for "quadratic" with fewer than 128 directions, where images have that bias, and False
        otherwise.
    population : bool, default False
        Also estimate the distance of the laws from which X and Y are independent samples, with its
        error: see Notes. p must be from 1.5 to 16, and both clouds must have at least 20 points and
        be in memory. `n_projections` is raised to 100 or 2 d, and "auto" directions are frames from
        d = 4 on.
    rng : {None, int, SeedSequence, Generator}, optional
        The same seed gives the same number for any number of threads.
    progress : bool, default False
        Show a progress bar (needs tqdm).

    Returns
    -------
    SlicedWassersteinResult
        `value`, `standard_error`, `power`, `confidence_interval()`, and details of the computation.
        In one dimension the value is exact.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; NaN and inf are refused.

    Warns
    -----
    FewProjectionsWarning
        If `max_projections` do not meet the tolerances, or a family of control variates or a design
        ("orthogonal" or "rqmc": 16) that was given by name needs more projections.
    PopulationWarning
        If more than a tenth of the sorted projections are ties, or the bias is hard to estimate.

    See Also
    --------
    wasserstein_1d : exact distances on the line.
    sliced_wasserstein_gradient : derivative with respect to the points.
    sliced_wasserstein_matrix : all pairs of several clouds.
    max_sliced_wasserstein : the largest projected distance.

    Notes
    -----
    The work is O(L (n + m) (d + log n)): for each direction two projections and two sorts. Memory
    beyond the input is a few megabytes for each thread (a few rows of n + m numbers if these are
    long), 8 (k + 4) L bytes, and in up to 64 dimensions one centered copy of the clouds. The means
    of "quartic", "bures" and "full" need a few arrays of min(d, n + m)^2 numbers, and of (n + m) d
    if n + m < d; those of the smaller families need O((n + m) d) operations.

    The intervals rest on the normal approximation: from 60 directions the coverage at nominal 95%
    was up to 3.6 points low at p = 1 and 2, and 6 at p = 4. Exceptions are costs whose mean depends
    on a few directions, which a sample may miss: p = 1 for well separated clouds, p = 2 if each
    point of Y lies next to one of X, and p = 8. The documentation (theory, coverage) has the
    tables.

    ``population=True`` is for independent points of continuous laws with slightly more than 2 p
    moments (weights, if any, known beforehand, as in importance sampling). The sample cost is too
    large on average: this bias is estimated from products of spacings of the two samples and
    subtracted on each direction, and the variance over samples comes from the Kantorovich
    potentials of the projections [3]_. It takes about three times the work, and 16 MiB more. At a
    nominal 90% `population_interval` covers in about 90% from d = 8 and 50 points on (82 to 94%
    if clusters differ in their shares of the points), and in 75 to 95% for d = 1 and 2 if data
    are skewed or clustered.

    References
    ----------
    .. [1] Nguyen and Ho, "Sliced Wasserstein estimation with control variates", ICLR (2024),
       arXiv:2305.00402.
    .. [2] Leluc, Dieuleveut, Portier, Segers and Zhuman, "Sliced-Wasserstein estimation with
       spherical harmonics as control variates", ICML (2024), arXiv:2402.01493.
    .. [3] Rodríguez-Vítores, del Barrio and Loubes, "An improved central limit theorem for the
       empirical sliced Wasserstein distance", arXiv:2503.18831 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> from randla import sliced_wasserstein
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.standard_normal((500, 4)), rng.standard_normal((400, 4)) + 1.0
    >>> result = sliced_wasserstein(X, Y, n_projections=100, rng=0)
    >>> low, high = result.confidence_interval()
    >>> print(f"{result.value:.3f} +- {result.standard_error:.0e} ({result.control_variate})")
    1.019 +- 1e-04 (full)
    """
    p = as_number(p, "p", low=1.0, high=MAX_POWER)
    clouds, costs = _open_pair(X, Y, a, b, p)
    cross_fit = None if cross_fit is None else as_flag(cross_fit, "cross_fit")
    progress, population = as_flag(progress, "progress"), as_flag(population, "population")
    if population:
        require_samples(clouds, p)
    drawn = isinstance(directions, str) and clouds.dim > 1
    key = draw_key(rng) if drawn or rng is not None else np.uint64(0)
    tolerance = Tolerance.of(rtol, atol)
    max_projections = as_count(max_projections, "max_projections", minimum=2)
    if n_projections is not None:
        n_projections = as_count(n_projections, "n_projections", minimum=1)
    estimator = SlicedEstimator(clouds, costs, as_control(control_variate), cross_fit)
    design: Design | None = None
    if not isinstance(directions, str):
        design = as_directions(directions, clouds.dim, n_projections)
        if tolerance is not None:
            raise ValueError("rtol and atol need random directions, got directions as an array")
    else:
        kind = as_choice(directions, "directions", ("iid", "orthogonal", "rqmc", "auto"))
        if n_projections == 1 and clouds.dim > 1:
            raise ValueError("n_projections must be at least 2 for a standard error, got 1")
        if population:
            n_projections = projections_for(n_projections or _DEFAULT_PROJECTIONS, clouds.dim)
            kind = "orthogonal" if kind == "auto" and clouds.dim > 3 else kind
        if tolerance is None and clouds.dim > 1:
            n = _DEFAULT_PROJECTIONS if n_projections is None else n_projections
            design = choose_design(kind, clouds.dim, n, key)
    with showing_progress("sliced_wasserstein", progress):
        result = None
        if clouds.dim == 1:
            design = None
        elif tolerance is not None:
            result = estimator.adaptive(kind, n_projections, key, tolerance, max_projections)
            design = result._design
        if population:
            how = as_control(control_variate), cross_fit
            return with_population(clouds, p, *how, design, result)
        if result is None:
            result = estimator.exact() if design is None else estimator.result(design)
        return result


def _open_pair(X: Any, Y: Any, a: Any, b: Any, p: float) -> tuple[Any, PairOfClouds]:
    """Two clouds in common units, in memory or in blocks of a Dask array, and their costs."""
    if not are_in_memory(X, Y):
        from randla.transport import _dask

        x, y, weights = _dask.as_arrays(X, Y, a, b)
        if len(x) + len(y) >= x.shape[1]:
            clouds = _dask.DaskClouds.of(x, y, weights)
            return clouds, _dask.DaskCosts(*clouds.items, p)
        # few points: the moments live in their span
        (X, Y), (a, b) = _dask.compute(x, y), weights
    pair = as_pair(X, Y, a, b)
    return pair, ProjectedCosts(pair.items[0], pair.items[1], p)
