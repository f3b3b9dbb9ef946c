"""Kernels of particle filters and smoothers."""
