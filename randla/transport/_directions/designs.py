"""Directions on the unit sphere: independent, orthogonal frames, randomized quasi-random points.

A design is a sequence of *blocks*. Directions of one block may depend on each other, each of them
is uniform on the sphere, and blocks are independent: so the spread over blocks gives a valid error
for any of the designs.
"""

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from randla._random import counter_hash, generator_from_key, normal_rows
from randla._results import RandlaWarning, warn_caller
from randla._typing import Array
from randla._validation import as_array, as_choice

Kind = Literal["iid", "orthogonal", "rqmc", "array"]

N_BLOCKS = 8  # least number of blocks for a standard error
_SOBOL_NUMBERS = 1 << 20  # coordinates that are drawn at a time
_SOBOL_DIMENSIONS = 21201  # of SciPy's table
_GOLDEN = 0.5 * (1.0 + math.sqrt(5.0))


class FewProjectionsWarning(RandlaWarning):
    """The requested control variate, design or tolerance needs more projections.

    Issued by `sliced_wasserstein` and the functions with its options `directions` and
    `control_variate`; the message says what was used instead.
    """


def child_key(key: np.uint64, k: int) -> np.uint64:
    """The k-th key derived from a key."""
    return np.uint64(counter_hash(key, k))


class Directions:
    """A design of n directions in R^d, each a function of the key and its number.

    Attributes
    ----------
    kind : str
        "iid", "orthogonal", "rqmc" or "array".
    block : int
        Number of directions in a block.
    n : int
        Number of directions, a multiple of `block`.
    """

    def __init__(self, kind: Kind, dim: int, n: int, key: np.uint64) -> None:
        self.kind, self.dim, self._asked, self._key = kind, dim, n, key
        self.block = _block_size(kind, dim, n)
        if self.block == 1 and kind == "orthogonal":
            self.kind = "iid"  # too few for a frame of two in each of eight blocks
        self.n = -(-n // self.block) * self.block if kind != "rqmc" else N_BLOCKS * self.block

    def rows(self, first: int, last: int) -> Array:
        """Directions first..last - 1, (last - first, d)."""
        if self.kind == "iid":
            return _normalized(normal_rows(self._key, first, last, self.dim))
        start, stop = first // self.block, -(-last // self.block)
        if self.kind == "orthogonal":
            theta = self._frames(start, stop, self.block).reshape(-1, self.dim)  # s of each block
        else:
            theta = self._randomized(start, stop)
        return theta[first - start * self.block : last - start * self.block]

    def renewed(self, key: np.uint64) -> "Directions":
        """The same design with different random numbers."""
        return Directions(self.kind, self.dim, self._asked, key)

    def _frames(self, start: int, stop: int, s: int) -> Array:
        """(stop - start, s, d): s orthonormal rows with Haar's distribution for each block: QR of
        normals, signs by the diagonal of R.
        """
        d = self.dim
        G = normal_rows(self._key, start * s, stop * s, d).reshape(stop - start, s, d)
        Q, R = np.linalg.qr(G.transpose(0, 2, 1))  # (d, s), orthonormal columns
        signs = np.where(np.diagonal(R, axis1=1, axis2=2) < 0, -1.0, 1.0)
        return (Q * signs[:, None, :]).transpose(0, 2, 1)

    def _randomized(self, start: int, stop: int) -> Array:
        """Quasi-random sets, each randomized separately; on half a sphere, as costs are even."""
        n, d = self.block, self.dim
        if d == 2:  # equal angles on half a circle, one random shift
            x, y = normal_rows(self._key, start, stop, 2).T
            shift = np.arctan2(y, x) / (2.0 * math.pi)  # uniform on a circle
            angle = ((np.arange(n) + shift[:, None]) * (math.pi / n)).ravel()  # steps of pi / n
            return np.column_stack([np.cos(angle), np.sin(angle)])
        if d == 3:  # Fibonacci points on half a sphere, one random rotation
            height = (np.arange(n) + 0.5) / n  # uniform on [0, 1]: half a sphere (Archimedes)
            angle = 2.0 * math.pi * np.arange(n) / _GOLDEN  # the golden angle
            radius = np.sqrt(1.0 - height**2)
            points = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
            return (points @ self._frames(start, stop, 3)).reshape(-1, 3)
        keys = (child_key(self._key, k) for k in range(start, stop))
        normals = [_sobol_normals(d, n, generator_from_key(key)) for key in keys]
        return _normalized(np.concatenate(normals))


class GivenDirections:
    """Directions (L, d) or frames (L, d, 2) given by the user; they have no distribution, hence no
    standard error.
    """

    kind: Kind = "array"

    def __init__(self, theta: Array) -> None:
        self._theta = theta
        self.n, self.dim, self.block = *theta.shape[:2], 1

    def rows(self, first: int, last: int) -> Array:
        """Directions first..last - 1."""
        return self._theta[first:last]

    def renewed(self, key: np.uint64) -> "GivenDirections":
        """The same directions: they are not random."""
        return self


def on_the_line() -> GivenDirections:
    """The one direction in one dimension."""
    return GivenDirections(np.ones((1, 1)))


def _block_size(kind: str, dim: int, n: int) -> int:
    if kind == "orthogonal":
        return max(min(dim, n // N_BLOCKS), 1)
    if kind == "rqmc":
        size = -(-n // N_BLOCKS)  # eight randomizations of one set
        return size if dim <= 3 else 1 << (size - 1).bit_length()  # Sobol: powers of two
    return 1


def _sobol_normals(d: int, n: int, rng: np.random.Generator) -> Array:
    """Scrambled Sobol points through the normal quantile (n, d); n a power of two."""
    from inspect import signature

    from scipy.special import ndtri
    from scipy.stats.qmc import Sobol

    name = "rng" if "rng" in signature(Sobol).parameters else "seed"  # "rng" since SciPy 1.15
    points = Sobol(d, scramble=True, **{name: rng})
    piece = min(n, 1 << max((_SOBOL_NUMBERS // d).bit_length() - 1, 0))
    normals = np.empty((n, d))
    for first in range(0, n, piece):  # so that Ctrl-C takes effect
        uniform = np.clip(points.random(piece), 2.0**-32, 1.0 - 2.0**-32)  # finite quantiles
        ndtri(uniform, out=normals[first : first + piece])
    return normals


def _normalized(G: Array) -> Array:
    """Rows divided by their length; a row of zeros, of probability zero, becomes e_1."""
    length = np.sqrt(np.einsum("ld,ld->l", G, G))  # normals over their length are uniform
    G[length == 0.0, 0] = 1.0
    length[length == 0.0] = 1.0
    G /= length[:, None]
    return G


def as_given(directions: ArrayLike, shape: tuple[int, ...], note: str, n: int | None) -> Array:
    """Validate an array (L, *shape); `n` is the value of `n_projections`, if given."""
    theta = as_array(directions, "directions").astype(np.float64)  # a copy, kept by results
    if theta.shape[1:] != shape or not len(theta):
        asked = str(("L", *shape)).replace("'", "")
        raise ValueError(f"directions must have shape {asked}, {note}, got shape {theta.shape}")
    if n not in (None, len(theta)):
        raise ValueError(
            f"n_projections must be left out or {len(theta)}, the number of directions given, "
            f"got {n}"
        )
    return theta


def as_directions(directions: ArrayLike, dim: int, n: int | None) -> GivenDirections:
    """Validate an array of unit rows (L, d); `n` is the value of `n_projections`, if given."""
    theta = as_given(directions, (dim,), "one unit vector a row", n)
    lengths = np.sqrt(np.einsum("ld,ld->l", theta, theta))
    worst = lengths[np.abs(lengths - 1.0).argmax()]
    if abs(worst - 1.0) > 1e-6:
        raise ValueError(
            f"directions must have rows of length 1 within 1e-6, got a row of length {worst:.9g}"
        )
    return GivenDirections(theta)


Design: TypeAlias = Directions | GivenDirections


def choose_design(
    kind: str, dim: int, n: int, key: np.uint64, *, auto: Literal["iid", "orthogonal"] = "iid"
) -> Directions:
    """The requested design: for "auto" randomized points in the plane and in space, else `auto`.

    With too few directions for blocks: independent ones, and a warning if blocks were requested.
    """
    chosen: Any = kind
    if kind == "auto":
        chosen = "rqmc" if dim == 2 or (dim == 3 and n >= 8 * N_BLOCKS) else auto
    return Directions(affordable(chosen, kind, dim, n), dim, n, key)


def affordable(chosen: Any, kind: str, dim: int, n: int, vectors: int = 1) -> Any:
    """The kind chosen for the requested `kind`, of n directions or frames of some vectors; "iid" if
    these are too few for blocks.
    """
    if chosen != "iid" and n < 2 * N_BLOCKS:
        if kind != "auto":
            message = f"directions={kind!r} needs n_projections >= {2 * N_BLOCKS}, got {n}"
            warn_caller(f"{message}: using 'iid'", FewProjectionsWarning)
        return "iid"
    most = _SOBOL_DIMENSIONS // vectors
    if chosen == "rqmc" and dim > most:
        raise ValueError(
            f"directions must be 'iid', 'orthogonal' or 'auto' above {most} dimensions, "
            f"got 'rqmc' for {dim}"
        )
    return chosen


def as_design(
    directions: Any, dim: int, n: int | None, key: np.uint64, default: int = 256
) -> Design:
    """The design of gradients and matrices, for which "auto" means orthogonal frames."""
    if not isinstance(directions, str):
        return as_directions(directions, dim, n)
    kind = as_choice(directions, "directions", ("iid", "orthogonal", "rqmc", "auto"))
    if dim == 1:
        return on_the_line()
    if n is not None and n < 2:
        raise ValueError(f"n_projections must be at least 2 for a standard error, got {n}")
    if n is None:
        n = max(default, min(N_BLOCKS * dim, 1024))
    return choose_design(kind, dim, n, key, auto="orthogonal")
