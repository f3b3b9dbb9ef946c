"""Contributions of a tile of rows to the robust errors of least squares.

Rows of A are columns here: loops along them are long and vectorized, unlike loops along a few
coefficients (measured for 10: a third of the time). All arrays are float64 in C order. With h the
leverage of a row, `left` is 1 - h; rows with `left` below `least` are skipped and handled one by
one. See `randla.regression._errors.independent_rows`.
"""

import numpy as np

from randla._jit import fused_kernel, summing_kernel

BLOCK = 248  # rows; lines of a power of two bytes would collide in the cache


@fused_kernel
def _turn(X, out):
    """Copy X' (d, n) to `out`: four rows at a time, which are stored as one."""
    n, d = X.shape
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = X[i], X[i + 1], X[i + 2], X[i + 3]
        for a in range(d):
            y = out[a]
            y[i], y[i + 1], y[i + 2], y[i + 3] = x0[a], x1[a], x2[a], x3[a]
    for i in range(whole, n):
        for a in range(d):
            out[a, i] = X[i, a]


@fused_kernel
def _combine(weights, V, out):
    """Write V' weights to `out` (n,), without the rows of V at both ends that have weight zero."""
    first, last = 0, weights.size
    while first < last - 1 and weights[first] == 0.0:
        first += 1
    while last > first + 1 and weights[last - 1] == 0.0:
        last -= 1
    out[:] = 0.0
    for a in range(first, last - 3, 4):
        v0, v1, v2, v3 = V[a], V[a + 1], V[a + 2], V[a + 3]
        w0, w1, w2, w3 = weights[a], weights[a + 1], weights[a + 2], weights[a + 3]
        for i in range(out.size):
            total = out[i] + w0 * v0[i]
            total += w1 * v1[i]
            total += w2 * v2[i]
            out[i] = total + w3 * v3[i]
    for a in range(last - (last - first) % 4, last):
        v0, w0 = V[a], weights[a]
        for i in range(out.size):
            out[i] += w0 * v0[i]


@summing_kernel
def _add_weighted(V, w, r, out):
    """Add V diag(w) V' of the first r rows to `out` on and below the diagonal, two by two.

    V and `out` have one more row if r is odd; its entries, and products with them, have no meaning.
    """
    n = w.size
    for a in range(0, r, 2):
        v0, v1 = V[a], V[a + 1]
        for e in range(0, a + 2, 2):
            w0, w1 = V[e], V[e + 1]
            s00 = s01 = s10 = s11 = 0.0
            for i in range(n):
                x0, x1 = w[i] * w0[i], w[i] * w1[i]
                s00 += v0[i] * x0
                s01 += v0[i] * x1
                s10 += v1[i] * x0
                s11 += v1[i] * x1
            out[a, e] += s00
            out[a, e + 1] += s01
            out[a + 1, e] += s10
            out[a + 1, e + 1] += s11


@summing_kernel
def _add_products(V, x, out):
    """Add V x to `out`."""
    for a in range(V.shape[0]):
        v, total = V[a], 0.0
        for i in range(x.size):
            total += v[i] * x[i]
        out[a] += total


@fused_kernel
def add_rows(X, B, root, L, K, repeats, power, least, meat, products, sums):
    """Add the contributions of rows X (n, d) and right-hand sides B (n, k); count heavy rows.

    L (r + k, d) is [K, Y]', `root` (n,) the square roots of the weights, empty for ones. With q
    the rows X K, times `root` unless weights stand for `repeats`, and r = B - X Y times `root`,

        meat[c, e] (even, even)  lower triangle of sum r_c r_e / left^power q q', e <= c
        products (k, r + k)      sum (weights of repeats) r_c [q, r]
        sums (2, d)              `moments`, with K (d, r); none if K is empty

    """
    n, k = B.shape
    r = L.shape[0] - k
    n_lines = 2 + r + k + X.shape[1]
    n_heavy, work = 0, np.empty(n_lines * BLOCK)
    for first in range(0, n, BLOCK):
        m = min(BLOCK, n - first)
        lines = work[: n_lines * m].reshape(n_lines, m)  # contiguous, as the compiler must know
        left, f, P, columns = lines[0], lines[1], lines[2 : 2 + r + k], lines[2 + r + k :]
        _turn(X[first : first + m], columns)
        for a in range(r + k):  # q = X K, and X Y
            _combine(L[a], columns, P[a])
        for c in range(k):  # B - X Y
            residual = P[r + c]
            for i in range(m):
                residual[i] = B[first + i, c] - residual[i]
        if root.size:
            v = root[first : first + m]
            for a in range(r if repeats else 0, r + k):
                x = P[a]
                for i in range(m):
                    x[i] *= v[i]
        left[:] = 1.0
        for a in range(r):  # 1 - h = 1 - |q|^2
            q = P[a]
            for i in range(m):
                left[i] -= q[i] * q[i]
        for i in range(m):
            n_heavy += left[i] < least
        for c in range(k):  # sum r_c r_e / (1 - h)^power q q'
            for e in range(c + 1):
                x, y = P[r + c], P[r + e]
                for i in range(m):
                    by = 1.0 if power == 0 else left[i] if power == 1 else left[i] * left[i]
                    f[i] = 0.0 if left[i] < least else x[i] * y[i] / by
                _add_weighted(P, f, r, meat[c, e])
        if repeats:
            for i in range(m):
                f[i] = root[first + i] * root[first + i]
        if K.size:  # g = q K', over what is no longer needed
            for j in range(K.shape[0]):
                _combine(K[j], P[:r], columns[j])
            moments(columns, left, f if repeats else f[:0], least, sums)
        for c in range(k):
            x = P[r + c]
            if repeats:
                for i in range(m):
                    f[i] = x[i] * root[first + i]
                _add_products(P[:r], f, products[c, :r])
                _add_products(P[r:], x, products[c, r:])
            else:
                _add_products(P, x, products[c])
    return n_heavy


@summing_kernel
def moments(G, left, counts, least, out):
    """Add counts g^4 (1 - 2 h) and counts g^2 h to `out` (2, d), for G (d, n) and g^2 = G^2 / left.

    h is 1 - left; `counts` (n,) are ones if empty.
    """
    n = G.shape[1]
    inverse, fourth, second = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for first in range(0, n, BLOCK):
        m = min(BLOCK, n - first)
        for i in range(m):
            rest = left[first + i]
            count = counts[first + i] if counts.size else 1.0
            inverse[i] = 0.0 if rest < least else 1.0 / rest
            fourth[i], second[i] = count * (2.0 * rest - 1.0), count * (1.0 - rest)  # 1 - 2 h, h
        for j in range(G.shape[0]):
            g, s4, s2 = G[j, first : first + m], 0.0, 0.0
            for i in range(m):
                square = g[i] * g[i] * inverse[i]
                s4 += fourth[i] * (square * square)
                s2 += second[i] * square
            out[0, j] += s4
            out[1, j] += s2
