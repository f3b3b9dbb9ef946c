"""One pass of PaRIS over the series, plain or conditional on a path (particle Gibbs)."""

import math

from randla._jit import summing_kernel, unsaved_inline, unsaved_kernel
from randla._random import uniform
from randla.smoothing._kernels.particles.backward import backward_row_form, cumulate
from randla.smoothing._kernels.particles.borrow import borrow, keep, on_stack
from randla.smoothing._kernels.particles.feynman_kac import blank
from randla.smoothing._kernels.particles.resample import comb, multinomial, search
from randla.smoothing._kernels.particles.status import NAN_FUNCTIONAL, OK
from randla.smoothing._kernels.particles.weights import blame_states, normalise


def sampled_update_form(fill, step, costly, checked):
    """Statistics averaged over backward draws (Olsson and Westerborn 2017, algorithm 2).

    A `costly` functional is not evaluated again where a draw equals the one before. A component
    that one which is `checked` does not write is NaN, not that of the particle before.
    """

    @unsaved_inline
    def update(
        rng, t, x, logw, w, c, total, guide, xn, logwn, A, yn, theta, limit, J, work,
        h, values, old, new, trace, info,
    ):  # fmt: skip
        fill(rng, t, x, logw, w, c, total, guide, xn, logwn, A, theta, limit, J, work, info)
        n_draws, n = J.shape
        p = new.shape[1]
        share = 1.0 / n_draws
        if p == 1 and not costly:
            for i in range(n):
                value = 0.0
                for m in range(n_draws):
                    j = J[m, i]
                    step(t, x[j], xn[i], yn, theta, h)
                    value += old[j, 0] + h[0]
                new[i, 0] = value * share
            return
        for i in range(n):
            for k in range(p):
                new[i, k] = 0.0
            last = -1
            for m in range(n_draws):
                j = J[m, i]
                if not costly or j != last:
                    if checked:
                        blank(h)
                    step(t, x[j], xn[i], yn, theta, h)
                    last = j
                for k in range(p):
                    new[i, k] += share * (old[j, k] + h[k])

    return update


@summing_kernel
def weighted_sum(row, old, values, share, out):
    """Weighted mean of old + values (N, p), into out (p,); rows of weight zero do not count."""
    for k in range(out.size):
        total = 0.0
        for j in range(row.size):
            b = row[j]
            total += b * (old[j, k] + values[j, k]) if b > 0.0 else 0.0
        out[k] = total * share


def full_update_form(log_transition, step, costly, checked):
    """Statistics averaged over all particles (Del Moral, Doucet and Singh 2010), O(N^2).

    A cheap functional is evaluated at all particles, in a loop that vectorises; a `costly` one
    only where the weight is positive.
    """
    backward_row = backward_row_form(log_transition)

    @unsaved_kernel
    def update(
        rng, t, x, logw, w, c, total, guide, xn, logwn, A, yn, theta, limit, J, work,
        h, values, old, new, trace, info,
    ):  # fmt: skip
        n, p = new.shape
        row = work[0]
        for i in range(n):
            J[0, i] = A[i]
            mass = backward_row(t, x, logw, xn[i], logwn[i], theta, work, info)
            share = 1.0 / mass if mass > 0.0 else 0.0
            if costly:
                for k in range(p):
                    new[i, k] = 0.0
                for j in range(n):
                    if mass > 0.0 and row[j] > 0.0:
                        if checked:
                            blank(h)
                        step(t, x[j], xn[i], yn, theta, h)
                        b = row[j] * share
                        for k in range(p):
                            new[i, k] += b * (old[j, k] + h[k])
            else:
                xi = xn[i]
                for j in range(n):
                    step(t, x[j], xi, yn, theta, values[j])
                weighted_sum(row, old, values, share, new[i])
            if trace and mass > 0.0:
                J[0, i] = search(row, uniform(rng) * cumulate(row))

    return update


@summing_kernel
def weighted_mean(w, values, out):
    """Average of the rows of values (n, p); rows of weight zero may hold anything."""
    n, p = values.shape
    for k in range(p):
        total = 0.0
        for i in range(n):
            total += w[i] * values[i, k] if w[i] > 0.0 else 0.0
        out[k] = total


