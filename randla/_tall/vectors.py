"""Vectors with an entry for each row of a matrix, read in blocks that stay in cache."""

from collections.abc import Callable
from typing import TypeVar

from randla._parallel import part_bounds, run_parts

T = TypeVar("T")

_BLOCK = 16384  # rows whose logarithms and differences stay in the second-level cache


def by_blocks(visit: Callable[[slice], T], n: int) -> list[T]:
    """What `visit` returns for each block of n rows, on several threads."""
    bounds = part_bounds(n, -(-n // _BLOCK))
    return run_parts(lambda k: visit(slice(*bounds[k])), len(bounds), seconds=1e-8 * n, blas=True)
