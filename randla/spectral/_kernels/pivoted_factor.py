"""Choosing pivots by rejection, and a residual diagonal to all its digits."""

import math

import numpy as np

from randla._jit import fused_kernel, kernel

#: Proposals whose residual has fallen to this share are rounding errors: repetitions, say.
_NEGLIGIBLE = 1e-12


@fused_kernel
def reject(C, uniforms, limit, accepted, columns):
    """Go through proposals; return how many were accepted and how many were looked at.

    C (b, b) is the residual matrix at the proposals, and is overwritten. Proposal a is accepted
    with probability C_aa (now) / C_aa (at the start), then eliminated. Row r of `columns` becomes
    the new column of the Cholesky factor at the proposals, for the accepted ones up to `limit`.
    """
    b, n_accepted = C.shape[0], 0
    start = np.empty(b)
    for a in range(b):
        start[a] = C[a, a]
    for a in range(b):
        now = C[a, a]
        if not (now > _NEGLIGIBLE * start[a] and uniforms[a] * start[a] < now):
            continue
        root = math.sqrt(now)
        column = columns[n_accepted]
        for i in range(a, b):
            column[i] = C[a, i] / root
        for i in range(a + 1, b):  # the upper triangle of what is left
            f = column[i]
            for j in range(i, b):
                C[i, j] -= f * column[j]
        accepted[n_accepted] = a
        n_accepted += 1
        if n_accepted == limit:
            return n_accepted, a + 1
    return n_accepted, b


@kernel
def residual_diagonal(diagonal, F, out):
    """``out[i] = diagonal[i] - sum_j F[j, i]^2``, as if in twice the working precision.

    Ogita, Rump and Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005),
    1955-1988, algorithm 5.3 (Dot2), with the product's error by Dekker's splitting.
    """
    n = out.size
    low = np.zeros(n)
    for i in range(n):
        out[i] = diagonal[i]
    for j in range(F.shape[0]):
        row = F[j]
        for i in range(n):
            f = np.float64(row[i])
            c = 134217729.0 * f  # 2^27 + 1: f in two halves of 26 bits
            high_half = c - (c - f)
            low_half = f - high_half
            p = -f * f
            error = -(
                low_half * low_half + (2.0 * high_half * low_half + (high_half * high_half + p))
            )  # of p
            s = out[i] + p
            t = s - out[i]
            low[i] += ((out[i] - (s - t)) + (p - t)) + error
            out[i] = s
    for i in range(n):
        out[i] += low[i]
