"""Batches of rows on the line: sort them, couple them, cost them.

A `Side` is the workspace of one thread for one of two clouds; a `Coupling` is what the rows of a
call have in common. Batches are small enough to stay in the second-level cache from projection to
cost.
"""

from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla.transport._kernels.cost import (
    accumulate_weights,
    cost_equal,
    cost_planned,
    cost_weighted,
    fill_uniform_plan,
)
from randla.transport._kernels.sort import digit_bits, sort_rows, sort_rows_with_order

_BATCH_NUMBERS = 1 << 15  # of both sides together: 256 KiB of float64
_BATCH_SECONDS = 4e-4  # shorter batches spend their time on calls
_CALIBRATION_SIZES = (128, 512, 2048, 8192, 32768)
_WORTH_CALIBRATION = 1 << 22  # numbers to sort from which a calibration pays
_DEFAULT_CROSSOVER = 256

#: Seconds for a number to be sorted and costed, and to be projected, a coordinate. Rough.
SECONDS_SORT, SECONDS_PROJECT = 5e-9, 6e-11


class Sorter:
    """Sorts rows of n numbers in place with a workspace of its own; not for two threads at once.

    Two sorts give the same bits: NumPy's, whose speed differs tenfold between processors, and
    ours (`_kernels.sort`), which has the same speed everywhere but an overhead for short rows.
    """

    def __init__(self, n: int, dtype: Any, n_numbers: int = 0) -> None:
        self._n, self._dtype = n, np.dtype(dtype)
        self._use_numpy = n < _crossover(self._dtype, n_numbers >= _WORTH_CALIBRATION)
        self._work: tuple[NDArray[Any], ...] | None = None
        self._spare_order: NDArray[np.int32] | None = None

    def _workspace(self) -> tuple[NDArray[Any], ...]:
        if self._work is None:
            cells = 1 << max(digit_bits(self._n), 11)
            self._work = (
                np.empty(self._n, self._dtype),
                np.empty(self._n, np.int32),
                np.empty((2, cells), np.uint32),
            )
        return self._work

    def sort(self, P: NDArray[Any]) -> None:
        """Sort the rows of P."""
        if self._n == 1:
            return
        if self._use_numpy:
            P.sort(axis=1)
        else:
            sort_rows(P, *self._workspace())

    def sort_with_order(self, P: NDArray[Any], order: NDArray[np.int32]) -> None:
        """Sort the rows of P and fill `order` with the stable permutation."""
        spare, keys, counts = self._workspace()
        if self._spare_order is None:
            self._spare_order = np.empty(self._n, np.int32)
        sort_rows_with_order(P, order, spare, self._spare_order, keys, counts)


def _crossover(dtype: np.dtype[Any], calibrate: bool) -> float:
    """Length of rows from which our sort is the faster one."""
    return _measured_crossover(dtype) if calibrate else _DEFAULT_CROSSOVER


@cache
def _measured_crossover(dtype: np.dtype[Any]) -> float:
    """A few milliseconds, once for each dtype in a process; both sorts give the same result."""
    rng = np.random.default_rng(0)
    for n in _CALIBRATION_SIZES:
        rows = rng.standard_normal((max(16384 // n, 1), n)).astype(dtype)
        ours = Sorter(n, dtype)
        ours._use_numpy = False
        seconds = []
        for sort in (ours.sort, lambda P: P.sort(axis=1)):
            spare = rows.copy()
            sort(spare)
            best = np.inf
            for _ in range(2):
                np.copyto(spare, rows)
                start = perf_counter()
                sort(spare)
                best = min(best, perf_counter() - start)
            seconds.append(best)
        if seconds[0] < seconds[1]:
            return n
    return np.inf


def batch_rows(n: int, m: int, dim: int, n_rows: int) -> int:
    """Rows of a batch, by the shape only: a few that stay in cache, a multiple of four."""
    least = 8 if dim > 8 else 4  # a pass over many coordinates should serve several rows
    batch = max(_BATCH_NUMBERS // (n + m), least)
    seconds = n_rows * (n + m) * (SECONDS_SORT + SECONDS_PROJECT * dim)
    n_batches = min(max(int(seconds / _BATCH_SECONDS), 1), 8)  # something for several threads
    batch = min(batch, 4096, max(-(-n_rows // n_batches), least))
    return -(-batch // 4) * 4


class Side:
    """Workspace of one thread for the rows of one cloud."""

    def __init__(
        self,
        batch: int,
        n: int,
        dtype: Any,
        units: NDArray[np.int64] | None,
        *,
        ordered: bool = False,
        n_numbers: int = 0,
    ) -> None:
        self.values = np.empty((batch, n), dtype)
        self.order = np.empty((batch, n), np.int32) if ordered or units is not None else None
        self.sums = None if units is None else np.empty((batch, n), np.int64)
        self._units = units
        self._sorter = Sorter(n, dtype, n_numbers)

    def sort(self, k: int) -> None:
        """Sort the first k rows of `values`, with `order` and accumulated weights if asked for."""
        if self.order is None:
            self._sorter.sort(self.values[:k])
            return
        self._sorter.sort_with_order(self.values[:k], self.order[:k])
        if self.sums is not None:
            accumulate_weights(self._units, self.order[:k], self.sums[:k])


class Coupling:
    """The monotone coupling of rows of n with rows of m numbers."""

    def __init__(self, n: int, m: int, p: float, *, weighted: bool) -> None:
        self.p, self.weighted = p, weighted
        self.plan: tuple[NDArray[Any], ...] | None = None
        if not weighted and n != m:
            steps = n + m - np.gcd(n, m)
            plan = (np.empty(steps, np.uint32), np.empty(steps, np.uint32), np.empty(steps))
            fill_uniform_plan(n, m, *plan)
            self.plan = plan

    def cost(
        self,
        left: Side,
        right: Side,
        shifts: NDArray[np.float64],
        units: NDArray[np.float64],
        out: NDArray[np.float64],
    ) -> None:
        """Costs of the first len(out) sorted rows."""
        k = len(out)
        u, v = left.values[:k], right.values[:k]
        if left.sums is not None and right.sums is not None:
            cost_weighted(u, v, left.sums[:k], right.sums[:k], shifts, units, self.p, out)
        elif self.plan is not None:
            cost_planned(u, v, *self.plan, shifts, units, self.p, out)
        else:
            cost_equal(u, v, shifts, units, self.p, out)
