"""Certified sensitivities of single rows in the maximum norm.

Every row a has the same feasible set: s = max a'x subject to |X x| <= 1. The simplex method moves
along it from vertex to vertex. A vertex lies on d rows B with signs c, x = B^-1 c, and z = B^-T a
is a dual point; the vertex is optimal if each z has the sign of its row. Bounds are computed from x
and z, so they stay valid if the method stops early, as it may with many ties.
"""

import math

import numpy as np

from randla._jit import kernel, summing_kernel

_PARALLEL = 1e-10  # a row this near the face along which a step goes does not block it
_OPTIMAL = 1e-12
_TIES = 1e-12
_EPS = 2.3e-16  # rounding error of a double, rounded up


@summing_kernel
def dot(x, y):
    """Inner product."""
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@kernel
def first_row(X, norms, r, step, q):
    """The first row that blocks the direction `step`, and its distance; q becomes X step.

    Among rows that block at the same distance, the steepest.
    """
    length = math.sqrt(dot(step, step))
    best, place, steep = math.inf, -1, 0.0
    for i in range(norms.size):
        q[i] = dot(X[i], step)
        slope = abs(q[i])
        if slope <= _PARALLEL * norms[i] * length:
            continue
        room = max(1.0 - r[i], 0.0) if q[i] > 0.0 else max(1.0 + r[i], 0.0)
        far = room / slope  # |r + far q| = 1 in this row
        if far < best - _TIES * abs(best) or (far <= best * (1.0 + _TIES) and slope > steep):
            best, place, steep = min(far, best), i, slope
    return place, best


@kernel
def take_out(p, Q, k):
    """Remove from p its components along the first k rows of Q, orthonormal, twice."""
    for _ in range(2):  # twice is enough (Kahan)
        for m in range(k):
            component = dot(p, Q[m])
            for j in range(p.size):
                p[j] -= component * Q[m, j]


@kernel
def copy_rows(X, rows, B):
    """Copy some rows of X into B, entry by entry: this compiles far faster than row by row."""
    for k in range(rows.size):
        for j in range(X.shape[1]):
            B[k, j] = X[rows[k], j]


@kernel
def invert(B, inverse):
    """The inverse of B, which is overwritten, by elimination with pivoting; False if singular."""
    d = B.shape[0]
    for i in range(d):
        for j in range(d):
            inverse[i, j] = 1.0 if i == j else 0.0
    for k in range(d):
        top = k
        for i in range(k + 1, d):  # the pivot is the largest entry of the column
            if abs(B[i, k]) > abs(B[top, k]):
                top = i
        if B[top, k] == 0.0:
            return False
        for j in range(d):
            B[k, j], B[top, j] = B[top, j], B[k, j]
            inverse[k, j], inverse[top, j] = inverse[top, j], inverse[k, j]
        scale = 1.0 / B[k, k]  # then row k has a one in column k, the others get zeros
        for j in range(d):
            B[k, j] *= scale
            inverse[k, j] *= scale
        for i in range(d):
            if i != k and B[i, k] != 0.0:
                factor = B[i, k]
                for j in range(d):
                    B[i, j] -= factor * B[k, j]
                    inverse[i, j] -= factor * inverse[k, j]
    return True


@kernel
def first_vertex(X, norms, a, active, signs, r, q, step, Q):
    """A vertex reached from 0 in the direction a; False if there is none."""
    d = a.size
    r[:] = 0.0  # X x at x = 0
    for k in range(d):  # along the face of the k blocking rows: a without their directions
        for j in range(d):
            step[j] = a[j]
        take_out(step, Q, k)
        if dot(step, step) <= 1e-16 * dot(a, a):  # level: any direction in the face
            largest, axis = -1.0, 0
            for j in range(d):
                remainder = 1.0  # |e_j|^2 outside the span of Q
                for m in range(k):
                    remainder -= Q[m, j] ** 2
                if remainder > largest:
                    largest, axis = remainder, j
            for j in range(d):
                step[j] = 1.0 if j == axis else 0.0
            take_out(step, Q, k)
        place, far = first_row(X, norms, r, step, q)
        if place < 0:
            return False
        for i in range(r.size):
            r[i] += far * q[i]
        active[k], signs[k] = place, 1.0 if q[place] > 0.0 else -1.0
        for j in range(d):  # Gram-Schmidt: the blocking row joins Q
            Q[k, j] = X[place, j] / norms[place]
        take_out(Q[k], Q, k)
        length = math.sqrt(dot(Q[k], Q[k]))
        if length == 0.0:
            return False
        for j in range(d):
            Q[k, j] /= length
    return True


