"""Sparse sketches: each row of the operand is added, with random signs, to a few sketch rows."""

from typing import Any, NamedTuple

import numpy as np

from randla._jit import inline, kernel
from randla._random import counter_hash, hash_to_range
from randla.sketching._kernels.vectors import gather_rows, load_rows, scatter_rows

_TOP = np.uint64(63)


class Draw(NamedTuple):
    """The random choices of a sketch."""

    key: np.uint64
    m: int
    nonzeros: int  # entries of a column


class Work(NamedTuple):
    """Working memory of one part, for slabs of rows."""

    buckets: np.ndarray  # (rows * nonzeros,) int64: the sketch rows they are added to
    flips: Any  # (rows * nonzeros,): with these signs
    owner: np.ndarray  # (m,) int64: the last operand row added to each sketch row, -1 at the start
    slab: Any  # (rows * step,): rows of an operand that is not in C order
    one: Any  # (rows,) ones
    order: np.ndarray  # (rows,) int64: 0, 1, ...


@inline
def draw_rows(draw, first, rows, work):
    """Sketch rows and signs for operand rows first, first + 1, ...; flat, row after row.

    The rows are uniform without replacement: duplicates are drawn again.
    """
    zeta, buckets, flips, owner = draw.nonzeros, work.buckets, work.flips, work.owner
    start, count = first * zeta, rows * zeta
    for k in range(count):
        bits = counter_hash(draw.key, start + k)  # bucket: low bits, sign: the top bit
        buckets[k] = hash_to_range(bits, draw.m)
        flips[k] = 1 - 2 * np.int64(bits >> _TOP)
    for k in range(count if zeta > 1 else 0):
        row, attempt = first + k // zeta, 0
        while owner[buckets[k]] == row:  # drawn for this row already
            bits = counter_hash(counter_hash(draw.key, start + k), attempt)
            buckets[k] = hash_to_range(bits, draw.m)
            attempt += 1
        owner[buckets[k]] = row


@inline
def draw_weighted_rows(draw, first, rows, first_row, weights, work):
    """`draw_rows` for an operand that begins at row first_row; its weights multiply the signs."""
    draw_rows(draw, first_row + first, rows, work)
    if weights.size:
        for k in range(rows * draw.nonzeros):
            work.flips[k] *= weights[first + k // draw.nonzeros]


@inline
def scatter(source, first, rows, draw, work, lanes, total, column, step):
    """Add drawn rows of a dense operand to columns `column`.. of the total."""
    if source.column_step == 1:
        scatter_rows(
            source.flat, source.start + first * source.row_step, source.row_step, rows,
            draw.nonzeros, work.buckets, work.flips, total, column, step, source.width,
        )  # fmt: skip
    else:  # copied to C order, a slab of rows at a time
        load_rows(source, first, 0, rows, work.one, work.slab, work.order, step, lanes)
        scatter_rows(
            work.slab, 0, step, rows,
            draw.nonzeros, work.buckets, work.flips, total, column, step, source.width,
        )  # fmt: skip


@kernel
def sketch_rows(A, b, weights, first_row, first, last, draw, work, lanes, total, step):
    """Add rows first..last of S [A b] sqrt(nonzeros) to the total, which has m rows of `step`."""
    slab_rows = work.one.size
    for i in range(first, last, slab_rows):
        rows = min(slab_rows, last - i)
        draw_weighted_rows(draw, i, rows, first_row, weights, work)
        scatter(A, i, rows, draw, work, lanes, total, 0, step)
        scatter(b, i, rows, draw, work, lanes, total, A.width, step)


@kernel
def sketch_sparse_rows(
    data, indices, indptr, width, b, weights, first_row, first, last, draw, work, lanes, total, step
):
    """`sketch_rows` of a CSR matrix with `width` columns."""
    slab_rows, zeta = work.one.size, draw.nonzeros
    for i in range(first, last, slab_rows):
        rows = min(slab_rows, last - i)
        draw_weighted_rows(draw, i, rows, first_row, weights, work)
        for r in range(rows):
            for k in range(indptr[i + r], indptr[i + r + 1]):  # stored entries of a row
                column, value = np.int64(indices[k]), data[k]
                for j in range(r * zeta, (r + 1) * zeta):
                    total[work.buckets[j] * step + column] += work.flips[j] * value
        scatter(b, i, rows, draw, work, lanes, total, width, step)


@kernel
def adjoint_rows(Y, width, first_row, first, last, draw, work, out):
    """Rows first..last of `out` (rows of `width` entries, flat): sums of `nonzeros` rows of Y."""
    slab_rows = work.one.size
    for i in range(first, last, slab_rows):
        rows = min(slab_rows, last - i)
        draw_rows(draw, first_row + i, rows, work)
        gather_rows(Y, width, rows, draw.nonzeros, work.buckets, work.flips, out, i * width, width)
