"""Points of two clouds that are matched by the order of their projections."""

import math

from randla._elementary import power
from randla._jit import kernel


@kernel
def add_matches(X, Y, left, right, mass, p, moved):
    """moved[left[k]] += mass[k] Y[right[k]] over all matches k; returns the cost of the matches,
    sum_k mass[k] |X[left[k]] - Y[right[k]]|^p.

    X (n, d), Y (m, d), moved (n, d), left and right int32. Floor: two reads and a write of d
    numbers a match.
    """
    total, d = 0.0, X.shape[1]
    for k in range(left.size):
        i, j, w, square = left[k], right[k], mass[k], 0.0
        for c in range(d):
            gap = X[i, c] - Y[j, c]
            square += gap * gap
            moved[i, c] += w * Y[j, c]
        if p == 2.0:
            total += w * square
        else:
            total += w * (math.sqrt(square) if p == 1.0 else power(square, 0.5 * p))
    return total
