"""Scales as powers of two: no rounding, no overflow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def exponents_of(size: NDArray[Any]) -> NDArray[np.int64]:
    """Exponents e that bring positive sizes to ``size * 2^-e`` in [1/2, 1); zero for zero."""
    return np.frexp(size)[1].astype(np.int64)
