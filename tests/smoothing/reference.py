"""Oracles and naive twins of the particle smoothers, from the definitions."""

import itertools

import numpy as np
from scipy.stats import multivariate_normal

from tests.smoothing import models


def chain_paths(y):
    """All paths of the chain, their unnormalized probabilities and their sums of `SUMS`."""
    paths = np.array(list(itertools.product(range(3), repeat=len(y))))
    weights = models.INITIAL[paths[:, 0]]
    for t, symbol in enumerate(y):
        if t > 0:
            weights = weights * models.TRANSITION[paths[:, t - 1], paths[:, t]]
        if not np.isnan(symbol):
            weights = weights * models.EMISSION[paths[:, t], int(symbol)]
    sums = np.c_[paths.sum(1), (paths**2).sum(1), (paths[:, 1:] * paths[:, :-1]).sum(1)]
    return paths, weights, sums


def walk_smoother(y, theta):
    """Dense conditioning: mean and covariance of the walk's states, and the log-likelihood."""
    a, step, noise = theta
    n = len(y)
    C = np.zeros((n, n))
    variance = 1.0
    for t in range(n):
        C[t, t:] = C[t:, t] = variance * a ** np.arange(n - t)
        variance = a * a * variance + step * step
    seen = ~np.isnan(y)
    if not seen.any():
        return np.zeros(n), C, 0.0
    S = C[np.ix_(seen, seen)] + noise**2 * np.eye(seen.sum())
    gain = np.linalg.solve(S, C[seen]).T
    return gain @ y[seen], C - gain @ C[seen], multivariate_normal(cov=S).logpdf(y[seen])


def walk_sums(y, theta):
    """Smoothed expectations of the sums of x, x^2 and x x'."""
    m, V, _ = walk_smoother(y, theta)
    return np.array([m.sum(), m @ m + np.trace(V), m[1:] @ m[:-1] + np.diag(V, 1).sum()])


def forward_smoothing(particles, log_weights, log_transition, h_first, h_next):
    """Del Moral, Doucet and Singh: sum_i W_T^i tau_T^i on a given cloud, with N x N matrices."""
    tau = h_first(particles[0])
    for t in range(len(particles) - 1):
        x, xn = particles[t], particles[t + 1]
        B = np.exp(log_weights[t][:, None] + log_transition(t, x[:, None], xn[None, :]))
        B /= B.sum(0)
        tau = (B * (tau[:, None] + h_next(t, x[:, None], xn[None, :]))).sum(0)
    return np.exp(log_weights[-1]) @ tau


def lagged_variances(run, resampled, multinomial, n_lags):
    """V^(l) for l = 0..n_lags and the largest U of these lags (T, d), from a run's stored clouds.

    By their definitions in `randla.smoothing._kernels.particles.genealogy`, with the table of all
    ancestors.
    """
    states, log_weights, ancestors = run.particles, run.log_weights, run.ancestors
    n_times, n = log_weights.shape
    X = states.reshape(n_times, n, -1)
    W = np.exp(log_weights - np.logaddexp.reduce(log_weights, axis=1, keepdims=True))
    c, floor = (n / (n - 1), 0.0) if multinomial else (1.0, 1 / n)
    V, U = {}, np.zeros(X.shape[::2])
    for t in range(n_times):
        deviations = W[t, :, None] * (X[t] - W[t] @ X[t])
        ancestor, factor = np.arange(n), c  # of time k = t, c^{r(k,t)+1}
        V[t + 1, t] = floor
        for k in range(t, max(t - n_lags, 0) - 1, -1):
            q = (np.bincount(ancestor, W[t]) ** 2).sum()  # over families of particles of k
            V[k, t] = 1 - factor * (1 - q)
            u = [(np.bincount(ancestor, column) ** 2).sum() for column in deviations.T]
            U[t] = np.maximum(U[t], factor * np.array(u))
            if resampled[k]:
                ancestor, factor = ancestors[k][ancestor], factor * c
    last = n_times - 1
    ends = [[min(k + lag, last) for k in range(n_times)] for lag in range(n_lags + 1)]
    return np.array([sum(V[k, e] - V[k + 1, e] for k, e in enumerate(row)) for row in ends]), U
