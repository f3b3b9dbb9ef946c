"""The one-pass subsampled Hadamard transform: a block of rows at a time, in cache.

With H_N = H_{N/B} (x) H_B, row p B + q of H_N P D A is the sum over blocks i of
(-1)^popcount(p & label_i) times row q of H_B P_i D_i A_i, where D holds random signs, P_i permutes
the rows of block i and the labels permute the blocks. So each block of B rows is read once into a
tile, transformed there, and m of its rows are added to the accumulator.

Loops run over columns, so that SIMD needs no shuffles. The distance between two rows of a tile
is a compile-time constant: only then LLVM sees that the eight streams of a butterfly are
apart, and vectorises. A kernel is made for few widths; a wider matrix is cut into strips.
"""

from typing import Any, NamedTuple

import numpy as np

from randla._jit import fused_kernel, inline
from randla._random import counter_hash, hash_to_range

#: Rows of three radix-8 stages. Larger blocks have one stage more, smaller ones a plain transform.
TILE = 512

_ONE, _SIX, _LOW6 = np.uint64(1), np.uint64(6), np.uint64(63)


class Draw(NamedTuple):
    """The random choices of a sketch; samples are sorted by q modulo the last stride, then by q."""

    block: int  # B
    signs_key: np.uint64  # the sign of a row is a bit of the hash of its number
    shifts_key: np.uint64  # the rotation of a block is the hash of its number
    flips_key: np.uint64  # block form: the sign of (block, sample) is a bit of a hash
    independent: bool  # block form: independent signs in place of labels
    labels: np.ndarray  # (N/B,) int64, permutation of the blocks
    table: np.ndarray  # (B,) int64, permutation inside a block
    p: np.ndarray  # (m,) int64
    part: np.ndarray  # (m,) int64, q divided by the last stride
    start: np.ndarray  # samples with q modulo the last stride == g are start[g]:start[g + 1]


class Source(NamedTuple):
    """Columns of a dense operand: (i, j) at ``flat[start + i * row_step + j * column_step]``."""

    flat: Any
    start: int
    row_step: int
    column_step: int
    width: int


@inline
def random_sign(key, i):
    """Bit i of a stream of bits, as +1 or -1."""
    word = counter_hash(key, np.uint64(i) >> _SIX)
    return 1.0 - 2.0 * np.float64((word >> (np.uint64(i) & _LOW6)) & _ONE)


@inline
def parity_sign(v):
    """(-1)^popcount(v) for 0 <= v < 2^32."""
    v ^= v >> 16
    v ^= v >> 8
    v ^= v >> 4
    v ^= v >> 2
    v ^= v >> 1
    return 1.0 - 2.0 * (v & 1)


@inline
def butterfly8(x, y, width, S, T):
    """H_8 across eight rows, from x at stride S to y at stride T (y may be x)."""
    for c in range(width):
        a0, a1, a2, a3 = x[c], x[c + S], x[c + 2 * S], x[c + 3 * S]
        a4, a5, a6, a7 = x[c + 4 * S], x[c + 5 * S], x[c + 6 * S], x[c + 7 * S]
        b0, b1, b2, b3 = a0 + a1, a0 - a1, a2 + a3, a2 - a3
        b4, b5, b6, b7 = a4 + a5, a4 - a5, a6 + a7, a6 - a7
        a0, a1, a2, a3 = b0 + b2, b1 + b3, b0 - b2, b1 - b3
        a4, a5, a6, a7 = b4 + b6, b5 + b7, b4 - b6, b5 - b7
        y[c], y[c + T], y[c + 2 * T], y[c + 3 * T] = a0 + a4, a1 + a5, a2 + a6, a3 + a7
        y[c + 4 * T], y[c + 5 * T] = a0 - a4, a1 - a5
        y[c + 6 * T], y[c + 7 * T] = a2 - a6, a3 - a7


@inline
def butterfly4(x, y, width, S, T):
    """H_4 across four rows."""
    for c in range(width):
        a0, a1, a2, a3 = x[c], x[c + S], x[c + 2 * S], x[c + 3 * S]
        b0, b1, b2, b3 = a0 + a1, a0 - a1, a2 + a3, a2 - a3
        y[c], y[c + T], y[c + 2 * T], y[c + 3 * T] = b0 + b2, b1 + b3, b0 - b2, b1 - b3


