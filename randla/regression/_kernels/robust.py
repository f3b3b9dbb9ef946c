"""What a tile of rows adds to the robust errors of least squares.

Rows of A are columns here: loops along them are long, and vectorised, where those along a few
coefficients are neither (measured for 10: a third of the time). All arrays are float64 in C order.
With h the leverage of a row, `left` (n,) is 1 - h; rows with `left` below `least` are passed over:
they are looked at one by one. See `randla.regression._errors.independent_rows`.
"""

import math

import numpy as np

from randla._jit import fused_kernel, summing_kernel

BLOCK = 256  # rows whose parts stay in the first-level cache


@summing_kernel
def add_gram(V, n, out):
    """Add V V' of n columns to `out` on and below the diagonal; V has an even number of rows."""
    for a in range(0, V.shape[0], 2):
        v0, v1 = V[a, :n], V[a + 1, :n]
        for e in range(0, a + 2, 2):
            w0, w1 = V[e, :n], V[e + 1, :n]
            s00 = s01 = s10 = s11 = 0.0
            for i in range(n):
                s00 += v0[i] * w0[i]
                s01 += v0[i] * w1[i]
                s10 += v1[i] * w0[i]
                s11 += v1[i] * w1[i]
            out[a, e] += s00
            out[a, e + 1] += s01
            out[a + 1, e] += s10
            out[a + 1, e + 1] += s11


@fused_kernel
def scores(P, B, root, repeats, power, least, left, out, gram, gradient):
    """Make P (r + k, n) = [K, Y]'A' the basis and the residuals; `out` (k r + 1, n): the scores.

    The first rows of P become q, `root` times K'a (K'a if weights stand for `repeats`), the others
    r, `root` times b - Y'a, for B (n, k); `root` may be empty, for ones. Scores are r (x) q f with
    f = left^(-power/2), power 0, 1 or 2, and 1/f (times `root` for repeats), so that the product
    with its transpose of `out`, which may have more rows, has the sums of r (x) q, too. Rows that
    are passed over are zero in it; what they add to those sums is added to `gradient` (k r,).
    Returns their number.
    """
    n, k = B.shape
    r, n_heavy = P.shape[0] - k, 0
    f = np.empty(BLOCK)
    for first in range(0, n, BLOCK):
        last = min(first + BLOCK, n)
        rest, at = left[first:last], 0 if gram.size else first
        inverse = out[k * r, at : at + last - first]
        for c in range(k):
            for i in range(first, last):
                P[r + c, i] = B[i, c] - P[r + c, i]
        if root.size:
            for a in range(0 if not repeats else r, r + k):
                for i in range(first, last):
                    P[a, i] *= root[i]
        rest[:] = 1.0
        for a in range(r):
            q = P[a, first:last]
            for i in range(last - first):
                rest[i] -= q[i] * q[i]
        for i in range(last - first):
            inverse[i] = 1.0 if power == 0 else rest[i] if power == 2 else math.sqrt(rest[i])
            f[i] = 1.0 / inverse[i]
        if repeats:
            for i in range(last - first):
                inverse[i] *= root[first + i]
        for i in range(last - first):
            if rest[i] < least:
                n_heavy += 1
                weight = root[first + i] if repeats else 1.0
                for c in range(k):
                    for a in range(r):
                        gradient[c * r + a] += weight * P[r + c, first + i] * P[a, first + i]
                f[i] = 0.0
                inverse[i] = 0.0
        for c in range(k):
            residual = P[r + c, first:last]
            for a in range(r):
                q, score = P[a, first:last], out[c * r + a, at : at + last - first]
                for i in range(last - first):
                    score[i] = f[i] * residual[i] * q[i]
        if gram.size:
            add_gram(out, last - first, gram)
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
            fourth[i], second[i] = count * (2.0 * rest - 1.0), count * (1.0 - rest)
        for j in range(G.shape[0]):
            g, s4, s2 = G[j, first : first + m], 0.0, 0.0
            for i in range(m):
                square = g[i] * g[i] * inverse[i]
                s4 += fourth[i] * (square * square)
                s2 += second[i] * square
            out[0, j] += s4
            out[1, j] += s2
