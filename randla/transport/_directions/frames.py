"""Frames of two orthonormal vectors, which span a random plane: independent, several planes of one
rotation, quasi-random.

A design of frames has the attributes of a design of `Directions`, and the same blocks.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from randla._random import normal_rows
from randla._typing import Array
from randla._validation import as_choice
from randla.transport._directions.designs import (
    N_BLOCKS,
    Directions,
    GivenDirections,
    affordable,
    as_given,
)


class Frames:
    """A design of n frames of Haar's distribution, each a function of the key and its number.

    Attributes
    ----------
    kind : str
        "iid", "orthogonal" or "rqmc".
    block : int
        Frames to a block: blocks are independent.
    n : int
        Number of frames, a multiple of `block`.
    """

    def __init__(self, kind: Any, dim: int, n: int, key: np.uint64) -> None:
        self.dim, self._key = dim, key
        per_rotation = max(min(dim // 2, n // N_BLOCKS), 1)  # planes of one rotation
        self.kind: Literal["iid", "orthogonal", "rqmc", "array"] = kind
        if kind == "orthogonal" and per_rotation == 1:
            self.kind = "iid"
        self._points = None
        self.block, self.n = 1, n
        if self.kind == "orthogonal":
            self.block, self.n = per_rotation, -(-n // per_rotation) * per_rotation
        elif self.kind == "rqmc":  # normals of planes in space, else points that become frames
            self._points = Directions("rqmc", 3 if dim == 3 else 2 * dim, n, key)
            self.block, self.n = self._points.block, self._points.n

    def rows(self, first: int, last: int) -> Array:
        """Frames first..last - 1, (last - first, d, 2)."""
        if self.kind == "orthogonal":
            return self._rotations(first, last)
        if self._points is None:
            G = normal_rows(self._key, first, last, 2 * self.dim)
        else:
            G = self._points.rows(first, last)
            if self.dim == 3:
                return _planes_at_right_angles(G)
        return _orthonormal(G.reshape(-1, self.dim, 2))

    def _rotations(self, first: int, last: int) -> Array:
        """Columns 2k and 2k + 1 of Haar-distributed orthonormal columns: QR of normals (of which
        the signs do not matter to a plane).
        """
        s, d = self.block, self.dim
        start, stop = first // s, -(-last // s)
        G = normal_rows(self._key, start * 2 * s, stop * 2 * s, d).reshape(-1, 2 * s, d)
        Q = np.linalg.qr(G.transpose(0, 2, 1))[0]  # (d, 2 s) for each block
        U = Q.reshape(-1, d, s, 2).transpose(0, 2, 1, 3).reshape(-1, d, 2)
        return U[first - start * s : last - start * s]


def _orthonormal(G: Array) -> Array:
    """Gram and Schmidt for two columns: normals become frames of Haar's distribution."""
    first, second = G[:, :, 0], G[:, :, 1]
    first = first / np.linalg.norm(first, axis=1)[:, None]
    for _ in range(2):  # twice is enough
        second = second - np.einsum("ld,ld->l", first, second)[:, None] * first
    second = second / np.linalg.norm(second, axis=1)[:, None]
    return np.stack([first, second], axis=2)


def _planes_at_right_angles(w: Array) -> Array:
    """Frames (L, 3, 2) of the planes at right angles to unit vectors (L, 3): the first two columns
    of the reflection that takes e_3 to w, or to -w, whichever is farther.
    """
    v = w.copy()
    v[:, 2] += np.where(w[:, 2] < 0.0, -1.0, 1.0)
    scale = 2.0 / np.einsum("ld,ld->l", v, v)
    return np.eye(3)[:, :2] - v[:, :, None] * (scale[:, None] * v[:, :2])[:, None, :]


def the_circle() -> GivenDirections:
    """The one frame in the plane, up to rotations."""
    return GivenDirections(np.eye(2)[None])


def as_frames(directions: ArrayLike, dim: int, n: int | None) -> GivenDirections:
    """Validate an array (L, d, 2) of orthonormal columns; `n` is the value of `n_projections`."""
    U = as_given(directions, (dim, 2), "two orthonormal columns each", n)
    off = np.abs(np.einsum("lda,ldb->lab", U, U) - np.eye(2)).max(axis=(1, 2))
    if off.max() > 1e-6:
        raise ValueError(
            "directions must have orthonormal columns within 1e-6, "
            f"got directions[{off.argmax()}], which is off by {off.max():.3g}"
        )
    return GivenDirections(U)


def choose_frames(directions: str, dim: int, n: int, key: np.uint64) -> Frames | GivenDirections:
    """The requested design: "auto" is quasi-random in space from 64 frames on, else independent."""
    kind = as_choice(directions, "directions", ("iid", "orthogonal", "rqmc", "auto"))
    if dim == 2:
        return the_circle()
    if n < 2:
        raise ValueError(f"n_projections must be at least 2 for a standard error, got {n}")
    chosen = kind
    if kind == "auto":
        chosen = "rqmc" if dim == 3 and n >= 8 * N_BLOCKS else "iid"
    return Frames(affordable(chosen, kind, dim, n, vectors=2), dim, n, key)
