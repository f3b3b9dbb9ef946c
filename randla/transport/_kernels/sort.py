"""Sorting the rows of a matrix in place, alone or with the permutation, by distribution.

Projections of a cloud are numbers of one scale without much structure, so a row is sorted by two
stable counting passes on a coarse integer key, and an insertion pass corrects the few neighbors
that share a key. With s the mean of |x| over the row and bits(.) the binary64 pattern as an
integer, the key of x is
integer, the key of x is

    (bits(s + |x|) - bits(s)) >> shift,    counted from the middle, downward for x < 0,

a monotone function that is linear near zero and logarithmic far out: a few points far away do not
spoil the resolution of the others. It costs an addition and a shift, in vectors.

Rows on which the insertion pass would take long (narrow clusters far apart, numbers a few units in
the last place apart) are sorted by counting passes over all of their bits instead. Both ways are
stable, so that the result, permutation included, is that of ``argsort(kind="stable")``.

Work for n numbers: about a dozen sequential or scattered passes in cache, for any n; a comparison
sort needs log2(n) unpredictable branches for each number. Rows are finite.
"""

import numpy as np
from numba.core import types
from numba.extending import overload

from randla._elementary import bits_of, of_bits
from randla._jit import kernel, summing_kernel

MAX_CELLS = 1 << 13  # of a digit: its counts are 32 KiB, the first-level cache
_FEW = 4096  # shifts that cost less than counting passes over all bits
_ONE32 = np.uint32(1)
_SIGN = np.uint64(1 << 63)
_S63, _S11 = np.uint64(63), np.uint64(11)
_LOW11 = np.uint64(2047)  # a digit of 11 bits: 6 of them hold the 64 of a double


