"""Passes over the rows of a regression with one right-hand side: each row is read once.

`A` (n, d) C order, `b` (n,), both float64 and read-only; `x` (d,), `work` (2, d), `out` (d,)
float64. One row at a time: the dot product brings it into the first-level cache, where the update
finds it. (Four or eight rows at a time were slower from d = 64 on.) Floor: one read of A.

The gradient of a least-squares problem is a sum that nearly cancels, and its rounding error
determines the error of the solution. So 64 rows are summed plainly and such sums with compensation,
which costs nothing and leaves an error like that of Householder QR.
"""

from randla._jit import kernel, summing_kernel

_ROWS = 64


@kernel
def _add_compensated(out, carry, part):
    """Add `part` to `out` exactly, up to rounding of `carry` (Knuth's two-sum); clear `part`."""
    for j in range(out.size):
        total = out[j] + part[j]
        added = total - out[j]
        carry[j] += (out[j] - (total - added)) + (part[j] - added)
        out[j] = total
        part[j] = 0.0


@summing_kernel
def residual_gradient(A, b, x, work, out):
    """Set `out` to ``A'r`` and return ``r'r``, r = b - A x."""
    n, d = A.shape
    part, carry = work[0], work[1]
    work[:] = 0.0
    out[:] = 0.0
    squares = 0.0
    for first in range(0, n, _ROWS):
        for i in range(first, min(first + _ROWS, n)):
            dot = 0.0
            for j in range(d):  # a_i'x
                dot += A[i, j] * x[j]
            r = b[i] - dot
            squares += r * r
            for j in range(d):  # A'r
                part[j] += r * A[i, j]
        _add_compensated(out, carry, part)
    for j in range(d):
        out[j] += carry[j]
    return squares


@summing_kernel
def normal_product(A, x, out):
    """Set `out` to ``A'A x``."""
    d = A.shape[1]
    out[:] = 0.0
    for i in range(A.shape[0]):
        dot = 0.0
        for j in range(d):
            dot += A[i, j] * x[j]
        for j in range(d):
            out[j] += dot * A[i, j]
