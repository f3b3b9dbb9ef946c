"""Exact answers for small matrices of doubles, in rational arithmetic.

Polyhedral problems are solved by looking at all vertices; roots and powers come from Newton's
method on rationals that are rounded to 300 bits.
"""

from fractions import Fraction
from itertools import combinations

import numpy as np

_BITS = 300


def exact(values):
    """Doubles as rationals, in nested lists."""
    return [exact(v) for v in values] if np.ndim(values) else Fraction(float(values))


def rounded(x):
    """A rational with 300 significant bits."""
    if x == 0:
        return x
    shift = _BITS - (x.numerator.bit_length() - x.denominator.bit_length())
    return Fraction(round(x * Fraction(2) ** shift)) / Fraction(2) ** shift


def root(x):
    """The square root, to 300 bits."""
    if x == 0:
        return x
    y = Fraction(2) ** ((x.numerator.bit_length() - x.denominator.bit_length()) // 2)
    for _ in range(12):
        y = rounded((y + x / y) / 2)
    return y


def dot(x, y):
    return sum((a * b for a, b in zip(x, y, strict=True)), Fraction(0))


def reduced(M):
    """Reduced row echelon form, and the pivot columns."""
    M, pivots, row = [list(r) for r in M], [], 0
    for j in range(len(M[0]) if M else 0):
        at = next((i for i in range(row, len(M)) if M[i][j] != 0), None)
        if at is None:
            continue
        M[row], M[at] = M[at], M[row]
        M[row] = [x / M[row][j] for x in M[row]]
        for i in range(len(M)):
            if i != row and M[i][j] != 0:
                M[i] = [x - M[i][j] * y for x, y in zip(M[i], M[row], strict=True)]
        pivots.append(j)
        row += 1
    return M, pivots


def solved(M, b):
    """The x of a square system M x = b; None if M is singular."""
    d = len(M)
    R, pivots = reduced([[*r, v] for r, v in zip(M, b, strict=True)])
    return [R[i][d] for i in range(d)] if pivots == list(range(d)) else None


def basis(A):
    """A without the columns that depend on others."""
    _, pivots = reduced(A)
    return [[row[j] for j in pivots] for row in A]


def gram(A, weights):
    d = len(A[0])
    return [[sum(w * a[i] * a[j] for w, a in zip(weights, A, strict=True)) for j in range(d)]
            for i in range(d)]  # fmt: skip


def forms(A, weights):
    """``a' (A' W A)^-1 a`` of all rows, for independent columns."""
    G, d = gram(A, weights), len(A[0])
    columns = [solved(G, [Fraction(int(i == j)) for i in range(d)]) for j in range(d)]
    return [dot(a, [dot(c, a) for c in columns]) for a in A]


def lewis(A, p):
    """Lewis weights for p = 1, 3 or 4, by the plain iteration, damped."""
    live = [any(a) for a in A]
    w = [Fraction(1)] * len(A)
    power = {1: lambda w: 1 / w, 3: lambda w: cube_root(w), 4: lambda w: root(w)}[p]  # 1 - 2/p
    for _ in range(70 if p == 1 else 45):
        g = forms(A, [rounded(power(x)) for x in w])
        if p == 1:  # w = g^(1/2)
            new = [root(rounded(x)) for x in g]
        elif p == 3:  # w = g^(3/2), damped by eta = 2p/(p + 2) = 6/5: w (g / w^(2/3))^(6/5)
            new = [x * fifth_root(rounded(y / rounded(cube_root(x * x)))) ** 6
                   if y else x for x, y in zip(w, g, strict=True)]  # fmt: skip
        else:  # eta = 4/3
            new = [x * cube_root(rounded(y / rounded(root(x)))) ** 4 if y else x
                   for x, y in zip(w, g, strict=True)]  # fmt: skip
        w = [rounded(x) if a else Fraction(1) for x, a in zip(new, live, strict=True)]
    return [x if a else Fraction(0) for x, a in zip(w, live, strict=True)]


def cube_root(x):
    return _root_of(x, 3)


def fifth_root(x):
    return _root_of(x, 5)


def _root_of(x, k):
    y = Fraction(float(x) ** (1.0 / k)) if 1e-290 < x < 1e290 else Fraction(1)
    for _ in range(6 if 1e-290 < x < 1e290 else 1000):
        y = rounded(((k - 1) * y + x / y ** (k - 1)) / k)
    return y


def least_one(A, b, tau=None):
    """min |A x - b|_1, or of the pinball losses, over all vertices (independent columns)."""
    d, best = len(A[0]), None
    up = Fraction(1) if tau is None else Fraction(tau)
    down = Fraction(1) if tau is None else 1 - Fraction(tau)
    for rows in combinations(range(len(A)), d):
        x = solved([A[i] for i in rows], [b[i] for i in rows])
        if x is not None:
            r = [v - dot(a, x) for a, v in zip(A, b, strict=True)]
            loss = sum((up * v if v > 0 else -down * v for v in r), Fraction(0))
            best = loss if best is None else min(best, loss)
    return best


def least_max(A, b):
    """min |A x - b|_inf: the largest of d + 1 rows, of which each has a closed form."""
    d, best = len(A[0]), Fraction(0)
    for k in range(1, min(d + 1, len(A)) + 1):
        for rows in combinations(range(len(A)), k):
            R, pivots = reduced([[A[i][j] for i in rows] for j in range(d)])
            if len(pivots) != k - 1:
                continue
            free = next(j for j in range(k) if j not in pivots)
            z = [Fraction(0)] * k
            z[free] = Fraction(1)
            for i, j in enumerate(pivots):
                z[j] = -R[i][free]
            best = max(best, abs(dot(z, [b[i] for i in rows])) / sum(abs(v) for v in z))
    return best


def least_power(A, b, p):
    """min sum |A x - b|^p for p = 2, or (by damped Newton steps) p = 4; an upper bound."""
    ones = [Fraction(1)] * len(A)
    d = len(A[0])

    def newton(weights, r):
        g = [sum((w * v * a[j] for w, v, a in zip(weights, r, A, strict=True)), Fraction(0))
             for j in range(d)]  # fmt: skip
        return solved(gram(A, weights), g)

    def residuals(x):
        return [rounded(v - dot(a, x)) for a, v in zip(A, b, strict=True)]

    x = newton(ones, b)
    r = residuals(x)
    value = sum(v**p for v in r)
    for _ in range(0 if p == 2 else 60):
        floor = max(v * v for v in r) / 10**24
        step = newton([max(v * v, floor) for v in r], r)
        if step is None or value == 0:
            break
        for share in (Fraction(1), *(Fraction(1, 3**k) for k in range(1, 12))):
            trial = [rounded(u + share * v) for u, v in zip(x, step, strict=True)]
            r_trial = residuals(trial)
            new = sum(v**p for v in r_trial)
            if new < value:
                break
        else:
            break
        done = (value - new) < value / 2**120
        x, r, value = trial, r_trial, new
        if done:
            break
    return value


def sensitivity(A, i, p):
    """The exact score for p = 1 or inf; for p = 4 a lower bound that Newton's method sharpens."""
    others = [a for k, a in enumerate(A) if k != i]
    if not any(A[i]):
        return Fraction(0)
    pivot = next(j for j, v in enumerate(A[i]) if v != 0)  # x_pivot from a_i'x = 1
    keep = [j for j in range(len(A[i])) if j != pivot]
    reduced_rows = [[a[j] - a[pivot] * A[i][j] / A[i][pivot] for j in keep] for a in others]
    rhs = [-a[pivot] / A[i][pivot] for a in others]
    if not keep:
        if p == np.inf:
            return 1 / max([Fraction(1), *(abs(v) for v in rhs)])
        return 1 / (1 + sum((abs(v) ** p for v in rhs), Fraction(0)))
    if len(basis(reduced_rows)[0]) if others else 0:
        M = basis(reduced_rows)
        if p == 1:
            return 1 / (1 + least_one(M, rhs))
        if p == np.inf:
            return 1 / max(Fraction(1), least_max(M, rhs))
        return 1 / (1 + least_power(M, rhs, p))
    if p == np.inf:
        return 1 / max([Fraction(1), *(abs(v) for v in rhs)])
    return 1 / (1 + sum((abs(v) ** p for v in rhs), Fraction(0)))


def hostile(rng, n=None, d=None):
    """A small matrix: rows of leverage one, collinear, huge rows, square, duplicated."""
    d = int(rng.integers(1, 4)) if d is None else d
    n = int(rng.integers(d, 9)) if n is None else n
    A = rng.standard_normal((n, d))
    for kind in rng.permutation(7)[: rng.integers(1, 4)]:
        if kind == 0 and n > 1:  # a column that one row has alone
            j = rng.integers(d)
            A[:, j] = 0.0
            A[rng.integers(n), j] = 10.0 ** rng.integers(-6, 7)
        elif kind == 1 and d > 1:
            j, k = rng.permutation(d)[:2]
            A[:, j] = A[:, k] + 10.0 ** rng.uniform(-12, -5) * rng.standard_normal(len(A))
        elif kind == 2:
            A[rng.integers(n)] *= 2.0 ** rng.integers(7, 40)
        elif kind == 3:
            A = A[:d] if n >= d else A
        elif kind == 4:
            A = A[rng.integers(len(A), size=len(A))]
        elif kind == 5 and d > 1:
            A[:, rng.integers(d)] = A[:, rng.integers(d)]
        elif kind == 6:
            A = A * 2.0 ** rng.integers(-13, 14, d)
        n = len(A)
    if rng.random() < 0.1:
        A = np.vander(rng.random(n), d) if rng.random() < 0.5 else np.rint(4 * A) / 4
    return A
