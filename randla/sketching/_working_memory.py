"""Operands in any memory order for kernels, and sums over parts in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._validation import read_only


class StridedView(NamedTuple):
    """A dense matrix as it lies: (i, j) at ``flat[start + i * row_step + j * column_step]``.

    One type for C, Fortran and strided order, so that a kernel is compiled once for all of them.
    """

    flat: NDArray[Any]
    start: int
    row_step: int
    column_step: int
    width: int


def strided_view(A: NDArray[Any]) -> StridedView:
    """The flat view of a matrix, without a copy unless a stride is no multiple of the itemsize."""
    size, width = A.itemsize, A.shape[1]
    if any(stride % size for stride in A.strides):
        A = np.ascontiguousarray(A)
    if A.size == 0:
        return StridedView(read_only(np.empty(0, A.dtype)), 0, 0, 1, width)
    steps = [stride // size if k > 1 else 0 for stride, k in zip(A.strides, A.shape, strict=True)]
    # Offsets of the far corner, and of the lowest address where strides are negative.
    reach = [step * (k - 1) for step, k in zip(steps, A.shape, strict=True)]
    low, high = sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
    lowest = A[tuple(slice(-1, None) if r < 0 else slice(0, 1) for r in reach)]
    flat = np.lib.stride_tricks.as_strided(lowest, (high - low + 1,), (size,), writeable=False)
    row_step, column_step = steps
    if width == 1:
        column_step = 1  # one column: any step will do, and this one takes the fast loop
    return StridedView(flat, -low, row_step, column_step, width)


class OrderedSum:
    """The sum of the accumulators of parts, added in the order of the parts.

    The result does not depend on which part finishes first, and few accumulators exist at a time.
    """

    def __init__(self, make: Callable[[], NDArray[Any]]) -> None:
        self._make = make
        self._spare: list[NDArray[Any]] = []
        self._waiting: dict[int, NDArray[Any]] = {}
        self._next = 0
        self._lock = Lock()
        self.total = make()

    def accumulator(self) -> NDArray[Any]:
        """An accumulator of zeros for one part."""
        with self._lock:
            array = self._spare.pop() if self._spare else None
        if array is None:
            return self._make()
        array.fill(0)
        return array

    def add(self, part: int, array: NDArray[Any]) -> None:
        """Add the accumulator of a part, once all parts before it were added."""
        # Each thread has its own error state; the final sums are checked for NaN and inf.
        with self._lock, np.errstate(invalid="ignore", over="ignore"):
            self._waiting[part] = array  # until all parts before it are there
            while self._next in self._waiting:
                array = self._waiting.pop(self._next)
                self.total += array
                self._spare.append(array)
                self._next += 1


def part_count(n_blocks: int, wanted: float) -> int:
    """Parts by shape: the power of two nearest to `wanted`, at most 64 and the blocks."""
    return 1 << round(np.log2(min(max(wanted, 1.0), n_blocks, 64)))
