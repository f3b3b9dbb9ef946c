"""Transport costs of sorted rows on the circle of length one.

A cut of the circle makes it a line, and the best cut is a shift of one quantile function against
the other by a mass alpha: with G^{-1}(s + 1) = G^{-1}(s) + 1,

    W_p^p = min over alpha in [-1, 1] of h(alpha) = int_0^1 |F^{-1}(t) - G^{-1}(t - alpha)|^p dt,

which is convex, and linear between the masses where a jump of F meets one of G.

Source: Delon, Salomon and Sobolevski, "Fast transport optimization for Monge costs on the circle",
SIAM J. Appl. Math. 70 (2010), 2239-2258.
"""

import numpy as np

from randla._elementary import power
from randla._jit import kernel
from randla.transport._kernels.cost import row_cost

UNIT = 2.0**-60  # of the integer masses: three times their total fits into an int64
_TOTAL = np.int64(1 << 60)


@kernel
def _rotated_cost(u, v, k, p):
    """Sum over i of |u_i - v_{i + k}|^p, with v_{j + n} = v_j + 1, for -n <= k <= n."""
    n = u.size
    turns, r, total = np.floor(k / n), k % n, 0.0
    total += row_cost(u[: n - r], v[r:], -turns, 1.0, p) * (n - r)
    if r > 0:  # these have gone around once more
        total += row_cost(u[n - r :], v[:r], -turns - 1.0, 1.0, p) * r
    return total


@kernel
def circle_equal(U, V, p, out):
    """out[row] = W_p^p of sorted rows U and V (R, n), in turns, all masses 1 / n.

    The cost is convex in the number k of points by which one row is shifted: a search for the point
    where it stops falling, O(n log n).
    """
    n = U.shape[1]
    for row in range(U.shape[0]):
        u, v, low, high = U[row], V[row], -n, n
        while low < high:  # the least k in [low, high] beyond which the cost does not fall
            k = (low + high) // 2
            if _rotated_cost(u, v, k + 1, p) < _rotated_cost(u, v, k, p):
                low = k + 1
            else:
                high = k
        out[row] = _rotated_cost(u, v, low, p) / n


@kernel
def _cost(gap, p):
    if p == 2.0:
        return gap * gap
    return abs(gap) if p == 1.0 else power(abs(gap), p)


@kernel
def _with_mass(u, a):
    """The points and accumulated masses (> 0) where a jumps: the others have less than a unit."""
    points, masses = np.empty(u.size), np.empty(u.size, np.int64)
    n, before = 0, np.int64(0)
    for i in range(u.size):
        points[n], masses[n] = u[i], a[i]
        n += a[i] > before
        before = a[i]
    return points[:n], masses[:n]


@kernel
def _shifted_cost(u, v, a, b, alpha, p):
    """h(alpha), its right derivative, and how far it is to the last kink, or zero, and to the next;
    accumulated masses a, b (which increase) and alpha are in units.

    Where alpha grows, each of the m jumps of G moves to the right: v_j gains the mass that v_{j+1}
    loses. A kink is where jumps of F and G meet; that of F comes first.
    """
    n, m = u.size, v.size
    turns = -alpha // _TOTAL  # how often G has gone around at zero
    i, j = 0, np.searchsorted(b, -alpha - turns * _TOTAL, side="right")  # its first jump after zero
    ahead = turns * _TOTAL + alpha  # of the jumps of G
    reached, total, slope, before, moved = np.int64(0), 0.0, 0.0, 0.0, np.int64(0)
    last = ahead + (b[j - 1] if j > 0 else 0)  # jump of G up to zero, where F has one
    left, right = _TOTAL, -last if last < 0 else _TOTAL
    while i < n:
        x, y = a[i], b[j] + ahead
        cost = _cost(u[i] - v[j] - turns, p)
        slope += moved * (before - cost)  # if the step before was a jump of G
        step = min(x, y) - reached
        total += np.float64(step) * cost
        reached, before = reached + step, cost
        first = np.int64(x <= y)  # without a branch, which would be unpredictable
        left = min(left, _TOTAL if moved | first else step)  # a jump of F, then one of G
        right = min(right, step if moved & first else _TOTAL)
        i += first
        j += 1 - first
        moved = 1 - first
        if j == m:
            j, turns, ahead = 0, turns + 1, ahead + _TOTAL
    if b[j] + ahead == _TOTAL:  # this jump of G is at 1, which is 0: its point is the first again
        after = v[j + 1] + turns if j + 1 < m else v[0] + turns + 1.0
        slope += _cost(u[0] + 1.0 - v[j] - turns, p) - _cost(u[0] + 1.0 - after, p)
        left, right = np.int64(0), min(right, a[0])
    return total * UNIT, slope * UNIT, left, right


