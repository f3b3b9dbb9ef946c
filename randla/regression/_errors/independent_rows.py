r"""Errors of least squares for independent rows whose variances may differ: HC0 to HC3.

With :math:`\tilde A^T W \tilde A = (K K^T)^+` the rows :math:`q_i = \sqrt{w_i} K^T a_i` are those
of an orthonormal basis, :math:`h_i = |q_i|^2` are the leverages, and with the weighted residuals
:math:`r_i` the covariances are

.. math:: K \Big(\sum_i \frac{r_i^2}{(1 - h_i)^p} q_i q_i^T\Big) K^T, \qquad
          p = 0\ (\text{HC0}),\ 1\ (\text{HC2}),\ 2\ (\text{HC3}),

HC1 is HC0 times n/(n - d). HC3 is the sum of the squared changes of x when one row is left out.
A row of frequency weight w is w rows, each with the leverage of a single row.

A row of leverage one carries no information about its own error: its residual is zero. It is left
out of the sum, and the coefficients that depend on it have no error; the errors of the others are
then exactly those of a fit without the row and without its direction.

Sources: White, "A heteroskedasticity-consistent covariance matrix estimator and a direct test for
heteroskedasticity", Econometrica 48 (1980), 817-838; MacKinnon and White, "Some
heteroskedasticity-consistent covariance matrix estimators with improved finite sample properties",
J. Econometrics 29 (1985), 305-325 (HC1-HC3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from randla._tall.memory import SplitTriangle
from randla._typing import Array
from randla._validation import read_only
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors
from randla.regression._errors.factors import in_columns, root
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
#: 1 - h below which a row stands alone: its residual is zero for any error.
_ALONE = 1e-10
#: Fraction of a coefficient (in a basis of norm 1) that rows standing alone may determine, except
#: for rounding errors.
_OF_ALONE = 1e-7
_STANDS_ALONE = (
    "it depends on one row of leverage one, whose residual is zero for any error of that row"
)
#: Rank (times right-hand sides) up to which one compiled loop is faster than calls of BLAS.
_FEW = 64
#: The p of each kind.
_POWERS = {"HC0": 0, "HC1": 0, "HC2": 1, "HC3": 2, "robust": 2}


class RowSums(NamedTuple):
    """Sums over all rows."""

    gradient: Array  # (k, r) of K'A'W(b - A x)
    products: Array  # (k, k), of the weighted residuals
    n_heavy: Array  # () rows of leverage near one
    meat: Array  # (k, k, r, r) of the kind, without heavy rows
    moments: Array  # (2, d) for the degrees of freedom, without heavy rows


def sum_rows(fit: LeastSquaresFit, data: FittedData, kind: str) -> RowSums:
    """The sums of one pass."""
    d, k, r = data.d, data.k, fit.rank
    constants, with_moments = constants_of(fit, data), kind == "robust"
    K, Y = constants["K"], constants["Y"]
    is_few, even = k * r <= _FEW, r + r % 2
    *blocks, (rows, columns, last) = SplitTriangle(K).blocks
    last = np.hstack([last, Y])  # it multiplies all columns of A
    blocks.append((rows, slice(columns.start, r + k), last))
    products, n_heavy, meat, moments = data.sums(
        _add_few if is_few else _sums_of_wide_tile, data.B, data.w,
        shapes=[(k, r + k), (), (k, k, even, even) if is_few else (k, k, r, r), (2, d)],
        widths=[0] if is_few else [r + k, k * r, d if with_moments else 0],
        L=read_only(np.ascontiguousarray(np.hstack([K, Y]).T)), blocks=blocks,
        K=read_only(K if with_moments else K[:0]), repeats=data.repeats, power=_POWERS[kind],
    )  # fmt: skip
    meat = np.tril(meat[:, :, :r, :r])
    meat += np.swapaxes(np.tril(meat, -1), 2, 3)
    c, e = np.tril_indices(k, -1)
    meat[e, c] = meat[c, e]
    return RowSums(products[:, :r], products[:, r:], n_heavy, meat, moments)


def _add_few(
    X: Array, B: Array, w: Array | None, *, L: Array, K: Array, repeats: bool, power: int,
    **_: Any,
) -> list[Any]:  # fmt: skip
    k = B.shape[1]
    r = len(L) - k
    even, root = r + r % 2, np.empty(0) if w is None else np.sqrt(w)
    sums = np.zeros((k, r + k)), np.zeros((k, k, even, even)), np.zeros((2, X.shape[1]))
    products, meat, of_df = sums
    n_heavy = kernels.add_rows(X, B, root, L, K, repeats, power, HEAVY, meat, products, of_df)
    return [products, n_heavy, meat, of_df]


def _sums_of_wide_tile(
    X: Array, B: Array, w: Array | None, *, blocks: list[Any], K: Array, repeats: bool, power: int,
    work: list[Array], **_: Any,
) -> list[Any]:  # fmt: skip
    """All arrays are transposed: rows of A are columns."""
    P, scores, G = (array.reshape(-1, len(X)) for array in work)
    k = B.shape[1]
    Q, R = P[:-k], P[-k:]
    for rows, columns, part in blocks:
        np.matmul(part.T, X[:, rows].T, out=P[columns])
    np.subtract(B.T, R, out=R)
    if w is not None:
        root = np.sqrt(w)
        R *= root
        Q *= 1.0 if repeats else root
    left = 1.0 - np.einsum("ai,ai->i", Q, Q)
    heavy = left < HEAVY
    scaled = np.where(heavy, 0.0, R / left ** (0.5 * power))
    np.multiply(scaled[:, None], Q, out=scores.reshape(k, len(Q), -1))
    gram = scores @ scores.T  # NumPy calls SYRK, half of a product
    products = np.hstack([(R * root if repeats else R) @ Q.T, R @ R.T])
    meat = gram.reshape(k, len(Q), k, len(Q)).transpose(0, 2, 1, 3)
    counts, of_df = w if repeats else None, np.zeros((2, X.shape[1]))
    if K.size:
        of_df = moments(np.matmul(K, Q, out=G), left, counts, HEAVY)
    return [products, heavy.sum(), meat, of_df]


def factor_of_meat(meat: Array, K: Array) -> Array:
    """F (k d, .) with F F' = K meat K', meat (k, k, r, r)."""
    k, _, r, _ = meat.shape
    half = root(meat.transpose(0, 2, 1, 3).reshape(k * r, k * r))
    return in_columns(K, half.reshape(k, r, half.shape[1]))


def _factor_of_rows(rows: WhitenedRows, power: int, K: Array) -> Array:
    """F of some rows, a column for each, as sums of their squares would lose digits."""
    R = rows.R / (rows.left[:, None] ** (0.5 * power))
    return in_columns(K, R.T[:, None, :] * rows.Q.T)


def robust_errors(data: FittedData, fit: LeastSquaresFit, kind: str, sums: RowSums) -> Errors:
    """HC0-HC3, and "robust": HC3 with Satterthwaite's degrees of freedom."""
    K, (d, k), r = basis(fit, data), fit.Y.shape, fit.rank
    heavy = heavy_rows(fit, data) if sums.n_heavy > 0 else no_rows(r, k)
    alone = heavy.left < _ALONE
    share = ((K @ heavy.Q[alone].T) ** 2).sum(axis=1)  # of the directions of such rows
    least = max(_OF_ALONE, 16.0 * _EPS * fit.condition)
    lost, n_alone = share > least**2 * (K * K).sum(axis=1), int(alone.sum())
    heavy = heavy.where(~alone)
    F = np.hstack([factor_of_meat(sums.meat, K), _factor_of_rows(heavy, _POWERS[kind], K)])
    df = np.full(d, float(data.n_rows - r))
    assumed = f"independent rows, {kind}"
    if kind == "HC1":
        F *= ((data.n_rows - n_alone) / (data.n_rows - r)) ** 0.5
    elif kind == "robust":
        df = degrees_of_freedom(fit, data, sums.moments, heavy)
        assumed = "independent rows, HC3, degrees of freedom of Satterthwaite"
    F[np.tile(lost, k)] = np.nan
    df[lost] = np.nan
    return Errors(
        F, np.repeat(df[:, None], k, axis=1), assumed,
        reasons=dict.fromkeys(np.flatnonzero(lost).tolist(), _STANDS_ALONE), unit=fit.units,
    )  # fmt: skip
