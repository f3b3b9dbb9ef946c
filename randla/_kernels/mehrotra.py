"""The decisions of Mehrotra's method between its passes over the rows, and whole iterations.

The passes are those of `interior_point`; rows in one part need only the few lines here between
them, so that iterations are one call, which leaves the interpreter to other threads.

Sources: Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim. 2
(1992), 575-601; bounded dual variables as in Portnoy and Koenker, "The Gaussian hare and the
Laplacian tortoise: computability of squared-error versus absolute-error estimators", Statist. Sci.
12 (1997), 279-300.
"""

import numpy as np

from randla._jit import kernel
from randla._kernels.cholesky import factor, solve
from randla._kernels.interior_point import RESIDUAL, affine, corrector, form
from randla._kernels.panels import fill

#: Fraction of the way to the boundary. (At 0.95 iterations are 3% more over 400 regressions of
#: four designs, and 7% more in least absolute deviations; at 0.995 they are as many.)
STEP = 0.99
#: Power of the progress of the affine step that gives the centering (Mehrotra: 3).
EXPONENT = 2.5


@kernel
def centering(dual, primal, first, second, mu):
    """Mehrotra's centering parameter c, from what the affine pass returned.

    c = (mu after the longest affine steps / mu)^EXPONENT, where mu after steps alpha (dual) and
    beta (primal) is mu + alpha first - beta (mu + first) - alpha beta (first + second).
    """
    dual, primal = 1.0 / max(1.0, dual), 1.0 / (1.0 + primal)  # -dv/v = 1 + e/a: always to a bound
    after = mu + dual * first - primal * (mu + first) - dual * primal * (first + second)
    return (after / mu) ** EXPONENT


@kernel
def iterate(part, tau, goal, feasible, mu, x, L, vectors):
    """One iteration from the sums of `form`, which are updated; x (d,) takes its step.

    goal (d,) is (1 - tau) A'1; with `feasible` A'a is known to equal it. vectors (3, w) is zero
    beyond d, L (d, d). Returns whether the directions were finite (else nothing was changed that
    matters), and what `form` returns.
    """
    d, n, g = goal.size, part.n, part.g
    off, rhs, dx = vectors[0], vectors[1], vectors[2]
    failed = False, 0.0, 0.0, 0.0, 0.0
    if not factor(part.G, d, L):
        return failed
    for j in range(d):
        off[j] = 0.0 if feasible else goal[j] - g[1, j]  # A'da makes up for it
        rhs[j] = g[0, j] - off[j]  # G dx = A'(q r) - off
    if not solve(L, d, rhs, dx):
        return failed
    mean = mu / (2 * n)  # of the products a v and s u
    dual, primal, first, second = affine(part, dx, mean, tau)
    center = centering(dual, primal, first, second, mu)
    for j in range(d):
        rhs[j] = g[0, j] + center * g[1, j] - off[j]  # G dx = A'(q h) - off
    if not solve(L, d, rhs, dx):
        return failed
    dual, primal = corrector(part, dx, center, mean, tau)
    dual, primal = STEP / max(STEP, dual), STEP / max(STEP, primal)  # at most 1
    for j in range(d):
        x[j] += primal * dx[j]
    positive, total, gap, mu = form(part, dual, primal, feasible)
    return True, positive, total, gap, mu


@kernel
def iterate_until(
    part, tau, goal, feasible, mu, x, limit, fraction, constant, target, far_rows, max_iterations
):
    """Iterate until the gap is at most `limit` times (`constant` + the loss of rows near the fit).

    Rows near the fit are all but `far_rows`; their loss counts as at least a `fraction` of the
    total. A lower bound above `target` also ends it. At least one iteration. Returns their number,
    whether the last directions were finite, and what `form` returned last.
    """
    d, B = goal.size, part.state.shape[2]
    L, vectors = np.empty((d, d)), np.empty((3, part.g.shape[1]))
    for k in range(3):
        fill(vectors[k], 0.0)
    count, positive, total, gap = 0, 0.0, 0.0, 0.0
    while True:
        finite, up, size, left, product = iterate(part, tau, goal, feasible, mu, x, L, vectors)
        if not finite:
            return count, False, positive, total, gap, mu
        positive, total, gap, mu = up, size, left, product
        count += 1
        value = tau * positive + (1.0 - tau) * (total - positive)
        near = value  # the rest is the loss of the rows near the fit
        for k in range(far_rows.size):
            r = part.state[far_rows[k] // B, RESIDUAL, far_rows[k] % B]
            near -= max(tau * r, (tau - 1.0) * r)
        small = gap <= limit * (constant + max(near, fraction * value))
        if count == max_iterations or small or value - gap > target:
            return count, True, positive, total, gap, mu
