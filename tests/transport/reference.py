"""Naive twins of the kernels, from the definitions."""

import numpy as np


def cost_1d(x, y, a=None, b=None, p=2.0):
    """W_p^p on the line: the integral of |F^{-1} - G^{-1}|^p, level by level."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    a = np.ones(len(x)) if a is None else np.asarray(a, float)
    b = np.ones(len(y)) if b is None else np.asarray(b, float)
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    levels_x, levels_y = np.cumsum(a[i] / a.sum()), np.cumsum(b[j] / b.sum())
    levels = np.sort(np.concatenate([[0.0], levels_x, levels_y]))
    middle = 0.5 * (levels[1:] + levels[:-1])
    u = x[i][np.minimum(np.searchsorted(levels_x, middle), len(x) - 1)]
    v = y[j][np.minimum(np.searchsorted(levels_y, middle), len(y) - 1)]
    return float(np.sum(np.diff(levels) * np.abs(u - v) ** p))


def cost_linear_program(x, y, a, b, p=2.0):
    """The same by the linear program over couplings (HiGHS)."""
    from scipy.optimize import linprog

    n, m = len(x), len(y)
    cost = np.abs(np.subtract.outer(x, y)) ** p
    marginals = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    masses = np.concatenate([a / a.sum(), b / b.sum()])
    return float(linprog(cost.ravel(), A_eq=marginals, b_eq=masses, bounds=(0, None)).fun)


def projected_costs(X, Y, theta, a=None, b=None, p=2.0):
    """f(theta) for each direction."""
    return np.array([cost_1d(X @ t, Y @ t, a, b, p) for t in theta])


def circle(n):
    """Directions at n equal angles on half a circle: an oracle for means in the plane."""
    angle = (np.arange(n) + 0.5) * (np.pi / n)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def clouds(kind, d, n, seed=1):
    """Fixed instances: "gauss" (random covariances and a shift), "mix" (3 against 4 narrow
    clusters), "shapes" (points on a torus and on a box, for d = 3)."""
    rng = np.random.default_rng([seed, d])
    if kind == "gauss":
        G, H = rng.standard_normal((2, d, d)) / np.sqrt(d)
        X = rng.standard_normal((n, d)) @ G
        return X, rng.standard_normal((n, d)) @ H + 0.5 * rng.standard_normal(d)
    if kind == "mix":
        centers = [3 * rng.standard_normal((k, d)) for k in (3, 4)]
        return tuple(
            c[rng.integers(0, len(c), n)] + 0.2 * rng.standard_normal((n, d)) for c in centers
        )
    u, v = 2 * np.pi * rng.random((2, n))
    radius = 1.0 + 0.4 * np.cos(v)
    torus = np.column_stack([radius * np.cos(u), radius * np.sin(u), 0.4 * np.sin(v)])
    box = rng.uniform(-1, 1, (n, 3)) * [1.0, 0.7, 0.5]
    face = rng.integers(0, 3, n)
    box[np.arange(n), face] = np.sign(box[np.arange(n), face]) * np.array([1.0, 0.7, 0.5])[face]
    return torus, box


def unit_vectors(rng, L, d):
    """L random directions (L, d)."""
    theta = rng.standard_normal((L, d))
    return theta / np.linalg.norm(theta, axis=1)[:, None]
