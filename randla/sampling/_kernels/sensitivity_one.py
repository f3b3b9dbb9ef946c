"""Certified l_1 sensitivities of single rows.

For the row a, scaled to norm 1, the sensitivity follows from F* = min |X_- x|_1 subject to
a'x = 1, where X_- has the other rows. A Householder reflection H turns that into min |r + B y|_1
without a constraint, which `least_absolute` solves.

Only the rows of smallest residual keep a variable of their own; the others are added up to one row
with the signs of their residuals. As |sum of residuals| is at most the sum of their absolute
values, the dual value is a lower bound of F* whatever the signs, and the true sum at x is an upper
bound: where the two differ, rows are chosen anew by the new residuals, more of them.
"""

import math

import numpy as np

from randla._jit import kernel, summing_kernel
from randla._kernels.columns import LANES, adjoint, fill, product
from randla._kernels.least_absolute import interior_point

_BINS = 512
_ROUNDS = 12


@kernel
def threshold(scores, wanted, counts):
    """A number up to which at most `wanted` scores lie, but not far fewer (inf does not count).

    Histograms of [0, top]; the range shrinks while its first few bins hold too many.
    """
    top, zeros = 0.0, 0
    for score in scores:
        zeros += score == 0.0
        if score < math.inf:
            top = max(top, score)
    if zeros > wanted:  # no range is small enough to tell them apart
        return 0.0
    limit = top
    for _ in range(60):
        scale = _BINS / top if top > 0.0 else math.inf
        if not scale < math.inf:
            break
        fill(counts, 0)
        for score in scores:
            if score <= top:
                counts[min(np.int64(score * scale), _BINS - 1)] += 1
        total, k = 0, 0
        while k < _BINS and total + counts[k] <= wanted:
            total += counts[k]
            k += 1
        limit = k / scale if k < _BINS else top
        if k >= 16 or 4 * total >= 3 * wanted:
            break
        top = (k + 1) / scale
    return limit


@kernel
def reflect(a, norm, v):
    """The vector v of H = I - v v' that takes a / norm to s e_1; returns s = -1 or 1."""
    d = a.size
    for j in range(d):
        v[j] = a[j] / norm
    sign = -1.0 if v[0] >= 0.0 else 1.0
    v[0] -= sign
    square = 0.0
    for j in range(d):
        square += v[j] * v[j]
    scale = math.sqrt(2.0 / square)
    for j in range(d):
        v[j] *= scale
    return sign


@kernel
def store(row, v, sign, m, r, B):
    """Put a reflected row into place m: its first entry into r, the others into B."""
    d = row.size
    s = 0.0
    for j in range(d):
        s += row[j] * v[j]
    block, lane = m // LANES, m % LANES
    r[block, lane] = sign * (row[0] - s * v[0])
    for j in range(1, d):
        B[block, j - 1, lane] = row[j] - s * v[j]


