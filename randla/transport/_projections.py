"""Batches of rows on the line: sort them, couple them, cost them.

A `Side` holds the rows of one cloud in the workspace of one thread; a `Coupling` is what the rows
of a call have in common. Batches are small enough to stay in the second-level cache from projection
to cost.
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.transport._kernels.cost import (
    accumulate_weights,
    cost_equal,
    cost_planned,
    cost_weighted,
    fill_uniform_plan,
)
from randla.transport._kernels.sort import MAX_CELLS, sort_rows, sort_rows_with_order
from randla.transport._memory import empty_arrays

_BATCH_NUMBERS = 1 << 16  # of both sides together: 512 KiB of float64
_BATCH_SECONDS = 4e-4  # shorter batches spend their time on calls
_CALIBRATION_SIZES = (128, 272, 544, 1088, 2176, 8704, 34816)  # above steps of SIMD sorts
_WORTH_CALIBRATION = 1 << 22  # numbers to sort from which a calibration pays
_DEFAULT_CROSSOVER = 256

#: Powers up to which costs stay in range in units of the clouds: differences are 0 or above 2^-53
#: of these. Beyond it, up to `MAX_POWER`, costs are taken in a unit of their own.
SAFE_POWER, MAX_POWER = 16.0, 1000.0

#: Seconds for a number to be sorted and costed, and to be projected, a coordinate. Rough.
SECONDS_SORT, SECONDS_PROJECT = 5e-9, 6e-11


def powers_to(p: float) -> list[float]:
    """Powers up to p, each of which is in range in the `safe_unit` of the one before."""
    return [q for q in (SAFE_POWER, SAFE_POWER**2) if q < p] + [p]


def safe_unit(distance: Any, power: float) -> Any:
    """A factor that keeps W_p^p in range up to p = power^2, given W_power.

    All masses are 2^-62 or more, so that W_power <= W_p <= 2^(62 / power) W_power, and the middle
    of the two becomes one: W_p^p is between 1e-150 and 1e150 for power = 16, p = 256.
    """
    return 1.0 / np.where(distance > 0.0, 2.0 ** (31.0 / power) * distance, 1.0)


def unit_of_costs(costs: Array, p: float) -> float:
    """A factor of lengths that makes the largest of some p-th powers one."""
    largest = float(costs.max())
    return largest ** (-1.0 / p) if largest > 0.0 else 1.0


class Sorter:
    """Sorts rows of up to n numbers in place; not for two threads at once.

    Two sorts give the same bits: NumPy's, whose speed differs tenfold between processors, and
    ours (`_kernels.sort`), which has the same speed everywhere but an overhead for short rows.
    """

    def __init__(
        self, n: int, dtype: Any, n_numbers: int = 0, work: list[NDArray[Any]] | None = None
    ) -> None:
        self._numpy_below = _crossover(np.dtype(dtype), n_numbers >= _WORTH_CALIBRATION)
        arrays = empty_arrays(*self.specs(n, dtype)) if work is None else work
        spare, keys, self._spare_order, counts = arrays
        self.work = spare, keys, counts

    @staticmethod
    def specs(n: int, dtype: Any) -> list[tuple[tuple[int, ...], Any]]:
        """Shapes and dtypes of the work arrays."""
        counts = (2, MAX_CELLS), np.uint32
        return [((n,), dtype), ((n,), np.int32), ((n,), np.int32), counts]

    def uses_numpy(self, n: int) -> bool:
        """Whether rows of n numbers are sorted by NumPy."""
        return n < self._numpy_below

    def sort(self, P: NDArray[Any]) -> None:
        """Sort the rows of P."""
        if P.shape[1] == 1:
            return
        if self.uses_numpy(P.shape[1]):
            P.sort(axis=1)
        else:
            sort_rows(P, *self.work)

    def sort_with_order(self, P: NDArray[Any], order: NDArray[np.int32]) -> None:
        """Sort the rows of P and fill `order` with the stable permutation."""
        spare, keys, counts = self.work
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
        ours._numpy_below = 0
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


def batch_rows(n: int, m: int, dim: int, n_rows: int, *, weighted: bool = False) -> int:
    """Rows of a batch, by the shape only: a few that stay in cache, a multiple of four."""
    # a pass over many coordinates should serve several rows; those of weighted clouds are large
    least = 8 if dim > 8 and not weighted else 4
    batch = max(_BATCH_NUMBERS // (n + m), least)
    seconds = n_rows * (n + m) * (SECONDS_SORT + SECONDS_PROJECT * dim)
    n_batches = min(max(int(seconds / _BATCH_SECONDS), 1), 8)  # something for several threads
    batch = min(batch, 4096, max(-(-n_rows // n_batches), least))
    return -(-batch // 4) * 4


class Side:
    """The rows of one cloud: `values` (batch, n), and if asked for the `order` that sorted them and
    the accumulated integer weights `sums`.
    """

    def __init__(
        self, arrays: list[NDArray[Any]], units: NDArray[np.int64] | None, sorter: Sorter
    ) -> None:
        self.values = arrays[0]
        self.order = arrays[1] if len(arrays) > 1 else None
        self.sums = arrays[2] if len(arrays) > 2 else None
        self._units, self.sorter = units, sorter

    @staticmethod
    def specs(batch: int, request: "SideRequest", dtype: Any) -> list[tuple[tuple[int, int], Any]]:
        """Shapes and dtypes of the arrays."""
        shape = batch, request.size
        specs: list[tuple[tuple[int, int], Any]] = [(shape, dtype)]
        if request.ordered or request.units is not None:
            specs.append((shape, np.int32))
        if request.units is not None:
            specs.append((shape, np.int64))
        return specs

    def sort(self, k: int) -> None:
        """Sort the first k rows of `values`, with `order` and accumulated weights if asked for."""
        if self.order is None:
            self.sorter.sort(self.values[:k])
            return
        self.sorter.sort_with_order(self.values[:k], self.order[:k])
        if self.sums is not None:
            accumulate_weights(self._units, self.order[:k], self.sums[:k])


class SideRequest(NamedTuple):
    """What a `Side` is for: points to a row, integer weights if any, and whether order matters."""

    size: int
    units: NDArray[np.int64] | None = None
    ordered: bool = False


def make_sides(
    batch: int, dtype: Any, requests: Sequence[SideRequest], n_numbers: int = 0
) -> list[Side]:
    """The workspace of one thread: a `Side` for each cloud, and one sorter for all of them.

    `n_numbers` is how many numbers the longest of them will have to sort in all.
    """
    longest = max(request.size for request in requests)
    per_side = [Side.specs(batch, request, dtype) for request in requests]
    sorting = Sorter.specs(longest, dtype)
    arrays = iter(empty_arrays(*sorting, *chain.from_iterable(per_side)))
    sorter = Sorter(longest, dtype, n_numbers, [next(arrays) for _ in sorting])
    return [
        Side([next(arrays) for _ in specs], request.units, sorter)
        for specs, request in zip(per_side, requests, strict=True)
    ]


class Coupling:
    """The monotone coupling of rows of n with rows of m numbers."""

    def __init__(self, n: int, m: int, p: float, *, weighted: bool) -> None:
        self.p, self.weighted, self.is_equal = p, weighted, n == m and not weighted
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
        shifts: Array,
        units: Array,
        out: Array,
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
