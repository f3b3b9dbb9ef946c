"""Values of positive definite functions between points.

By direct differences, which have all their digits wherever the origin is. In ten dimensions they
cost as much as the exponential does; in hundreds twice as much as a matrix product.
"""

import math

from randla._elementary import exp
from randla._jit import fused_kernel, unsaved_inline, unsaved_kernel

GAUSSIAN, LAPLACE, MATERN12, MATERN32, MATERN52 = range(5)
_ROOT3, _ROOT5 = math.sqrt(3.0), math.sqrt(5.0)
_FAR = 1e4  # from here on all of them are zero; inf times zero is avoided


@fused_kernel
def evaluate(kind, panel, pivots, inverse_scales, out):
    """``out[p, i]`` = k(pivots[p], panel[:, i]); panel (d, m), pivots (s, d), out (s, m)."""
    for p in range(out.shape[0]):
        out[p] = 0.0
        if kind == LAPLACE:
            _add_absolute(panel, pivots[p], inverse_scales, out[p])
        else:
            _add_squares(panel, pivots[p], inverse_scales, out[p])
    of_distances(kind, out)


@fused_kernel
def of_distances(kind, out):
    """Turn squared distances (or 1-norms, for LAPLACE) into values of the kernel, in place."""
    for p in range(out.shape[0]):
        row = out[p]
        if kind == GAUSSIAN:
            for i in range(row.size):
                row[i] = exp(-0.5 * max(row[i], 0.0))
        elif kind == LAPLACE:
            for i in range(row.size):
                row[i] = exp(-row[i])
        elif kind == MATERN12:  # exp(-r)
            for i in range(row.size):
                row[i] = exp(-math.sqrt(max(row[i], 0.0)))
        elif kind == MATERN32:  # (1 + s) exp(-s), s = sqrt(3) r
            for i in range(row.size):
                r = min(_ROOT3 * math.sqrt(max(row[i], 0.0)), _FAR)
                row[i] = (1.0 + r) * exp(-r)
        else:  # (1 + s + s^2 / 3) exp(-s), s = sqrt(5) r
            for i in range(row.size):
                r = min(_ROOT5 * math.sqrt(max(row[i], 0.0)), _FAR)
                row[i] = (1.0 + r + r * r / 3.0) * exp(-r)


@fused_kernel
def _add_squares(panel, y, inverse_scales, row):
    d = panel.shape[0]
    paired = d - d % 2
    for j in range(0, paired, 2):  # two coordinates at a time: half as many stores
        y0, y1, s0, s1 = y[j], y[j + 1], inverse_scales[j], inverse_scales[j + 1]
        x0, x1 = panel[j], panel[j + 1]
        for i in range(row.size):
            a, b = (x0[i] - y0) * s0, (x1[i] - y1) * s1
            row[i] += a * a + b * b
    if paired < d:
        y0, s0, x0 = y[paired], inverse_scales[paired], panel[paired]
        for i in range(row.size):
            a = (x0[i] - y0) * s0
            row[i] += a * a


@fused_kernel
def _add_absolute(panel, y, inverse_scales, row):
    for j in range(panel.shape[0]):
        y0, s0, x0 = y[j], inverse_scales[j], panel[j]
        for i in range(row.size):
            row[i] += abs((x0[i] - y0) * s0)


def make_evaluate(function, takes_theta):
    """The same for a user's compiled function, but that points are rows of a panel (m, d).

    Without pivots (0, d) the values of points with themselves, out (1, m).
    """
    if takes_theta:
        value = function
    else:

        @unsaved_inline
        def value(x, y, theta):
            return function(x, y)

    @unsaved_kernel
    def evaluate_users(panel, pivots, theta, out):
        for p in range(out.shape[0]):
            for i in range(out.shape[1]):
                y = pivots[p] if pivots.shape[0] else panel[i]
                out[p, i] = value(y, panel[i], theta)

    return evaluate_users
