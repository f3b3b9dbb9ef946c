"""Oracles of the exact smoothers, from the definitions: no recursions, no square roots."""

import itertools
import math
from fractions import Fraction

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal


def joint_law(model, n_steps):
    """Mean (T d,) and covariance (T d, T d) of all states of a LinearGaussian."""
    A, Q, d = model.transition_matrix, model.transition_cov, len(model.transition_matrix)
    mean, C = np.zeros((n_steps, d)), np.zeros((n_steps, d, n_steps, d))
    m, V = model.initial_mean, model.initial_cov
    for t in range(n_steps):
        mean[t], W = m, V
        for s in range(t, n_steps):
            C[s, :, t], C[t, :, s] = W, W.T
            W = A @ W
        m, V = A @ m, A @ V @ A.T + Q
    return mean.ravel(), C.reshape(n_steps * d, n_steps * d)


def dense_smoother(model, y):
    """Mean, covariance, lag covariance and log-likelihood by conditioning the joint law."""
    y = np.asarray(y, float).reshape(len(y), -1)
    n_steps, d = len(y), len(model.transition_matrix)
    mean, C = joint_law(model, n_steps)
    seen = ~np.isnan(y.ravel())
    B = np.kron(np.eye(n_steps), model.observation_matrix)[seen]
    S = B @ C @ B.T + np.kron(np.eye(n_steps), model.observation_cov)[np.ix_(seen, seen)]
    value = 0.0
    if seen.any():
        value = multivariate_normal(B @ mean, S).logpdf(y.ravel()[seen])
        gain = np.linalg.solve(S, B @ C).T
        mean, C = mean + gain @ (y.ravel()[seen] - B @ mean), C - gain @ B @ C
    C = C.reshape(n_steps, d, n_steps, d)
    covariance = np.array([C[t, :, t] for t in range(n_steps)])
    lag = np.array([C[t, :, t + 1] for t in range(n_steps - 1)]).reshape(-1, d, d)
    return mean.reshape(n_steps, d), covariance, lag, value


def rational_smoother(A, Q, B, R, P0, y):
    """The textbook filter and smoother in exact rational arithmetic; one observed component."""

    def exact(M):
        return np.array([[Fraction(float(v)) for v in row] for row in np.atleast_2d(M)])

    def inverse(M):  # Gauss-Jordan
        n = len(M)
        W = np.concatenate([M, exact(np.eye(n))], axis=1)
        for i in range(n):
            W[i] = W[i] / W[i, i]
            for j in set(range(n)) - {i}:
                W[j] = W[j] - W[j, i] * W[i]
        return W[:, n:]

    A, Q, B, R, P = map(exact, (A, Q, B, R, P0))
    m, past, value = exact(np.zeros((len(A), 1))), [], 0.0
    for t, obs in enumerate(y):
        predicted = (m, P) if t == 0 else (A @ m, A @ P @ A.T + Q)
        m, P = predicted
        F, v = (B @ P @ B.T + R)[0, 0], Fraction(float(obs)) - (B @ m)[0, 0]
        value -= 0.5 * (math.log(2 * math.pi * F) + float(v * v / F))
        K = P @ B.T / F
        m, P = m + K * v, P - K @ B @ P
        past.append((predicted, (m, P)))
    mean, covariance = [m], [P]
    for (_, (m, P)), ((m_next, P_next), _) in zip(past[-2::-1], past[:0:-1], strict=True):
        G = P @ A.T @ inverse(P_next)
        mean.insert(0, m + G @ (mean[0] - m_next))
        covariance.insert(0, P + G @ (covariance[0] - P_next) @ G.T)
    return np.array(mean, float)[:, :, 0], np.array(covariance, float), value


