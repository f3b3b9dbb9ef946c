"""What a least-squares fit hands over to its inference: no data, only factors and scales."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from randla._typing import Array
from randla.regression._inference.data import Scales


class OneSketch(NamedTuple):
    """The sketch S behind an estimate."""

    n_rows: int  # m
    population: int | None  # N of an SRHT, see `randla.sketching._inference`


class LeastSquaresFit(NamedTuple):
    r"""A fit in scaled units: columns times 2^columns, b times 2^rhs, weights times 4^-weights.

    With W the weights and tildes for what is scaled, K = `inverse` has
    :math:`K K^T = (\tilde A^T W \tilde A)^+` in columns scaled to norm about 1. For the estimate
    from a sketch S it is :math:`C = ((S W^{1/2} \tilde A)^T S W^{1/2} \tilde A)^+` instead, whose
    bias is that of `randla.sketching._inference.inverse_bias`. So with :math:`q_i = K^T a_i`, the
    rows of an orthonormal basis, :math:`h_i = w_i |q_i|^2`.

    Attributes
    ----------
    Y : (d, k) ndarray
        Coefficients for the scaled data, ``FittedData.open(..., scales=fit.scales)``.
    inverse : (d, rank) ndarray
        K; rows of zeros for columns that are zero.
    products : (k, k) ndarray
        Inner products of the weighted residuals, NaN where they are not known. For a sketch they
        are estimates of those of the exact solution.
    n_rows : int
        Rows of positive weight.
    is_weighted : bool
    scales : Scales
    sketch : OneSketch or None
    is_converged : bool
        Whether `Y` solves the normal equations to rounding; of no meaning for a sketch.
    """

    Y: Array
    inverse: Array
    products: Array
    n_rows: int
    is_weighted: bool
    scales: Scales
    sketch: OneSketch | None = None
    is_converged: bool = True

    @property
    def rank(self) -> int:
        """Rank of A."""
        return self.inverse.shape[1]

    @property
    def units(self) -> Array:
        """Powers of two (d, k): the caller's coefficients are these times `Y`."""
        return self.scales.units

    @property
    def estimable(self) -> np.ndarray:
        """Which coefficients are in the row space of A, (d,)."""
        return estimable(self.inverse)


#: A coefficient is outside of a row space if so much of its unit vector is, relative to norm 1.
_OUTSIDE = 1e-7


def estimable(K: Array) -> np.ndarray:
    r"""Which coefficients an (A'A)^+ = K K' of columns scaled to norm about 1 determines, (d,).

    K has the row space of A as its columns' span; e_j is in it if its projection is e_j itself.
    """
    d, rank = K.shape
    if rank == d:
        return np.ones(d, bool)
    Q = np.linalg.qr(K)[0]  # (d, rank)
    return np.einsum("ij,ij->i", Q, Q) > 1.0 - _OUTSIDE
