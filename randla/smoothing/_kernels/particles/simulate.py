"""Drawing states and observations forward in time."""

from randla._jit import unsaved_inline
from randla._random import seed_stream
from randla.smoothing._kernels.particles.unowned import unowned


def make_of_path(own_rows):
    """The `theta` of the functions on one path, from that of all paths."""
    if own_rows:  # a record `randla.smoothing._model.series.Arguments`, with y (n, T) or (n, T, k)

        @unsaved_inline
        def of_path(theta, i):
            return (theta[0], theta[1], theta[2][i], theta[3])

    else:

        @unsaved_inline
        def of_path(theta, i):
            return theta

    return of_path


def simulate_template(draw_first, mutate, observe, of_path):
    def simulate(rng, key, start, start_time, theta, states, observations, info):
        """Path i, of stream i: states (n, T) or (n, T, d), observations (n, T, k).

        If `start` has rows the path goes on from ``start[i]``, a state of time `start_time`; else
        it begins at time 0. rng (4,) is work space, info[1] the present time.
        """
        rng, start, theta = unowned(rng), unowned(start), unowned(theta)
        states, observations, info = unowned(states), unowned(observations), unowned(info)
        for i in range(states.shape[0]):
            seed_stream(rng, key, i)  # a path is a function of the key and its number
            path, own = states[i], of_path(theta, i)
            for s in range(states.shape[1]):
                t = start_time + s
                info[1] = t  # for errors of the functions
                if s > 0:
                    # Not observed: from the transition, even where there is a proposal.
                    mutate((rng, t - 1, path[s - 1]), 0.0, False, own, path, s)
                elif start.shape[0] > 0:
                    mutate((rng, t - 1, start[i]), 0.0, False, own, path, s)
                else:
                    draw_first((rng,), 0.0, False, own, path, s)
                observe(rng, t, path[s], own, observations[i, s])

    return simulate