def flat_smoother(model, y):
    """Mean, covariance, lag covariance and log-likelihood in exact rational arithmetic.

    For any LinearGaussian, by conditioning the joint law of all states and observations, with a
    flat law of delta: the bordered matrix [[V, G], [G', 0]], V and G the covariance and the
    regressors of y, has the universal kriging weights and the determinant |V| |G' V^-1 G| (also
    where V is singular).
    """

    def exact(M):
        return np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(np.asarray(M, float))

    def part(name, t, ndim):
        value = getattr(model, name)
        return exact(value if value.ndim == ndim else value[t])

    def intercept(name, t, size):
        return exact(np.zeros(size)) if getattr(model, name) is None else part(name, t, 1)

    y = np.asarray(y, float).reshape(len(y), -1)
    n, (k, d) = len(y), model.observation_matrix.shape[-2:]
    D = exact(np.empty((d, 0)) if model.diffuse is None else model.diffuse)
    q, mean, X = D.shape[1], [exact(model.initial_mean)], [D]
    C = np.full((n, d, n, d), Fraction(0))
    V = exact(model.initial_cov)
    for t in range(n):
        C[t, :, t], W = V, V
        if t == n - 1:
            break
        A = part("transition_matrix", t, 2)
        mean.append(A @ mean[t] + intercept("state_intercept", t, d))
        X.append(A @ X[t])
        for s in range(t, n - 1):
            W = part("transition_matrix", s, 2) @ W
            C[s + 1, :, t], C[t, :, s + 1] = W, W.T
        V = A @ V @ A.T + part("transition_cov", t, 2)
    rows = [(t, i) for t in range(n) for i in range(k) if not math.isnan(y[t, i])]
    border = np.full((len(rows) + q, len(rows) + q), Fraction(0))
    cross = np.full((n, d, len(rows) + q), Fraction(0))  # of the states with y, and with delta
    cross[:, :, len(rows) :] = X
    v = np.full(len(rows) + q, Fraction(0))
    for a, (t, i) in enumerate(rows):
        b = part("observation_matrix", t, 2)[i]
        cross[:, :, a] = C[:, :, t] @ b
        v[a] = Fraction(y[t, i]) - b @ mean[t] - intercept("observation_intercept", t, k)[i]
        border[a, len(rows) :] = border[len(rows) :, a] = b @ X[t]
    for a, (t, i) in enumerate(rows):
        for c, (s, j) in enumerate(rows):
            border[a, c] = part("observation_matrix", s, 2)[j] @ cross[s, :, a]
            border[a, c] += part("observation_cov", t, 2)[i, j] if s == t else 0
    right = np.concatenate([v[:, None], cross.reshape(n * d, -1).T], axis=1)
    solution, log_det = _rational_solve(border, right)
    value = -0.5 * ((len(rows) - q) * math.log(2 * math.pi) + log_det + float(v @ solution[:, 0]))
    flat = cross.reshape(n * d, -1)
    m = np.array(mean).ravel() + flat @ solution[:, 0]
    P = (C.reshape(n * d, n * d) - flat @ solution[:, 1:]).reshape(n, d, n, d)
    covariance = np.array([P[t, :, t] for t in range(n)], float)
    lag = np.array([P[t, :, t + 1] for t in range(n - 1)], float).reshape(-1, d, d)
    return m.reshape(n, d).astype(float), covariance, lag, value


def _rational_solve(M, right):
    """M^-1 right and log |det M| by Gauss-Jordan elimination."""
    W, n, log_det = np.concatenate([M, right], axis=1), len(M), 0.0
    for i in range(n):
        p = next(r for r in range(i, n) if W[r, i] != 0)
        W[[i, p]] = W[[p, i]]
        log_det += math.log(abs(W[i, i].numerator)) - math.log(W[i, i].denominator)
        W[i] = W[i] / W[i, i]
        for j in set(range(n)) - {i}:
            if W[j, i] != 0:
                W[j] = W[j] - W[j, i] * W[i]
    return W[:, n:], log_det


def all_paths(model, y):
    """Every path of a DiscreteHMM, its probability given y, and the log-likelihood."""
    mu, P, G = model.initial_probs, model.transition_matrix, model.emission_probs
    paths = np.array(list(itertools.product(range(len(mu)), repeat=len(y))))
    weights = mu[paths[:, 0]] * np.prod(P[paths[:, :-1], paths[:, 1:]], axis=1)
    for t, symbol in enumerate(y):
        if not np.isnan(symbol):
            weights = weights * G[paths[:, t], int(symbol)]
    return paths, weights / weights.sum(), np.log(weights.sum())


def log_space_smoother(model, y):
    """Forward-backward with every sum a logsumexp: probabilities, pairs, log-likelihood."""
    with np.errstate(divide="ignore"):
        log_mu, log_P = np.log(model.initial_probs), np.log(model.transition_matrix)
        log_G = np.log(model.emission_probs).T[np.asarray(y, int)]
    alpha, beta = [log_mu + log_G[0]], [np.zeros(len(log_mu))]
    for g in log_G[1:]:
        alpha.append(logsumexp(alpha[-1][:, None] + log_P, axis=0) + g)
    for g in log_G[:0:-1]:
        beta.insert(0, logsumexp(log_P + g + beta[0], axis=1))
    alpha, beta, value = np.array(alpha), np.array(beta), logsumexp(alpha[-1])
    pairs = alpha[:-1, :, None] + log_P + (log_G[1:] + beta[1:])[:, None, :]
    return np.exp(alpha + beta - value), np.exp(pairs - value), value


def central_difference(function, x, step):
    """Derivative of a function of one number, error O(step^4)."""
    wide = function(x + 2 * step) - function(x - 2 * step)
    return (8 * (function(x + step) - function(x - step)) - wide) / (12 * step)
