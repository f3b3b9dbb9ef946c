"""Optimal transport on lines: the sliced Wasserstein distance, with its error."""

from randla.transport._estimation import FewProjectionsWarning, SlicedWassersteinResult
from randla.transport._one_dimensional import wasserstein_1d
from randla.transport._sliced import sliced_wasserstein

__all__ = [
    "FewProjectionsWarning",
    "SlicedWassersteinResult",
    "sliced_wasserstein",
    "wasserstein_1d",
]
