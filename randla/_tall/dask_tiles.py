"""A Dask array behind the passes of `randla._tall.tiles.Tiles`."""

from __future__ import annotations

from typing import Any

import numpy as np

from randla._dask.sketching import as_block
from randla._tall import dask_arrays
from randla._tall.row_lengths import LENGTHS, Gaps
from randla._tall.tiles import Array, Tiles, r_factor
from randla.sampling._scores.forms import log_ratio, log_weights, scale_of


class DaskTiles(Tiles):
    """Blocks of rows; each pass sums what `Tiles` says of a block.

    Row scales are Dask vectors, chunked like the rows.
    """

    def __init__(self, A: Any, ridge: float = 0.0) -> None:
        self.A, self.ridge, self.sparse = A, ridge, False
        self.n = A.shape[0]
        self.density = 1.0
        self.column_scale = self.columns = None
        self.gaps = self.levels = None
        self._pending: Any = None  # what the next Gram matrix computes in the same pass
        self._found: Any = None

    @property
    def view(self) -> tuple[Any, Any]:
        """Scales and numbers of the columns that are read, for `read`."""
        return self.column_scale, self.columns

    def gram(self, T: Array | None = None, row_scale: Any = None) -> Array:
        """``(V A T)' (V A T) + ridge T'T`` with V the row scales."""
        k = self.d if T is None else T.shape[1]
        G = dask_arrays.join_rows(_gram, self.A, row_scale, shape=(k, k), T=T, view=self.view)
        if self._pending is not None:
            total, self._found = dask_arrays.compute(G, self._pending)
            self._pending = None
        else:
            total = dask_arrays.compute(G)
        return self.with_ridge(np.array(total), T)

    def norms(self, T: Array) -> Any:
        """Norms of the rows of A T, a lazy Dask vector."""
        return dask_arrays.map_rows(_norms, self.A, width=None, T=T, view=self.view)

    def row_scale(self, T: Array, p: float) -> Any:
        """The scales ``w^(1/2 - 1/p)`` of weights ``|a T|^p``, lazy."""
        return dask_arrays.map_rows(_row_scale, self.A, width=None, T=T, p=p, view=self.view)

    def log_weights(self, T: Array, p: float) -> Any:
        """Logarithms of the weights ``|a T|^p``, -inf for zero rows, lazy."""
        return dask_arrays.map_rows(_log_weights, self.A, width=None, T=T, p=p, view=self.view)

    def largest_log_ratio(self, old: Array, new: Array) -> Any:
        """The largest ``|log(leverage / w)|`` of weights by `old`, leverage by `new`, lazy."""
        options: dict[str, Any] = {"shape": (1, 1), "join": np.maximum, "view": self.view}
        return dask_arrays.join_rows(_log_ratio, self.A, old=old, new=new, **options)

    def times(self, T: Array, scale: float) -> Array:
        """``scale T``."""
        return T * scale

    def largest_norm(self, T: Array) -> float:
        """The largest norm of a row of A T."""
        return float(dask_arrays.compute(self.norms(T).max()))

    def look(self, found: Any, following: Any) -> tuple[float, Any]:
        """What was asked for, and what `following` computes, both in the same pass."""
        if following is None:
            return float(dask_arrays.compute(found)[0, 0]), None
        self._pending = found
        followed = following()
        return float(self._found[0, 0]), followed

    def triangular(self, row_scale: Any = None) -> Array:
        """R of the QR factorisation of V A (and the ridge)."""
        shape, join = (self.d, self.d), _joined_factors
        R = dask_arrays.join_rows(
            _triangular, self.A, row_scale, shape=shape, join=join, view=self.view
        )
        factors = [dask_arrays.compute(R)]
        if self.ridge:
            factors.append(np.diag(self.ridge_rows))
        return r_factor(np.vstack(factors))

    def column_maxima(self) -> Array:
        """The largest absolute entries of the columns."""
        shape = 1, self.d
        largest = dask_arrays.join_rows(
            _column_maxima, self.A, shape=shape, join=np.maximum, view=self.view
        )
        return np.array(dask_arrays.compute(largest)[0])

    def count_lengths(self, unit: Any, row_scale: Any = None) -> Array:
        """How many rows have each length."""
        counts = dask_arrays.join_rows(
            _count_lengths, self.A, row_scale, shape=(1, LENGTHS), unit=unit, view=self.view
        )
        return np.array(dask_arrays.compute(counts)[0])

    def close(self, gaps: Gaps, row_scale: Any = None) -> None:
        """Shorten the rows, lazily."""
        operands, options = (self.A, row_scale), {"gaps": gaps, "view": self.view}
        self.gaps = gaps
        self.levels = dask_arrays.map_rows(_levels, *operands, width=None, **options)
        self.A = dask_arrays.map_rows(_shortened, *operands, width=self.A.shape[1], **options)

    def level_sums(self, T: Array, n_levels: int, row_scale: Any = None) -> Array:
        """Squared norms of the rows of V A T, summed by the number of closed gaps below a row."""
        operands, shape = (self.A, self.levels, row_scale), (1, n_levels)
        options: dict[str, Any] = {"T": T, "n_levels": n_levels, "view": self.view}
        sums = dask_arrays.join_rows(_level_sums, *operands, shape=shape, **options)
        return np.array(dask_arrays.compute(sums)[0])

    def take(self, rows: Any) -> Tiles:
        """The chosen rows, in memory."""
        return read(dask_arrays.take_rows(self.A, rows), self.view)

    def require_finite(self, name: str = "A") -> None:
        """Raise ValueError if an entry is NaN or inf."""
        dask_arrays.gather(_require_finite, self.A)


