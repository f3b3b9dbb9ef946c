"""What type checkers see: the same names as the lazy loader in __init__.py."""

from randla._results import RandlaWarning as RandlaWarning
from randla.regression import (
    Inference as Inference,
    InferenceWarning as InferenceWarning,
    LpRegressionResult as LpRegressionResult,
    LstsqResult as LstsqResult,
    LstsqWarning as LstsqWarning,
    lp_regression as lp_regression,
    lstsq as lstsq,
)
from randla.sampling import (
    NotConvergedWarning as NotConvergedWarning,
    RowSample as RowSample,
    Scores as Scores,
    leverage_scores as leverage_scores,
    lewis_weights as lewis_weights,
    lp_sensitivities as lp_sensitivities,
    max_sensitivity as max_sensitivity,
    sample_rows as sample_rows,
    total_sensitivity as total_sensitivity,
)
from randla.sketching import (
    SRHT as SRHT,
    BlockSRHT as BlockSRHT,
    CountSketch as CountSketch,
    GaussianSketch as GaussianSketch,
    KroneckerProduct as KroneckerProduct,
    KroneckerSRHT as KroneckerSRHT,
    SparseSignSketch as SparseSignSketch,
    fwht as fwht,
    sketch_size as sketch_size,
)
from randla.smoothing import (
    AdditiveFunctional as AdditiveFunctional,
    BiasWarning as BiasWarning,
    BurnInWarning as BurnInWarning,
    ChaoticRNN as ChaoticRNN,
    DegenerateFilterWarning as DegenerateFilterWarning,
    DegenerateSmoothingWarning as DegenerateSmoothingWarning,
    DiscreteHMM as DiscreteHMM,
    FilterResult as FilterResult,
    LinearGaussian as LinearGaussian,
    MaximumLikelihoodResult as MaximumLikelihoodResult,
    MaximumLikelihoodWarning as MaximumLikelihoodWarning,
    PosteriorResult as PosteriorResult,
    PosteriorWarning as PosteriorWarning,
    SmoothingResult as SmoothingResult,
    StateSpaceModel as StateSpaceModel,
    StochasticVolatility as StochasticVolatility,
    components as components,
    ffbs as ffbs,
    hmm_smoother as hmm_smoother,
    kalman_smoother as kalman_smoother,
    maximum_likelihood as maximum_likelihood,
    paris as paris,
    particle_filter as particle_filter,
    particle_gibbs as particle_gibbs,
    posterior as posterior,
    ppg as ppg,
    start_filter as start_filter,
    structural as structural,
)
from randla.spectral import (
    PivotedCholeskyResult as PivotedCholeskyResult,
    pivoted_cholesky as pivoted_cholesky,
)
from randla.transport import (
    FewProjectionsWarning as FewProjectionsWarning,
    PopulationWarning as PopulationWarning,
    SlicedWassersteinResult as SlicedWassersteinResult,
    expected_sliced_plan as expected_sliced_plan,
    max_sliced_wasserstein as max_sliced_wasserstein,
    sliced_wasserstein as sliced_wasserstein,
    sliced_wasserstein_barycenter as sliced_wasserstein_barycenter,
    sliced_wasserstein_flow as sliced_wasserstein_flow,
    sliced_wasserstein_gradient as sliced_wasserstein_gradient,
    sliced_wasserstein_matrix as sliced_wasserstein_matrix,
    sliced_wasserstein_sphere as sliced_wasserstein_sphere,
    sliced_wasserstein_test as sliced_wasserstein_test,
    wasserstein_1d as wasserstein_1d,
)

from . import (
    datasets as datasets,
    formula as formula,
    jax as jax,
    random as random,
    regression as regression,
    sampling as sampling,
    sketching as sketching,
    sklearn as sklearn,
    smoothing as smoothing,
    spectral as spectral,
    torch as torch,
    transport as transport,
)

__version__: str
