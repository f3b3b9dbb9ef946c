"""One pass of Newton's method for a smoothed sum of pinball losses over panels of rows."""

from randla._jit import summing_kernel
from randla._kernels.panels import add_gram


@summing_kernel
def smoothed_pass(panels, rhs, inverse_size, n, x, tau, width, residuals, work, g, G):
    """Residuals at x, and the sums for a Newton step on the loss smoothed over |r| < width size.

    residuals (K, B) gets r = rhs - A x. With z = tau - 1 + (1 + r / (width size)) / 2, clipped to
    the box tau - 1 .. tau, g (2, w) gets A'z and the same of the exact derivative (z at width 0),
    and G (w, w), unless it is empty, the sum of a a' / size over the band. inverse_size (K, B)
    is zero beyond n; work (4, B).
    """
    w, B = panels.shape[1], panels.shape[2]
    for i in range(w):
        g[0, i], g[1, i] = 0.0, 0.0
    for i in range(G.shape[0]):
        for j in range(G.shape[1]):
            G[i, j] = 0.0
    scale = 0.5 / width
    for k in range(panels.shape[0]):
        P = panels[k]
        m = min(B, n - k * B)
        for t in range(B):
            work[0, t] = rhs[k, t]
        for i in range(0, w, 2):
            for t in range(B):
                work[0, t] -= x[i] * P[i, t] + x[i + 1] * P[i + 1, t]
        for t in range(m):
            r, inverse = work[0, t], inverse_size[k, t]
            v = scale * r * inverse
            residuals[k, t] = r
            work[1, t] = inverse if abs(v) < 0.5 else 0.0
            work[2, t] = tau - 1.0 + min(max(0.5 + v, 0.0), 1.0)
            work[3, t] = tau if r > 0.0 else tau - 1.0
        for t in range(m, B):
            work[1, t], work[2, t], work[3, t] = 0.0, 0.0, 0.0
        for i in range(w):
            g0, g1 = 0.0, 0.0
            for t in range(B):
                g0 += work[2, t] * P[i, t]
                g1 += work[3, t] * P[i, t]
            g[0, i] += g0
            g[1, i] += g1
        if G.shape[0] > 0:
            add_gram(P, work[1], work[2:4], G)
