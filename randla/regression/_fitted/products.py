"""Fitted values and residuals of rows, and the errors of fitted values; lazy for Dask arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from randla._tall.memory import MemoryMatrix
from randla._tall.open import open_tall
from randla._typing import Array

#: Part of a row outside the row space of A, relative to its norm, that is not rounding.
_PART = 1e-8
#: Rows that show for most columns that they are not constant.
_A_LOOK = 64


def product(A: Any, X: Array, name: str) -> Any:
    """A X, (m,) or (m, k), for any kind of A."""
    if isinstance(A, LinearOperator):
        return A @ X
    width = None if X.ndim == 1 else X.shape[1]
    return open_tall(A, name, finite=True).map_rows(_product, width=width, X=X)


def residuals(A: Any, b: Any, X: Array) -> Any:
    """The residuals b - A X, of the shape of A X; several columns of X share a vector b."""
    fitted = product(A, X, "A")
    if isinstance(A, LinearOperator):
        from randla._validation import as_rhs

        B = as_rhs(b, A.shape[0])
    else:
        B = open_tall(A).right_hand_sides(b, finite=True)
    if B.ndim < fitted.ndim:
        B = B[:, None]
    if B.ndim > fitted.ndim or B.shape[1:] not in (fitted.shape[1:], (1,)):
        columns = "" if fitted.ndim == 1 else f" or ({fitted.shape[0]}, {fitted.shape[1]})"
        raise ValueError(f"b must have shape ({fitted.shape[0]},){columns}, got shape {B.shape}")
    return B - fitted


def standard_errors(A: Any, factor: Array, unit: Array, null: Array | None, name: str) -> Any:
    """Errors (m, k) of A x, from the factor (k d, .) of the covariance of x over its units (d, k).

    Rows of A must be orthogonal to the span of `null` (d, d - rank).
    """
    d, k = unit.shape
    F = factor.reshape(k, d, -1)
    unknown = np.asarray(~np.isfinite(F).all(axis=2))
    F = np.where(unknown[:, :, None], 0.0, F)
    tall = open_tall(A, name, finite=True)
    if F.shape[2] > d < tall.n:  # fewer columns for many rows: the rest are those of other fits
        F = np.swapaxes(np.linalg.qr(np.swapaxes(F, 1, 2), mode="r"), 1, 2)
    sd = np.linalg.norm(F, axis=2)
    F = F / np.where(sd > 0.0, sd, 1.0)[:, :, None]
    return tall.map_rows(
        _errors, width=k, factors=F, sd=unit.T * sd, unknown=unknown, unit=unit[:, 0], null=null
    )


def are_determined(C: Array, null: Array) -> Any:
    """Which rows (..., d) are orthogonal to the span of the orthonormal `null` (d, d - rank)."""
    top = np.abs(C).max(axis=-1, keepdims=True)
    C = C / np.where(top > 0.0, top, 1.0)
    part = np.linalg.norm(C @ null, axis=-1)
    return np.asarray(part <= _PART * np.linalg.norm(C, axis=-1))


def constant_columns(A: Any, weights: Any = None) -> Array:
    """Which columns have a single nonzero value in all rows (in memory: with weight), (d,)."""
    tall = open_tall(A)
    if weights is not None and not tall.lazy:
        tall = tall.take(np.flatnonzero(tall.vector(weights, "weights")))
    some = tall.take(np.arange(min(tall.n, _A_LOOK)))
    some = some.rows(0, some.n)
    constant = (some == some[0]).all(axis=0) & (some[0] != 0.0)
    candidates = np.flatnonzero(constant)
    if tall.n > _A_LOOK and candidates.size:
        tall.columns = candidates  # no others are read
        shape = 1, candidates.size
        changes = tall.join_rows(_changes, shape=shape, first_row=some[0, candidates])
        constant[candidates] = np.asarray(tall.compute(changes))[0] == 0.0
    return constant


def _changes(block: MemoryMatrix, *, first_row: Array) -> Array:
    """How many entries differ from those of the first row, (1, columns)."""

    def visit(i: int, j: int, tile: Array, _: Array, total: Array) -> None:
        total[0] += (block.rows(i, j, out=tile) != first_row).sum(axis=0)

    return block.each(visit, 0, 2.0 * block.n * block.d, (1, block.d))


def _product(block: MemoryMatrix, *, X: Array) -> Array:
    out = np.empty((block.n, *X.shape[1:]))

    def visit(i: int, j: int, tile: Array, _: Array, __: Array) -> None:
        out[i:j] = block.rows(i, j, out=tile) @ X

    block.each(visit, 0, 2.0 * block.n * X.size)
    return out


def _errors(
    block: MemoryMatrix, *, factors: Array, sd: Array, unknown: Array, unit: Array,
    null: Array | None,
) -> Array:  # fmt: skip
    """|x'F| for factors (k, d, .) whose rows have norm one, with the errors sd (k, d)."""
    k, d = sd.shape
    out = np.empty((block.n, k))

    def visit(i: int, j: int, tile: Array, _: Array, __: Array) -> None:
        X = block.rows(i, j, out=tile)
        inside = True if null is None else are_determined(X * unit, null)
        for column in range(k):
            Z = X * sd[column]  # in units of b
            top = np.abs(Z).max(axis=1)  # whose squares may overflow
            Z /= np.where(top > 0.0, top, 1.0)[:, None]
            error = top * np.linalg.norm(Z @ factors[column], axis=1)
            known = inside & ~X[:, unknown[column]].any(axis=1)
            out[i:j, column] = np.where(known, error, np.nan)

    block.each(visit, 0, 2.0 * block.n * d * d * k)
    return out
