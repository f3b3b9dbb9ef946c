"""Sketches of a tall matrix in one pass."""

from randla.sketching._gaussian import GaussianSketch
from randla.sketching._hadamard import SRHT, BlockSRHT
from randla.sketching._kronecker import KroneckerProduct, KroneckerSRHT
from randla.sketching._size import sketch_size
from randla.sketching._sparse import CountSketch, SparseSignSketch
from randla.sketching._walsh import fwht

__all__ = [
    "SRHT",
    "BlockSRHT",
    "CountSketch",
    "GaussianSketch",
    "KroneckerProduct",
    "KroneckerSRHT",
    "SparseSignSketch",
    "fwht",
    "sketch_size",
]