@kernel
def circle_weighted(U, V, A, B, p, out):
    """out[row] = W_p^p of sorted rows U (R, n), V (R, m), in turns, with accumulated masses A, B
    (R or 1 rows, int64 units of `UNIT`, the last of each row the total).

    The least value of a convex function that is linear between kinks, which are integers: it falls
    up to the kink `low` and rises, or is flat, from the kink `high` on. One in between is where the
    tangents meet. About 10 to 20 evaluations, at p = 16 about 50, O(n + m) each.
    """
    for row in range(U.shape[0]):
        u, a = _with_mass(U[row], A[row if A.shape[0] > 1 else 0])
        v, b = _with_mass(V[row], B[row if B.shape[0] > 1 else 0])
        low, high = -_TOTAL, _TOTAL
        h_low, s_low, _, _ = _shifted_cost(u, v, a, b, low, p)
        h_high, s_high, _, _ = _shifted_cost(u, v, a, b, high, p)
        best = min(h_low, h_high)
        while s_low < 0.0 < s_high and low < high:
            width = np.float64(high - low)
            step = (h_high - h_low - s_high * width) / (s_low - s_high)  # where the tangents meet
            alpha = min(max(low + np.int64(np.rint(step)), low), high - 1)
            h, s, left, right = _shifted_cost(u, v, a, b, alpha, p)
            best = min(best, h)
            if s < 0.0:
                low, h_low, s_low = alpha + right, h + s * right, s
            else:
                high, h_high, s_high = alpha - left, h - s * left, s
        if low == high:
            best = min(best, _shifted_cost(u, v, a, b, low, p)[0])
        out[row] = best


@kernel
def circle_uniform(U, A, p, out):
    """out[row] = W_p^p between sorted rows U (R, n) with accumulated masses A (as above) and the
    uniform law of the circle.

    h(alpha) = sum_i int |u_i - t - alpha|^p dt over the masses t of point i. Its derivative is
    bisected; h is flat where that vanishes, so that half of the digits of alpha suffice.
    """
    for row in range(U.shape[0]):
        u, a = U[row], A[row if A.shape[0] > 1 else 0]
        low, high = -1.0, 1.0
        for _ in range(30):  # h'(alpha) = sum_i |u_i - t_i - alpha|^p - |u_i - t_{i-1} - alpha|^p
            alpha, slope, before = 0.5 * (low + high), 0.0, 0.0
            for i in range(u.size):
                level = np.float64(a[i]) * UNIT
                slope += _cost(u[i] - level - alpha, p)
                slope -= _cost(u[i] - before - alpha, p)
                before = level
            if slope < 0.0:
                low = alpha
            else:
                high = alpha
        total, before = 0.0, 0.0
        for i in range(u.size):
            level = np.float64(a[i]) * UNIT
            for sign, t in ((1.0, before), (-1.0, level)):  # int |x|^p dx = x |x|^p / (p + 1)
                gap = u[i] - t - alpha
                total += sign * gap * _cost(gap, p) / (p + 1.0)
            before = level
        out[row] = total
