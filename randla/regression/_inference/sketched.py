r"""Both errors of an estimate from one sketch: the error of the sketch and that of the data.

.. math:: x' - \beta = (x' - x^*) + (x^* - \beta), \qquad x' - x^* = (S A)^+ S r .

The first part is linear in the residual r of the exact solution :math:`x^*`, so that for errors of
one variance it is uncorrelated with the second, for any sketch, and in practice for other errors,
too: variances add up. The variance of the first is that of `randla.sketching._inference`, with
:math:`C = ((SA)^T SA)^{-1}`; the second is the `inference` of exact fits, with
:math:`G = (A^T A)^{-1}`, which is the mean of C up to a factor.

iid
    :math:`\hat r^2 G / (n - d)`, n the rows of A: without the data, from the one pass. For a
    Gaussian sketch the sum is :math:`1 + (m - d - 1)/(n - d)` times the variance of the sketch. As
    mixed rows have errors of one variance for any variances of the rows, it is nearly right for
    :math:`m \ll n` in any case (Lee and Ng); not for sparse sketches, which mix few rows.
robust, HC0 to HC3, without the data
    From a few hundred rows that were drawn uniformly and kept in the pass of the sketch.
robust, HC0 to HC3, with the data
    One more pass: exact G, the residuals of :math:`x'`, leverages from C. If one of them is not
    small, all are made exact, in two more passes.
bootstrap
    Refits, which are exact.
clusters
    One more pass; the scores of the exact residuals follow from the sums of that pass.

A Gaussian sketch alone has no robust error: the law of S[A, b] depends on [A, b]'[A, b] only, which
does not show which row has which residual.

Sources: Lee and Ng, "Least squares estimation using sketched data with heteroskedastic errors",
ICML (2022), arXiv:2007.07781; the modules `clusters` and `independent_rows`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import fdtrc

from randla._typing import Array
from randla.regression._errors.clusters import cluster_errors, sum_groups
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors
from randla.regression._errors.factors import root_of_one_variance
from randla.regression._errors.fit import LeastSquaresFit, OneSketch
from randla.regression._errors.independent_rows import factor_of_meat, robust_errors, sum_rows
from randla.regression._errors.options import CLUSTERED, InferenceOptions
from randla.regression._errors.satterthwaite import moments
from randla.regression._errors.whitened_rows import (
    WhitenedRows,
    basis,
    constants_of,
    whiten_rows,
)
from randla.regression._resampling.bootstrap import bootstrap_least_squares
from randla.regression._resampling.carried import without_carried
from randla.sketching._inference import inverse_bias, variance_factor

#: Estimated leverage from which all quantities are made exact.
_LARGE = 0.1
#: Ratio m / n of the sketch from which unequal variances affect kind "iid".
_SHARE = 0.05
#: Probability of rejecting the data of the fit.
_FALSE_ALARM = 1e-12
#: The p of 1 / (1 - h)^p in each kind.
_POWERS = {"HC0": 0, "HC1": 0, "HC2": 1, "HC3": 2, "robust": 2}
#: Kept rows (an effective number) that must inform on a coefficient, and the least part that they
#: must show of what all rows contribute to it: else errors came out up to 25 times too small.
_FEW_KEPT, _LEAST_SEEN = 5.0, 1.0 / 3.0
_TOO_FEW_KEPT = "too few of the rows kept in the sketch inform on it: give A and b"
#: How much larger squared distances may be for a sparse sketch, compared with the F law.
_SPARSE = 4.0
_OTHERS = (
    "A, b or weights are not those of the fit: its coefficients are further from their exact "
    "solution than the sketch can be"
)
_ONE_VARIANCE = "kind='iid' needs errors of one variance"
_EPS = float(np.finfo(np.float64).eps)


def sketched_errors(
    fit: LeastSquaresFit, data: FittedData | None, options: InferenceOptions
) -> tuple[Errors, Array]:
    """Statistical errors, with degrees of freedom of the total, and the factor of the sketch."""
    sketch, kind = fit.sketch, options.kind
    assert sketch is not None
    m, K = sketch.n_rows, fit.inverse
    ratio = variance_factor(m, fit.rank, sketch.population)
    algorithmic = root_of_one_variance(ratio * fit.products, K)
    if kind == "iid":
        errors = _iid(fit, sketch, fit.n_rows if data is None else data.n_rows)
    elif data is None:
        errors = _of_kept_rows(_unbiased(fit, sketch), sketch)
    elif kind in CLUSTERED:
        errors = _of_groups(_unbiased(fit, sketch), sketch, data, kind)
    else:
        errors = _of_rows(_unbiased(fit, sketch), sketch, data, options)
    df = errors.degrees_of_freedom
    if kind != "iid":
        of_sketch = replace(errors, factor=algorithmic)
        df = _of_a_sum([errors.variances, of_sketch.variances], [df, float(m - fit.rank)])
    return replace(errors, degrees_of_freedom=df), algorithmic


def _of_a_sum(variances: list[Array], dfs: list[Any]) -> Array:
    """Degrees of freedom of a sum of independent estimates of variances (Welch, Satterthwaite)."""
    largest = np.maximum(*variances)
    shares = [np.divide(v, largest, out=np.zeros_like(v), where=largest > 0.0) for v in variances]
    squares = sum(share**2 / df for share, df in zip(shares, dfs, strict=True))
    total: Array = np.where(largest > 0.0, (shares[0] + shares[1]) ** 2 / squares, dfs[1])
    return np.where(np.isnan(variances[0]), np.nan, total)


def _unbiased(fit: LeastSquaresFit, sketch: OneSketch) -> LeastSquaresFit:
    """The fit with K K' = C over the ratio of its mean to G."""
    bias = inverse_bias(sketch.n_rows, fit.rank, sketch.population)
    return fit._replace(factors=(fit.inverse / bias**0.5,))


