"""Costs of random splits of pooled and sorted rows into two samples."""

import numpy as np

from randla._jit import kernel
from randla._random import seed_stream, uniform
from randla.transport._kernels.cost import row_cost, sum_planned

_AT_A_TIME = 8  # splits whose labels stay in the first-level cache, while a row is used by all


@kernel
def draw_labels(key, number, n, labels):
    """Set `labels` (N,) to 0 for n of the points, chosen uniformly, and to 1 for the others; number
    0 is the given split, with the first n.

    Selection sampling: Knuth, "The art of computer programming", volume 2, 3rd edition,
    Addison-Wesley (1998), section 3.4.2, algorithm S.
    """
    left, wanted = labels.size, n
    if number == 0:
        labels[:n] = 0
        labels[n:] = 1
        return
    state = np.empty(4, np.uint64)
    seed_stream(state, key, number)
    for i in range(labels.size):
        is_chosen = np.int64(uniform(state) * left < wanted)
        labels[i] = 1 - is_chosen
        wanted -= is_chosen
        left -= 1


@kernel
def split_row(z, order, labels, u, v):
    """Sorted points of label 0 to `u` (n + 1,) and of label 1 to `v` (m + 1,), without a branch:
    each point is written to both, and one of the positions advances.
    """
    i, j, one = np.uint64(0), np.uint64(0), np.uint64(1)
    for k in range(z.size):
        label = np.uint64(labels[np.uint64(order[k])])
        u[i] = z[k]
        v[j] = z[k]
        i += one - label
        j += label


@kernel
def add_split_costs(Z, order, key, first, n, left, right, mass, p, totals):
    """totals[b] += costs of split number first + b, summed over the sorted rows Z (L, N) with their
    permutations `order`. For samples of equal size n there is no plan: left, right, mass are None.
    """
    N = Z.shape[1]
    labels = np.empty((_AT_A_TIME, N), np.uint8)
    u, v = np.empty(n + 1, Z.dtype), np.empty(N - n + 1, Z.dtype)
    for start in range(0, totals.size, _AT_A_TIME):
        count = min(_AT_A_TIME, totals.size - start)
        for b in range(count):
            draw_labels(key, first + start + b, n, labels[b])
        for row in range(Z.shape[0]):
            for b in range(count):
                split_row(Z[row], order[row], labels[b], u, v)
                if left is None:
                    totals[start + b] += row_cost(u[:n], v[:n], 0.0, 1.0, p)
                else:
                    pairs = left, right, mass
                    totals[start + b] += sum_planned(u[:n], v[: N - n], *pairs, 0.0, 1.0, p)
