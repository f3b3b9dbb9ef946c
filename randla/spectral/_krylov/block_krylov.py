"""Orthonormal bases of block Krylov spaces of A'A.

Sources: Musco and Musco, "Randomized block Krylov methods for stronger and faster approximate
singular value decomposition", NeurIPS (2015), arXiv:1504.05477 (block Krylov with a random start);
Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIAM J. Matrix
Anal. Appl. 22 (2000), 602-616 (thick restart).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import qr

from randla._parallel import single_threaded_blas
from randla._typing import Array

#: Directions of a new block below this fraction of the largest product are rounding errors.
_FLOOR = 1e-13


def project_out(W: Array, *bases: Array) -> list[Array]:
    """Subtract from W, in place, its parts in orthonormal bases; their coefficients."""
    coefficients = []
    for X in bases:
        H = X.T @ W
        W -= X @ H
        coefficients.append(H)
    return coefficients


class BlockKrylov:
    """Orthonormal X, (n, size), with ``A'A X = X T + Q (0, C)``, from a random start.

    The next block is orthogonal to all of X by a second projection; what a block lacks in rank is
    filled by random directions, which have a zero row in C. After `restart` X begins with Ritz
    vectors.

    Attributes
    ----------
    size : int
        Columns of X that have been multiplied by A'A.
    mu, S : ndarray
        Ritz values in descending order and their vectors in X, from `solve`.
    coupling : (b, size) ndarray
        Residuals of the Ritz vectors are ``Q @ coupling``, up to rounding and
    deflated : float
        the norm of what blocks had in directions that were taken for rounding errors.
    """

    def __init__(
        self,
        product: Callable[[Array], Array],
        n: int,
        block: int,
        capacity: int,
        rng: np.random.Generator,
        avoid: Array | None = None,
    ) -> None:
        self.product, self.rng, self.block = product, rng, block
        self.avoid = np.empty((n, 0)) if avoid is None else avoid
        self.dimension = n - self.avoid.shape[1]  # of the space in which X lies
        self._X = np.empty((n, min(capacity + block, n)), order="F")
        self._T = np.zeros((self._X.shape[1],) * 2)
        self.size, self.largest, self.deflated = 0, 0.0, 0.0
        self.is_invariant = False  # whether X is, up to rounding
        self._next = self._random_block(min(block, self.dimension))
        self._C = np.zeros((self._next.shape[1], 0))

    @property
    def X(self) -> Array:
        """The basis."""
        return self._X[:, : self.size]

    @property
    def is_full(self) -> bool:
        """Whether X spans the whole space, so that its Ritz values are singular values."""
        return self.next_columns == 0

    @property
    def room(self) -> int:
        """How many columns may be added before a restart."""
        return self._X.shape[1] - self.size

    @property
    def next_columns(self) -> int:
        """Columns of the next block."""
        return self._next.shape[1]

    def grow(self) -> None:
        """Room for twice as many columns."""
        columns = min(2 * self._X.shape[1], self._X.shape[0])
        X, T = np.empty((self._X.shape[0], columns), order="F"), np.zeros((columns, columns))
        X[:, : self.size], T[: self.size, : self.size] = self.X, self._T[: self.size, : self.size]
        self._X, self._T = X, T

    @single_threaded_blas()
    def step(self) -> None:
        """Multiply the next block: one read of A."""
        if self.room < self.next_columns:
            self.grow()
        first, last = self.size, self.size + self.next_columns
        self._X[:, first:last] = self._next
        W = self.product(self._next)
        self.size = last
        self.largest = max(self.largest, float(np.sqrt((W * W).sum(axis=0).max())))
        start = first - self._C.shape[1]  # A'A maps to nothing that came before these
        _, H = project_out(W, self.avoid, self._X[:, start:last])
        self._T[start:last, first:last] = H
        self._T[first:last, start:first] = H[: first - start].T
        self._split(W)

    def _split(self, W: Array) -> None:
        """Next block Q and C with ``W = Q C``, up to rounding."""
        wanted = min(W.shape[1], self.dimension - self.size)
        Q, R = qr(W, mode="economic", check_finite=False)
        P, d, Z = np.linalg.svd(R)
        rank = min(int((d > _FLOOR * self.largest).sum()), wanted)
        self.is_invariant = rank == 0
        # Of different columns, so that squares add up; twice, in rows too, as A'A is symmetric.
        self.deflated = math.hypot(self.deflated, *(2.0 * d[rank : rank + 1]))
        Q, C = Q @ P[:, :rank], d[:rank, None] * Z[:rank]
        for _ in range(3 if rank else 0):
            project_out(Q, self.avoid, self.X)
            Q, R = qr(Q, mode="economic", check_finite=False)
            C = R @ C
            if np.abs(np.diag(R)).min() > 0.5:  # it was nearly orthogonal before, so it is now
                break
        if rank < wanted:
            Q = np.hstack([Q, self._random_block(wanted - rank, Q)])
            C = np.vstack([C, np.zeros((wanted - rank, C.shape[1]))])
        self._next, self._C = Q, C

    def _random_block(self, columns: int, *bases: Array) -> Array:
        """Orthonormal columns of uniform directions in the complement of all that there is."""
        G = self.rng.standard_normal((len(self._X), columns))
        for _ in range(2):
            project_out(G, self.avoid, self.X, *bases)
            G = qr(G, mode="economic", check_finite=False)[0]
        return G

    def solve(self) -> None:
        """Ritz values and vectors, and the residuals of these."""
        T = self._T[: self.size, : self.size]
        mu, S = np.linalg.eigh(0.5 * (T + T.T))
        self.mu, self.S = mu[::-1], S[:, ::-1]
        self.coupling = self._C @ self.S[self.size - self._C.shape[1] :]

    def restart(self, keep: int) -> None:
        """Keep the first Ritz vectors only (after `solve`)."""
        self._X[:, :keep] = self.X @ self.S[:, :keep]
        self._T[:] = 0.0
        self._T[:keep, :keep] = np.diag(self.mu[:keep])
        self._C = self.coupling[:, :keep]
        self.size = keep

    def add(self, directions: Array) -> None:
        """Let the next block have these too (after `restart`, when they were found outside)."""
        G = directions[:, : self.dimension - self.size - self.next_columns].copy()
        for _ in range(2):
            project_out(G, self.avoid, self.X, self._next)
            G = qr(G, mode="economic", check_finite=False)[0] if G.size else G
        self._next = np.hstack([self._next, G])
        self._C = np.vstack([self._C, np.zeros((G.shape[1], self._C.shape[1]))])
