"""Passes of Mehrotra's method for min_x sum_i rho_tau(b_i - a_i'x) over panels of rows.

The dual is max b'a with A'a = (1 - tau) A'1 and 0 <= a <= 1; s = 1 - a; u and v are the positive
and the negative part of the residual. With r = b - Ax and q = 1 / (v/a + u/s) an iteration is

    affine:     dx = G^-1 A'(q r),  y = r - A dx,  e = q y            (G = A' diag(q) A)
    corrector:  h = h1 + c (l/a - m/s),  h1 = r + e (v (1 + e/a) / a + u (1 - e/s) / s),
                dx = G^-1 A'(q h),  da = q (h - A dx),
                dv = (c l - a v + e v (1 + e/a) - v da) / a,
                du = (c m - s u - e u (1 - e/s) + u da) / s,

c l and c m being the targets of a v and s u. h is linear in the centring c, so A'(q h1) and
A'(q (l/a - m/s)) are both summed in the affine pass, before c is known: three passes over A an
iteration (form, affine, corrector).

The targets differ from those of Mehrotra, which are the same for all rows. At a quantile near 0 or
1 nearly all rows lie on one side. Were their products as large as those of the few others, their
slacks would add up to far more than the rows near the plane can take over, which then change
sides one by one, in tiny steps. So l and m carry weights (2 (1 - tau))^k and (2 tau)^k, k =
`BALANCE`. And no product is asked to fall by more than the mean does: l >= a v, m >= s u. With
k = 0, and without this, solves at tau = 0.01 or 0.99 with a heavy tail took up to 70 iterations;
with k = 1, where the start is centred, half as many more than with 1/4 where tails are light.

The state of a panel is (FIELDS, B), one line a variable. Maxima are kept in one lane a position,
as a running maximum would not vectorise. Kernels overwrite g, G, work and lanes, and return the
scalars of their panels.
"""

import math

from randla._jit import inline, summing_kernel
from randla._kernels.panels import add_gram

R, A_, S, U, V, Q, IA, IS, E, H, DA, DV, DU = range(13)
FIELDS = 13
#: Exponent of the weights of the two sides.
BALANCE = 0.25


@inline
def _targets(mean, tau):
    """Products a v and s u of equal standing; their mean is about `mean`."""
    return mean * (2.0 * (1.0 - tau)) ** BALANCE, mean * (2.0 * tau) ** BALANCE


@inline
def _width(k, B, n):
    return min(B, n - k * B)


@inline
def _clear(array):
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            array[i, j] = 0.0


@inline
def _largest(lane):
    top = lane[0]
    for t in range(1, lane.size):
        top = max(top, lane[t])
    return top


@summing_kernel
def start(n, margin, state):
    """s, u and v from the residuals and the dual values in lines R and A_; zero beyond n."""
    B = state.shape[2]
    for k in range(state.shape[0]):
        z = state[k]
        for t in range(B):
            r = z[R, t]
            z[U, t] = max(r, 0.0) + margin
            z[V, t] = max(-r, 0.0) + margin
            z[S, t] = 1.0 - z[A_, t]
        for t in range(_width(k, B, n), B):
            for j in range(FIELDS):
                z[j, t] = 0.0


