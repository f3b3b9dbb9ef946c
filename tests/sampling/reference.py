"""Plain twins of the scores, from their definitions, and the oracles that know the truth."""

from fractions import Fraction

import numpy as np
from scipy.optimize import linprog, minimize


def leverage(A, weights=None, ridge=0.0):
    """w_i a_i' (A'WA + ridge I)^+ a_i in long double, for full column rank."""
    A = np.asarray(A, np.longdouble)
    if weights is not None:
        A = A * np.sqrt(np.asarray(weights, np.longdouble))[:, None]
    n, d = A.shape
    Q = np.vstack([A, np.sqrt(np.longdouble(ridge)) * np.eye(d, dtype=np.longdouble)])
    Q = Q / np.sqrt((Q * Q).sum(0))
    for j in range(d):  # Gram-Schmidt, each column twice
        for _ in range(2):
            Q[:, j] -= Q[:, :j] @ (Q[:, :j].T @ Q[:, j])
        Q[:, j] /= np.sqrt(Q[:, j] @ Q[:, j])
    return (Q * Q).sum(1)[:n]


def leverage_of_doubles(A, weights=None):
    """The same in exact rational arithmetic, for small matrices of full column rank."""
    rows = [[Fraction(float(x)) for x in row] for row in A]
    w = [Fraction(float(x)) for x in (np.ones(len(A)) if weights is None else weights)]
    d = len(rows[0])
    left = [
        [sum(v * r[i] * r[j] for v, r in zip(w, rows, strict=True)) for j in range(d)]
        + [Fraction(int(i == j)) for j in range(d)]
        for i in range(d)
    ]
    for i in range(d):  # Gauss and Jordan; a Gram matrix needs no pivoting
        left[i] = [x / left[i][i] for x in left[i]]
        for j in range(d):
            if j != i:
                left[j] = [x - left[j][i] * y for x, y in zip(left[j], left[i], strict=True)]
    inverse = [row[d:] for row in left]
    scores = [
        v * sum(r[i] * inverse[i][j] * r[j] for i in range(d) for j in range(d))
        for v, r in zip(w, rows, strict=True)
    ]
    return np.array([float(score) for score in scores])


def lewis_ratio(A, p, w):
    """leverage_i(W^(1/2 - 1/p) A) / w_i, which is 1 at the Lewis weights."""
    return np.asarray(leverage(A, w ** (1 - 2 / p)) / w, float)


def sensitivity_one(A, i):
    """p = 1 by HiGHS: 1/s - 1 = min |A_{-i} x|_1 subject to a_i'x = 1, in its dual form."""
    rest = np.delete(A, i, 0)
    n, d = rest.shape
    bounds = [(-1, 1)] * n + [(0, None)]
    cost, equal = np.r_[np.zeros(n), -1.0], np.c_[rest.T, -A[i]]
    return 1 / (1 - linprog(cost, A_eq=equal, b_eq=np.zeros(d), bounds=bounds).fun)


def sensitivity_max(A, i):
    """p = inf by HiGHS: max a_i'x subject to |A x|_inf <= 1."""
    return -linprog(-A[i], A_ub=np.r_[A, -A], b_ub=np.ones(2 * len(A)), bounds=(None, None)).fun


def sensitivity(A, p, i):
    """1 < p < inf by a smooth solver on the plane a_i'x = 1."""
    A = np.linalg.qr(A)[0]  # scores do not depend on the basis of the columns
    rest, a = np.delete(A, i, 0), A[i]
    x0, basis = a / (a @ a), np.linalg.svd(a[None])[2][1:].T
    scale = np.abs(rest @ x0).max()

    def value_and_slope(y):
        r = rest @ (x0 + basis @ y) / scale
        slope = p * np.abs(r) ** (p - 1) * np.sign(r) / scale
        return (np.abs(r) ** p).sum(), (rest @ basis).T @ slope

    start, options = np.zeros(len(a) - 1), {"maxiter": 2000}
    solved = minimize(value_and_slope, start, jac=True, tol=1e-14, options=options)
    return 1 / (1 + solved.fun * scale**p)


def sensitivity_by_search(A, p, i, n_angles=200_001):
    """d = 2 by brute force over directions."""
    angle = np.linspace(0, np.pi, n_angles)
    R = np.abs(A @ np.array([np.cos(angle), np.sin(angle)]))
    power = R if np.isinf(p) else R**p
    total = R.max(0) if np.isinf(p) else power.sum(0)
    return (power[i] / total).max()


def bounds_from_weights(A, p, v):
    """Upper and lower bounds of all sensitivities for any v > 0 (see randla.sampling)."""
    g = np.einsum("ij,jk,ik->i", A, np.linalg.inv((A.T * v) @ A), A)
    if p <= 2:
        upper = g ** (p / 2) * (v * g ** (1 - p / 2)).max()
        total = (v ** (-p / (2 - p))).sum() if p < 2 else 1.0
        return g ** (p / 2) * total ** (p / 2 - 1), upper
    upper = (g * (v ** (p / (p - 2))).sum() ** ((p - 2) / p)) ** (p / 2)
    return g ** (p / 2) / (g ** (p / 2 - 1) / v).max(), upper


def inclusion(u, size):
    """min(1, c u) with sum `size`, by bisection on c."""
    low, high = 0.0, 1.0
    while np.minimum(high * u, 1).sum() < size:
        high *= 2
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if np.minimum(c * u, 1).sum() < size else (low, c)
    return np.minimum(high * u, 1)
