"""What chains learn in their burn-in, by counted iterations and never by the clock."""

from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from randla._typing import Array

LEARN_EVERY = 100  # iterations of the burn-in
_PSEUDO_DRAWS = 10  # weight of the shape that was known before


class Pilot(NamedTuple):
    """Centre and shape of the posterior on the line, as a first run saw them."""

    mean: Array  # (m,)
    shape: Array  # (m, m)


class Sampler(Protocol):
    """A chain: what `run` asks of it."""

    z: Array
    theta: Array

    def iterate(self, k: int, adapt: bool) -> Iterator[int]:
        """Make iteration k >= 0, in pieces."""

    def learn(self, pilot: Pilot) -> None:
        """Take over a new centre and shape."""

    def retune(self, mean: Array) -> Iterator[int]:
        """Choose once more what is chosen by the centre, in pieces."""


def run(
    sampler: Any, n_iterations: int, burn_in: int, free: Any, pilot: Pilot
) -> Generator[int, None, tuple[Array, Array]]:
    """Run a chain. Returns parameters (n_iterations, f) and their places on the line."""
    draws, line = np.empty((n_iterations, len(free))), np.empty((n_iterations, len(sampler.z)))
    for k in range(n_iterations):
        for _ in sampler.iterate(k, k < burn_in):
            yield k
        draws[k], line[k] = sampler.theta[free], sampler.z
        if k + 1 < burn_in and (k + 1) % LEARN_EVERY == 0:
            sampler.learn(learned(line[(k + 1) // 2 : k + 1], pilot.shape))
        if k + 1 == burn_in // 2:
            for _ in sampler.retune(line[(k + 1) // 2 : k + 1].mean(axis=0)):
                yield k
        if k + 1 == burn_in:
            sampler.start_counting()
    return draws, line


def learned(line: Array, before: Array) -> Pilot:
    """Centre and shape of a stretch of a chain, with a little of the shape from before.

    So the shape is regular also where the chain has hardly moved.
    """
    n = len(line)
    centred = line - line.mean(axis=0)
    shape = (centred.T @ centred + _PSEUDO_DRAWS * before) / (n + _PSEUDO_DRAWS)
    return Pilot(line.mean(axis=0), shape)
