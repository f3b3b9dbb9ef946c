"""Sketches of a tall matrix in one pass, and least squares that knows its own error."""

from randla.sketching._hadamard import SRHT

__all__ = ["SRHT"]
