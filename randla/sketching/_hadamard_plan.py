"""How the Hadamard sketches are applied: blocks, strips of columns, parts for the threads."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._memory import aligned_zeros
from randla._parallel import part_bounds, run_parts
from randla._random import random_permutation
from randla._validation import is_sparse, read_only
from randla.sketching._kernels import hadamard as kernels, vector_code
from randla.sketching._operators import AnyArray, Sketch
from randla.sketching._working_memory import OrderedSum, part_count, strided_view

#: Rough seconds per entry of A, to decide whether the pool is worth its price.
_SECONDS_PER_ENTRY = 8e-10
#: Bytes of A that one call of a kernel reads, so that Ctrl-C is seen between two.
_BYTES_PER_CALL = 1 << 28
#: Rows of a block where the number of samples does not ask for more: three stages of radix 8.
USUAL_BLOCK = 512
#: Columns of a tile. At 512 rows of float64 it fills a second-level cache of 1 MiB.
_WIDEST = 264


class Purpose(IntEnum):
    """Which of the keys that are derived from a sketch's key is for what."""

    SIGNS, SHIFTS, FLIPS, LABELS, TABLE, SAMPLES, ORDER = range(7)
    SIGNS_1, TABLE_1, SAMPLES_1 = range(7, 10)  # of the first factor of a Kronecker sketch


def padded(n: int) -> int:
    """The smallest power of two that is at least n and 8 (the first stage has eight rows)."""
    return max(kernels.SMALLEST_BLOCK, 1 << max(n - 1, 0).bit_length())


@dataclass(frozen=True, eq=False, repr=False, init=False)
class HadamardSketch(Sketch):
    """What the exact and the block form share: all but the draw."""

    has_linf_guarantee: ClassVar[bool] = True

    @cached_property
    def _draw(self) -> kernels.Draw:
        return self._sorted_draw[0]

    @cached_property
    def _rank(self) -> NDArray[np.int64]:
        """Place of row j of S among the sorted samples."""
        return self._sorted_draw[1]

    @property
    @abstractmethod
    def _sorted_draw(self) -> tuple[kernels.Draw, NDArray[np.int64]]:
        """The draw with its samples sorted, and the place of each sample; drawn once."""

    def _apply(self, A: Any, b: AnyArray, weights: AnyArray, first_row: int) -> AnyArray:
        draw, m = self._draw, self.shape[0]
        n_rows, d = A.shape
        right = np.ascontiguousarray(b)
        width = d + right.shape[1]
        strips = _strips(width, A.dtype)
        first, last = _block_range(draw, first_row, first_row + n_rows)
        n_parts = part_count(last - first, n_rows / (96 * m))
        bounds = part_bounds(last - first, n_parts)
        sums = OrderedSum(lambda: aligned_zeros(m * sum(s.padded for s in strips), A.dtype))
        spare: list[kernels.Work] = []  # one for each thread

        def sketch_part(k: int) -> None:
            work = spare.pop() if spare else _make_work(draw, strips, A.dtype)
            total = sums.accumulator()
            for strip in strips:
                part = total[m * strip.offset : m * (strip.offset + strip.padded)]
                blocks = first + bounds[k][0], first + bounds[k][1]
                _sum_blocks(A, right, weights, first_row, blocks, strip, draw, work, part)
            sums.add(k, total)
            spare.append(work)

        run_parts(sketch_part, n_parts, seconds=_SECONDS_PER_ENTRY * n_rows * width)
        out = np.empty((m, width), A.dtype)
        for strip in strips:
            total = sums.total[m * strip.offset : m * (strip.offset + strip.padded)]
            kernels.collect_samples(
                read_only(total), strip.padded, self._rank, A.dtype.type(m**-0.5), out, strip.lo,
                strip.hi - strip.lo,
            )  # fmt: skip
        return out

    def _apply_adjoint(self, Y: AnyArray, first: int, last: int) -> AnyArray:
        draw, (m, k) = self._draw, Y.shape
        out = np.empty((last - first, k), Y.dtype)
        low, high = _block_range(draw, first, last)
        n_parts = part_count(high - low, 64)
        bounds = part_bounds(high - low, n_parts)
        strips = _strips(k, Y.dtype)
        rows = []
        for strip in strips:  # the rows of Y / sqrt(m), samples sorted
            sorted_rows = aligned_zeros(m * strip.padded, Y.dtype).reshape(m, strip.padded)
            sorted_rows[self._rank, : strip.hi - strip.lo] = Y[:, strip.lo : strip.hi] / np.sqrt(m)
            rows.append(read_only(sorted_rows.reshape(-1)))
        spare: list[kernels.Work] = []

        def fill_part(i: int) -> None:
            work = spare.pop() if spare else _make_work(draw, strips, Y.dtype)
            for strip, strip_rows in zip(strips, rows, strict=True):
                kernels.adjoint_blocks(
                    strip_rows, low + bounds[i][0], low + bounds[i][1], first, draw, work,
                    strip.padded, out, strip.lo, strip.hi - strip.lo,
                )  # fmt: skip
            spare.append(work)

        run_parts(fill_part, n_parts, seconds=_SECONDS_PER_ENTRY * out.size)
        return out


