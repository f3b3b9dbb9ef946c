"""What A may be, scaled and perhaps centered, and its products: each reads it once."""

from randla.spectral._matrix.base import SpectralMatrix as SpectralMatrix
from randla.spectral._matrix.open import open_matrix as open_matrix
