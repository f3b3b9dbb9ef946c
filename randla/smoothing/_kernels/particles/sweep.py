"""One pass of PaRIS over the series, plain or conditional on a path (particle Gibbs).

Each particle carries a statistic beta, an estimate of the expectation of the functional over the
paths that end in it; equation and algorithm numbers are those of Olsson and Westerborn (2017).
"""

import math

from randla._jit import summing_kernel, unsaved_inline, unsaved_kernel
from randla._random import uniform
from randla.smoothing._kernels.particles.backward import cumulate, make_backward_row
from randla.smoothing._kernels.particles.feynman_kac import blank, copy_state
from randla.smoothing._kernels.particles.resample import multinomial, search
from randla.smoothing._kernels.particles.status import NAN_FUNCTIONAL, OK
from randla.smoothing._kernels.particles.unowned import stack_copy, store_stream, unowned
from randla.smoothing._kernels.particles.weights import normalize


def make_sampled_update(fill, step, costly, checked):
    """Statistics averaged over backward draws (Olsson and Westerborn 2017, algorithm 2).

    A `costly` functional is not evaluated again where a draw equals the one before. A component
    that one which is `checked` does not write is NaN, not that of the particle before.
    """

    @unsaved_inline
    def update(
        rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, yn, sums, trace,
        info,
    ):  # fmt: skip
        fill(rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, info)
        indices, increment, statistics = backward[0], sums[0], sums[2]
        old, new = statistics[t % 2], statistics[(t + 1) % 2]
        n_draws, n = indices.shape
        p = new.shape[1]
        share = 1.0 / n_draws
        # beta_{t+1}^i = (1 / M) sum_m beta_t^J + h_t(X_t^J, X_{t+1}^i), J = indices[m, i].
        if p == 1 and not costly:
            for i in range(n):
                value = 0.0
                for m in range(n_draws):
                    j = indices[m, i]
                    step(t, x[j], xn[i], yn, theta, increment)
                    value += old[j, 0] + increment[0]
                new[i, 0] = value * share
            return
        for i in range(n):
            for k in range(p):
                new[i, k] = 0.0
            last = -1
            for m in range(n_draws):
                j = indices[m, i]
                if not costly or j != last:
                    if checked:
                        blank(increment)
                    step(t, x[j], xn[i], yn, theta, increment)
                    last = j
                for k in range(p):
                    new[i, k] += share * (old[j, k] + increment[k])

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


def make_full_update(log_transition, step, costly, checked):
    """Statistics averaged over all particles (Del Moral, Doucet and Singh 2010), O(N^2).

    A cheap functional is evaluated at all particles, in a loop that vectorizes; a `costly` one
    only where the weight is positive.
    """
    backward_row = make_backward_row(log_transition)

    @unsaved_kernel
    def update(
        rng, t, theta, x, log_w, xn, log_wn, ancestors, weights, total, backward, yn, sums, trace,
        info,
    ):  # fmt: skip
        indices, work, _ = backward
        increment, values, statistics = sums
        old, new = statistics[t % 2], statistics[(t + 1) % 2]
        n, p = new.shape
        row = work[0]
        for i in range(n):
            indices[0, i] = ancestors[i]
            mass = backward_row(t, theta, x, log_w, xn[i], log_wn[i], work, info)
            share = 1.0 / mass if mass > 0.0 else 0.0  # B_t(i, j) = share * row[j]
            # beta_{t+1}^i = sum_j B_t(i, j) (beta_t^j + h_t(X_t^j, X_{t+1}^i)).
            if costly:
                for k in range(p):
                    new[i, k] = 0.0
                for j in range(n):
                    if mass > 0.0 and row[j] > 0.0:
                        if checked:
                            blank(increment)
                        step(t, x[j], xn[i], yn, theta, increment)
                        b = row[j] * share
                        for k in range(p):
                            new[i, k] += b * (old[j, k] + increment[k])
            else:
                xi = xn[i]
                for j in range(n):
                    step(t, x[j], xi, yn, theta, values[j])
                weighted_sum(row, old, values, share, new[i])
            if trace and mass > 0.0:  # the path still needs one draw from B_t(i, .)
                indices[0, i] = search(row, uniform(rng) * cumulate(row))

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


