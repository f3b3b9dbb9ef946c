"""Certified l_p sensitivities of single rows, 1 < p < inf.

For the row a, scaled to norm 1, |r|_p with r = X_- x is minimized subject to a'x = 1 by Newton
steps with the weights W = |r|^(p-2). Each of their systems X_-' W X_- y = a also yields a
certificate: z = W X_- y satisfies X_-'z = a, so that |a'x| <= |z|_q |X_- x|_p for every x, 1/p +
1/q = 1 (Hoelder), for any positive weights. As the row itself is left out, the weights stay within
a few orders of magnitude where the row dominates.
"""

import math

import numpy as np

from randla._elementary import power
from randla._jit import kernel, summing_kernel
from randla._kernels.cholesky import factor, solve
from randla._kernels.panels import PANEL, adjoint, fill, largest, product, weighted_gram

_ITERATIONS, _TRIALS = 80, 30  # Newton steps of a row, and trials of a line search
_PATIENCE = 5  # trials after which any decrease is accepted
_FLAT = 1e-14  # a slope of the logarithm of the norm due to rounding errors


@summing_kernel
def weigh(r, dr, p, floor, W, lanes):
    """W = (|r| / top)^(p - 2) with top = max |r| and a floor for the base.

    Returns |r|_p, rounded up where the floor matters, and the derivative of log |r + s dr|_p at
    s = 0. A floor makes W too large for p > 2, too small for p < 2, where the sum is corrected.
    """
    fill(lanes[0], 0.0)
    for k in range(r.shape[0]):
        for lane in range(PANEL):
            lanes[0, lane] = max(lanes[0, lane], abs(r[k, lane]))
    top = largest(lanes[0])
    if top == 0.0 or not top < math.inf:
        return top, 0.0
    inverse, total, slope, n_floored = 1.0 / top, 0.0, 0.0, 0.0
    for k in range(r.shape[0]):
        for lane in range(PANEL):
            s = abs(r[k, lane]) * inverse  # |r| / top
            n_floored += 1.0 if s < floor else 0.0
            W[k, lane] = power(max(s, floor), p - 2.0)
        for lane in range(PANEL):
            s = r[k, lane] * inverse
            total += W[k, lane] * s * s  # (|r| / top)^p
            slope += W[k, lane] * s * (dr[k, lane] * inverse)
    slope /= total  # d log |r + s dr|_p = sum |r|^(p-2) r dr / sum |r|^p
    if p < 2.0:  # each floored entry has at most floor^p
        total += n_floored * floor**p
    return top * total ** (1.0 / p), slope


@summing_kernel
def dual_norm(z, q, lanes):
    """|z|_q, rounded up where entries are too small to matter."""
    fill(lanes[0], 0.0)
    for k in range(z.shape[0]):
        for lane in range(PANEL):
            lanes[0, lane] = max(lanes[0, lane], abs(z[k, lane]))
    top = largest(lanes[0])
    if top == 0.0 or not top < math.inf:
        return top
    inverse, total = 1.0 / top, 0.0
    for k in range(z.shape[0]):  # |z|_q = c |z / c|_q, in range for any q
        for lane in range(PANEL):
            total += power(max(abs(z[k, lane]) * inverse, 1e-30), q)
    return top * total ** (1.0 / q)


@kernel
def add(r, step, dr, out):
    """``out = r + step dr``."""
    for k in range(r.shape[0]):
        for lane in range(PANEL):
            out[k, lane] = r[k, lane] + step * dr[k, lane]


@summing_kernel
def direct(r, W, inverse, dr, z):
    """From dr = X y: the dual point z = W dr, and the direction dr = inverse dr - r.

    Returns the derivative of log |r + s dr|_p at s = 0.
    """
    total, slope = 0.0, 0.0
    for k in range(r.shape[0]):
        for lane in range(PANEL):
            z[k, lane] = W[k, lane] * dr[k, lane]
            dr[k, lane] = inverse * dr[k, lane] - r[k, lane]  # to y / a'y, where a'x = 1 too
            total += W[k, lane] * r[k, lane] * r[k, lane]
            slope += W[k, lane] * r[k, lane] * dr[k, lane]
    return slope / total


