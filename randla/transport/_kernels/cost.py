"""One-dimensional transport costs of sorted rows.

The optimal coupling of two measures on the line is the monotone one, so that a cost is a sum of
mass * |u_i - v_j + shift|^p over the pairs (i, j) that the quantile functions meet. For equal
uniform weights these are (k, k). For unequal sizes with uniform weights the pairs are the same for
every row: a *plan* made once, in integers. For weighted clouds each row has its own plan, made in
stretches that stay in the first-level cache, four rows abreast, since following one row is a chain
of dependent loads.

Masses of weighted clouds are integers in units of 2^-62 of the total: sums of them are exact, in
any order, and the two totals agree. Weights in the ratio of small whole numbers (equal ones,
counts) are summed as these and then rounded, so that equal shares of the total are equal integers.
"""

import numpy as np

from randla._elementary import power
from randla._jit import fused_kernel, inline, kernel, summing_kernel

STRETCH = 1024  # steps of a plan that are made before they are used
_TOTAL = np.int64(1 << 62)  # of the integer weights: the sum of two still fits into an int64
_WHOLE = 1 << 20  # sums of whole weights up to which a share of the total keeps 42 bits
_UNIT = 2.0**-62  # a unit of weight as a fraction of the total


@summing_kernel
def row_cost(u, v, shift, unit, p):
    """Mean over k of (|u[k] - v[k] + shift| unit)^p; p = 1, 2 ignore `unit`."""
    total = 0.0
    if p == 2.0:
        for k in range(u.size):
            t = np.float64(u[k]) - np.float64(v[k]) + shift  # shift = theta' (c_1 - c_2)
            total += t * t  # p = 2: |t|^p without its power
    elif p == 1.0:
        for k in range(u.size):
            total += abs(np.float64(u[k]) - np.float64(v[k]) + shift)  # p = 1
    else:
        for k in range(u.size):
            total += power(abs(np.float64(u[k]) - np.float64(v[k]) + shift) * unit, p)
    return total / u.size


@inline
def _gap(u, v, left, right, k, shift):
    return np.float64(u[left[k]]) - np.float64(v[right[k]]) + shift  # u_i - v_j + shift


