"""Rows, right-hand sides and weights of a regression, as Dask arrays that are chunked alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import draw_keys, generator_from_key
from randla._tall import dask_arrays
from randla._tall.blocks import as_block
from randla._tall.dask import DaskMatrix
from randla._validation import is_sparse, require_finite
from randla.regression._lp.quantile import Plane
from randla.regression._quantile.weighted import Rows
from randla.sampling._samples.sample_rows import kind_of, named_scores
from randla.sampling._scores.draws import draw_poisson

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """A, b and weights, or None for ones, lazy; and the number n of rows that have weight."""

    A: Any
    b: Any
    weight: Any
    n: int

    @property
    def operands(self) -> tuple[Any, Any, Any]:
        """For the functions of blocks."""
        return self.A, self.b, self.weight

    def take(self, indices: NDArray[np.int64]) -> Rows:
        """Rows of ascending numbers, dense and in memory."""
        A, b, weight = (
            None if x is None else dask_arrays.take_rows(x, indices) for x in self.operands
        )
        return Rows(dense(A), np.asarray(b, np.float64), weight)


def draw(
    data: Data, p: float, size: int, generator: np.random.Generator
) -> tuple[Rows, NDArray[np.int64]]:
    """A sample of the weighted rows of [A b], whose p-th powers are unbiased for those of all."""
    M = DaskMatrix(dask_arrays.map_rows(joined_columns, *data.operands, width=data.A.shape[1] + 1))
    key, _, sketch_key = draw_keys(generator, 3)
    power = p if p < np.inf else 2.0
    name = kind_of("auto", power)
    u = named_scores(M, power, name, generator_from_key(sketch_key))
    indices, pi = draw_poisson(M, u, size, key)
    if len(indices) == 0:  # nothing to fit: any row will do
        indices, pi = np.arange(1), np.ones(1)
    few = data.take(indices)
    if p < np.inf:  # which rows bind matters there, not how many there are
        root = pi ** (-1.0 / p)
        few = replace(few, weight=root if few.weight is None else few.weight * root)
    return few, indices


def joined_columns(first: int, A: Any, b: Any, weight: Any) -> Array:
    """Weighted rows of [A b], dense."""
    require_finite(b, "b")  # scores would name the whole A
    out = np.empty((A.shape[0], A.shape[1] + 1))
    out[:, :-1], out[:, -1] = dense(A), b
    return out if weight is None else out * np.asarray(weight)[:, None]


def residuals(A: Any, b: Any, weight: Any, x: Array) -> Array:
    """Weighted residuals b - A x of a block."""
    r = np.asarray(b, np.float64) - as_block(A) @ x
    return r if weight is None else weight * r


def taken(A: Any, b: Any, weight: Any, rows: NDArray[np.int64]) -> Rows:
    """Some rows of a block, dense."""
    A = dense(as_block(A)[rows])
    return Rows(A, np.asarray(b, np.float64)[rows], None if weight is None else weight[rows])


def stacked(parts: list[Rows]) -> Rows:
    """Rows of several blocks."""
    weight = None
    if parts[0].weight is not None:
        weight = np.concatenate([part.weight for part in parts])
    A, b = (np.concatenate([getattr(part, name) for part in parts]) for name in ("A", "b"))
    return Rows(A, b, weight)


def dense(A: Any) -> Array:
    """A block as a float64 array."""
    return np.asarray(A.toarray() if is_sparse(A) else A, np.float64)


def residuals_and_rounding(A: Any, b: Any, weight: Any, *, x: Array) -> Array:
    """Weighted residuals, and bounds for their rounding errors up to a small constant."""
    rows = Rows(as_block(A), np.asarray(b, np.float64), weight)
    return np.stack([rows.residuals(x), rows.rounding(x)], axis=1)


def fitted(data: Data, x: Array, value: float, n_rows: int, n_iterations: int) -> Plane:
    """A plane whose residuals are rounding errors."""
    z = dask_arrays.map_rows(zeros, *data.operands, width=None)
    return Plane(x, z, value, value, "sample", n_rows, n_iterations)


def zeros(first: int, A: Any, b: Any, weight: Any) -> Array:
    """A zero for each row."""
    return np.zeros(A.shape[0])


# Norms without overflow: the largest entry, and the sum of powers of the entries over it. ---------


def norms(data: Data, of_block: Any, k: int, p: float, **constants: Any) -> Array:
    """Lazy (k, 2) table of the l_p norms of the k columns that a block function returns."""
    return dask_arrays.join_rows(
        _scaled_sums, *data.operands, shape=(k, 2), join=partial(_joined_sums, p=p),
        of_block=of_block, p=p, **constants,
    )  # fmt: skip


def norm_from(table: Array, p: float) -> Array:
    """The norms (k,)."""
    with np.errstate(divide="ignore"):
        return table[:, 0] if p == np.inf else table[:, 0] * table[:, 1] ** (1.0 / p)


def _scaled_sums(
    first: int, A: Any, b: Any, weight: Any, *, of_block: Any, p: float, **constants: Any
) -> Array:
    size = np.abs(of_block(A, b, weight, **constants))
    top = size.max(axis=0)
    unit = np.where(top > 0.0, top, 1.0)
    return np.stack([top, ((size / unit) ** p).sum(axis=0)], axis=1)


def _joined_sums(x: Array, y: Array, *, p: float) -> Array:
    top = np.maximum(x[:, 0], y[:, 0])
    unit = np.where(top > 0.0, top, 1.0)
    total = sum(part[:, 1] * (part[:, 0] / unit) ** p for part in (x, y))
    return np.stack([top, total], axis=1)