@inline
def butterfly2(x, y, width, S, T):
    """H_2 across two rows."""
    for c in range(width):
        a0, a1 = x[c], x[c + S]
        y[c], y[c + T] = a0 + a1, a0 - a1


def last_radix(block):
    """Rows of the last stage, which is fused with the accumulation (1: no such stage)."""
    if block < TILE:
        return 1
    return 8 if block == TILE else block // TILE


@inline
def plain_transform(tile, rows, width, LD):
    """H of a tile of few rows (a power of two), in place."""
    half = 1
    while half < rows:
        for k in range(0, rows, 2 * half):
            for r in range(k, k + half):
                x, y = tile[r * LD :], tile[(r + half) * LD :]
                for c in range(width):
                    a, b = x[c], y[c]
                    x[c], y[c] = a + b, a - b
        half *= 2


@inline
def two_stages(tile, first, width, LD):
    """Strides 1 and 8 of the 512 rows from row `first` on; 64 rows stay in L1 for both."""
    for k in range(first, first + 512, 64):
        for u in range(0, 64, 8):
            x = tile[(k + u) * LD :]
            butterfly8(x, x, width, LD, LD)
        for u in range(8):
            x = tile[(k + u) * LD :]
            butterfly8(x, x, width, 8 * LD, 8 * LD)


@inline
def third_stage(tile, first, width, LD):
    """Stride 64 of the 512 rows from row `first` on."""
    for g in range(first, first + 64):
        x = tile[g * LD :]
        butterfly8(x, x, width, 64 * LD, 64 * LD)


@inline
def place_rows(draw, i, first_row, n_rows, scale, factor, position):
    """Position in the tile of each row of block i, and the sign (times scale) that it gets."""
    B = draw.block
    shift = hash_to_range(counter_hash(draw.shifts_key, i), B)
    for r in range(B):
        row = i * B + r
        position[r] = draw.table[(r + shift) & (B - 1)]
        factor[r] = random_sign(draw.signs_key, row)
    if scale.size:
        for r in range(max(first_row - i * B, 0), min(first_row + n_rows - i * B, B)):
            factor[r] *= scale[i * B + r - first_row]


@inline
def load_rows(source, shift, low, high, factor, position, tile, column, LD):
    """Rows low..high of a block, signed, to their positions, from column `column` of the tile on.

    Row r of the block is row r + shift of the source.
    """
    if source.column_step == 1:
        for r in range(low, high):
            x = tile[position[r] * LD + column :]
            a = source.flat[source.start + (r + shift) * source.row_step :]
            s = factor[r]
            for c in range(source.width):
                x[c] = s * a[c]
    else:  # eight columns at a time: whole cache lines are written
        for c0 in range(0, source.width, 8):
            c1 = min(c0 + 8, source.width)
            first = source.start + shift * source.row_step
            for r in range(low, high):
                x = position[r] * LD + column
                for c in range(c0, c1):
                    value = source.flat[first + r * source.row_step + c * source.column_step]
                    tile[x + c] = factor[r] * value


@inline
def clear_rows(low, high, position, tile, width, LD):
    for r in range(low, high):
        x = tile[position[r] * LD :]
        for c in range(width):
            x[c] = 0.0


@inline
def flip_samples(draw, i, flips):
    """The sign that each sample takes block i with."""
    m = draw.p.size
    if draw.independent:
        words = (m + 63) >> 6
        for j in range(m):
            flips[j] = random_sign(draw.flips_key, 64 * words * i + j)
    else:
        label = draw.labels[i]
        for j in range(m):
            flips[j] = parity_sign(draw.p[j] & label)


@inline
def add_samples(draw, g, rows, LD, width, flips, total):
    """Add row part[j] of `rows`, with its sign, to the total of each sample of group g."""
    for j in range(draw.start[g], draw.start[g + 1]):
        s = flips[j]
        x, y = rows[draw.part[j] * LD :], total[j * width :]
        for c in range(width):
            y[c] += s * x[c]


