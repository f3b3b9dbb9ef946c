"""BFGS: maximization with a gradient that is exact, on the unconstrained scale."""

from collections.abc import Callable

import numpy as np

from randla._typing import Array

Objective = Callable[[Array], tuple[float, Array]]  # value and gradient at z

_FARTHEST = 2.0  # of an unconstrained parameter in one step
_FIRST = 0.5  # the farthest in the first step, when nothing is known of the curvature
_DIFFERENCE = 1e-4  # of an unconstrained parameter
_FLATTEST = 1e-2  # curvature that is measured
_GROWTH = 1e-4  # of what the gradient promises (Armijo)
_HALVINGS = 30
#: It ends when the quadratic model predicts less than the first number, or the last `_MEMORY`
#: steps have gained less than the second (a ridge that leads to the edge of a range).
_PROMISE, _GAIN, _MEMORY = 1e-7, 1e-4, 10


class QuasiNewton:
    """A search from `z` upward to a maximum, which can be interrupted and resumed.

    Nocedal and Wright, "Numerical optimization", 2nd edition, Springer (2006), chapter 6. `at` may
    raise ValueError, or return values that are not finite, if there is no likelihood: the step is
    shortened.
    """

    def __init__(self, at: Objective, z: Array) -> None:
        self.at = at
        value, self.gradient = at(z)
        self.places, self.values = [z], [value]
        self.inverse: Array | None = None  # of minus the matrix of second derivatives
        self.rests = False

    @property
    def value(self) -> float:
        return self.values[-1]

    def run(self, n_steps: int) -> None:
        """Take at most this many steps, until convergence."""
        last = len(self.places) + n_steps
        while len(self.places) < last and not self.rests:
            self._step()

    def measure(self) -> None:
        """Compute the curvature from differences of the gradient; upward directions reversed."""
        z = self.places[-1]
        try:
            ends = [self.at(z + step)[1] for step in _DIFFERENCE * np.eye(len(z))]
        except (ValueError, ZeroDivisionError):
            return
        matrix = (self.gradient - np.array(ends)) / _DIFFERENCE
        if not np.isfinite(matrix).all():
            return
        curvatures, vectors = np.linalg.eigh(matrix + matrix.T)
        half = vectors / np.sqrt(np.maximum(0.5 * np.abs(curvatures), _FLATTEST))
        self.inverse = half @ half.T

    def _step(self) -> None:
        z, value, gradient = self.places[-1], self.value, self.gradient
        largest = np.abs(gradient).max(initial=0.0)
        if largest == 0.0:
            self.rests = True
            return
        new = self.inverse is None
        move = _FIRST / largest * gradient if self.inverse is None else self.inverse @ gradient
        slope = float(gradient @ move)
        if slope < _PROMISE and not new:
            self.rests = True
            return
        found = _search(self.at, z, value, *_limit(move, slope))
        if found is None:
            self.inverse, self.rests = None, new  # once more along the gradient
            return
        step, value, self.gradient = found
        self.inverse = _update(self.inverse, step, gradient - self.gradient)
        self.places.append(z + step)
        self.values.append(value)
        self.rests = len(self.values) > _MEMORY and value - self.values[-_MEMORY - 1] < _GAIN


def _limit(move: Array, slope: float) -> tuple[Array, float]:
    share = min(1.0, _FARTHEST / np.abs(move).max())
    return share * move, share * slope


def _search(
    at: Objective, z: Array, value: float, move: Array, slope: float
) -> tuple[Array, float, Array] | None:
    """A fraction of the move with sufficient growth, with value and gradient there."""
    share = 1.0
    for _ in range(_HALVINGS):
        try:
            new, gradient = at(z + share * move)
        except (ValueError, ZeroDivisionError):  # no likelihood there
            new, gradient = -np.inf, move
        if new >= value + _GROWTH * share * slope and np.isfinite(gradient).all():
            return share * move, new, gradient
        loss = value + share * slope - new  # for the parabola through the three
        best = 0.5 * slope * share**2 / loss if np.isfinite(loss) and loss > 0.0 else 0.0
        share = min(max(best, 0.1 * share), 0.5 * share)
    return None


def _update(inverse: Array | None, s: Array, y: Array) -> Array:
    """The inverse after a step s that lowered the gradient by y."""
    curvature = float(s @ y)
    if inverse is None:  # of the size of the curvature along the step
        size = curvature / float(y @ y) if curvature > 0.0 else float(s @ s) / abs(curvature or 1.0)
        inverse = size * np.eye(len(s))
    if curvature <= 1e-10 * float(np.sqrt((s @ s) * (y @ y))):  # not concave there
        return inverse
    move = inverse @ y
    cross = s[:, None] * (move / curvature)
    more = (1.0 + float(move @ y) / curvature) / curvature
    return inverse - cross - cross.T + s[:, None] * (more * s)
