"""Certified l_1 sensitivities of single rows.

For the row a, scaled to norm 1, the sensitivity follows from F* = min |X_- x|_1 subject to
a'x = 1, where X_- has the other rows. A Householder reflection H turns that into min |r - A y|_1
without a constraint: twice the pinball loss of the median, for Mehrotra's method.

Only the rows of smallest residual keep their own variable; the others are added up to one row with
the signs of their residuals. As |sum of residuals| is at most the sum of their absolute values, the
dual value is a lower bound of F* for any signs, and the true sum at x is an upper bound: where the
two differ, more rows are chosen by the new residuals.
"""

import math

import numpy as np

from randla._jit import kernel, summing_kernel
from randla._kernels.interior_point import DUAL, FIELDS, RESIDUAL, Part, form, start
from randla._kernels.mehrotra import iterate_until
from randla._kernels.panels import PANEL, add_adjoint, fill, product

_BINS = 512
_ROUNDS = 12  # selections of the rows; two or three are usual
_ITERATIONS = 60  # iterations of Mehrotra's method in a round; five to eight are usual
_FLAT = 0.1  # u and v start as the parts of the residual plus this times its mean size


@kernel
def threshold(scores, wanted, counts):
    """A number that at most `wanted` scores, but not far fewer, do not exceed (inf does not count).

    Histograms of [0, top]; the range shrinks while its first few bins hold too many scores.
    """
    top, zeros = 0.0, 0
    for score in scores:
        zeros += score == 0.0
        if score < math.inf:
            top = max(top, score)
    if zeros > wanted:  # no range is small enough to separate them
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
        limit = k / scale if k < _BINS else top  # the edge of the last bin that fits as a whole
        if k >= 16 or 4 * total >= 3 * wanted:  # fine enough, or three quarters are taken
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
    v[0] -= sign  # no cancellation with this sign
    square = 0.0
    for j in range(d):
        square += v[j] * v[j]
    scale = math.sqrt(2.0 / square)
    for j in range(d):
        v[j] *= scale
    return sign


@kernel
def store(row, v, sign, m, A, state):
    """Put a reflected row at position m: its first entry into r, the others, negated, into A."""
    d = row.size
    s = 0.0
    for j in range(d):
        s += row[j] * v[j]  # H row = row - v (v'row)
    k, t = m // PANEL, m % PANEL
    state[k, RESIDUAL, t] = sign * (row[0] - s * v[0])  # x = H (s e_1 + (0, y)) has a'x = 1
    for j in range(1, d):
        A[k, j - 1, t] = s * v[j] - row[j]