@kernel
def digit_bits(n):
    """Bits of each of the two digits of a key, for a row of n numbers; at most log2(MAX_CELLS)."""
    log = 0
    while (1 << log) < n:
        log += 1
    return min(max(log // 2 + 4, 6), 11 if log < 19 else 13)  # about 2^8 keys a number


@summing_kernel
def _scale(x):
    """Mean of |x|, and the largest |x| as bits (an integer maximum is vectorized)."""
    total, top = 0.0, np.int64(0)
    for i in range(x.size):
        magnitude = np.float64(abs(x[i]))
        total += magnitude
        # positive doubles are ordered as integers
        top = max(top, bits_of(magnitude))
    return total / x.size, top


@kernel
def _make_keys(x, scale, base, shift, half, keys):
    for i in range(x.size):
        bits = bits_of(np.float64(abs(x[i])) + scale)  # of s + |x|
        k = np.int32((bits - base) >> shift)  # base = bits(s)
        keys[i] = half + k if x[i] >= 0 else half - np.int32(1) - k  # mirrored for negative numbers


@kernel
def _starts(low, high):
    """Counts of the cells of two digits become the positions at which the cells start."""
    low_total, high_total = np.uint32(0), np.uint32(0)
    for c in range(low.size):
        low_count, high_count = low[c], high[c]
        low[c], high[c] = low_total, high_total  # exclusive sums
        low_total += low_count
        high_total += high_count


@kernel
def _n_descents(x):
    count = np.int64(0)
    for i in range(x.size - 1):
        count += np.int64(x[i] > x[i + 1])
    return count


@kernel
def _count_keys(x, keys, low, high, bits):
    """Keys of the row and, for both digits, where each cell starts; the map as a triple."""
    scale, top = _scale(x)
    base = bits_of(scale)
    largest = of_bits(top) + scale
    half = np.int32(1 << (2 * bits - 1))  # keys have two digits: half of them for each sign
    span, shift = bits_of(largest) - base, np.int64(0)
    while (span >> shift) >= half:  # the finest keys that hold the largest number
        shift += 1
    _make_keys(x, scale, base, shift, half, keys)
    mask, up = np.uint64((1 << bits) - 1), np.uint64(bits)
    for c in range(low.size):
        low[c] = 0
        high[c] = 0
    for i in range(np.uint64(x.size)):
        k = np.uint64(keys[i])
        low[k & mask] += _ONE32  # both digits are counted in one pass
        high[k >> up] += _ONE32
    _starts(low, high)
    return scale, base, shift


@kernel
def _sort_by_keys(x, order, spare, spare_order, keys, counts, limit):
    """Sort one row, with its permutation unless `order` is None; False (and a row out of order) if
    more than `limit` shifts were needed.
    """
    bits = digit_bits(x.size)
    low, high = counts[0, : 1 << bits], counts[1, : 1 << bits]
    scale, base, shift = _count_keys(x, keys, low, high, bits)
    mask, up = np.uint64((1 << bits) - 1), np.uint64(bits)
    n = np.uint64(x.size)
    for i in range(n):
        c = np.uint64(keys[i]) & mask  # first pass: by the low digit, into `spare`
        j = low[c]
        low[c] = j + _ONE32
        spare[j] = x[i]
        if order is not None:
            spare_order[j] = np.int32(i)
    _make_keys(spare, scale, base, shift, np.int32(1 << (2 * bits - 1)), keys)
    for i in range(n):
        c = np.uint64(keys[i]) >> up  # second pass: by the high digit, back into `x`
        j = high[c]
        high[c] = j + _ONE32
        x[j] = spare[i]
        if order is not None:
            order[j] = spare_order[i]
    shifts = 0
    for first in range(0, x.size - 1, 32):  # whole stretches in order are passed over in vectors
        last = min(first + 33, x.size)
        if _n_descents(x[first:last]) > 0:  # neighbors of one key out of order
            shifts += _insert(x, order, first + 1, last)
            if shifts > limit:
                return False
    return True


@kernel
def _insert(x, order, first, last):
    """Put x[first:last] in order among all before them; the number of shifts."""
    shifts = 0
    for i in range(first, last):
        value, k = x[i], i - 1
        index = 0 if order is None else order[i]
        while k >= 0 and x[k] > value:  # strictly: equal numbers keep their order
            x[k + 1] = x[k]
            if order is not None:
                order[k + 1] = order[k]
            k -= 1
        x[k + 1] = value
        if order is not None:
            order[k + 1] = index
        shifts += i - 1 - k
    return shifts


@kernel
def _ordered_bits(value):
    """Unsigned integers in the order of the numbers; -0.0 and 0.0 are one."""
    bits = np.uint64(bits_of(np.float64(value) + 0.0))
    return ~bits if bits >> _S63 else bits | _SIGN  # negative numbers below, in reverse


@kernel
def _sort_by_bits(x, order, spare, spare_order, counts):
    """Stable sort by counting passes over 11 bits at a time; passes that move nothing are left out.

    `order`, unless it is None, carries what it holds.
    """
    n, cells = np.uint64(x.size), counts[0, :2048]
    source, target = x, spare[: x.size]
    if order is not None:
        source_order, target_order = order, spare_order[: x.size]
    flipped = False
    for digit in range(6):  # 11 bits each, the lowest first
        shift = np.uint64(11 * digit)
        for c in range(cells.size):
            cells[c] = 0
        for i in range(n):
            cells[(_ordered_bits(np.float64(source[i])) >> shift) & _LOW11] += _ONE32
        if cells[(_ordered_bits(np.float64(source[0])) >> shift) & _LOW11] == n:  # all in one cell
            continue
        total = np.uint32(0)
        for c in range(cells.size):  # counts become the positions at which cells start
            count = cells[c]
            cells[c] = total
            total += count
        for i in range(n):
            c = (_ordered_bits(np.float64(source[i])) >> shift) & _LOW11
            j = cells[c]
            cells[c] = j + _ONE32
            target[j] = source[i]
            if order is not None:
                target_order[j] = source_order[i]
        flipped = not flipped  # the row lies in `spare` now, or in `x` again
        source, target = target, source
        if order is not None:
            source_order, target_order = target_order, source_order
    if flipped:
        for i in range(n):  # x[:] = source would compile the words of an error as well
            x[i] = source[i]
        if order is not None:
            for i in range(n):
                order[i] = source_order[i]


def _row(order, row):
    """Row of `order`, or None where that is None."""
    return None if order is None else order[row]


@overload(_row)  # by type: the compiler does not see that an array is not None
def _row_by_type(order, row):
    if isinstance(order, types.Array):
        return lambda order, row: order[row]
    return lambda order, row: None


@kernel
def sort_rows(P, order, spare, spare_order, keys, counts):
    """Sort the rows of P (B, n) in place; row r of `order` (B, n) int32 gets the stable argsort,
    unless `order` is None.

    `spare` (n,) of P's dtype, `spare_order` (n,) and `keys` (n,) int32, and `counts` (2, MAX_CELLS)
    uint32 are overwritten. Floor: two scattered copies of P.
    """
    by_bits = False
    for row in range(P.shape[0]):
        x, index = P[row], _row(order, row)
        if not by_bits:
            limit = 2 * x.size + _FEW  # shifts that cost as much as passes over all bits
            if _sort_by_keys(x, index, spare, spare_order, keys, counts, limit):
                continue
            by_bits = True  # the other rows of this cloud will not be easier
        elif order is not None:
            for i in range(x.size):
                index[i] = i
        # what a first attempt left is a stable rearrangement: go on from there
        _sort_by_bits(x, index, spare, spare_order, counts)
