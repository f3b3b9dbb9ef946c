"""Sketches of a tall matrix in one pass, and least squares that knows its own error."""

from randla.sketching._gaussian import GaussianSketch
from randla.sketching._hadamard import SRHT, BlockSRHT, fwht
from randla.sketching._kronecker import KroneckerProduct, KroneckerSRHT
from randla.sketching._least_squares import lstsq
from randla.sketching._methods import LstsqWarning
from randla.sketching._result import LstsqResult
from randla.sketching._size import sketch_size
from randla.sketching._sparse import CountSketch, SparseSignSketch

__all__ = [
    "SRHT",
    "BlockSRHT",
    "CountSketch",
    "GaussianSketch",
    "KroneckerProduct",
    "KroneckerSRHT",
    "LstsqResult",
    "LstsqWarning",
    "SparseSignSketch",
    "fwht",
    "lstsq",
    "sketch_size",
]
