"""The spectral norm of what a subspace leaves, between a certain and a nearly certain end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from randla._typing import Array
from randla.spectral._krylov.range import BlockKrylov
from randla.spectral._krylov.reach import reach

#: Random starts that go on together.
STARTS = 4


def complement_norm(
    matrix: Any,
    V: Array | None,
    failure_probability: float,
    rng: np.random.Generator,
    looks: Iterable[int],
    enough: Callable[[float, float], bool],
) -> tuple[float, float, BlockKrylov]:
    """Ends of the square of ``|A(I - VV')|_2``, and the space whose first vectors attain the lower.

    `V` has fewer than n orthonormal columns (None: none). Block Lanczos has several random starts;
    the upper end is `reach`. It is looked at after each of these numbers of steps, until `enough`
    of (lower, upper) holds, and certain where the space is full.
    """
    looks, n = tuple(looks), matrix.shape[1]
    capacity = min(STARTS, n) * looks[-1]
    space = BlockKrylov(matrix.gram_times, n, min(STARTS, n), capacity, rng, V)
    n, starts = space.dimension, space.next_columns
    taken, lower, upper = 0, 0.0, math.inf
    for look in looks:
        while taken < look and not (taken and (space.is_full or space.is_invariant)):
            space.step()
            taken += 1
        space.solve()
        lower = max(float(space.mu[0]) - space.dropped, 0.0)
        upper = float(space.mu[0]) + space.dropped if space.is_full else min(upper, reach(
            space.mu, space.S, space.coupling, starts=starts, n=n,
            failure_probability=failure_probability, size=space.largest, dropped=space.dropped,
        ))  # fmt: skip
        if space.is_full or space.is_invariant or enough(lower, upper):
            break
    return lower, upper, space
