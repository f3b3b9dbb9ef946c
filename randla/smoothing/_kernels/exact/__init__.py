"""Kernels of the exact smoothers."""
