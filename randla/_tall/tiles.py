"""A tall matrix that is read a tile of rows at a time, and the passes over it that scores need.

Dense matrices are read as they lie (C, Fortran or strided, float32 or float64), CSR matrices stay
sparse where a product allows it and are densified a tile at a time where it does not. No pass
makes a copy of the whole. Tiles and parts are fixed by the shape, and sums are taken in their
order: the same result for any number of threads.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts
from randla._tall._kernels import tiles as kernels
from randla._tall.row_lengths import Gaps, column_units, count_lengths, gaps_to_close, lengths
from randla._validation import as_matrix, is_sparse, read_only, require_finite

Array = NDArray[np.float64]

_TILE_ENTRIES = 40_000  # about a third of a megabyte: a tile and its product stay in cache
_FLOPS = 1e10  # a rough speed, to see what is worth the pool
_FEW_COLUMNS = 32  # up to here a compiled general product is the fastest Gram matrix of a tile
_TRIANGLE = 16  # columns from which half a product is worth two calls
_MEASURED = 2000  # rows that tell how large the entries of a column are
_SPARSE_GRAM = 0.05  # density below which the Gram matrix of a tile is a sparse product


def as_tall(A: Any, name: str = "A", *, finite: bool = True) -> Any:
    """`A` as a read-only matrix, dense or CSR, with at least one row and one column."""
    A = as_matrix(A, name, finite=finite, sparse=True)
    if 0 in A.shape:
        raise ValueError(f"{name} must have rows and columns, got shape {A.shape}")
    return A


class Tiles:
    """A matrix with optional scales, read tile by tile.

    Parameters
    ----------
    A : (n, d) ndarray or csr_array
    ridge : float
        Stands for d more rows, ``sqrt(ridge)`` times the identity, in all Gram matrices.

    Attributes
    ----------
    column_scale : (d,) ndarray or None
        Powers of two that multiply the columns; set by `rescale_columns`.
    columns : ndarray of int or None
        The columns that are read, all if None.
    gaps : Gaps or None
        What `shorten_rows` has done.
    levels : (n,) ndarray of int or None
        The number of closed gaps below each row then.
    """

    def __init__(self, A: Any, ridge: float = 0.0) -> None:
        self.A, self.ridge = A, ridge
        self.sparse = is_sparse(A)
        self.n = A.shape[0]
        self.column_scale: Array | None = None
        self.columns: NDArray[np.intp] | None = None
        self.gaps: Gaps | None = None
        self.levels: Any = None
        density = A.nnz / max(A.shape[0] * A.shape[1], 1) if self.sparse else 1.0
        self.density = density
        rows = max(256, _TILE_ENTRIES // A.shape[1] // 64 * 64)
        self.tile_rows = min(rows, self.n)

    @property
    def d(self) -> int:
        """Number of columns that are read."""
        return len(self.columns) if self.columns is not None else int(self.A.shape[1])

    @property
    def ridge_rows(self) -> Array:
        """Diagonal of the rows that the ridge stands for."""
        scale = np.ones(self.d) if self.column_scale is None else self.column_scale
        return np.sqrt(self.ridge) * scale

    # Reading -------------------------------------------------------------------------------------

    def tile(
        self,
        i: int,
        j: int,
        row_scale: Array | None = None,
        *,
        dense: bool = True,
        out: Array | None = None,
    ) -> Any:
        """Rows i..j, scaled, in float64: a view where nothing has to be done, CSR if asked.

        A dense tile that has to be changed is put into `out` if that is given.
        """
        X = self.A[i:j]
        if self.columns is not None:
            X = X[:, self.columns]
        if self.sparse:
            if row_scale is not None:
                X = X.astype(np.float64)
                X.data *= np.repeat(row_scale[i:j], np.diff(X.indptr))
            if not dense and self.column_scale is None:
                return X
            X, row_scale = X.toarray(), None
        if row_scale is None and self.column_scale is None and X.dtype == np.float64:
            return X
        out = np.empty((j - i, self.d)) if out is None else out[: j - i]
        if row_scale is None:
            np.copyto(out, X)
        elif X.dtype == np.float64 and X.flags.c_contiguous:
            kernels.scale_rows(read_only(X), read_only(row_scale[i:j]), out)
        else:
            np.multiply(X, row_scale[i:j, None], out=out)
        if self.column_scale is not None:
            out *= self.column_scale
        return out

    def product(
        self, i: int, j: int, T: "Factor", out: Array, scratch: Array | None = None
    ) -> Array:
        """Rows i..j times `T`, dense; in `out`, where A is dense."""
        X = self.tile(i, j, dense=False, out=scratch)
        if is_sparse(X):
            return np.ascontiguousarray(X @ T.array)
        out = out[: j - i]
        for rows, columns, block in T.blocks:
            np.matmul(X[:, rows], block, out=out[:, columns])
        return out

    def each(
        self,
        visit: Callable[[int, int, Array, Array, Array], None],
        width: int,
        flops: float,
        total: tuple[int, ...] = (0,),
    ) -> Array:
        """Call ``visit(i, j, tile, product, total)`` for each tile, on several threads.

        `tile` and `product` are work arrays with tile_rows rows and d or `width` columns, which
        belong to a thread (their memory is touched where it is used); `total` is an array of zeros
        to which `visit` may add, which belongs to a part. Returns the sum of the totals.
        """
        n_tiles = -(-self.n // self.tile_rows)
        seconds = flops / _FLOPS
        n_parts = min(n_tiles, max(8, int(seconds / 0.3)))
        bounds, local = part_bounds(n_tiles, n_parts), threading.local()

        def part(k: int) -> Array:
            if not hasattr(local, "tile"):
                local.tile = np.empty((self.tile_rows, self.d))
                local.product = np.empty((self.tile_rows, width))
            subtotal = np.zeros(total)
            for number in range(*bounds[k]):
                i = number * self.tile_rows
                visit(i, min(i + self.tile_rows, self.n), local.tile, local.product, subtotal)
            return subtotal

        return sum(run_parts(part, n_parts, seconds=seconds, blas=True), start=np.zeros(total))

    # Passes --------------------------------------------------------------------------------------

    def gram(self, T: Array | None = None, row_scale: Array | None = None) -> Array:
        """``(V A T)' (V A T) + ridge T'T`` with V the row scales."""
        d = self.d
        k = d if T is None else T.shape[1]
        factor = None if T is None else Factor(T)

        def visit(i: int, j: int, tile: Array, product: Array, total: Array) -> None:
            if factor is not None:
                X = self.product(i, j, factor, product, tile)
                if row_scale is not None:
                    X *= row_scale[i:j, None]
                add_gram(X, total)
            elif self.sparse and self.density < _SPARSE_GRAM and self.column_scale is None:
                X = self.tile(i, j, row_scale, dense=False).astype(np.float64)
                total += (X.T @ X).toarray()
            else:
                add_gram(self.tile(i, j, row_scale, out=tile), total)

        flops = self.density * self.n * d * k * 2.0 + self.n * k * k
        return self.with_ridge(self.each(visit, 0 if T is None else k, flops, (k, k)), T)

    def with_ridge(self, G: Array, T: Array | None) -> Array:
        """A Gram matrix with the share of the rows that the ridge stands for."""
        if not self.ridge:
            return G
        E = self.ridge_rows[:, None] * (np.eye(self.d) if T is None else T)
        return G + E.T @ E

    def norms(self, T: Array) -> Array:
        """Norms of the rows of A T."""
        out, factor = np.empty(self.n), Factor(T)

        def visit(i: int, j: int, tile: Array, product: Array, _: Array) -> None:
            kernels.row_norms(self.product(i, j, factor, product, tile), out[i:j])

        self.each(visit, T.shape[1], self.density * self.n * self.d * T.shape[1] * 2.0)
        return out

    def triangular(self, row_scale: Array | None = None) -> Array:
        """R of the QR factorisation of V A (and the ridge), by tiles; at most d rows."""

        def part_of(k: int) -> Array:
            R: Array = np.empty((0, self.d))
            first, last = bounds[k]
            for i in range(first, last, step):
                R = r_factor(np.vstack([R, self.tile(i, min(i + step, last), row_scale)]))
            return R

        step = max(self.tile_rows, 2 * self.d)
        flops = 4.0 * self.n * self.d**2
        n_parts = min(-(-self.n // step), max(8, int(flops / _FLOPS / 0.3)))
        bounds = part_bounds(self.n, n_parts)
        factors = run_parts(part_of, n_parts, seconds=flops / _FLOPS, blas=True)
        if self.ridge:
            factors.append(np.diag(self.ridge_rows))
        return r_factor(np.vstack(factors))

    def rescale_columns(self) -> None:
        """Multiply the columns by powers of two so that their largest entries are about 1."""
        largest = np.maximum(self.column_maxima(), np.sqrt(self.ridge))
        _, exponents = np.frexp(largest)
        self.column_scale = np.where(
            largest > 0, np.ldexp(1.0, -np.clip(exponents, -1020, 1020)), 1.0
        )

    def column_maxima(self) -> Array:
        """The largest absolute entries of the columns."""
        largest = np.zeros(self.d)
        with np.errstate(over="ignore"):
            for i in range(0, self.n, self.tile_rows):
                X = self.tile(i, min(i + self.tile_rows, self.n))
                np.maximum(largest, np.abs(X).max(axis=0), out=largest)
        return largest

    def keep_columns(self, columns: NDArray[np.intp]) -> None:
        """Read only these columns from now on."""
        self.columns = columns if self.columns is None else self.columns[columns]
        if self.column_scale is not None:
            self.column_scale = self.column_scale[columns]

    def shorten_rows(self, limit: float, row_scale: Array | None = None) -> bool:
        """Shorten rows longer than `limit` times the median row; whether there were any."""
        if self.gaps is not None:
            return False
        step = max(self.n // _MEASURED, 1)
        some = self.take(np.arange(0, self.n, step))
        unit = column_units(some.tile(0, some.n))
        gaps = gaps_to_close(self.count_lengths(unit, row_scale), unit, limit)
        if gaps is None:
            return False
        self.close(gaps, row_scale)
        return True

    def count_lengths(self, unit: Any, row_scale: Array | None = None) -> Array:
        """How many rows have each length, see `Gaps`."""
        return count_lengths(self._lengths(unit, row_scale))

    def close(self, gaps: Gaps, row_scale: Array | None = None) -> None:
        """Shorten the rows."""
        length = self._lengths(gaps.unit, row_scale)
        self.gaps, self.levels, down = gaps, gaps.levels[length], -gaps.shifts[length]
        if self.sparse:
            self.A = self.A.copy()
            self.A.data = np.ldexp(self.A.data, np.repeat(down, np.diff(self.A.indptr)))
        else:
            self.A = read_only(np.ldexp(self.A, down[:, None]))

    def _lengths(self, unit: Any, row_scale: Array | None) -> Any:
        parts = [
            lengths(self.tile(i, j), unit, None if row_scale is None else row_scale[i:j])
            for i in range(0, self.n, self.tile_rows)
            for j in [min(i + self.tile_rows, self.n)]
        ]
        return np.concatenate(parts)

    def level_sums(self, T: Array, n_levels: int, row_scale: Array | None = None) -> Array:
        """Squared norms of the rows of V A T, summed by the number of closed gaps below a row."""
        norms = self.norms(T)
        if row_scale is not None:
            norms *= row_scale
        sums: Array = np.bincount(self.levels, norms * norms, n_levels).astype(np.float64)
        return sums

    def take(self, rows: NDArray[np.int64]) -> "Tiles":
        """The chosen rows (a copy), with the same scales."""
        out = Tiles(self.A[rows])
        out.column_scale, out.columns = self.column_scale, self.columns
        return out

    def require_finite(self, name: str = "A") -> None:
        """Raise ValueError if an entry is NaN or inf."""
        require_finite(self.A.data if self.sparse else self.A, name)


class Factor:
    """A factor T of a product A T; an upper triangle as two blocks, which leaves out its zeros."""

    def __init__(self, T: Array) -> None:
        d, k = T.shape
        self.array = np.ascontiguousarray(T)
        whole = slice(None)
        self.blocks = [(whole, whole, self.array)]
        h = 4 * round(0.15 * d)
        if d == k >= _TRIANGLE and not T[h:, :h].any():
            left, right = np.ascontiguousarray(T[:h, :h]), np.ascontiguousarray(T[:, h:])
            self.blocks = [(slice(h), slice(h), left), (whole, slice(h, d), right)]


def r_factor(X: Array) -> Array:
    """R of the QR factorisation."""
    R: Any = np.linalg.qr(X, mode="r")
    return R


def add_gram(X: Array, total: Array) -> None:
    """Add X'X."""
    if X.shape[1] <= _FEW_COLUMNS and X.dtype == np.float64 and X.flags.c_contiguous:
        kernels.add_gram(read_only(X), np.empty_like(total), total)
    else:
        total += X.T @ X