@inline
def transform_and_add(draw, width, LD, tile, few, flips, total):
    """Transform a tile and add its samples; the last stage goes to `few` rows, used at once."""
    B = draw.block
    if B < TILE:
        plain_transform(tile, B, width, LD)
        for g in range(B):
            add_samples(draw, g, tile[g * LD :], LD, width, flips, total)
        return
    for first in range(0, B, TILE):
        two_stages(tile, first, width, LD)
    if B == TILE:
        for g in range(64):
            butterfly8(tile[g * LD :], few, width, 64 * LD, LD)
            add_samples(draw, g, few, LD, width, flips, total)
        return
    for first in range(0, B, TILE):
        third_stage(tile, first, width, LD)
    for g in range(TILE):
        x = tile[g * LD :]
        if B == 2 * TILE:
            butterfly2(x, few, width, TILE * LD, LD)
        elif B == 4 * TILE:
            butterfly4(x, few, width, TILE * LD, LD)
        else:
            butterfly8(x, few, width, TILE * LD, LD)
        add_samples(draw, g, few, LD, width, flips, total)


def _make_sketch(LD):
    """Kernel for strips of at most LD columns. It closes over a number only, so it is cached."""

    @fused_kernel
    def sketch_blocks(A, b, scale, first_row, n_rows, first, last, draw, work, positions, total):
        """Add blocks first..last of S [A b] to `total`, (m, width) flat, without 1/sqrt m.

        A, b: Source (b of width 0 if there is none); scale: (n_rows,) or empty.
        work: of the dtype of A, `work_size` long; positions: (B,) int64.
        """
        B, width = draw.block, A.width + b.width
        tile, few = work[: B * LD], work[B * LD : (B + 8) * LD]
        factor, flips = work[(B + 8) * LD : (B + 8) * LD + B], work[(B + 8) * LD + B :]
        for i in range(first, last):
            shift = i * B - first_row
            low, high = max(-shift, 0), min(n_rows - shift, B)
            place_rows(draw, i, first_row, n_rows, scale, factor, positions)
            load_rows(A, shift, low, high, factor, positions, tile, 0, LD)
            if b.width:
                load_rows(b, shift, low, high, factor, positions, tile, A.width, LD)
            clear_rows(0, low, positions, tile, width, LD)
            clear_rows(high, B, positions, tile, width, LD)
            flip_samples(draw, i, flips)
            transform_and_add(draw, width, LD, tile, few, flips, total)

    return sketch_blocks


def _make_adjoint(LD):
    """Kernel of the adjoint for strips of at most LD columns."""

    @fused_kernel
    def adjoint_blocks(Y, first, last, first_row, q, draw, work, positions, out, column):
        """Blocks first..last of S^T Y, without 1/sqrt m, to columns `column`.. of `out`.

        Y: (m, width) in the order of the samples; q: (m,) row of a sample in its block; row k of
        `out` is row first_row + k of S^T Y.
        """
        B, m, width = draw.block, draw.p.size, Y.shape[1]
        tile = work[: B * LD]
        factor, flips = work[(B + 8) * LD : (B + 8) * LD + B], work[(B + 8) * LD + B :]
        nothing = factor[:0]
        for i in range(first, last):
            place_rows(draw, i, 0, 0, nothing, factor, positions)
            clear_rows(0, B, positions, tile, width, LD)
            flip_samples(draw, i, flips)
            for j in range(m):
                x, s = tile[q[j] * LD :], flips[j]
                for c in range(width):
                    x[c] += s * Y[j, c]
            if B < TILE:
                plain_transform(tile, B, width, LD)
            else:
                for k in range(0, B, TILE):
                    two_stages(tile, k, width, LD)
                    third_stage(tile, k, width, LD)
                for g in range(TILE):
                    x = tile[g * LD :]
                    if B == 2 * TILE:
                        butterfly2(x, x, width, TILE * LD, TILE * LD)
                    elif B == 4 * TILE:
                        butterfly4(x, x, width, TILE * LD, TILE * LD)
                    elif B == 8 * TILE:
                        butterfly8(x, x, width, TILE * LD, TILE * LD)
            for r in range(B):
                k = i * B + r - first_row
                if 0 <= k < out.shape[0]:
                    x, s = tile[positions[r] * LD :], factor[r]
                    for c in range(width):
                        out[k, column + c] = s * x[c]

    return adjoint_blocks


#: Row strides of tiles: no powers of two, whose rows would share few cache sets.
STRIDES = (8, 72, 264)
SKETCH_BLOCKS = {LD: _make_sketch(LD) for LD in STRIDES}
ADJOINT_BLOCKS = {LD: _make_adjoint(LD) for LD in STRIDES}


def work_size(draw, LD):
    """Numbers of working memory that one call of a kernel needs: tile, few rows, two vectors."""
    return (draw.block + 8) * LD + draw.block + draw.p.size
