"""Forward-backward in logarithms for a hidden Markov chain with finitely many states.

A sum of exponentials is computed as a plain scalar product, K instead of K^2 exponentials a step,
if that loses nothing: both factors are shifted to a maximum of one, so terms that underflow are
below 1e-308, and do not affect a total above 1e-250; of the probabilities of pairs, which are all
needed, none above 1e-290 is lost if their total is above `_SAFE_PAIRS`. Otherwise the terms are
added in logarithms.

Sources: Rabiner, "A tutorial on hidden Markov models and selected applications in speech
recognition", Proc. IEEE 77 (1989), 257-286; Baum, Petrie, Soules and Weiss, "A maximization
technique occurring in the statistical analysis of probabilistic functions of Markov chains", Ann.
Math. Statist. 41 (1970), 164-171.
"""

import math

import numpy as np

from randla._jit import kernel

_SAFE = 1e-250  # a total above it is not affected by terms that underflow, each below 1e-308
_SAFE_PAIRS = 1e-16  # above it no pair of probability over 1e-290 has underflowed


@kernel
def log_sum(a, n):
    """log(sum(exp(a[:n]))); -inf if all terms are."""
    top = -math.inf
    for i in range(n):
        top = max(top, a[i])
    if top == -math.inf:
        return top
    total = 0.0
    for i in range(n):
        total += math.exp(a[i] - top)
    return top + math.log(total)


@kernel
def shift_to_one(a, b):
    """Write exp(a - max(a)) to b; returns the maximum, which must be finite."""
    top = -math.inf
    for i in range(a.size):
        top = max(top, a[i])
    for i in range(a.size):
        b[i] = math.exp(a[i] - top)
    return top


@kernel
def forward_backward(y, log_initial, P, log_P, log_emission, log_alpha, probs, pair_probs):
    """Fill the smoothed probabilities; returns the log-likelihood and -1, or -inf and a time.

    y (T,) int64 holds symbols, -1 where missing. log_alpha (T, K) gets
    log p(x_t, y_0..y_t) - log p(y_0..y_t); `probs` (T, K) temporarily holds log beta. The time that
    is returned is the first at which the observations so far have probability zero.
    """
    n_steps, K = probs.shape
    a, terms, total = np.empty(K), np.empty(K), 0.0  # a: filtered law at t - 1, largest entry one
    top = 0.0
    for t in range(n_steps):  # forward: alpha_t(j) = g_t(j) sum_i alpha_{t-1}(i) P_ij, normalized
        now = log_alpha[t]
        for j in range(K):
            if t == 0:
                now[j] = log_initial[j]
            else:
                s = 0.0
                for i in range(K):
                    s += a[i] * P[i, j]
                if s > _SAFE:
                    now[j] = top + math.log(s)
                else:  # term by term in logarithms
                    for i in range(K):
                        terms[i] = log_alpha[t - 1, i] + log_P[i, j]
                    now[j] = log_sum(terms, K)
            if y[t] >= 0:
                now[j] += log_emission[j, y[t]]
        level = log_sum(now, K)  # log p(y_t | y_0, ..., y_{t-1})
        if level == -math.inf:
            return level, t
        total += level
        for j in range(K):
            now[j] -= level
        top = shift_to_one(now, a)
    b, after = np.empty(K), np.empty(K)
    probs[n_steps - 1] = 0.0  # log beta_{T-1}
    for t in range(n_steps - 2, -1, -1):  # beta_t(i) = sum_j P_ij g_{t+1}(j) beta_{t+1}(j)
        for j in range(K):
            after[j] = probs[t + 1, j]  # log g_{t+1}(j) beta_{t+1}(j)
            if y[t + 1] >= 0:
                after[j] += log_emission[j, y[t + 1]]
        top_b = shift_to_one(after, b)
        for i in range(K):
            s = 0.0
            for j in range(K):
                s += P[i, j] * b[j]
            if s > _SAFE:
                probs[t, i] = top_b + math.log(s)
            else:
                for j in range(K):
                    terms[j] = log_P[i, j] + after[j]
                probs[t, i] = log_sum(terms, K)
        shift_to_one(log_alpha[t], a)
        pairs(a, b, log_alpha[t], after, P, log_P, pair_probs[t])  # the law of (x_t, x_{t+1})
        level = log_sum(probs[t], K)  # keeps log beta near zero
        for i in range(K):
            probs[t, i] -= level
    for t in range(n_steps):  # P(x_t = i | y) proportional to alpha_t(i) beta_t(i)
        for i in range(K):
            terms[i] = log_alpha[t, i] + probs[t, i]
        level = log_sum(terms, K)
        for i in range(K):
            probs[t, i] = math.exp(terms[i] - level)
    return total, -1


@kernel
def pairs(a, b, log_a, log_b, P, log_P, out):
    """out[i, j] proportional to exp(log_a[i] + log_P[i, j] + log_b[j]), with sum one."""
    K, total = a.size, 0.0
    for i in range(K):
        for j in range(K):
            out[i, j] = a[i] * P[i, j] * b[j]
            total += out[i, j]
    if not total > _SAFE_PAIRS:  # again, in logarithms
        top = -math.inf
        for i in range(K):
            for j in range(K):
                top = max(top, log_a[i] + log_P[i, j] + log_b[j])
        total = 0.0
        for i in range(K):
            for j in range(K):
                out[i, j] = math.exp(log_a[i] + log_P[i, j] + log_b[j] - top)
                total += out[i, j]
    for i in range(K):
        for j in range(K):
            out[i, j] /= total