@fused_kernel
def _sum_planned_simple(u, v, left, right, mass, shift, square):
    """Cost for p = 1 or 2, in four interleaved sums (vector gathers are slower than loads here)."""
    s0, s1, s2, s3, k = 0.0, 0.0, 0.0, 0.0, np.uint64(0)
    for _ in range(left.size // 4):
        k1, k2, k3 = k + np.uint64(1), k + np.uint64(2), k + np.uint64(3)
        t0, t1 = _gap(u, v, left, right, k, shift), _gap(u, v, left, right, k1, shift)
        t2, t3 = _gap(u, v, left, right, k2, shift), _gap(u, v, left, right, k3, shift)
        if square:
            t0, t1, t2, t3 = t0 * t0, t1 * t1, t2 * t2, t3 * t3
        s0 += mass[k] * abs(t0)  # mass |t|, or mass t^2
        s1 += mass[k1] * abs(t1)
        s2 += mass[k2] * abs(t2)
        s3 += mass[k3] * abs(t3)
        k += np.uint64(4)
    for i in range(left.size - left.size % 4, left.size):
        t = _gap(u, v, left, right, np.uint64(i), shift)
        s0 += mass[i] * (t * t if square else abs(t))
    return (s0 + s1) + (s2 + s3)  # in one order, for any length


@summing_kernel
def sum_planned(u, v, left, right, mass, shift, unit, p):
    if p == 2.0 or p == 1.0:
        return _sum_planned_simple(u, v, left, right, mass, shift, p == 2.0)
    total = 0.0
    for k in range(left.size):
        t = _gap(u, v, left, right, np.uint64(k), shift)
        cost = mass[k] * power(abs(t) * unit, p)
        total += cost if mass[k] > 0.0 else 0.0  # 0 * inf, of points that do not meet
    return total


@kernel
def cost_equal(U, V, shifts, units, p, out):
    """out[r] = mean over k of (|U[r, k] - V[r, k] + shifts[r]| units[r])^p for sorted rows.

    Here and below `units` keeps high powers within the range of doubles; p = 1, 2 ignore it.
    """
    for row in range(U.shape[0]):
        out[row] = row_cost(U[row], V[row], shifts[row], units[row], p)


@kernel
def cost_planned(U, V, left, right, mass, shifts, units, p, out):
    """out[r] = sum over k of mass[k] (|U[r, left[k]] - V[r, right[k]] + shifts[r]| units[r])^p."""
    for row in range(U.shape[0]):
        out[row] = sum_planned(U[row], V[row], left, right, mass, shifts[row], units[row], p)


@kernel
def fill_uniform_plan(n, m, left, right, mass):
    """The pairs (left, right) uint32 and masses that couple n with m points of uniform weight.

    With g = gcd(n, m) each of the n has m/g units and each of the m has n/g: integers, so that no
    rounding decides a match. There are n + m - g pairs.
    """
    g, remainder = n, m
    while remainder:
        g, remainder = remainder, g % remainder  # Euclid's algorithm
    unit_left, unit_right, total = m // g, n // g, 1.0 / (n * (m / g))  # n m / g units in all
    i, j, free_left, free_right = 0, 0, unit_left, unit_right
    for k in range(left.size):
        step = min(free_left, free_right)  # what both points still have
        left[k], right[k], mass[k] = i, j, step * total  # of the quantile functions on one level
        free_left -= step
        free_right -= step
        if free_left == 0:  # this point is used up: F^{-1} jumps
            i, free_left = i + 1, unit_left
        if free_right == 0:  # so is this one: G^{-1} jumps
            j, free_right = j + 1, unit_right


@kernel
def _denominator(x, limit):
    """Least q <= limit, a float, for which q x is whole to rounding, or 0: that of a convergent
    of the continued fraction of x.
    """
    remainder, q, before = x, 1.0, 0.0
    while q <= limit:
        if abs(q * x - np.rint(q * x)) <= 1e-15 * q * x:  # x = r / q to rounding
            return q
        remainder = 1.0 / (remainder - np.floor(remainder))  # floor: the next partial quotient
        q, before = np.floor(remainder) * q + before, q  # q_{k+1} = a_{k+1} q_k + q_{k-1}
    return 0.0


@kernel
def _fill_whole_weights(weights, units):
    """Fill `units` with whole numbers in the ratio of the weights, to rounding, of a small sum.

    False if there are none. `first`, that of the least weight, is the least common multiple of the
    denominators of the others relative to it.
    """
    least = np.inf
    for i in range(weights.size):
        least = min(least, weights[i]) if weights[i] > 0.0 else least
    first, total, i = 1.0, 0.0, 0
    while i < weights.size:
        multiple = weights[i] / least * first  # in units of which the least weight has `first`
        if not multiple <= _WHOLE:  # NaN too
            return False
        factor = _denominator(multiple, _WHOLE / first)  # the factor that makes it whole
        if factor == 0.0:
            return False
        if factor > 1.0:  # at most twenty times
            first, total, i = first * factor, 0.0, 0
            continue
        total += np.rint(multiple)
        if total > _WHOLE:
            return False
        units[i] = np.int64(np.rint(multiple))
        i += 1
    return True


@kernel
def fill_integer_weights(weights, units):
    """Non-negative weights (n,) as int64 units of 2^-62 of their total, up to rounding.

    The total is summed in integers too, so that the units do not depend on the order. Weights in
    the ratio of whole numbers with a sum up to 2^20 become these numbers.
    """
    if _fill_whole_weights(weights, units):
        return
    largest, total, n = 0.0, np.int64(0), weights.size
    for i in range(n):
        largest = max(largest, weights[i])
    for i in range(n):
        total += np.int64(weights[i] / largest * (1.0 / _UNIT / n))  # each at most 2^62 / n
    whole = np.float64(total) * n * _UNIT  # the sum of the weights in units of the largest
    for i in range(n):
        units[i] = np.int64(np.rint(weights[i] / largest / whole * (1.0 / _UNIT)))


@kernel
def _accumulate_whole(unit, total, index, out):
    """out[k] = floor(2^62 c / total), c the sum of the first k + 1 whole numbers."""
    quotient, remainder, c = _TOTAL // total, _TOTAL % total, np.int64(0)
    inverse = 1.0 / np.float64(total)
    for k in range(index.size):
        c += unit[index[k]]  # below 2^20
        # c remainder < 2^40; with the half the product is 2^-21 or more from all integers
        out[k] = c * quotient + np.int64((np.float64(c * remainder) + 0.5) * inverse)


@kernel
def accumulate_weights(units, order, sums):
    """sums[r, k] = units of the first k + 1 points in the order of row r; a sentinel at the end.

    units (1, n), or (R, n) with one row for each row of `order` (R, n) and `sums` (R, n). The
    rounding error of the total goes to the first point of the largest weight: for the last point it
    might be large, and any other choice would depend on the order of the points. Sums of whole
    numbers with a small total are rounded instead.
    """
    for row in range(order.shape[0]):
        unit = units[row if units.shape[0] > 1 else 0]
        index, out = order[row], sums[row]
        residue, largest, total = _TOTAL, np.int64(0), np.int64(0)
        for k in range(unit.size):
            residue -= unit[k]  # 2^62 less the sum
            largest = max(largest, unit[k])  # the weight that takes the residue
        if _TOTAL - residue <= _WHOLE:
            _accumulate_whole(unit, _TOTAL - residue, index, out)
        else:
            for k in range(index.size):
                mass = unit[index[k]]
                total += mass
                if mass == largest:  # the first of them: then the residue is used up
                    total += residue
                    residue = np.int64(0)
                out[k] = total
        out[index.size - 1] = _TOTAL + 1  # above all masses: this side does not move on


@inline
def _advance(a, b, i, j, done, k, left, right, mass):
    """One step of a plan: write the next pair and its mass, and advance the side at its end."""
    x, y = a[i], b[j]  # levels up to which both points reach
    reached = min(min(x, y), _TOTAL)
    left[k], right[k], mass[k] = i, j, np.float64(reached - done) * _UNIT  # from level `done` on
    first = np.uint64(x <= y)  # without a branch, which would be unpredictable
    return i + first, j + (np.uint64(1) - first), reached  # ties: left first, then a step of mass 0


@kernel
def next_stretch(A, B, at, reached, left, right, mass, n_steps):
    """Continue the plans of (up to) four rows by `n_steps` pairs each.

    A (R, n), B (R, m): accumulated integer weights; at (4, 2) uint64 and reached (4,) int64: the
    position of each row, from zero; left, right (4, steps) uint32, mass (4, steps). A row has n + m
    - 1 steps in all. Rows beyond the last repeat it.
    """
    last = A.shape[0] - 1  # rows beyond it repeat it
    r1, r2, r3 = min(1, last), min(2, last), min(3, last)
    a0, a1, a2, a3 = A[0], A[r1], A[r2], A[r3]
    b0, b1, b2, b3 = B[0], B[r1], B[r2], B[r3]
    i0, i1, i2, i3 = at[0, 0], at[1, 0], at[2, 0], at[3, 0]
    j0, j1, j2, j3 = at[0, 1], at[1, 1], at[2, 1], at[3, 1]
    d0, d1, d2, d3 = reached[0], reached[1], reached[2], reached[3]
    left0, left1, left2, left3 = left[0], left[1], left[2], left[3]
    right0, right1, right2, right3 = right[0], right[1], right[2], right[3]
    mass0, mass1, mass2, mass3 = mass[0], mass[1], mass[2], mass[3]
    for k in range(np.uint64(n_steps)):
        i0, j0, d0 = _advance(a0, b0, i0, j0, d0, k, left0, right0, mass0)
        i1, j1, d1 = _advance(a1, b1, i1, j1, d1, k, left1, right1, mass1)
        i2, j2, d2 = _advance(a2, b2, i2, j2, d2, k, left2, right2, mass2)
        i3, j3, d3 = _advance(a3, b3, i3, j3, d3, k, left3, right3, mass3)
    at[0, 0], at[1, 0], at[2, 0], at[3, 0] = i0, i1, i2, i3
    at[0, 1], at[1, 1], at[2, 1], at[3, 1] = j0, j1, j2, j3
    reached[0], reached[1], reached[2], reached[3] = d0, d1, d2, d3


@kernel
def cost_weighted(U, V, A, B, shifts, units, p, out):
    """out[r] = cost of sorted rows U[r] (n,), V[r] (m,) with accumulated integer weights A, B."""
    n_rows, total = U.shape[0], U.shape[1] + V.shape[1] - 1
    at, reached = np.empty((4, 2), np.uint64), np.empty(4, np.int64)
    left, right = np.empty((4, STRETCH), np.uint32), np.empty((4, STRETCH), np.uint32)
    mass = np.empty((4, STRETCH))
    for first in range(0, n_rows, 4):
        last = min(first + 4, n_rows)
        at[:] = 0
        reached[:] = 0
        out[first:last] = 0.0
        for start in range(0, total, STRETCH):  # a stretch of four plans, then its costs
            k = min(STRETCH, total - start)
            next_stretch(A[first:last], B[first:last], at, reached, left, right, mass, k)
            for r in range(last - first):
                row = first + r
                u, v, i, j, w = U[row], V[row], left[r, :k], right[r, :k], mass[r, :k]
                out[row] += sum_planned(u, v, i, j, w, shifts[row], units[row], p)
