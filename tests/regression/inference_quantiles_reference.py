"""Errors of quantile and l_p fits from their definitions, in plain NumPy, in memory, full rank."""

import numpy as np
from scipy.special import ndtri

EPS = np.finfo(float).eps


def bandwidth(n, tau):
    """Hall and Sheather (1988), with R's rule at the ends."""
    q = ndtri(tau)
    phi = np.exp(-(q**2) / 2) / np.sqrt(2 * np.pi)
    h = n ** (-1 / 3) * ndtri(0.975) ** (2 / 3) * (1.5 * phi**2 / (2 * q**2 + 1)) ** (1 / 3)
    while tau - h <= 0 or tau + h >= 1:
        h = h / 2
    return h


def sandwich(A, b, fits, tau, *, weights=None, repeats=False, kind="robust"):
    """D, D_0 and the number of rows behind the errors at tau.

    ``fits(taus)`` are the coefficients (d, k) at several quantiles.
    """
    n, d = A.shape
    w = np.ones(n) if weights is None else weights
    m = w if repeats else w**2
    n_effective = w.sum() if repeats else w.sum() ** 2 / (w**2).sum()
    h = bandwidth(n_effective, tau)
    low, x, high = fits([tau - h, tau, tau + h]).T
    G = np.linalg.inv((A.T * w) @ A)
    D0 = (A.T * m) @ A
    leverage = np.array([a @ G @ D0 @ G @ a for a in A])

    u = b - A @ x
    floor = 16 * EPS * (abs(b) + abs(A) @ abs(x))
    kept = abs(u) > np.maximum(np.sort(abs(u))[d - 1], floor)
    q_low, q_high = np.quantile(u[kept], [tau - h, tau + h], method="inverted_cdf", weights=w[kept])
    s = (q_high - q_low) / (2 * h)
    if kind == "iid":
        return (A.T * w) @ A / s, D0
    delta = A @ (high - low)
    f = np.zeros(n)
    for i in range(n):
        if delta[i] <= 1e-12 * abs(b - np.median(b)).max():
            continue
        if kind == "nid":
            f[i] = 2 * h / delta[i]
        else:
            variance = 2 * h * (1 - 2 * h) * max(s, delta[i] / (2 * h)) ** 2 * leverage[i]
            f[i] = 2 * h * delta[i] / (delta[i] ** 2 + variance / 2)
    return (A.T * (w * f)) @ A, D0


def joint_covariance(A, b, fits, taus, **options):
    """(k d, k d), coefficients fastest."""
    parts = [sandwich(A, b, fits, tau, **options) for tau in taus]
    inverses, D0 = [np.linalg.inv(D) for D, _ in parts], parts[0][1]
    return np.block([
        [(min(s, t) - s * t) * (inverses[i] @ D0 @ inverses[j]) for j, t in enumerate(taus)]
        for i, s in enumerate(taus)
    ])  # fmt: skip


def power_covariance(A, b, x, p, *, weights=None, repeats=False):
    """The sandwich of the l_p norm with leave-one-out factors."""
    w = np.ones(len(b)) if weights is None else weights
    r = b - A @ x
    psi, c = abs(r) ** (p - 1) * np.sign(r), (p - 1) * abs(r) ** (p - 2)
    inverse = np.linalg.inv((A.T * (w * c)) @ A)
    h = c * np.array([a @ inverse @ a for a in A]) * (1.0 if repeats else w)
    meat = (A.T * ((w if repeats else w**2) * psi**2 / (1 - h) ** 2)) @ A
    return inverse @ meat @ inverse