@kernel
def gather(X, own, v, sign, scores, limit, room, residuals, A, state, total):
    """Store the rows of score <= limit (at most `room`), followed by the sum of the others.

    Returns the number of stored rows. Rows after them in their last panel become zero.
    """
    n, d = X.shape
    fill(total, 0.0)
    m, others = 0, 0
    for k in range(n):
        if k == own:
            continue
        if scores[k] <= limit and m < room:
            store(X[k], v, sign, m, A, state)
            m += 1
        elif residuals[k] != 0.0:
            others += 1  # |sum of signed residuals| <= sum of their absolute values
            side = 1.0 if residuals[k] > 0.0 else -1.0
            for j in range(d):
                total[j] += side * X[k, j]
    if others > 0:
        store(total, v, sign, m, A, state)
        m += 1
    fill(total, 0.0)
    for k in range(m, -(-m // PANEL) * PANEL):
        store(total, v, sign, k, A, state)
    return m


@summing_kernel
def least_absolute(part, norm, tol, enough, nothing, far, y):
    """Minimize |r - A y|_1 from y = 0 until the gap is at most tol (norm + value).

    Also stops when the dual value is above `enough`. `nothing` (e,) is zero, `far` empty. Starts
    from z = 0, which is feasible and stays so. Returns the number of iterations.
    """
    fill(y, 0.0)
    total = 0.0
    for k in range(part.state.shape[0]):
        z = part.state[k]
        fill(z[DUAL], 0.5)  # z = 2 a - 1 = 0
        for t in range(PANEL):
            total += abs(z[RESIDUAL, t])
    start(part, _FLAT * total / part.n)
    _, total, gap, mu = form(part, 0.0, 0.0, True)
    if 2.0 * gap <= tol * (norm + total) or total - 2.0 * gap > enough:
        return 0
    return iterate_until(
        part, 0.5, nothing, True, mu, y, tol, 1.0, 0.5 * norm, 0.5 * enough, far, _ITERATIONS
    )[0]


@summing_kernel
def dual_bound(part, norm, kappa, y, rho):
    """A lower bound of F* from z = 2a - 1, also valid where A'z = rho (w,) is not exactly zero.

    For every x with a'x = 1: the dual value r'z + rho'y is at most |X_- x|_1 + |rho| |x|, and |x|
    is at most kappa (norm + |X_- x|_1).
    """
    value = 0.0
    fill(rho, 0.0)
    for k in range(part.state.shape[0]):
        z = part.state[k]
        for t in range(PANEL):
            part.work[0, t] = 2.0 * z[DUAL, t] - 1.0  # rows of zeros beyond n do not matter
            value += z[RESIDUAL, t] * part.work[0, t]
        add_adjoint(part.panels[k], part.work[0], rho)
    square = 0.0
    for j in range(y.size):
        value += rho[j] * y[j]
        square += rho[j] * rho[j]
    error = kappa * math.sqrt(square)
    return max((value - error * norm) / (1.0 + error), 0.0)


@summing_kernel
def sum_without(P, x, own, residuals):
    """``residuals = X x``, 0 at position `own`; returns the sum of their absolute values."""
    product(P, x, residuals)
    if own >= 0:
        residuals[own // PANEL, own % PANEL] = 0.0
    total = 0.0
    for k in range(residuals.shape[0]):
        for lane in range(PANEL):
            total += abs(residuals[k, lane])
    return total


@kernel
def bounds_of_rows(
    T, places, first, last, X, norms, P, kappa, rtol, cutoff, lower, upper, iterations
):
    """Bounds of the l_1 sensitivities of rows first..last of T, at those positions of the outputs.

    X (n, d), d > 1, has the whitened rows, `norms` their norms, P the same rows in panels; |x| is
    at most kappa |X x|_1 for every x. ``places[k]`` is the index in X of row k of T, or -1 if X
    does not have it. Rows of T are not zero. A row is skipped once its upper bound falls to
    `cutoff`.
    """
    n, d = X.shape
    K, w, e = P.shape[0], P.shape[1], d - 1
    residuals, scores, counts = np.empty((K, PANEL)), np.empty(n), np.empty(_BINS, np.int64)
    A, state = np.empty((K, e + e % 2, PANEL)), np.empty((K, FIELDS, PANEL))
    work, lanes = np.empty((2, PANEL)), np.empty((2, PANEL))
    g, G = np.empty((2, A.shape[1])), np.empty((A.shape[1], A.shape[1]))
    x, best, v, total_row = np.empty(w), np.empty(w), np.empty(d), np.empty(d)
    y, nothing, far = np.empty(e), np.empty(e), np.empty(0, np.int64)
    for zero in (x, best, nothing, g[0], g[1]):
        fill(zero, 0.0)
    for k in range(K):
        fill(A[k, A.shape[1] - 1], 0.0)  # a row beyond e, if there is one
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
        # norm / (norm + F) <= cutoff for F above this.
        enough = norm * (1.0 / cutoff - 1.0) * (1.0 + 1e-9) if cutoff > 0.0 else math.inf
        for turn in range(_ROUNDS):
            total = sum_without(P, x, own, residuals)  # F(x) over all rows: an upper bound of F*
            if total < value:
                value = total
                for j in range(d):
                    best[j] = x[j]
            else:  # too few rows: their optimum is not near the optimum of all rows
                sum_without(P, best, own, residuals)
                wanted = min(2 * wanted, n)
            if all_kept or value - bound <= rtol * (norm + value) or bound > enough:
                break
            room = -(-(wanted + 1) // PANEL) * PANEL - 1  # whole panels, with the sum
            limit = 0.0
            if room < n:
                for k in range(n):
                    # Distances from the hyperplane, in units of the row's length.
                    scores[k] = abs(flat[k]) / norms[k] if norms[k] > 0.0 else math.inf
                limit = threshold(scores, room, counts)
            else:
                room, all_kept = n, True
                for k in range(n):
                    scores[k] = 0.0 if norms[k] > 0.0 else math.inf
            m = gather(X, own, v, sign, scores, limit, room, flat, A, state, total_row)
            if m == 0:
                break
            used = -(-m // PANEL)
            part = Part(A[:used], m, state[:used], work, lanes, g, G)
            count += least_absolute(part, norm, 0.3 * rtol, enough, nothing, far, y)
            bound = max(bound, dual_bound(part, norm, kappa, y, g[0]))
            s = sign * v[0]  # v'(sign e_1 + (0, y)); x = H (sign e_1 + (0, y))
            for j in range(1, d):
                s += y[j - 1] * v[j]
            x[0] = sign - s * v[0]
            for j in range(1, d):
                x[j] = y[j - 1] - s * v[j]
            if turn > 0:
                wanted = min(wanted + wanted // 2, n)
        guess = max(wanted - wanted // 4, least)  # the next row is likely to need as many rows
        lower[index] = norm / (norm + value)  # |a'x| = norm and |X x|_1 = norm + F
        upper[index] = norm / (norm + bound)
        iterations[index] = count
