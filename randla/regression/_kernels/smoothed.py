"""One pass of Newton's method for a smoothed sum of pinball losses over panels of rows."""

from randla._jit import summing_kernel
from randla._kernels.panels import add_adjoints, add_gram, add_multiple, fill


@summing_kernel
def smoothed_pass(panels, rhs, inverse_size, n, x, tau, width, residuals, work, g, G):
    """Residuals at x, and the sums for a Newton step on the loss smoothed over |r| < width size.

    residuals (K, B) gets r = rhs - A x. With z = tau - 1 + (1 + r / (width size)) / 2, clipped to
    the box tau - 1 .. tau, g (2, w) gets A'z and the same of the exact derivative (z at width 0),
    and G (w, w), unless it is empty, the sum of a a' / size over the band. inverse_size (K, B)
    is zero beyond n; work (4, B).
    """
    fill(g[0], 0.0)
    fill(g[1], 0.0)
    for i in range(G.shape[0]):
        fill(G[i], 0.0)
    scale = 0.5 / width
    for k in range(panels.shape[0]):
        P = panels[k]
        m = min(P.shape[1], n - k * P.shape[1])
        for t in range(P.shape[1]):
            work[0, t] = rhs[k, t]
        add_multiple(P, -1.0, x, work[0])
        for t in range(m):
            r, inverse = work[0, t], inverse_size[k, t]
            v = scale * r * inverse  # r / (2 width size)
            residuals[k, t] = r
            work[1, t] = inverse if abs(v) < 0.5 else 0.0  # the second derivative, times 2 width
            work[2, t] = tau - 1.0 + min(max(0.5 + v, 0.0), 1.0)  # the first
            work[3, t] = tau if r > 0.0 else tau - 1.0
        for t in range(m, P.shape[1]):
            work[1, t], work[2, t], work[3, t] = 0.0, 0.0, 0.0
        add_adjoints(P, work[2], work[3], g)
        if G.shape[0] > 0:
            add_gram(P, work[1], work[2:4], G)