def sweep_template(propagate, begin_sum, update):
    def sweep(
        stream, series, span, path, particles, weights, backward, traced, sums, track, results
    ):
        """Advance over the times begin, ..., end - 1 of a sweep, or over `n_sweeps` whole ones.

        The arguments are records of `randla.smoothing._particles.records`, with the shapes given
        there. With `conditional` slot 0 follows `path` (T,) or (T, d). At the end of sweep s its
        estimate goes to estimates[s] and, if a path is traced, the new one to `path` and paths[s];
        changed (T,) counts the times at which it left the old one.
        """
        rng = stack_copy(stream)
        y, observed, theta = unowned(series)
        begin, end, n_sweeps, conditional, trace = span
        path, traced = unowned(path), unowned(traced)
        weights, backward, sums = unowned(weights), unowned(backward), unowned(sums)
        states, log_weights, all_ancestors = unowned(particles)
        ess, _, totals, increments, info = unowned(track)
        estimates, paths, changed = unowned(results)
        w, cumulative, _, _ = weights
        indices, _, _ = backward
        increment, _, statistics = sums
        ancestors = all_ancestors[0]  # of the last time only
        n_rows, n = states.shape[:2]
        n_times, p = y.shape[0], statistics.shape[2]
        first_free = 1 if conditional else 0
        log_n = math.log(n)
        for s in range(n_sweeps):
            for t in range(begin, end):
                info[1] = t  # for errors of the functions
                x, log_w = states[(t - 1) % n_rows], log_weights[(t - 1) % 2]  # of time t - 1
                xn, log_wn = states[t % n_rows], log_weights[t % 2]
                yt, seen = y[t], observed[t]
                new = statistics[t % 2]
                if conditional:
                    copy_state(path, t, xn, 0)  # slot 0: with i.i.d. ancestors any slot would do
                if t > 0:
                    # Multinomial at every step: with other schemes the ancestors would not be
                    # independent given the cloud, and a conditional sweep not keep its law.
                    ancestors[0] = 0
                    multinomial(rng, weights, totals[t - 1], ancestors, first_free)
                propagate(rng, t, first_free, x, ancestors, xn, log_wn, yt, seen, theta)
                if t == 0:
                    for i in range(n):  # beta_0^i = h_0(X_0^i)
                        blank(increment)
                        begin_sum(xn[i], yt, theta, increment)
                        for k in range(p):
                            new[i, k] = increment[k]
                else:
                    update(
                        rng, t - 1, theta, x, log_w, xn, log_wn, ancestors, weights, totals[t - 1],
                        backward, yt, sums, trace, info,
                    )  # fmt: skip
                    if info[0] != OK:
                        return
                    if trace:  # any draw that is chosen beforehand: the last one
                        for i in range(n):
                            traced[t, i] = indices[indices.shape[0] - 1, i]
                level, totals[t], ess[t] = normalize(log_wn, w, cumulative, t, info)
                if info[0] != OK:
                    return
                increments[t] = level - log_n  # of log Z: the log of the mean weight
                weighted_mean(w, new, estimates[s])  # sum_i W_t^i beta_t^i
                for k in range(p):
                    if not abs(estimates[s, k]) < math.inf:
                        info[0], info[1] = NAN_FUNCTIONAL, t
                        return
            if end == n_times and trace:
                # The last index from the weights, earlier ones along the traced draws.
                i = search(cumulative, uniform(rng) * totals[n_times - 1])
                for t in range(n_times - 1, -1, -1):
                    copy_state(states[t], i, path, t)
                    copy_state(states[t], i, paths[s], t)
                    changed[t] += i != 0  # slot 0 holds the path of the sweep before
                    if t > 0:
                        i = traced[t, i]
        store_stream(rng, stream)

    return sweep
