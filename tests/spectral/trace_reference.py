"""Trace and diagonal estimators from their definitions, one basis at a time."""

import numpy as np


def orthonormal(Y):
    return np.linalg.qr(Y)[0] if Y.shape[1] else Y


def xtrace_term(A, X, basis, i):
    """``tr(Q'AQ) + r'Ar``, with r what Q misses of vector i, at its expected length."""
    Q = orthonormal(A @ X[:, basis])
    r = X[:, i] - Q @ (Q.T @ X[:, i])
    r *= np.sqrt((len(A) - len(basis)) / (r @ r))
    return np.trace(Q.T @ A @ Q) + r @ A @ r


def xnystrace_term(A, X, basis, i, shift):
    """The trace of a Nystroem approximation, and the form in its residual of vector i."""
    n, rest = len(A), X[:, basis]
    S = A + shift * np.eye(n)
    C = np.linalg.cholesky(rest.T @ S @ rest) if basis else np.zeros((0, 0))
    B = np.linalg.solve(C, rest.T @ S).T  # the approximation is BB'
    Q = orthonormal(rest)
    r = X[:, i] - Q @ (Q.T @ X[:, i])
    form = X[:, i] @ S @ X[:, i] - ((B.T @ X[:, i]) ** 2).sum()
    return (B**2).sum() - shift * n + (n - len(basis)) / (r @ r) * form


def xdiag_term(A, X, basis, i):
    """``diag(Q Q'A) + x * (I - QQ')Ax``."""
    Q, y = orthonormal(A @ X[:, basis]), A @ X[:, i]
    return np.einsum("ij,ij->i", Q, A.T @ Q) + X[:, i] * (y - Q @ (Q.T @ y))


def leave_out(term, m):
    """Terms with one left out, (m, ...), and jackknife replicates with one left out altogether."""
    every = range(m)
    left_out = [term([k for k in every if k != i], i) for i in every]
    jackknife = [
        np.mean([term([k for k in every if k not in (i, j)], i) for i in every if i != j], axis=0)
        for j in every
    ]
    return np.array(left_out), np.array(jackknife)


def jackknife_error(jackknife):
    m = len(jackknife)
    return np.sqrt((m - 1) / m * ((jackknife - jackknife.mean(axis=0)) ** 2).sum(axis=0))


def rotated(eigenvalues, seed=0):
    """A symmetric matrix with random eigenvectors."""
    n = len(eigenvalues)
    U = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    return (U * eigenvalues) @ U.T
