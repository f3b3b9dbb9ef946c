"""The ranges of parameters, and the transforms that map them to the whole line."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from randla._results import t_interval


class Support(NamedTuple):
    """An open interval, the map from it to the line, the inverse, and the inverse's slope.

    The functions take numbers and arrays.
    """

    low: float
    high: float
    transform: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    slope: Callable[[Any], Any]  # of the inverse, as a function of the parameter


SUPPORTS = {
    "real": Support(-np.inf, np.inf, lambda x: x, lambda z: z, lambda x: 1.0),
    "log": Support(0.0, np.inf, np.log, np.exp, lambda x: x),
    "logit": Support(  # log(x / (1 - x)), its inverse 1 / (1 + exp(-z)) without overflow
        0.0,
        1.0,
        lambda x: np.log(x) - np.log1p(-x),
        lambda z: 0.5 * (1.0 + np.tanh(0.5 * z)),
        lambda x: x * (1.0 - x),
    ),
    "angle": Support(  # of a frequency: pi times what "logit" is for
        0.0,
        np.pi,
        lambda x: np.log(x) - np.log(np.pi - x),
        lambda z: 0.5 * np.pi * (1.0 + np.tanh(0.5 * z)),
        lambda x: x * (1.0 - x / np.pi),
    ),
    "tanh": Support(-1.0, 1.0, np.arctanh, np.tanh, lambda x: 1.0 - x * x),
}


def support_interval(
    kind: str, estimate: float, standard_error: float, level: float
) -> tuple[float, float]:
    """Interval that is normal on the whole line, for an estimate in a support of this kind."""
    low, high, transform, inverse, slope = SUPPORTS[kind]
    with np.errstate(all="ignore"):
        z, spread = transform(estimate), standard_error / slope(estimate)  # the delta method
        if np.isfinite(z) and np.isfinite(spread):
            ends = inverse(np.array(t_interval(z, spread, np.inf, level)))
        else:  # an estimate on the edge has no image on the line
            ends = np.clip(t_interval(estimate, standard_error, np.inf, level), low, high)
    return float(ends[0]), float(ends[1])
