"""Tuning of the chains in their burn-in, by counted iterations and never by the clock."""

import time
from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.smoothing._particles.checks import PIECE_SECONDS

LEARN_EVERY = 100  # iterations of the burn-in
_PSEUDO_DRAWS = 10  # weight of the shape that was known before


class Pilot(NamedTuple):
    """Center and shape of the posterior on the line, as estimated by a first run."""

    mean: Array  # (m,)
    shape: Array  # (m, m)


def learned(line: Array, before: Array) -> Pilot:
    """Center and shape of a stretch of a chain (n, m), with a little of the shape from before.

    So the shape is regular even if the chain has hardly moved.
    """
    n = len(line)
    centered = line - line.mean(axis=0)
    shape = (centered.T @ centered + _PSEUDO_DRAWS * before) / (n + _PSEUDO_DRAWS)
    return Pilot(line.mean(axis=0), shape)


class Schedule(NamedTuple):
    """The length of the chains and which draws are kept."""

    n_iterations: int
    burn_in: int
    thin: int  # kept draws from one kept path to the next


class Sampler(Protocol):
    """The interface of a chain for `run`."""

    @property
    def z(self) -> Array:
        """The current point, on the line."""

    @property
    def theta(self) -> Array:
        """All parameters there."""

    def iterate(self, k: int, adapt: bool) -> Iterator[int]:
        """Make iteration k >= 0; yields inside long work."""

    def learn(self, pilot: Pilot) -> None:
        """Take over a new center and shape."""

    def retune(self, line: Array) -> Iterator[int]:
        """Choose again what depends on the position of the chain, by a stretch of it (n, m)."""

    def start_counting(self) -> None:
        """Reset the counts of the burn-in."""

    def path(self) -> Array | None:
        """The present path (T, d), if there is one."""


class Chain(NamedTuple):
    """The result of a chain."""

    draws: Array  # (n_kept, f)
    last_states: Array | None  # (n_kept, d)
    paths: Array | None  # (n_paths, T, d)
    acceptance: float
    collapsed_acceptance: float | None = None
    update_rate: Array | None = None  # (T,), fraction of sweeps in which the path changed
    n_particles: int = 0
    period: int = 0


def run(
    sampler: Sampler, schedule: Schedule, free: NDArray[np.intp], shape: Array
) -> Generator[int, None, tuple[Array, Array | None, Array | None]]:
    """Run a chain, in pieces. Returns the first three fields of its `Chain`."""
    n_iterations, burn_in, thin = schedule
    n_kept, last = n_iterations - burn_in, time.perf_counter()
    draws, line = np.empty((n_iterations, len(free))), np.empty((n_iterations, len(sampler.z)))
    states, paths = [], []
    for k in range(n_iterations):
        if k == burn_in:
            sampler.start_counting()
        for _ in sampler.iterate(k, k < burn_in):
            yield k
        draws[k], line[k] = sampler.theta[free], sampler.z
        done = k + 1
        if done < burn_in and done % LEARN_EVERY == 0:
            sampler.learn(learned(line[done // 2 : done], shape))
        if done == burn_in // 2:  # a quarter of the default length
            for _ in sampler.retune(line[done // 2 : done]):
                yield k
        path = sampler.path() if k >= burn_in else None
        if path is not None:
            states.append(path[-1].copy())
            if (k - burn_in) % thin == 0:
                paths.append(path.copy())
        if time.perf_counter() - last > PIECE_SECONDS and done < n_iterations:
            yield done
            last = time.perf_counter()
    kept = [np.array(part) if part else None for part in (states, paths)]
    return draws[n_iterations - n_kept :], kept[0], kept[1]
