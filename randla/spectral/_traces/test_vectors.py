"""Random test vectors of length sqrt(n), each a function of (key, index) and nothing else.

``E x x' = I`` in both laws, so that ``x'Ax`` has the mean tr A. The variance on the sphere is never
above that of normals; signs see nothing of the diagonal (Hutchinson, 1990), and are exact for a
diagonal matrix.
"""

from collections.abc import Callable, Iterator

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._random import hashes, normal_rows, random_signs
from randla._tall.operator import BLOCK_COLUMNS
from randla._typing import Array
from randla.spectral._matrix.square import SquareMatrix

#: Entries of a part of the work, some milliseconds.
_PART = 1 << 20


def sphere_vectors(key: np.uint64, first: int, last: int, n: int) -> Array:
    """Uniform on the sphere of radius sqrt(n): vectors first..last as columns, (n, k)."""

    def draw(i: int, j: int) -> Array:
        rows = normal_rows(key, i, j, n)
        rows *= np.sqrt(n / np.einsum("ij,ij->i", rows, rows))[:, None]
        return rows

    return _columns(draw, first, last, n)


def sign_vectors(key: np.uint64, first: int, last: int, n: int) -> Array:
    """Independent signs: vectors first..last as columns, (n, k)."""
    keys = hashes(key, last)  # a stream of bits for each vector
    return _columns(lambda i, j: np.stack([random_signs(k, n) for k in keys[i:j]]), first, last, n)


def products_by_blocks(
    matrix: SquareMatrix, draw: Callable[[int], Array], count: int
) -> Iterator[tuple[Array, Array]]:
    """The next vectors X and A X, some at a time: all that a plain mean has to hold."""
    for first in range(0, count, BLOCK_COLUMNS):
        X = draw(min(BLOCK_COLUMNS, count - first))
        yield X, matrix.times(X)


def _columns(draw: Callable[[int, int], Array], first: int, last: int, n: int) -> Array:
    """The vectors as columns, which lie one after the other in memory."""
    count = last - first
    n_parts = min(count * n // _PART, count)
    if n_parts < 2:  # `draw` may use the threads itself
        return draw(first, last).T if count else np.empty((n, 0))
    out = np.empty((count, n))
    bounds = part_bounds(count, n_parts)

    def fill(part: int) -> None:
        i, j = bounds[part]
        out[i:j] = draw(first + i, first + j)

    run_parts(fill, n_parts)
    return out.T
