"""Extreme eigenvalues of what a subspace leaves, between certain and nearly certain ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from randla._typing import Array
from randla.spectral._krylov.block_krylov import BlockKrylov
from randla.spectral._krylov.lanczos_bound import lanczos_bound

#: Random directions from which block Lanczos starts.
BLOCK = 4


def residual_bounds(
    product: Callable[[Array], Array],
    n: int,
    V: Array | None,
    *,
    signs: tuple[float, ...] = (1.0,),
    failure_probability: float,
    rng: np.random.Generator,
    steps: Iterable[int],
    is_narrow: Callable[[Array, Array], bool],
    unit: float = 2.0**-53,
    size: float = 0.0,
    asymmetry: float = 0.0,
) -> tuple[Array, Array, BlockKrylov]:
    """Ends of the largest eigenvalue of ``sign P M P`` for each sign, and the Krylov space of them.

    M (n, n) is symmetric up to a norm of `asymmetry`, of the norm `size` or less, and its products
    have the unit roundoff `unit`; P = I - VV' for fewer than n orthonormal columns (None: none).
    Inner ends are Ritz values; outer ends are those of `lanczos_bound`, which fail with
    `failure_probability` in all, but where the space is full. They are computed after each of these
    numbers of `steps`, until they are narrow.
    """
    block, steps = min(BLOCK, n), tuple(steps)
    space = BlockKrylov(product, n, block, block * steps[-1], rng, V)
    n, block = space.dimension, space.next_columns
    inner, outer = np.zeros(len(signs)), np.full(len(signs), np.inf)
    n_steps = 0
    for wanted in steps:
        while n_steps < wanted and not (n_steps and (space.is_full or space.is_invariant)):
            space.step()
            n_steps += 1
        space.solve()
        missing = space.deflated + asymmetry
        for j, sign in enumerate(signs):
            order = slice(None, None, int(sign))  # the largest first
            theta, S, C = sign * space.mu[order], space.S[:, order], space.coupling[:, order]
            inner[j] = theta[0]
            outer[j] = theta[0] + missing if space.is_full else min(outer[j], lanczos_bound(
                theta, S, C, block=block, n=n, deflated=missing,
                size=max(size, space.largest) * unit / 2.0**-53,
                failure_probability=failure_probability / len(signs),
            ))  # fmt: skip
        if space.is_full or space.is_invariant or is_narrow(inner, outer):
            break
    return inner, outer, space


def residual_norm(
    matrix: Any,
    V: Array | None,
    failure_probability: float,
    rng: np.random.Generator,
    steps: Iterable[int],
    is_narrow: Callable[[float, float], bool],
) -> tuple[float, float, BlockKrylov]:
    """Ends of the square of ``|A(I - VV')|_2``, and the space whose first vectors attain the lower.

    `V` None: of A itself.
    """
    inner, outer, space = residual_bounds(
        matrix.gram_times, matrix.shape[1], V, failure_probability=failure_probability, rng=rng,
        unit=matrix.unit, steps=steps,
        is_narrow=lambda low, high: is_narrow(float(low[0]), float(high[0])),
    )  # fmt: skip
    return max(float(inner[0]) - space.deflated, 0.0), float(outer[0]), space


def checkpoints(first: int, most: int) -> list[int]:
    """Numbers of steps up to `most`, a quarter apart: the small matrix costs more and more."""
    steps, step = [], first
    while step < most:
        steps.append(step)
        step += max(step // 4, 1)
    return [*steps, most]
