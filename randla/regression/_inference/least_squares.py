"""Statistical errors of least squares: the kind for each fit, and the errors of one variance.

A fit passes on a record without data (`LeastSquaresFit`); if the rows are needed, they are read
again, and checked against the fit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator

from randla._typing import Array
from randla.regression._errors.clusters import GroupSums, cluster_errors, sum_groups
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import Errors, null_space, warn_of_missing
from randla.regression._errors.factors import root_of_one_variance
from randla.regression._errors.fit import LeastSquaresFit
from randla.regression._errors.independent_rows import RowSums, basis, robust_errors, sum_rows
from randla.regression._errors.options import CLUSTERED, InferenceOptions
from randla.regression._inference.result import SEPARATE, Inference
from randla.regression._inference.sketched import sketched_errors
from randla.regression._resampling.bootstrap import bootstrap_least_squares
from randla.regression._resampling.carried import without_carried

_EPS = float(np.finfo(np.float64).eps)
#: Residuals count as zero up to this many rounding errors of the terms of A x.
_ROUNDING = 16.0
#: Relative gradient up to which the data are accepted as those of the fit, in rounding errors: a
#: constant and a multiple of sqrt(n), with a margin of ten or more.
_GRADIENT, _GRADIENT_ROOT_N = 1e3, 10.0
#: Relative difference allowed between the norm of the residuals and that of the fit.
_NORM = 1e-6


def least_squares_inference(
    fit: LeastSquaresFit | str, x: Array, A: Any, b: Any, options: InferenceOptions, *,
    groups: Any, weights: Any, names: tuple[str, ...],
) -> Inference:  # fmt: skip
    """The inference of a fit x, (d,) or (d, k); a str gives the reason why there is none."""
    if isinstance(fit, str):
        raise ValueError(fit)
    data = _data_of(fit, A, b, options, groups, weights)
    with np.errstate(all="ignore"):  # perfect fits, and undetermined coefficients
        errors, algorithmic = least_squares_errors(fit, data, options)
    warn_of_missing(errors, names * fit.Y.shape[1])
    return Inference.of(
        x, errors,
        algorithmic=algorithmic, kind=options.kind, names=names,
        columns=() if x.ndim == 1 else tuple(range(x.shape[1])), column_kind="column",
        n_rows=fit.n_rows if data is None else data.n_rows,
        n_groups=data.groups.n_groups if data is not None and data.groups is not None else None,
    )  # fmt: skip


def _data_of(
    fit: LeastSquaresFit, A: Any, b: Any, options: InferenceOptions, groups: Any, weights: Any
) -> FittedData | None:
    """The rows of the fit; None for kind "iid" without them, or if A is an operator."""
    kind = options.kind
    if (A is None) != (b is None):
        raise ValueError("A and b must be given together, or both left out for kind='iid'")
    if A is None:
        kept = None if fit.sketch is None else fit.sketch.kept
        if kind != "iid" and (kind != "robust" or kept is None):
            able = "kind='iid', which assumes errors of one variance, needs"
            if kept is not None:
                able = "kind='iid', for errors of one variance, and 'robust' need"
            raise ValueError(
                f"A and b (after a formula its data) must be given again for kind={kind!r}, as "
                f"a fit keeps no data; only {able} none"
            )
        if weights is not None:
            raise ValueError("weights must be left out without A: the fit includes its weights")
        return None
    if isinstance(A, LinearOperator):
        if kind != "iid":
            raise ValueError(
                f"kind must be 'iid' for a {type(A).__name__}, whose rows cannot be read, "
                f"got {kind!r}"
            )
        if options.repeats:
            raise ValueError("weights_are must be 'analytic' for a LinearOperator")
        return None
    if fit.is_weighted and weights is None:
        raise ValueError("weights must be given as in the fit, got None")
    data = FittedData.open(
        A, b, weights, repeats=options.repeats, groups=groups, shape=fit.shape, scales=fit.scales,
        weight_sum=fit.weight_sum,
    )  # fmt: skip
    if weights is None or fit.is_weighted:
        return data
    least, largest = data.tall.compute(data.w.min(), data.w.max())
    if data.live is not None or least < largest:
        raise ValueError("weights must be left out, or all equal, as the fit had none")
    return data if data.repeats else replace(data, w=None)  # only their ratios matter


def least_squares_errors(
    fit: LeastSquaresFit, data: FittedData | None, options: InferenceOptions
) -> tuple[Errors, Array | None]:
    """Statistical errors of a fit, and the factor for the algorithm's in the same units."""
    n_rows = fit.n_rows if data is None else data.n_rows
    if n_rows <= fit.rank:
        raise ValueError(
            f"A must have more rows (with weight) than its rank {fit.rank}, got {n_rows}: no "
            "degrees of freedom are left for the errors"
        )
    if fit.sketch is not None:
        errors, algorithmic = sketched_errors(fit, data, options)
        return finished(errors, fit, fit.products), algorithmic
    if data is None:
        return finished(iid_errors(fit, fit.products), fit, fit.products), None
    if options.kind in CLUSTERED:
        of_groups = sum_groups(fit, data)
        require_same_data(fit, data, of_groups)
        errors = cluster_errors(data, fit, options.kind, of_groups)
        return finished(errors, fit, of_groups.products, data), None
    if options.kind in ("iid", "bootstrap"):
        sums = _sum_residuals(fit, data)
        require_same_data(fit, data, sums)
        if options.kind == "iid":
            errors = iid_errors(fit, sums.products, data)
        else:
            errors = bootstrap_least_squares(data, fit.units * fit.Y, options)
            errors = without_carried(errors, data)
        return finished(errors, fit, sums.products, data), None
    of_rows = sum_rows(fit, data, options.kind)
    require_same_data(fit, data, of_rows)
    errors = robust_errors(data, fit, options.kind, of_rows)
    return finished(errors, fit, of_rows.products, data), None


