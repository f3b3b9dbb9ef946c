"""Drawing ancestors, and the guide table for single draws in O(1).

`c` (N,) holds the cumulative sums of the weights and `total` their sum; the last entry of `c` is
inf, so that a search never runs past the end, whatever the rounding.
"""

import numpy as np

from randla._jit import inline, kernel
from randla._random import exponential, uniform
from randla.smoothing._kernels.particles.borrow import keep, on_stack

MULTINOMIAL, SYSTEMATIC, STRATIFIED, RESIDUAL = 0, 1, 2, 3

# Up to here a cloud stays in the second-level cache and ancestors in random order are cheaper;
# beyond, sorted ones are, as they read memory in order.
_SORT_FROM = 1 << 15


@kernel
def fill_gaps(A, n):
    """Replace A[:n] by its running maximum."""
    last = A[0]
    for i in range(n):
        last = max(last, A[i])
        A[i] = last


@kernel
def comb(c, total, offset, A):
    """A[i] = first j with c[j] > (i + offset) total / A.size, for 0 <= offset < 1.

    Without a branch that depends on data: point i belongs to the last j whose predecessors cover
    at most i points, a later j overwrites the entry of those that cover none, and a running
    maximum fills the gaps.
    """
    n = A.size
    scale = n / total
    for i in range(n):
        A[i] = 0
    for j in range(c.size - 1):
        first = np.int64(np.ceil(c[j] * scale - offset))  # points up to the end of j
        if first < n:
            A[first] = j + 1
    fill_gaps(A, n)


@inline
def guided_draw(rng, c, total, guide):
    """One index with probability proportional to the weights; `guide` is a comb of offset 0.

    With two cells of the table for each weight, one step without a branch is nearly always
    enough.
    """
    u = uniform(rng)
    position = u * total
    j = np.int64(guide[np.int64(u * guide.size)])
    j += np.int64(c[j] <= position)
    while c[j] <= position:
        j += 1
    return j


@kernel
def search(c, position):
    """First i with c[i] > position, by bisection."""
    low, high = 0, c.size - 1
    while low < high:
        middle = (low + high) >> 1
        if c[middle] > position:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def stratified(rng, c, total, A):
    comb(c, total, 0.0, A)
    scale = total / A.size
    for i in range(A.size):
        position = (i + uniform(rng)) * scale
        j = np.int64(A[i])
        j += np.int64(c[j] <= position)
        while c[j] <= position:
            j += 1
        A[i] = j


@kernel
def sorted_multinomial(rng, c, total, A, first, gaps):
    """A[first:] i.i.d. and sorted: normalised partial sums of exponentials are order statistics."""
    reached, j = 0.0, 0
    for i in range(first, A.size):
        reached += exponential(rng)
        gaps[i] = reached
    scale = total / (reached + exponential(rng))
    for i in range(first, A.size):
        position = gaps[i] * scale
        while c[j] <= position:
            j += 1
        A[i] = j


@kernel
def multinomial(stream, c, total, A, first, guide, gaps):
    """A[first:] i.i.d.; `guide` (2 N,) is a comb of offset 0, `gaps` (N,) is work space."""
    if c.size >= _SORT_FROM:
        sorted_multinomial(stream, c, total, A, first, gaps)
    else:
        rng = on_stack(stream)
        for i in range(first, A.size):
            A[i] = guided_draw(rng, c, total, guide)
        keep(rng, stream)


@kernel
def residual(rng, w, c, A, gaps):
    """floor(N w) copies each, the rest multinomial from what is left; c is overwritten."""
    n, filled, rest = w.size, 0, 0.0
    for i in range(n):
        A[i] = 0
    for j in range(n):
        expected = n * w[j]
        copies = np.int64(expected)
        if filled < n:
            A[filled] = j
        filled += copies
        rest += expected - copies
        c[j] = rest
    c[n - 1] = np.inf
    filled = min(filled, n)
    fill_gaps(A, filled)
    if filled < n:
        sorted_multinomial(rng, c, rest, A, filled, gaps)


@kernel
def resample(rng, scheme, w, c, total, A, guide, gaps):
    if scheme == SYSTEMATIC:
        comb(c, total, uniform(rng), A)
    elif scheme == STRATIFIED:
        stratified(rng, c, total, A)
    elif scheme == MULTINOMIAL:
        comb(c, total, 0.0, guide)
        multinomial(rng, c, total, A, 0, guide, gaps)
    else:
        residual(rng, w, c, A, gaps)
