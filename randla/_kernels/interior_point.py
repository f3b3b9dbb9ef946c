"""Passes of Mehrotra's method for min_x sum_i rho_tau(b_i - a_i'x) over panels of rows.

The dual is max b'a with A'a = (1 - tau) A'1 and 0 <= a <= 1; s = 1 - a; u and v are the positive
and the negative part of the residual. With r = b - Ax and q = 1 / (v/a + u/s) an iteration is

    affine:     dx = G^-1 A'(q r),  y = r - A dx,  e = q y            (G = A' diag(q) A)
    corrector:  h = h1 + c (l/a - m/s),  h1 = r + e (v (1 + e/a) / a + u (1 - e/s) / s),
                dx = G^-1 A'(q h),  da = q (h - A dx),
                dv = (c l - a v + e v (1 + e/a) - v da) / a,
                du = (c m - s u - e u (1 - e/s) + u da) / s,

c l and c m being the targets of a v and s u. h is linear in the centering c, so A'(q h1) and
A'(q (l/a - m/s)) are both summed in the affine pass, before c is known: three passes over A an
iteration (form, affine, corrector).

The targets differ from those of Mehrotra, which are the same for all rows. At a quantile near 0 or
1 nearly all rows lie on one side. If their products were as large as those of the few others, their
slacks would add up to far more than the rows near the fit can compensate, which then change sides
one by one, in tiny steps. So l and m carry weights (2 (1 - tau))^k and (2 tau)^k, k = `BALANCE`.
And no product must fall by more than the mean does: l >= a v, m >= s u. With k = 0, and without
this rule, solves at tau = 0.01 or 0.99 with a heavy tail took up to 70 iterations; with k = 1,
where the start is centered, half as many more than with 1/4 if tails are light.

The state of a panel is (FIELDS, B), one line a variable. Maxima are kept in one lane a position, as
a running maximum would not vectorize. Passes return the scalars of their part.
"""

from typing import Any, NamedTuple

from randla._jit import summing_inline, summing_kernel
from randla._kernels.panels import add_adjoint, add_adjoints, add_gram, add_multiple, fill, largest

#: Lines of the state: r, a, s, u, v, q, 1/a, 1/s, e (A dx after the corrector), h, and the steps.
RESIDUAL, DUAL, SLACK, U, V, Q, INV_DUAL, INV_SLACK, E, H, D_DUAL, D_V, D_U = range(13)
FIELDS = 13
#: Exponent of the weights of the two sides.
BALANCE = 0.25


class Part(NamedTuple):
    """Rows of one thread, the state of the method there, and arrays that passes overwrite."""

    panels: Any  # (K, w, B)
    n: Any  # rows
    state: Any  # (K, FIELDS, B)
    work: Any  # (2, B)
    lanes: Any  # (2, B), maxima
    g: Any  # (2, w), sums over the rows
    G: Any  # (w, w), the lower triangle of A' diag(q) A


@summing_inline
def _targets(mean, tau):
    """Products a v and s u of equal importance; their mean is about `mean`."""
    return mean * (2.0 * (1.0 - tau)) ** BALANCE, mean * (2.0 * tau) ** BALANCE


@summing_inline
def _rows_of(part, k):
    """Rows of panel k: all but the last panel are full."""
    return min(part.panels.shape[2], part.n - k * part.panels.shape[2])


@summing_kernel
def start(part, margin):
    """s, u and v from the residuals and the dual values in the first two lines; zero beyond n."""
    for k in range(part.state.shape[0]):
        z, m = part.state[k], _rows_of(part, k)
        for j in range(SLACK, FIELDS):
            fill(z[j], 0.0)
        for t in range(m):
            r = z[RESIDUAL, t]
            z[U, t] = max(r, 0.0) + margin  # u - v = r
            z[V, t] = max(-r, 0.0) + margin
            z[SLACK, t] = 1.0 - z[DUAL, t]
        for t in range(m, z.shape[1]):
            z[RESIDUAL, t], z[DUAL, t] = 0.0, 0.0


