"""What Mehrotra's method decides between its passes over the rows, and whole iterations.

The passes are those of `interior_point`; rows in one part need nothing else between them than the
few lines here, so that iterations are one call, which leaves the interpreter to other threads.
"""

import math

from randla._jit import kernel
from randla._kernels.interior_point import R, affine, corrector, form, smallest_product

#: Fraction of the way to the boundary.
STEP = 0.95
#: Power of the progress of the affine step that gives the centring.
EXPONENT = 2.5
#: Products are kept above this fraction of their mean (times their weight).
CUT = 0.01
#: Attempts to shorten the steps until they are.
SHORTER = 20
#: Relative ridge of the Gram matrix, raised by a factor until its factorisation succeeds.
_RIDGE, _RAISE = 1e-14, 100.0


@kernel
def centring(dual, primal, first, second, mu):
    """The factor by which products shall fall, from what the affine pass returned."""
    dual, primal = 1.0 / max(1.0, dual), 1.0 / (1.0 + primal)
    after = mu + dual * first - primal * (mu + first) - dual * primal * (first + second)
    return (after / mu) ** EXPONENT


@kernel
def factorise(G, d, scale, L):
    """Cholesky factor L of the lower triangle of G, scaled to unit diagonal; or False.

    A tiny ridge makes up for lost rank.
    """
    for j in range(d):
        scale[j] = 1.0 / math.sqrt(G[j, j]) if G[j, j] > 0.0 else 1.0
    ridge = _RIDGE
    while ridge < 1.0:
        definite = True
        for j in range(d):
            for i in range(j, d):
                total = 1.0 + ridge if i == j else G[i, j] * scale[i] * scale[j]
                for m in range(j):
                    total -= L[i, m] * L[j, m]
                if i == j:
                    definite = total > 0.0
                    L[j, j] = math.sqrt(total)
                else:
                    L[i, j] = total / L[j, j]
            if not definite:
                break
        if definite:
            return True
        ridge *= _RAISE
    return False


@kernel
def solve(L, d, scale, b, x):
    """``x = G^-1 b`` from the factor of G; returns whether x is finite."""
    for j in range(d):
        total = scale[j] * b[j]
        for m in range(j):
            total -= L[j, m] * x[m]
        x[j] = total / L[j, j]
    total = 0.0
    for j in range(d - 1, -1, -1):
        for m in range(j + 1, d):
            x[j] -= L[m, j] * x[m]
        x[j] /= L[j, j]
    for j in range(d):
        x[j] *= scale[j]
        total += x[j]
    return math.isfinite(total)


@kernel
def iterate(tau, panels, n, goal, mu, x, state, work, lanes, g, G, L, vectors):
    """One iteration from the sums g and G of `form`, which are renewed; x (d,) takes its step.

    vectors (3, w) is zero beyond d. Returns whether the directions were finite (else nothing was
    changed that matters), and what `form` returns.
    """
    d, scale, rhs, dx = goal.size, vectors[0], vectors[1], vectors[2]
    failed = False, 0.0, 0.0, 0.0, 0.0
    if not factorise(G, d, scale, L):
        return failed
    for j in range(d):
        rhs[j] = g[0, j] - (goal[j] - g[1, j])
    if not solve(L, d, scale, rhs, dx):
        return failed
    for j in range(d):
        rhs[j] = g[1, j] - goal[j]
    mean = mu / (2 * n)
    dual, primal, first, second = affine(panels, n, dx, mean, tau, state, work, lanes, g)
    centre = centring(dual, primal, first, second, mu)
    for j in range(d):
        rhs[j] += g[0, j] + centre * g[1, j]
    if not solve(L, d, scale, rhs, dx):
        return failed
    dual, primal, s1, s2, s3 = corrector(
        panels, n, dx, centre, mu / (2 * n), tau, state, work, lanes
    )
    dual, primal = STEP / max(STEP, dual), STEP / max(STEP, primal)
    for _ in range(SHORTER):
        after = (mu + dual * s1 + primal * s2 + dual * primal * s3) / (2 * n)
        if smallest_product(n, dual, primal, tau, state, lanes[0]) >= CUT * after:
            break
        dual, primal = 0.9 * dual, 0.9 * primal
    for j in range(d):
        x[j] += primal * dx[j]
    positive, total, gap, mu = form(panels, n, dual, primal, state, work, g, G)
    return True, positive, total, gap, mu


@kernel
def iterate_until(
    limit, share, most, tau, far, panels, n, goal, mu, x, state, work, lanes, g, G, L, vectors
):
    """Iterate until the gap is at most `limit` times the loss of the rows that are not `far`.

    That loss counts as no less than `share` of all. At least one iteration, at most `most`. Returns
    how many there were, whether the last directions were finite, and what `form` returned last.
    """
    count, positive, total, gap, B = 0, 0.0, 0.0, 0.0, state.shape[2]
    while True:
        finite, up, size, left, product = iterate(
            tau, panels, n, goal, mu, x, state, work, lanes, g, G, L, vectors
        )
        if not finite:
            return count, False, positive, total, gap, mu
        positive, total, gap, mu = up, size, left, product
        count += 1
        value = tau * positive + (1.0 - tau) * (total - positive)
        near = value
        for k in range(far.size):
            r = state[far[k] // B, R, far[k] % B]
            near -= max(tau * r, (tau - 1.0) * r)
        if count == most or gap <= limit * max(near, share * value):
            return count, True, positive, total, gap, mu
