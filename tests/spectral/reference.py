"""Symmetric matrices whose eigenvalues are hard to bracket, and their eigenvalues by LAPACK."""

import numpy as np

SYMMETRIC = (
    "two signs", "decay", "ones", "ties", "zero", "constant", "identity", "diagonal", "rank two",
    "gauss", "graded", "huge entry", "path",
)  # fmt: skip


def rotated(rng, values):
    Q = np.linalg.qr(rng.standard_normal((len(values),) * 2))[0]
    A = (Q * values) @ Q.T
    return 0.5 * (A + A.T)


def symmetric(rng, kind, n):
    """An n x n matrix of this kind."""
    j, signs = np.arange(1, n + 1), rng.choice([-1.0, 1.0], n)
    spectra = {
        "two signs": signs / j,
        "decay": 0.8**j,
        "ones": np.where(j <= 3, 1.0, 0.5),
        "ties": np.repeat(rng.standard_normal(n // 3 + 1), 3)[:n],
        "rank two": np.where(j == 1, 2.0, np.where(j == 2, -1.0, 0.0)),
        "graded": signs * 10.0 ** (-j / 2.0),
    }
    if kind in spectra:
        return rotated(rng, spectra[kind])
    G = rng.standard_normal((n, n))
    if kind == "huge entry":
        G[n // 2, n // 3] = 1e10
    plain = {
        "zero": np.zeros((n, n)),
        "constant": np.full((n, n), 0.1),
        "identity": 3.0 * np.eye(n),
        "diagonal": np.diag(rng.standard_normal(n)),
        "path": 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1),
    }
    return plain.get(kind, 0.5 * (G + G.T))


def eigenvalues(A, values, which):
    """Of A, those that the brackets of `values` speak of; and the largest magnitude."""
    size = max(float(np.abs(A).max()), 1e-300)
    exact = np.linalg.eigvalsh(A / size) * size
    from_top = values >= 0.0 if which == "magnitude" else np.full(len(values), which == "largest")
    out = np.empty(len(values))
    out[from_top] = exact[::-1][: from_top.sum()]
    out[~from_top] = exact[: (~from_top).sum()]
    return out, float(np.abs(exact).max())
