"""Singular values, kernels, traces and log-determinants that know their error."""

from randla.spectral._logdet import LogdetResult, logdet
from randla.spectral._pivoted_cholesky import PivotedCholeskyResult, pivoted_cholesky

__all__ = ["LogdetResult", "PivotedCholeskyResult", "logdet", "pivoted_cholesky"]
