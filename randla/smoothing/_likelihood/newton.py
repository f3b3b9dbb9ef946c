"""The final stage of `maximum_likelihood`: Newton steps, and the two errors."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla.smoothing._likelihood.parametrisation import Parametrisation
from randla.smoothing._likelihood.scores import ExactScores, PathScores
from randla.smoothing._model.state_space import StateSpaceModel

FloatArray = NDArray[np.float64]

_RADIUS = 1.5  # of a Newton step, in statistical standard errors
_FARTHEST = 1.0  # of an unconstrained parameter in one Newton step
_ROUNDS, _NEAR_ROUNDS, _EXACT_ROUNDS = 8, 2, 50
_NEAR = 0.15  # a round is close to the maximum if its step is below (apart from noise),
_NOISE = 0.5  # and the noise of the step is below
_DIFFERENCE = 1e-4
_EDGE = 10.0  # error of a logarithm (or the like) that shows a parameter at the edge of its range
_CURVATURE_STRIDE = 7  # odd, so that all places among the paths of a sweep are hit
#: Share of the complete-data information below which a direction is not told by the data.
SMALLEST_SHARE = {"sweeps": 0.005, "exact": 1e-6}
#: Share below which Louis' difference of two large terms is not accurate enough.
_UNSURE_SHARE = 0.15
#: Share taken for smaller ones while the steps are long: too short a step in such a direction is
#: made good by the next one, too long a step is not.
_SAFE_SHARE = 0.05
#: Step of the difference that replaces it: a longer one has less noise, but third derivatives.
_ACROSS = 0.5


class Final(NamedTuple):
    """The last value of theta and what is known of its two errors (free parameters only)."""

    theta: FloatArray
    covariance: FloatArray  # statistical
    monte_carlo: FloatArray | None  # covariance of the algorithm's error
    value: float | None
    smallest_share: float
    distance: float  # length of the last step, in statistical standard errors
    converged: bool


class Information:
    """A symmetric matrix of observed information, beside a positive scale for each parameter.

    Shares are the eigenvalues of D^{-1/2} matrix D^{-1/2}, D the scale; where that is the
    complete-data information they lie between 0 and 1, up to noise.
    """

    def __init__(self, matrix: FloatArray, scale: FloatArray, smallest: float) -> None:
        self.root, self.smallest = np.sqrt(np.maximum(scale, 1e-12)), smallest
        self.scaled = matrix / np.outer(self.root, self.root)
        self.shares, self.vectors = np.linalg.eigh(self.scaled)

    def inverse(self, smallest: float | None = None) -> FloatArray:
        """Inverse with shares that are raised to the smallest one."""
        raised = np.maximum(self.shares, smallest or self.smallest)
        half = self.vectors / (self.root[:, None] * np.sqrt(raised))
        return half @ half.T

    def step(self, k: int) -> tuple[FloatArray, float]:
        """Direction k as a step of `_ACROSS` statistical standard errors at most, and its length.

        The length is that of D^{1/2} step, which is a multiple of eigenvector k.
        """
        unit = self.vectors[:, k] / self.root
        raised = max(float(self.shares[k]), self.smallest)
        length = min(_ACROSS * raised**-0.5, _FARTHEST / float(np.abs(unit).max()))
        return unit * length, length

    def replaced(self, products: dict[int, FloatArray]) -> "Information":
        """The same with better values ``products[k]`` of matrix @ step / length of direction k."""
        inside = np.diag(self.shares)
        columns = {k: self.vectors.T @ (p / self.root) for k, p in products.items()}
        for k, column in columns.items():
            inside[:, k] = inside[k, :] = column
        for k in columns:
            for h in columns:  # two values of one entry
                inside[k, h] = 0.5 * (columns[k][h] + columns[h][k])
        scaled = self.vectors @ inside @ self.vectors.T
        return Information(scaled * np.outer(self.root, self.root), self.root**2, self.smallest)


def _shorten(move: FloatArray, distance: float) -> FloatArray:
    """Keep a Newton step within its radius, and each unconstrained parameter within its."""
    farthest = float(np.abs(move).max())
    return move * min(1.0, _RADIUS / max(distance, 1e-300), _FARTHEST / max(farthest, 1e-300))


def _differences(gradient: Callable[[FloatArray], FloatArray], z: FloatArray) -> FloatArray:
    """Minus the symmetric matrix of second derivatives, from differences of a gradient."""
    columns = []
    for j in range(len(z)):
        step = np.zeros_like(z)
        step[j] = _DIFFERENCE
        columns.append((gradient(z - step) - gradient(z + step)) / (2.0 * _DIFFERENCE))
    matrix = np.array(columns)
    return 0.5 * (matrix + matrix.T)


def newton_exact(
    scores: ExactScores, parameters: Parametrisation, model: StateSpaceModel, theta: FloatArray
) -> Final:
    """Newton steps on the exact log-likelihood, halved until it grows."""
    z = parameters.to_free(theta)

    def at(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = scores.value_and_score(model.replace(parameters.to_theta(z)))
        return value, parameters.pull_back(z, gradient)

    value, gradient = at(z)
    if not len(z):
        return _nothing_free(parameters, theta, value)
    distance, converged = np.inf, False
    for _ in range(_EXACT_ROUNDS):
        matrix = _differences(lambda v: at(v)[1], z)
        information = Information(matrix, np.abs(np.diag(matrix)), SMALLEST_SHARE["exact"])
        move = information.inverse() @ gradient
        distance = max(float(np.dot(gradient, move)), 0.0) ** 0.5
        if distance < 1e-7:
            converged = True
            break
        move *= min(1.0, _FARTHEST / np.abs(move).max())
        for _ in range(30):
            new_value, new_gradient = at(z + move)
            if new_value >= value - 1e-13 * abs(value):
                break
            move *= 0.5
        else:
            break  # no growth along an ascent direction: rounding
        gain, z, value, gradient = new_value - value, z + move, new_value, new_gradient
        if gain <= 1e-12 * (1.0 + abs(value)) and distance < 1e-4:
            converged = True
            break
    jacobian, inverse = parameters.jacobian(z), information.inverse()
    covariance = jacobian @ inverse @ jacobian.T
    at_the_edge = parameters.at_the_edge or (np.diag(inverse)[parameters.limited] > _EDGE**2).any()
    return Final(
        parameters.to_theta(z),
        covariance,
        np.zeros_like(covariance),
        value,
        0.0 if at_the_edge else float(information.shares[0]),
        distance,
        converged,
    )


def _nothing_free(parameters: Parametrisation, theta: FloatArray, value: float | None) -> Final:
    """All probabilities are zero or one, and stay so."""
    none = np.zeros((len(parameters.free), len(parameters.free)))
    return Final(theta, none, none, value, 0.0, 0.0, True)


def newton_sweeps(
    paths: PathScores,
    parameters: Parametrisation,
    model: StateSpaceModel,
    theta: FloatArray,
    n_sweeps: int,
) -> Final:
    """Newton steps with the mean score of many paths at fixed parameters, and Louis' information.

    At a fixed parameter the score has no error from the size of the steps, so this removes what
    the ascent leaves; the spread of the chains' scores gives the algorithm's error. Rounds that
    begin close to the maximum are pooled: the mean of their points, scores and informations.
    """
    z, near = parameters.to_free(theta), list[_Louis]()
    if not len(z):
        return _nothing_free(parameters, theta, None)
    for _ in range(_ROUNDS):
        louis = _Louis(paths, parameters, model, z)
        louis.run(n_sweeps)
        information = _pooled_information([louis])
        move, noise, _, distance = _newton_step([louis], information.inverse(_SAFE_SHARE))
        if noise <= _NOISE**2 and distance**2 <= _NEAR**2 + noise:
            near.append(louis)
            if len(near) == _NEAR_ROUNDS:
                break
        z = z + _shorten(move, distance)
    pooled = near or [louis]
    z = np.mean([part.z for part in pooled], axis=0)
    information = _pooled_information(pooled)
    information = _sharpen(information, paths, parameters, model, z, n_sweeps)
    move, _, spread, step = _newton_step(pooled, information.inverse())
    z = z + _shorten(move, step)
    jacobian = parameters.jacobian(z)
    half = jacobian @ information.inverse()
    return Final(
        parameters.to_theta(z),
        half @ jacobian.T,
        None if spread is None else half @ spread @ half.T,
        None,
        0.0 if parameters.at_the_edge else float(information.shares[0]),
        distance,
        bool(near),
    )


def _pooled_information(rounds: "list[_Louis]") -> Information:
    matrix = np.mean([r.information() for r in rounds], axis=0)
    scale = np.abs(np.mean([np.diag(r.curvature) for r in rounds], axis=0))
    return Information(matrix, scale, SMALLEST_SHARE["sweeps"])


def _sharpen(
    information: Information,
    paths: PathScores,
    parameters: Parametrisation,
    model: StateSpaceModel,
    z: FloatArray,
    n_sweeps: int,
) -> Information:
    """Measure directions of small share by the difference of the smoothed score across them.

    In Louis' identity such a share is the small difference of two large terms, of which one has
    the noise of a variance over paths; the smoothed score itself is far more accurate.
    """
    products: dict[int, FloatArray] = {}
    for k in np.flatnonzero(information.shares < _UNSURE_SHARE):
        step, length = information.step(int(k))
        sides = []
        for sign in (-1.0, 1.0):
            side = _Louis(paths, parameters, model, z + sign * step)
            side.run(n_sweeps, curvature=False)
            sides.append(side.chain_scores().mean(0))
        products[int(k)] = (sides[0] - sides[1]) / (2.0 * length)
    return information.replaced(products) if products else information


def _newton_step(
    rounds: "list[_Louis]", inverse: FloatArray
) -> tuple[FloatArray, float, FloatArray | None, float]:
    """Newton step, squared length to be expected from noise, covariance of the score, length.

    Lengths are in statistical standard errors; the covariance is over independent chains.
    """
    chains = np.mean([r.chain_scores() for r in rounds], axis=0)
    score, spread = chains.mean(0), None
    move, noise = inverse @ score, 0.0
    if len(chains) > 1:
        spread = np.atleast_2d(np.cov(chains, rowvar=False)) / len(chains)
        noise = float(np.trace(inverse @ spread))
    return move, noise, spread, float(np.dot(score, move)) ** 0.5


class _Louis:
    """Sums over paths for Louis' identity at one point.

    Observed information = E[-second derivative] - Var[score] of the complete-data log density,
    over the smoothing law of the path.
    """

    def __init__(
        self, paths: PathScores, parameters: Parametrisation, model: StateSpaceModel, z: FloatArray
    ) -> None:
        self.paths, self.parameters, self.z, self.start = paths, parameters, z, model
        self.model = model.replace(parameters.to_theta(z))
        self.scores: list[FloatArray] = []  # (n_chains, n, m)
        self.curvature = np.zeros((len(z), len(z)))

    def _along(self, paths: FloatArray, z: FloatArray) -> FloatArray:
        """Complete-data scores (n, m) of paths at z."""
        model = self.start.replace(self.parameters.to_theta(z))
        return self.parameters.pull_back(z, self.paths.scores(model, paths))

    def run(self, n_sweeps: int, *, curvature: bool = True) -> None:
        """Draw the paths, after some that are left out; `information` needs the curvature."""
        batch, done, left_out = self.paths.batch_size(), 0, max(5, n_sweeps // 5)
        while left_out > 0:
            self.paths.draw(self.model, min(batch, left_out))
            left_out -= batch
        while done < n_sweeps:
            n = min(batch, n_sweeps - done)
            drawn = self.paths.draw(self.model, n)
            flat = drawn.reshape(-1, *drawn.shape[2:])
            self.scores.append(self._along(flat, self.z).reshape(*drawn.shape[:2], -1))
            done += n
            if curvature:  # which has much less noise than the variance: a few of the paths do
                some = flat[::_CURVATURE_STRIDE]
                mean = _differences(lambda z: self._along(some, z).mean(0), self.z)  # noqa: B023
                self.curvature += n / n_sweeps * mean

    def chain_scores(self) -> FloatArray:
        """Mean score (n_chains, m) of each chain."""
        return np.concatenate(self.scores, axis=1).mean(1)

    def information(self) -> FloatArray:
        """Louis' observed information (m, m)."""
        scores = np.concatenate(self.scores, axis=1)
        return self.curvature - np.atleast_2d(
            np.cov(scores.reshape(-1, scores.shape[2]), rowvar=False)
        )
