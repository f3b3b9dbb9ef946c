"""The spectral norm of what a subspace leaves, between a certain and a nearly certain end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from randla._typing import Array
from randla.spectral._range import BlockKrylov

#: Random starts that go on together: k of them fail with the k-th power of one's probability.
_STARTS = 4


def complement_norm(
    matrix: Any,
    V: Array,
    failure_probability: float,
    rng: np.random.Generator,
    steps: int | tuple[int, ...] = 40,
    enough: Callable[[float, float], bool] | None = None,
) -> tuple[float, float, Array]:
    r"""Ends of the square of ``|A(I - VV')|_2``, and the vectors that attain the lower one.

    `V` has orthonormal columns (none: of A itself). Lanczos with a random start in dimension n has
    a Ritz value below :math:`(1-\varepsilon)\lambda_1` after l steps with probability at most
    :math:`1.648 \sqrt n \exp(-\sqrt\varepsilon (2l - 1))` (Kuczynski and Wozniakowski, SIAM J.
    Matrix Anal. Appl. 13 (1992), 1094-1122). A block of b independent starts has all their Krylov
    spaces in its own: the power b of that. A look at each of several `steps`, until `enough` of
    (lower, upper) holds, takes its share of the probability. The upper end is inf where
    :math:`\varepsilon > 1/2`.
    """
    n = matrix.shape[1] - V.shape[1]
    if n <= 0:
        return 0.0, 0.0, np.empty((matrix.shape[1], 0))
    looks = (steps,) if isinstance(steps, int) else steps
    starts = min(_STARTS, n)
    space = BlockKrylov(matrix.gram_times, matrix.shape[1], starts, starts * looks[-1], rng, V)
    needed = math.log(1.648 * math.sqrt(n)) - math.log(failure_probability / len(looks)) / starts
    taken, lower, upper = 0, 0.0, 0.0
    for look in looks:
        while taken < look and not (taken and (space.is_full or space.is_invariant)):
            space.step()
            taken += 1
        space.solve()
        lower = max(float(space.mu[0]), 0.0)
        root = needed / (2 * taken - 1)  # of epsilon
        exact = space.is_full or space.is_invariant  # with the starts it has all that they touch
        upper = lower if exact else lower / (1.0 - root**2) if root**2 <= 0.5 else math.inf
        if exact or (enough is not None and enough(lower, upper)):
            break
    return lower, upper, space.X @ space.S[:, :starts]
