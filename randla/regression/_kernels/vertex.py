"""Vertices of the pinball problem, from one to the next: simplex steps over panels of rows.

A vertex goes through d rows B y = b_B, the basis. The others have a residual r = b - Ay and lie at
the bound of its side, z = tau above the fit (side 1) and tau - 1 below it (side -1). The basis gets
its dual values from A'diag(w) z = 0. `inverse` is that of B. Vectors over the rows are (K, PANEL).
"""

import math

import numpy as np

from randla._jit import summing_inline, summing_kernel
from randla._kernels.panels import PANEL, add_adjoint, add_multiple, fill

#: How `refit` and `walk` ended.
DONE, NO_MORE, TOO_FAR, ENOUGH = range(4)
#: A dual value may leave its box by this much through rounding.
_BOX = 1e-11
#: Residuals move if they change by more than this, in units of the step.
_STILL = 1e-13
#: The step to the minimum along an edge is usually at most this many times the previous one.
_REACH = 8.0


@summing_inline
def _bound(side, tau):
    return tau if side > 0 else tau - 1.0


@summing_inline
def _exchange(inverse, alpha, m):
    """Row m of B is replaced by a with alpha = B^-T a (Sherman and Morrison)."""
    d = alpha.size
    for i in range(d):
        c = inverse[i, m] / alpha[m]
        for j in range(d):
            inverse[i, j] -= c * alpha[j]
        inverse[i, m] = c


@summing_inline
def _in_basis(panels, k, t, inverse, alpha):
    """Fill alpha = B^-T a for row t of panel k."""
    d = alpha.size
    fill(alpha, 0.0)
    for i in range(d):
        a = panels[k, i, t]
        for j in range(d):
            alpha[j] += a * inverse[i, j]


@summing_inline
def _reach(p):
    total = 0.0
    for j in range(p.size):
        total += abs(p[j])
    return _STILL * total


# A few pivots to the optimum ----------------------------------------------------------------------


