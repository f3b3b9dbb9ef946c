"""Work arrays aligned to a cache line, or to a huge page."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CACHE_LINE = 64  # bytes
_HUGE_PAGE = 1 << 21  # bytes
_WORTH_HUGE_PAGES = 1 << 19  # bytes of an array: a quarter of a huge page


def aligned_empty(
    shape: int | tuple[int, ...], dtype: Any, allocate: Callable[..., NDArray[Any]] = np.empty
) -> NDArray[Any]:
    """Uninitialized C-contiguous array that begins at a cache line, large ones at a huge page.

    Vectors that straddle two lines cost a tenth. Touching pages of 4 KiB for the first time costs
    about as much as sorting the numbers in them; and a tile whose pages are scattered over memory
    does not fit into the second-level cache that it would fill (measured: a sketch of 200 columns
    took 1.1 to 1.2 times as long).
    """
    dtype = np.dtype(dtype)
    n_bytes = dtype.itemsize * math.prod((shape,) if isinstance(shape, int) else shape)
    alignment, least = _CACHE_LINE, 0
    if n_bytes >= _WORTH_HUGE_PAGES:
        alignment, least = _HUGE_PAGE, 2 * _HUGE_PAGE  # NumPy requests huge pages from 4 MiB on
    buffer = allocate(max(n_bytes + alignment, least), np.uint8)
    start = -buffer.ctypes.data % alignment
    return buffer[start : start + n_bytes].view(dtype).reshape(shape)


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros, aligned like `aligned_empty`; untouched pages of large ones cost nothing."""
    return aligned_empty(shape, dtype, np.zeros)
