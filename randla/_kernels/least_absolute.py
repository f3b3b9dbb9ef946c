"""Minimise |r + B y|_1 over a few hundred rows by a primal-dual interior point method.

Mehrotra's predictor and corrector with the bounded dual variable z of Portnoy and Koenker (Stat.
Sci. 12, 1997), from z = 0, which is feasible. u - v is the residual, u and v are positive.
"""

from randla._jit import kernel, summing_kernel
from randla._kernels.columns import (
    LANES,
    adjoint,
    factor,
    fill,
    largest,
    product,
    solve,
    weighted_gram,
)

_STEP = 0.995  # share of the way to the boundary
_ITERATIONS = 60


@summing_kernel
def start(m, r, zm, zp, u, v):
    """Start from z = 0, and u - v = r with positive u and v."""
    total = 0.0
    for k in range(r.shape[0]):
        for lane in range(LANES):
            total += abs(r[k, lane])
    margin = 0.1 * total / m
    for k in range(r.shape[0]):
        for lane in range(LANES):
            zm[k, lane] = 1.0
            zp[k, lane] = 1.0
            u[k, lane] = max(r[k, lane], 0.0) + margin
            v[k, lane] = max(-r[k, lane], 0.0) + margin


@summing_kernel
def measure(m, r, zm, zp, u, v, q, qr):
    """Weights q and q r; returns |r|_1, the dual value r'z, and the sum of the products."""
    value, dual, products = 0.0, 0.0, 0.0
    for k in range(r.shape[0]):
        count = min(LANES, m - k * LANES)
        for lane in range(count):
            a, b = zm[k, lane], zp[k, lane]
            weight = a * b / (u[k, lane] * b + v[k, lane] * a)
            q[k, lane] = weight
            qr[k, lane] = weight * r[k, lane]
            value += abs(r[k, lane])
            dual += r[k, lane] * (0.5 * (b - a))
            products += u[k, lane] * a + v[k, lane] * b
        for lane in range(count, LANES):
            q[k, lane] = 0.0
            qr[k, lane] = 0.0
    return value, dual, products


@summing_kernel
def affine(m, r, zm, zp, u, v, q, dr, center, second, cu, cv, lanes):
    """The direction without centering, from dr = B dy.

    `center` and `second` become the right-hand sides of the centering and of the second-order
    term, cu and cv its two halves. Returns the rates at which z and (u, v) reach their bounds, and
    how the sum of products changes with the primal step, the dual step, and their product.
    """
    fill(lanes[0], 0.0)
    fill(lanes[1], 0.0)
    by_primal, by_dual, by_both = 0.0, 0.0, 0.0
    for k in range(r.shape[0]):
        count = min(LANES, m - k * LANES)
        for lane in range(count):
            a, b = 1.0 / zm[k, lane], 1.0 / zp[k, lane]
            dz = q[k, lane] * (dr[k, lane] + r[k, lane])
            rise, fall = dz * a, dz * b
            du, dv = u[k, lane] * (rise - 1.0), -v[k, lane] * (1.0 + fall)
            lanes[0, lane] = max(lanes[0, lane], max(rise, -fall))
            lanes[1, lane] = max(lanes[1, lane], max(1.0 - rise, 1.0 + fall))
            by_primal += du * zm[k, lane] + dv * zp[k, lane]
            by_dual += (v[k, lane] - u[k, lane]) * dz
            by_both += (dv - du) * dz
            cu[k, lane] = du * rise
            cv[k, lane] = dv * fall
            center[k, lane] = q[k, lane] * (a - b)
            second[k, lane] = q[k, lane] * (du * rise + dv * fall)
        for lane in range(count, LANES):
            center[k, lane] = 0.0
            second[k, lane] = 0.0
    return largest(lanes[0]), largest(lanes[1]), by_primal, by_dual, by_both


@kernel
def corrector(m, level, r, zm, zp, u, v, q, dr, dz, cu, cv, lanes):
    """The full direction from dr = B dy: dz, du (in cu), dv (in cv); returns the rates."""
    fill(lanes[0], 0.0)
    fill(lanes[1], 0.0)
    for k in range(r.shape[0]):
        count = min(LANES, m - k * LANES)
        for lane in range(count):
            a, b = 1.0 / zm[k, lane], 1.0 / zp[k, lane]
            h = level * (a - b) + cu[k, lane] + cv[k, lane] - r[k, lane]
            step = q[k, lane] * (dr[k, lane] - h)
            du = level * a - u[k, lane] + cu[k, lane] + u[k, lane] * step * a
            dv = level * b - v[k, lane] - cv[k, lane] - v[k, lane] * step * b
            lanes[0, lane] = max(lanes[0, lane], max(step * a, -step * b))
            lanes[1, lane] = max(lanes[1, lane], max(-du / u[k, lane], -dv / v[k, lane]))
            dz[k, lane] = step
            cu[k, lane] = du
            cv[k, lane] = dv
    return largest(lanes[0]), largest(lanes[1])


@kernel
def move(m, dual, primal, r, zm, zp, u, v, dr, dz, du, dv):
    """Take the step."""
    for k in range(r.shape[0]):
        for lane in range(min(LANES, m - k * LANES)):
            zm[k, lane] -= dual * dz[k, lane]
            zp[k, lane] += dual * dz[k, lane]
            u[k, lane] += primal * du[k, lane]
            v[k, lane] += primal * dv[k, lane]
            r[k, lane] += primal * dr[k, lane]


@kernel
def interior_point(B, m, norm, tol, enough, y, state, lanes, V, G, L):
    """Minimise |r + B y|_1 over the first m rows, from y = 0 until the gap is tol (norm + value).

    Also stops when the dual value is above `enough`.

    `state` has 11 arrays (blocks, LANES): r, which becomes the residual; 1 - z; 1 + z; u; v; and
    six for work. Returns the number of iterations.
    """
    r, zm, zp, u, v, q, dr, dz, second, cu, cv = state
    e = B.shape[1]
    fill(y, 0.0)
    start(m, r, zm, zp, u, v)
    for iteration in range(_ITERATIONS):
        value, dual_value, products = measure(m, r, zm, zp, u, v, q, dr)
        if value - dual_value <= tol * (norm + value) or dual_value > enough:
            return iteration
        weighted_gram(B, q, lanes, G)
        if not factor(G, e, L):
            return iteration
        adjoint(B, dr, V[0])
        for j in range(e):
            V[3, j] = -V[0, j]
        solve(L, e, V[3], V[4])
        product(B, V[4], dr)
        dual, primal, by_primal, by_dual, by_both = affine(
            m, r, zm, zp, u, v, q, dr, dz, second, cu, cv, lanes
        )
        dual, primal = 1.0 / max(dual, 1.0), 1.0 / max(primal, 1.0)
        after = products + primal * by_primal + dual * by_dual + primal * dual * by_both
        ratio = max(after, 0.0) / products
        level = ratio * ratio * ratio * products / (2.0 * m)
        adjoint(B, dz, V[1])
        adjoint(B, second, V[2])
        for j in range(e):
            V[3, j] = level * V[1, j] + V[2, j] - V[0, j]
        solve(L, e, V[3], V[4])
        product(B, V[4], dr)
        dual, primal = corrector(m, level, r, zm, zp, u, v, q, dr, dz, cu, cv, lanes)
        dual, primal = _STEP / max(dual, _STEP), _STEP / max(primal, _STEP)
        move(m, dual, primal, r, zm, zp, u, v, dr, dz, cu, cv)
        for j in range(e):
            y[j] += primal * V[4, j]
    return _ITERATIONS
