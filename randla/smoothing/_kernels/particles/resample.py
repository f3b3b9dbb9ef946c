"""Drawing ancestors, and the guide table for single draws in O(1).

The weights of a cloud come as a record ``weights = (normalized, cumulative, guide, spacings)``:
`normalized` (N,) sums to one, `cumulative` (N,) has its partial sums, whose end `total` is passed
separately; the last entry of `cumulative` is inf, so that a search never runs past the end,
for any rounding. `guide` (2 N,) int32 and `spacings` (N,) are work space.

Sources: Douc, Cappé and Moulines, "Comparison of resampling schemes for particle filtering", ISPA
(2005), 64-69; Chen and Asau, "On generating random variates from an empirical distribution", AIIE
Trans. 6 (1974), 163-166 (the guide table).
"""

import numpy as np

from randla._jit import inline, kernel
from randla._random import exponential, uniform
from randla.smoothing._kernels.particles.unowned import stack_copy, store_stream

MULTINOMIAL, SYSTEMATIC, STRATIFIED, RESIDUAL = 0, 1, 2, 3

# Up to here a cloud stays in the second-level cache and ancestors in random order are cheaper;
# beyond, sorted ones are, as they read memory in order.
_SORT_FROM = 1 << 15


@kernel
def fill_gaps(indices, n):
    """Replace indices[:n] by its running maximum."""
    last = indices[0]
    for i in range(n):
        last = max(last, indices[i])
        indices[i] = last


@kernel
def systematic_indices(cumulative, total, offset, indices):
    """indices[i] = first j with cumulative[j] > (i + offset) total / n, for 0 <= offset < 1.

    Without a branch that depends on data: point i belongs to the last j whose predecessors cover
    at most i points, a later j overwrites the entry of those that cover none, and a running
    maximum fills the gaps.
    """
    n = indices.size
    scale = n / total
    for i in range(n):
        indices[i] = 0
    for j in range(cumulative.size - 1):
        first = np.int64(np.ceil(cumulative[j] * scale - offset))  # points up to the end of j
        if first < n:
            indices[first] = j + 1  # the point behind them is the first one of j + 1, or later
    fill_gaps(indices, n)


@inline
def guided_draw(rng, cumulative, total, guide):
    """One index with probability proportional to the weights; `guide` has offset 0.

    With two cells of the table for each weight, one step without a branch is nearly always
    enough.
    """
    u = uniform(rng)
    position = u * total
    j = np.int64(guide[np.int64(u * guide.size)])  # where the cell of u begins: never too far
    j += np.int64(cumulative[j] <= position)
    while cumulative[j] <= position:
        j += 1
    return j


@kernel
def search(cumulative, position):
    """First i with cumulative[i] > position, by bisection."""
    low, high = 0, cumulative.size - 1
    while low < high:
        middle = (low + high) >> 1
        if cumulative[middle] > position:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def stratified(scheme, rng, weights, total, ancestors, first):
    """One point uniform in each stratum [i, i + 1) total / N."""
    cumulative = weights[1]
    systematic_indices(cumulative, total, 0.0, ancestors)  # of the left ends of the strata
    scale = total / ancestors.size
    for i in range(ancestors.size):
        position = (i + uniform(rng)) * scale
        j = np.int64(ancestors[i])
        j += np.int64(cumulative[j] <= position)
        while cumulative[j] <= position:
            j += 1
        ancestors[i] = j


@kernel
def sorted_multinomial(rng, cumulative, total, ancestors, first, spacings):
    """ancestors[first:] i.i.d. and sorted, in O(N).

    S_1 / S_{n+1}, ..., S_n / S_{n+1}, partial sums S of exponentials, are distributed as the order
    statistics of n uniform numbers (Devroye 1986, V.2).
    """
    reached, j = 0.0, 0
    for i in range(first, ancestors.size):
        reached += exponential(rng)
        spacings[i] = reached
    scale = total / (reached + exponential(rng))
    for i in range(first, ancestors.size):
        position = spacings[i] * scale
        while cumulative[j] <= position:
            j += 1
        ancestors[i] = j


@kernel
def multinomial(stream, weights, total, ancestors, first):
    """ancestors[first:] i.i.d. from the weights, of which the guide table is filled."""
    _, cumulative, guide, spacings = weights
    systematic_indices(cumulative, total, 0.0, guide)
    if cumulative.size >= _SORT_FROM:
        sorted_multinomial(stream, cumulative, total, ancestors, first, spacings)
    else:
        rng = stack_copy(stream)
        for i in range(first, ancestors.size):
            ancestors[i] = guided_draw(rng, cumulative, total, guide)
        store_stream(rng, stream)


@kernel
def residual(scheme, rng, weights, total, ancestors, first):
    """floor(N w) copies each, the others multinomial from N w - floor(N w)."""
    normalized, cumulative, _, spacings = weights
    n, filled, remainder = normalized.size, 0, 0.0
    for i in range(n):
        ancestors[i] = 0
    for j in range(n):
        expected = n * normalized[j]
        copies = np.int64(expected)
        if filled < n:
            ancestors[filled] = j  # `fill_gaps` makes the other copies
        filled += copies
        remainder += expected - copies
        cumulative[j] = remainder  # in place: of the remaining weights
    cumulative[n - 1] = np.inf
    filled = min(filled, n)
    fill_gaps(ancestors, filled)
    if filled < n:
        sorted_multinomial(rng, cumulative, remainder, ancestors, filled, spacings)


@kernel
def systematic(rng, weights, total, ancestors):
    """One uniform number for all points."""
    systematic_indices(weights[1], total, uniform(rng), ancestors)


@kernel
def multinomial_or_systematic(scheme, rng, weights, total, ancestors, first):
    """In one kernel, as likelihoods and posteriors need filters with both."""
    if scheme == MULTINOMIAL:
        multinomial(rng, weights, total, ancestors, first)
    else:
        systematic(rng, weights, total, ancestors)


#: Draws of ancestors[first:]; E[number of copies of j] = N w_j for each of them. Only
#: multinomial draws are independent, so that some may be given: `first` is 0 for the others.
DRAWS = multinomial_or_systematic, multinomial_or_systematic, stratified, residual
