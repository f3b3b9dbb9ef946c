"""Hadamard transforms across the rows of a tile, written in vectors.

A sketch spends most of its time in a loop of eight loads, 24 additions and eight stores over
columns. LLVM vectorizes such a loop only if it can prove that the eight rows do not overlap, which
needs a row stride known at compile time, and it leaves a scalar loop for the last columns. So these
few loops are written here as LLVM vectors of 32 bytes: any stride, one kernel for all
widths, with the cache lines of the next block prefetched in between.

Tiles have rows of whole vectors; their unused columns hold zeros. Arrays are flat (1-D, C), of one
dtype in a call; positions, strides and counts are in entries, `count` a multiple of `lanes`
unless stated. Each function is defined next to its NumPy twin, which runs when Numba's JIT is
disabled.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from randla._jit import kernel
from randla._kernels.vector_code import I32, I64, lanes, vector_function

# Transforms across rows ---------------------------------------------------------------------------


def butterfly_meaning(R):
    """The NumPy twin of ``BUTTERFLY[R]``."""

    def butterfly(x, first_x, step_x, y, first_y, step_y, count):
        """H_R across rows, from x[first_x + k step_x + c] to y[first_y + k step_y + c]."""
        rows = [x[first_x + k * step_x :][:count].copy() for k in range(R)]
        for k, row in enumerate(_hadamard(rows)):
            y[first_y + k * step_y :][:count] = row

    return butterfly


def butterfly_ahead_meaning(R):
    """The NumPy twin of ``BUTTERFLY_AHEAD[R]``: prefetching changes nothing."""

    def butterfly_ahead(x, first_x, step_x, y, first_y, step_y, count, ahead, at, step):
        """`butterfly`, prefetching R/2 rows of `ahead`, from entry `at` on at stride `step`."""
        butterfly_meaning(R)(x, first_x, step_x, y, first_y, step_y, count)

    return butterfly_ahead


def _make_butterfly(R, meaning):
    @vector_function(meaning)
    def butterfly(code, x, first_x, step_x, y, first_y, step_y, count, *lookahead):
        prefetch = _prefetcher(code, R, count, *lookahead) if lookahead else None
        x, y = code.base(0, first_x), code.base(3, first_y)
        rows_x = [code.at(x, code.builder.mul(step_x, I64(k))) for k in range(R)]
        rows_y = [code.at(y, code.builder.mul(step_y, I64(k))) for k in range(R)]

        def body(c, vector):
            if prefetch is not None and vector:  # half a line of each row per iteration
                prefetch(c)
            values = code.hadamard([code.load(code.at(row, c), vector) for row in rows_x])
            for row, value in zip(rows_y, values, strict=True):
                code.store(value, code.at(row, c))

        code.vectors_then_rest(count, body)

    return butterfly


def _prefetcher(code, R, count, ahead, at, step):
    """Code that prefetches R/2 rows of `ahead`, spread over the iterations of a `count` loop."""
    builder = code.builder
    lines = [code.at(code.base(7, at), builder.mul(step, I64(k))) for k in range(0, R // 2, 2)]
    # An iteration covers half a line of each row. The first half prefetches rows 0, 2, ...,
    # the second half rows 1, 3, ...
    second = builder.sub(step, count)

    def prefetch(c):
        if R > 2:
            c2 = builder.mul(c, I64(2))
            late = builder.icmp_signed(">=", c2, count)
            c = builder.select(late, builder.add(second, c2), c2)
        for line in lines:
            code.prefetch(code.at(line, c))

    return prefetch


#: Radix -> function; stages of any power of two up to 16 rows.
BUTTERFLY = {R: _make_butterfly(R, butterfly_meaning(R)) for R in (1, 2, 4, 8, 16)}
#: The same transforms, with prefetching.
BUTTERFLY_AHEAD = {R: _make_butterfly(R, butterfly_ahead_meaning(R)) for R in (2, 4, 8, 16)}


def _gather8(x, offsets, factors, k, y, first_y, step_y, count):
    """H_8 across the rows factors[k + u] x[offsets[k + u] + c], to y; any count."""
    rows = [factors[k + u] * x[offsets[k + u] :][:count] for u in range(8)]
    for u, row in enumerate(_hadamard(rows)):
        y[first_y + u * step_y :][:count] = row


@vector_function(_gather8)
def gather8(code, x, offsets, factors, k, y, first_y, step_y, count):
    builder = code.builder
    starts, signs = code.base(1, k), code.base(2, k)
    rows = [code.base(0, builder.load(code.at(starts, I64(u)))) for u in range(8)]
    signs = [builder.load(code.at(signs, I64(u))) for u in range(8)]
    spread = [code.spread(s) for s in signs]
    targets = [code.at(code.base(4, first_y), builder.mul(step_y, I64(u))) for u in range(8)]

    def body(c, vector):
        values = [
            builder.fmul(s, code.load(code.at(row, c), vector))
            for s, row in zip(spread if vector else signs, rows, strict=True)
        ]
        for row, value in zip(targets, code.hadamard(values), strict=True):
            code.store(value, code.at(row, c))

    code.vectors_then_rest(count, body)


def _lane_transform(y, first_y, count):
    """H_V inside each of the vectors from y[first_y] on, V = `lanes`, in place."""
    vectors = y[first_y : first_y + count].reshape(-1, lanes(y.dtype))
    vectors[:] = np.stack(_hadamard(list(vectors.T.copy())), axis=1)


@vector_function(_lane_transform)
def lane_transform(code, y, first_y, count):
    builder, V = code.builder, code.lanes
    row = code.base(0, first_y)
    with code.loop(I64(0), count, V) as (c, _):
        value, half = code.load(code.at(row, c)), 1
        while half < V:  # a +- b inside a vector: the sign times itself plus its shuffle
            swap = ir.Constant(ir.VectorType(I32, V), [k ^ half for k in range(V)])
            sign = ir.Constant(code.vector, [-1.0 if k & half else 1.0 for k in range(V)])
            value = code.fused(sign, value, builder.shuffle_vector(value, value, swap))
            half *= 2
        code.store(value, code.at(row, c))


# Rows ---------------------------------------------------------------------------------------------


def _add_scaled(x, first_x, s, y, first_y, count):
    """y[first_y + c] += s x[first_x + c]; any count."""
    y[first_y : first_y + count] += s * x[first_x : first_x + count]


@vector_function(_add_scaled)
def add_scaled(code, x, first_x, s, y, first_y, count):
    row_x, row_y, spread = code.base(0, first_x), code.base(3, first_y), code.spread(s)

    def body(c, vector):
        target = code.at(row_y, c)
        value = code.load(code.at(row_x, c), vector)
        value = code.fused(spread if vector else s, value, code.load(target, vector))
        code.store(value, target)

    code.vectors_then_rest(count, body)


def _scale(x, first_x, s, y, first_y, count):
    """y[first_y + c] = s x[first_x + c]; any count."""
    y[first_y : first_y + count] = s * x[first_x : first_x + count]


@vector_function(_scale)
def scale(code, x, first_x, s, y, first_y, count):
    row_x, row_y, spread = code.base(0, first_x), code.base(3, first_y), code.spread(s)

    def body(c, vector):
        value = code.load(code.at(row_x, c), vector)
        value = code.builder.fmul(spread if vector else s, value)
        code.store(value, code.at(row_y, c))

    code.vectors_then_rest(count, body)


def _scatter_rows(x, first_x, step_x, rows, zeta, positions, factors, y, first_y, step_y, count):
    """Add each row, times its zeta factors, to the rows at its zeta positions; any count.

    y[first_y + positions[r zeta + j] step_y + c] += factors[r zeta + j] x[first_x + r step_x + c]
    """
    for r in range(rows):
        row = x[first_x + r * step_x :][:count]
        for k in range(r * zeta, (r + 1) * zeta):
            y[first_y + positions[k] * step_y :][:count] += factors[k] * row


@vector_function(_scatter_rows)
def scatter_rows(
    code, x, first_x, step_x, rows, zeta, positions, factors, y, first_y, step_y, count
):
    builder = code.builder
    source, target = code.base(0, first_x), code.base(7, first_y)
    places, signs = code.base(5, I64(0)), code.base(6, I64(0))
    with code.loop(I64(0), rows, 1) as (r, _):
        row, first = code.at(source, builder.mul(r, step_x)), builder.mul(r, zeta)
        with code.loop(first, builder.add(first, zeta), 1) as (k, _):
            place = code.at(target, builder.mul(builder.load(code.at(places, k)), step_y))
            sign = builder.load(code.at(signs, k))
            spread = code.spread(sign)

            def body(c, vector, row=row, place=place, sign=sign, spread=spread):
                address = code.at(place, c)
                value = code.load(code.at(row, c), vector)
                total = code.load(address, vector)
                code.store(code.fused(spread if vector else sign, value, total), address)

            code.vectors_then_rest(count, body)


def _gather_rows(x, step_x, rows, zeta, positions, factors, y, first_y, count):
    """Sums of zeta rows of x, times factors; any count.

    y[first_y + r count + c] = sum over j of factors[r zeta + j] x[positions[r zeta + j] step_x + c]
    """
    for r in range(rows):
        total = np.zeros(count, x.dtype)
        for k in range(r * zeta, (r + 1) * zeta):
            total += factors[k] * x[positions[k] * step_x :][:count]
        y[first_y + r * count :][:count] = total


@vector_function(_gather_rows)
def gather_rows(code, x, step_x, rows, zeta, positions, factors, y, first_y, count):
    builder = code.builder
    source, target = code.base(0, I64(0)), code.base(6, first_y)
    places, signs = code.base(4, I64(0)), code.base(5, I64(0))
    with code.loop(I64(0), rows, 1) as (r, _):
        first, row = builder.mul(r, zeta), code.at(target, builder.mul(r, count))

        def body(c, vector):
            kind = code.vector if vector else code.scalar
            total = cgutils.alloca_once_value(builder, ir.Constant(kind, None))
            builder.store(ir.Constant(kind, None), total)
            with code.loop(first, builder.add(first, zeta), 1) as (k, _):
                place = builder.mul(builder.load(code.at(places, k)), step_x)
                value = code.load(code.at(source, builder.add(place, c)), vector)
                sign = builder.load(code.at(signs, k))
                sign = code.spread(sign) if vector else sign
                builder.store(code.fused(sign, value, builder.load(total)), total)
            code.store(builder.load(total), code.at(row, c))

        code.vectors_then_rest(count, body)


def _transpose(x, first_x, step_x, factors, k, y, first_y, positions, step_y, count):
    """Column c of `lanes` rows from x[first_x + c step_x] on, scaled, to rows positions[k + t].

    y[first_y + positions[k + t] step_y + c] = factors[k + t] x[first_x + c step_x + t]
    """
    for t in range(lanes(x.dtype)):
        row = x[first_x + t :][: (count - 1) * step_x + 1 : step_x] if count else x[:0]
        y[first_y + positions[k + t] * step_y :][:count] = factors[k + t] * row


@vector_function(_transpose)
def transpose(code, x, first_x, step_x, factors, k, y, first_y, positions, step_y, count):
    builder, V = code.builder, code.lanes
    source, target = code.base(0, first_x), code.base(5, first_y)
    signs = [builder.load(code.at(code.base(3, k), I64(t))) for t in range(V)]
    spread = [code.spread(s) for s in signs]
    places = [builder.load(code.at(code.base(7, k), I64(t))) for t in range(V)]
    rows = [code.at(target, builder.mul(step_y, place)) for place in places]
    with code.loop(I64(0), code.whole(count), V) as (c, _):
        columns = [
            code.load(code.at(source, builder.mul(step_x, builder.add(c, I64(t)))))
            for t in range(V)
        ]
        for row, s, value in zip(rows, spread, code.transposed(columns), strict=True):
            code.store(builder.fmul(s, value), code.at(row, c))
    with code.loop(code.whole(count), count, 1) as (c, _):
        column = code.at(source, builder.mul(step_x, c))
        for t, (row, s) in enumerate(zip(rows, signs, strict=True)):
            value = builder.fmul(s, builder.load(code.at(column, I64(t))))
            builder.store(value, code.at(row, c))


@kernel
def load_rows(source, shift, low, high, factors, y, positions, step_y, lanes):
    """Row shift + r of a strided matrix, times factors[r], to row positions[r], low <= r < high."""
    flat, width, step, middle = source.flat, source.width, source.column_step, low
    if source.row_step == 1:  # neighbors in a column: small squares of `lanes` rows and columns
        middle = high - (high - low) % lanes
        for c in range(0, width, lanes):  # few columns at a time: each is a stream
            count = min(lanes, width - c)
            at = source.start + shift + c * step
            for r in range(low, middle, lanes):
                transpose(flat, at + r, step, factors, r, y, c, positions, step_y, count)
    for r in range(middle, high):  # the last rows, or any strides
        first, at = positions[r] * step_y, source.start + (shift + r) * source.row_step
        factor = factors[r]
        for c in range(width):  # unsigned indices need no check of their sign
            y[np.uint64(first + c)] = factor * flat[np.uint64(at + c * step)]


def _hadamard(rows):
    """The unnormalized transform of a list of NumPy rows."""
    half = 1
    while half < len(rows):
        for k in range(0, len(rows), 2 * half):
            for r in range(k, k + half):
                rows[r], rows[r + half] = rows[r] + rows[r + half], rows[r] - rows[r + half]
        half *= 2
    return rows