@kernel
def drop(own, values):
    """Set position `own` to zero (unless it is -1)."""
    if own >= 0:
        values[own // PANEL, own % PANEL] = 0.0


@kernel
def search(p, floor, value, slope, step, newton, r, dr, own, r2, W2, lanes):
    """A step along dr to near the minimum of the convex function |r + s dr|_p.

    The slope there must be less than 0.4 of the slope at 0; the secant rule narrows a bracket until
    then, or until any decrease is accepted. r2 and W2 are those of the step; returns the step and
    |r2|_p (at least `value` if there is no decrease).
    """
    longest = max(newton, 1.0)  # newton = 1 / (p - 1), the step of Newton's method
    step = min(max(step, 1e-3 * newton), longest)
    low, high, low_slope, high_slope = 0.0, math.inf, slope, 0.0
    for trial in range(_TRIALS):
        add(r, step, dr, r2)
        found, after = weigh(r2, dr, p, floor, W2, lanes)
        drop(own, W2)
        if found < value and (abs(after) <= 0.4 * abs(slope) or trial >= _PATIENCE):
            return step, found
        if after > 0.0 or not found < value:
            high, high_slope = step, after
        else:
            low, low_slope = step, after
        if high == math.inf:
            if step == longest:
                return step, found
            step = min(4.0 * step, longest)
        else:
            part = 0.5  # of the bracket; the secant's zero of the slope, kept away from its ends
            if high_slope > low_slope:
                part = min(max(-low_slope / (high_slope - low_slope), 0.1), 0.9)
            step = low + part * (high - low)
    return 0.0, value


@kernel
def infeasibility(P, a, z, rho):
    """Set rho = a - X'z; returns its norm."""
    adjoint(P, z, rho)
    square = 0.0
    for j in range(a.size):
        rho[j] = a[j] - rho[j]
        square += rho[j] * rho[j]
    return math.sqrt(square)


@kernel
def refine(P, W, L, rho, y, z, work):
    """Add the z of the system with right-hand side rho, which corrects the rounding of X'z = a."""
    solve(L, L.shape[0], rho, y)
    product(P, y, work)
    for k in range(z.shape[0]):
        for lane in range(PANEL):
            z[k, lane] += W[k, lane] * work[k, lane]


@kernel
def floor_of(p):
    """The smallest |r| / max |r| that weights resolve: keeps |r|^(p - 2) within 1e12."""
    return 1e-12 if p < 2.0 else 1e-10 ** (1.0 / max(p - 2.0, 0.5))


@kernel
def share(ratio, p):
    """Return s = t / (1 + t) with t = ratio^p."""
    if ratio > 1.0:
        return 1.0 / (1.0 + (1.0 / ratio) ** p)
    t = ratio**p  # |a'x|^p over |X_- x|_p^p
    return t / (1.0 + t)


@kernel
def bounds_of_rows(T, places, first, last, X, P, p, kappa, rtol, cutoff, lower, upper, iterations):
    """Bounds of the l_p sensitivities of rows first..last of T, at those positions of the outputs.

    X (n, d), d > 1, has the whitened rows, P the same rows in panels; |x| is at most kappa |X x|_p
    for every x. ``places[k]`` is the index in X of row k of T, or -1 if X does not have it. Rows of
    T are not zero. A row is skipped once its upper bound falls to `cutoff`.
    """
    d, w = X.shape[1], P.shape[1]
    shape = (P.shape[0], PANEL)
    r, W, dr, z = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape)
    r2, W2, lanes = np.empty(shape), np.empty(shape), np.empty((2, PANEL))
    a, x, y, rho, step_y = np.empty(d), np.empty(w), np.empty(w), np.empty(w), np.empty(w)
    for zero in (x, y, step_y):
        fill(zero, 0.0)
    G, L = np.empty((w, w)), np.empty((d, d))
    q, newton, floor = p / (p - 1.0), 1.0 / (p - 1.0), floor_of(p)
    for index in range(first, last):
        own, norm = places[index], 0.0
        for j in range(d):
            norm += T[index, j] ** 2
        norm = math.sqrt(norm)
        for j in range(d):
            a[j] = T[index, j] / norm
            x[j] = a[j]
        product(P, x, r)
        drop(own, r)
        value, _ = weigh(r, r, p, floor, W, lanes)
        drop(own, W)
        low, high, count = 0.0, 1.0, 0
        step = math.sqrt(newton) if p < 2.0 else newton  # later ones start from the previous one
        while count < _ITERATIONS:
            low = share(norm / value, p) if value > 0.0 else 1.0
            if high - low <= 0.9 * rtol * high or high <= cutoff:
                break
            count += 1
            weighted_gram(P, W, lanes, G)  # X_-' W X_- y = a
            if not factor(G, d, L):
                break
            solve(L, d, a, y)
            scale = 0.0
            for j in range(d):
                scale += a[j] * y[j]
            product(P, y, dr)
            drop(own, dr)
            slope = direct(r, W, 1.0 / scale, dr, z)  # z = W X_- y has X_-'z = a
            next_value = value
            if abs(slope) > _FLAT:
                step, next_value = search(
                    p, floor, value, slope, step, newton, r, dr, own, r2, W2, lanes
                )
            stalled = not next_value < value
            # The certificate is worth its cost near the optimum, or where a cutoff may be met.
            near = p * abs(slope) <= 100.0 * rtol or cutoff > 0.0
            if near or stalled or count == _ITERATIONS:
                error = kappa * infeasibility(P, a, z, rho)
                for _ in range(2):
                    if error > 1e-2 * rtol:
                        refine(P, W, L, rho, step_y, z, dr)
                        error = kappa * infeasibility(P, a, z, rho)
                if error * norm < 1.0:
                    # |a'x| <= |z|_q |X_- x|_p + |rho| |x|, and |x| <= kappa |X x|_p (Hoelder).
                    bound = dual_norm(z, q, lanes) + error
                    high = min(high, share(norm * bound / (1.0 - error * norm), p))
            if stalled:
                break
            for j in range(d):
                x[j] += step * (y[j] / scale - x[j])  # a'x = 1 is preserved
            r, r2 = r2, r
            W, W2 = W2, W
            value = next_value
        product(P, x, r)  # the certificate of x itself, free of accumulated rounding errors
        drop(own, r)
        value, _ = weigh(r, r, p, floor, W, lanes)
        scale = 0.0
        for j in range(d):
            scale += a[j] * x[j]
        lower[index] = share(norm * abs(scale) / value, p) if value > 0.0 else 1.0
        upper[index], iterations[index] = high, count
