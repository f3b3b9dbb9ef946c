"""What a tile of rows adds to the robust errors of least squares.

Q (rows, r) are rows of an orthonormal basis, R (rows, k) residuals, `left` (rows,) is 1 - h with h
the leverage; all float64 in C order. Rows with `left` below `least` are passed over: they are
looked at one by one. See `randla.regression._inference.whitened_rows`.
"""

import math

from randla._jit import summing_kernel


@summing_kernel
def scores(Q, R, root, power, least, left, out):
    """Set `left`, and `out` (rows, k r) to r (x) q / sqrt(left^power), for power 0, 1, 2.

    The rows of Q are multiplied by `root` before, unless that is empty. Returns the number of rows
    that are passed over, which are zero in `out`.
    """
    r, n_heavy = Q.shape[1], 0
    for i in range(Q.shape[0]):
        if root.size:
            for a in range(r):
                Q[i, a] *= root[i]
        squares = 0.0
        for a in range(r):
            squares += Q[i, a] * Q[i, a]
        rest = 1.0 - squares
        left[i] = rest
        factor = 1.0
        if rest < least:
            n_heavy += 1
            factor = 0.0
        elif power == 1:
            factor = 1.0 / math.sqrt(rest)
        elif power == 2:
            factor = 1.0 / rest
        for c in range(R.shape[1]):
            value = factor * R[i, c]
            for a in range(r):
                out[i, c * r + a] = value * Q[i, a]
    return n_heavy


@summing_kernel
def moments(G, left, counts, least, out):
    """Add counts g^4 (1 - 2 h) and counts g^2 h to `out` (2, d).

    g^2 = G^2 / left and h = 1 - left; `counts` (rows,) are ones if empty.
    """
    for i in range(G.shape[0]):
        if left[i] < least:
            continue
        h, inverse = 1.0 - left[i], 1.0 / left[i]
        count = counts[i] if counts.size else 1.0
        fourth, second = count * (1.0 - 2.0 * h), count * h
        for j in range(G.shape[1]):
            square = G[i, j] * G[i, j] * inverse
            out[0, j] += fourth * square * square
            out[1, j] += second * square
