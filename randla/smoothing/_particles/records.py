"""Records of arrays for the particle kernels, and the one place that allocates them.

Shapes: T times, N particles of d components (no last axis if the model is scalar), M backward
draws, p components of the functional. An array of R rows has time t in row t modulo R: R = T keeps
the history, R = 2 the last two times.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._typing import Array
from randla.smoothing._kernels.particles import resample
from randla.smoothing._model.state_space import StateSpaceModel

IntArray = NDArray[np.int32]


class Particles(NamedTuple):
    """The clouds, each array with its own number of rows."""

    states: Array  # (R, N) or (R, N, d)
    log_weights: Array  # (R, N), before resampling
    ancestors: IntArray  # (R, N), particles of time t - 1 from which those of t were drawn


class Weights(NamedTuple):
    """The weights of the last cloud, in the forms that draws from it need."""

    normalized: Array  # (N,), sum to one
    cumulative: Array  # (N,), their partial sums, the last one inf
    guide: IntArray  # (2 N,), guide table of `guided_draw`
    spacings: Array  # (N,), work space of sorted draws


class Moments(NamedTuple):
    """Filtered moments, component by component."""

    mean: Array  # (T, d), d = 1 for a scalar model
    variance: Array  # (T, d)


class Track(NamedTuple):
    """What a filter records at each time, and its status."""

    ess: Array  # (T,), effective sample sizes
    levels: Array  # (T,), log sum exp(log_weights)
    totals: Array  # (T,), the ends of the cumulative weights: one, up to rounding
    increments: Array  # (T,), of the log-likelihood
    info: NDArray[np.int64]  # (3,): code, time, count (see `status`)


class Genealogy(NamedTuple):
    """Families of particles at the last R times; see `_kernels.particles.genealogy`."""

    ends: IntArray  # (R, N), of the families of a generation
    sizes: NDArray[np.int64]  # (R,), how many families it has
    generations: NDArray[np.int64]  # (R,), of the last times
    order: IntArray  # (N,), particles by families; empty if resampling leaves them in order
    places: IntArray  # its inverse
    offspring: IntArray  # (N + 1,), work space
    sums: Array  # (N + 1, 2), work space
    squares: Array  # (R,), q of each generation
    runs: Array  # (R,), what is summed of `variances`
    variances: Array  # (R,), of log Zhat by lag
    mean_variance: Array  # (T, d), of the filtered means; time t in row t modulo T

    @classmethod
    def of(cls, n: int, n_rows: int, scheme: int, moments: Moments) -> "Genealogy":
        """Work space for `n_rows` times; with 0 of them none is kept."""
        n_sorted = n if scheme in (resample.MULTINOMIAL, resample.RESIDUAL) else 0
        order, places, offspring = (np.empty(k, np.int32) for k in (n_sorted, n_sorted, n + 1))
        sizes, generations = (np.empty(n_rows, np.int64) for _ in range(2))
        squares, runs, variances = (np.empty(n_rows) for _ in range(3))
        return cls(
            np.empty((n_rows, n), np.int32), sizes, generations, order, places, offspring,
            np.empty((n + 1, 2)), squares, runs, variances, np.empty_like(moments.mean),
        )  # fmt: skip


class BackwardDraws(NamedTuple):
    """Backward draws for n particles or paths."""

    indices: IntArray  # (M, n)
    work: Array  # (2, N) or (3, n), by the back-end
    limit: int  # proposals of "reject" before an exact draw


class Sums(NamedTuple):
    """The statistics of a sweep."""

    increment: Array  # (p,) and scratch space behind it: one value of the functional
    values: Array  # (N, p) where all are wanted at once, else (0, p)
    statistics: Array  # (2, N, p)


class Span(NamedTuple):
    """The part of a sweep, or the number of whole sweeps, that one kernel call runs."""

    begin: int
    end: int
    n_sweeps: int
    conditional: bool  # on a path
    trace: bool  # and draw the next path


class SweepResults(NamedTuple):
    """The results of k sweeps."""

    estimates: Array  # (k, p)
    paths: Array  # (k, T) or (k, T, d)
    changed: NDArray[np.int64]  # (T,), sweeps in which the path changed


class PathEnds(NamedTuple):
    """The current ends of n paths that are drawn backward in time."""

    end_log_weights: Array  # (n,)
    end_ancestors: IntArray  # (n,)
    indices: IntArray  # (n,)


class ParticleRun:
    """Work space of a filter or a chain of sweeps; `rows` are those of the `Particles`."""

    def __init__(
        self, model: StateSpaceModel, n_times: int, n: int, rows: tuple[int, int, int]
    ) -> None:
        self.state_shape = () if model.dim is None else (model.dim,)
        self.particles = Particles(
            np.empty((rows[0], n, *self.state_shape)),
            np.empty((rows[1], n)),
            np.empty((rows[2], n), np.int32),
        )
        self.weights = Weights(np.empty(n), np.empty(n), np.empty(2 * n, np.int32), np.empty(n))
        ess, levels, totals, increments = (np.empty(n_times) for _ in range(4))
        self.track = Track(ess, levels, totals, increments, np.zeros(3, np.int64))

    def log_likelihood(self) -> float:
        """Logarithm of the estimated likelihood of the times that were run."""
        return float(self.track.increments.cumsum()[-1])  # in order, as the filter of a stream
