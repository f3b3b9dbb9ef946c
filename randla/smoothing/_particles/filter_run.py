"""The work space of one particle filter, plain or conditional on a path."""

import numpy as np

from randla._typing import Array
from randla._validation import as_choice
from randla.smoothing._kernels.particles import resample
from randla.smoothing._kernels.particles.filter import filter_template
from randla.smoothing._kernels.particles.genealogy import follow
from randla.smoothing._model.series import Series
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._particles.checks import NoSurvivorsError, raise_for_status
from randla.smoothing._particles.records import Genealogy, Moments, ParticleRun

#: Fraction of N above every effective sample size: resample at each step.
ALWAYS = 2.0
#: Numbers in the tables of states that a genealogy is made from, times N d: a part of the cache.
_KEPT_STATES = 1 << 14
_NO_GENEALOGY = Genealogy.of(0, 0, resample.SYSTEMATIC, Moments(*np.empty((2, 0, 0))))


def use_proposal(model: StateSpaceModel, proposal: str) -> bool:
    """Whether to draw from the model's proposal."""
    as_choice(proposal, "proposal", ("auto", "bootstrap", "guided"))
    has_one = model.proposal is not None or model.initial_proposal is not None
    if proposal == "guided" and not has_one:
        raise ValueError("proposal='guided' needs a model with a proposal, got one without")
    return has_one and proposal != "bootstrap"


class FilterRun(ParticleRun):
    """Work space of one filter, advanced piece by piece.

    `n_lags` > 0 keeps the genealogy of that many times before the last one. Without a `series` it
    is the filter of a stream: its tables contain the last two times, and `series` is set before
    each.
    """

    series: Series

    def __init__(
        self,
        model: StateSpaceModel,
        series: Series | None,
        n: int,
        *,
        guided: bool,
        store: bool = False,
        scheme: int = resample.MULTINOMIAL,
        threshold: float = ALWAYS,
        n_lags: int = 0,
    ) -> None:
        n_times = 2 if series is None else len(series.y)
        n_kept = 0  # times after which the genealogy catches up
        if n_lags > 0:
            n_kept = min(_KEPT_STATES // (n * (model.dim or 1)) + 2, n_times)
        rows = n_times if store else min(max(2, n_kept), n_times)
        super().__init__(model, n_times, n, (rows, rows, rows))
        self.weights_of_times = np.empty((n_kept, n))
        self.model, self.guided, self.stored = model, guided, store
        *_, propagate = model._compiled.feynman_kac(guided=guided)
        kind = max(scheme, resample.SYSTEMATIC)  # multinomial or systematic: the same kernel
        self.kernel = model._compiled.kernel(filter_template, propagate, kind)
        self.scheme, self.threshold = scheme, threshold  # resampled where ESS < threshold * N
        if series is not None:
            self.series = series
        self.moments = Moments(*(np.empty((n_times, model.dim or 1)) for _ in range(2)))
        rows = n_lags + 1 if series is None else min(n_lags + 1, n_times)
        self.genealogy = (
            Genealogy.of(n, rows, scheme, self.moments) if n_lags > 0 else _NO_GENEALOGY
        )
        states, _, ancestors = self.particles
        self.rows = states.reshape(*states.shape[:2], -1)
        self._family_tables = (  # what `follow` reads and writes; see `naming_errors` for `tuple`
            ancestors, self.weights_of_times, self.rows,
            self.moments.mean, self.track.ess, tuple(self.genealogy),
        )  # fmt: skip
        self.no_path = np.empty((0, *self.state_shape))  # no rows: not conditional
        self.rng = np.empty(4, np.uint64)
        self.error: NoSurvivorsError | None = None

    def first_piece(self) -> int:
        """Times that take well below a second unless the model is very slow."""
        return max(1, int(1e6 / (self.particles.states[0].size + 1)))  # about 30 ms

    def advance(self, begin: int, end: int, path: Array | None = None) -> None:
        """Run the times begin, ..., end - 1; with `path` conditional on it, in slot 0."""
        n_kept = len(self.weights_of_times)
        for first in range(begin, end, n_kept or end - begin):
            last = min(first + n_kept, end) if n_kept else end
            self.kernel(
                self.rng, self.series, first, last, self.scheme, self.threshold,
                self.no_path if path is None else path, self.particles, self.rows, self.weights,
                self.moments, self.track, self.weights_of_times,
            )  # fmt: skip
            raise_for_status(self.track.info, states=self.particles.states)
            if n_kept:
                follow(first, last, self.scheme, self.threshold, *self._family_tables)
