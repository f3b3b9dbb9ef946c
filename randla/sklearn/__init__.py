"""Thin scikit-learn estimators over `lstsq`, `lp_regression`, `svd` and `pivoted_cholesky`.

============================ =======================================================================
`SketchedLinearRegression`   `sklearn.linear_model.LinearRegression`, to full precision or by one
                             sketch with a standard error for each coefficient
`QuantileRegressor`          `sklearn.linear_model.QuantileRegressor`: the same problem and the same
                             parameters, except those of its solvers; to a certified gap
`LpRegressor`                regression in the p-norm of the residuals, 1 <= p <= inf
`CertifiedPCA`               `sklearn.decomposition.PCA`, with brackets of the singular values and
                             of the explained variance; sparse matrices stay sparse
`PivotedNystroem`            `sklearn.kernel_approximation.Nystroem`, with landmarks drawn where the
                             kernel is approximated worst, and the exact error
============================ =======================================================================

Needs scikit-learn: ``pip install 'randla[sklearn]'``. Input is validated by scikit-learn.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("randla.sklearn needs scikit-learn: pip install 'randla[sklearn]'") from error

from randla.sklearn._decomposition import CertifiedPCA
from randla.sklearn._kernel_approximation import PivotedNystroem
from randla.sklearn._linear_model import LpRegressor, QuantileRegressor, SketchedLinearRegression

__all__ = [
    "CertifiedPCA",
    "LpRegressor",
    "PivotedNystroem",
    "QuantileRegressor",
    "SketchedLinearRegression",
]
