"""Metropolis moves of the parameters on the unconstrained line."""

import math
from collections.abc import Callable

import numpy as np

from randla._typing import Array
from randla.smoothing._posterior.priors import Prior

#: Degrees of freedom of the independent proposals.
_DF = 5.0


class Walk:
    """Proposals z + scale * N(0, S), whose scale is tuned to an acceptance rate."""

    def __init__(self, shape: Array, target: float) -> None:
        self.target, self.n_adapted = target, 0
        self.log_scale = math.log(2.38 / math.sqrt(len(shape)))  # best for a normal law
        self.learn(np.zeros(len(shape)), shape)

    def learn(self, mean: Array, shape: Array) -> None:
        """Take over a new shape S."""
        self.shape, self.root = shape, np.linalg.cholesky(shape)

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Moves (n, m)."""
        normals = rng.standard_normal((n, len(self.root)))
        return math.exp(self.log_scale) * (normals @ self.root.T)

    def propose(self, z: Array, rng: np.random.Generator) -> tuple[Array, float]:
        """A proposal, and the log ratio of its densities backward and forward."""
        return z + self.draw(rng, 1)[0], 0.0

    def adapt(self, share: float) -> None:
        """Robbins and Monro: `share` of the last steps was accepted."""
        self.n_adapted += 1
        self.log_scale += self.n_adapted**-0.6 * (share - self.target)

    def reached(self) -> Array:
        """The shape of a law for which the present scale would be the best."""
        return self.shape * (math.exp(2.0 * self.log_scale) * len(self.shape) / 2.38**2)


class Independent:
    """Independent Student t proposals around a center.

    The posterior of few parameters is close enough to normal on the line that most of these
    proposals are good; a random walk covers the rest.
    """

    def __init__(self, mean: Array, shape: Array) -> None:
        self.learn(mean, shape)

    def learn(self, mean: Array, shape: Array) -> None:
        """Take over a new center and shape."""
        self.mean, self.root = mean, np.linalg.cholesky(shape)

    def propose(self, z: Array, rng: np.random.Generator) -> tuple[Array, float]:
        """A proposal, and the log ratio of its densities backward and forward."""
        normals = rng.standard_normal(len(self.mean))
        other = self.mean + self.root @ normals * math.sqrt(_DF / rng.chisquare(_DF))
        return other, self._log_density(z) - self._log_density(other)

    def adapt(self, share: float) -> None:
        """Nothing: there is no scale."""

    def _log_density(self, z: Array) -> float:
        white = np.linalg.solve(self.root, z - self.mean)
        return -0.5 * (_DF + len(z)) * math.log1p(float(white @ white) / _DF)


Laws = tuple[Walk | Independent, ...]


class Point:
    """The position of a chain: z, theta, and log of prior times volume."""

    def __init__(self, prior: Prior, z: Array) -> None:
        self.z = z
        self.theta, self.log_prior = prior.density(z)


def random_walk(
    prior: Prior,
    likelihood: Callable[[Array], float],
    point: Point,
    value: float,
    moves: Array,
    rng: np.random.Generator,
) -> tuple[Point, float, int]:
    """Make a Metropolis step with each of the `moves`; `value` is the likelihood at `point`.

    `likelihood` gives the logarithm at theta. Returns the last point, its likelihood, and the
    number of accepted steps.
    """
    n_accepted = 0
    for move, level in zip(moves, rng.standard_exponential(len(moves)), strict=True):
        other = Point(prior, point.z + move)
        if other.log_prior == -math.inf:
            continue
        there = likelihood(other.theta)
        # -log of a uniform number is exponential; NaN is refused.
        if other.log_prior + there - point.log_prior - value > -level:
            point, value, n_accepted = other, there, n_accepted + 1
    return point, value, n_accepted