def _iid(fit: LeastSquaresFit, sketch: OneSketch, n_rows: int) -> Errors:
    """The residual norm of a sketch, and so both errors, has m - d degrees of freedom."""
    K, notes = _unbiased(fit, sketch).inverse, []
    if not sketch.mixes_rows:
        notes.append(f"a sparse sketch mixes few rows: {_ONE_VARIANCE}")
    elif sketch.n_rows > _SHARE * n_rows:
        notes.append(f"the sketch has {sketch.n_rows} rows for {n_rows}: {_ONE_VARIANCE}")
    return Errors(
        root_of_one_variance(fit.products / (n_rows - fit.rank), K),
        np.full(fit.Y.shape, float(sketch.n_rows - fit.rank)),
        "independent errors of one variance" + (" over the weight" if fit.is_weighted else ""),
        tuple(notes),
        unit=fit.units,
    )


# Rows of their own variances ---------------------------------------------------------------------


def _of_kept_rows(fit: LeastSquaresFit, sketch: OneSketch) -> Errors:
    """HC3 from rows that were drawn uniformly."""
    kept, K = sketch.kept, fit.inverse
    assert kept is not None
    bias = inverse_bias(sketch.n_rows, fit.rank, sketch.population)
    Q = kept.Q / bias**0.5
    left = np.maximum(1.0 - (Q * Q).sum(axis=1), _LARGE)  # one minus the leverages
    share = kept.n_rows / len(Q)
    rows = WhitenedRows(Q, kept.R * share**0.5, left, None)
    factor = factor_of_meat(_meat(rows, 2), K)
    influences = Q @ K.T
    # Each variance is a mean over the kept rows; its own variance follows from their spread.
    terms = (influences[:, :, None] * (rows.R / left[:, None])[:, None, :]) ** 2  # (rows, d, k)
    spread = terms.var(axis=0) / len(Q)
    mean = terms.mean(axis=0)
    df = np.divide(2.0 * mean**2, spread, out=np.full_like(mean, np.inf), where=spread > 0.0)
    note = f"from {len(Q)} rows of {kept.n_rows}, which miss what few rows decide: pass A and b"
    errors = Errors(factor, df, "independent rows, HC3", (note,), unit=fit.units)
    parts = np.square(influences)  # their sum estimates |K_j|^2
    total = parts.sum(axis=0)
    few = total**2 < _FEW_KEPT * np.square(parts).sum(axis=0)
    few |= share * total < _LEAST_SEEN * np.square(K).sum(axis=1)
    few &= share > 1.0
    lost = (np.flatnonzero(few) + len(K) * np.arange(fit.Y.shape[1])[:, None]).ravel()
    return errors.without(dict.fromkeys(lost.tolist(), _TOO_FEW_KEPT))


