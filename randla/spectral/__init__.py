"""Singular values, kernels, traces and log-determinants that know their error."""

__all__: list[str] = []
