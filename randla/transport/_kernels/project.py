"""Projections of a cloud onto a batch of directions.

Four directions and four coordinates at a time, so that a load of the points serves four
multiply-adds. A projection is summed over the coordinates in fours, in their order, so that its
bits depend neither on the tiles nor on the kernel.
"""

import numpy as np

from randla._jit import fused_kernel, inline, kernel
from randla.transport._kernels.prepare import transpose_centered

#: Coordinates and points of a tile of a cloud of many coordinates: 256 KiB of float64.
PACK = 256, 128
_W, _2W, _3W = np.uint64(PACK[1]), np.uint64(2 * PACK[1]), np.uint64(3 * PACK[1])
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

    A tile of points is used by all directions before the next is read. Floor: B n d multiply-adds.
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


@fused_kernel
def _add_packed(t0, t1, t2, t3, is_first, k, pack, n, sums):
    """Add k coordinates of n points to the sums of four directions; set them if `is_first`.

    pack[j W + i] is coordinate j of point i, sums[r W + i] its projection on direction r: with
    strides known to the compiler, one comparison shows that outputs and inputs do not overlap.
    """
    n, start = np.uint64(n), 0
    if is_first:
        a0, b0, c0, e0 = _four(t0, 0)
        a1, b1, c1, e1 = _four(t1, 0)
        a2, b2, c2, e2 = _four(t2, 0)
        a3, b3, c3, e3 = _four(t3, 0)
        for i in range(n):
            x, y, z, w = pack[i], pack[i + _W], pack[i + _2W], pack[i + _3W]
            sums[i] = a0 * x + b0 * y + c0 * z + e0 * w
            sums[i + _W] = a1 * x + b1 * y + c1 * z + e1 * w
            sums[i + _2W] = a2 * x + b2 * y + c2 * z + e2 * w
            sums[i + _3W] = a3 * x + b3 * y + c3 * z + e3 * w
        start = 4
    for j in range(start, k, 4):
        a0, b0, c0, e0 = _four(t0, j)
        a1, b1, c1, e1 = _four(t1, j)
        a2, b2, c2, e2 = _four(t2, j)
        a3, b3, c3, e3 = _four(t3, j)
        o = np.uint64(j) * _W
        for i in range(n):
            x, y, z, w = pack[o + i], pack[o + i + _W], pack[o + i + _2W], pack[o + i + _3W]
            sums[i] = sums[i] + a0 * x + b0 * y + c0 * z + e0 * w
            sums[i + _W] = sums[i + _W] + a1 * x + b1 * y + c1 * z + e1 * w
            sums[i + _2W] = sums[i + _2W] + a2 * x + b2 * y + c2 * z + e2 * w
            sums[i + _3W] = sums[i + _3W] + a3 * x + b3 * y + c3 * z + e3 * w


@kernel
def _copy(values, out):
    for i in range(out.size):  # an assignment of arrays takes seconds to compile
        out[i] = values[i]


@fused_kernel
def project_packed(theta, X, first_scale, second_scale, center, last_scale, pack, sums, at, out):
    """out[:, at : at + n] = projections of points X (n, d), centered as in `transpose_centered`.

    For many coordinates: some of them of a tile of W points at a time are copied into `pack`
    (K, W), which stays in the second-level cache while all directions use it. So X is read once,
    in place. theta (B, d'), with zeros that make both multiples of four; `sums` (4, W).
    """
    n, d = X.shape
    n_blocks = -(-d // pack.shape[0])
    step = -(-d // (4 * n_blocks)) * 4  # coordinates at a time
    flat, totals = pack.reshape(-1), sums.reshape(-1)
    for first in range(0, n, pack.shape[1]):
        last = min(first + pack.shape[1], n)
        here = slice(at + first, at + last)
        for start in range(0, d, step):
            stop = min(start + step, d)
            scales = first_scale, second_scale, center, last_scale
            transpose_centered(X, first, last, start, stop, *scales, pack, 0)
            k = -(-(stop - start) // 4) * 4
            pack[stop - start : k] = 0.0  # the padding of d
            t = theta[:, start : start + k]
            for r in range(0, theta.shape[0], 4):
                if start > 0:
                    for s in range(4):
                        _copy(out[r + s, here], sums[s, : last - first])
                four = t[r], t[r + 1], t[r + 2], t[r + 3]
                _add_packed(*four, start == 0, k, flat, last - first, totals)
                for s in range(4):
                    _copy(sums[s], out[r + s, here])
