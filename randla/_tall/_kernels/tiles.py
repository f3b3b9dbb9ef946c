"""Kernels for a tile of rows: its Gram matrix and its row norms; and a small inverse."""

import math

import numpy as np

from randla._jit import fused_kernel, kernel, summing_kernel

_SMALL, _LARGE = 1e-280, 1e280


@summing_kernel
def add_gram(X, product, total):
    """Add X'X to `total` (d, d) for a C-ordered float64 tile. product (d, d) is overwritten.

    For few columns: NumPy would take the symmetric routine, which is slower there, and hold the
    interpreter for longer than the product lasts.
    """
    np.dot(X.T, X, product)
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            total[i, j] += product[i, j]


@kernel
def scale_rows(X, scale, out):
    """``out = diag(scale) X`` for a C-ordered float64 tile.

    NumPy's broadcast takes twice the time if rows are short.
    """
    for i in range(X.shape[0]):
        factor = scale[i]
        for j in range(X.shape[1]):
            out[i, j] = factor * X[i, j]


@summing_kernel
def row_norms(X, out):
    """Euclidean norm of each row of a C-ordered float64 tile, safe for very small rows.

    If the sum of squares leaves the safe range, the row is first scaled by its largest entry.
    """
    n, d = X.shape
    for i in range(n):
        total = 0.0
        for j in range(d):
            total += X[i, j] * X[i, j]
        if _SMALL < total < _LARGE:
            out[i] = math.sqrt(total)
            continue
        largest = 0.0
        for j in range(d):
            largest = max(largest, abs(X[i, j]))
        if largest == 0.0 or not largest < math.inf:
            out[i] = largest
            continue
        total = 0.0
        for j in range(d):  # |x| = c |x / c|
            scaled = X[i, j] / largest
            total += scaled * scaled
        out[i] = largest * math.sqrt(total)


@fused_kernel
def invert_lower(L, out):
    """``out = L^-1`` for a lower triangle; zero above the diagonal."""
    d = L.shape[0]
    for j in range(d):
        for i in range(j):
            out[i, j] = 0.0
        out[j, j] = 1.0 / L[j, j]
        for i in range(j + 1, d):
            total = 0.0
            for m in range(j, i):
                total -= L[i, m] * out[m, j]
            out[i, j] = total / L[i, i]
