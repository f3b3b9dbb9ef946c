"""Sketches of a tall matrix in one pass, and least squares that knows its own error."""

from randla.sketching._hadamard import SRHT
from randla.sketching._least_squares import LstsqResult, lstsq
from randla.sketching._size import sketch_size

__all__ = ["SRHT", "LstsqResult", "lstsq", "sketch_size"]