@kernel
def gather(X, own, v, sign, scores, limit, room, residuals, r, B, glob):
    """Store the rows of score <= limit (at most `room`), and behind them the sum of the others.

    Returns how many rows are stored. The lanes behind them are zero up to the end of the block.
    """
    n, d = X.shape
    fill(glob, 0.0)
    m, others = 0, 0
    for k in range(n):
        if k == own:
            continue
        if scores[k] <= limit and m < room:
            store(X[k], v, sign, m, r, B)
            m += 1
        elif residuals[k] != 0.0:
            others += 1
            side = 1.0 if residuals[k] > 0.0 else -1.0
            for j in range(d):
                glob[j] += side * X[k, j]
    if others > 0:
        store(glob, v, sign, m, r, B)
        m += 1
    fill(glob, 0.0)
    for k in range(m, -(-m // LANES) * LANES):
        store(glob, v, sign, k, r, B)
    return m


@summing_kernel
def dual_bound(B, norm, kappa, y, r, zm, zp, z, rho):
    """A lower bound of F* from z, also where B'z = rho is not quite zero.

    For every x with a'x = 1: the dual value is at most |X_- x|_1 + |rho| |x|, and |x| is at most
    kappa (norm + |X_- x|_1).
    """
    value = 0.0
    for k in range(r.shape[0]):
        for lane in range(LANES):
            z[k, lane] = 0.5 * (zp[k, lane] - zm[k, lane])
            value += r[k, lane] * z[k, lane]
    adjoint(B, z, rho)
    square = 0.0
    for j in range(y.size):
        value -= rho[j] * y[j]
        square += rho[j] * rho[j]
    error = kappa * math.sqrt(square)
    return max((value - error * norm) / (1.0 + error), 0.0)


@summing_kernel
def sum_without(P, x, own, residuals):
    """``residuals = X x``, 0 at place `own`; returns the sum of their absolute values."""
    product(P, x, residuals)
    if own >= 0:
        residuals[own // LANES, own % LANES] = 0.0
    total = 0.0
    for k in range(residuals.shape[0]):
        for lane in range(LANES):
            total += abs(residuals[k, lane])
    return total


@kernel
def bounds_of_rows(
    T, places, first, last, X, norms, P, kappa, rtol, cutoff, lower, upper, iterations
):
    """Bounds of the l_1 sensitivities of rows first..last of T, at those places of the outputs.

    X (n, d), d > 1, has the whitened rows, `norms` their norms, P the same rows in blocks; |x| is
    at most kappa |X x|_1 for every x. ``places[k]`` is where row k of T is among those of X, -1 if
    it is not. Rows of T are not zero. A row is left when its upper bound falls to `cutoff`.
    """
    n, d = X.shape
    blocks = P.shape[0]
    shape = (blocks, LANES)
    residuals, scores = np.empty(shape), np.empty(n)
    a0, a1, a2, a3 = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape)
    a4, a5, a6, a7 = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape)
    a8, a9, a10 = np.empty(shape), np.empty(shape), np.empty(shape)
    B = np.empty((blocks, d - 1, LANES))
    lanes, counts = np.empty((2, LANES)), np.empty(_BINS, np.int64)
    V, G, L = np.empty((5, d - 1)), np.empty((d, d)), np.empty((d, d))
    x, best, v, y, glob = np.empty(d), np.empty(d), np.empty(d), np.empty(d - 1), np.empty(d)
    flat = residuals.reshape(-1)
    least = np.int64(1.6 * math.sqrt(n * d) + 3 * d)  # rows that are kept at first
    guess = least
    for index in range(first, last):
        own = places[index]
        norm = 0.0
        for j in range(d):
            norm += T[index, j] ** 2
        norm = math.sqrt(norm)
        sign = reflect(T[index], norm, v)
        for j in range(d):
            x[j] = T[index, j] / norm
        wanted = guess
        value, bound, count, all_kept = math.inf, 0.0, 0, False
        enough = norm * (1.0 / cutoff - 1.0) * (1.0 + 1e-9) if cutoff > 0.0 else math.inf
        for turn in range(_ROUNDS):
            total = sum_without(P, x, own, residuals)
            if total < value:
                value = total
                for j in range(d):
                    best[j] = x[j]
            else:  # too few rows: their optimum is not near that of all
                sum_without(P, best, own, residuals)
                wanted = min(2 * wanted, n)
            if all_kept or value - bound <= rtol * (norm + value) or bound > enough:
                break
            room = -(-(wanted + 1) // LANES) * LANES - 1  # whole blocks, with the sum
            limit = 0.0
            if room < n:
                for k in range(n):
                    scores[k] = abs(flat[k]) / norms[k] if norms[k] > 0.0 else math.inf
                limit = threshold(scores, room, counts)
            else:
                room, all_kept = n, True
                for k in range(n):
                    scores[k] = 0.0 if norms[k] > 0.0 else math.inf
            m = gather(X, own, v, sign, scores, limit, room, flat, a0, B, glob)
            if m == 0:
                break
            used = -(-m // LANES)
            state = (a0[:used], a1[:used], a2[:used], a3[:used], a4[:used], a5[:used],
                     a6[:used], a7[:used], a8[:used], a9[:used], a10[:used])  # fmt: skip
            count += interior_point(B[:used], m, norm, 0.3 * rtol, enough, y, state, lanes, V, G, L)
            found = dual_bound(
                B[:used], norm, kappa, y, state[0], state[1], state[2], state[5], V[0]
            )
            bound = max(bound, found)
            s = sign * v[0]
            for j in range(1, d):
                s += y[j - 1] * v[j]
            x[0] = sign - s * v[0]
            for j in range(1, d):
                x[j] = y[j - 1] - s * v[j]
            if turn > 0:
                wanted = min(wanted + wanted // 2, n)
        guess = max(wanted - wanted // 4, least)  # the next row is likely to need as many
        lower[index] = norm / (norm + value)
        upper[index] = norm / (norm + bound)
        iterations[index] = count