def sweep_template(draw_first, draw_next, weigh_first, weigh_next, begin_sum, update):
    def sweep(
        stream, y, observed, theta, begin, end, n_sweeps, conditional, trace, limit, path,
        X, logw, chosen, A, J, w, c, guide, work, h, values, statistics, totals,
        estimates, paths, changed, ess, increments, info,
    ):  # fmt: skip
        """Advance over the times begin, ..., end - 1 of a sweep, or over `n_sweeps` whole ones.

        X (R, N) or (R, N, d) and chosen (R, N) int32, the traced backward draws, hold time t in
        row t modulo R, with R = T if paths are drawn (`trace`) and 2 if not; logw (2, N) and
        statistics (2, N, p) hold it in row t modulo 2. A, w, c (N,), guide (2 N,), work (3, N),
        J (M, N), h and values (N, p) or (0, p) are work space. With
        `conditional` slot 0 follows `path` (T,) or (T, d). At the end of sweep s its estimate goes
        to estimates[s], the new path to `path` and paths[s], and changed (T,) counts the times at
        which it left the old one. ess, totals, increments (T,) and info are as in the filter.
        """
        rng, y, observed, theta = on_stack(stream), borrow(y), borrow(observed), borrow(theta)
        path, X, logw, chosen = borrow(path), borrow(X), borrow(logw), borrow(chosen)
        A, J, w, c, guide = borrow(A), borrow(J), borrow(w), borrow(c), borrow(guide)
        work, h, values, statistics = borrow(work), borrow(h), borrow(values), borrow(statistics)
        estimates, paths, changed = borrow(estimates), borrow(paths), borrow(changed)
        ess, totals, increments = borrow(ess), borrow(totals), borrow(increments)
        info = borrow(info)
        n_rows, n = X.shape[:2]
        n_times, p = y.shape[0], statistics.shape[2]
        first_free = 1 if conditional else 0
        log_n = math.log(n)
        for s in range(n_sweeps):
            for t in range(begin, end):
                info[1] = t  # for errors of the functions
                Xt, lt = X[t % n_rows], logw[t % 2]
                yt, seen = y[t], observed[t]
                new = statistics[t % 2]
                if conditional:
                    Xt[0] = path[t]
                if t == 0:
                    for i in range(first_free, n):
                        draw_first(rng, yt, seen, theta, Xt, i)
                    for i in range(n):
                        lt[i] = weigh_first(Xt, i, yt, seen, theta)
                    for i in range(n):
                        blank(h)
                        begin_sum(Xt[i], yt, theta, h)
                        for k in range(p):
                            new[i, k] = h[k]
                else:
                    Xp, lp, total = X[(t - 1) % n_rows], logw[(t - 1) % 2], totals[t - 1]
                    A[0] = 0
                    comb(c, total, 0.0, guide)
                    multinomial(rng, c, total, A, first_free, guide, work[0])
                    for i in range(first_free, n):
                        draw_next(rng, t - 1, Xp[A[i]], yt, seen, theta, Xt, i)
                    for i in range(n):
                        lt[i] = weigh_next(t - 1, Xp[A[i]], Xt, i, yt, seen, theta)
                    update(
                        rng, t - 1, Xp, lp, w, c, total, guide, Xt, lt, A, yt, theta, limit, J,
                        work, h, values, statistics[(t - 1) % 2], new, trace, info,
                    )  # fmt: skip
                    if info[0] != OK:
                        return
                    if trace:
                        drawn, last = chosen[t], J[J.shape[0] - 1]
                        for i in range(n):
                            drawn[i] = last[i]
                level, totals[t], ess[t] = normalise(lt, w, c, t, info)
                if info[0] != OK:
                    blame_states(Xt, t, info)
                    return
                increments[t] = level - log_n
                weighted_mean(w, new, estimates[s])
                for k in range(p):
                    if not abs(estimates[s, k]) < math.inf:
                        info[0], info[1] = NAN_FUNCTIONAL, t
                        return
            if end == n_times and trace:
                i = search(c, uniform(rng) * totals[n_times - 1])
                for t in range(n_times - 1, -1, -1):
                    path[t] = X[t, i]
                    paths[s, t] = X[t, i]
                    changed[t] += i != 0
                    if t > 0:
                        i = chosen[t, i]
        keep(rng, stream)

    return sweep
