"""Expectation maximization: sufficient statistics of the ready models, and their maximizers.

Each family defines an additive functional (the statistics), its exact expectation if there is one,
and the maximizer of the expected complete-data log-likelihood in the free parameters.
"""

import math
from typing import Any, Protocol

import numpy as np
from scipy.linalg import solve

from randla._typing import Array
from randla.smoothing._exact.hmm import hmm_smoother
from randla.smoothing._exact.kalman import KalmanSmootherResult, kalman_smoother
from randla.smoothing._kernels.models import sufficient
from randla.smoothing._likelihood.parametrization import Parametrization, Simplex
from randla.smoothing._model.additive_functional import AdditiveFunctional
from randla.smoothing._model.several import total
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._models.discrete_hmm import DiscreteHMM
from randla.smoothing._models.linear_gaussian import LinearGaussian
from randla.smoothing._models.volatility import StochasticVolatility


class Family(Protocol):
    """The functions of a model and its observations that EM needs."""

    functional: Any

    def exact(self, model: Any) -> Array:
        """Exact expectation of the statistics."""

    def maximize(self, model: Any, statistics: Array) -> Array:
        """Full theta that maximizes the expected complete-data log-likelihood."""


def em_family(model: StateSpaceModel, ys: list[Array], parameters: Parametrization) -> Family:
    """Return the family of a model, or an error if its maximizer has no closed form.

    Its statistics are sums over the series `ys`.
    """
    if isinstance(model, LinearGaussian):
        if not model._is_plain:
            raise ValueError(
                "optimizer='em' needs a LinearGaussian without time axis and intercepts, got one "
                "with them: method='exact' has another optimizer"
            )
        return _LinearGaussian(model, ys, parameters)
    if isinstance(model, DiscreteHMM):
        return _Chain(ys, parameters)
    if isinstance(model, StochasticVolatility):
        return _Volatility(ys, parameters)
    raise ValueError(
        "optimizer='em' needs a LinearGaussian, DiscreteHMM or StochasticVolatility model, "
        f"got {type(model).__name__}"
    )


class _Chain:
    """Hidden Markov chain: expected counts, which are probabilities times their scores."""

    functional = "score"

    def __init__(self, ys: list[Array], parameters: Parametrization) -> None:
        self.ys = ys
        self.rows = [b.indices for b in parameters.blocks if isinstance(b, Simplex)]

    def exact(self, model: DiscreteHMM) -> Array:
        return hmm_smoother(model, self.ys).expectation("score") * model.theta

    def maximize(self, model: DiscreteHMM, statistics: Array) -> Array:
        theta = np.array(model.theta)
        for row in self.rows:
            counts = np.maximum(statistics[row], 0.0)  # Baum and Welch; averages may round below 0
            if counts.sum() > 0.0:  # a state that is never visited keeps its row
                theta[row] = counts / counts.sum()
        return theta


class _Volatility:
    """Stochastic volatility. The stationary start makes phi the root of a cubic."""

    def __init__(self, ys: list[Array], parameters: Parametrization) -> None:
        self.functional = AdditiveFunctional(
            5, initial=sufficient.volatility_first, step=sufficient.volatility_next
        )
        self.n_seen, self.n_times = sum(int((~np.isnan(y)).sum()) for y in ys), sum(map(len, ys))
        self.n_series = len(ys)
        self.free = set(parameters.names)

    def exact(self, model: StochasticVolatility) -> Array:
        raise ValueError(
            "method='exact' needs a LinearGaussian or DiscreteHMM model, got "
            f"{type(model).__name__}: leave method out to use particles"
        )

    def maximize(self, model: StochasticVolatility, statistics: Array) -> Array:
        phi, sigma, beta = map(float, model.theta)
        first, s00, s10, s11, scaled = map(float, statistics)
        n, starts = self.n_times, self.n_series
        if "beta" in self.free:
            beta = math.sqrt(scaled / self.n_seen)  # mean of y_t^2 exp(-x_t)
        # sigma^2 n = c(phi) = s11 + first - 2 phi s10 + phi^2 (s00 - first), given phi.
        c = np.polynomial.Polynomial([s11 + first, -2.0 * s10, s00 - first])
        if "phi" in self.free:
            # d/dphi of log(1 - phi^2) for each start - n log c, or - c / sigma^2, times
            # c (1 - phi^2).
            slope, one = c.deriv(), np.polynomial.Polynomial([1.0, 0.0, -1.0])
            profile = n * slope * one if "sigma" in self.free else slope * one / sigma**2
            other = np.polynomial.Polynomial([0.0, 2.0 * starts])
            roots = (profile + other * (c if "sigma" in self.free else 1.0)).roots()
            real = roots.real[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 1.0)]

            def value(p: float) -> float:
                loss = n * math.log(c(p)) if "sigma" in self.free else c(p) / sigma**2
                return 0.5 * starts * math.log1p(-p * p) - 0.5 * loss

            phi = max((float(p) for p in real), key=value, default=phi)
        if "sigma" in self.free:
            sigma = math.sqrt(float(c(phi)) / n)
        return np.array([phi, sigma, beta])


