"""The final stage of `maximum_likelihood`: Newton steps, Louis' information, the two errors.

All is done on the unconstrained scale z. A Newton step is J^{-1} s, s the score and J the observed
information; its length in statistical standard errors is sqrt(s' J^{-1} s).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from randla._typing import Array
from randla.smoothing._likelihood.parametrization import Parametrization
from randla.smoothing._likelihood.scores import ParticleScores, PathScores, merged
from randla.smoothing._model.state_space import StateSpaceModel

_RADIUS = 1.5  # of a Newton step, in statistical standard errors
_FARTHEST = 1.0  # of an unconstrained parameter in one Newton step
_GAIN = 1e-6  # of the log-likelihood: the last Newton step gains no more
_ROUNDS, _NEAR_ROUNDS, _EXACT_ROUNDS = 8, 2, 50
# A round is close to the maximum if its step, apart from noise, is shorter than the first number,
# and the noise of the step than the second, both in statistical standard errors.
_NEAR, _NOISE = 0.15, 0.5
_DIFFERENCE = 1e-4  # of an unconstrained parameter: errors near 1e-8, truncation and rounding
_EDGE = 10.0  # error of a logarithm (or similar) of a parameter at the edge of its range
_PATHS_PER_SWEEP = 32  # paths drawn through each filter: they cost about as much as the filter
_CURVATURE_STRIDE = 7  # odd, so that all places among the paths of a sweep are hit
#: Eigenvalue of the scaled information below which the data do not determine a direction.
SMALLEST_EIGENVALUE = {"particles": 0.005, "exact": 1e-6}
#: Floor of these eigenvalues in all Newton steps but the last. A smaller one overshoots, a larger
#: one costs rounds: of 40 series of an autoregression in noise (50 times, three parameters, 60
#: sweeps) 39 converged, in 4.9 rounds on average; at 0.005 38 in 5.9 rounds, at 0.2 35 in 5.3.
_EIGENVALUE_FLOOR = 0.05


class NewtonResult(NamedTuple):
    """The last value of theta and what is known of its two errors (free parameters only)."""

    theta: Array
    covariance: Array  # statistical
    monte_carlo: Array | None  # covariance of the algorithm's error
    value: float | None  # of the log-likelihood
    smallest_eigenvalue: float
    distance: float  # length of the last step, in statistical standard errors
    converged: bool


class Information:
    """A symmetric matrix of observed information, with a positive scale for each parameter.

    The eigenvalues are those of D^{-1/2} matrix D^{-1/2}, D the scale; if that is the complete-data
    information they are the fractions of it that the observations carry, between 0 and 1, up to
    noise.
    """

    def __init__(self, matrix: Array, scale: Array, smallest: float) -> None:
        self.root, self.smallest = np.sqrt(np.maximum(scale, 1e-12)), smallest
        scaled = matrix / np.outer(self.root, self.root)
        self.eigenvalues, self.vectors = np.linalg.eigh(scaled)

    def inverse(self, smallest: float | None = None) -> Array:
        """Inverse with eigenvalues that are raised to the smallest one."""
        raised = np.maximum(self.eigenvalues, smallest or self.smallest)
        half = self.vectors / (self.root[:, None] * np.sqrt(raised))  # D^{-1/2} V raised^{-1/2}
        return half @ half.T


def _shorten(move: Array, distance: float) -> Array:
    """Keep a Newton step within its radius, and each unconstrained parameter within its."""
    farthest = float(np.abs(move).max())
    return move * min(1.0, _RADIUS / max(distance, 1e-300), _FARTHEST / max(farthest, 1e-300))


def _differences(gradient: Callable[[Array], Array], z: Array) -> Array:
    """Minus the symmetric matrix of second derivatives, from differences of a gradient."""
    columns = []
    for step in _DIFFERENCE * np.eye(len(z)):
        columns.append((gradient(z - step) - gradient(z + step)) / (2.0 * _DIFFERENCE))
    matrix = np.array(columns)
    return 0.5 * (matrix + matrix.T)


def newton_exact(
    value_and_score: Callable[[Array], tuple[float, Array]],
    parameters: Parametrization,
    theta: Array,
) -> NewtonResult:
    """Newton steps on the exact log-likelihood, halved until it grows.

    `value_and_score` gives it and its gradient (p,) at a full theta.
    """
    z = parameters.to_free(theta)

    def at(z: Array) -> tuple[float, Array]:
        value, gradient = value_and_score(parameters.to_theta(z))
        return value, parameters.pull_back(z, gradient)

    value, gradient = at(z)
    if not len(z):
        return _nothing_free(parameters, theta, value)
    distance, converged = np.inf, False
    for _ in range(_EXACT_ROUNDS):
        matrix = _differences(lambda v: at(v)[1], z)
        information = Information(matrix, np.abs(np.diag(matrix)), SMALLEST_EIGENVALUE["exact"])
        move = information.inverse() @ gradient
        distance = max(float(np.dot(gradient, move)), 0.0) ** 0.5  # sqrt(s' J^{-1} s)
        if distance < 1e-7:
            converged = True
            break
        move *= min(1.0, _FARTHEST / np.abs(move).max())  # within what is quadratic
        for _ in range(30):
            new_value, new_gradient = at(z + move)
            if new_value >= value - 1e-13 * abs(value):  # growth, up to rounding
                break
            move *= 0.5
        else:
            converged = distance < 1e-4
            break  # no growth along an ascent direction: rounding
        gain, z, value, gradient = new_value - value, z + move, new_value, new_gradient
        if gain <= _GAIN + 1e-12 * abs(value):  # so that the information is still the same
            distance = max(float(gradient @ information.inverse() @ gradient), 0.0) ** 0.5
            converged = True
            break
    none, inverse = np.zeros((len(z), len(z))), information.inverse()
    at_the_edge = bool((np.diag(inverse)[parameters.limited] > _EDGE**2).any())
    result = _result(parameters, z, information, none, distance, converged, at_the_edge)
    return result._replace(value=value)


def _result(
    parameters: Parametrization,
    z: Array,
    information: Information,
    spread: Array | None,
    distance: float,
    converged: bool,
    at_the_edge: bool = False,
) -> NewtonResult:
    """Both covariances in theta by the delta method; `spread` is that of the score."""
    jacobian, inverse = parameters.jacobian(z), information.inverse()
    half = jacobian @ inverse
    at_the_edge = at_the_edge or parameters.at_the_edge
    with np.errstate(over="ignore"):  # a variance of 1e234 has no square
        return NewtonResult(
            parameters.to_theta(z),
            half @ jacobian.T,  # J^{-1} in z
            None if spread is None else half @ spread @ half.T,  # of J^{-1} times the score
            None,
            0.0 if at_the_edge else float(information.eigenvalues[0]),
            distance,
            converged,
        )


def _nothing_free(parameters: Parametrization, theta: Array, value: float | None) -> NewtonResult:
    """All probabilities are zero or one, and stay so."""
    none = np.zeros((len(parameters.free), len(parameters.free)))
    return NewtonResult(theta, none, none, value, 0.0, 0.0, True)


def newton_particles(
    scores: ParticleScores,
    parameters: Parametrization,
    model: StateSpaceModel,
    theta: Array,
    n_sweeps: int,
) -> NewtonResult:
    """Newton steps with the mean score of many paths at fixed parameters, and Louis' information.

    At a fixed parameter the score has no error from the size of the steps, so this removes the
    error that the ascent leaves; the spread of the chains' scores gives the algorithm's error.
    Rounds that begin close to the maximum are pooled: the mean of their points, scores and
    information matrices.
    """
    paths = PathScores(model, scores.several, scores.settings, scores.paths(), _PATHS_PER_SWEEP)
    z, near = parameters.to_free(theta), list[LouisInformation]()
    if not len(z):
        return _nothing_free(parameters, theta, None)
    for _ in range(_ROUNDS):
        louis = LouisInformation(paths, parameters, model, z)
        louis.run(n_sweeps)
        information = _pooled_information([louis])
        move, noise, _, distance = _newton_step([louis], information.inverse(_EIGENVALUE_FLOOR))
        if noise <= _NOISE**2 and distance**2 <= _NEAR**2 + noise:
            near.append(louis)  # the remainder is noise, which the mean of rounds reduces
            if len(near) == _NEAR_ROUNDS:
                break
        z = z + _shorten(move, distance)
    pooled = near or [louis]
    information = _pooled_information(pooled)
    z = np.mean([part.z for part in pooled], axis=0)
    move, _, spread, step = _newton_step(pooled, information.inverse())
    z = z + _shorten(move, step)
    return _result(parameters, z, information, spread, distance, bool(near))


def _pooled_information(rounds: "list[LouisInformation]") -> Information:
    matrix = np.mean([r.information() for r in rounds], axis=0)
    scale = np.abs(np.mean([np.diag(r.curvature) for r in rounds], axis=0))
    return Information(matrix, scale, SMALLEST_EIGENVALUE["particles"])


def _newton_step(
    rounds: "list[LouisInformation]", inverse: Array
) -> tuple[Array, float, Array | None, float]:
    """Newton step, squared length expected from noise, covariance of the score, length.

    Lengths are in statistical standard errors; the covariance is over independent chains.
    """
    chains = np.mean([r.chain_scores() for r in rounds], axis=0)
    score, spread = chains.mean(0), None
    move, noise = inverse @ score, 0.0
    if len(chains) > 1:
        spread = np.atleast_2d(np.cov(chains, rowvar=False)) / len(chains)
        noise = float(np.trace(inverse @ spread))  # E[e' J^{-1} e], e the score's error
    return move, noise, spread, float(np.dot(score, move)) ** 0.5


class LouisInformation:
    """Sums over paths for Louis' identity at one point.

    Observed information = E[-second derivative] - Var[score] of the complete-data log density,
    over the smoothing law of the path (Louis 1982, equation 3.2').
    """

    def __init__(
        self, paths: PathScores, parameters: Parametrization, model: StateSpaceModel, z: Array
    ) -> None:
        self.paths, self.parameters, self.z, self.start = paths, parameters, z, model
        self.model = model.replace(parameters.to_theta(z))
        self.scores: list[Array] = []  # (n_chains, n, m)
        self.curvature = np.zeros((len(z), len(z)))

    def _along(self, paths: list[Array], z: Array) -> Array:
        """Complete-data scores (n, m) of paths at z, sums over the series."""
        model = self.start.replace(self.parameters.to_theta(z))
        return self.parameters.pull_back(z, self.paths.along(model, paths))

    def run(self, n_sweeps: int) -> None:
        """Draw the paths, after discarding a few."""
        batch, done, left_out = self.paths.batch_size(), 0, max(5, n_sweeps // 5)
        while left_out > 0:
            self.paths.draw(self.model, min(batch, left_out))
            left_out -= batch
        while done < n_sweeps:
            n = min(batch, n_sweeps - done)
            drawn = self.paths.draw(self.model, n)
            flat = merged(drawn)
            self.scores.append(self._along(flat, self.z).reshape(*drawn[0].shape[:2], -1))
            done += n
            # The curvature has much less noise than the variance: a few of the paths do.
            sample = [paths[::_CURVATURE_STRIDE] for paths in flat]
            mean = _differences(lambda z: self._along(sample, z).mean(0), self.z)  # noqa: B023
            self.curvature += n / n_sweeps * mean

    def chain_scores(self) -> Array:
        """Mean score (n_chains, m) of each chain."""
        return np.concatenate(self.scores, axis=1).mean(1)

    def information(self) -> Array:
        """Louis' observed information (m, m)."""
        scores = np.concatenate(self.scores, axis=1)
        return self.curvature - np.atleast_2d(
            np.cov(scores.reshape(-1, scores.shape[2]), rowvar=False)
        )
