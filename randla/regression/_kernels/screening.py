"""Passes over all rows for quantile regression that is solved on a few of them.

Rows far from a fit are summed into two rows: those above it and those below it. A pass serves
several fits at once, since copying and whitening the rows costs more than a product.
"""

import math

import numpy as np

from randla._jit import summing_kernel
from randla._kernels.panels import add_adjoints, add_multiple, square_norms


@summing_kernel
def _residuals(P, rhs, x, r):
    """Fill r with rhs - P'x for one panel."""
    for t in range(r.size):
        r[t] = rhs[t]
    add_multiple(P, -1.0, x, r)


@summing_kernel
def split(panels, rhs, weight, n, X, whitener, limits, heavy, side, work, sums):
    """For each fit X[q], choose the rows to keep and sum the others.

    side (K, k, B) gets 0 where the row stays (|b - a'x| <= limits[q] h, or h^2 > heavy, with
    h = |whitener a|), else the sign of b - a'x. sums (k, 2, w + 1) are added to: the weighted rows
    above and below, with their right-hand sides in the last column. weight and rhs (K, B), X
    (k, w), whitener (d, w); work (4, B) is overwritten.
    """
    w, B = panels.shape[1], panels.shape[2]
    for k in range(panels.shape[0]):
        P = panels[k]
        m = min(B, n - k * B)
        square_norms(P, whitener, work[1:3])
        for t in range(B):  # infinite where the row is heavy, or NaN
            work[1, t] = math.sqrt(work[1, t]) if work[1, t] <= heavy else math.inf
        for q in range(X.shape[0]):
            _residuals(P, rhs[k], X[q], work[0])
            above, below = 0.0, 0.0
            for t in range(m):
                r, limit = work[0, t], limits[q] * work[1, t]
                # As numbers, not branches: the loop vectorizes.
                up, down = 1.0 if r > limit else 0.0, 1.0 if r < -limit else 0.0
                side[k, q, t] = np.int8(up - down)
                work[2, t], work[3, t] = up * weight[k, t], down * weight[k, t]
                above += work[2, t] * rhs[k, t]
                below += work[3, t] * rhs[k, t]
            for t in range(m, B):  # beyond n
                work[2, t], work[3, t] = 0.0, 0.0
                side[k, q, t] = 0
            add_adjoints(P, work[2], work[3], sums[q])
            sums[q, 0, w] += above
            sums[q, 1, w] += below


@summing_kernel
def check(panels, rhs, weight, n, X, taus, duals, side, work, wrong, sums):
    """Loss and duality gap of the summed rows, and which of them lie on the wrong side.

    duals (k, 2) are the dual values of the sums above and below. sums (k, 2) are added to; wrong
    (K, k, B) gets side where the residual has the other sign, else 0. work (1, B).
    """
    for k in range(panels.shape[0]):
        for q in range(X.shape[0]):
            _residuals(panels[k], rhs[k], X[q], work[0])
            tau = taus[q]
            value, gap = 0.0, 0.0
            for t in range(min(panels.shape[2], n - k * panels.shape[2])):
                s = side[k, q, t]
                r = work[0, t] * (weight[k, t] if s != 0 else 0.0)
                loss = max(tau * r, (tau - 1.0) * r)
                value += loss
                # rho(r) - z r, with the dual z of the row's sum.
                gap += loss - (duals[q, 0] if s > 0 else duals[q, 1]) * r
                wrong[k, q, t] = s if s * r < 0.0 else 0
            sums[q, 0] += value
            sums[q, 1] += gap
