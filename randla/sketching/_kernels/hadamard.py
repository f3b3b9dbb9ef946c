"""The one-pass subsampled Hadamard transform: a block of rows at a time, in cache.

With H_N = H_{N/B} (x) H_B, row p B + q of H_N P D A is the sum over blocks i of
(-1)^popcount(p & label_i) times row q of H_B P_i D_i A_i, where D holds random signs, P_i permutes
the rows of block i and the labels permute the blocks. So each block of B rows is read once into a
tile, transformed there, and m of its rows are added to the accumulator.

The stages of H_B have radix 8, with strides 1, 8 and 64 rows; B = 64 R needs a last stage of radix
R, which writes to R rows in L1 that are used at once, as samples are sorted by q modulo its stride.
"""

from typing import Any, NamedTuple

import numpy as np

from randla._jit import inline, kernel
from randla._random import counter_hash, hash_to_range
from randla.sketching._kernels.vectors import (
    BUTTERFLY,
    BUTTERFLY_AHEAD,
    add_scaled,
    gather8,
    load_rows,
    scale,
)
from randla.sketching._kernels.walsh import butterfly

SMALLEST_BLOCK, LARGEST_BLOCK = 8, 4096

_ONE, _SIX = np.uint64(1), np.uint64(6)

_butterfly1, _butterfly8 = BUTTERFLY[1], BUTTERFLY[8]
_ahead2, _ahead4, _ahead8, _ahead16 = (BUTTERFLY_AHEAD[R] for R in (2, 4, 8, 16))


class Draw(NamedTuple):
    """The random choices of a sketch; samples are sorted by q modulo the last stride, then by q."""

    block: int  # B
    last_radix: int  # R
    signs_key: np.uint64  # the sign of a row is a bit of the hash of its number
    shifts_key: np.uint64  # the rotation of a block is the hash of its number
    flips_key: np.uint64  # block form: the sign of (block, sample) is a bit of a hash
    independent: bool  # block form: independent signs instead of labels
    period: int  # Kronecker form: blocks after which signs and rotations repeat; else 0
    period_rows: int  # rows of the operand in a period; the other rows of its blocks are padding
    labels: np.ndarray  # (N/B,) int64, permutation of the blocks (of a period)
    period_labels: np.ndarray  # Kronecker form: label of each period, added to that of the block
    table: np.ndarray  # (B,) int64, permutation inside a block, before the rotation
    p: np.ndarray  # (m,) int64
    q: np.ndarray  # (m,) int64
    start: np.ndarray  # samples with q modulo B/R == g are start[g]:start[g + 1]


class Work(NamedTuple):
    """Working memory of one part; the tile and the last rows are zero at the start."""

    tile: Any  # (B * stride,), rows of whole cache lines
    last_rows: Any  # (16 * stride,)
    stride: int
    row: np.ndarray  # (B,) int64: operand row at each position of the tile
    position: np.ndarray  # (B,) int64: position in the tile of each row of the block
    offset: np.ndarray  # (B,) int64: where that row begins in A
    offset_b: np.ndarray  # (B,) int64: and in b
    sign: Any  # (B,) of the rows of the block
    factor: Any  # (B,) of the positions: sign times scale, 0 for a row outside
    flip: Any  # (m,)


def last_radix(block):
    """R: rows of the last stage."""
    return {8: 1, 16: 2, 32: 4, 128: 2, 256: 4, 1024: 16, 2048: 4}.get(block, 8)


# Random choices -----------------------------------------------------------------------------------


@inline
def fill_signs(key, first, out):
    """Bits first, first + 1, ... of a stream of bits, as +1 or -1."""
    done = 0
    while done < out.size:
        index = np.uint64(first + done)
        word, bit = counter_hash(key, index >> _SIX), (first + done) & 63
        count = min(64 - bit, out.size - done)
        for k in range(count):
            out[done + k] = 1 - 2 * np.int64((word >> np.uint64(bit + k)) & _ONE)
        done += count


