"""Passes over the rows of a regression with one right-hand side: each row is read once.

`A` (n, d) C order, float32 or float64, `b` (n,) float64, all read-only; `x`, `out` (d,) float64.
One row at a time: the dot product brings it into the first-level cache, where the update finds it.
(Four or eight rows at a time were slower from d = 64 on.) Floor: one read of A.
"""

from randla._jit import summing_kernel


@summing_kernel
def add_residual_gradient(A, b, x, out):
    """Add ``A'r`` to `out` and return ``r'r``, r = b - A x."""
    d = A.shape[1]
    squares = 0.0
    for i in range(A.shape[0]):
        dot = 0.0
        for j in range(d):
            dot += A[i, j] * x[j]
        r = b[i] - dot
        squares += r * r
        for j in range(d):
            out[j] += r * A[i, j]
    return squares


@summing_kernel
def add_normal_product(A, x, out):
    """Add ``A'A x`` to `out`."""
    d = A.shape[1]
    for i in range(A.shape[0]):
        dot = 0.0
        for j in range(d):
            dot += A[i, j] * x[j]
        for j in range(d):
            out[j] += dot * A[i, j]
