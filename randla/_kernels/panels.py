"""Sums over rows that lie in column-major panels, so that inner loops have unit stride.

Panel k of an array (K, w, B) holds rows kB, ..., kB + B - 1 of an (n, d) matrix, one column of it
a line of length B; w is d rounded up to an even number; lines beyond d and rows beyond n are zero.
A panel of usual width stays in the first- or second-level cache while a kernel goes over it.
"""

import math

from randla._jit import summing_kernel


@summing_kernel
def add_gram(P, q, work, G):
    """Add A' diag(q) A to the lower triangle of G (w, w), for one panel P (w, B); q (B,).

    Two by two products a pass over the lines: half of the flops of a GEMM, and each line that is
    loaded serves two products. work (2, B) is overwritten.
    """
    w, B = P.shape
    for i in range(0, w, 2):
        for t in range(B):
            work[0, t] = q[t] * P[i, t]
            work[1, t] = q[t] * P[i + 1, t]
        for j in range(0, i + 1, 2):
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
def add_grams(panels, q, work, G):
    """The same for all panels (K, w, B); q (K, B)."""
    for k in range(panels.shape[0]):
        add_gram(panels[k], q[k], work, G)


@summing_kernel
def subtract_product(panels, x, r):
    """Subtract A x from r (K, B). x (w,)."""
    w, B = panels.shape[1], panels.shape[2]
    for k in range(panels.shape[0]):
        P = panels[k]
        for i in range(0, w, 2):
            for t in range(B):
                r[k, t] -= x[i] * P[i, t] + x[i + 1] * P[i + 1, t]


@summing_kernel
def add_transposed_product(panels, z, g):
    """Add A'z to g (w,). z (K, B), zero beyond n."""
    w, B = panels.shape[1], panels.shape[2]
    for k in range(panels.shape[0]):
        P = panels[k]
        for i in range(w):
            s = 0.0
            for t in range(B):
                s += z[k, t] * P[i, t]
            g[i] += s


@summing_kernel
def square_norms(P, W, work):
    """Put the squared norms of W a for the rows a of one panel into work[0]. work (2, B)."""
    w, B = P.shape
    for t in range(B):
        work[0, t] = 0.0
    for c in range(W.shape[0]):
        for t in range(B):
            work[1, t] = 0.0
        for i in range(0, w, 2):
            c0, c1 = W[c, i], W[c, i + 1]
            if c0 != 0.0 or c1 != 0.0:  # W is often triangular
                for t in range(B):
                    work[1, t] += c0 * P[i, t] + c1 * P[i + 1, t]
        for t in range(B):
            work[0, t] += work[1, t] * work[1, t]


@summing_kernel
def fill_norms(panels, W, work, out):
    """The norms of W a for the rows a. W (r, w), out (K, B), work (2, B)."""
    B = panels.shape[2]
    for k in range(panels.shape[0]):
        square_norms(panels[k], W, work)
        for t in range(B):
            out[k, t] = math.sqrt(work[0, t])


@summing_kernel
def raise_maxima(panels, lanes, g):
    """Raise g (w,) to the largest absolute values of the columns. lanes (B,) is overwritten."""
    w, B = panels.shape[1], panels.shape[2]
    for i in range(w):
        for t in range(B):
            lanes[t] = g[i]
        for k in range(panels.shape[0]):
            for t in range(B):
                lanes[t] = max(lanes[t], abs(panels[k, i, t]))
        top = lanes[0]
        for t in range(1, B):
            top = max(top, lanes[t])
        g[i] = top


@summing_kernel
def add_absolute(panels, g):
    """Add the sums of the absolute values of the columns to g (w,)."""
    w, B = panels.shape[1], panels.shape[2]
    for k in range(panels.shape[0]):
        P = panels[k]
        for i in range(w):
            s = 0.0
            for t in range(B):
                s += abs(P[i, t])
            g[i] += s