@summing_kernel
def form(part, step_dual, step_primal, feasible):
    """Take the step; fill G with A' diag(q) A and g with A'(q r) and, unless `feasible`, A'a.

    Returns the sums of max(r, 0) and of |r|, the duality gap sum_i rho_tau(r_i) - z_i r_i with
    z = a - (1 - tau), and mu = a'v + s'u. The gap is summed from terms that are not negative, so
    that it keeps its relative accuracy.
    """
    work = part.work
    fill(part.g[0], 0.0)
    for i in range(part.G.shape[0]):
        fill(part.G[i], 0.0)
    if not feasible:
        fill(part.g[1], 0.0)
    all_positive, all_total, all_gap, all_mu = 0.0, 0.0, 0.0, 0.0
    for k in range(part.panels.shape[0]):
        P, z = part.panels[k], part.state[k]
        m = _rows_of(part, k)
        gap, mu, total, positive = 0.0, 0.0, 0.0, 0.0
        for t in range(m):
            a = z[DUAL, t] + step_dual * z[D_DUAL, t]
            s = z[SLACK, t] - step_dual * z[D_DUAL, t]
            v = z[V, t] + step_primal * z[D_V, t]
            u = z[U, t] + step_primal * z[D_U, t]
            r = z[RESIDUAL, t] - step_primal * z[E, t]  # r - A dx
            both, total_slack = a * s, v * s + u * a
            inverse = 1.0 / (both * total_slack)  # the one division, which takes most of the time
            ia, si = s * inverse * total_slack, a * inverse * total_slack
            q = both * inverse * both  # 1 / (v/a + u/s)
            z[DUAL, t], z[SLACK, t], z[V, t], z[U, t], z[RESIDUAL, t] = a, s, v, u, r
            z[INV_DUAL, t], z[INV_SLACK, t], z[Q, t] = ia, si, q
            up, down = max(r, 0.0), max(-r, 0.0)
            gap += s * up + a * down  # rho(r) - (a - (1 - tau)) r for either sign
            positive += up
            total += up + down
            mu += a * v + s * u
            work[0, t] = q * r
        all_positive += positive
        all_total += total
        all_gap += gap
        all_mu += mu
        for t in range(m, z.shape[1]):
            work[0, t] = 0.0
        if feasible:
            add_adjoint(P, work[0], part.g[0])
        else:
            add_adjoints(P, work[0], z[DUAL], part.g)
        add_gram(P, z[Q], work, part.G)
    return all_positive, all_total, all_gap, all_mu


@summing_kernel
def affine(part, dx, mean, tau):
    """Take the affine direction; fill g with A'(q h1) and A'(q (l/a - m/s)).

    `mean` is that of the products. Returns the largest of -e/a and e/s; the largest of e/a and
    -e/s, as here -dv/v = 1 + e/a and -du/u = 1 - e/s; sum e (v - u) and sum e^2 / q, from which mu
    after any step follows.
    """
    work, lanes = part.work, part.lanes
    for j in range(2):
        fill(part.g[j], 0.0)
        fill(lanes[j], 0.0)
    low, high = _targets(mean, tau)
    all_first, all_second = 0.0, 0.0
    for k in range(part.panels.shape[0]):
        P, z = part.panels[k], part.state[k]
        m = _rows_of(part, k)
        for t in range(z.shape[1]):
            work[0, t] = z[RESIDUAL, t]
        add_multiple(P, -1.0, dx, work[0])
        first, second = 0.0, 0.0
        for t in range(m):
            q, y, u, v = z[Q, t], work[0, t], z[U, t], z[V, t]  # y = r - A dx
            ia, si = z[INV_DUAL, t], z[INV_SLACK, t]
            e = q * y
            pa, ps = e * ia, e * si
            lanes[0, t] = max(lanes[0, t], max(-pa, ps))
            lanes[1, t] = max(lanes[1, t], max(pa, -ps))
            first += e * (v - u)
            second += e * y
            h = z[RESIDUAL, t] + e * (v * ia * (1.0 + pa) + u * si * (1.0 - ps))  # h1
            z[E, t], z[H, t] = e, h
            pull = max(low * ia, v) - max(high * si, u)  # l/a - m/s
            work[0, t], work[1, t] = q * h, q * pull
        for t in range(m, z.shape[1]):
            work[0, t], work[1, t] = 0.0, 0.0
        all_first += first
        all_second += second
        add_adjoints(P, work[0], work[1], part.g)
    return largest(lanes[0]), largest(lanes[1]), all_first, all_second


@summing_kernel
def corrector(part, dx, center, mean, tau):
    """Take the corrected direction; `mean` is that of the products, `center` c.

    Returns the largest ratios of a, s and of v, u to their boundaries.
    """
    work, lanes = part.work, part.lanes
    fill(lanes[0], 0.0)
    fill(lanes[1], 0.0)
    low, high = _targets(mean, tau)
    for k in range(part.panels.shape[0]):
        z = part.state[k]
        fill(work[0], 0.0)
        add_multiple(part.panels[k], 1.0, dx, work[0])
        for t in range(_rows_of(part, k)):
            u, v, e, ia, si = z[U, t], z[V, t], z[E, t], z[INV_DUAL, t], z[INV_SLACK, t]
            up, down = center * max(low * ia, v), center * max(high * si, u)  # c l/a and c m/s
            da = z[Q, t] * (z[H, t] + up - down - work[0, t])
            dv = up - v + v * ia * (e * (1.0 + e * ia) - da)
            du = down - u - u * si * (e * (1.0 - e * si) - da)
            z[D_DUAL, t], z[D_V, t], z[D_U, t], z[E, t] = da, dv, du, work[0, t]
            lanes[0, t] = max(lanes[0, t], max(-da * ia, da * si))
            lanes[1, t] = max(lanes[1, t], max(-dv * u, -du * v) / (u * v))  # of -dv/v and -du/u
    return largest(lanes[0]), largest(lanes[1])
