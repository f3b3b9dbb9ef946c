"""Singular values, kernels, traces and log-determinants that know their error."""

from randla.spectral._logdet import LogdetResult, logdet
from randla.spectral._pivoted_cholesky import PivotedCholeskyResult, pivoted_cholesky
from randla.spectral._result import SvdResult
from randla.spectral._svd import svd

__all__ = [
    "LogdetResult",
    "PivotedCholeskyResult",
    "SvdResult",
    "logdet",
    "pivoted_cholesky",
    "svd",
]
