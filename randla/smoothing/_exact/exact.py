"""Exact smoothing where it exists: linear Gaussian models, and finitely many states."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from randla._results import Result
from randla._validation import as_choice, read_only
from randla.smoothing._kernels.exact.hmm import forward_backward
from randla.smoothing._kernels.exact.kalman import smooth
from randla.smoothing._kernels.exact.kalman_score import likelihood_gradient
from randla.smoothing._model.observations import as_rows, as_symbols
from randla.smoothing._model.plot import plot_band, plot_shares

if TYPE_CHECKING:
    from randla.smoothing._models.linear_gaussian import LinearGaussian
    from randla.smoothing._models.ready import DiscreteHMM

FloatArray = NDArray[np.float64]
Functional = Literal["state", "square", "lag_product", "score"]

_FUNCTIONALS = ("state", "square", "lag_product", "score")


@dataclass(frozen=True, eq=False, repr=False)
class KalmanSmootherResult(Result):
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
    """

    mean: FloatArray
    covariance: FloatArray
    lag_covariance: FloatArray
    log_likelihood: float
    _system: tuple[FloatArray, ...] = field(repr=False)
    _kept: tuple[bool, ...] = field(repr=False)
    _y: FloatArray = field(repr=False)

    _shown: ClassVar[tuple[str, ...]] = ("mean", "covariance", "lag_covariance", "log_likelihood")

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
        half = 1.6449 * np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        return plot_band(ax, self.mean, self.mean - half, self.mean + half)

    def expectation(self, functional: Functional) -> FloatArray:
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
        name = as_choice(functional, "functional", _FUNCTIONALS)
        if name == "score":
            return linear_gaussian_score(self._y, self._system, self._kept)[1]
        if name == "state":
            return self.mean.sum(0)
        if name == "square":
            return (self.mean**2 + np.einsum("tii->ti", self.covariance)).sum(0)
        products = self.mean[:-1] * self.mean[1:]
        return (products + np.einsum("tii->ti", self.lag_covariance)).sum(0)


def kalman_smoother(model: "LinearGaussian", y: ArrayLike) -> KalmanSmootherResult:
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
    y : (T,) or (T, k) array_like
        Observations. NaN entries are missing: a row may be observed wholly, partly or not at all.

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
    system = linear_gaussian_system(model)
    d, k = system[0].shape[0], system[2].shape[0]
    observations = as_rows(y, k)
    n_steps = len(observations)
    mean, covariance = np.empty((n_steps, d)), np.empty((n_steps, d, d))
    lag = np.empty((n_steps - 1, d, d))
    value, time = smooth(observations, *system, mean, covariance, lag)
    _require_density(value, time)
    kept = model.are_parameters
    return KalmanSmootherResult(mean, covariance, lag, value, system, kept, observations)


def linear_gaussian_system(model: Any) -> tuple[FloatArray, ...]:
    """A, root of Q, B, root of R, m_0 and root of P_0 of a LinearGaussian model."""
    from randla.smoothing._models.linear_gaussian import LinearGaussian

    if not isinstance(model, LinearGaussian):
        raise TypeError(f"model must be a LinearGaussian, got {type(model).__name__}")
    return model._system


def _require_density(value: float, time: int) -> None:
    if time >= 0:
        raise ValueError(
            f"y has no density at time {time}: given the earlier observations some combination "
            "of its entries is certain. Give these a positive variance in observation_cov"
        )
    if not np.isfinite(value):
        raise ValueError(f"y must have a finite log-likelihood under the model, got {value}")


def linear_gaussian_score(
    y: FloatArray, system: tuple[FloatArray, ...], kept: tuple[bool, ...]
) -> tuple[float, FloatArray]:
    """Log-likelihood and its gradient in the order of ``LinearGaussian.names``.

    `kept` says which of the six arguments of the model are parameters and not constants.
    """
    gradients = [np.empty_like(part) for part in system]
    # A pickled copy of the result has lost this flag, and kernels are compiled for it.
    value, time = likelihood_gradient(read_only(y), *map(read_only, system), *gradients)
    _require_density(value, time)
    for k in (1, 3, 5):  # an off-diagonal parameter moves two entries of a covariance
        g = gradients[k]
        gradients[k] = (2.0 * g - np.diag(np.diag(g)))[np.tril_indices(len(g))]
    return value, np.concatenate(
        [np.zeros(0), *(g.ravel() for g, keep in zip(gradients, kept, strict=True) if keep)]
    )


