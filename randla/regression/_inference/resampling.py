"""Random weights of the replicates of a bootstrap, and the spread of their coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._random import draw_key, hashes
from randla._typing import Array
from randla.regression._inference.data import FittedData
from randla.regression._inference.errors import Errors
from randla.regression._inference.options import InferenceOptions
from randla.regression._kernels import resampling as kernels


@dataclass(frozen=True)
class Weights:
    """The random factors of the weights of all replicates.

    Attributes
    ----------
    keys : (n_replicates,) ndarray of uint64
    numbers : (n,) ndarray or Dask array of int64
        Rows of one number have one factor.
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


def spread(data: FittedData, replicates: Array, rank: int, estimable: NDArray[np.bool_]) -> Errors:
    """The spread of replicates (n_replicates, d, k)."""
    m, d, k = replicates.shape
    replicates[:, ~estimable] = np.nan
    flat = replicates.transpose(0, 2, 1).reshape(m, k * d)  # coefficients fastest
    centred = flat - flat.mean(axis=0)
    covariance = centred.T @ centred / (m - 1)
    by, free = "rows", data.n_rows - rank
    if data.groups is not None:
        by, free = "groups", data.groups.n_groups - 1
    if free < 1:
        need = "two groups" if data.groups is not None else "more rows with weight than columns"
        raise ValueError(f"A must have {need} for standard errors")
    # The spread of m replicates is known with m - 1 degrees of freedom.
    df = np.full((d, k), float(min(free, m - 1)))
    notes: tuple[str, ...] = ()
    if m <= k * d:
        notes = (f"{m} replicates of {k * d} coefficients: joint tests need more of them",)
    return Errors(covariance, df, f"independent {by}, {m} replicates", notes, replicates)
