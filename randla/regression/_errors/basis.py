"""Columns in which Gram matrices of the rows keep their digits, and generalized inverses there."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from randla._tall.whitening import whiten
from randla._typing import Array
from randla.regression._errors.errors import null_space
from randla.regression._errors.lp_fit import EPS, LpRows, grams

#: Least eigenvalue, of columns of norm one, above which the columns are used unchanged.
_WELL_CONDITIONED = 1e-7
#: Fraction of a row or a coefficient that may lie outside the space it belongs to.
_INSIDE = 1e-6
#: Least eigenvalue of the squared weights in such columns that is not a rounding error.
_EVEN = 1e-13


@dataclass(frozen=True, eq=False)
class Basis:
    """Sums with the weights w, and with the variances m of scores: w^2 or, for frequencies, w.

    Attributes
    ----------
    T : (d, r) ndarray
        ``X T`` are r independent columns that span those of X, the scaled A.
    gram, meat : (r, r) ndarray
        ``(X T)' W (X T)`` and ``(X T)' M (X T)``.
    null : (d, d - r) ndarray
        An orthonormal basis of X y = 0.
    """

    T: Array
    gram: Array
    meat: Array
    null: Array

    @classmethod
    def of(cls, rows: LpRows) -> Basis:
        """The scaled columns themselves, unless they are nearly or exactly dependent."""
        data, gram, d = rows.data, rows.gram, rows.data.d
        norms = np.sqrt(gram.diagonal())
        if (norms > 0.0).all() and data.n >= d:
            least = np.linalg.eigvalsh(gram / norms / norms[:, None])[0]
            if least > _WELL_CONDITIONED:
                return cls(np.eye(d), gram, rows.meat, np.empty((d, 0)))
        root = None if data.w is None else np.sqrt(data.w)
        T = whiten(copy(data.tall), root).transform  # a copy, as its long rows may be divided
        r = T.shape[1]
        # The columns of X'W X T span the rows of X, as X T (X T)'W X = X.
        null = null_space(gram @ T)
        gram, meat = data.sums(
            _grams, data.w, shapes=[(r, r), (r, r)], T=T, squares=not data.repeats
        )
        if data.w is not None and not data.repeats:
            _require_even_weights(meat)
        return cls(T, gram, meat, null)

    @property
    def factor(self) -> Array | None:
        """T, or None where it is the identity."""
        T = self.T
        return None if len(T) == T.shape[1] and (np.eye(len(T)) == T).all() else T

    def variance_root(self) -> Array:
        """K (d, r) with K K' = T gram^-1 meat gram^-1 T': |K'x|^2 is the variance of x'y."""
        scale = 1.0 / np.sqrt(self.gram.diagonal())
        pair = scale * scale[:, None]
        root = np.linalg.solve(self.gram * pair, np.linalg.cholesky(self.meat * pair))
        return (self.T * scale) @ root


def _require_even_weights(meat: Array) -> None:
    """Raise ValueError if squares of weights are so large that others are rounding errors."""
    scale = 1.0 / np.sqrt(meat.diagonal())
    pair = scale * scale[:, None]
    if not np.isfinite(meat * pair).all() or np.linalg.eigvalsh(meat * pair)[0] < _EVEN:
        raise ValueError(
            "weights must differ by less for standard errors: compared with the largest, weights "
            "that some coefficients need are rounding errors"
        )


def _grams(X: Array, w: Array | None, *, T: Array, squares: bool) -> tuple[Array, Array]:
    return grams(X @ T, w, squares=squares)


@dataclass(frozen=True, eq=False)
class Bread:
    """A symmetric generalized inverse of D = sum v_i q_i q_i', with v_i >= 0, q_i the rows of X T.

    Attributes
    ----------
    root : (r, rank) ndarray
        ``root @ root.T`` is the inverse.
    scale : (r,) ndarray
        Factors that scale the columns of sqrt(v) X T to norm one.
    space : (r, rank) ndarray
        Orthonormal; spans the rows of the scaled sqrt(v) X T.
    """

    root: Array
    scale: Array
    space: Array

    @classmethod
    def of(cls, D: Array, n: float) -> Bread:
        """The inverse of D on its eigenvectors with eigenvalues above n rounding errors."""
        diagonal = D.diagonal()
        scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        values, vectors = np.linalg.eigh(D * scale * scale[:, None])
        kept = values > n * EPS * max(1.0, values.max(initial=0.0))
        space = vectors[:, kept]
        return cls(scale[:, None] * space / np.sqrt(values[kept]), scale, space)

    @property
    def is_whole(self) -> bool:
        """Whether D has an inverse."""
        return self.space.shape[1] == len(self.scale)

    @property
    def condition(self) -> float:
        """Ratio of the largest to the least eigenvalue kept, of the scaled D."""
        sizes = np.square(self.root / self.scale[:, None]).sum(axis=0)  # inverse eigenvalues
        return float(sizes.max() / sizes.min())

    @property
    def inverse(self) -> Array:
        """The inverse of D, (r, r)."""
        return self.root @ self.root.T

    def holds(self, Q: Array) -> Any:
        """Whether rows (m, r), or functions of the coefficients, lie in the row space."""
        scaled = Q * self.scale
        outside = scaled - scaled @ self.space @ self.space.T
        return np.square(outside).sum(axis=1) <= _INSIDE**2 * np.square(scaled).sum(axis=1)
