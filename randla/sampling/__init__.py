"""Rows that matter: leverage scores, Lewis weights, sensitivities, samples, l_p regression."""

from randla.sampling._leverage import leverage_scores
from randla.sampling._rows import RowSample, sample_rows
from randla.sampling._scores import Scores

__all__ = ["RowSample", "Scores", "leverage_scores", "sample_rows"]
