"""The particle filter, bootstrap or guided, plain or conditional on a path."""

import math

from randla.smoothing._kernels.particles.feynman_kac import copy_state
from randla.smoothing._kernels.particles.resample import DRAWS
from randla.smoothing._kernels.particles.status import INFINITE_STATE, OK
from randla.smoothing._kernels.particles.unowned import stack_copy, store_stream, unowned
from randla.smoothing._kernels.particles.weights import normalize, weighted_moments


def filter_template(propagate, kind):
    draw = DRAWS[kind]  # the others are not compiled

    def particle_filter(
        stream, series, begin, end, scheme, threshold, path, particles, rows, weights,
        moments, track, weights_of_times,
    ):  # fmt: skip
        """Advance the filter over the times begin, ..., end - 1.

        The arguments are records of `randla.smoothing._particles.records`, with the shapes given
        there; `rows` (R, N, d) are the states as vectors, and `weights` has the weights from one
        call to the next. The filter is resampled by `scheme` where ESS < threshold * N. If `path`
        (T,) or (T, d) has rows slot 0 follows it; the scheme must be multinomial. Filled are the
        moments (T, d), the track and, if it has rows, the table `weights_of_times` (R, N) of
        normalized weights. Time t is in row t modulo the length of each table: the observations of
        a stream have one row, its moments and its track two.
        """
        rng, path, weights = stack_copy(stream), unowned(path), unowned(weights)
        y, observed, theta = unowned(series)
        states, log_weights, all_ancestors = unowned(particles)
        rows, (mean, variance) = unowned(rows), unowned(moments)
        ess, levels, totals, increments, info = unowned(track)
        n_kept = weights_of_times.shape[0]
        w, cumulative, _, _ = weights
        n_rows, n = log_weights.shape
        conditional = path.shape[0] > 0
        first_free = 1 if conditional else 0
        log_n = math.log(n)
        for t in range(begin, end):
            info[1] = t  # for errors of the functions
            row = t % n_rows
            x, log_w = states[(t - 1) % n_rows], log_weights[(t - 1) % n_rows]  # of time t - 1
            xn, log_wn, ancestors = states[row], log_weights[row], all_ancestors[row]
            now, last = t % ess.size, (t - 1) % ess.size  # in the track and the moments
            yt, seen = y[t % y.shape[0]], observed[t % observed.size]
            base = log_n  # log of the sum of the weights that the particles come with
            if conditional:
                copy_state(path, t, xn, 0)
            resampled = t > 0 and ess[last] < threshold * n
            if not resampled:
                for i in range(n):
                    ancestors[i] = i
            else:
                ancestors[0] = 0  # a path is its own ancestor
                draw(scheme, rng, weights, totals[last], ancestors, first_free)
            propagate(rng, t, first_free, x, ancestors, xn, log_wn, yt, seen, theta)
            if t > 0 and not resampled:  # the weights are carried on
                base = levels[last]
                for i in range(n):
                    log_wn[i] += log_w[i]
            levels[now], totals[now], ess[now] = normalize(log_wn, w, cumulative, t, info)
            if info[0] != OK:
                return
            increments[now] = levels[now] - base  # log of an estimate of p(y_t | y_0, ..., y_{t-1})
            if not weighted_moments(w, rows[row], mean[now], variance[now]):
                info[0], info[1] = INFINITE_STATE, t
                return
            if n_kept > 0:
                kept = weights_of_times[t % n_kept]
                for i in range(n):  # an assignment of arrays takes seconds to compile
                    kept[i] = w[i]
        store_stream(rng, stream)

    return particle_filter
