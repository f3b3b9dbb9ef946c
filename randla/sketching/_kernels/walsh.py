"""The Walsh-Hadamard transform of an axis, through tiles in cache.

An array of shape (groups, R, stride) is transformed along its middle axis of R <= 4096 rows:
columns are taken in chunks, the first stage reads the chunk into a tile and the last one writes it
out, so the pass reads and writes memory once. A longer axis is factorized into such passes.
"""

from randla._jit import inline, kernel
from randla.sketching._kernels.vectors import BUTTERFLY, lane_transform

#: Entries of a contiguous vector that are transformed without a stage across rows.
SHORT = 64

_butterfly1, _butterfly2, _butterfly4 = (BUTTERFLY[R] for R in (1, 2, 4))
_butterfly8, _butterfly16 = BUTTERFLY[8], BUTTERFLY[16]


@inline
def butterfly(R, x, first_x, step_x, y, first_y, step_y, count):
    """H_R across rows, for R = 1, 2, 4, 8, 16."""
    if R == 8:
        _butterfly8(x, first_x, step_x, y, first_y, step_y, count)
    elif R == 16:
        _butterfly16(x, first_x, step_x, y, first_y, step_y, count)
    elif R == 4:
        _butterfly4(x, first_x, step_x, y, first_y, step_y, count)
    elif R == 2:
        _butterfly2(x, first_x, step_x, y, first_y, step_y, count)
    else:
        _butterfly1(x, first_x, step_x, y, first_y, step_y, count)


@inline
def later_stages(tile, LD, rows, out, first_out, step_out, count):
    """All stages but that of stride 1; the last one writes to `out`."""
    done = 8
    while done * 8 < rows:  # radix 8 while this stage leaves rows for another
        for k in range(0, rows, 8 * done):
            for r in range(k, k + done):
                _butterfly8(tile, r * LD, done * LD, tile, r * LD, done * LD, count)
        done *= 8
    radix = rows // done
    for r in range(done):
        butterfly(
            radix, tile, r * LD, done * LD, out, first_out + r * step_out, done * step_out, count
        )


@kernel
def transform_rows(x, out, rows, stride, width, tile, LD, first, last):
    """Items first..last of a pass from x to `out`, flat; an item is a chunk of `width` columns.

    rows: 2 to 4096; x may be `out`. tile: rows of LD entries, at least `width`.
    """
    chunks = (stride + width - 1) // width
    for k in range(first, last):
        column = k % chunks * width
        base, count = k // chunks * rows * stride + column, min(width, stride - column)
        if rows <= 16:
            butterfly(rows, x, base, stride, out, base, stride, count)
        else:
            for r in range(0, rows, 8):  # stride 1, from memory to the tile
                _butterfly8(x, base + r * stride, stride, tile, r * LD, LD, count)
            later_stages(tile, LD, rows, out, base, stride, count)


@kernel
def transform_vectors(x, out, rows, lanes, tile, LD, first, last):
    """Items first..last: contiguous vectors of SHORT * rows entries, rows = 1, 2, 4, ..., 4096."""
    vectors = SHORT // lanes
    for k in range(first, last):
        base = k * rows * SHORT
        for r in range(rows):  # H_SHORT = H_vectors (x) H_lanes
            butterfly(vectors, x, base + r * SHORT, lanes, tile, r * LD, lanes, lanes)
            lane_transform(tile, r * LD, SHORT)
        if rows == 1:
            for c in range(SHORT):
                out[base + c] = tile[c]
        elif rows <= 16:
            butterfly(rows, tile, 0, LD, out, base, SHORT, SHORT)
        else:
            for r in range(0, rows, 8):
                _butterfly8(tile, r * LD, LD, tile, r * LD, LD, SHORT)
            later_stages(tile, LD, rows, out, base, SHORT, SHORT)


@kernel
def transform_short(x, out, n, first, last):
    """Items first..last: contiguous vectors of n < SHORT entries."""
    for k in range(first, last):
        y = out[k * n : (k + 1) * n]
        for c in range(n):
            y[c] = x[k * n + c]
        half = 1
        while half < n:
            for start in range(0, n, 2 * half):
                for c in range(start, start + half):
                    a, b = y[c], y[c + half]
                    y[c], y[c + half] = a + b, a - b
            half *= 2
