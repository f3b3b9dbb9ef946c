"""Matrices whose singular values are hard to bracket, in sizes that LAPACK knows the truth of."""

import numpy as np

KINDS = (
    "gauss", "cluster", "tie", "graded", "low rank", "constant", "huge entry", "zero", "diagonal",
    "orthogonal", "offset", "copies", "integers", "sparse", "tight", "hilbert", "rounded",
)  # fmt: skip
SCALES = (0, 0, 0, 0, -200, 200, -100, 150)


def orthonormal(rng, m, n):
    return np.linalg.qr(rng.standard_normal((m, n)))[0]


def rotated(rng, m, n, s):
    """A matrix with singular values s and uniform vectors."""
    return (orthonormal(rng, m, n) * s) @ orthonormal(rng, n, n).T


def draw(rng, largest=80, kind=None):
    """(kind, matrix, rank)."""
    m = int(rng.integers(1, largest + 1))
    n = int(rng.integers(1, m + 1))
    k = int(rng.integers(1, n + 1))
    kind = str(rng.choice(KINDS)) if kind is None else kind
    A = _matrix(rng, kind, m, n, k) * 10.0 ** rng.choice(SCALES)
    if rng.random() < 0.15 and np.abs(A).max() < 1e30:
        A = A.astype(np.float32)
    return kind, (A.T if rng.random() < 0.4 else A), k


def _matrix(rng, kind, m, n, k):
    j, A = np.arange(n), rng.standard_normal((m, n))
    spectra = {
        "cluster": np.repeat(rng.random(5), n // 5 + 1)[:n],
        "graded": 10.0 ** -(j * rng.choice([0.1, 0.5, 1, 3, 8])),
        "zero": rng.random(n) * (j < k - 1),
        "tight": np.where(j < n // 2, 1.0 + 1e-10 * rng.random(n), 0.5 + 1e-12 * rng.random(n)),
        "rounded": 0.8**j,
    }
    if kind == "tie":
        spectra["tie"] = np.sort(rng.random(n))[::-1]
        spectra["tie"][max(k - 2, 0) : k + 3] = spectra["tie"][k - 1]
    if kind in spectra:
        A = rotated(rng, m, n, spectra[kind])
        return np.round(A, 2) if kind == "rounded" else A
    if kind == "low rank":
        r = int(rng.integers(1, n + 1))
        return A[:, :r] @ rng.standard_normal((r, n)) * 10.0 ** rng.integers(-3, 3)
    if kind == "constant":
        return np.full((m, n), rng.choice([0.1, 0.3, 1 / 3, 1e-5]))
    if kind == "huge entry":
        A[rng.integers(m), rng.integers(n)] = 10.0 ** rng.integers(2, 17)
    elif kind == "diagonal":
        A = np.zeros((m, n))
        A[j, j] = (rng.random(n), 10.0**-j, np.ones(n))[rng.integers(3)]
    elif kind == "orthogonal":
        A = orthonormal(rng, m, n) * rng.random()
    elif kind == "offset":
        A += 10.0 ** rng.integers(0, 9)
    elif kind == "copies":
        A = np.repeat(A[:1], m, 0) if rng.random() < 0.5 else np.repeat(A[:, :1], n, 1)
    elif kind == "integers":
        A = np.rint(A)
    elif kind == "sparse":
        A *= rng.random((m, n)) < 0.1
    elif kind == "hilbert":
        A = 1.0 / (np.arange(m)[:, None] + j + 1.0)
    return A


def exact(A, center):
    """(power of two, A over it and centered, its singular values), in double precision."""
    D = np.asarray(A, float)
    exponent = int(np.frexp(np.abs(D).max())[1])
    D = np.ldexp(D, -exponent)
    if center:
        D = D - D[0]  # exact for equal rows
        D = D - D.mean(axis=0)
    return exponent, D, np.linalg.svd(D, compute_uv=False)


def faults(result, A, center):
    """What is wrong with a result of `svd`, as words."""
    exponent, D, true = exact(A, center)
    k, found = result.s.size, []
    s, lower, upper = (np.ldexp(x, -exponent) for x in (result.s, result.s_lower, result.s_upper))
    if not ((lower <= true[:k]) & (true[:k] <= upper)).all():
        found.append(f"bracket, by {max((lower - true[:k]).max(), (true[:k] - upper).max())}")
    if not ((lower <= s) & (s <= upper)).all():
        found.append("value outside of its own bracket")
    for V in (result.U, result.Vt.T):
        if np.abs(V.T @ V - np.eye(k)).max() > 1e-12:
            found.append("vectors not orthonormal")
    error, direct = (
        np.ldexp(result.error, -exponent),
        np.linalg.norm(D - (result.U * s) @ result.Vt),
    )
    floor = 1e-7 * s[0] + (1e-13 * np.linalg.norm(np.ldexp(A, -exponent)) if center else 0.0)
    if result.error_kind == "exact" and direct > floor and abs(error - direct) > 1e-3 * direct:
        found.append(f"error {error}, not {direct}")
    tall = A.shape[0] >= A.shape[1]
    E = D.T @ result.U - result.Vt.T * s if tall else D @ result.Vt.T - result.U * s
    residuals, direct = np.ldexp(result.residuals, -exponent), np.linalg.norm(E, axis=0)
    slack = 1e-11 * s[0] * np.maximum(s[0] / np.maximum(s, 1e-7 * s[0] + 1e-300), 1.0) + 1e-13
    if (np.abs(residuals - direct) > 1e-2 * direct + slack).any():
        found.append(f"residuals {residuals}, not {direct}")
    largest = np.abs(result.Vt).argmax(axis=1)
    if not (result.Vt[np.arange(k), largest] > 0.0).all():
        found.append("signs")
    return found