def read(block: Any, view: tuple[Any, Any]) -> Tiles:
    """The tiles of a block."""
    tiles = Tiles(as_block(block))
    tiles.column_scale, tiles.columns = view
    return tiles


def _gram(first: int, block: Any, row_scale: Any, *, T: Array | None, view: Any) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # looked at in the end
        return read(block, view).gram(T, row_scale)


def _norms(first: int, block: Any, *, T: Array, view: Any) -> Array:
    return read(block, view).norms(T)


def _row_scale(first: int, block: Any, *, T: Array, p: float, view: Any) -> Array:
    return scale_of(read(block, view).norms(T), p)


def _log_weights(first: int, block: Any, *, T: Array, p: float, view: Any) -> Array:
    return log_weights(read(block, view).norms(T), p)


def _log_ratio(first: int, block: Any, *, old: Array, new: Array, view: Any) -> Array:
    tiles = read(block, view)
    return np.full((1, 1), log_ratio(tiles.norms(old), tiles.norms(new)))


def _triangular(first: int, block: Any, row_scale: Any, *, view: Any) -> Array:
    tiles = read(block, view)
    return _padded(tiles.triangular(row_scale), tiles.d)


def _joined_factors(R: Array, other: Array) -> Array:
    return _padded(r_factor(np.vstack([R, other])), R.shape[1])


def _padded(R: Array, d: int) -> Array:
    return np.vstack([R, np.zeros((d - len(R), d))])


def _column_maxima(first: int, block: Any, *, view: Any) -> Array:
    return read(block, view).column_maxima()[None]


def _count_lengths(first: int, block: Any, row_scale: Any, *, unit: Any, view: Any) -> Array:
    return read(block, view).count_lengths(unit, row_scale)[None]


def _closed(block: Any, row_scale: Any, gaps: Gaps, view: Any) -> Tiles:
    tiles = read(block, view)
    tiles.close(gaps, row_scale)
    return tiles


def _levels(first: int, block: Any, row_scale: Any, *, gaps: Gaps, view: Any) -> Array:
    return np.asarray(_closed(block, row_scale, gaps, view).levels, np.float64)


def _shortened(first: int, block: Any, row_scale: Any, *, gaps: Gaps, view: Any) -> Any:
    return _closed(block, row_scale, gaps, view).A


def _level_sums(
    first: int, block: Any, levels: Any, row_scale: Any, *, T: Array, view: Any, n_levels: int
) -> Array:
    tiles = read(block, view)
    tiles.levels = levels.astype(np.int64)
    return tiles.level_sums(T, n_levels, row_scale)[None]


def _require_finite(first: int, block: Any) -> None:
    Tiles(as_block(block)).require_finite()