def _of_rows(
    fit: LeastSquaresFit, sketch: OneSketch, data: FittedData, options: InferenceOptions
) -> Errors:
    """HC0 to HC3 with one more pass; bootstrap, whose refits are exact."""
    kind = options.kind
    r, (d, k) = fit.rank, fit.Y.shape
    n_moments = 2 if kind == "robust" else 0
    gram, gradient, products, n_large, meat, of_df = data.sums(
        _sums_of_tile, data.B, data.w, power=_POWERS.get(kind, 0), n_moments=n_moments,
        shapes=[(r, r), (r, k), (k, k), (), (k, k, r, r), (n_moments, d)],
        **constants_of(fit, data),
    )  # fmt: skip
    shift = _shift(fit, sketch, data, gram, gradient, products)
    if kind == "bootstrap":
        return without_carried(bootstrap_least_squares(data, fit.units * fit.Y, options), data)
    if n_large > 0:
        return _exact(fit, data, kind, gram, shift)
    K = basis(fit, data)
    factor = factor_of_meat(meat, K @ np.linalg.inv(gram))
    df, assumed = np.full(d, float(data.n_rows - r)), f"independent rows, {kind}"
    if kind == "HC1":
        factor *= (data.n_rows / (data.n_rows - r)) ** 0.5
    elif kind == "robust":  # the bound from below, see `satterthwaite`
        df = (K * K).sum(axis=1) ** 2 / (of_df[0] + of_df[1] ** 2)
        assumed = "independent rows, HC3, degrees of freedom of Satterthwaite"
    return Errors(factor, np.repeat(df[:, None], k, axis=1), assumed, unit=fit.units)


def _sums_of_tile(
    X: Array, B: Array, w: Array | None, *, power: int, n_moments: int, **constants: Any
) -> list[Any]:
    rows = whiten_rows(X, B, w, **constants)
    R = rows.R if rows.counts is None else rows.R * np.sqrt(rows.counts)[:, None]
    sums = [rows.Q.T @ rows.counted(rows.Q), rows.Q.T @ R, rows.R.T @ rows.R]
    sums.append((rows.left < 1.0 - _LARGE).sum())
    sums.append(_meat(rows, power))
    if n_moments:
        sums.append(moments(constants["K"] @ rows.Q.T, rows.left, rows.counts, 0.0))
    return sums


def _meat(rows: WhitenedRows, power: int) -> Array:
    """Sum of r r' (x) q q' / (1 - h)^power, (k, k, r, r)."""
    R = rows.R / (rows.left ** (0.5 * power))[:, None]
    scores = (R[:, :, None] * rows.Q[:, None, :]).reshape(len(R), -1)  # (rows, k r)
    k, r = R.shape[1], rows.Q.shape[1]
    return (scores.T @ scores).reshape(k, r, k, r).transpose(0, 2, 1, 3)


def _exact(fit: LeastSquaresFit, data: FittedData, kind: str, gram: Array, shift: Array) -> Errors:
    """The errors of the exact solution."""
    L = np.linalg.cholesky(gram)
    K = np.linalg.solve(L, fit.inverse.T).T  # K L^-T
    exact = fit._replace(factors=(K,), Y=fit.Y + basis(fit, data) @ shift, sketch=None)
    return robust_errors(data, exact, kind, sum_rows(exact, data, kind))


def _shift(
    fit: LeastSquaresFit, sketch: OneSketch, data: FittedData, gram: Array, gradient: Array,
    products: Array,
) -> Array:  # fmt: skip
    """The step (r, k) from x' to the exact solution, in the basis K; ValueError if it is too far.

    For sketches that mix rows, its squared length over the residual norm estimated from the sketch
    has the F law.
    """
    try:
        shift = np.asarray(np.linalg.solve(gram, gradient), np.float64)
    except np.linalg.LinAlgError:
        raise ValueError(_OTHERS) from None
    m, r, population = sketch.n_rows, fit.rank, sketch.population
    factor = variance_factor(m, r, population) * inverse_bias(m, r, population)
    unit = 4.0**fit.scales.weights if data.repeats else 1.0
    expected = r * factor * unit * fit.products.diagonal()
    rounding = (1e3 * _EPS) ** 2 * (unit * fit.terms**2 + products.diagonal())
    statistic = (shift * shift).sum(axis=0) / (expected + rounding)
    statistic /= 1.0 if sketch.mixes_rows else _SPARSE
    if not (fdtrc(r, m - r, statistic) > _FALSE_ALARM).all():
        raise ValueError(_OTHERS)
    return shift


# Groups ------------------------------------------------------------------------------------------


def _of_groups(fit: LeastSquaresFit, sketch: OneSketch, data: FittedData, kind: str) -> Errors:
    """CR1 to CR3 of the exact solution: s_g - M_g z are its scores, z the step to it."""
    sums = sum_groups(fit, data)
    gram, gradient = sums.grams[0].sum(axis=0), sums.scores.sum(axis=0).T
    shift = _shift(fit, sketch, data, gram, gradient, sums.products)
    scores = sums.scores - np.swapaxes(sums.grams[0] @ shift, 1, 2)
    return cluster_errors(data, fit, kind, replace(sums, scores=scores))
