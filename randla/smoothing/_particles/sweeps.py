"""Chains of PaRIS sweeps, the engine of `paris` and `ppg`."""

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import numpy as np

from randla._random import new_stream
from randla._typing import Array
from randla.smoothing._kernels.particles.sweep import sweep_template
from randla.smoothing._particles.checks import (
    PIECE_SECONDS,
    NoSurvivorsError,
    pieces,
    raise_for_status,
)
from randla.smoothing._particles.filter_run import use_proposal
from randla.smoothing._particles.problem import SmoothingProblem
from randla.smoothing._particles.records import (
    BackwardDraws,
    ParticleRun,
    Span,
    Sums,
    SweepResults,
)

#: Unconditional starts that a chain tries: one with survival probability 5% fails by chance
#: with probability 0.006.
_MOST_STARTS = 100


class GibbsChain(ParticleRun):
    """Work space and state of one chain of sweeps.

    The chain starts with an unconditional sweep; each further sweep is conditional on the path
    drawn by the previous one. Without `trace` no path is drawn and the memory is O(N).
    """

    def __init__(
        self, problem: SmoothingProblem, key: np.uint64, chain: int, *, trace: bool
    ) -> None:
        functional, n_times, n = problem.functional, len(problem.y), problem.n_particles
        rows = n_times if trace else min(2, n_times)  # a path is traced through all times
        super().__init__(problem.model, n_times, n, (rows, 2, 1))
        self.problem, self.trace = problem, trace
        compiled, kind = problem.model._compiled, problem.backward
        *_, propagate = compiled.feynman_kac(guided=use_proposal(problem.model, "auto"))
        update = compiled.update(None if problem.n_backward is None else kind, functional)
        self.kernel = compiled.kernel(
            sweep_template, propagate, functional.initial, update, functional=functional
        )
        self.rng = new_stream(key, chain)
        self.path = np.empty((n_times, *self.state_shape))
        self.traced_indices = np.empty((rows if trace else 1, n), np.int32)
        draws = np.empty((problem.n_backward or 1, n), np.int32)  # at least one for the path
        self.backward = BackwardDraws(draws, np.empty((3, n)), problem.limit)
        at_once = problem.n_backward is None and not functional._costly
        self.sums = Sums(
            functional._buffer(),
            np.empty((n if at_once else 0, functional.n_out)),
            np.empty((2, n, functional.n_out)),
        )
        self.changed = np.zeros(n_times, np.int64)
        self.started = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the work space: the state is the stream and the path."""
        state = {"rng": self.rng, "path": self.path, "started": self.started}
        return partial(GibbsChain, trace=self.trace), (self.problem, np.uint64(0), 0), state

    def sweeps(
        self, estimates: Array, paths: Array, theta: Array | None = None
    ) -> Generator[int, None, None]:
        """Fill `estimates` (k, p) and `paths` (k, T[, d]) by k sweeps, in pieces of about 0.2 s.

        Yields the number of sweeps done after each piece.
        """
        n_times, seconds, done = len(self.problem.y), self.problem.seconds(), 0
        while done < len(estimates):
            most = len(estimates) - done if self.started else 1  # the start by itself
            n = min(most, int(PIECE_SECONDS / seconds))  # whole sweeps in a piece; 0: less than one
            rows = slice(done, done + max(n, 1))
            started = time.perf_counter()
            first_piece = n_times if n > 0 else int(n_times * PIECE_SECONDS / seconds)
            for begin, end in pieces(n_times, first_piece):
                self.kernel(
                    self.rng, self.problem.series(theta),
                    Span(begin, end, max(n, 1), self.started, self.trace), self.path,
                    self.particles, self.weights, self.backward, self.traced_indices, self.sums,
                    self.track, SweepResults(estimates[rows], paths[rows], self.changed),
                )  # fmt: skip
                raise_for_status(self.track.info, states=self.particles.states)
                self.started |= end == n_times  # there is a path
                if end < n_times:
                    yield done
            seconds = max((time.perf_counter() - started) / max(n, 1), 1e-6)  # of one sweep, timed
            done += max(n, 1)
            if done < len(estimates):
                yield done


def surviving_start(
    chain: Any, draw: Callable[[], Generator[int, None, None]]
) -> Generator[int, None, int]:
    """Run ``draw()``, the unconditional start of a chain, until particles survive it.

    Each attempt has its own stream, derived from the start of the first one and not from where that
    stopped: pieces of work are cut by the clock. Returns the number of attempts.
    """
    key = chain.rng[0]  # the first word of the stream, before it is drawn from
    for attempt in range(1, _MOST_STARTS + 1):
        try:
            yield from draw()
            break
        except NoSurvivorsError:
            if attempt == _MOST_STARTS or getattr(chain, "started", False):
                raise
            chain.rng = new_stream(key, attempt)
    return attempt
