"""The particle filter, bootstrap or guided, plain or conditional on a path."""

import math

from randla.smoothing._kernels.particles.borrow import borrow, keep, on_stack
from randla.smoothing._kernels.particles.resample import comb, multinomial, resample
from randla.smoothing._kernels.particles.status import INFINITE_STATE, OK
from randla.smoothing._kernels.particles.weights import blame_states, normalise, weighted_moments


def filter_template(draw_first, draw_next, weigh_first, weigh_next):
    def particle_filter(
        stream, y, observed, theta, begin, end, scheme, threshold, conditional, path,
        X, logw, A, w, c, guide, gaps, mean, variance, ess, levels, totals, increments, info,
    ):  # fmt: skip
        """Advance the filter over the times begin, ..., end - 1.

        X (R, N) or (R, N, d), logw (R, N) and A (R, N) int32 hold time t in row t modulo R: all of
        the history with R = T, the last two times with R = 2. w, c, gaps (N,) and guide (2 N,) are
        work space, w and c carry the weights from one call to the next. The filter is resampled
        where ESS < threshold * N. With `conditional` slot 0 follows `path` (T,) or (T, d) and the
        resampling is multinomial. Filled are mean and variance (T, d), ess (T,), levels (T,) with
        log sum exp(logw), totals (T,) with the sums that c leads to, increments (T,) of the
        log-likelihood, and info with the status.
        """
        rng, y, observed, theta = on_stack(stream), borrow(y), borrow(observed), borrow(theta)
        path, X, logw, A = borrow(path), borrow(X), borrow(logw), borrow(A)
        w, c, guide, gaps = borrow(w), borrow(c), borrow(guide), borrow(gaps)
        mean, variance, info = borrow(mean), borrow(variance), borrow(info)
        n_rows, n = logw.shape
        first_free = 1 if conditional else 0
        log_n = math.log(n)
        for t in range(begin, end):
            info[1] = t  # for errors of the functions
            row = t % n_rows
            Xt, lt, At = X[row], logw[row], A[row]
            yt, seen = y[t], observed[t]
            base = log_n
            if conditional:
                Xt[0] = path[t]
            if t == 0:
                for i in range(n):
                    At[i] = i
                for i in range(first_free, n):
                    draw_first(rng, yt, seen, theta, Xt, i)
                for i in range(n):
                    lt[i] = weigh_first(Xt, i, yt, seen, theta)
            else:
                previous = (t - 1) % n_rows
                Xp, lp = X[previous], logw[previous]
                resampled = ess[t - 1] < threshold * n
                if not resampled:
                    base = levels[t - 1]
                    for i in range(n):
                        At[i] = i
                elif conditional:
                    At[0] = 0
                    comb(c, totals[t - 1], 0.0, guide)
                    multinomial(rng, c, totals[t - 1], At, 1, guide, gaps)
                else:
                    resample(rng, scheme, w, c, totals[t - 1], At, guide, gaps)
                for i in range(first_free, n):
                    draw_next(rng, t - 1, Xp[At[i]], yt, seen, theta, Xt, i)
                for i in range(n):
                    lt[i] = weigh_next(t - 1, Xp[At[i]], Xt, i, yt, seen, theta)
                if not resampled:
                    for i in range(n):
                        lt[i] += lp[i]
            levels[t], totals[t], ess[t] = normalise(lt, w, c, t, info)
            if info[0] != OK:
                blame_states(Xt, t, info)
                return
            increments[t] = levels[t] - base
            if not weighted_moments(w, Xt.reshape(n, mean.shape[1]), mean[t], variance[t]):
                info[0], info[1] = INFINITE_STATE, t
                return
        keep(rng, stream)

    return particle_filter
