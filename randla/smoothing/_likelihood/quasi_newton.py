"""BFGS: maximisation with a gradient that is exact, on the unconstrained scale."""

from collections.abc import Callable

import numpy as np

from randla._typing import Array

Objective = Callable[[Array], tuple[float, Array]]  # value and gradient at z

_FARTHEST = 2.0  # of an unconstrained parameter in one step
_FIRST = 0.5  # the farthest in the first step, when nothing is known of the curvature
_GROWTH = 1e-4  # of what the gradient promises (Armijo)
_HALVINGS = 30
#: It rests where the quadratic model promises less than the first number, or the last `_MEMORY`
#: steps have brought less than the second (a ridge that leads to the edge of a range).
_PROMISE, _GAIN, _MEMORY = 1e-7, 1e-4, 10


def quasi_newton(at: Objective, z: Array, n_steps: int) -> tuple[list[Array], float]:
    """The places from `z` on, which rise to a maximum, and the value at the last one.

    Nocedal and Wright, "Numerical Optimization" (2006), chapter 6. `at` may raise ValueError, or
    return what is not finite, where there is no likelihood: the step is shortened.
    """
    value, gradient = at(z)
    inverse: Array | None = None  # of minus the matrix of second derivatives
    places, values = [z], [value]
    while len(places) <= n_steps:
        largest = np.abs(gradient).max(initial=0.0)
        if largest == 0.0:
            break
        move = _FIRST / largest * gradient if inverse is None else inverse @ gradient
        slope = float(gradient @ move)
        if slope < _PROMISE and inverse is not None:
            break
        move, slope = _limit(move, slope)
        found = _search(at, z, value, move, slope)
        if found is None:
            if inverse is None:
                break
            inverse = None  # once more along the gradient
            continue
        step, value, new = found
        inverse = _update(inverse, step, gradient - new)
        z, gradient = z + step, new
        places.append(z)
        values.append(value)
        if len(values) > _MEMORY and value - values[-_MEMORY - 1] < _GAIN:
            break
    return places, value


def _limit(move: Array, slope: float) -> tuple[Array, float]:
    share = min(1.0, _FARTHEST / np.abs(move).max())
    return share * move, share * slope


def _search(
    at: Objective, z: Array, value: float, move: Array, slope: float
) -> tuple[Array, float, Array] | None:
    """A share of the move that grows enough, with value and gradient there."""
    share = 1.0
    for _ in range(_HALVINGS):
        try:
            new, gradient = at(z + share * move)
        except (ValueError, ZeroDivisionError):  # no likelihood there
            new, gradient = -np.inf, move
        if new >= value + _GROWTH * share * slope and np.isfinite(gradient).all():
            return share * move, new, gradient
        loss = value + share * slope - new  # what the parabola through the three has to explain
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
    left = np.eye(len(s)) - np.outer(s, y) / curvature
    return left @ inverse @ left.T + np.outer(s, s) / curvature
