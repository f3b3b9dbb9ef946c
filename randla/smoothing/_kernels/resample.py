"""Drawing ancestors, and the guide table for single draws in O(1).

`c` holds the cumulative sums of the normalised weights. Its last entry may miss one by rounding,
so positions are scaled by it and indices never leave 0..N-1.
"""

import numpy as np

from randla._jit import inline, kernel
from randla._random import exponential, uniform

MULTINOMIAL, SYSTEMATIC, STRATIFIED, RESIDUAL = 0, 1, 2, 3


@kernel
def comb(c, offset, A):
    """A[i] = first j with c[j] > (i + offset) / N times the total, for 0 <= offset < 1.

    Without a branch on data: point i belongs to the last j whose predecessors cover less than
    i + 1 points. A later j overwrites the entry of earlier ones that got none, and a running
    maximum fills the gaps.
    """
    n = c.size
    scale = n / c[n - 1]
    for i in range(n):
        A[i] = 0
    for j in range(n - 1):
        first = np.int64(np.ceil(c[j] * scale - offset))  # points below the end of j
        if first < n:
            A[first] = j + 1
    last = np.int32(0)
    for i in range(n):
        last = max(last, A[i])
        A[i] = last


@kernel
def stratified(rng, c, A):
    n, j = c.size, 0
    scale = c[n - 1] / n
    for i in range(n):
        position = (i + uniform(rng)) * scale
        while c[j] <= position and j < n - 1:
            j += 1
        A[i] = j


@kernel
def multinomial(rng, c, A, first, gaps):
    """A[first:] i.i.d. and sorted: normalised partial sums of exponentials are order statistics."""
    n, j, total = c.size, 0, 0.0
    for i in range(first, A.size):
        total += exponential(rng)
        gaps[i] = total
    total += exponential(rng)
    scale = c[n - 1] / total
    for i in range(first, A.size):
        position = gaps[i] * scale
        while c[j] <= position and j < n - 1:
            j += 1
        A[i] = j


@kernel
def residual(rng, w, c, A, gaps):
    """floor(N w) copies each, the rest multinomial from what is left; c is overwritten."""
    n, filled, total = w.size, 0, 0.0
    for i in range(n):
        expected = n * w[i]
        copies = min(np.int64(expected), n - filled)
        for _ in range(copies):
            A[filled] = i
            filled += 1
        total += expected - copies
        c[i] = total
    if filled < n:
        multinomial(rng, c, A, filled, gaps)


@kernel
def resample(rng, scheme, w, c, A, gaps):
    if scheme == SYSTEMATIC:
        comb(c, uniform(rng), A)
    elif scheme == STRATIFIED:
        stratified(rng, c, A)
    elif scheme == MULTINOMIAL:
        multinomial(rng, c, A, 0, gaps)
    else:
        residual(rng, w, c, A, gaps)


@inline
def guided_draw(rng, c, guide):
    """One index with probability proportional to the weights; `guide` is ``comb(c, 0)``."""
    n = c.size
    u = uniform(rng)
    i = np.int64(guide[np.int64(u * n)])
    position = u * c[n - 1]
    while c[i] <= position and i < n - 1:
        i += 1
    return i


@kernel
def search(c, position):
    """First i with c[i] > position, by bisection; the last index if there is none."""
    low, high = 0, c.size - 1
    while low < high:
        middle = (low + high) >> 1
        if c[middle] > position:
            high = middle
        else:
            low = middle + 1
    return low
