"""Sparse sketches: each row of the operand is added, with random signs, to a few sketch rows."""

import numpy as np

from randla._jit import kernel
from randla._random import counter_hash, hash_to_range
from randla.sketching._kernels.vectors import add_scaled, scale

_TOP = np.uint64(63)


@kernel
def draw_rows(key, first, m, nonzeros, buckets, flips):
    """Sketch rows and signs that operand rows first, first + 1, ... meet; flat, row after row.

    The rows are uniform without replacement: a number that is known is drawn again.
    """
    start = first * nonzeros
    for k in range(buckets.size):
        bits = counter_hash(key, start + k)
        buckets[k] = hash_to_range(bits, m)
        flips[k] = 1 - 2 * np.int64(bits >> _TOP)
    for k in range(buckets.size if nonzeros > 1 else 0):
        row = k - k % nonzeros
        attempt = 0
        while True:
            known = False
            for i in range(row, k):
                known |= buckets[i] == buckets[k]
            if not known:
                break
            bits = counter_hash(counter_hash(key, start + k), attempt)
            buckets[k] = hash_to_range(bits, m)
            attempt += 1


@kernel
def scatter_rows(source, weights, first, last, nonzeros, buckets, flips, line, total, step, column):
    """Add rows first..last of a dense operand to `total`, at stride `step` from `column` on.

    source: Source; weights: of all rows, or empty; line: room for one row.
    """
    for i in range(first, last):
        at = source.start + i * source.row_step
        k = (i - first) * nonzeros
        if source.column_step == 1 and weights.size == 0:
            for j in range(k, k + nonzeros):
                to = buckets[j] * step + column
                add_scaled(source.flat, at, flips[j], total, to, source.width)
            continue
        for c in range(source.width):
            line[c] = source.flat[at + c * source.column_step]
        weight = weights[i] if weights.size else 1
        for j in range(k, k + nonzeros):
            to = buckets[j] * step + column
            add_scaled(line, 0, flips[j] * weight, total, to, source.width)


@kernel
def scatter_sparse_rows(
    data, indices, indptr, weights, first, last, nonzeros, buckets, flips, total, step
):
    """`scatter_rows` of a CSR matrix."""
    for i in range(first, last):
        weight = weights[i] if weights.size else 1
        for j in range((i - first) * nonzeros, (i - first + 1) * nonzeros):
            row, flip = buckets[j] * step, flips[j] * weight
            for k in range(indptr[i], indptr[i + 1]):
                total[row + indices[k]] += flip * data[k]


@kernel
def gather_sketch_rows(Y, width, nonzeros, buckets, flips, out, first, last):
    """Rows first..last of `out` (of `width` entries, flat): sums of `nonzeros` rows of Y."""
    for i in range(first, last):
        k, at = (i - first) * nonzeros, i * width
        scale(Y, buckets[k] * width, flips[k], out, at, width)
        for j in range(k + 1, k + nonzeros):
            add_scaled(Y, buckets[j] * width, flips[j], out, at, width)
