"""Sums as accurate as if computed in twice the precision and rounded once.

Source: Ogita, Rump and Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005),
1955-1988: Dot2, whose error is at most u |result| + gamma_n^2 sum |terms|. Sums must not be
reordered here.
"""

from randla._jit import inline, kernel

_SPLITTER = 134217729.0  # 2^27 + 1


@inline
def add_product(x, y, high, low):
    """Add x y to the unevaluated sum of `high` and `low`."""
    product = x * y
    t = _SPLITTER * x  # Dekker and Veltkamp: x = x1 + x2 of 26 bits each
    x1 = t - (t - x)
    x2 = x - x1
    t = _SPLITTER * y
    y1 = t - (t - y)
    y2 = y - y1
    # x y = product + error exactly (TwoProduct); high + product = total + rest (Knuth's TwoSum).
    error = x2 * y2 - (((product - x1 * y1) - x2 * y1) - x1 * y2)
    total = high + product
    t = total - high
    return total, low + (error + ((high - (total - t)) + (product - t)))


@kernel
def add_columns(A, b, y, high, low, sizes):
    """Add A'y to the unevaluated sums of `high` and `low`, and |A|'|y| to `sizes`, all (d,).

    Returns |b|'|y|.
    """
    reach = 0.0
    for i in range(A.shape[0]):
        v = y[i]
        if v != 0.0:
            for j in range(A.shape[1]):
                high[j], low[j] = add_product(A[i, j], v, high[j], low[j])
                sizes[j] += abs(A[i, j] * v)
            reach += abs(b[i] * v)
    return reach


@kernel
def subtract_rows(A, x, b, out):
    """``out = b - A x``."""
    for i in range(A.shape[0]):
        high, low = b[i], 0.0
        for j in range(A.shape[1]):
            high, low = add_product(-A[i, j], x[j], high, low)
        out[i] = high + low