class _LinearGaussian:
    """Linear Gaussian: regressions of x_{t+1} on x_t and of y_t on x_t."""

    def __init__(self, model: LinearGaussian, ys: list[Array], parameters: Parametrization) -> None:
        self.ys = [y.reshape(len(y), -1) for y in ys]
        self.y = np.concatenate(self.ys)
        self.n_series, self.n_steps = len(ys), len(self.y) - len(ys)
        k, d = model.observation_matrix.shape
        self.d, self.k, self.tri = d, k, d * (d + 1) // 2  # of the lower triangle of a square
        self.functional = AdditiveFunctional(
            d + 4 * self.tri + d * d + k * d,
            initial=sufficient.linear_gaussian_first,
            step=sufficient.linear_gaussian_next,
        )
        self.parameters = parameters
        free, names = set(parameters.names), model.names
        self.parts = {n.split("[")[0] for n in free}
        for part in self.parts:
            entries = {n for n in names if n.split("[")[0] == part}
            if not part.endswith("cov") and not entries <= free:
                raise ValueError(f"free must name all entries of {part} for optimizer='em'")
        if self.n_steps < 1 and self.parts & {"transition_matrix", "transition_cov"}:
            raise ValueError(
                "y must have at least two times for optimizer='em' to estimate "
                f"transition_matrix or transition_cov, got {len(self.y)}"
            )
        missing = np.isnan(self.y)
        self.seen = ~missing.any(1)
        if (
            self.parts & {"observation_matrix", "observation_cov"}
            and (self.seen != ~missing.all(1)).any()
        ):
            raise ValueError(
                "y must not have partly missing rows for optimizer='em' to estimate "
                "observation_matrix or observation_cov"
            )

    def exact(self, model: LinearGaussian) -> Array:
        return total([self._of_one(kalman_smoother(model, y), y) for y in self.ys])

    def _of_one(self, result: KalmanSmootherResult, y: Array) -> Array:
        seen = ~np.isnan(y).any(1)
        m, y = result.mean, y[seen]
        squares = result.covariance + m[:, :, None] * m[:, None, :]  # E[x_t x_t']
        lag = result.lag_covariance.sum(0).T + m[1:].T @ m[:-1]  # sum of E[x_{t+1} x_t']
        lower = np.tril_indices(self.d)
        return np.concatenate(
            [
                m[0],
                squares[0][lower],
                squares[:-1].sum(0)[lower],  # S00
                squares[1:].sum(0)[lower],  # S11
                lag.ravel(),  # S10
                squares[seen].sum(0)[lower],  # Sxx, of observed times
                (y.T @ m[seen]).ravel(),  # Syx
            ]
        )

    def _split(self, statistics: Array) -> list[Array]:
        d, k, tri = self.d, self.k, self.tri
        sizes = np.cumsum([d, tri, tri, tri, d * d, tri])
        parts = np.split(statistics, sizes)
        for i in (1, 2, 3, 5):
            square = np.empty((d, d))
            rows, columns = np.tril_indices(d)
            square[rows, columns] = square[columns, rows] = parts[i]
            parts[i] = square
        parts[4], parts[6] = parts[4].reshape(d, d), parts[6].reshape(k, d)
        return parts

    def maximize(self, model: LinearGaussian, statistics: Array) -> Array:
        x0, x00, s00, s11, s10, sxx, syx = self._split(statistics)
        new: dict[str, Array] = {}
        A, B, m0 = model.transition_matrix, model.observation_matrix, model.initial_mean
        y = self.y[self.seen]
        # Regressions: A = S10 S00^{-1} and Q = mean of (x_{t+1} - A x_t)(x_{t+1} - A x_t)', with
        # whichever A is in force; likewise B and R of y_t on x_t, over the observed times.
        if "transition_matrix" in self.parts:
            A = new["transition_matrix"] = _regress(s10, s00)
        if "transition_cov" in self.parts:
            new["transition_cov"] = _residuals(s11, A, s10, s00) / self.n_steps
        if "observation_matrix" in self.parts:
            B = new["observation_matrix"] = _regress(syx, sxx)
        if "observation_cov" in self.parts:
            new["observation_cov"] = _residuals(y.T @ y, B, syx, sxx) / len(y)
        if "initial_mean" in self.parts:
            m0 = new["initial_mean"] = x0 / self.n_series
        if "initial_cov" in self.parts:
            mean, first = m0[:, None], x0[:, None]  # the regression of x_0 on the number 1
            ones = self.n_series * np.eye(1)
            new["initial_cov"] = _residuals(x00, mean, first, ones) / self.n_series
        theta = np.array(model.theta)
        for index in self.parameters.free:
            part, *entry = model.names[index].rstrip("]").split("[")
            place = tuple(int(i) for i in entry[0].split(",")) if entry else (0,) * new[part].ndim
            theta[index] = new[part][place]
        return theta


def _regress(cross: Array, square: Array) -> Array:
    """Return cross square^{-1}."""
    return solve(square, cross.T, assume_a="sym").T


def _residuals(yy: Array, A: Array, yx: Array, xx: Array) -> Array:
    """Sum of (y - A x)(y - A x)', from sums of products."""
    return yy - A @ yx.T - yx @ A.T + A @ xx @ A.T
