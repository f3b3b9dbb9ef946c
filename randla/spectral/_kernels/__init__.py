"""Numba kernels: arrays and scalars in, arrays filled."""
