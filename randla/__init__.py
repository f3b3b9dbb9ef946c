"""Randomized linear algebra and Monte Carlo estimators that know their own error.

Six families; each estimate is exact, certified, or comes with a standard error:

* `randla.sketching`: sketches of a matrix in one pass;
* `randla.sampling`: leverage scores, Lewis weights, sensitivities, samples of rows;
* `randla.regression`: least squares, l_p and quantile regression;
* `randla.spectral`: singular values, kernels, traces and log-determinants;
* `randla.transport`: the sliced Wasserstein distance with control variates;
* `randla.smoothing`: particle filters, PaRIS and particle Gibbs for state-space models.

All names are available from here and are loaded on first use: ``import randla`` itself loads
neither Numba nor SciPy.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_FAMILIES = {
    "sketching": (
        "SRHT BlockSRHT CountSketch GaussianSketch KroneckerProduct KroneckerSRHT SparseSignSketch "
        "fwht sketch_size"
    ),
    "sampling": (
        "NotConvergedWarning RowSample Scores leverage_scores lewis_weights lp_sensitivities "
        "max_sensitivity sample_rows total_sensitivity"
    ),
    "regression": (
        "Inference InferenceWarning LpRegressionResult LstsqResult LstsqWarning lp_regression lstsq"
    ),
    "spectral": (
        "DiagonalResult EighResult FewProductsWarning LogdetResult PivotedCholeskyResult "
        "SpectralNormResult SvdResult TraceResult diagonal eigh logdet pivoted_cholesky "
        "spectral_norm svd trace"
    ),
    "transport": (
        "FewProjectionsWarning PopulationWarning SlicedWassersteinResult expected_sliced_plan "
        "max_sliced_wasserstein sliced_wasserstein sliced_wasserstein_barycenter "
        "sliced_wasserstein_flow sliced_wasserstein_gradient sliced_wasserstein_matrix "
        "sliced_wasserstein_sphere sliced_wasserstein_test wasserstein_1d"
    ),
    "smoothing": (
        "AdditiveFunctional BiasWarning BurnInWarning ChaoticRNN DegenerateFilterWarning "
        "DegenerateSmoothingWarning DiscreteHMM FilterResult LinearGaussian "
        "MaximumLikelihoodResult MaximumLikelihoodWarning PosteriorResult PosteriorWarning "
        "SmoothingResult StateSpaceModel StochasticVolatility components ffbs hmm_smoother "
        "kalman_smoother maximum_likelihood paris particle_filter particle_gibbs posterior ppg "
        "start_filter structural"
    ),
    "datasets": "",
    "random": "",
}
_WITH_EXTRAS = ("formula", "jax", "sklearn", "torch")  # modules that are not in __all__
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names.split()}
_FAMILY_OF["RandlaWarning"] = "_results"

__all__ = ["__version__", *sorted([*_FAMILIES, *_FAMILY_OF])]


def __getattr__(name: str) -> Any:
    if name in _FAMILIES or name in _WITH_EXTRAS:
        return import_module(f"randla.{name}")
    if name not in _FAMILY_OF:
        raise AttributeError(f"module 'randla' has no attribute {name!r}")
    value = getattr(import_module(f"randla.{_FAMILY_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
