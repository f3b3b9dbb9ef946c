"""Paths drawn backward in time through a stored filter, and sums along paths."""

import math

from randla.smoothing._kernels.particles.feynman_kac import blank, copy_state
from randla.smoothing._kernels.particles.resample import guided_draw, systematic_indices
from randla.smoothing._kernels.particles.status import NAN_FUNCTIONAL, OK
from randla.smoothing._kernels.particles.unowned import unowned
from randla.smoothing._kernels.particles.weights import normalize


def backward_template(fill, needs_weights):
    def backward_paths(
        rng, theta, begin, end, particles, weights, path_ends, backward, paths, changed, info
    ):
        """Extend paths from time end - 1 down to time begin (Godsill, Doucet and West 2004).

        `particles` is the history of a filter. The n paths go to `paths` (T, n) or (T, n, d),
        changed (T,) counts those that are not in slot 0. path_ends = (log_weights, ancestors,
        indices), each (n,), carries the paths from one call to the next.
        """
        rng, theta, weights, backward = (
            unowned(rng), unowned(theta), unowned(weights), unowned(backward),
        )  # fmt: skip
        states, log_weights, ancestors = unowned(particles)
        end_weights, end_ancestors, indices = unowned(path_ends)
        paths, changed, info = unowned(paths), unowned(changed), unowned(info)
        w, cumulative, guide, _ = weights
        draws, _, _ = backward
        n_times, n = log_weights.shape[0], indices.size
        total = 1.0  # the end of the cumulative weights
        for t in range(end - 1, begin - 1, -1):
            if needs_weights or t == n_times - 1:
                _, total, _ = normalize(log_weights[t], w, cumulative, t, info)
                systematic_indices(cumulative, total, 0.0, guide)
            if t == n_times - 1:  # from the last weights
                for b in range(n):
                    indices[b] = guided_draw(rng, cumulative, total, guide)
            else:  # from B_t(x, .) for the state x of the path at t + 1
                info[1] = t + 1  # for errors of the functions
                fill(
                    rng, t, theta, states[t], log_weights[t], paths[t + 1], end_weights,
                    end_ancestors, weights, total, backward, info,
                )  # fmt: skip
                for b in range(n):
                    indices[b] = draws[draws.shape[0] - 1, b]
            if info[0] != OK:
                return
            for b in range(n):
                i = indices[b]
                copy_state(states[t], i, paths[t], b)
                end_weights[b] = log_weights[t, i]
                end_ancestors[b] = ancestors[t, i]
                changed[t] += i != 0  # slot 0 holds the path that the filter is conditional on

    return backward_paths


def path_sum_template(first, step):
    def path_sums(y, theta, paths, increment, sums, info):
        """Fill sums (n, p) with the values of a functional along paths (n, T) or (n, T, d)."""
        y, theta, paths = unowned(y), unowned(theta), unowned(paths)
        increment, sums, info = unowned(increment), unowned(sums), unowned(info)
        n, p = sums.shape
        for b in range(n):
            path = paths[b]
            for k in range(p):
                sums[b, k] = 0.0
            for t in range(y.shape[0]):  # h_0(x_0) + sum_t h_t(x_t, x_{t+1})
                info[1] = t  # for errors of the functions
                blank(increment)  # so that a component which is not written is found
                if t == 0:
                    first(path[0], y[0], theta, increment)
                else:
                    step(t - 1, path[t - 1], path[t], y[t], theta, increment)
                for k in range(p):
                    sums[b, k] += increment[k]
                    if not abs(sums[b, k]) < math.inf:
                        info[0], info[1] = NAN_FUNCTIONAL, t
                        return

    return path_sums
