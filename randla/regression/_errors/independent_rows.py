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

from randla._tall.memory import SplitTriangle
from randla._typing import Array
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors
from randla.regression._errors.fit import LeastSquaresFit
from randla.regression._errors.satterthwaite import degrees_of_freedom, moments
from randla.regression._errors.whitened_rows import (
    HEAVY,
    WhitenedRows,
    basis,
    constants_of,
    heavy_rows,
    no_rows,
)
from randla.regression._kernels import robust as kernels

_EPS = float(np.finfo(np.float64).eps)
#: 1 - h below which a row stands alone: its residual is zero whatever its error.
_ALONE = 1e-10
#: Share of a coefficient (in a basis of norm 1) that rows which stand alone may have in it, beside
#: rounding errors.
_OF_ALONE = 1e-7
_STANDS_ALONE = (
    "it hangs on one row of leverage one, whose residual is zero whatever the error of that row"
)
#: Rows of scores up to which a compiled product is faster than BLAS.
_FEW = 32
#: The p of each kind.
_POWERS = {"HC0": 0, "HC1": 0, "HC2": 1, "HC3": 2, "robust": 2}


class RowSums(NamedTuple):
    """Sums over all rows."""

    gradient: Array  # (k, r) of K'A'W(b - A x)
    products: Array  # (k, k) of the weighted residuals
    n_heavy: Array  # () rows of leverage near one
    meat: Array  # (k r, k r) of the kind, without heavy rows
    moments: Array  # (2, d) for the degrees of freedom, without heavy rows


def sum_rows(fit: LeastSquaresFit, data: FittedData, kind: str) -> RowSums:
    """All that one pass says."""
    d, k, r = data.d, data.k, fit.rank
    size, n_moments = k * r + 1, 2 if kind == "robust" else 0
    even, constants = size + size % 2, constants_of(fit, data)
    *blocks, (rows, columns, last) = SplitTriangle(constants["K"]).blocks
    last = np.hstack([last, constants.pop("Y")])  # which multiplies all columns of A
    blocks.append((rows, slice(columns.start, r + k), last))
    gram, gradient, products, n_heavy, of_df = data.sums(
        _sums_of_tile, data.B, data.w, power=_POWERS[kind], n_moments=n_moments,
        shapes=[(even, even), (k * r,), (k, k), (), (n_moments, d)],
        widths=[r + k, 1, 0 if even <= _FEW else even, d if n_moments else 0], height=even,
        blocks=blocks, **constants,
    )  # fmt: skip
    gram = np.tril(gram) + np.tril(gram, -1).T
    gradient = gradient + gram[k * r, : k * r]
    return RowSums(gradient.reshape(k, r), products, n_heavy, gram[: k * r, : k * r], of_df)


def _sums_of_tile(
    X: Array, B: Array, w: Array | None, *, power: int, n_moments: int, work: list[Array],
    height: int, blocks: list[Any], K: Array, repeats: bool,
) -> list[Any]:  # fmt: skip
    """All is turned: rows of A are columns."""
    P, left, scores, G = (array.reshape(-1, len(X)) for array in work)
    (k, r), root = (B.shape[1], K.shape[1]), np.empty(0) if w is None else np.sqrt(w)
    for rows, columns, part in blocks:
        np.matmul(part.T, X[:, rows].T, out=P[columns])
    gram, gradient = np.zeros((height, height)), np.zeros(k * r)
    scores = scores if height > _FEW else np.empty((height, kernels.BLOCK))
    scores[k * r + 1 :] = 0.0
    now = gram if height <= _FEW else gram[:0]
    n_heavy = kernels.scores(P, B, root, repeats, power, HEAVY, left[0], scores, now, gradient)
    if height > _FEW:
        np.matmul(scores, scores.T, out=gram)  # NumPy calls SYRK, half of a product
    sums = [gram, gradient, P[r:] @ P[r:].T, n_heavy]
    if n_moments:
        counts = w if repeats else None
        sums.append(moments(np.matmul(K, P[:r], out=G), left[0], counts, HEAVY))
    return sums


def _covariance(rows: WhitenedRows, power: int, K: Array) -> Array:
    """The covariance (k d, k d) from some rows: row by row, as their sums would hide its digits."""
    R = rows.R / (rows.left[:, None] ** (0.5 * power))
    changes = R[:, :, None] * (rows.Q @ K.T)[:, None, :]  # of the coefficients
    changes = changes.reshape(len(R), R.shape[1] * len(K))
    return changes.T @ changes


def robust_errors(data: FittedData, fit: LeastSquaresFit, kind: str, sums: RowSums) -> Errors:
    """HC0-HC3, and "robust": HC3 with the degrees of freedom of Satterthwaite."""
    K, (d, k), r = basis(fit, data), fit.Y.shape, fit.rank
    heavy = heavy_rows(fit, data) if sums.n_heavy > 0 else no_rows(r, k)
    alone = heavy.left < _ALONE
    share = ((K @ heavy.Q[alone].T) ** 2).sum(axis=1)  # of the directions of such rows
    least = max(_OF_ALONE, 16.0 * _EPS * fit.condition)
    lost, n_alone = share > least**2 * (K * K).sum(axis=1), int(alone.sum())
    heavy = heavy.where(~alone)
    blocks = K @ sums.meat.reshape(k, r, k, r).transpose(0, 2, 1, 3) @ K.T  # (k, k, d, d)
    flat = blocks.transpose(0, 2, 1, 3).reshape(k * d, k * d)  # coefficients fastest
    flat = flat + _covariance(heavy, _POWERS[kind], K)
    covariance = (0.5 * (flat + flat.T)).reshape(k, d, k, d)
    df = np.full(d, float(data.n_rows - r))
    assumed = f"independent rows, {kind}"
    if kind == "HC1":
        covariance *= (data.n_rows - n_alone) / (data.n_rows - r)
    elif kind == "robust":
        df = degrees_of_freedom(fit, data, sums.moments, heavy)
        assumed = "independent rows, HC3, degrees of freedom of Satterthwaite"
    covariance[:, lost] = covariance[..., lost] = np.nan
    df[lost] = np.nan
    return Errors(
        covariance.reshape(k * d, k * d), np.repeat(df[:, None], k, axis=1), assumed,
        reasons=dict.fromkeys(np.flatnonzero(lost).tolist(), _STANDS_ALONE), unit=fit.units,
    )  # fmt: skip
