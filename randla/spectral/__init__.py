"""Singular values, kernels, traces and log-determinants that know their own error."""

from randla.spectral._diagonal import DiagonalResult, diagonal
from randla.spectral._eigh import EighResult, eigh
from randla.spectral._logdet import LogdetResult, logdet
from randla.spectral._pivoted_cholesky import PivotedCholeskyResult, pivoted_cholesky
from randla.spectral._spectral_norm import SpectralNormResult, spectral_norm
from randla.spectral._svd import svd
from randla.spectral._svd_result import SvdResult
from randla.spectral._trace import FewProductsWarning, TraceResult, trace

__all__ = [
    "DiagonalResult",
    "EighResult",
    "FewProductsWarning",
    "LogdetResult",
    "PivotedCholeskyResult",
    "SpectralNormResult",
    "SvdResult",
    "TraceResult",
    "diagonal",
    "eigh",
    "logdet",
    "pivoted_cholesky",
    "spectral_norm",
    "svd",
    "trace",
]