@summing_kernel
def refit(panels, weight, r, side, basis, inverse, far, tau, most, step, order):
    """Pivot to the optimal vertex of the weighted rows, by the steepest edge and exact line search.

    r, side, basis (d,), inverse (d, d) are those of a vertex and are updated; far (d,) is the sum
    of z a of rows that are not here. step (2, K, PANEL) and order (K PANEL,) of int64 are work
    space. Returns how it ended, and the number of pivots.

    Source: Barrodale and Roberts, "An improved algorithm for discrete l_1 linear approximation",
    SIAM J. Numer. Anal. 10 (1973), 839-848 (edges that pass several vertices at once).
    """
    K, w = panels.shape[0], panels.shape[1]
    d = basis.size
    p, g, alpha = np.zeros(w), np.zeros(w), np.empty(d)
    q, times = step[0], step[1].reshape(-1)
    for j in range(d):
        g[j] = far[j]
    for k in range(K):  # g = A'diag(w) z of the rows outside the basis
        for t in range(PANEL):  # tau, tau - 1 or 0
            q[k, t] = weight[k, t] * side[k, t] * ((tau - 0.5) * side[k, t] + 0.5)
        add_adjoint(panels[k], q[k], g)
    reach = near = math.inf  # only rows reached before this time are examined
    for pivot in range(most):
        leaving, up, steepest, slope = -1, True, 0.0, 0.0
        for m in range(d):  # z = -(B^-T g)_m; the edge along column m of B^-1 has its length
            z, length = 0.0, 0.0
            for i in range(d):
                z -= inverse[i, m] * g[i]
                length += inverse[i, m] * inverse[i, m]
            omega = weight[basis[m] // PANEL, basis[m] % PANEL]
            over = max(z - tau * omega, (tau - 1.0) * omega - z)  # how fast the loss decreases
            if over > _BOX * omega and over > steepest * math.sqrt(length):
                steepest, slope = over / math.sqrt(length), over
                leaving, up = m, z > 0.0
        if leaving < 0:
            return DONE, pivot
        sign = -1.0 if up else 1.0  # the residual of the leaving row grows, or falls
        for i in range(d):  # y + s p, with residuals r - s q, q = A p
            p[i] = sign * inverse[i, leaving]
        still, entering, length, count = _reach(p), -1, 0.0, 0
        for k in range(K):
            fill(q[k], 0.0)
            add_multiple(panels[k], 1.0, p, q[k])
        while entering < 0:
            count = 0
            for k in range(K):
                for t in range(PANEL):
                    speed = side[k, t] * q[k, t]  # at which the row comes nearer
                    distance = max(side[k, t] * r[k, t], 0.0)
                    times[k * PANEL + t] = distance / speed
                    order[count] = k * PANEL + t
                    count += (speed > still) & (distance <= reach * speed)  # without a branch
            entering, length = _first_uphill(times, order, count, q, weight, slope)
            if entering < 0:
                if reach == math.inf:
                    return NO_MORE, pivot
                reach, near = near, math.inf
        reach, near = _REACH * length, _REACH * _REACH * length
        for k in range(K):
            for t in range(PANEL):
                r[k, t] -= length * q[k, t]
        for c in range(count):
            row = order[c]
            if times[row] < length:  # it has been passed
                k, t = row // PANEL, row % PANEL
                for j in range(d):
                    g[j] -= side[k, t] * weight[k, t] * panels[k, j, t]
                side[k, t] = -side[k, t]
        k, t = entering // PANEL, entering % PANEL
        z = weight[k, t] * _bound(side[k, t], tau)
        _in_basis(panels, k, t, inverse, alpha)
        for j in range(d):
            g[j] -= z * panels[k, j, t]
        side[k, t], r[k, t] = 0, 0.0
        k, t = basis[leaving] // PANEL, basis[leaving] % PANEL
        side[k, t], r[k, t] = (1, length) if up else (-1, -length)
        z = weight[k, t] * _bound(side[k, t], tau)
        for j in range(d):
            g[j] += z * panels[k, j, t]
        basis[leaving] = entering
        _exchange(inverse, alpha, leaving)
    return ENOUGH, most


@summing_inline
def _first_uphill(times, order, count, q, weight, slope):
    """The row, and its time, up to which the weights |q| w of rows reached first exceed `slope`.

    A quickselect: order[:count] is permuted.
    """
    first, last, row = 0, count, -1
    while first < last:
        middle = times[order[(first + last) // 2]]
        below, total = first, 0.0  # order[first:below] come before the middle
        equal = first  # order[below:equal] with it
        for c in range(first, last):
            i = order[c]
            if times[i] <= middle:
                order[c] = order[equal]
                if times[i] < middle:
                    order[equal] = order[below]
                    order[below] = i
                    total += abs(q[i // PANEL, i % PANEL]) * weight[i // PANEL, i % PANEL]
                    below += 1
                else:
                    order[equal] = i
                equal += 1
        if total >= slope:
            last = below
            continue
        for c in range(below, equal):
            i = order[c]
            total += abs(q[i // PANEL, i % PANEL]) * weight[i // PANEL, i % PANEL]
            if total >= slope:
                row = i
                break
        if row >= 0:
            break
        slope -= total
        first = equal
    return row, times[row] if row >= 0 else 0.0


# One coefficient moved away from the optimum ------------------------------------------------------


@summing_kernel
def walk(panels, r, side, basis, inverse, z, fixed, tau, sign, limits, metric, place, y, q, jumps):
    """Follow the optimal vertex while t'y = delta moves away from 0 in the direction `sign`.

    t replaces row `fixed` of B. z (d,) are the dual values of the basis. The multiplier S of A'z =
    S t falls as delta grows: a step function. Its jumps (m, 2), delta and the following level, are
    stored until |S| is limits[0] or more, or y'metric y more than limits[1]. `place` (2,), delta
    and S, and all else but r are updated. q (K, PANEL) starts as zeros. Returns how it ended, and
    the number of jumps.
    """
    K, w = panels.shape[0], panels.shape[1]
    d = basis.size
    p, alpha = np.zeros(w), np.empty(d)
    length = 0.0
    for count in range(len(jumps)):
        for i in range(d):  # y + s p: only t'y changes in the basis; residuals r - s q, q = A p
            p[i] = sign * inverse[i, fixed]
        still, shortest, entering = _reach(p), math.inf, -1
        for k in range(K):
            for t in range(PANEL):
                r[k, t] -= length * q[k, t]  # the step before
            fill(q[k], 0.0)
            add_multiple(panels[k], 1.0, p, q[k])
            for t in range(PANEL):
                speed = side[k, t] * q[k, t]
                if side[k, t] * r[k, t] < shortest * speed and speed > still:  # rarely
                    shortest = max(side[k, t] * r[k, t], 0.0) / speed
                    entering = k * PANEL + t
        length = 0.0
        if entering < 0:
            return NO_MORE, count
        distance = 0.0
        for i in range(d):
            for j in range(d):
                distance += (y[i] + shortest * p[i]) * metric[i, j] * (y[j] + shortest * p[j])
        if distance > limits[1]:
            return TOO_FAR, count
        length = shortest
        for i in range(d):
            y[i] += length * p[i]
        place[0] += sign * length
        # Row `entering` moves from its bound to the other, and the basis compensates, until
        # one of them reaches its bound: dz_B = -alpha dz.
        k, t = entering // PANEL, entering % PANEL
        _in_basis(panels, k, t, inverse, alpha)
        down = -side[k, t]
        share, leaving = 1.0, -1
        for m in range(d):
            rate = -alpha[m] * down
            if m != fixed and abs(rate) > 1e-12:
                room = (tau - z[m]) / rate if rate > 0.0 else (tau - 1.0 - z[m]) / rate
                if room < share:
                    share, leaving = max(room, 0.0), m
        place[1] += alpha[fixed] * down * share  # S, the multiplier of t
        for m in range(d):
            z[m] -= alpha[m] * down * share
        jumps[count, 0], jumps[count, 1] = place[0], place[1]
        if leaving < 0:
            side[k, t] = down
        else:
            value = _bound(side[k, t], tau) + down * share
            out = basis[leaving]
            basis[leaving] = entering
            side[out // PANEL, out % PANEL] = 1 if -alpha[leaving] * down > 0.0 else -1
            z[leaving], side[k, t] = value, 0
            _exchange(inverse, alpha, leaving)
        if abs(place[1]) >= limits[0]:
            return DONE, count + 1
    return ENOUGH, len(jumps)