def _sum_blocks(
    A: Any,
    b: AnyArray,
    weights: AnyArray,
    first_row: int,
    blocks: tuple[int, int],
    strip: _Strip,
    draw: kernels.Draw,
    work: kernels.Work,
    total: AnyArray,
) -> None:
    """Add the share of a range of blocks in sqrt(m) S [A b], in the columns of a strip."""
    n_rows, d = A.shape
    lo, hi = min(strip.lo, d), min(strip.hi, d)
    right = strided_view(b[:, max(strip.lo - d, 0) : max(strip.hi - d, 0)])
    common = right, weights, first_row, n_rows
    lanes = vector_code.lanes(A.dtype)
    step = max(_BYTES_PER_CALL // (draw.block * strip.padded * total.itemsize), 1)
    for i in range(*blocks, step):
        end = min(i + step, blocks[1])
        if is_sparse(A):
            kernels.sketch_sparse_blocks(
                read_only(A.data), read_only(A.indices), read_only(A.indptr), lo, hi,
                *common, i, end, draw, work, lanes, total,
            )  # fmt: skip
        else:
            left = strided_view(A[:, lo:hi])
            kernels.sketch_blocks(left, *common, i, end, draw, work, lanes, total)


def _block_range(draw: kernels.Draw, first: int, last: int) -> tuple[int, int]:
    """Blocks that hold rows first..last of an operand."""
    if draw.period:
        return first // draw.period_rows * draw.period, -(-last // draw.period_rows) * draw.period
    return first // draw.block, -(-last // draw.block)


class _Strip(NamedTuple):
    """Columns lo..hi of an operand; `padded` rounds their number up to whole vectors."""

    lo: int
    hi: int
    padded: int
    offset: int  # sum of the counts before


def _strips(width: int, dtype: Any) -> list[_Strip]:
    """Nearly equal strips of columns, none wider than a tile in cache may be."""
    lanes = vector_code.lanes(dtype)
    n_strips = -(-width // _WIDEST)
    step = 16 * -(-width // (16 * max(n_strips, 1)))
    strips, offset = [], 0
    for lo in range(0, width, step):
        hi = min(lo + step, width)
        count = -(-(hi - lo) // lanes) * lanes
        strips.append(_Strip(lo, hi, count, offset))
        offset += count
    return strips


def _make_work(draw: kernels.Draw, strips: list[_Strip], dtype: Any) -> kernels.Work:
    line, B = vector_code.line_entries(dtype), draw.block
    # An odd number of lines, so that the rows of a tile spread over the cache.
    stride = (-(-strips[0].padded // line) | 1) * line
    return kernels.Work(
        tile=aligned_zeros(B * stride, dtype),
        few=aligned_zeros(16 * stride, dtype),
        stride=stride,
        row=np.empty(B, np.int64),
        position=np.empty(B, np.int64),
        offset=np.empty(B, np.int64),
        offset_b=np.empty(B, np.int64),
        sign=np.empty(B, dtype),
        factor=np.empty(B, dtype),
        flip=np.empty(len(draw.p), dtype),
    )


def sort_samples(
    keys: NDArray[np.uint64],
    block: int,
    p: NDArray[np.int64],
    q: NDArray[np.int64],
    labels: NDArray[np.int64] | None,
    period_rows: int = 0,
    period_labels: NDArray[np.int64] | None = None,
) -> tuple[kernels.Draw, NDArray[np.int64]]:
    """The draw with its samples sorted for the last stage, and the place of each sample."""
    R = kernels.last_radix(block)
    stride = block // R
    order = np.lexsort((p, q, q % stride))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    p, q = p[order], q[order]
    draw = kernels.Draw(
        block=block,
        last_radix=R,
        signs_key=keys[Purpose.SIGNS],
        shifts_key=keys[Purpose.SHIFTS],
        flips_key=keys[Purpose.FLIPS],
        independent=labels is None,
        period=0 if period_labels is None or labels is None else len(labels),
        period_rows=period_rows,
        labels=read_only(p[:0] if labels is None else labels),
        period_labels=read_only(p[:0] if period_labels is None else period_labels),
        table=read_only(random_permutation(keys[Purpose.TABLE], block)),
        p=read_only(p),
        q=read_only(q),
        start=read_only(np.searchsorted(q % stride, np.arange(stride + 1))),
    )
    return draw, read_only(rank)
