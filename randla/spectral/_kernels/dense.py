"""``A'A X`` for a few vectors X where the rows of A are long: both products four rows at a time, by
pieces of columns that stay in cache, without the packed copies of BLAS.

Floor: two multiply-adds for an entry of A and a vector. One core, A (3200, n): two products of BLAS
took 2.1 (n = 2500, 8 vectors), 1.4 (2500, 32), 2.1 (10,000, 8) and 1.5 (10,000, 32) times as long
as this, and 0.8 to 1.2 with n = 1000. It takes a second or two to compile.
"""

import numpy as np

from randla._jit import fused_kernel, summing_kernel

#: Rows and columns of a piece of A, half of what the second-level cache holds at least.
ROWS, COLUMNS = 64, 256


@summing_kernel
def _add_products(A, first, last, start, stop, X, Y):
    """Add ``A X'`` of rows first..last, over columns start..stop only, to Y."""
    for i in range(first, last, 4):
        a0, a1, a2, a3 = A[i], A[i + 1], A[i + 2], A[i + 3]
        a0, a1, a2, a3 = a0[start:stop], a1[start:stop], a2[start:stop], a3[start:stop]
        y0, y1, y2, y3 = Y[i - first], Y[i - first + 1], Y[i - first + 2], Y[i - first + 3]
        for c in range(0, X.shape[0], 4):
            x0, x1, x2, x3 = X[c], X[c + 1], X[c + 2], X[c + 3]
            x0, x1, x2, x3 = x0[start:stop], x1[start:stop], x2[start:stop], x3[start:stop]
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = 0.0
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = 0.0
            for j in range(a0.size):
                p0, p1, p2, p3 = a0[j], a1[j], a2[j], a3[j]
                q0, q1, q2, q3 = x0[j], x1[j], x2[j], x3[j]
                s00, s01, s02, s03 = s00 + p0 * q0, s01 + p0 * q1, s02 + p0 * q2, s03 + p0 * q3
                s10, s11, s12, s13 = s10 + p1 * q0, s11 + p1 * q1, s12 + p1 * q2, s13 + p1 * q3
                s20, s21, s22, s23 = s20 + p2 * q0, s21 + p2 * q1, s22 + p2 * q2, s23 + p2 * q3
                s30, s31, s32, s33 = s30 + p3 * q0, s31 + p3 * q1, s32 + p3 * q2, s33 + p3 * q3
            for y, s0, s1, s2, s3 in (
                (y0, s00, s01, s02, s03),
                (y1, s10, s11, s12, s13),
                (y2, s20, s21, s22, s23),
                (y3, s30, s31, s32, s33),
            ):
                y[c] += s0
                y[c + 1] += s1
                y[c + 2] += s2
                y[c + 3] += s3


@fused_kernel
def _add_adjoint_products(A, first, last, start, stop, Y, Z):
    """Add ``Y' A`` of rows first..last to columns start..stop of Z."""
    for c in range(0, Z.shape[0], 4):
        z0, z1, z2, z3 = Z[c], Z[c + 1], Z[c + 2], Z[c + 3]
        z0, z1, z2, z3 = z0[start:stop], z1[start:stop], z2[start:stop], z3[start:stop]
        for i in range(first, last, 4):
            a0, a1, a2, a3 = A[i], A[i + 1], A[i + 2], A[i + 3]
            a0, a1, a2, a3 = a0[start:stop], a1[start:stop], a2[start:stop], a3[start:stop]
            y = Y[i - first : i - first + 4]
            p0, p1, p2, p3 = y[0, c], y[1, c], y[2, c], y[3, c]
            q0, q1, q2, q3 = y[0, c + 1], y[1, c + 1], y[2, c + 1], y[3, c + 1]
            r0, r1, r2, r3 = y[0, c + 2], y[1, c + 2], y[2, c + 2], y[3, c + 2]
            s0, s1, s2, s3 = y[0, c + 3], y[1, c + 3], y[2, c + 3], y[3, c + 3]
            for j in range(z0.size):
                x0, x1, x2, x3 = a0[j], a1[j], a2[j], a3[j]
                # Four rows at once, for which Z is read and written once.
                p, q, r, s = z0[j] + p0 * x0, z1[j] + q0 * x0, z2[j] + r0 * x0, z3[j] + s0 * x0
                p, q, r, s = p + p1 * x1, q + q1 * x1, r + r1 * x1, s + s1 * x1
                p, q, r, s = p + p2 * x2, q + q2 * x2, r + r2 * x2, s + s2 * x2
                z0[j], z1[j], z2[j], z3[j] = p + p3 * x3, q + q3 * x3, r + r3 * x3, s + s3 * x3


@fused_kernel
def add_gram_products(A, X, Z):
    """Add ``(A'A X')'`` to Z (s, n), for A (m, n) and X (s, n); m and s are divisible by 4."""
    m, n = A.shape
    Y = np.empty((ROWS, X.shape[0]))
    for first in range(0, m, ROWS):
        last = min(first + ROWS, m)
        Y[:] = 0.0
        for start in range(0, n, COLUMNS):
            _add_products(A, first, last, start, min(start + COLUMNS, n), X, Y)
        for start in range(0, n, COLUMNS):
            _add_adjoint_products(A, first, last, start, min(start + COLUMNS, n), Y, Z)
