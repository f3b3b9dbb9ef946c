"""Sparse sketches: each row of the operand is added, with random signs, to a few sketch rows."""

import numpy as np

from randla._jit import kernel
from randla._random import counter_hash, hash_to_range
from randla.sketching._kernels.vectors import gather_rows, scatter_rows, transpose

_TOP = np.uint64(63)


@kernel
def draw_rows(key, first, m, nonzeros, buckets, flips, owner):
    """Sketch rows and signs that operand rows first, first + 1, ... meet; flat, row after row.

    The rows are uniform without replacement: a number that is known is drawn again.
    owner: (m,) the last operand row that met each sketch row, -1 at the start.
    """
    start = first * nonzeros
    for k in range(buckets.size):
        bits = counter_hash(key, start + k)
        buckets[k] = hash_to_range(bits, m)
        flips[k] = 1 - 2 * np.int64(bits >> _TOP)
    for k in range(buckets.size if nonzeros > 1 else 0):
        row, attempt = first + k // nonzeros, 0
        while owner[buckets[k]] == row:
            bits = counter_hash(counter_hash(key, start + k), attempt)
            buckets[k] = hash_to_range(bits, m)
            attempt += 1
        owner[buckets[k]] = row


@kernel
def weigh(weights, first, last, nonzeros, flips):
    """Multiply the signs of rows first..last by their weights."""
    for k in range((last - first) * nonzeros):
        flips[k] *= weights[first + k // nonzeros]


@kernel
def load_slab(source, first, last, slab, stride, lanes, one, order):
    """Copy rows first..last of an operand that is not in C order to a slab of rows.

    one: ones, order: 0, 1, ..., both of at least `last - first` entries.
    """
    middle = first
    if source.row_step == 1:
        middle = last - (last - first) % lanes
        for c in range(0, source.width, lanes):
            count = min(lanes, source.width - c)
            at = source.start + c * source.column_step
            for i in range(first, middle, lanes):
                transpose(
                    source.flat, at + i, source.column_step,
                    one, i - first, slab, c, order, stride, count,
                )  # fmt: skip
    for i in range(middle, last):
        to, at = (i - first) * stride, source.start + i * source.row_step
        for c in range(source.width):
            slab[to + c] = source.flat[at + c * source.column_step]


@kernel
def scatter_slab(
    flat, start, step, rows, nonzeros, buckets, flips, total, column, total_step, width
):
    """Add rows of `flat` to columns `column`.. of the total, at a stride of `total_step`."""
    scatter_rows(
        flat, start, step, rows, nonzeros, buckets, flips, total, column, total_step, width
    )


@kernel
def scatter_sparse(data, indices, indptr, first, last, nonzeros, buckets, flips, total, total_step):
    """The same for rows first..last of a CSR matrix."""
    for i in range(first, last):
        row = (i - first) * nonzeros
        for k in range(indptr[i], indptr[i + 1]):
            column, value = np.int64(indices[k]), data[k]
            for j in range(row, row + nonzeros):
                total[buckets[j] * total_step + column] += flips[j] * value


@kernel
def gather_sketch_rows(Y, width, nonzeros, buckets, flips, out, first, last):
    """Rows first..last of `out` (of `width` entries, flat): sums of `nonzeros` rows of Y."""
    gather_rows(Y, width, last - first, nonzeros, buckets, flips, out, first * width, width)
