"""Projections of a cloud onto a batch of directions."""

from randla._jit import fused_kernel, inline

_TILE = 1024  # points at a time: four rows of results and four of coordinates stay in cache


@inline
def _four(t, j):
    return t[j], t[j + 1], t[j + 2], t[j + 3]  # coordinates j .. j + 3 of a direction


@fused_kernel
def _project_one(t, points, first, last, u):
    a, b, c, e = _four(t, 0)
    x, y = points[0, first:last], points[1, first:last]  # coordinates of a tile of points
    z, w = points[2, first:last], points[3, first:last]
    for i in range(u.size):
        u[i] = a * x[i] + b * y[i] + c * z[i] + e * w[i]  # the first four coordinates set u
    for j in range(4, points.shape[0], 4):  # d is padded by zeros to a multiple of four
        a, b, c, e = _four(t, j)
        x, y = points[j, first:last], points[j + 1, first:last]
        z, w = points[j + 2, first:last], points[j + 3, first:last]
        for i in range(u.size):
            u[i] = u[i] + a * x[i] + b * y[i] + c * z[i] + e * w[i]


@fused_kernel
def _project_four(t0, t1, t2, t3, points, first, last, u0, u1, u2, u3):
    a0, b0, c0, e0 = _four(t0, 0)  # sixteen numbers that stay in registers
    a1, b1, c1, e1 = _four(t1, 0)
    a2, b2, c2, e2 = _four(t2, 0)
    a3, b3, c3, e3 = _four(t3, 0)
    x, y = points[0, first:last], points[1, first:last]
    z, w = points[2, first:last], points[3, first:last]
    for i in range(x.size):
        xi, yi, zi, wi = x[i], y[i], z[i], w[i]  # four loads for sixteen multiply-adds
        u0[i] = a0 * xi + b0 * yi + c0 * zi + e0 * wi
        u1[i] = a1 * xi + b1 * yi + c1 * zi + e1 * wi
        u2[i] = a2 * xi + b2 * yi + c2 * zi + e2 * wi
        u3[i] = a3 * xi + b3 * yi + c3 * zi + e3 * wi
    for j in range(4, points.shape[0], 4):
        a0, b0, c0, e0 = _four(t0, j)
        a1, b1, c1, e1 = _four(t1, j)
        a2, b2, c2, e2 = _four(t2, j)
        a3, b3, c3, e3 = _four(t3, j)
        x, y = points[j, first:last], points[j + 1, first:last]
        z, w = points[j + 2, first:last], points[j + 3, first:last]
        for i in range(x.size):
            xi, yi, zi, wi = x[i], y[i], z[i], w[i]
            u0[i] = u0[i] + a0 * xi + b0 * yi + c0 * zi + e0 * wi
            u1[i] = u1[i] + a1 * xi + b1 * yi + c1 * zi + e1 * wi
            u2[i] = u2[i] + a2 * xi + b2 * yi + c2 * zi + e2 * wi
            u3[i] = u3[i] + a3 * xi + b3 * yi + c3 * zi + e3 * wi


@fused_kernel
def project_rows(theta, points, out):
    """Set out = theta @ points, for theta (B, d), points (d, n), out (B, n), d a multiple of four.

    Four directions and four coordinates at a time, so that a load of the points serves four
    multiply-adds; a tile of points is used by all directions before the next is read. Floor:
    B n d multiply-adds.
    """
    n_rows, n = out.shape
    whole = n_rows - n_rows % 4  # directions in groups of four; the rest one by one
    for first in range(0, n, _TILE):
        last = min(first + _TILE, n)
        for r in range(0, whole, 4):
            u0, u1 = out[r, first:last], out[r + 1, first:last]
            u2, u3 = out[r + 2, first:last], out[r + 3, first:last]
            t0, t1, t2, t3 = theta[r], theta[r + 1], theta[r + 2], theta[r + 3]
            _project_four(t0, t1, t2, t3, points, first, last, u0, u1, u2, u3)
        for r in range(whole, n_rows):
            _project_one(theta[r], points, first, last, out[r, first:last])
