"""The joint density of a path and the observations, as a function of the parameters."""

from randla.smoothing._kernels.particles.unowned import unowned


def path_density_template(log_initial, log_transition, log_potential):
    def path_density(series, path, info):
        """Log mu(x_0) + sum_t log q_t(x_t, x_{t+1}) + sum_t log g_t(x_t), for path (T,) or (T, d).

        Missing rows have no g. info[1] is the present time, for errors of the functions.
        """
        y, observed, theta = unowned(series)
        path, info = unowned(path), unowned(info)
        total = log_initial(path[0], theta)
        for t in range(path.shape[0]):
            info[1] = t
            if t > 0:
                total += log_transition(t - 1, path[t - 1], path[t], theta)
            if observed[t]:
                total += log_potential(t, path[t], y[t], theta)
        return total

    return path_density
