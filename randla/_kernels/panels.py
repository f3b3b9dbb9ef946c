"""Products with a tall matrix whose rows lie in panels of 256, each of them column by column.

Entry j of row ``k * PANEL + t`` of an (n, d) matrix is ``panels[k, j, t]`` of an array
(K, w, PANEL). w is d rounded up to an even number, as loops take two columns at a time; columns
beyond d and rows beyond n are zero. Vectors over the rows are (K, PANEL). All inner loops run over
the rows of a panel, with unit stride and without branches, and a panel of a few dozen columns stays
in the first- or second-level cache while a kernel processes it.
"""

import math

from randla._jit import fused_kernel, inline, summing_inline, summing_kernel

#: Rows of a panel: its columns, 2 kB each, fill the first-level cache at d = 16.
PANEL = 256


@inline
def fill(values, value):
    """Set a vector to one number (a loop compiles faster than an assignment to a slice)."""
    for k in range(values.size):
        values[k] = value


@fused_kernel
def largest(lanes):
    """Largest of PANEL numbers, by halves (a loop over one maximum would be serial)."""
    half = lanes.size // 2
    while half > 0:
        for t in range(half):
            lanes[t] = max(lanes[t], lanes[half + t])
        half //= 2
    return lanes[0]


@summing_inline
def add_multiple(P, factor, x, r):
    """``r += factor P'x`` for one panel P (w, B); x (w,), r (B,)."""
    for i in range(0, P.shape[0], 2):
        a, b = factor * x[i], factor * x[i + 1]  # two columns share a load and a store of r
        for t in range(r.size):
            r[t] += a * P[i, t] + b * P[i + 1, t]


@summing_inline
def add_adjoint(P, z, g):
    """``g += P z`` for one panel; z (B,), zero beyond n, g (w,)."""
    for i in range(P.shape[0]):
        total = 0.0  # a register: a sum that is stored would not vectorize
        for t in range(z.size):
            total += z[t] * P[i, t]
        g[i] += total


@summing_inline
def add_adjoints(P, y, z, g):
    """``g[0] += P y`` and ``g[1] += P z``, which share their loads."""
    for i in range(P.shape[0]):
        first, second = 0.0, 0.0
        for t in range(z.size):
            first += y[t] * P[i, t]
            second += z[t] * P[i, t]
        g[0, i] += first
        g[1, i] += second


@summing_kernel
def add_gram(P, q, work, G):
    """Add P diag(q) P' to the lower triangle of G (w, w); q (B,).

    Two by two products a pass over the lines: half of the flops of a GEMM, and each line that is
    loaded serves two products. work (2, B) is overwritten.
    """
    w, B = P.shape
    for i in range(0, w, 2):
        for t in range(B):
            work[0, t] = q[t] * P[i, t]  # rows i and i + 1 of P diag(q)
            work[1, t] = q[t] * P[i + 1, t]
        for j in range(0, i + 1, 2):  # the 2 x 2 block at (i, j), i >= j
            s00, s01, s10, s11 = 0.0, 0.0, 0.0, 0.0
            for t in range(B):
                s00 += work[0, t] * P[j, t]
                s01 += work[0, t] * P[j + 1, t]
                s10 += work[1, t] * P[j, t]
                s11 += work[1, t] * P[j + 1, t]
            G[i, j] += s00
            G[i, j + 1] += s01
            G[i + 1, j] += s10
            G[i + 1, j + 1] += s11


@summing_kernel
def product(panels, x, out):
    """``out = A x``; x (w,), out (K, B)."""
    for k in range(panels.shape[0]):
        fill(out[k], 0.0)
        add_multiple(panels[k], 1.0, x, out[k])


@summing_kernel
def subtract_product(panels, x, r):
    """``r -= A x``; x (w,), r (K, B)."""
    for k in range(panels.shape[0]):
        add_multiple(panels[k], -1.0, x, r[k])


@summing_kernel
def adjoint(panels, z, g):
    """``g = A'z``; z (K, B), g (w,)."""
    fill(g, 0.0)
    for k in range(panels.shape[0]):
        add_adjoint(panels[k], z[k], g)


@summing_kernel
def weighted_gram(panels, q, work, G):
    """``G = A' diag(q) A``, its lower triangle (w, w); q (K, B), work (2, B)."""
    for i in range(G.shape[0]):
        fill(G[i], 0.0)
    for k in range(panels.shape[0]):
        add_gram(panels[k], q[k], work, G)


@summing_kernel
def square_norms(P, W, work):
    """Put the squared norms of W a for the rows a of one panel into work[0]. work (2, B)."""
    fill(work[0], 0.0)
    for c in range(W.shape[0]):
        fill(work[1], 0.0)
        for i in range(0, P.shape[0], 2):
            a, b = W[c, i], W[c, i + 1]
            if a != 0.0 or b != 0.0:  # W is often triangular
                for t in range(P.shape[1]):
                    work[1, t] += a * P[i, t] + b * P[i + 1, t]
        for t in range(P.shape[1]):  # work[1] has (W a)_c for each row a
            work[0, t] += work[1, t] * work[1, t]


@summing_kernel
def fill_norms(panels, W, work, out):
    """The norms of W a for the rows a. W (r, w), out (K, B), work (2, B)."""
    for k in range(panels.shape[0]):
        square_norms(panels[k], W, work)
        for t in range(panels.shape[2]):
            out[k, t] = math.sqrt(work[0, t])


@summing_kernel
def raise_maxima(panels, lanes, g):
    """Raise g (w,) to the largest absolute values of the columns. lanes (B,) is overwritten."""
    for i in range(panels.shape[1]):
        fill(lanes, g[i])  # a maximum for each place in a panel: lanes do not wait for another
        for k in range(panels.shape[0]):
            for t in range(panels.shape[2]):
                lanes[t] = max(lanes[t], abs(panels[k, i, t]))
        g[i] = largest(lanes)


@summing_kernel
def add_absolute(panels, g):
    """Add the sums of the absolute values of the columns to g (w,)."""
    for k in range(panels.shape[0]):
        P = panels[k]
        for i in range(P.shape[0]):
            total = 0.0
            for t in range(P.shape[1]):
                total += abs(P[i, t])
            g[i] += total
