"""The spectral norm of what a subspace leaves, between a certain and a nearly certain end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from randla._typing import Array
from randla.spectral._krylov.range import BlockKrylov
from randla.spectral._krylov.reach import reach

#: Random starts that go on together.
_STARTS = 4


def complement_norm(
    matrix: Any,
    V: Array,
    failure_probability: float,
    rng: np.random.Generator,
    steps: int | tuple[int, ...] = 40,
    enough: Callable[[float, float], bool] | None = None,
) -> tuple[float, float, Array]:
    """Ends of the square of ``|A(I - VV')|_2``, and the vectors that attain the lower one.

    `V` has orthonormal columns (none: of A itself). Block Lanczos has several random starts; the
    upper end is `reach`. It is looked at after each of several `steps`, until `enough` of
    (lower, upper) holds.
    """
    n = matrix.shape[1] - V.shape[1]
    if n <= 0:
        return 0.0, 0.0, np.empty((matrix.shape[1], 0))
    looks = (steps,) if isinstance(steps, int) else steps
    starts = min(_STARTS, n)
    space = BlockKrylov(matrix.gram_times, matrix.shape[1], starts, starts * looks[-1], rng, V)
    taken, lower, upper = 0, 0.0, math.inf
    for look in looks:
        while taken < look and not (taken and (space.is_full or space.is_invariant)):
            space.step()
            taken += 1
        space.solve()
        lower, last = max(float(space.mu[0]), 0.0), space.is_full or space.is_invariant
        upper = lower + space.dropped if space.is_full else min(upper, reach(
            space.mu, space.S, space.coupling, starts=starts, n=n,
            failure_probability=failure_probability, size=space.largest,
            dropped=space.dropped,
        ))  # fmt: skip
        if last or (enough is not None and enough(lower, upper)):
            break
    return lower, upper, space.X @ space.S[:, :starts]