@summing_kernel
def form(panels, n, step_dual, step_primal, state, work, g, G):
    """Take the step; fill G (w, w) with A' diag(q) A and g (2, w) with A'(q r) and A'a.

    Returns the sums of max(r, 0) and of |r|, the duality gap sum_i rho_tau(r_i) - z_i r_i with
    z = a - (1 - tau), and mu = a'v + s'u. The gap is summed from terms that are not negative, so
    that it keeps its relative accuracy. work (2, B).
    """
    w, B = panels.shape[1], panels.shape[2]
    _clear(g)
    _clear(G)
    all_positive, all_total, all_gap, all_mu = 0.0, 0.0, 0.0, 0.0
    for k in range(panels.shape[0]):
        P, z = panels[k], state[k]
        m = _width(k, B, n)
        gap, mu, total, positive = 0.0, 0.0, 0.0, 0.0
        for t in range(m):
            a = z[A_, t] + step_dual * z[DA, t]
            s = z[S, t] - step_dual * z[DA, t]
            v = z[V, t] + step_primal * z[DV, t]
            u = z[U, t] + step_primal * z[DU, t]
            r = z[R, t] - step_primal * z[E, t]  # line E holds A dx after the corrector
            inverse = 1.0 / (a * s)
            ia, si = s * inverse, a * inverse
            q = 1.0 / (v * ia + u * si)
            z[A_, t], z[S, t], z[V, t], z[U, t], z[R, t] = a, s, v, u, r
            z[IA, t], z[IS, t], z[Q, t] = ia, si, q
            up, down = max(r, 0.0), max(-r, 0.0)
            gap += s * up + a * down
            positive += up
            total += up + down
            mu += a * v + s * u
            work[0, t] = q * r
        all_positive += positive
        all_total += total
        all_gap += gap
        all_mu += mu
        for t in range(m, B):
            work[0, t] = 0.0
        for i in range(w):
            s0, s1 = 0.0, 0.0
            for t in range(B):
                s0 += work[0, t] * P[i, t]
                s1 += z[A_, t] * P[i, t]
            g[0, i] += s0
            g[1, i] += s1
        add_gram(P, z[Q], work, G)
    return all_positive, all_total, all_gap, all_mu


@summing_kernel
def affine(panels, n, dx, mean, tau, state, work, lanes, g):
    """Take the affine direction; fill g (2, w) with A'(q h1) and A'(q (l/a - m/s)).

    `mean` is that of the products.
    Returns the largest of -e/a and e/s; the largest of e/a and -e/s, as here -dv/v = 1 + e/a and
    -du/u = 1 - e/s; sum e (v - u) and sum e^2 / q, from which mu after any step follows. work and
    lanes (2, B).
    """
    w, B = panels.shape[1], panels.shape[2]
    _clear(g)
    _clear(lanes)
    low, high = _targets(mean, tau)
    all_first, all_second = 0.0, 0.0
    for k in range(panels.shape[0]):
        P, z = panels[k], state[k]
        m = _width(k, B, n)
        for t in range(B):
            work[0, t] = z[R, t]
        for i in range(0, w, 2):
            for t in range(B):
                work[0, t] -= dx[i] * P[i, t] + dx[i + 1] * P[i + 1, t]
        s1, s2 = 0.0, 0.0
        for t in range(m):
            q, y, ia, si, u, v = z[Q, t], work[0, t], z[IA, t], z[IS, t], z[U, t], z[V, t]
            e = q * y
            pa, ps = e * ia, e * si
            lanes[0, t] = max(lanes[0, t], max(-pa, ps))
            lanes[1, t] = max(lanes[1, t], max(pa, -ps))
            s1 += e * (v - u)
            s2 += e * y
            h = z[R, t] + e * (v * ia * (1.0 + pa) + u * si * (1.0 - ps))
            z[E, t], z[H, t] = e, h
            pull = ia * max(low, z[A_, t] * v) - si * max(high, z[S, t] * u)
            work[0, t], work[1, t] = q * h, q * pull
        for t in range(m, B):
            work[0, t], work[1, t] = 0.0, 0.0
        all_first += s1
        all_second += s2
        for i in range(w):
            g0, g1 = 0.0, 0.0
            for t in range(B):
                g0 += work[0, t] * P[i, t]
                g1 += work[1, t] * P[i, t]
            g[0, i] += g0
            g[1, i] += g1
    return _largest(lanes[0]), _largest(lanes[1]), all_first, all_second


