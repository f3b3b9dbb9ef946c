"""Work arrays cut from one allocation.

Pages that a process touches for the first time cost about as much as sorting the numbers in them.
NumPy asks for huge pages, five hundred times fewer, where an array has 4 MiB or more: so the large
arrays of one thread are better one piece than several.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HUGE = 1 << 22  # bytes from which NumPy asks for huge pages
_ALIGNMENT = 64  # bytes: a line of the cache


def empty_arrays(*specs: tuple[tuple[int, ...], Any]) -> list[NDArray[Any]]:
    """An uninitialised C-contiguous array for each (shape, dtype)."""
    sizes = [math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in specs]
    if sum(sizes) < _HUGE:
        return [np.empty(shape, dtype) for shape, dtype in specs]
    rounded = [-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes]
    whole, start, arrays = np.empty(sum(rounded), np.uint8), 0, []
    for size, step, (shape, dtype) in zip(sizes, rounded, specs, strict=True):
        arrays.append(whole[start : start + size].view(dtype).reshape(shape))
        start += step
    return arrays
