"""Exact smoothing of linear Gaussian models."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from randla._typing import Array
from randla._validation import as_choice, read_only
from randla.smoothing._kernels.exact import kalman as kernels
from randla.smoothing._kernels.exact.kalman_score import likelihood_gradient
from randla.smoothing._model.additive_functional import NAMES
from randla.smoothing._model.plot import plot_band
from randla.smoothing._model.several import (
    SeriesResult,
    over_series,
    stacked,
    total,
)
from randla.smoothing._models.linear_blocks import System, with_variance
from randla.smoothing._models.linear_gaussian import LinearGaussian

Functional = Literal["state", "square", "lag_product", "score"]

_UNDETERMINED = 1e10  # error of a diffuse direction, over that with all others known
NORMAL_95 = 1.6449  # quantile of a band of 90 %


@dataclass(frozen=True, eq=False, repr=False)
class KalmanSmootherResult(SeriesResult):
    """What `kalman_smoother` returns; T times, state dimension d.

    Attributes
    ----------
    mean : (T, d) ndarray
        E[x_t | y].
    covariance : (T, d, d) ndarray
        Cov(x_t | y).
    lag_covariance : (T - 1, d, d) ndarray
        Cov(x_t, x_{t+1} | y); row i belongs to component i of x_t.
    log_likelihood : float
        log p(y), over the observed entries of y.
    series : tuple of KalmanSmootherResult
        The results of several series, of which this is the total, with their times one below
        another; empty for one series.
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
        """Draw the smoothed means with bands of 90 % (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

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
def kalman_smoother(model: LinearGaussian, y: ArrayLike) -> KalmanSmootherResult:
    r"""Exact smoothing in a linear Gaussian state-space model.

    For :math:`x_{t+1} = A x_t + Q^{1/2} \varepsilon_t`, :math:`y_t = B x_t + R^{1/2} \eta_t` and
    :math:`x_0 \sim N(m_0, P_0)` the law of the states given all of y is Gaussian; its moments
    come from a forward and a backward pass over factors of the covariances (array algorithms by
    orthogonal reflections [1]_ [2]_). No covariance is ever subtracted, so a nearly diffuse start
    (variance 1e7 to 1e12) keeps at least 8 digits, and Q, R and P_0 may be singular as long as
    each observation has a density given the earlier ones.

    Parameters
    ----------
    model : LinearGaussian
    y : (T,) or (T, k) array_like, or a list of arrays
        Observations. NaN entries are missing: a row may be observed wholly, partly or not at all.
        Of several independent series (arrays in a list or tuple) the log-likelihoods and
        expectations add up, and `series` of the result has each.

    Returns
    -------
    KalmanSmootherResult
        ``mean``, ``covariance``, ``lag_covariance``, ``log_likelihood``, ``expectation(name)``.

    Raises
    ------
    TypeError, ValueError
        If `model` is no LinearGaussian, `y` has the wrong shape, is empty or has inf, or if an
        observation has no density given the earlier ones (its time is named).

    See Also
    --------
    hmm_smoother : the same for finitely many states.
    ppg : smoothing by particles, for any model.

    Notes
    -----
    :math:`O(T (d + k)^3)` operations; memory is that of the result.

    References
    ----------
    .. [1] Kaminski, Bryson and Schmidt, "Discrete square root filtering: a survey of current
       techniques", IEEE Trans. Automat. Control 16 (1971), 727-736.
    .. [2] Park and Kailath, "Square-root Bryson-Frazier smoothing algorithms", IEEE Trans.
       Automat. Control 40 (1995).

    Examples
    --------
    The flow of the Nile as a random walk observed with noise; the level starts nearly diffuse.

    >>> from randla import LinearGaussian, datasets, kalman_smoother
    >>> model = LinearGaussian(1.0, 1469.1, 1.0, 15099.0, 0.0, 1e7)
    >>> result = kalman_smoother(model, datasets.nile())
    >>> round(result.log_likelihood, 2)
    -641.59
    >>> result.mean.shape, result.lag_covariance.shape
    ((100, 1), (99, 1, 1))
    """
    if not isinstance(model, LinearGaussian):
        raise TypeError(f"model must be a LinearGaussian, got {type(model).__name__}")
    rows = model._as_rows(y)
    d = len(model.initial_mean)
    covariance = np.empty((len(rows), d, d))
    lag_covariance = np.empty((len(rows) - 1, d, d))
    means = np.empty((len(rows), *model._system.means.shape))
    value = _run(kernels.smooth, rows, model, means, covariance, lag_covariance)
    mean = np.ascontiguousarray(means[:, 0])
    return KalmanSmootherResult(mean, covariance, lag_covariance, value, model, rows)


class Start(NamedTuple):
    """What the kernels keep of the flat start (`_kernels.exact.diffuse`)."""

    triangle: Array  # (q + 1, q + 1)
    largest: Array  # (q,), entry of each column of E
    row: Array  # (q + 1,), work
    delta: Array  # (q,)
    inverse: Array  # (q, q)
    inflation: Array  # (q,)


def _run(kernel: Any, rows: Array, model: LinearGaussian, *out: Array) -> float:
    """Log-likelihood by one of the kernels, which fills `out`."""
    # A pickled model has lost this flag, and kernels are compiled for it.
    system, rows = System(*map(read_only, model._system)), read_only(rows)
    q = len(system.means) - 1
    sizes = ((q + 1, q + 1), q, q + 1, q, (q, q), q)
    start = Start(*(np.zeros(size) for size in sizes))
    value, time = kernel(rows, system, start, *out)
    if time >= 0 and q > 0:
        # Given delta a row is certain. With a variance of delta, which changes nothing, it is not;
        # as large as the variance that the other rows leave, it costs no digits.
        largest = np.where(start.largest > 0.0, start.largest, 1.0)
        value, time = kernel(rows, with_variance(system, largest**-2.0), start, *out)
    _require_density(value, time)
    unknown = np.flatnonzero(start.inflation > _UNDETERMINED)
    if unknown.size:
        raise ValueError(
            "diffuse must have directions that y determines, but the observations say nothing "
            f"about some combination of its columns {unknown.tolist()}: give that one a variance "
            "in initial_cov, or more observations"
        )
    return value


def log_likelihood(model: LinearGaussian, rows: Array) -> float:
    """Log p(y) alone, the forward pass without what smoothing needs."""
    return _run(kernels.log_likelihood, rows, model)


def _require_density(value: float, time: int) -> None:
    if time >= 0:  # the kernel names the time
        raise ValueError(
            f"y has no density at time {time}: given the earlier observations some combination "
            "of its entries is certain. Give these a positive variance in observation_cov"
        )
    if not np.isfinite(value):
        raise ValueError(f"y must have a finite log-likelihood under the model, got {value}")


def linear_gaussian_score(model: LinearGaussian, rows: Array) -> tuple[float, Array]:
    """Log-likelihood and its gradient in ``model.theta``, for the rows of y (T, k)."""
    value, gradients = system_score(model, rows)
    return value, model._pull_back(gradients)


def system_score(model: LinearGaussian, rows: Array) -> tuple[float, System]:
    """Log-likelihood and its gradients in A, Q, c, B, R, d, m_0 and P_0, summed over the times.

    Those of covariances are symmetric: dl = sum(g * dQ). Singular and zero ones are as any other.
    """
    k, d = model.observation_matrix.shape[-2:]
    shapes = ((d, d), (d, d), (d,), (k, d), (k, k), (k,), (d,), (d, d))
    gradients = System(*(np.empty(shape) for shape in shapes))
    return _run(likelihood_gradient, rows, model, *gradients), gradients
