"""Clouds on the line: project them, sort them, couple them, cost them, a batch of rows at a time.

A `Side` holds the rows of one cloud in the workspace of one thread; a `Coupling` is the common part
of the rows of a call. Batches are small enough to stay in the second-level cache from projection to
cost; those of clouds of many coordinates are large, as each batch reads the clouds again.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._parallel import run_parts
from randla._typing import Array
from randla.transport._clouds import FEW_COORDINATES, Cloud
from randla.transport._kernels.cost import (
    accumulate_weights,
    cost_equal,
    cost_planned,
    cost_weighted,
    fill_uniform_plan,
)
from randla.transport._kernels.gradient import (
    add_slopes_equal,
    add_slopes_planned,
    add_slopes_weighted,
)
from randla.transport._kernels.prepare import row_variances
from randla.transport._kernels.sort import MAX_CELLS, sort_rows

_BATCH_NUMBERS = 1 << 16  # of both sides together: 512 KiB of float64
_BATCH_SECONDS = 4e-4  # shorter batches are dominated by calls
_WIDE_ROWS, _WIDE_NUMBERS = 128, 1 << 22  # of a batch of clouds of many coordinates: 32 MiB

#: Numbers of a row from which our sort is used, by their bytes. Both sorts give the same bits. On
#: 10^4 and 10^5 points in 3 and 10 dimensions the whole of `sliced_wasserstein` took 5 to 8 times
#: as long (float32: 4 to 6 times) with NumPy's sort for AVX-512 on an AMD EPYC; at 300 points
#: about 1.5 times (float32: as long). On other processors NumPy's sort is up to ten times as fast.
OUR_SORT_FROM = {8: 256, 4: 512}

#: Powers up to which costs stay in range in units of the clouds: differences are 0 or above 2^-53
#: of these. Above it, up to `MAX_POWER`, distances are found by a sequence of powers.
SAFE_POWER, MAX_POWER = 16.0, 1000.0

#: Approximate seconds to sort and cost a number, and to project it, a coordinate.
SECONDS_SORT, SECONDS_PROJECT = 5e-9, 6e-11


def along(theta: Array, v: Array) -> Array:
    """``theta v``, (L,); without BLAS, whose threads spin for 25 ms after it in the way of ours."""
    return np.einsum("ld,d->l", theta, v)


def batch_rows(n: int, m: int, dim: int, n_rows: int, *, weighted: bool = False) -> int:
    """Rows of a batch, by the shape only: a few that stay in cache, a multiple of four."""
    if dim > FEW_COORDINATES:  # the rows take less room than half of the clouds
        most = _WIDE_NUMBERS // (n + m) // (2 if weighted else 1)
        batch = min(_WIDE_ROWS, max(most, 16), max(-(-n_rows // 2), 32))  # two for two threads
        return -(-batch // 4) * 4
    # a pass over many coordinates should serve several rows; those of weighted clouds are large
    least = 8 if dim > 8 and not weighted else 4
    batch = max(_BATCH_NUMBERS // (n + m), least)
    seconds = n_rows * (n + m) * (SECONDS_SORT + SECONDS_PROJECT * dim)
    n_batches = min(max(int(seconds / _BATCH_SECONDS), 1), 8)  # work for several threads
    batch = min(batch, 4096, max(-(-n_rows // n_batches), least))
    return -(-batch // 4) * 4


class SortArrays(NamedTuple):
    """The arrays that our sort overwrites, for rows of up to n numbers; a set for each thread."""

    spare: NDArray[Any]  # (n,), of the dtype of the rows
    spare_order: NDArray[np.int32]  # (n,)
    keys: NDArray[np.int32]  # (n,)
    counts: NDArray[np.uint32]  # (2, MAX_CELLS)

    @classmethod
    def of(cls, n: int, dtype: Any) -> "SortArrays":
        """Uninitialized arrays."""
        order, keys = np.empty((2, n), np.int32)
        return cls(np.empty(n, dtype), order, keys, np.empty((2, MAX_CELLS), np.uint32))


class Side:
    """The rows of one cloud: `values` (batch, n), and if requested the `order` that sorted them
    and, for integer weights `units`, their accumulated `sums`.
    """

    def __init__(
        self,
        batch: int,
        n: int,
        sorting: SortArrays,
        units: NDArray[np.int64] | None = None,
        ordered: bool = False,
    ) -> None:
        shape, self.sorting, self._units = (batch, n), sorting, units
        self.values = np.empty(shape, sorting.spare.dtype)
        self.order = np.empty(shape, np.int32) if ordered or units is not None else None
        self.sums = None if units is None else np.empty(shape, np.int64)

    def sort(self, k: int) -> None:
        """Sort the first k rows of `values`, with `order` and `sums` if present."""
        P, order = self.values[:k], None if self.order is None else self.order[:k]
        if order is None and P.shape[1] < OUR_SORT_FROM[P.itemsize]:
            P.sort(axis=1)
        else:
            sort_rows(P, order, *self.sorting)
        if self.sums is not None:
            accumulate_weights(self._units, order, self.sums[:k])


class Projector:
    """Sorted projections of clouds in common units, a batch of directions at a time.

    Parameters
    ----------
    clouds : sequence of Cloud
    weighted : sequence of bool
        Which of them are coupled by their weights, also if these are equal.
    ordered : sequence of bool
        For which of them the permutation is needed; by default for none.
    """

    def __init__(
        self, clouds: Sequence[Cloud], weighted: Sequence[bool], ordered: Sequence[bool] = ()
    ) -> None:
        self._clouds, self._dtype = clouds, clouds[0].dtype
        self._ordered = ordered or [False] * len(clouds)
        self._units = [c.units if w else None for c, w in zip(clouds, weighted, strict=True)]

    def padded(self, theta: Array) -> NDArray[Any]:
        """Directions (L, d) in the dtype of the points; zeros make both multiples of four."""
        L, d = theta.shape
        out = np.zeros((-(-L // 4) * 4, -(-d // 4) * 4), self._dtype)
        out[:L, :d] = theta
        return out

    def sides(self, batch: int) -> list[Side]:
        """The workspace of one thread."""
        sizes = [cloud.size for cloud in self._clouds]
        sorting = SortArrays.of(max(sizes), self._dtype)
        kinds = zip(sizes, self._units, self._ordered, strict=True)
        return [Side(batch, n, sorting, units, order) for n, units, order in kinds]

    def visit(
        self,
        theta: Array,
        batch: int,
        task: Callable[[slice, list[Side]], None],
        seconds: float,
        variances: Array | None = None,
    ) -> None:
        """``task(rows, sides)`` for the sorted projections on ``theta[rows]``, batch by batch;
        fills `variances` (K, L), those of the projections of each cloud.
        """
        assert batch % 4 == 0, batch  # directions are projected four at a time
        padded, L, local = self.padded(theta), len(theta), threading.local()
        for cloud in self._clouds:
            cloud.make_ready()

        def part(k: int) -> None:
            if not hasattr(local, "sides"):
                local.sides, local.tile = self.sides(batch), self._clouds[0].new_tile()
            rows = slice(k * batch, min((k + 1) * batch, L))
            some = padded[k * batch : (k + 1) * batch]
            for c, (cloud, side) in enumerate(zip(self._clouds, local.sides, strict=True)):
                cloud.project(some, local.tile, side.values[: len(some)])
                if variances is not None:
                    weights = np.empty(0) if cloud.weights is None else cloud.weights
                    row_variances(side.values, weights, variances[c, rows])
                side.sort(rows.stop - rows.start)
            task(rows, local.sides)

        run_parts(part, -(-L // batch), seconds=seconds)


class Coupling:
    """The monotone coupling of rows of n with rows of m numbers."""

    def __init__(self, n: int, m: int, *, weighted: bool) -> None:
        self.weighted, self.is_equal = weighted, n == m and not weighted
        self.plan: tuple[NDArray[Any], ...] | None = None
        if not weighted and n != m:  # the pairs are the same for every row
            steps = n + m - np.gcd(n, m)  # pairs of the plan
            plan = (np.empty(steps, np.uint32), np.empty(steps, np.uint32), np.empty(steps))
            fill_uniform_plan(n, m, *plan)
            self.plan = plan

    def costs(
        self, left: Side, right: Side, shifts: Array, p: float, out: Array, units: Any = None
    ) -> None:
        """W_p^p of the first len(out) sorted rows, of lengths times `units` if there are any."""
        k = len(out)
        u, v, units = left.values[:k], right.values[:k], np.ones(k) if units is None else units
        if left.sums is not None and right.sums is not None and self.weighted:
            cost_weighted(u, v, left.sums[:k], right.sums[:k], shifts, units, p, out)
        elif self.plan is not None:
            cost_planned(u, v, *self.plan, shifts, units, p, out)
        else:
            cost_equal(u, v, shifts, units, p, out)

    def add_slopes(self, left: Side, right: Side, shifts: Array, *line: Any) -> None:
        """Add derivatives of costs to the last of the arguments, see `_kernels.gradient`."""
        k = len(shifts)
        u, v = left.values[:k], right.values[:k]
        assert left.order is not None
        if left.sums is not None and right.sums is not None and self.weighted:
            sums = left.sums[:k], right.sums[:k]
            add_slopes_weighted(u, v, left.order[:k], *sums, shifts, *line)
        elif self.plan is not None:
            add_slopes_planned(u, v, left.order[:k], *self.plan, shifts, *line)
        else:
            add_slopes_equal(u, v, left.order[:k], shifts, *line)

    def distances(self, left: Side, right: Side, shifts: Array, p: float, out: Array) -> None:
        """W_p of the first len(out) sorted rows.

        Above `SAFE_POWER` the distance of one power q gives the unit for the next, q^2. As all
        masses are 2^-62 or more, W_q <= W_{q^2} <= 2^(62 / q) W_q. The middle of the two becomes
        one, so that W_256^256 is between 1e-150 and 1e150.
        """
        units = np.ones(len(out))
        for q in [*(q for q in (SAFE_POWER, SAFE_POWER**2) if q < p), p]:
            self.costs(left, right, shifts, q, out, units)
            out[:] = out ** (1.0 / q) / units  # W_q
            units = 1.0 / np.where(out > 0.0, 2.0 ** (31.0 / q) * out, 1.0)