@inline
def block_rows(draw, i, first_row, n_rows):
    """Row r of block i is row r + shift of the operand, if low <= r < high; low <= high."""
    B, rows = draw.block, draw.block
    shift = i * B - first_row
    if draw.period:
        inner = i % draw.period * B
        shift = i // draw.period * draw.period_rows + inner - first_row
        rows = min(B, draw.period_rows - inner)
    low = max(-shift, 0)
    return shift, low, max(min(n_rows - shift, rows), low)  # a block of padding has no row


@kernel
def place_rows(draw, i, first_row, n_rows, weights, work):
    """Fill the places and the factors of block i of an operand that starts at row first_row."""
    B = draw.block
    shift, low, high = block_rows(draw, i, first_row, n_rows)
    phase = i % draw.period if draw.period else i
    turn = hash_to_range(counter_hash(draw.shifts_key, phase), B)
    fill_signs(draw.signs_key, phase * B, work.sign)
    for q in range(B):
        r = (draw.table[q] - turn) & (B - 1)  # P_i: the table, rotated by the hash of the block
        is_row = low <= r < high  # else padding, or of another operand
        work.position[r] = q
        work.row[q] = r + shift if is_row else 0
        work.factor[q] = work.sign[r] if is_row else 0
    if weights.size:
        for q in range(B):
            work.factor[q] *= weights[work.row[q]]