class ResidualSums(NamedTuple):
    """Products of the weighted residuals with the columns (k, d), and with each other (k, k)."""

    gradient: Array
    products: Array


def _sum_residuals(fit: LeastSquaresFit, data: FittedData) -> ResidualSums:
    d, k = fit.Y.shape
    shapes = [(k, d), (k, k)]
    return ResidualSums(
        *data.sums(_residuals_of_tile, data.B, data.w, shapes=shapes, widths=[k], Y=fit.Y)
    )


def _residuals_of_tile(
    X: Array, B: Array, w: Array | None, *, Y: Array, work: list[Array]
) -> list[Array]:
    (R,) = work
    np.subtract(B, np.matmul(X, Y, out=R), out=R)
    weighted = R if w is None else R * w[:, None]
    return [weighted.T @ X, weighted.T @ R]


def iid_errors(fit: LeastSquaresFit, products: Array, data: FittedData | None = None) -> Errors:
    """Errors of one variance (over the weights): |r|^2 G / (n - d), exact for normal errors."""
    n, K = (fit.n_rows, fit.inverse) if data is None else (data.n_rows, basis(fit, data))
    df = float(n - fit.rank)
    assumed = "independent errors of one variance"
    if fit.is_weighted and (data is None or not data.repeats):
        assumed = "independent errors of variance 1/weight"
    joint = not np.isnan(products).any()
    return Errors(
        root_of_one_variance(products / df, K), np.full(fit.Y.shape, df), assumed,
        notes=() if joint else (SEPARATE,), unit=fit.units, joint=joint,
    )  # fmt: skip


def finished(
    errors: Errors, fit: LeastSquaresFit, products: Array, data: FittedData | None = None
) -> Errors:
    """Errors with zeros where the fit is perfect and NaN where the data determine no coefficient.

    `products` are those of the residuals.
    """
    d, k = fit.Y.shape
    rounding = _ROUNDING * _EPS * fit.terms
    perfect = np.sqrt(products.diagonal()) <= rounding * _unscaled(fit, data)
    if data is not None and data.w is not None and perfect.any():  # also rows of small weight
        squares, norms = data.sums(_without_weights, data.B, data.w, shapes=[(k,), (d,)], Y=fit.Y)
        perfect &= np.sqrt(squares) <= _ROUNDING * _EPS * (np.sqrt(norms) @ np.abs(fit.Y))
    df = errors.degrees_of_freedom.copy()
    zero = np.repeat(perfect, d)[:, None] & np.isfinite(errors.factor)
    # A coefficient that is itself a rounding error of a perfect fit may differ from 0 or not.
    sizes = fit.column_norms[:, None] * np.abs(fit.Y)
    df[perfect & (sizes > 0.0) & (sizes <= rounding)] = np.nan
    errors = replace(
        errors, factor=np.where(zero, 0.0, errors.factor), degrees_of_freedom=df, null=None,
        undetermined=None,
    )  # fmt: skip
    return errors.completed(null_space(fit.inverse))


def _without_weights(X: Array, B: Array, w: Array, *, Y: Array) -> list[Array]:
    """Sums of squares of the residuals, and of the columns, over rows that have weight."""
    live = (w > 0.0)[:, None]
    return [np.square(V).sum(axis=0, where=live) for V in (B - X @ Y, X)]


def require_same_data(
    fit: LeastSquaresFit, data: FittedData, sums: RowSums | GroupSums | ResidualSums
) -> None:
    """Raise ValueError unless the fit solves the normal equations of the data.

    Each entry of the gradient A'W(b - A x) is a rounding error relative to the norms of its
    factors, for any condition number (which matters if only K'A'W(b - A x) is known), and the norm
    of the residuals is the one that the fit found.
    """
    if not (np.isfinite(sums.gradient).all() and np.isfinite(sums.products).all()):
        data.tall.require_finite()
        raise ValueError("A, b and weights must be finite, as in the fit, got NaN or inf")
    unit = _unscaled(fit, data)
    norm, found = (np.sqrt(P.diagonal()) for P in (sums.products, unit * unit * fit.products))
    relative = _EPS * (_GRADIENT + _GRADIENT_ROOT_N * data.n**0.5) + fit.slack
    error = relative * (norm + unit * fit.terms)  # of the residuals, (k,)
    if isinstance(sums, RowSums):
        right = np.linalg.norm(sums.gradient, axis=1) <= fit.condition * error
    else:
        g = _in_row_space(fit, sums.gradient.T)
        right = np.abs(g) <= unit * np.outer(fit.column_norms, error)
    if not (right.all() and (np.abs(norm - found) <= _NORM * found + error).all()):
        raise ValueError(
            "A, b or weights are not those of the fit: its residuals b - A x are not orthogonal to "
            "the columns of A"
        )


def _in_row_space(fit: LeastSquaresFit, g: Array) -> Array:
    """A gradient (d, k) without its part outside the row space, which the fit did not consider."""
    K = fit.inverse
    if fit.rank == len(K):
        return g
    V = np.linalg.qr(K)[0]
    return np.where(fit.column_norms[:, None] > 0.0, V @ (V.T @ g), g)


def _unscaled(fit: LeastSquaresFit, data: FittedData | None) -> float:
    """The factor from the weights of `data` to the norms of the fit: frequencies are not scaled."""
    return 2.0**fit.scales.weights if data is not None and data.repeats else 1.0
