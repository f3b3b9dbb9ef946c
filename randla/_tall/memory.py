"""Passes over a matrix in memory, a tile of rows at a time.

Dense matrices are read in place (C, Fortran or strided, float32 or float64); CSR matrices stay
sparse if a product allows it and otherwise are densified a tile at a time. No pass makes a copy of
the whole matrix. Tiles and parts are fixed by the shape, and sums are computed in their order: the
result is the same for any number of threads.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts
from randla._tall._kernels import tiles as kernels
from randla._tall.base import TallMatrix
from randla._typing import Array
from randla._validation import read_only

_TILE_ENTRIES = 40_000  # about a third of a megabyte: a tile and its product stay in cache
_FLOPS = 1e10  # operations a second, approximately, to see what is worth the pool
_PART_SECONDS = 0.3  # of a part: Ctrl-C waits for one, and a progress bar advances by one
_FEW_COLUMNS = 32  # up to here a compiled general product is the fastest Gram matrix of a tile
_TRIANGLE = 16  # columns from which half a product is worth two calls


class MemoryMatrix(TallMatrix):
    """A matrix in memory; also a block of a larger one.

    Attributes
    ----------
    first : int
        The index of its first row in the larger matrix.
    density : float
        Fraction of entries that are stored.
    """

    density: float = 1.0

    def __init__(self, A: Any, ridge: float = 0.0, first: int = 0) -> None:
        super().__init__(A, ridge)
        self.first = first

    @property
    def tile_rows(self) -> int:
        """Rows of a tile, a multiple of 64 that suits the caches."""
        return min(max(256, _TILE_ENTRIES // self.A.shape[1] // 64 * 64), self.n)

    # Reading -------------------------------------------------------------------------------------

    @abstractmethod
    def rows(self, i: int, j: int, row_scale: Array | None = None, out: Array | None = None) -> Any:
        """Rows i..j, scaled, dense, in float64: a view if nothing has to be done, else `out`."""

    def _product(
        self, i: int, j: int, T: "SplitTriangle", out: Array, scratch: Array | None = None
    ) -> Array:
        """Rows i..j times `T`, dense; in `out`, if A is dense."""
        X = self.rows(i, j, out=scratch)  # (tile, d)
        for rows, columns, block in T.blocks:
            np.matmul(X[:, rows], block, out=out[: j - i, columns])
        return out[: j - i]

    def times(self, T: Array, first: int = 0, last: int | None = None) -> Array:
        """Rows first..last of A T, all by default."""
        last, split = self.n if last is None else last, SplitTriangle(T)
        out = np.empty((last - first, T.shape[1]))
        for i in range(first, last, self.tile_rows):
            j = min(i + self.tile_rows, last)
            # A dense A writes in place.
            out[i - first : j - first] = self._product(i, j, split, out[i - first :])
        return out

    def take(self, rows: NDArray[np.int64]) -> "MemoryMatrix":
        out = type(self)(self.A[rows])
        out.column_scale, out.columns = self.column_scale, self.columns
        return out

    # Passes --------------------------------------------------------------------------------------

    def each(
        self,
        visit: Callable[[int, int, Array, Array, Array], None],
        width: int,
        flops: float,
        shape: tuple[int, ...] = (0,),
        tile_rows: int | None = None,
    ) -> Array:
        """Call ``visit(i, j, tile, product, total)`` for each tile, on several threads.

        `tile` and `product` are work arrays with tile_rows rows and d or `width` columns, which
        belong to a thread (it touches their memory first); `total` is an array of zeros of this
        shape to which `visit` may add, which belongs to a part. Returns their sum. The number of
        rows is the larger of `tile_rows` and that of all passes.
        """
        tile_rows = max(self.tile_rows, tile_rows or 0)
        n_tiles = -(-self.n // tile_rows)  # rounded up
        seconds = flops / _FLOPS
        # By the shape, not by the threads.
        n_parts = min(n_tiles, max(8, int(seconds / _PART_SECONDS)))
        bounds, local = part_bounds(n_tiles, n_parts), threading.local()

        def part(k: int) -> Array:
            if not hasattr(local, "tile"):  # a thread touches its own memory first
                local.tile = np.empty((tile_rows, self.d))
                local.product = np.empty((tile_rows, width))
            total = np.zeros(shape)
            for number in range(*bounds[k]):
                i = number * tile_rows
                visit(i, min(i + tile_rows, self.n), local.tile, local.product, total)
            return total

        return sum(run_parts(part, n_parts, seconds=seconds, blas=True), start=np.zeros(shape))

    def gram_and_norms(self, T: Array, row_scale: Array | None = None) -> tuple[Array, Array]:
        norms = np.empty(self.n)
        return self._gram(T, row_scale, norms), norms

    def _gram(self, T: Array | None, row_scale: Array | None, norms: Array | None = None) -> Array:
        d = self.d
        k = d if T is None else T.shape[1]
        split = None if T is None else SplitTriangle(T)

        def visit(i: int, j: int, tile: Array, product: Array, total: Array) -> None:
            if split is None:
                self._add_gram(i, j, row_scale, tile, total)
                return
            X = self._product(i, j, split, product, tile)
            if row_scale is not None:
                X *= row_scale[i:j, None]  # a product may be overwritten
            if norms is not None:
                kernels.row_norms(X, norms[i:j])  # of V A T
            add_gram(X, total)

        # Product, and half a Gram matrix.
        flops = self.density * self.n * d * k * 2.0 + self.n * k * k
        return self.each(visit, 0 if T is None else k, flops, (k, k))

    def _add_gram(self, i: int, j: int, row_scale: Array | None, tile: Array, total: Array) -> None:
        """Add the Gram matrix of rows i..j."""
        add_gram(self.rows(i, j, row_scale, out=tile), total)

    def row_norms(self, T: Array) -> Array:
        out, split = np.empty(self.n), SplitTriangle(T)

        def visit(i: int, j: int, tile: Array, product: Array, _: Array) -> None:
            kernels.row_norms(self._product(i, j, split, product, tile), out[i:j])

        self.each(visit, T.shape[1], self.density * self.n * self.d * T.shape[1] * 2.0)
        return out

    def triangular(self, row_scale: Array | None = None) -> Array:
        """R of the QR factorization of V A (and the ridge), by tiles; at most d rows."""

        def part_of(k: int) -> Array:
            R: Array = np.empty((0, self.d))
            first, last = bounds[k]
            for i in range(first, last, step):  # the R so far, and the next rows below it
                R = r_factor(np.vstack([R, self.rows(i, min(i + step, last), row_scale)]))
            return R

        step = max(self.tile_rows, 2 * self.d)  # rows below R that are worth its d rows
        seconds = 4.0 * self.n * self.d**2 / _FLOPS
        n_parts = min(-(-self.n // step), max(8, int(seconds / _PART_SECONDS)))
        bounds = part_bounds(self.n, n_parts)
        factors = run_parts(part_of, n_parts, seconds=seconds, blas=True)
        if self.ridge:
            factors.append(np.diag(self.ridge_rows))
        return r_factor(np.vstack(factors))  # of the parts, one below the other


class SplitTriangle:
    """A factor T of a product A T; an upper triangle as two blocks, which leaves out its zeros."""

    def __init__(self, T: Array) -> None:
        d, k = T.shape
        self.array = np.ascontiguousarray(T)
        whole = slice(None)
        self.blocks = [(whole, whole, self.array)]
        h = 4 * round(0.15 * d)  # 0.6 d: h (d - h) of d^2 products are left out
        if d == k >= _TRIANGLE and not T[h:, :h].any():  # the lower left block is zero
            left, right = np.ascontiguousarray(T[:h, :h]), np.ascontiguousarray(T[:, h:])
            self.blocks = [(slice(h), slice(h), left), (whole, slice(h, d), right)]


def r_factor(X: Array) -> Array:
    """R of the QR factorization."""
    R: Any = np.linalg.qr(X, mode="r")
    return R


def add_gram(X: Array, total: Array) -> None:
    """Add X'X."""
    if X.shape[1] <= _FEW_COLUMNS and X.dtype == np.float64 and X.flags.c_contiguous:
        kernels.add_gram(read_only(X), np.empty_like(total), total)
    else:
        total += X.T @ X  # NumPy calls SYRK, half of a product


class CarefulSum:
    """Running sums of several arrays, with compensation where they may cancel."""

    def __init__(self, compensated: bool) -> None:
        self.compensated = compensated
        self.sums: list[Array] = []
        self.carries: list[Array] = []

    def add(self, values: list[Array]) -> None:
        """Add arrays, which from then on belong to the total."""
        if not self.sums:
            self.sums = [value.astype(np.float64, copy=False) for value in values]
        elif not self.compensated:
            for total, value in zip(self.sums, values, strict=True):
                total += value
        else:
            if not self.carries:
                self.carries = [np.zeros_like(value) for value in values]  # of each array
            for k, value in enumerate(values):  # Knuth's two-sum
                total = self.sums[k] + value
                added = total - self.sums[k]  # the part of the value that arrived in the sum
                self.carries[k] += (self.sums[k] - (total - added)) + (value - added)
                self.sums[k] = total  # rounded; the carry has the remainder

    def value(self) -> list[Array]:
        """The sums."""
        if self.carries:
            return [total + carry for total, carry in zip(self.sums, self.carries, strict=True)]
        return self.sums