@inline
def flip_samples(draw, i, flip):
    """The sign with which each sample takes block i: (-1)^popcount(p & label), or random."""
    if draw.independent:
        words = (draw.p.size + 63) >> 6
        fill_signs(draw.flips_key, 64 * words * i, flip)
    else:
        label = draw.labels[i % draw.period if draw.period else i]
        if draw.period:
            label += draw.period_labels[i // draw.period]
        for j in range(flip.size):
            v = draw.p[j] & label  # parity of the common bits: entry (p, label) of H_{N/B}
            v ^= v >> 32
            v ^= v >> 16
            v ^= v >> 8
            v ^= v >> 4
            v ^= v >> 2
            v ^= v >> 1
            flip[j] = 1 - 2 * (v & 1)


# Loading a block ----------------------------------------------------------------------------------


@inline
def first_stage_from_rows(A, b, draw, work):
    """The first stage, straight from rows whose entries lie side by side."""
    for q in range(draw.block):
        work.offset[q] = A.start + work.row[q] * A.row_step
        work.offset_b[q] = b.start + work.row[q] * b.row_step
    for q in range(0, draw.block, 8):
        to = q * work.stride
        gather8(A.flat, work.offset, work.factor, q, work.tile, to, work.stride, A.width)
        if b.width:
            to += A.width
            gather8(b.flat, work.offset_b, work.factor, q, work.tile, to, work.stride, b.width)


@kernel
def load_columns(source, i, first_row, n_rows, draw, work, lanes):
    """Rows of block i, of any strides, to the tile."""
    tile, signs = work.tile, work.sign
    shift, low, high = block_rows(draw, i, first_row, n_rows)
    for r in range(draw.block):
        signs[r] = work.factor[work.position[r]]
        if not low <= r < high:
            first = work.position[r] * work.stride
            for c in range(source.width):
                tile[first + c] = 0
    load_rows(source, shift, low, high, signs, tile, work.position, work.stride, lanes)


@inline
def load_sparse(data, indices, indptr, lo, hi, i, first_row, n_rows, draw, work):
    """Columns lo..hi of the rows of block i of a CSR matrix with sorted indices, to the tile."""
    tile = work.tile
    shift, low, high = block_rows(draw, i, first_row, n_rows)
    for k in range(draw.block * work.stride):
        tile[k] = 0
    for r in range(low, high):
        position = work.position[r]
        first, factor = position * work.stride - lo, work.factor[position]
        k, end = np.int64(indptr[r + shift]), np.int64(indptr[r + shift + 1])
        if lo > 0:
            k += np.searchsorted(indices[k:end], lo)
        while k < end and indices[k] < hi:
            tile[first + indices[k]] = factor * data[k]
            k += 1


# Transform and accumulate -------------------------------------------------------------------------


@inline
def first_stage(draw, work, count):
    """Stride 1, in place."""
    LD = work.stride
    for q in range(0, draw.block, 8):
        _butterfly8(work.tile, q * LD, LD, work.tile, q * LD, LD, count)


@inline
def last_stage_ahead(R, tile, x, step_x, last_rows, y, step_y, count, ahead, at, step):
    """H_R from rows of the tile, prefetching R/2 rows of `ahead`."""
    if R == 8:
        _ahead8(tile, x, step_x, last_rows, y, step_y, count, ahead, at, step)
    elif R == 4:
        _ahead4(tile, x, step_x, last_rows, y, step_y, count, ahead, at, step)
    elif R == 2:
        _ahead2(tile, x, step_x, last_rows, y, step_y, count, ahead, at, step)
    elif R == 16:
        _ahead16(tile, x, step_x, last_rows, y, step_y, count, ahead, at, step)
    else:
        _butterfly1(tile, x, step_x, last_rows, y, step_y, count)


@kernel
def stages_and_samples(draw, work, count, total, ahead, at, step, turn, back):
    """All stages but the first; the samples are added to `total`, rows of `count` entries.

    Meanwhile `count` entries of B rows of `ahead`, at stride `step` from entry `at` on, are
    prefetched, a half during the stage of stride 8 and a half during the last one. After `turn`
    rows it goes `back` (by a number of entries).
    """
    B, R, tile, last_rows, LD = draw.block, draw.last_radix, work.tile, work.last_rows, work.stride
    stride, rows = B // R, 0
    for k in range(0, B if stride >= 64 else 0, 64):  # rows k + 0, 8, ..., 56: stride 8
        for x in range(k * LD, (k + 8) * LD, LD):
            _ahead8(tile, x, 8 * LD, tile, x, 8 * LD, count, ahead, at, step)
            rows += 4
            at += 4 * step + (back if rows % turn == 0 else 0)
    for k in range(0, B if stride >= 512 else 0, 512):  # rows k + 0, 64, ..., 448: stride 64
        for x in range(k * LD, (k + 64) * LD, LD):
            _butterfly8(tile, x, 64 * LD, tile, x, 64 * LD, count)
    for g in range(stride):  # rows g, g + B/R, ...: the last stage
        last_stage_ahead(R, tile, g * LD, stride * LD, last_rows, 0, LD, count, ahead, at, step)
        rows += R // 2
        at += R // 2 * step + (back if rows % turn == 0 else 0)
        for j in range(draw.start[g], draw.start[g + 1]):  # the samples with q = g modulo B/R
            add_scaled(last_rows, draw.q[j] // stride * LD, work.flip[j], total, j * count, count)


@kernel
def sketch_blocks(A, b, weights, first_row, n_rows, first, last, draw, work, lanes, total):
    """Add blocks first..last of sqrt(m) S [A b] to `total`, m rows of whole cache lines.

    A, b: StridedView (b of width 0 if there is none); weights: (n_rows,) or empty.
    """
    width = A.width + b.width
    count = -(-width // lanes) * lanes
    for i in range(first, last):
        place_rows(draw, i, first_row, n_rows, weights, work)  # P_i D_i W
        if A.column_step == 1:  # rows lie as they are read: the first stage on the way
            first_stage_from_rows(A, b, draw, work)
        else:
            load_columns(A, i, first_row, n_rows, draw, work, lanes)
            for q in range(draw.block if b.width else 0):
                scale(
                    b.flat, b.start + work.row[q] * b.row_step, work.factor[q],
                    work.tile, q * work.stride + A.width, b.width,
                )  # fmt: skip
            first_stage(draw, work, count)
        flip_samples(draw, i, work.flip)
        # What comes next: all rows, or `count` entries of all columns, then the next ones.
        at = A.start
        if i + 1 < last:
            at += max(block_rows(draw, i + 1, first_row, n_rows)[0], 0) * A.row_step
        step, turn, back = A.row_step, draw.block, -draw.block * A.row_step
        if A.row_step == 1:
            step, turn = A.column_step, (A.width + 7) // 8 * 8
            back = count - turn * step
        stages_and_samples(draw, work, count, total, A.flat, at, step, turn, back)


@kernel
def sketch_sparse_blocks(
    data, indices, indptr, lo, hi, b, weights, first_row, n_rows, first, last, draw, work, lanes,
    total,
):  # fmt: skip
    """`sketch_blocks` of columns lo..hi of a CSR matrix with sorted indices."""
    count = -(-(hi - lo + b.width) // lanes) * lanes
    for i in range(first, last):
        place_rows(draw, i, first_row, n_rows, weights, work)
        load_sparse(data, indices, indptr, lo, hi, i, first_row, n_rows, draw, work)
        for q in range(draw.block if b.width else 0):
            scale(
                b.flat, b.start + work.row[q] * b.row_step, work.factor[q],
                work.tile, q * work.stride + hi - lo, b.width,
            )  # fmt: skip
        first_stage(draw, work, count)
        flip_samples(draw, i, work.flip)
        stages_and_samples(draw, work, count, total, data, 0, 0, 1, 0)


@kernel
def collect_samples(total, count, rank, factor, out, column, width):
    """Row j of `out`, from `column` on: `width` entries of sorted sample rank[j], times `factor`.

    total: m sorted rows of `count` entries, flat.
    """
    out_flat, out_step = out.reshape(-1), out.shape[1]
    for j in range(rank.size):
        scale(total, rank[j] * count, factor, out_flat, j * out_step + column, width)


@kernel
def adjoint_blocks(Y, first, last, first_row, draw, work, count, out, column, width):
    """Rows of blocks first..last of S^T Y / sqrt(m), to columns `column`.. of `out`.

    Y: m sorted rows of `count` entries, flat, `width` of which are used; row k of `out` is row
    first_row + k of S^T Y. All stages in the reverse order, as H_B is symmetric.
    """
    B, R, tile, last_rows, LD = draw.block, draw.last_radix, work.tile, work.last_rows, work.stride
    stride, out_flat = B // R, out.reshape(-1)
    n_rows, out_step = out.shape
    for i in range(first, last):
        place_rows(draw, i, first_row, n_rows, work.factor[:0], work)
        flip_samples(draw, i, work.flip)
        for g in range(stride):  # R' and the last stage
            last_rows[: R * LD] = 0
            for j in range(draw.start[g], draw.start[g + 1]):
                x = draw.q[j] // stride * LD
                add_scaled(Y, j * count, work.flip[j], last_rows, x, count)
            butterfly(R, last_rows, 0, LD, tile, g * LD, stride * LD, count)
        for k in range(0, B if stride >= 512 else 0, 512):
            for x in range(k * LD, (k + 64) * LD, LD):
                _butterfly8(tile, x, 64 * LD, tile, x, 64 * LD, count)
        for k in range(0, B if stride >= 64 else 0, 64):
            for x in range(k * LD, (k + 8) * LD, LD):
                _butterfly8(tile, x, 8 * LD, tile, x, 8 * LD, count)
        first_stage(draw, work, count)
        shift, low, high = block_rows(draw, i, first_row, n_rows)
        for r in range(low, high):  # in the order of the rows of `out`, one stream of writes
            q = work.position[r]
            scale(tile, q * LD, work.factor[q], out_flat, (r + shift) * out_step + column, width)
