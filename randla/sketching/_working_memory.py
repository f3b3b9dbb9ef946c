"""Operands in any memory order for kernels, and sums over parts in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._parallel import run_parts
from randla._validation import read_only


class StridedView(NamedTuple):
    """A dense matrix in any memory order: (i, j) is ``flat[start + i row_step + j column_step]``.

    One type for C, Fortran and strided order, so that a kernel is compiled once for all of them.
    """

    flat: NDArray[Any]
    start: int
    row_step: int
    column_step: int
    width: int


def strided_view(A: NDArray[Any]) -> StridedView:
    """The flat view of a matrix, copied only if a stride is not a multiple of the itemsize."""
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
        column_step = 1  # one column: any step is valid, and this one takes the fast loop
    return StridedView(flat, -low, row_step, column_step, width)


class Reused:
    """Pieces of memory that parts borrow and return: about as many as there are threads."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._spare: list[Any] = []

    def take(self) -> Any:
        """A spare piece, or a new one."""
        try:
            return self._spare.pop()
        except IndexError:
            return self._make()

    def give(self, piece: Any) -> None:
        """Return a piece."""
        self._spare.append(piece)


def sum_parts(
    add_part: Callable[[int, Any, NDArray[Any]], None],
    n_parts: int,
    make_total: Callable[[], NDArray[Any]],
    make_work: Callable[[], Any],
    **options: Any,
) -> NDArray[Any]:
    """Sum over parts of what ``add_part(part, work, total)`` adds to zeros.

    Parts run on the pool (`options` are those of `run_parts`), but their totals are added in the
    order of the parts: the result does not depend on which one finishes first.
    """
    result, totals, works = make_total(), Reused(make_total), Reused(make_work)
    waiting: dict[int, NDArray[Any]] = {}
    lock = Lock()
    done = 0

    def run_part(part: int) -> None:
        nonlocal done
        work, total = works.take(), totals.take()
        add_part(part, work, total)
        works.give(work)
        # Each thread has its own error state; the final sums are checked for NaN and inf.
        with lock, np.errstate(invalid="ignore", over="ignore"):
            waiting[part] = total  # until all earlier parts are done
            while done in waiting:
                total = waiting.pop(done)
                np.add(result, total, out=result)
                total.fill(0)
                totals.give(total)
                done += 1

    run_parts(run_part, n_parts, **options)
    return result


def part_count(n_blocks: int, wanted: float) -> int:
    """Number of parts: the power of two nearest to `wanted`, at most 64 and `n_blocks`."""
    return 1 << round(np.log2(min(max(wanted, 1.0), n_blocks, 64)))
