"""Optimal transport on lines: the sliced Wasserstein distance, with its error."""

from randla.transport._descent import SlicedWassersteinFlow
from randla.transport._directions.designs import FewProjectionsWarning
from randla.transport._flow import (
    sliced_wasserstein_barycenter,
    sliced_wasserstein_flow,
)
from randla.transport._gradient import SlicedWassersteinGradient, sliced_wasserstein_gradient
from randla.transport._matrix import SlicedWassersteinMatrix, sliced_wasserstein_matrix
from randla.transport._max_sliced import MaxSlicedWasserstein, max_sliced_wasserstein
from randla.transport._one_dimensional import wasserstein_1d
from randla.transport._plan import ExpectedSlicedPlan, expected_sliced_plan
from randla.transport._population import PopulationWarning
from randla.transport._result import SlicedWassersteinResult
from randla.transport._sliced import sliced_wasserstein
from randla.transport._sphere import sliced_wasserstein_sphere
from randla.transport._two_sample import SlicedWassersteinTestResult, sliced_wasserstein_test

__all__ = [
    "ExpectedSlicedPlan",
    "FewProjectionsWarning",
    "MaxSlicedWasserstein",
    "PopulationWarning",
    "SlicedWassersteinFlow",
    "SlicedWassersteinGradient",
    "SlicedWassersteinMatrix",
    "SlicedWassersteinResult",
    "SlicedWassersteinTestResult",
    "expected_sliced_plan",
    "max_sliced_wasserstein",
    "sliced_wasserstein",
    "sliced_wasserstein_barycenter",
    "sliced_wasserstein_flow",
    "sliced_wasserstein_gradient",
    "sliced_wasserstein_matrix",
    "sliced_wasserstein_sphere",
    "sliced_wasserstein_test",
    "wasserstein_1d",
]
