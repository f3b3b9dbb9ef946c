"""Oracles of l_p and quantile regression: objectives from their definitions, HiGHS for optima."""

import numpy as np
from scipy.optimize import linprog


def pinball(r, tau):
    return np.where(r > 0, tau * r, (tau - 1.0) * r)


def objective(A, b, x, p=1, tau=None, weights=None, l1=0.0):
    r = b - np.asarray(A @ x)
    w = np.ones(len(b)) if weights is None else np.asarray(weights, float)
    penalty = np.sum(l1 * np.abs(x))
    if tau is not None:
        return np.sum(w * pinball(r, tau)) + penalty
    if p == np.inf:
        return np.max(w * np.abs(r))
    size = w ** (1.0 / p) * np.abs(r)
    largest = size.max()
    if largest == 0.0:
        return penalty
    return largest * np.sum((size / largest) ** p) ** (1.0 / p) + penalty


def dual_norm(z, p, weights=None):
    """The norm of the dual ball: at most one for a feasible z."""
    w = np.ones(len(z)) if weights is None else np.asarray(weights, float)
    z, w = np.abs(z[w > 0]), w[w > 0]
    if p == 1:
        return (z / w).max()
    if p == np.inf:
        return (z / w).sum()
    q, largest = p / (p - 1.0), max((z / w).max(), 1e-300)
    return largest * np.sum(w * (z / w / largest) ** q) ** (1.0 / q)


def assert_certified(A, b, result, p=1, tau=None, weights=None, l1=0.0, rtol=1e-8):
    """Recompute value, feasibility of the dual, lower bound and gap from x and dual alone."""
    A = np.asarray(A.todense()) if hasattr(A, "todense") else np.asarray(A, float)
    b = np.asarray(b, float)
    x, z = result.x, result.dual
    value = objective(A, b, x, p, tau, weights, l1)
    size = np.abs(b) + np.abs(A) @ np.abs(x)
    rounding = 1e-13 * objective(np.zeros_like(A), size, x, p, None, weights)
    assert np.isfinite(x).all()
    assert np.isfinite(z).all()
    assert abs(result.value - value) <= 1e-13 * value + rounding
    free = np.maximum(np.abs(A.T @ z) - np.broadcast_to(l1, x.shape), 0.0)
    units = np.maximum(np.abs(A).max(axis=0), 1e-300)  # columns may be tiny or huge
    lengths = units * np.linalg.norm(A / units, axis=0)
    assert (free <= 1e-13 * lengths * np.linalg.norm(z)).all()
    if tau is not None:
        w = np.ones(len(b)) if weights is None else np.asarray(weights, float)
        assert (z <= tau * w * (1 + 1e-14)).all()
        assert (z >= (tau - 1.0) * w * (1 + 1e-14)).all()
    else:
        assert dual_norm(z, p, weights) <= 1 + 1e-12
    bound = float(b @ z)
    assert abs(result.lower_bound - bound) <= 1e-12 * np.abs(b) @ np.abs(z) + rounding
    assert result.gap >= -1e-14 * value
    assert abs((result.value - result.lower_bound) - result.gap) <= 1e-14 * value
    assert result.converged
    assert value - bound <= rtol * value + 1e-12 * np.abs(b) @ np.abs(z) + rounding


def highs_quantile(A, b, tau, weights=None):
    """The smallest weighted sum of pinball losses, from the boxed dual."""
    w = np.ones(len(b)) if weights is None else np.asarray(weights, float)
    found = linprog(
        -b,
        A_eq=np.asarray(A, float).T,
        b_eq=np.zeros(A.shape[1]),
        bounds=np.c_[w * (tau - 1.0), w * tau],
        method="highs-ds",
    )
    return -found.fun


def highs_penalized(A, b, tau, l1):
    """The same with a penalty: |A'z|_j <= l1_j in place of equality."""
    A = np.asarray(A, float)
    bound = np.broadcast_to(l1, A.shape[1])
    found = linprog(
        -b,
        A_ub=np.vstack([A.T, -A.T]),
        b_ub=np.append(bound, bound),
        bounds=(tau - 1.0, tau),
        method="highs-ds",
    )
    return -found.fun


def highs_minimax(A, b, weights=None):
    """The smallest largest residual."""
    w = np.ones(len(b)) if weights is None else np.asarray(weights, float)
    A, b = w[:, None] * np.asarray(A, float), w * b
    ones = np.ones((len(b), 1))
    found = linprog(
        np.append(np.zeros(A.shape[1]), 1.0),
        A_ub=np.vstack([np.hstack([-A, -ones]), np.hstack([A, -ones])]),
        b_ub=np.append(-b, b),
        bounds=[(None, None)] * A.shape[1] + [(0, None)],
        method="highs-ds",
    )
    return found.fun
