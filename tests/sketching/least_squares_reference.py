"""Oracles of least squares: exact rational solutions, and backward errors in extended precision."""

from fractions import Fraction

import numpy as np


def exact_solution(A, b):
    """The least-squares solution of these very floats: normal equations in exact arithmetic."""
    d = A.shape[1]
    mantissas, exponents = np.frexp(np.column_stack([A, b]))
    integers = (mantissas * 2.0**53).astype(np.int64).astype(object)
    shifts = np.maximum(exponents - exponents.min(), 0).astype(object)
    rows = integers * 2**shifts
    M = [[Fraction(v) for v in row] for row in rows[:, :d].T @ rows]
    for i in range(d):
        for k in range(i + 1, d):
            q = M[k][i] / M[i][i]
            M[k] = [a - q * c for a, c in zip(M[k], M[i], strict=True)]
    x = [Fraction(0)] * d
    for i in reversed(range(d)):
        x[i] = (M[i][d] - sum(M[i][j] * x[j] for j in range(i + 1, d))) / M[i][i]
    return np.array([float(v) for v in x])


def backward_error(A, b, x):
    """Karlson and Walden's estimate with the SVD of A, its columns and b scaled to size 1."""
    used = np.abs(A).max(axis=0) > 0
    A, x = A[:, used], x[used]
    exponents = -np.frexp(np.abs(A).max(axis=0))[1]
    shift = -np.frexp(np.abs(b).max())[1]
    A, b = np.ldexp(A, exponents), np.ldexp(b, shift)
    x = np.ldexp(np.ldexp(x, -exponents), shift)
    _, s, Vt = np.linalg.svd(A, full_matrices=False)
    wide = A.astype(np.longdouble)
    r = b - wide @ x
    g, rr, xx = (wide.T @ r).astype(float), float(r @ r), float(x @ x)
    if rr == 0.0 or not g.any():
        return 0.0
    size = np.linalg.norm((Vt @ g) / np.sqrt(s**2 + rr / xx))
    return min(size, np.sqrt(rr)) / (np.sqrt(xx) * s[0])


def augmented(A, b, weights=None, ridge=0.0):
    """The rows of weighted ridge regression, written out."""
    root = np.ones(len(A)) if weights is None else np.sqrt(weights)
    below = np.sqrt(ridge) * np.eye(A.shape[1])
    zeros = np.zeros((A.shape[1], *b.shape[1:]))
    scale = root.reshape(-1, *[1] * (b.ndim - 1))
    return np.vstack([root[:, None] * A, below]), np.concatenate([scale * b, zeros])


def sketched_regression(SA, Sb, population):
    """Solution, standard errors, residual estimate from the sketched data, by the formulas."""
    m, d = SA.shape
    x = np.linalg.lstsq(SA, Sb)[0]
    rho2 = ((Sb - SA @ x) ** 2).sum(axis=0)
    C = np.linalg.inv(SA.T @ SA).diagonal()
    if population is None:
        return x, np.sqrt(np.multiply.outer(C, rho2 / (m - d))), np.sqrt(m * rho2 / (m - d))
    N = population
    r2 = rho2 * m * (N - d) / (N * (m - d))
    factor = N * (N - m) / (m * (N - d) * (N - d - 1))
    return x, np.sqrt(np.multiply.outer(C, factor * r2)), np.sqrt(r2)
