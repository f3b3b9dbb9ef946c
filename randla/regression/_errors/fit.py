"""The record of a least-squares fit for its inference: no data, only factors and scales."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from randla._typing import Array
from randla.regression._errors.data import Scales


class KeptRows(NamedTuple):
    """Some rows of A, drawn uniformly, and their residuals."""

    Q: Array  # (rows, rank): the rows q_i for K of the sketch, weighted
    R: Array  # (rows, k), weighted residuals of the estimate
    n_rows: int  # number of rows they were drawn from, including rows of weight zero


class OneSketch(NamedTuple):
    """The sketch S behind an estimate."""

    n_rows: int  # m
    population: int | None  # N of an SRHT, see `randla.sketching._inference`
    mixes_rows: bool = True  # whether each row of S A combines all rows
    kept: KeptRows | None = None


class LeastSquaresFit(NamedTuple):
    r"""A fit in scaled units: columns times 2^columns, b times 2^rhs, weights times 4^-weights.

    With W the weights and tildes for what is scaled, K = `inverse` has
    :math:`K K^T = (\tilde A^T W \tilde A)^+`. So :math:`q_i = \sqrt{w_i} K^T a_i` are the rows of
    an orthonormal basis, and :math:`h_i = |q_i|^2`. For the estimate from a sketch S it is
    :math:`C = ((S W^{1/2} \tilde A)^T S W^{1/2} \tilde A)^+` instead, whose mean is larger by the
    factor of `randla.sketching._inference.inverse_bias`.

    Attributes
    ----------
    Y : (d, k) ndarray
        Coefficients for the scaled data, ``FittedData.open(..., scales=fit.scales)``.
    factors : tuple of ndarray
        K, or the factors of a Kronecker product that is K.
    products : (k, k) ndarray
        Inner products of the weighted residuals, NaN if unknown. For a sketch, estimates of those
        of the exact solution.
    column_norms : (d,) ndarray
        Column norms of the scaled and weighted A, accurate to a few digits.
    shape : (n, d)
        Shape of the user's A.
    n_rows : int
        Rows of positive weight.
    is_weighted : bool
    scales : Scales
    sketch : OneSketch or None
    weight_sum : float or None
        Sum of the scaled weights; None if it was not computed.
    slack : float
        Relative size of the gradient A'W(b - A x) that the fit is known to leave.
    """

    Y: Array
    factors: tuple[Array, ...]
    products: Array
    column_norms: Array
    shape: tuple[int, int]
    n_rows: int
    is_weighted: bool
    scales: Scales
    sketch: OneSketch | None = None
    weight_sum: float | None = None
    slack: float = 0.0

    @property
    def inverse(self) -> Array:
        """K (d, rank); rows of zeros for columns that are zero."""
        K = self.factors[0]
        for other in self.factors[1:]:
            K = np.asarray(np.kron(K, other), np.float64)
        return K

    @property
    def rank(self) -> int:
        """Rank of A."""
        return math.prod(K.shape[1] for K in self.factors)

    @property
    def condition(self) -> float:
        """Bound of the condition number of A with columns scaled to norm 1."""
        return float(np.linalg.norm(self.column_norms[:, None] * self.inverse)) * self.rank**0.5

    @property
    def terms(self) -> Array:
        """Sizes (k,) of the terms of A y, summed: the scale of rounding errors of A y."""
        return self.column_norms @ np.abs(self.Y)

    @property
    def units(self) -> Array:
        """Powers of two (d, k): the user's coefficients are these times `Y`."""
        return self.scales.units
