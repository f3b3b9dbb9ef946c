"""Sensitivities estimated from a weighted sample of the rows, and those used to draw rows."""

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import draw_key
from randla._tall.base import TallMatrix
from randla._tall.memory import MemoryMatrix
from randla._typing import Array
from randla.sampling._scores.bounds import (
    LEWIS,
    SensitivityBounds,
    SensitivitySolver,
    sensitivity_bounds,
    whitened_rows,
)
from randla.sampling._scores.draws import draw_poisson
from randla.sampling._scores.leverage import leverage
from randla.sampling._scores.lewis import SAMPLING_ROUNDING
from randla.sampling._scores.lewis_form import solve_form

_SAMPLE_ROWS = 40  # rows a column in the sample behind "sketch"
#: For sampling: operations up to which scores are estimated from a sample, and their tolerance.
_SAMPLING_WORK, _SAMPLING_RTOL = 2e9, 0.3
#: Ratio of bounds up to which their middle is accurate enough for sampling. All rows may have one
#: ratio, such as 4 = d^(1/2) for d = 16, and rounding must not decide about that.
_ROUGH = 4.1
#: Powers above 1 up to which Newton's method magnifies rounding errors: the sample would depend on
#: them.
_UNSTABLE = 1.1


@dataclass(frozen=True)
class RowReference:
    """A weighted sample of the rows, against which others are solved for, and their indices."""

    solver: SensitivitySolver
    sample: NDArray[np.int64]

    @classmethod
    def of(cls, bounds: SensitivityBounds, key: np.uint64) -> "RowReference":
        """About 40 d rows, drawn by their Lewis weights."""
        weights = np.exp(bounds.state.log_weights)
        size = _SAMPLE_ROWS * bounds.state.white.rank
        sample, pi = draw_poisson(bounds.tall, weights, size, key)
        X = whitened_rows(bounds, sample) * pi[:, None] ** (-1.0 / bounds.p)
        return cls(SensitivitySolver(X, bounds.p, bounds.kappa), sample)

    @property
    def nbytes(self) -> int:
        """Size of the sample, for tasks that receive it."""
        return int(self.solver.X.nbytes)

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of rows in the sample, -1 if the sample does not have them."""
        places = np.minimum(np.searchsorted(self.sample, rows), len(self.sample) - 1)
        return np.where(self.sample[places] == rows, places, -1)

    def estimates(
        self, targets: Array, rows: NDArray[np.int64], rtol: float, progress: bool = False
    ) -> tuple[Array, NDArray[np.int64]]:
        """Sensitivities of whitened rows with these indices, and iterations."""
        low, high, iterations = self.solver.solve(
            targets, self.places(rows), rtol, progress=progress
        )
        return 0.5 * (low + high), iterations


def sampling_sensitivities(tall: TallMatrix, p: float, rng: Any, *, rough: bool) -> Any:
    """Sensitivities for sampling, the same for a Dask array (then lazy) as in memory.

    They are estimated from a sample of the rows where that takes about a second; with ``rough``
    only those whose certified bounds differ by a factor above 4. The others are the geometric means
    of their bounds (upper bounds, unless rough).
    """
    if p == 2.0:
        return leverage(copy(tall), rng=rng).values
    state = solve_form(tall, p, *LEWIS, SAMPLING_ROUNDING)
    bounds = sensitivity_bounds(tall, p, state)
    values, is_open = between(bounds.lower, bounds.upper, rough)
    k = int(tall.compute(is_open.sum()))
    if not worth_a_sketch(k, tall.n, state.white.rank, p):
        return values
    reference = RowReference.of(bounds, draw_key(rng))
    T = bounds.state.white.transform
    return tall.map_rows(
        _filled, values, is_open, bounds.lower, bounds.upper, T=T, reference=reference
    )


def _filled(
    block: MemoryMatrix, values: Array, is_open: Any, low: Array, high: Array, *, T: Array,
    reference: RowReference,
) -> Array:  # fmt: skip
    """The values of a block, with estimates where they are undecided."""
    rows, values = np.flatnonzero(is_open), np.array(values)
    if len(rows):
        targets = block.take(rows).times(T)
        estimates, _ = reference.estimates(targets, block.first + rows, _SAMPLING_RTOL)
        values[rows] = np.clip(estimates, low[rows], high[rows])
    return values


def between(low: Array, high: Array, rough: bool) -> tuple[Array, NDArray[np.bool_]]:
    """Scores between their bounds, and which rows' bounds are too far apart for sampling."""
    if not rough:
        return high.copy(), high > 0.0
    return np.sqrt(low) * np.sqrt(high), high > _ROUGH * low


def worth_a_sketch(k: int, n: int, rank: int, p: float) -> bool:
    """Whether k of n rows should be solved for sampling."""
    work = k * min(_SAMPLE_ROWS * rank, n) * (rank**2 + 20.0)
    return 0.0 < work <= _SAMPLING_WORK and not 1.0 < p < _UNSTABLE
