r"""Errors of least squares for independent rows whose variances may differ.

With :math:`\tilde A^T W \tilde A = (K K^T)^+` the rows :math:`q_i = \sqrt{w_i} K^T a_i` are those
of an orthonormal basis, :math:`h_i = |q_i|^2` are the leverages, and with the weighted residuals
:math:`r_i` the covariances are

.. math:: K \Big(\sum_i \frac{r_i^2}{(1 - h_i)^p} q_i q_i^T\Big) K^T, \qquad
          p = 0\ (\text{HC0}),\ 1\ (\text{HC2}),\ 2\ (\text{HC3}),

HC1 being HC0 times n/(n - d). HC3 is the sum of the squared changes of x when one row is left out.
A row of frequency weight w is w rows, each with the leverage of one.

A row of leverage one says nothing of its own error: its residual is zero. It is left out of the
sum, and the coefficients that hang on it have no error; those of the others are then exactly what
a fit without the row, and without its direction, gives.

Sources: White, Econometrica 48 (1980); MacKinnon and White, J. Econometrics 29 (1985) (HC1-HC3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from randla._typing import Array
from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors
from randla.regression._inference.fit import LeastSquaresFit
from randla.regression._inference.options import INDEPENDENT
from randla.regression._inference.satterthwaite import degrees_of_freedom, moments
from randla.regression._inference.whitened_rows import (
    WhitenedRows,
    basis,
    constants_of,
    heavy_rows,
    whiten_rows,
)

#: 1 - h below which a row stands alone: its residual is zero whatever its error.
_ALONE = 1e-10
#: Share of a coefficient (in a basis of norm 1) that rows which stand alone may have in it.
_OF_ALONE = 1e-7
_STANDS_ALONE = (
    "it hangs on one row of leverage one, whose residual is zero whatever the error of that row"
)


class RowSums(NamedTuple):
    """Sums over all rows."""

    gradient: Array  # (d, k) of A'W(b - A x)
    products: Array  # (k, k) of the weighted residuals
    leverage: Array  # () of the leverages, which is the rank
    n_heavy: Array  # ()
    meat: Array  # (k r, k r) of the kind, without heavy rows
    moments: Array  # (2, d) for the degrees of freedom, without heavy rows


def sum_rows(fit: LeastSquaresFit, data: FittedData, kind: str) -> RowSums:
    """All that one pass says."""
    d, k, r = data.d, data.k, fit.rank
    size, n_moments = k * r if kind in INDEPENDENT else 0, 2 if kind == "robust" else 0
    sums = data.sums(
        _sums_of_tile, data.B, data.w, kind=kind, **constants_of(fit, data),
        shapes=[(d, k), (k, k), (), (), (size, size), (n_moments, d)],
    )  # fmt: skip
    return RowSums(*sums)


def _sums_of_tile(X: Array, B: Array, w: Array | None, *, kind: str, **constants: Any) -> list[Any]:
    rows = whiten_rows(X, B, w, **constants)
    R = rows.R if w is None else rows.R * (w if constants["repeats"] else np.sqrt(w))[:, None]
    heavy = rows.heavy
    leverage = rows.counted((1.0 - rows.left)[:, None]).sum()
    sums = [X.T @ R, rows.R.T @ rows.counted(rows.R), leverage, heavy.sum()]
    if kind not in INDEPENDENT:
        return sums
    if heavy.any():  # looked at one by one, later
        rows = rows.where(~heavy)
    sums.append(_meat(rows, kind))
    return [*sums, moments(rows, constants["K"])] if kind == "robust" else sums


def _meat(rows: WhitenedRows, kind: str) -> Array:
    """Sum of r r' (x) q q' / (1 - h)^p."""
    factor = np.ones(len(rows.left))
    if kind in ("HC3", "robust"):
        factor = 1.0 / rows.left
    elif kind == "HC2":
        factor = 1.0 / np.sqrt(rows.left)
    if rows.counts is not None:
        factor *= np.sqrt(rows.counts)
    R, Q = factor[:, None] * rows.R, rows.Q
    if R.shape[1] == 1:
        scores = R * Q
    else:
        scores = (R[:, :, None] * Q[:, None, :]).reshape(len(Q), -1)  # (rows, k r)
    return scores.T @ scores


def robust_errors(data: FittedData, fit: LeastSquaresFit, kind: str, sums: RowSums) -> Errors:
    """HC0-HC3, and "robust": HC3 with the degrees of freedom of Satterthwaite."""
    K, (d, k), r = basis(fit, data), fit.Y.shape, fit.rank
    meat, of_df, lost, n_alone, heavy = sums.meat, sums.moments, np.zeros(d, bool), 0, None
    if sums.n_heavy > 0:
        heavy = heavy_rows(fit, data)
        alone = heavy.left < _ALONE
        share = ((K @ heavy.Q[alone].T) ** 2).sum(axis=1)  # of the directions of such rows
        lost, n_alone = share > _OF_ALONE**2 * (K * K).sum(axis=1), int(alone.sum())
        heavy = heavy.where(~alone)
        meat = meat + _meat(heavy, kind)
        of_df = of_df + moments(heavy, K) if kind == "robust" else of_df
    covariance = np.einsum("ja,caeb,lb->cjel", K, meat.reshape(k, r, k, r), K, optimize=True)
    df = np.full(d, float(data.n_rows - r))
    assumed = f"independent rows, {kind}"
    if kind == "HC1":
        covariance *= (data.n_rows - n_alone) / (data.n_rows - r)
    elif kind == "robust":
        df = degrees_of_freedom(fit, data, of_df, heavy)
        assumed = "independent rows, HC3, degrees of freedom of Satterthwaite"
    covariance[:, lost] = covariance[..., lost] = np.nan
    df[lost] = np.nan
    return Errors(
        covariance.reshape(k * d, k * d), np.repeat(df[:, None], k, axis=1), assumed,
        reasons=dict.fromkeys(np.flatnonzero(lost).tolist(), _STANDS_ALONE), unit=fit.units,
    )  # fmt: skip