@kernel
def bounds_of_rows(X, norms, rows, first, last, max_steps, lower, upper, steps):
    """Bounds of the sensitivities of `rows`, written to positions first..last of the outputs.

    X (n, d) has orthonormal columns, `norms` has the norms of its rows. At most `max_steps` steps.
    """
    n, d = X.shape
    r, q = np.empty(n), np.empty(n)
    active, signs = np.empty(d, np.int64), np.empty(d)
    step, x, z, gap = np.empty(d), np.empty(d), np.empty(d), np.empty(d)
    Q, B, inverse = np.empty((d, d)), np.empty((d, d)), np.empty((d, d))
    for index in range(first, last):
        a = X[rows[index]]
        lower[index], upper[index], steps[index] = 0.0, 1.0, 0
        if norms[rows[index]] == 0.0:
            upper[index] = 0.0
            continue
        if not first_vertex(X, norms, a, active, signs, r, q, step, Q):
            continue
        copy_rows(X, active, B)
        found = invert(B, inverse)
        while found and steps[index] < max_steps:
            leaving, least, largest_z = -1, 0.0, 0.0
            for k in range(d):  # z = B^-T a; optimal where each z_k has the sign of its row
                z[k] = 0.0
                for j in range(d):
                    z[k] += inverse[j, k] * a[j]
                largest_z = max(largest_z, abs(z[k]))
                if z[k] * signs[k] < least:
                    leaving, least = k, z[k] * signs[k]
            if leaving < 0 or least >= -_OPTIMAL * largest_z:
                break
            for j in range(d):
                step[j] = -signs[leaving] * inverse[j, leaving]  # B step = -c_k e_k
            place, far = first_row(X, norms, r, step, q)
            steps[index] += 1
            if place < 0:
                break
            for i in range(n):
                r[i] += far * q[i]
            for m in range(d):  # the entering row in terms of the basis, x_new' B^-1
                gap[m] = 0.0
                for j in range(d):
                    gap[m] += X[place, j] * inverse[j, m]
            for j in range(d):  # the inverse after the exchange of one row of B
                inverse[j, leaving] /= gap[leaving]
                for m in range(d):
                    if m != leaving:
                        inverse[j, m] -= gap[m] * inverse[j, leaving]
            active[leaving], signs[leaving] = place, 1.0 if q[place] > 0.0 else -1.0
        copy_rows(X, active, B)
        if not invert(B, inverse):  # once more, without the errors of the exchanges
            continue
        total = 0.0  # |z|_1 and what is added to it, an upper bound
        for k in range(d):
            x[k], z[k] = 0.0, 0.0
            for j in range(d):
                x[k] += inverse[k, j] * signs[j]  # x = B^-1 c
                z[k] += inverse[j, k] * a[j]
            total += abs(z[k])
        for j in range(d):  # a - B'z
            gap[j] = a[j]
            for k in range(d):
                gap[j] -= X[active[k], j] * z[k]
        largest = 0.0
        for i in range(n):
            largest = max(largest, abs(dot(X[i], x)))
            total += abs(dot(X[i], gap))  # gap = X'(X gap): the part z lacks, as another dual point
        if largest > 0.0 and total < math.inf:
            # |X v|_1 <= sqrt(n) |v|, where v is the rounding error of the gap and of x.
            error = (d + 4.0) * math.sqrt(n) * _EPS
            lower[index] = min(abs(dot(a, x)) / largest * (1.0 - error), 1.0)
            upper[index] = max(min(total * (1.0 + error), 1.0), lower[index])
