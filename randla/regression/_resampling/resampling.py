"""Random weights of the replicates of a bootstrap, and the spread of their coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import draw_key, hashes
from randla._typing import Array
from randla.regression._errors.data import FittedData
from randla.regression._errors.errors import NOT_DETERMINED, Errors
from randla.regression._errors.factors import root_of_rows
from randla.regression._errors.options import InferenceOptions
from randla.regression._kernels import resampling as kernels

#: Squared part of a unit vector outside the space of the rows, above which it is undetermined.
_OUTSIDE = 1e-12
_ALONE = "one row alone decides its coefficient, so that the spread of replicates misses its error"
#: Rows with a leverage of 1 less this decide a coefficient alone.
ALONE = 1e-10


@dataclass(frozen=True)
class Weights:
    """The random factors of the weights of all replicates.

    Attributes
    ----------
    keys : (n_replicates,) ndarray of uint64
    numbers : (n,) ndarray or Dask array of int64
        Rows with the same number share a factor.
    copies : (n,) ndarray, Dask array or None
        Frequency weights: the factor is the mean over the copies of a row.
    """

    keys: NDArray[np.uint64]
    numbers: Any
    copies: Any

    @classmethod
    def of(cls, data: FittedData, options: InferenceOptions) -> Weights:
        """Draw the keys."""
        if options.n_replicates < 2:
            raise ValueError(f"n_replicates must be at least 2, got {options.n_replicates}")
        keys = hashes(draw_key(options.rng), options.n_replicates)
        if data.groups is not None:  # of copies of a row too
            return cls(keys, data.groups.codes, None)
        numbers = data.live  # the user's weights
        if numbers is None:
            numbers = np.arange(data.n)
        if data.tall.lazy:
            numbers = data.tall.map_vectors(_row_numbers, data.tall.ones())
        return cls(keys, numbers, data.w if data.repeats else None)

    def factors(self, rows: Any, replicates: Any = slice(None)) -> Array:
        """Factors (m, n) of some rows, in memory, and of some replicates."""
        copies = None if self.copies is None else self.copies[rows]
        return factors(self.keys[replicates], self.numbers[rows], copies)

    def times(self, w: Array | None, replicate: int) -> Array:
        """The weights (n,) of all rows, in memory, in a replicate."""
        drawn = self.factors(slice(None), slice(replicate, replicate + 1))[0]
        return drawn if w is None else drawn * w


def _row_numbers(first: int, ones: Array) -> Array:
    return first + np.arange(len(ones), dtype=np.float64)  # exact up to 2^53


def factors(keys: NDArray[np.uint64], numbers: Array, copies: Array | None) -> Array:
    """Factors of the weights (len(keys), len(numbers))."""
    out = np.empty((len(keys), len(numbers)))
    numbers = np.ascontiguousarray(numbers, np.int64)
    if copies is None:
        kernels.uniform_weights(keys, numbers, out)
        np.negative(np.log(out, out=out), out=out)  # NumPy's logarithm takes several at once
    else:
        kernels.gamma_weights(keys, numbers, np.ascontiguousarray(copies, np.float64), out)
    return out


@dataclass(frozen=True)
class NullSpace:
    """The y with X y = 0, X being the scaled A.

    Attributes
    ----------
    basis : (d, d - rank) ndarray
        Orthonormal.
    determined : (d,) ndarray of bool
        Which coefficients are functions of X y.
    alone : (d,) ndarray of bool or None
        Which coefficients a single row determines, so that it follows all errors of that row.
    """

    basis: Array
    determined: NDArray[np.bool_]
    alone: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, V: Array, scale: Array) -> NullSpace:
        """The null space of X, from an orthonormal V: that of its columns scaled to size one."""
        return cls(
            np.asarray(np.linalg.qr(scale[:, None] * V)[0], np.float64),
            np.square(V).sum(axis=1) <= _OUTSIDE,
        )


def decided_alone(T: Array, Q: Array) -> NDArray[np.bool_]:
    """Which entries of T q change with a row q, of length one, that is orthogonal to all others."""
    shares = np.square(T @ Q.T).sum(axis=1)
    return np.asarray(shares > 1e-6 * np.square(T).sum(axis=1))


def spread(data: FittedData, x: Array, moves: Array, null: NullSpace) -> Errors:
    """Errors from the moves of replicates (m, d, k) from x, in units of the scaled problem."""
    (m, d, k), rank = moves.shape, len(x) - null.basis.shape[1]
    by, free = "rows", data.n_rows - rank
    if data.groups is not None:  # at least two of them
        by, free = "groups", data.groups.n_groups - 1
    if free < 1:
        raise ValueError(
            f"A must have more rows with weight than its rank, {rank}, for errors to be estimated, "
            f"got {data.n_rows} rows"
        )
    flat = moves.transpose(0, 2, 1).reshape(m, k * d)  # coefficients fastest
    F = root_of_rows(flat - flat.mean(axis=0)) / (m - 1) ** 0.5
    reasons = dict.fromkeys(np.flatnonzero(~null.determined).tolist(), NOT_DETERMINED)
    if null.alone is not None:
        F[np.tile(null.alone, k)] = np.nan
        reasons |= dict.fromkeys(np.flatnonzero(null.determined & null.alone).tolist(), _ALONE)
    moves[:, list(reasons)] = np.nan
    # The spread of m replicates is known with m - 1 degrees of freedom.
    df = np.full((d, k), float(min(free, m - 1)))
    notes: tuple[str, ...] = ()
    if m <= k * d:
        notes = (f"{m} replicates of {k * d} coefficients: joint tests need more of them",)
    return Errors(
        F,
        df,
        f"independent {by}, {m} refits with random weights",
        notes,
        x + data.coefficient_units * moves,
        reasons=reasons,
        unit=data.coefficient_units,
        null=null.basis if rank < d else None,
        undetermined=~null.determined if rank < d else None,
    )
