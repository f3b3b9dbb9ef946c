"""Particle filters and smoothers for state-space models.

A model is a few small functions (`StateSpaceModel`) or a ready-made one; the algorithms compile
them into their loops. Smoothed expectations of sums over time come from `ppg`, the particle Gibbs
sampler with PaRIS statistics, whose bias falls geometrically in the number of sweeps, from `paris`
and from `ffbs`.
"""

from randla.smoothing._exact.components import components
from randla.smoothing._exact.hmm import HMMSmootherResult, hmm_smoother
from randla.smoothing._exact.kalman import KalmanSmootherResult, kalman_smoother
from randla.smoothing._likelihood.maximum_likelihood import maximum_likelihood
from randla.smoothing._likelihood.result import MaximumLikelihoodResult, MaximumLikelihoodWarning
from randla.smoothing._model.additive_functional import AdditiveFunctional
from randla.smoothing._model.state_space import StateSpaceModel
from randla.smoothing._models.chaotic import ChaoticRNN
from randla.smoothing._models.discrete_hmm import DiscreteHMM
from randla.smoothing._models.linear_gaussian import LinearGaussian
from randla.smoothing._models.structural import structural
from randla.smoothing._models.volatility import StochasticVolatility
from randla.smoothing._particles.checks import NoSurvivorsError
from randla.smoothing._particles.ffbs import ffbs
from randla.smoothing._particles.filter import particle_filter
from randla.smoothing._particles.filter_errors import DegenerateFilterWarning
from randla.smoothing._particles.filter_result import FilterResult
from randla.smoothing._particles.online import FilterStep, OnlineFilter, start_filter
from randla.smoothing._particles.paris import paris
from randla.smoothing._particles.particle_gibbs import particle_gibbs, ppg
from randla.smoothing._particles.problem import DegenerateSmoothingWarning
from randla.smoothing._particles.result import BiasWarning, BurnInWarning, SmoothingResult
from randla.smoothing._posterior.forecasts import ForecastResult
from randla.smoothing._posterior.posterior import posterior
from randla.smoothing._posterior.result import PosteriorResult, PosteriorWarning

__all__ = [
    "AdditiveFunctional",
    "BiasWarning",
    "BurnInWarning",
    "ChaoticRNN",
    "DegenerateFilterWarning",
    "DegenerateSmoothingWarning",
    "DiscreteHMM",
    "FilterResult",
    "FilterStep",
    "ForecastResult",
    "HMMSmootherResult",
    "KalmanSmootherResult",
    "LinearGaussian",
    "MaximumLikelihoodResult",
    "MaximumLikelihoodWarning",
    "NoSurvivorsError",
    "OnlineFilter",
    "PosteriorResult",
    "PosteriorWarning",
    "SmoothingResult",
    "StateSpaceModel",
    "StochasticVolatility",
    "components",
    "ffbs",
    "hmm_smoother",
    "kalman_smoother",
    "maximum_likelihood",
    "paris",
    "particle_filter",
    "particle_gibbs",
    "posterior",
    "ppg",
    "start_filter",
    "structural",
]
