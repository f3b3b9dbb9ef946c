"""Exact smoothers beside statsmodels and loops in NumPy."""

import numpy as np
from scipy.special import logsumexp

from randla import DiscreteHMM, LinearGaussian, hmm_smoother, kalman_smoother


def linear_gaussian(d):
    """A stable model in d dimensions, all of which are observed."""
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return LinearGaussian(
        0.9 * rotation, np.eye(d), np.eye(d), np.eye(d), np.zeros(d), np.eye(d) / 0.19
    )


class Kalman:
    """Smoothed moments; the peer's covariances are not kept as factors."""

    readme = "Kalman smoother, 5 dimensions, 1000 time steps"
    params, param_names = [(1, 5), (100, 1000)], ["d", "T"]
    headline = (5, 1000)

    def setup(self, d, n_steps):
        self.model = linear_gaussian(d)
        self.y = np.asarray(self.model.simulate(n_steps, rng=1)[1]).reshape(n_steps, d)
        self.peer = None
        self.time_randla(d, n_steps)

    def time_randla(self, d, n_steps):
        kalman_smoother(self.model, self.y)

    def time_peer_statsmodels(self, d, n_steps):
        from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

        if self.peer is None:
            model = self.model
            peer = KalmanSmoother(k_endog=d, k_states=d, k_posdef=d)
            peer.bind(self.y.copy())
            peer["design"], peer["transition"] = model.observation_matrix, model.transition_matrix
            peer["selection"], peer["obs_cov"] = np.eye(d), model.observation_cov
            peer["state_cov"] = model.transition_cov
            peer.initialize_known(np.array(model.initial_mean), np.array(model.initial_cov))
            self.peer = peer
        self.peer.smooth()

    def time_compare_numpy_textbook_filter(self, d, n_steps):
        """The filter alone, with the covariances subtracted."""
        model = self.model
        A, B = model.transition_matrix, model.observation_matrix
        m, P = model.initial_mean, model.initial_cov
        for t in range(n_steps):
            if t > 0:
                m, P = A @ m, A @ P @ A.T + model.transition_cov
            F = B @ P @ B.T + model.observation_cov
            K = np.linalg.solve(F, B @ P).T
            m, P = m + K @ (self.y[t] - B @ m), P - K @ B @ P


class HiddenMarkov:
    """Forward-backward in logarithms."""

    params, param_names = [(3, 20), (1000,)], ["K", "T"]
    headline = (20, 1000)

    def setup(self, n_states, n_steps):
        rng = np.random.default_rng(0)
        self.model = DiscreteHMM(
            rng.dirichlet(np.ones(n_states)),
            rng.dirichlet(np.ones(n_states), n_states),
            rng.dirichlet(np.ones(10), n_states),
        )
        self.y = self.model.simulate(n_steps, rng=1)[1]
        self.time_randla(n_states, n_steps)

    def time_randla(self, n_states, n_steps):
        hmm_smoother(self.model, self.y)

    def time_peer_numpy_logsumexp(self, n_states, n_steps):
        log_P = np.log(self.model.transition_matrix)
        log_G = np.log(self.model.emission_probs).T[self.y.astype(int)]
        alpha, beta = [np.log(self.model.initial_probs) + log_G[0]], [np.zeros(n_states)]
        for g in log_G[1:]:
            alpha.append(logsumexp(alpha[-1][:, None] + log_P, axis=0) + g)
        for g in log_G[:0:-1]:
            beta.append(logsumexp(log_P + g + beta[-1], axis=1))
        beta = np.array(beta[::-1])
        np.exp(np.array(alpha)[:-1, :, None] + log_P + (log_G[1:] + beta[1:])[:, None, :])
