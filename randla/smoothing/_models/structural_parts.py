"""The components of structural models: their states, parameters and chain rules.

A part has its own states, so that the matrices of a model are block-diagonal. Each part defines the
names and supports of its parameters, initial values, the states that its standard deviations move,
and, if its blocks of A and P_0 have parameters, these blocks and the gradient through them. A
standard deviation enters by its square, so its sign is free, and zero is a value like any other.

Sources: Harvey, "Forecasting, structural time series models and the Kalman filter", Cambridge
University Press (1989), chapter 2; Durbin and Koopman, "Time series analysis by state space
methods", 2nd edition, Oxford University Press (2012), section 3.2; Barndorff-Nielsen and Schou, "On
the parametrization of autoregressive models by partial autocorrelations", J. Multivariate Anal. 3
(1973), 408-419.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dgesv

from randla._typing import Array

_FEW_STATES = 5  # up to which a linear system in all entries of a covariance is the fastest


class Parameter(NamedTuple):
    """Name, support, and the value in a model without given values."""

    name: str
    support: str
    value: float


def deviation(name: str) -> Parameter:
    """Return the standard deviation of a noise, with its sign free."""
    return Parameter(f"sd_{name}", "real", 1.0)


class Part:
    """States that start anywhere (diffuse) and move by a constant matrix."""

    diffuse = True
    parameters: tuple[Parameter, ...] = ()  # standard deviations are the last ones
    transition_matrix: Array  # (m, m)
    observed: Array  # (m,), or (T, m): the weights of the states in y
    noisy: tuple[tuple[int, ...], ...] = ()  # the states that each standard deviation moves
    shown: dict[str, Array]  # the components, as combinations like `observed`

    @property
    def size(self) -> int:
        """Number m of states."""
        return len(self.transition_matrix)

    def check(self, theta: Array) -> None:
        """Raise ValueError for parameters that are in their supports, but not together."""


class MovingPart(Part):
    """States whose transition matrix has parameters, and so their stationary law."""

    def blocks(self, theta: Array) -> tuple[Array, Array]:
        """Return the transition matrix (m, m) and the covariance (m, m) of the start."""
        raise NotImplementedError

    def gradient(self, theta: Array, gA: Array, gP: Array, P0: Array) -> Array:
        """Gradient in theta from those in A and P_0 (m, m); without what goes through Q."""
        raise NotImplementedError


class Trend(Part):
    """A level, random walk with a slope that is a random walk, or without a slope."""

    def __init__(self, kind: str) -> None:
        if kind == "level":
            self.parameters, self.noisy = (deviation("level"),), ((0,),)
            self.transition_matrix, self.observed = np.ones((1, 1)), np.ones(1)
            self.shown = {"level": np.ones(1)}
            return
        self.transition_matrix = np.array([[1.0, 1.0], [0.0, 1.0]])
        self.observed = np.array([1.0, 0.0])
        self.shown = {"level": self.observed, "slope": np.array([0.0, 1.0])}
        self.parameters, self.noisy = (deviation("slope"),), ((1,),)
        if kind == "trend":
            self.parameters, self.noisy = (deviation("level"), *self.parameters), ((0,), (1,))


class Seasonal(Part):
    """A season of s times, by s - 1 dummies that sum to noise, or by harmonics."""

    def __init__(self, period: int, harmonics: int | None) -> None:
        self.parameters = (deviation("seasonal"),)
        if harmonics is None:  # g_{t+1} = -(g_t + ... + g_{t-s+2}) + noise
            A = np.eye(period - 1, k=-1)
            A[0] = -1.0
            self.observed, self.noisy = np.eye(1, period - 1)[0], ((0,),)
        else:
            size = min(2 * harmonics, period - 1)  # at frequency pi one state is enough
            A = np.zeros((size, size))
            for j in range(harmonics):
                turn = _rotation(2.0 * math.pi * (j + 1) / period)
                A[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = turn[: size - 2 * j, : size - 2 * j]
            if size < 2 * harmonics:
                A[-1, -1] = -1.0  # cos(pi)
            self.observed = np.arange(size) % 2 == 0.0
            self.observed, self.noisy = self.observed.astype(float), (tuple(range(size)),)
        self.transition_matrix, self.shown = A, {"seasonal": self.observed}


class Regression(Part):
    """Constant coefficients of regressors (T, m)."""

    def __init__(self, regressors: Array, names: tuple[str, ...]) -> None:
        self.transition_matrix, self.observed = np.eye(len(names)), regressors
        rows = zip(names, np.eye(len(names)), strict=True)
        self.shown = {"regression": regressors} | {f"coefficient[{n}]": row for n, row in rows}


class Cycle(MovingPart):
    """A rotation by the frequency, damped (stationary) or not (diffuse), both states noisy."""

    noisy = ((0, 1),)
    transition_matrix = np.eye(2)
    observed = np.array([1.0, 0.0])

    def __init__(self, kind: str) -> None:
        self.diffuse, self.shown = kind == "undamped", {"cycle": self.observed}
        damping = () if self.diffuse else (Parameter("cycle_damping", "logit", 0.9),)
        frequency = Parameter("cycle_frequency", "angle", math.pi / 4)
        self.parameters = (frequency, *damping, deviation("cycle"))

    def blocks(self, theta: Array) -> tuple[Array, Array]:
        if self.diffuse:
            return _rotation(theta[0]), np.zeros((2, 2))
        frequency, rho, sd = theta
        return rho * _rotation(frequency), sd**2 / (1.0 - rho**2) * self.transition_matrix

    def gradient(self, theta: Array, gA: Array, gP: Array, P0: Array) -> Array:
        out = np.zeros(len(theta))
        c, s = math.cos(theta[0]), math.sin(theta[0])
        out[0] = c * (gA[0, 1] - gA[1, 0]) - s * (gA[0, 0] + gA[1, 1])
        if not self.diffuse:
            _, rho, sd = theta
            share = sd / (1.0 - rho * rho)  # P_0 = sd share I
            slope = 2.0 * share * (gP[0, 0] + gP[1, 1])
            out[0] *= rho
            out[1] = c * (gA[0, 0] + gA[1, 1]) + s * (gA[0, 1] - gA[1, 0]) + slope * share * rho
            out[2] = slope
        return out


class Autoregression(MovingPart):
    """A stationary autoregression; the states are its last p values."""

    diffuse = False
    noisy = ((0,),)

    def __init__(self, order: int) -> None:
        support = "tanh" if order == 1 else "real"  # of more, together: see `autoregression`
        names = [Parameter(f"ar[{j + 1}]", support, 0.0) for j in range(order)]
        self.parameters = (*names, deviation("ar"))
        self.transition_matrix = np.eye(order, k=-1)
        self.observed = np.eye(1, order)[0]
        self.shown = {"ar": self.observed}

    def check(self, theta: Array) -> None:
        if not (np.abs(partial_autocorrelations(theta[:-1])) < 1.0).all():
            raise ValueError(f"theta must have a stationary autoregression, got ar = {theta[:-1]}")

    def blocks(self, theta: Array) -> tuple[Array, Array]:
        A, Q = self.transition_matrix.copy(), np.zeros_like(self.transition_matrix)
        A[0], Q[0, 0] = theta[:-1], theta[-1] ** 2
        return A, stationary_cov(A, Q)

    def gradient(self, theta: Array, gA: Array, gP: Array, P0: Array) -> Array:
        # dP_0 = A dP_0 A' + dA P_0 A' + A P_0 dA' + dQ, and the adjoint of P -> P - A P A' is of
        # the same kind: with X = A' X A + gP, <gP, dP_0> = <X, dQ> + 2 <X A P_0, dA>.
        A = self.transition_matrix.copy()
        A[0] = theta[:-1]
        X = stationary_cov(A.T, gP)
        out = np.empty(len(theta))
        out[:-1] = gA[0] + 2.0 * (X[0] @ A) @ P0
        out[-1] = 2.0 * theta[-1] * X[0, 0]
        return out


def _rotation(angle: float) -> Array:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s], [-s, c]])


def stationary_cov(A: Array, Q: Array) -> Array:
    """Return P = A P A' + Q, that is, the sum of A^k Q A'^k.

    A must have its eigenvalues within the unit circle.
    """
    m = len(A)
    if m == 1:
        with np.errstate(divide="ignore"):  # a search may try an A of spectral radius 1
            return Q / (1.0 - A * A)
    if m <= _FEW_STATES:
        system = (A[:, None, :, None] * -A[:, None, :]).reshape(m * m, m * m)  # - A x A
        system.flat[:: m * m + 1] += 1.0
        entries = dgesv(system, Q.ravel())[2]
        return np.asarray(entries.reshape(m, m), np.float64)
    P = Q
    for _ in range(64):  # twice as many terms each time
        if not A.any():  # the rest underflows
            break
        P, A = P + A @ P @ A.T, A @ A
    return P


def autoregression(r: Array) -> Array:
    """Coefficients (p,) from partial autocorrelations r (p,).

    They are stationary if and only if all |r| < 1 (Barndorff-Nielsen and Schou):
    phi^(k) = (phi^(k-1) - r_k reversed phi^(k-1), r_k).
    """
    return np.array(_orders(r)[-1])


def autoregression_gradient(r: Array, gradient: Array) -> Array:
    """Gradient (p,) in partial autocorrelations r from that in the coefficients."""
    out, g = np.empty(len(r)), gradient.tolist()
    for k, phi in reversed(list(enumerate(_orders(r)[:-1]))):
        last = r.item(k)
        out[k] = g[k] - sum(a * b for a, b in zip(g, phi[::-1], strict=False))
        g = [a - last * b for a, b in zip(g, g[k - 1 :: -1] if k else (), strict=False)]
    return out


def _orders(r: Array) -> list[list[float]]:
    """The coefficients of orders 0 to p."""
    orders: list[list[float]] = [[]]
    for last in r.tolist():
        phi = orders[-1]
        orders.append([a - last * b for a, b in zip(phi, phi[::-1], strict=True)] + [last])
    return orders


def partial_autocorrelations(phi: Array) -> Array:
    """Invert `autoregression`; an entry beyond (-1, 1) or NaN where phi is not stationary."""
    out = np.empty(len(phi))
    for k in range(len(phi) - 1, -1, -1):
        r = out[k] = phi[k]
        with np.errstate(divide="ignore", invalid="ignore"):
            phi = (phi[:k] + r * phi[:k][::-1]) / (1.0 - r * r)
    return out
