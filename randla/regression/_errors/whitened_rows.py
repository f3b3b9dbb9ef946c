r"""Rows of a least-squares fit in a basis in which A is orthonormal, and their leverages.

With K of the record, :math:`q_i = \sqrt{w_i} K^T a_i` and :math:`h_i = |q_i|^2`. A row of frequency
weight w is w rows, each with the leverage of a single row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from randla._tall.memory import SplitTriangle
from randla._typing import Array
from randla.regression._errors.data import FittedData
from randla.regression._errors.fit import LeastSquaresFit

#: 1 - h below which it is recomputed to all digits; a value that designs are unlikely to have.
HEAVY = 1.2345e-3


class WhitenedRows(NamedTuple):
    """Some rows."""

    Q: Array  # (rows, r)
    R: Array  # (rows, k), residuals times the square roots of weights of either kind
    left: Array  # (rows,), 1 - h
    counts: Array | None  # how often each row counts; None: once

    @property
    def heavy(self) -> NDArray[np.bool_]:
        """Which of them have a leverage near one."""
        return self.left < HEAVY

    def where(self, which: NDArray[np.bool_]) -> WhitenedRows:
        """The rows of a mask."""
        counts = None if self.counts is None else self.counts[which]
        return WhitenedRows(self.Q[which], self.R[which], self.left[which], counts)

    def counted(self, values: Array) -> Array:
        """Values (rows, k) times how often each row counts."""
        return values if self.counts is None else values * self.counts[:, None]


def basis(fit: LeastSquaresFit, data: FittedData) -> Array:
    """K for the weights of `data`: frequencies are not scaled."""
    return np.ldexp(fit.inverse, -fit.scales.weights) if data.repeats else fit.inverse


def constants_of(fit: LeastSquaresFit, data: FittedData) -> dict[str, Any]:
    """The constants of `whiten_rows`."""
    K = np.ascontiguousarray(basis(fit, data))
    return {"K": K, "Y": fit.Y, "repeats": data.repeats}


def whiten_rows(
    X: Array, B: Array, w: Array | None = None, *, K: Array, Y: Array, repeats: bool
) -> WhitenedRows:
    """Some rows X (rows, d)."""
    Q, R = multiply(X, K, np.empty((len(X), K.shape[1]))), B - X @ Y
    if w is not None:
        root = np.sqrt(w)[:, None]
        R *= root
        Q *= 1.0 if repeats else root
    left = 1.0 - np.einsum("ij,ij->i", Q, Q)
    return WhitenedRows(Q, R, left, w if repeats else None)


def no_rows(r: int, k: int) -> WhitenedRows:
    """No rows."""
    return WhitenedRows(np.empty((0, r)), np.empty((0, k)), np.empty(0), None)


def multiply(X: Array, K: Array, out: Array) -> Array:
    """X K, where K may be a triangle."""
    for rows, columns, part in SplitTriangle(K).blocks:
        np.matmul(X[:, rows], part, out=out[:, columns])
    return out


def heavy_rows(fit: LeastSquaresFit, data: FittedData) -> WhitenedRows:
    """The rows of leverage near one, at most slightly more than the rank; two passes.

    1 - h comes from h (1 - h) = sum over the other rows l of (q_i'q_l)^2 (a projection is its own
    square), and the residual from the normal equations, h r_i = -sum of q_i'q_l r_l: sums whose
    terms are as small as the results, so that no digits cancel.
    """
    constants = constants_of(fit, data)
    vectors = (data.B,) if data.w is None else (data.B, data.w)
    rows = whiten_rows(*data.select(_is_heavy, *vectors, **constants), **constants)
    m, k = rows.R.shape
    others, products = data.sums(
        _overlaps_of_tile, *vectors, shapes=[(m,), (m, k)], heavy=rows.Q, **constants
    )
    h, among, R = np.einsum("ij,ij->i", rows.Q, rows.Q), rows.Q @ rows.Q.T, rows.R
    np.fill_diagonal(among, 0.0)
    for _ in range(2):  # as each sum includes the residuals of the other heavy rows
        R = -(products + among @ R) / h[:, None]
    left = (others + (among**2).sum(axis=1)) / h
    return WhitenedRows(rows.Q, R, left, None)  # none of them can occur twice


def _is_heavy(*parts: Any, **constants: Any) -> Any:
    return whiten_rows(*parts, **constants).heavy


def _overlaps_of_tile(*parts: Any, heavy: Array, **constants: Any) -> list[Array]:
    rows = whiten_rows(*parts, **constants)
    rows = rows.where(~rows.heavy)
    overlaps = rows.Q @ heavy.T
    R = rows.R if rows.counts is None else rows.R * np.sqrt(rows.counts)[:, None]
    return [rows.counted(overlaps**2).sum(axis=0), overlaps.T @ R]
