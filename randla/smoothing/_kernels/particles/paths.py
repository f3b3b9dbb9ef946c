"""Paths drawn backward in time through a stored filter, and sums along paths."""

import math

from randla._jit import kernel
from randla.smoothing._kernels.particles.borrow import borrow
from randla.smoothing._kernels.particles.feynman_kac import blank
from randla.smoothing._kernels.particles.resample import comb, guided_draw
from randla.smoothing._kernels.particles.status import NAN_FUNCTIONAL, OK
from randla.smoothing._kernels.particles.weights import normalise


def backward_template(fill, needs_weights):
    def backward_paths(
        rng, theta, begin, end, limit, X, logw, A, w, c, guide, logwn, ancestors, indices, J,
        work, paths, changed, info,
    ):  # fmt: skip
        """Extend paths from time end - 1 down to time begin (Godsill, Doucet and West 2004).

        X (T, N) or (T, N, d), logw and A (T, N) are the history of a filter. The n paths go to
        `paths` (T, n) or (T, n, d), changed (T,) counts those that are not in slot 0. w, c (N,),
        guide (2 N,), J (M, n) and work are work space as in `backward`; logwn, ancestors and
        indices (n,) carry the paths from one call to the next.
        """
        rng, theta, X, logw, A = borrow(rng), borrow(theta), borrow(X), borrow(logw), borrow(A)
        w, c, guide, logwn = borrow(w), borrow(c), borrow(guide), borrow(logwn)
        ancestors, indices, J = borrow(ancestors), borrow(indices), borrow(J)
        work, paths, changed, info = borrow(work), borrow(paths), borrow(changed), borrow(info)
        n_times, n = logw.shape[0], indices.size
        total = 1.0
        for t in range(end - 1, begin - 1, -1):
            if needs_weights or t == n_times - 1:
                _, total, _ = normalise(logw[t], w, c, t, info)
                comb(c, total, 0.0, guide)
            if t == n_times - 1:
                for b in range(n):
                    indices[b] = guided_draw(rng, c, total, guide)
            else:
                info[1] = t + 1  # for errors of the functions
                fill(
                    rng, t, X[t], logw[t], w, c, total, guide, paths[t + 1], logwn, ancestors,
                    theta, limit, J, work, info,
                )  # fmt: skip
                last = J[J.shape[0] - 1]
                for b in range(n):
                    indices[b] = last[b]
            if info[0] != OK:
                return
            for b in range(n):
                i = indices[b]
                paths[t, b] = X[t, i]
                logwn[b] = logw[t, i]
                ancestors[b] = A[t, i]
                changed[t] += i != 0

    return backward_paths


def path_sum_template(first, step):
    def path_sums(y, theta, paths, h, sums, info):
        """Fill sums (n, p) with the values of a functional along paths (n, T) or (n, T, d)."""
        y, theta, paths, h = borrow(y), borrow(theta), borrow(paths), borrow(h)
        sums, info = borrow(sums), borrow(info)
        n, p = sums.shape
        for b in range(n):
            path = paths[b]
            info[1] = 0  # for errors of the functions
            blank(h)  # so that a component which is not written is found
            first(path[0], y[0], theta, h)
            for k in range(p):
                sums[b, k] = h[k]
            if not is_finite(sums[b]):
                info[0], info[1] = NAN_FUNCTIONAL, 0
                return
            for t in range(1, y.shape[0]):
                info[1] = t
                blank(h)
                step(t - 1, path[t - 1], path[t], y[t], theta, h)
                for k in range(p):
                    sums[b, k] += h[k]
                if not is_finite(sums[b]):
                    info[0], info[1] = NAN_FUNCTIONAL, t
                    return

    return path_sums


@kernel
def is_finite(values):
    for k in range(values.size):  # noqa: SIM110
        if not abs(values[k]) < math.inf:
            return False
    return True
