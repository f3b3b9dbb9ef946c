"""The particle filter, bootstrap or guided, plain or conditional on a path."""

import math

from randla.smoothing._kernels.borrow import borrow
from randla.smoothing._kernels.resample import multinomial, resample
from randla.smoothing._kernels.status import ALL_ZERO, INFINITE_WEIGHT, NAN_WEIGHT, OK
from randla.smoothing._kernels.weights import (
    accumulate,
    exponentiate,
    largest,
    weighted_moments,
)


def filter_template(draw_first, draw_next, weigh_first, weigh_next):
    def particle_filter(
        rng, y, observed, theta, begin, end, scheme, threshold, conditional, path,
        X, logw, A, w, c, gaps, mean, variance, ess, levels, increments, info,
    ):  # fmt: skip
        """Advance the filter over the times begin, ..., end - 1.

        X (R, N) or (R, N, d), logw (R, N) and A (R, N) int32 hold time t in row t modulo R: all of
        the history with R = T, the last two times with R = 2. w, c, gaps (N,) are work space and
        carry the weights from one call to the next. The filter is resampled where
        ESS < threshold * N. With `conditional` slot 0 follows `path` (T,) or (T, d) and the
        resampling is multinomial. Filled are mean and variance (T, d), ess (T,), levels (T,) with
        log sum exp(logw), increments (T,) of the log-likelihood, and info with the status.
        """
        rng, y, observed, theta, path = (
            borrow(rng), borrow(y), borrow(observed), borrow(theta), borrow(path),
        )  # fmt: skip
        X, logw, A, w, c, gaps = (
            borrow(X), borrow(logw), borrow(A), borrow(w), borrow(c), borrow(gaps),
        )  # fmt: skip
        mean, variance, ess = borrow(mean), borrow(variance), borrow(ess)
        n_rows, n = logw.shape
        first_free = 1 if conditional else 0
        log_n = math.log(n)
        for t in range(begin, end):
            row = t % n_rows
            Xt, lt, At = X[row], logw[row], A[row]
            yt, seen = y[t], observed[t]
            if t == 0:
                base = log_n
                for i in range(n):
                    At[i] = i
                if conditional:
                    Xt[0] = path[0]
                for i in range(first_free, n):
                    draw_first(rng, yt, seen, theta, Xt, i)
                for i in range(n):
                    lt[i] = weigh_first(Xt, i, yt, seen, theta)
            else:
                previous = (t - 1) % n_rows
                Xp, lp = X[previous], logw[previous]
                resampled = ess[t - 1] < threshold * n
                if resampled:
                    base = log_n
                    if conditional:
                        At[0] = 0
                        multinomial(rng, c, At, 1, gaps)
                    else:
                        resample(rng, scheme, w, c, At, gaps)
                else:
                    base = levels[t - 1]
                    for i in range(n):
                        At[i] = i
                if conditional:
                    Xt[0] = path[t]
                for i in range(first_free, n):
                    draw_next(rng, t - 1, Xp[At[i]], yt, seen, theta, Xt, i)
                for i in range(n):
                    lt[i] = weigh_next(t - 1, Xp[At[i]], Xt, i, yt, seen, theta)
                if not resampled:
                    for i in range(n):
                        lt[i] += lp[i]
            top = largest(lt)
            total, squares, n_nan = exponentiate(lt, w, top)
            if n_nan > 0 or not total > 0.0 or top == math.inf:
                if top == math.inf:
                    info[0] = INFINITE_WEIGHT
                elif top == -math.inf:
                    info[0] = ALL_ZERO
                    for i in range(n):
                        if lt[i] != lt[i]:
                            info[0] = NAN_WEIGHT
                else:
                    info[0] = NAN_WEIGHT
                info[1] = t
                return
            accumulate(w, c, 1.0 / total)
            levels[t] = top + math.log(total)
            increments[t] = levels[t] - base
            ess[t] = total * total / squares
            weighted_moments(w, Xt.reshape(n, mean.shape[1]), mean[t], variance[t])
        info[0] = OK

    return particle_filter
