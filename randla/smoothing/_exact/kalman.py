"""Exact smoothing of linear Gaussian models."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from randla._typing import Array
from randla._validation import as_choice, read_only
from randla.smoothing._exact.records import Backward, Past, Start, Work
from randla.smoothing._kernels.exact import diffuse, kalman as kernels
from randla.smoothing._kernels.exact.disturbances import smooth_means
from randla.smoothing._kernels.exact.kalman_score import gradient
from randla.smoothing._model.additive_functional import NAMES
from randla.smoothing._model.plot import plot_band
from randla.smoothing._model.series import as_inputs
from randla.smoothing._model.several import (
    SeriesResult,
    over_series,
    stacked,
    total,
)
from randla.smoothing._models.linear_blocks import Gradients, System, is_regular, with_variance
from randla.smoothing._models.linear_gaussian import LinearGaussian

Functional = Literal["state", "square", "lag_product", "score"]

# Error of a diffuse direction, relative to that from the most informative observation alone, above
# which it is undetermined; where some observations are much more certain than others.
_UNDETERMINED, _RATHER_CERTAIN = 1e10, 1e8
NORMAL_95 = 1.6449  # quantile of a 90% band


@dataclass(frozen=True, eq=False, repr=False)
class KalmanSmootherResult(SeriesResult):
    """Exact smoothed moments of a linear Gaussian model: the result of `kalman_smoother`.

    For T times and states of d components.

    Attributes
    ----------
    mean : (T, d) ndarray
        Smoothed means, E[x_t | y].
    covariance : (T, d, d) ndarray
        Smoothed covariances, Cov(x_t | y).
    lag_covariance : (T - 1, d, d) ndarray
        Cov(x_t, x_{t+1} | y); row i belongs to component i of x_t.
    log_likelihood : float
        log p(y), over the observed entries of y.
    series : tuple of KalmanSmootherResult
        The results of several series, of which this is the total, with their times one below the
        other; empty for one series.
    """

    mean: Array
    covariance: Array
    lag_covariance: Array
    log_likelihood: float
    # For the score; y (T, k).
    _model: LinearGaussian = field(repr=False)
    _y: Array = field(repr=False)

    _shown: ClassVar[tuple[str, ...]] = ("mean", "covariance", "lag_covariance", "log_likelihood")

    _combine: ClassVar[Any] = {
        **dict.fromkeys(("mean", "covariance", "lag_covariance"), stacked),
        "log_likelihood": total,
    }

    def plot(self, ax: Any = None) -> Any:
        """Plot the smoothed means with 90% bands (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        half = NORMAL_95 * np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        return plot_band(ax, self.mean, self.mean - half, self.mean + half)

    def expectation(self, functional: Functional) -> Array:
        """Exact smoothed expectation of an additive functional, given by name.

        Parameters
        ----------
        functional : {"state", "square", "lag_product", "score"}
            The sum over t of x_t, of x_t squared or of x_t x_{t+1} (elementwise), or the gradient
            of the log-likelihood in the parameters ``model.names``.

        Returns
        -------
        (d,) ndarray, or (number of parameters,) ndarray for "score"
        """
        name = as_choice(functional, "functional", NAMES)
        if self.series:
            return total([result.expectation(name) for result in self.series])
        if name == "score":
            return linear_gaussian_score(self._model, self._y)[1]
        if name == "state":
            return self.mean.sum(0)
        # E x_i^2 = (E x_i)^2 + Var x_i, and likewise for x_t and x_{t+1}.
        if name == "square":
            return (self.mean**2 + np.einsum("tii->ti", self.covariance)).sum(0)
        products = self.mean[:-1] * self.mean[1:]
        return (products + np.einsum("tii->ti", self.lag_covariance)).sum(0)


@over_series
def kalman_smoother(
    model: LinearGaussian, y: ArrayLike, *, inputs: None = None
) -> KalmanSmootherResult:
    r"""Exact smoothing in a linear Gaussian state-space model.

    For a `LinearGaussian` model the law of the states given all of y is Gaussian; its moments are
    computed by a forward and a backward pass over factors of the covariances (array algorithms by
    orthogonal reflections [1]_ [2]_). No covariance is ever subtracted, so a nearly diffuse start
    (variance 1e7 to 1e12) keeps at least 8 digits, and Q, R and P_0 may be singular as long as each
    observation has a density given the earlier ones.

    An exactly diffuse start loses no accuracy: the filter runs given :math:`\delta`, and a least
    squares problem for :math:`\delta` grows along with it [3]_. Rows of y may then be noise-free,
    too, if they determine :math:`\delta`.

    Parameters
    ----------
    model : LinearGaussian
        The model, of d states and k observations per time.
    y : (T,) or (T, k) array_like, or a list of arrays
        Observations. NaN entries are missing: a row may be observed wholly, partly or not at all.
        For several independent series (arrays in a list or tuple) the log-likelihoods and
        expectations add up, and `series` of the result has each one.
    inputs : None
        Must be None, as the functions of these models have no argument `u`.

    Returns
    -------
    KalmanSmootherResult
        ``mean``, ``covariance``, ``lag_covariance``, ``log_likelihood``, ``expectation(name)``.

    Raises
    ------
    TypeError, ValueError
        If `model` is not a LinearGaussian, `y` has the wrong shape or number of times, is empty or
        has inf, if an observation has no density given the earlier ones (the message names its
        time), or if y does not determine a direction of a diffuse start (the message names its
        columns).

    See Also
    --------
    hmm_smoother : the same for finitely many states.
    ppg : smoothing by particles, for any model.

    Notes
    -----
    :math:`O(T (d + k)^3)` operations; memory is that of the result.

    With a diffuse start `log_likelihood` is the logarithm of the integral of the density of y over
    :math:`\delta \in R^q`: of K observed numbers K - q are counted, each with its
    :math:`-\frac12 \log 2 \pi`. This agrees with published values for the flow of the Nile
    (-632.55); statsmodels' ``use_exact_diffuse`` counts all K, so that its value is lower by
    :math:`\frac q2 \log 2 \pi`, for all parameters. As an integral it depends on the unit of
    :math:`\delta`, so only models with the same `diffuse` can be compared.

    Rows of NaN after the data give forecasts: their means and covariances are those of the future
    states.

    References
    ----------
    .. [1] Kaminski, Bryson and Schmidt, "Discrete square root filtering: a survey of current
       techniques", IEEE Trans. Automat. Control 16 (1971), 727-736.
    .. [2] Park and Kailath, "Square-root Bryson-Frazier smoothing algorithms", IEEE Trans.
       Automat. Control 40 (1995), 761-766.
    .. [3] de Jong, "The diffuse Kalman filter", Ann. Statist. 19 (1991), 1073-1083.

    Examples
    --------
    The flow of the Nile as a random walk observed with noise, with unknown initial level:

    >>> from randla import LinearGaussian, datasets, kalman_smoother
    >>> model = LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 0.0, 0.0, diffuse=True)
    >>> result = kalman_smoother(model, datasets.nile())
    >>> round(result.log_likelihood, 4)
    -632.5456
    >>> result.mean.shape, result.lag_covariance.shape
    ((100, 1), (99, 1, 1))
    """
    if not isinstance(model, LinearGaussian):
        raise TypeError(f"model must be a LinearGaussian, got {type(model).__name__}")
    as_inputs(inputs, False)
    rows = model._as_rows(y)
    n, d = len(rows), len(model.initial_mean)
    mean, covariance, lag = np.empty((n, d)), np.empty((n, d, d)), np.empty((n - 1, d, d))
    keep = not is_regular(model._system.R_root)
    found = _run_filter(model, rows, smoothing=(mean, lag, covariance), keep=keep)
    value, system, work, _, columns, _ = found
    smoothed = _smooth_means(found)
    kernels.smooth(system.A, system.c, work, mean, covariance, lag)
    mean = mean if smoothed is None else smoothed
    if columns.size:
        diffuse.add_products(columns, covariance, lag)
    return KalmanSmootherResult(mean, covariance, lag, value, model, rows)


def _smooth_means(found: "_Filtered") -> Array | None:
    """Smooth the columns of a diffuse start, and the mean if the regression may lose digits."""
    _, system, work, past, columns, E = found
    if is_regular(system.R_root):
        if columns.size:
            diffuse.smooth_columns(system, past.G, columns, work.floor)
        return None
    d = past.mean.shape[1]
    mean, lines = past.mean[:, None].copy(), np.empty((6, d))
    smooth_means(system, system.c, past, mean, past.e[:, None], lines)
    if columns.size:
        smooth_means(system, read_only(np.zeros((1, d))), past, columns, E, lines)
    return np.ascontiguousarray(mean[:, 0])


class _Filtered(NamedTuple):
    """The forward pass of a model over y."""

    value: float  # log-likelihood
    system: System
    work: Work
    past: Past
    columns: Array  # (T, q, d), what a diffuse start adds to the roots of the covariances
    E: Array  # (T, q, k), and to the innovations


def _run_filter(
    model: LinearGaussian, rows: Array, *, smoothing: tuple[Array, ...] = (), keep: bool = False
) -> _Filtered:
    """Run the filter; `smoothing` holds arrays for the means, G and C, if these are needed.

    `keep` stores gains and innovations of the filter for the score.
    """
    system, rows = model._system, read_only(rows)  # a flag that pickling loses
    n, (q, d), k = len(rows), system.directions.shape, rows.shape[1]
    columns = np.empty((n if smoothing else 1, q, d))
    E = np.empty((n if keep else 1, q, k))
    keep = keep or q > 0
    mean, G, C = smoothing or (np.empty((1, d)), *np.empty((2, 1, 0, 0)))
    n_roots = n if smoothing and not is_regular(system.R_root) else 1
    past = Past.of(system, mean, G, C, n if keep else 1, n_roots)
    work = Work.of(system)
    value, time = kernels.run_filter(rows, system, work, past, keep)
    if q > 0:
        start = Start.of(system)
        more = diffuse.solve_start(system, past, start, columns, E)
        inflation, is_certain = start.inflation.copy(), time >= 0
        if is_certain or inflation.max() > _RATHER_CERTAIN:
            # Given delta a row is certain, or nearly so next to the others. With a variance of
            # delta, which changes nothing, it is not; one as large as the other rows leave costs
            # no digits.
            variances = _natural_variances(start, _UNDETERMINED if is_certain else 1e20)
            system = with_variance(system, variances)
            work = Work.of(system)
            value, time = kernels.run_filter(rows, system, work, past, keep)
            more = diffuse.solve_start(system, past, start, columns, E)
            if time < 0:
                inflation = start.inflation
        value += more
        unknown = np.flatnonzero(~(inflation <= _UNDETERMINED))
        if unknown.size and (time < 0 or not is_certain):
            raise ValueError(
                "diffuse must have directions that y determines, but the observations leave open "
                f"some combination of {model._diffuse_names(unknown.tolist())}: give that one a "
                "variance in initial_cov or leave it out, or give more observations"
            )
    _require_density(value, time)
    return _Filtered(value, system, work, past, columns, E)


def _natural_variances(start: Start, limit: float) -> Array:
    """Variances of delta given y, or from the most informative row if its error is inflated."""
    largest = np.where(start.largest > 0.0, start.largest, 1.0)
    inflation = np.where(start.inflation < limit, start.inflation, 1.0)
    return np.asarray((inflation / largest) ** 2)


def _require_density(value: float, time: int) -> None:
    if time >= 0:  # the kernel returns the time
        raise ValueError(
            f"y has no density at time {time}: given the earlier observations some combination "
            "of its entries is certain. Give these a positive variance in observation_cov"
        )
    if not math.isfinite(value):
        raise ValueError(f"y must have a finite log-likelihood under the model, got {value}")


def log_likelihood(model: LinearGaussian, rows: Array) -> float:
    """Log p(y) alone, the forward pass without the arrays for smoothing."""
    return _run_filter(model, rows).value


def linear_gaussian_score(model: LinearGaussian, rows: Array) -> tuple[float, Array]:
    """Log-likelihood and its gradient in ``model.theta``, for the rows of y (T, k)."""
    value, gradients = system_score(model, rows)
    return value, model._pull_back(gradients)


def system_score(model: LinearGaussian, rows: Array) -> tuple[float, Gradients]:
    """Log-likelihood and its gradients in A, Q, c, B, R, d, m_0 and P_0, summed over the times.

    Those of covariances are symmetric: dl = sum(g * dQ). Singular and zero ones are as any other.
    """
    n, (q, d), k = len(rows), model._system.directions.shape, rows.shape[1]
    smoothing = np.empty((n, d)), np.empty((n, d, d)), np.empty((1, d, d))
    found = _run_filter(model, rows, smoothing=smoothing, keep=True)
    value, system, _, past, columns, E = found
    gradients, work = Gradients.zeros(d, k), Backward.zeros(d, k)
    means = _smooth_means(found)
    if means is not None:
        past = past._replace(mean=means)
    gradient(system, past, work, gradients, means is not None)
    if q > 0:
        rs = np.zeros((q, d))
        diffuse.add_gradient(system, past, columns, E, rs, work.rho, work.u, gradients)
    return value, gradients
