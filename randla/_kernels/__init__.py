"""Numba kernels that several families share: arrays and scalars in, arrays filled."""
