"""Singular values, kernels, traces and log-determinants that know their error."""

from randla.spectral._pivoted_cholesky import PivotedCholeskyResult, pivoted_cholesky

__all__ = ["PivotedCholeskyResult", "pivoted_cholesky"]
