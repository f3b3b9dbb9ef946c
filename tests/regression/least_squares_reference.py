"""Oracles of least squares: exact rational solutions, and backward errors in extended precision."""

from fractions import Fraction

import numpy as np
from scipy.linalg import qr, solve_triangular

U = 2.0**-53
METHODS = ("auto", "cholesky", "sketch-cholesky", "iterative", "lsqr", "lapack")
STABLE = tuple(m for m in METHODS if m != "cholesky")


def householder(A, b):
    Q, R = qr(A, mode="economic")
    return solve_triangular(R, Q.T @ b)


def integers_of(x):
    """Floats as integers times a power of two: the integers and the exponent."""
    mantissas, exponents = np.frexp(x)
    least = exponents.min(where=mantissas != 0, initial=exponents.max(initial=0))
    shifts = np.maximum(exponents - least, 0).astype(object)
    return (mantissas * 2.0**53).astype(np.int64).astype(object) * 2**shifts, int(least) - 53


def normal_equations(A, b, weights, ridge):
    """``(A'WA + ridge) x = A'Wb`` of very floats, as lists of Fractions, and ``b'Wb``."""
    (M, e), (w, f) = integers_of(np.column_stack([A, b])), integers_of(weights)
    d, unit = A.shape[1], Fraction(2) ** (2 * e + f)
    G = [[unit * v for v in row] for row in (w * M.T) @ M]
    for i in range(d):
        G[i][i] += Fraction(ridge)
    return [row[:d] for row in G[:d]], [row[d] for row in G[:d]], G[d][d]


def exact_solution(A, b):
    """The least-squares solution of these very floats, of full rank."""
    x, _ = solve_exactly(*normal_equations(A, b, np.ones(len(b)), 0.0)[:2])
    return np.array([float(v) for v in x])


def solve_exactly(M, right):
    """Solve a consistent system of Fractions; unknowns that are free become zero, and are told."""
    rows = [[*row, value] for row, value in zip(M, right, strict=True)]
    d, pivots = len(M[0]), []
    for column in range(d):
        k = len(pivots)
        found = next((i for i in range(k, len(rows)) if rows[i][column] != 0), None)
        if found is None:
            continue
        rows[k], rows[found] = rows[found], rows[k]
        rows[k] = [value / rows[k][column] for value in rows[k]]
        for i in range(len(rows)):
            if i != k and (q := rows[i][column]) != 0:
                rows[i] = [a - q * c for a, c in zip(rows[i], rows[k], strict=True)]
        pivots.append(column)
    x = [Fraction(0)] * d
    for k, column in enumerate(pivots):
        x[column] = rows[k][-1]
    return x, [column for column in range(d) if column not in pivots]


def penalized_sum(A, b, weights, ridge, x):
    """``sum w (A x - b)^2 + ridge |x|^2`` in exact arithmetic, of very floats."""
    (M, e), (y, f), (w, g) = (integers_of(v) for v in (np.column_stack([A, b]), x, weights))
    # A x and b as integers of one unit, 2^(e + min(f, 0))
    r = M[:, :-1] @ y * 2 ** max(f, 0) - M[:, -1] * 2 ** max(-f, 0)
    two = Fraction(2)
    return (w @ r**2) * two ** (2 * (e + min(f, 0)) + g) + Fraction(ridge) * (y @ y) * two ** (
        2 * f
    )


def exact_least_sum(A, b, weights, ridge):
    """The least ``sum w (A x - b)^2 + ridge |x|^2``, for matrices of any rank and scales; rank."""
    G, right, squares = normal_equations(A, b, weights, ridge)
    x, free = solve_exactly(G, right)
    return squares - sum(u * v for u, v in zip(right, x, strict=True)), A.shape[1] - len(free)


def exact_shortest(A, b):
    """The least-squares solution of minimum norm of a matrix of any rank and scales."""
    G, right, _ = normal_equations(A, b, np.ones(len(b)), 0.0)
    x, free = solve_exactly(G, right)
    # x + N t with N the solutions of G N = 0, a unit in each free place; shortest where N'x = 0.
    null = []
    for j in free:
        n, _ = solve_exactly(G, [-row[j] for row in G])
        n[j] += 1
        null.append(n)
    product = [[sum(u * v for u, v in zip(n, m, strict=True)) for m in null] for n in null]
    t, _ = solve_exactly(product, [-sum(u * v for u, v in zip(n, x, strict=True)) for n in null])
    return np.array(
        [float(x[i] + sum(v * n[i] for v, n in zip(t, null, strict=True))) for i in range(len(x))]
    )


def columnwise_backward_error(A, b, x, *, digits=200):
    """The formula of the library and the least change in the Frobenius norm, in 200 digits.

    Of A with columns of norm 1. The second one is the theorem of Waldén, Karlson and Sun.
    """
    from mpmath import mp

    with mp.workdps(digits):
        A, b, x = mp.matrix(A.tolist()), mp.matrix(b.tolist()), mp.matrix(x.tolist())
        n, d = A.rows, A.cols
        for j in range(d):
            norm = mp.norm(A[:, j])
            x[j] *= norm
            for i in range(n):
                A[i, j] /= norm
        r = b - A * x
        g = A.T * r
        omega = mp.norm(r) / mp.norm(x, 1)
        shrunk = mp.lu_solve(A.T * A + omega**2 * mp.eye(d), g)
        formula = mp.sqrt((g.T * shrunk)[0]) / mp.norm(x, 1)
        omega = mp.norm(r) / mp.norm(x)
        off_r = mp.eye(n) - r * r.T / mp.norm(r) ** 2
        wide = mp.matrix(n, d + n)
        wide[:, :d], wide[:, d:] = A, omega * off_r
        least = mp.sqrt(min(mp.eigsy(wide * wide.T, eigvals_only=True)))
        return float(formula), float(min(omega, least))


def backward_error(A, b, x):
    """Karlson and Waldén's estimate with the SVD of A, its columns and b scaled to size 1."""
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