@summing_kernel
def corrector(panels, n, dx, centre, mean, tau, state, work, lanes):
    """Take the corrected direction; `mean` is that of the products.

    Returns the largest ratios of a, s and of v, u to their boundaries, and the terms of mu in the
    dual step, in the primal step and in their product. work (1, B), lanes (2, B).
    """
    w, B = panels.shape[1], panels.shape[2]
    _clear(lanes)
    low, high = _targets(mean, tau)
    all_dual, all_primal, all_both = 0.0, 0.0, 0.0
    for k in range(panels.shape[0]):
        P, z = panels[k], state[k]
        m = _width(k, B, n)
        for t in range(B):
            work[0, t] = 0.0
        for i in range(0, w, 2):
            for t in range(B):
                work[0, t] += dx[i] * P[i, t] + dx[i + 1] * P[i + 1, t]
        s1, s2, s3 = 0.0, 0.0, 0.0
        for t in range(m):
            a, s, u, v, e = z[A_, t], z[S, t], z[U, t], z[V, t], z[E, t]
            ia, si = z[IA, t], z[IS, t]
            up, down = centre * max(low, a * v), centre * max(high, s * u)
            da = z[Q, t] * (z[H, t] + up * ia - down * si - work[0, t])
            dv = ia * (up + v * (e * (1.0 + e * ia) - a - da))
            du = si * (down - u * (e * (1.0 - e * si) + s - da))
            z[DA, t], z[DV, t], z[DU, t], z[E, t] = da, dv, du, work[0, t]
            lanes[0, t] = max(lanes[0, t], max(-da * ia, da * si))
            lanes[1, t] = max(lanes[1, t], max(-dv / v, -du / u))
            s1 += da * (v - u)
            s2 += a * dv + s * du
            s3 += da * (dv - du)
        all_dual += s1
        all_primal += s2
        all_both += s3
    return _largest(lanes[0]), _largest(lanes[1]), all_dual, all_primal, all_both


@summing_kernel
def smallest_product(n, step_dual, step_primal, tau, state, lanes):
    """Return the smallest product after a step, relative to its target for a mean of 1.

    lanes (B,).
    """
    B = state.shape[2]
    low, high = _targets(1.0, tau)
    for t in range(B):
        lanes[t] = math.inf
    for k in range(state.shape[0]):
        z = state[k]
        for t in range(_width(k, B, n)):
            a = z[A_, t] + step_dual * z[DA, t]
            s = z[S, t] - step_dual * z[DA, t]
            v = z[V, t] + step_primal * z[DV, t]
            u = z[U, t] + step_primal * z[DU, t]
            lanes[t] = min(lanes[t], min(a * v / low, s * u / high))
    low = lanes[0]
    for t in range(1, B):
        low = min(low, lanes[t])
    return low


@summing_kernel
def vertex_pass(panels, n, dx, tau, tie, state, work, g):
    """Dual values at x + dx: tau or tau - 1 by sign of t = r - A dx; line H gets t, line E z.

    Rows with |t| <= tie keep the interior value a - (1 - tau). g (w,) gets A'z. work (1, B).
    """
    w, B = panels.shape[1], panels.shape[2]
    for i in range(w):
        g[i] = 0.0
    for k in range(panels.shape[0]):
        P, z = panels[k], state[k]
        m = _width(k, B, n)
        for t in range(B):
            work[0, t] = z[R, t]
        for i in range(0, w, 2):
            for t in range(B):
                work[0, t] -= dx[i] * P[i, t] + dx[i + 1] * P[i + 1, t]
        for t in range(m):
            r = work[0, t]
            bound = tau if r > 0.0 else tau - 1.0
            z[H, t] = r
            z[E, t] = z[A_, t] - (1.0 - tau) if abs(r) <= tie else bound
        for t in range(m, B):
            z[E, t] = 0.0
        for i in range(w):
            g0 = 0.0
            for t in range(B):
                g0 += z[E, t] * P[i, t]
            g[i] += g0
