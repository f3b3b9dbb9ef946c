r"""Errors of coefficients where rows of one group may be correlated (clusters).

Let :math:`H = \sum_g M_g` with :math:`M_g = A_g^T V_g A_g`, V the weights for least squares and
weights times densities for quantiles, and :math:`s_g = A_g^T z_g` the scores of group g, which sum
to zero: z the weighted residuals, or the dual vector. With :math:`H^{-1} = L L^T` and
:math:`K_g = L^T M_g L = W \Lambda W^T` all three sandwiches are

.. math:: c \sum_g \delta_g \delta_g^T, \qquad
          \delta_g = L W (I - \Lambda)^{-q} W^T L^T s_g,

q = 0 for CR1, 1/2 for CR2 (Bell and McCaffrey) and 1 for CR3, where :math:`\delta_g` is, up to its
sign, what leaving out group g does to the coefficients (the jackknife). No matrix with a row for
each row, or for each group, of a pair is formed.

Sources: Bell and McCaffrey, Survey Methodology 28 (2002); Imbens and Kolesar, Review of Economics
and Statistics 98 (2016); MacKinnon, Nielsen and Webb, Journal of Applied Econometrics 38 (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from randla._typing import Array
from randla.regression._inference.data import FittedData


@dataclass(frozen=True)
class GroupSums:
    """What the rows of each group add up to, in the columns of A T.

    Attributes
    ----------
    T : (d, r) ndarray
        Its columns span the row space of A; best if the columns of A T are nearly orthonormal.
    grams : (q, n_groups, r, r) ndarray
        ``(A T)_g' V_g (A T)_g`` for each column of V.
    scores : (n_groups, r, k) ndarray
        ``(A T)_g' Z_g``.
    """

    T: Array
    grams: Array
    scores: Array


def group_sums(data: FittedData, T: Array, V: Any, Z: Any) -> GroupSums:
    """Sum over the rows of each group; one pass.

    Parameters
    ----------
    T : (d, r) ndarray
        Applied to the scaled columns of `data`.
    V : (n,), (n, q) ndarray or Dask array, or None
        Weights of the rows in the Gram matrices, of length k for several quantiles, else one for
        all right-hand sides: `data.w` for least squares (None: ones), w f for quantiles.
    Z : (n, k) ndarray or Dask array
        ``w r`` for least squares; the dual vector, which contains w, for quantiles.
    """
    raise NotImplementedError


def cluster_errors(
    sums: GroupSums, kind: str, *, n_rows: int, names: tuple[str, ...]
) -> tuple[Array, Array]:
    """Covariance (k d, k d) and degrees of freedom (d, k) of coefficients of the scaled columns.

    `kind` is "cluster", "CR1", "CR2" or "CR3". Coefficients that cannot be told without one of the
    groups are NaN in both, and an `InferenceWarning` names them.
    """
    raise NotImplementedError
