"""A dense matrix, read as it lies in tiles of rows that stay in cache, on several threads.

The first pass measures: it sums the entries and their squares on the way. Columns are centered
around a pilot c, the mean of a few rows, and what that is off by, d, is taken back in the end: with
``B = A - 1c'`` and ``B'1 = m d`` the centered Gram matrix is ``B'B - m d d'``. No digits are lost
to a large mean, as they are in ``A'A - m mu mu'``. A pilot within its own error of 0 is taken for
0, which saves the copies.

A tile is cast to float64 where it is float32, so that all products and sums are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from randla._parallel import part_bounds, run_parts
from randla._scaling import rounded_sum
from randla._tall.dense import suits_blas
from randla._typing import Array
from randla._validation import require_finite
from randla.spectral._kernels.dense import ROWS, add_gram_products
from randla.spectral._matrix.base import SpectralMatrix, is_safe, nearest_power_of_two

_TILE_ENTRIES = 1 << 16  # half a megabyte: a tile and its copy stay in the second-level cache
_FLOPS = 1e10  # a second, roughly, to see what is worth the pool
_PART_SECONDS = 0.3
_TOTAL_ENTRIES = 1 << 24  # of the sums that parts keep until they are added
_PILOT_ROWS, _WITHIN = 64, 4.0  # squared errors
#: Columns of A and numbers of vectors where the kernel takes less time than two products of BLAS.
_LONG_ROW, _FEW = 2000, (5, 64)

Visit = Callable[[Array, int, int], Array | None]  # tile, first row, last row: a term of the sum


class DenseMatrix(SpectralMatrix):
    """An array in C, Fortran or strided order, float32 or float64; or CSR, made dense by tiles.

    `scale` and `mean` are given for a block of rows of a larger matrix. `row_means` are subtracted
    from the rows: of the transposed of a centered matrix.
    """

    def __init__(
        self,
        A: Any,
        center: bool = False,
        *,
        scale: float | None = None,
        mean: Array | None = None,
        row_means: tuple[Array, ...] = (),
        is_measured: bool = False,
    ) -> None:
        super().__init__(A, center)
        self._rescales = scale is None
        self.scale = 1.0 if scale is None else scale
        self.mean, self._row_means = mean, row_means
        self._shift = self._pilot() if center and mean is None else mean
        self._off: Array | None = None  # the mean of what is left where the shift is subtracted
        self._is_measured = is_measured

    @np.errstate(all="ignore")
    def _pilot(self) -> Array | None:
        rows = self.A[:: max(self.shape[0] // _PILOT_ROWS, 1)] * np.float64(1.0 / self.scale)
        c = (rows / len(rows)).sum(axis=0)
        size = np.abs(c).max()  # squares of itself may leave the range
        error = np.square((rows - c) / size).sum() / len(rows) ** 2
        return None if size == 0.0 or np.square(c / size).sum() <= _WITHIN * error else c

    def load(self, i: int, j: int) -> Array:
        """Rows i..j, a view where nothing has to be done."""
        tile, is_copy = self.A[i:j], True
        if not isinstance(tile, np.ndarray):
            tile = tile.toarray()  # CSR
        if self.scale != 1.0 or tile.dtype != np.float64:
            tile = np.multiply(tile, 1.0 / self.scale, dtype=np.float64)
        elif not suits_blas(tile):
            tile = np.array(tile)
        else:
            is_copy = False
        if self._shift is not None:
            tile, is_copy = np.subtract(tile, self._shift, out=tile if is_copy else None), True
        for means in self._row_means:
            tile, is_copy = np.subtract(tile, means[i:j, None], out=tile if is_copy else None), True
        return tile

    # Passes --------------------------------------------------------------------------------------

    def gram_times(self, X: Array) -> Array:
        n, s = X.shape
        if n < _LONG_ROW or not _FEW[0] <= s <= _FEW[1]:

            def visit(tile: Array, i: int, j: int) -> Array:
                return tile.T @ (tile @ X)

            rows = 1
        else:
            lines, rows = np.zeros((-(-s // 4) * 4, n)), 2 * ROWS  # the kernel takes fours
            lines[:s] = X.T

            def visit(tile: Array, i: int, j: int) -> Array:
                Z, whole = np.zeros_like(lines), (j - i) // 4 * 4
                add_gram_products(np.ascontiguousarray(tile[:whole]), lines, Z)
                rest = tile[whole:]
                return Z[:s].T + rest.T @ (rest @ X) if len(rest) else Z[:s].T

        Z, d = self._pass(visit, X.shape, 4 * s, tile_rows=rows)
        return Z if d is None else Z - self.shape[0] * np.outer(d, d @ X)

    def times(self, X: Array) -> Array:
        Y = np.empty((self.shape[0], X.shape[1]))

        def visit(tile: Array, i: int, j: int) -> None:
            np.matmul(tile, X, out=Y[i:j])

        _, d = self._pass(visit, (0,), 2 * X.shape[1])
        return Y if d is None else Y - d @ X

    def transposed_times(self, Y: Array) -> Array:
        def visit(tile: Array, i: int, j: int) -> Array:
            return tile.T @ Y[i:j]

        Z, d = self._pass(visit, (self.shape[1], Y.shape[1]), 2 * Y.shape[1])
        return Z if d is None else Z - np.outer(d, Y.sum(axis=0))

    def gram(self) -> Array:
        def visit(tile: Array, i: int, j: int) -> Array:
            return tile.T @ tile  # NumPy calls SYRK, half of a product

        n = self.shape[1]
        # Adding the sums costs little compared with them.
        G, d = self._pass(visit, (n, n), n, tile_rows=4 * n, is_gram=True)
        return G if d is None else G - self.shape[0] * np.outer(d, d)

    def entries(self) -> Array:
        """All of A, a new array."""
        B = np.empty(self.shape)

        def visit(tile: Array, i: int, j: int) -> None:
            B[i:j] = tile

        _, d = self._pass(visit, (0,), 1)
        return B if d is None else np.subtract(B, d, out=B)

    def residual_squared_norm(self, B: Array, V: Array) -> float:
        """``|A - B V'|_F^2`` in one read."""
        self.measured()
        off, rows = self.mean_in_parts()[1], max(_TILE_ENTRIES // self.shape[1], 1)

        def visit(tile: Array, i: int, j: int) -> Array:
            total = np.zeros(1)
            for k in range(0, j - i, rows):
                E = tile[k : k + rows] - off - B[i + k : min(i + k + rows, j)] @ V.T
                total += (E * E).sum()
            return total

        return float(self._pass(visit, (1,), 2 * V.shape[1] + 4)[0][0])

    def transposed(self) -> DenseMatrix:
        self.measured()  # the mean and the scale
        means = self.mean_in_parts() if self.center else ()
        out = DenseMatrix(self.A.T, scale=self.scale, row_means=means)
        out.n_passes, out.offset = self.n_passes, self.offset
        return out

    def mean_in_parts(self) -> tuple[Array, Array]:
        """Two vectors whose sum is the mean, to more digits than one has."""
        none = np.zeros(self.shape[1])
        return (
            none if self._shift is None else self._shift,
            none if self._off is None else self._off,
        )

    def measured(self) -> float:
        """|A|_F^2, by a pass of its own where there was none."""
        if not self._is_measured:
            self._pass(lambda tile, i, j: None, (0,), 1)
        return self.squared_norm

    def largest(self) -> float:
        """The largest absolute entry."""

        @np.errstate(all="ignore")
        def of_part(part: int) -> float:
            tiles = _tiles(bounds[part], rows)
            return max((float(np.abs(self.load(i, j)).max()) for i, j in tiles), default=0.0)

        require_finite(self.A, "A")
        rows = self._tile_rows()
        bounds = self._bounds(rows, 1)
        return max(run_parts(of_part, len(bounds), seconds=1e-9 * self.A.size))

    @np.errstate(all="ignore")
    def _pass(
        self, visit: Visit, shape: tuple[int, ...], flops: int, **options: Any
    ) -> tuple[Array, Array | None]:
        """Sums over all tiles, and by how much the shift that was subtracted is off the mean."""
        self.n_passes += 1
        total, moments = self._read(visit, shape, flops, **options)
        if self._is_measured:
            return total, self._off
        squares = rounded_sum(moments[:, -1])
        if self._rescales and not is_safe(squares) and (top := self.largest()) > 0.0:
            self.scale = nearest_power_of_two(top)
            self._shift = None if self._shift is None else self._shift / self.scale
            total, moments = self._read(visit, shape, flops, **options)
            squares = rounded_sum(moments[:, -1])
        self._is_measured = True
        if self.center and self.mean is None:
            self._off = off = moments[:, :-1].sum(axis=0) / self.shape[0]
            self.mean = off if self._shift is None else self._shift + off
            self.offset = self._offset_of(off)
            squares = max(squares - self.shape[0] * float(off @ off), 0.0)
        self.squared_norm = squares
        return total, self._off

    # Tiles ---------------------------------------------------------------------------------------

    def _tile_rows(self) -> int:
        return max(_TILE_ENTRIES // self.shape[1], 64)

    def _bounds(self, tile_rows: int, flops: float, total: int = 0) -> list[tuple[int, int]]:
        """Rows of the parts, by the shape only."""
        n_tiles = -(-self.shape[0] // tile_rows)
        n_parts = max(8, int(flops * self.A.size / _FLOPS / _PART_SECONDS))
        n_parts = min(n_parts, max(_TOTAL_ENTRIES // max(total, 1), 2), n_tiles)
        return part_bounds(self.shape[0], n_parts, tile_rows)

    def _read(
        self,
        visit: Visit,
        shape: tuple[int, ...],
        flops: int,
        *,
        tile_rows: int = 1,
        is_gram: bool = False,
    ) -> tuple[Array, Array]:
        """Sums over all tiles; for each part the sums of the columns and of all squares."""
        rows = self._tile_rows()
        bounds = self._bounds(rows, flops, math.prod(shape))
        rows = max(rows, tile_rows)

        @np.errstate(all="ignore")  # a thread has its own; what leaves the range is looked at
        def part(k: int) -> tuple[Array, Array]:
            total: Array | None = None
            squares, sums = list[float](), np.zeros(self.shape[1] + 1)
            for i, j in _tiles(bounds[k], rows):
                tile = self.load(i, j)
                term = visit(tile, i, j)
                if total is None:
                    total = term
                elif term is not None:
                    total += term
                if not (self._is_measured or is_gram):
                    squares.append(_sum_of_squares(tile))
                if self.center and not self._is_measured:
                    sums[:-1] += tile.sum(axis=0)
            total = np.zeros(shape) if total is None else total
            squares = [float(np.trace(total))] if is_gram else squares
            sums[-1] = rounded_sum(squares)
            return total, sums

        seconds = flops * self.A.size / _FLOPS
        totals, moments = zip(
            *run_parts(part, len(bounds), seconds=seconds, blas=True), strict=True
        )
        return _sum(totals), np.array(moments)


def _sum(totals: tuple[Array, ...]) -> Array:
    """Their sum in that order, in the place of the first."""
    total, *others = totals
    slabs = part_bounds(len(total), 8)

    @np.errstate(all="ignore")
    def part(k: int) -> None:
        slab = slice(*slabs[k])
        for other in others:
            total[slab] += other[slab]

    run_parts(part, len(slabs), seconds=1e-9 * total.size * len(others))
    return total


def _tiles(part: tuple[int, int], rows: int) -> list[tuple[int, int]]:
    first, last = part
    return [(i, min(i + rows, last)) for i in range(first, last, rows)]


def _sum_of_squares(tile: Array) -> float:
    """By pairs: a running sum of equal squares is off by 1e5 rounding errors after 1e7 of them."""
    step = max(_TILE_ENTRIES // tile.shape[1], 1)
    parts = (tile[i : i + step] for i in range(0, len(tile), step))
    return float(sum((part * part).sum() for part in parts))
