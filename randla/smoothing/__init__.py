"""Particle filters and smoothers for state-space models.

A model is a few small functions (`StateSpaceModel`) or a ready one; the algorithms compile them
into their loops. Smoothed expectations of sums over time come from `ppg`, the particle Gibbs
sampler with PaRIS statistics, whose bias falls geometrically in the number of sweeps, from
`paris` and from `ffbs`.
"""

from randla.smoothing._backward import ffbs
from randla.smoothing._exact import (
    HMMSmootherResult,
    KalmanSmootherResult,
    hmm_smoother,
    kalman_smoother,
)
from randla.smoothing._filter import FilterResult, particle_filter
from randla.smoothing._functional import AdditiveFunctional
from randla.smoothing._linear_gaussian import LinearGaussian
from randla.smoothing._maximum_likelihood import (
    MaximumLikelihoodResult,
    MaximumLikelihoodWarning,
    maximum_likelihood,
)
from randla.smoothing._model import StateSpaceModel
from randla.smoothing._paris import paris
from randla.smoothing._particle_gibbs import particle_gibbs, ppg
from randla.smoothing._problem import DegenerateSmoothingWarning
from randla.smoothing._ready_models import ChaoticRNN, DiscreteHMM, StochasticVolatility
from randla.smoothing._smoothing_result import BiasWarning, BurnInWarning, SmoothingResult

__all__ = [
    "AdditiveFunctional",
    "BiasWarning",
    "BurnInWarning",
    "ChaoticRNN",
    "DegenerateSmoothingWarning",
    "DiscreteHMM",
    "FilterResult",
    "HMMSmootherResult",
    "KalmanSmootherResult",
    "LinearGaussian",
    "MaximumLikelihoodResult",
    "MaximumLikelihoodWarning",
    "SmoothingResult",
    "StateSpaceModel",
    "StochasticVolatility",
    "ffbs",
    "hmm_smoother",
    "kalman_smoother",
    "maximum_likelihood",
    "paris",
    "particle_filter",
    "particle_gibbs",
    "ppg",
]
