"""Cholesky's factorization of small symmetric matrices, inside kernels.

NumPy's routines allocate at each call, which takes longer than a factorization of a few columns.
"""

import math

from randla._jit import fused_kernel

#: Pivots are kept above this fraction of their diagonal entry, about five rounding errors: if rank
#: is lost a direction is perturbed, as by a ridge of that size; well conditioned ones are not.
_SMALLEST_PIVOT = 1e-15


@fused_kernel
def factor(G, d, L):
    """Factor L of the lower triangle of G (d, d); False if G is not positive.

    Entries above the diagonals are neither read nor written.
    """
    trace = 0.0
    for j in range(d):
        trace += G[j, j]
    if not 0.0 < trace < math.inf:
        return False
    for j in range(d):
        pivot = G[j, j]  # l_jj^2 = g_jj - sum_m l_jm^2
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        smallest = _SMALLEST_PIVOT * (G[j, j] if G[j, j] > 0.0 else trace)
        L[j, j] = math.sqrt(max(pivot, smallest))
        for i in range(j + 1, d):
            total = G[i, j]  # l_ij l_jj = g_ij - sum_m l_im l_jm
            for m in range(j):
                total -= L[i, m] * L[j, m]
            L[i, j] = total / L[j, j]
    return True


@fused_kernel
def solve(L, d, b, y):
    """``y = (L L')^-1 b``; returns whether y is finite."""
    for j in range(d):  # L v = b
        total = b[j]
        for m in range(j):
            total -= L[j, m] * y[m]
        y[j] = total / L[j, j]
    norm = 0.0
    for j in range(d - 1, -1, -1):  # L'y = v
        total = y[j]
        for m in range(j + 1, d):
            total -= L[m, j] * y[m]
        y[j] = total / L[j, j]
        norm += abs(y[j])
    return math.isfinite(norm)