@dataclass(frozen=True, eq=False, repr=False)
class HMMSmootherResult(Result):
    """What `hmm_smoother` returns; T times, K states.

    Attributes
    ----------
    probs : (T, K) ndarray
        P(x_t = i | y).
    pair_probs : (T - 1, K, K) ndarray
        P(x_t = i, x_{t+1} = j | y).
    log_likelihood : float
        log P(y), over the observed entries of y.
    """

    probs: FloatArray
    pair_probs: FloatArray
    log_likelihood: float
    _system: tuple[FloatArray, ...] = field(repr=False)
    _symbols: NDArray[np.int64] = field(repr=False)

    _shown: ClassVar[tuple[str, ...]] = ("probs", "pair_probs", "log_likelihood")

    def plot(self, ax: Any = None) -> Any:
        """Draw the smoothed probabilities, one on top of the other (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
        """
        return plot_shares(ax, self.probs)

    def expectation(self, functional: Functional) -> FloatArray:
        """Exact smoothed expectation of an additive functional, given by name.

        Parameters
        ----------
        functional : {"state", "square", "lag_product", "score"}
            The sum over t of x_t, of x_t squared or of x_t x_{t+1}, with states 0..K-1; or the
            gradient of the log-likelihood in the parameters ``model.names``, each probability
            taken as free (that is, the expected number of its uses over the probability; zero
            for a probability that is zero and cannot be used).

        Returns
        -------
        (1,) ndarray, or (number of parameters,) ndarray for "score"
        """
        name = as_choice(functional, "functional", _FUNCTIONALS)
        if name == "score":
            return self._score()
        x = np.arange(self.probs.shape[1], dtype=np.float64)
        if name == "lag_product":
            return np.atleast_1d(x @ self.pair_probs.sum(0) @ x)
        return np.atleast_1d(self.probs.sum(0) @ (x if name == "state" else x * x))

    def counts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Expected uses of each initial state (K,), transition (K, K) and emission (K, M)."""
        emissions = np.zeros_like(self._system[2])
        seen = self._symbols >= 0
        np.add.at(emissions.T, self._symbols[seen], self.probs[seen])
        return self.probs[0], self.pair_probs.sum(0), emissions

    def _score(self) -> FloatArray:
        ratios = [
            np.divide(n, p, out=np.zeros_like(p), where=p > 0).ravel()
            for n, p in zip(self.counts(), self._system, strict=True)
        ]
        return np.concatenate(ratios)


def hmm_smoother(model: "DiscreteHMM", y: ArrayLike) -> HMMSmootherResult:
    r"""Exact smoothing in a hidden Markov model with finitely many states and symbols.

    The forward-backward algorithm [1]_ in logarithms:
    :math:`P(x_t = i \mid y) \propto \alpha_t(i) \beta_t(i)` and
    :math:`P(x_t = i, x_{t+1} = j \mid y) \propto \alpha_t(i) P_{ij} g_{t+1}(j) \beta_{t+1}(j)`.

    Parameters
    ----------
    model : DiscreteHMM
        K states, M symbols.
    y : (T,) or (T, 1) array_like
        Symbols 0..M-1, as integers or as floats with integer values; NaN where missing.

    Returns
    -------
    HMMSmootherResult
        ``probs``, ``pair_probs``, ``log_likelihood``, ``expectation(name)``, ``counts()``.

    Raises
    ------
    TypeError, ValueError
        If `model` is no DiscreteHMM, `y` has the wrong shape, is empty or holds something other
        than symbols and NaN, or if the observations are impossible (the first time at which they
        are is named).

    See Also
    --------
    kalman_smoother : the same for linear Gaussian models.

    Notes
    -----
    :math:`O(T K^2)` operations and memory.

    References
    ----------
    .. [1] Rabiner, "A tutorial on hidden Markov models and selected applications in speech
       recognition", Proc. IEEE 77 (1989), 257-286.

    Examples
    --------
    >>> from randla import DiscreteHMM, hmm_smoother
    >>> model = DiscreteHMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.8, 0.2], [0.2, 0.8]])
    >>> hmm_smoother(model, [0, 1, 0]).probs.round(3)
    array([[0.753, 0.247],
           [0.669, 0.331],
           [0.753, 0.247]])
    """
    from randla.smoothing._models.ready import DiscreteHMM

    if not isinstance(model, DiscreteHMM):
        raise TypeError(f"model must be a DiscreteHMM, got {type(model).__name__}")
    n_states, n_symbols = model.emission_probs.shape
    symbols = as_symbols(y, n_symbols)
    return hmm_smoothing(symbols, _probabilities(model), n_states)


def _probabilities(model: "DiscreteHMM") -> tuple[FloatArray, ...]:
    return model.initial_probs, model.transition_matrix, model.emission_probs


def hmm_smoothing(
    symbols: NDArray[np.int64], system: tuple[FloatArray, ...], n_states: int
) -> HMMSmootherResult:
    """`hmm_smoother` on validated input."""
    initial, transition, emission = system
    n_steps = len(symbols)
    log_alpha, probs = np.empty((n_steps, n_states)), np.empty((n_steps, n_states))
    pair_probs = np.empty((n_steps - 1, n_states, n_states))
    with np.errstate(divide="ignore"):
        logs = np.log(initial), np.log(transition), np.log(emission)
    value, time = forward_backward(
        symbols, logs[0], transition, logs[1], logs[2], log_alpha, probs, pair_probs
    )
    if time >= 0:
        raise ValueError(
            f"y is impossible under the model: symbol {symbols[time]} at time {time} has "
            "probability zero given the earlier ones"
        )
    return HMMSmootherResult(probs, pair_probs, value, system, symbols)
