"""The ranges of parameters, and the transforms that take them to the whole line."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Support(NamedTuple):
    """An open interval, the map from it to the line, the inverse, and the inverse's slope."""

    low: float
    high: float
    transform: Callable[[float], float]
    inverse: Callable[[float], float]
    slope: Callable[[float], float]  # of the inverse, as a function of the parameter


SUPPORTS = {
    "real": Support(-np.inf, np.inf, lambda x: x, lambda z: z, lambda x: 1.0),
    "log": Support(0.0, np.inf, np.log, np.exp, lambda x: x),
    "logit": Support(
        0.0,
        1.0,
        lambda x: np.log(x) - np.log1p(-x),
        lambda z: 0.5 * (1.0 + np.tanh(0.5 * z)),
        lambda x: x * (1.0 - x),
    ),
    "tanh": Support(-1.0, 1.0, np.arctanh, np.tanh, lambda x: 1.0 - x * x),
}
