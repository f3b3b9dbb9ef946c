"""Makers of data that tests of several files share; hard instances are in `randla.datasets`."""

import numpy as np
from scipy.special import ndtri


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def deficient(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, 6))
    if kind == "duplicates":
        return np.hstack([B, B[:, :2], B[:, :1]]), 6
    if kind == "sums":
        return np.hstack([B, B @ rng.standard_normal((6, 3))]), 6
    if kind == "product":
        return B[:, :4] @ rng.standard_normal((4, 9)), 4
    if kind == "zeros":
        return np.hstack([np.zeros((n, 1)), B, np.zeros((n, 2))]), 6
    if kind == "one-hot":
        A = np.eye(7)[rng.integers(7, size=n)]
        return np.hstack([A, np.ones((n, 1))]), 7
    if kind == "centered one-hot":
        A = np.eye(7)[rng.integers(7, size=n)]
        return A - A.mean(axis=0), 6
    if kind == "scaled":
        return np.hstack([B, B @ rng.standard_normal((6, 2))]) * 10.0 ** np.arange(-4, 4), 6
    return np.outer(rng.standard_normal(n), rng.standard_normal(8)), 1


def dependent(kind, n, decades, rng):
    """Small integers times powers of two: columns that depend on one another exactly."""
    span = int(decades * np.log2(10.0))
    if kind == "planes":  # of one scale each
        base = rng.integers(-9, 10, (n, 4, 2))
        A = np.concatenate([base, base.sum(axis=2, keepdims=True)], axis=2).reshape(n, 12)
        exponents = np.repeat(np.linspace(0, -span, 4).astype(int), 3)
    elif kind == "copies":
        A = np.tile(rng.integers(-9, 10, (n, 4)), (1, 3))
        exponents = rng.integers(-span, 1, 12)
    elif kind == "mixtures":  # of columns of any scale
        base = rng.integers(-9, 10, (n, 6))
        A = np.hstack([base, base @ rng.integers(-3, 4, (6, 5))])
        exponents = rng.integers(-span, 1, 11)
    else:  # "sums", of columns of neighboring scales
        base = rng.integers(-9, 10, (n, 5))
        A = np.hstack([base, base[:, :4] + base[:, 1:]])
        exponents = np.sort(rng.integers(-span, 1, 9))[::-1]
    A, exponents = A[:, A.any(axis=0)], exponents[A.any(axis=0)]
    order = rng.permutation(len(exponents))
    return np.ldexp(A.astype(float), exponents)[:, order]


def growing_spread(rng, n=100, law=np.random.Generator.lognormal):
    """Errors of scale 0.3 + x, and the coefficients of a quantile: far rows decide the slope."""
    x = law(rng, size=n)
    A = np.column_stack([np.ones(n), x, rng.standard_normal(n)])
    b = A.sum(axis=1) + (0.3 + x) * rng.standard_normal(n)
    return A, b, lambda tau: 1.0 + ndtri(tau) * np.array([0.3, 1.0, 0.0])


def ten_columns(rng, n=100):
    """Ten columns, with an indicator of ten rows that have 1.8 times the standard deviation."""
    Z = rng.standard_normal((n, 4)) @ np.linalg.cholesky(0.5 * np.eye(4) + 0.5).T
    A = np.column_stack([np.ones(n), Z, rng.random((n, 4)) < [0.5, 0.4, 0.3, 0.2], np.zeros(n)])
    A[rng.permutation(n)[:10], 9] = 1.0
    sd = np.array([1.0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0.8])
    b = A.sum(axis=1) + (A @ sd) * rng.standard_normal(n)
    return A, b, lambda tau: 1.0 + ndtri(tau) * sd
