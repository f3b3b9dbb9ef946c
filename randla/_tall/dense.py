"""A dense matrix, read in place: rows for scores, and the passes of least squares over blocks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from randla._parallel import part_bounds, run_parts
from randla._tall._kernels import residual as kernels, tiles as tile_kernels
from randla._tall.memory import CarefulSum, MemoryMatrix, add_gram
from randla._typing import Array
from randla._validation import read_only, require_finite

#: Entries of a block, so that it stays in the second-level cache.
_BLOCK_ENTRIES = 1 << 16
#: Approximate floating-point operations a second, to decide whether the pool is worthwhile.
_FLOPS = 2e10
#: Floating-point operations of a part, a few milliseconds.
_FLOPS_OF_PART = 1e8
#: Entries of partial results that wait to be added.
_WAITING_ENTRIES = 1 << 23
#: Entries of a float32 matrix that are cast at a time.
_CAST_ENTRIES = 1 << 19
#: Rows of a product that is kept whole.
_PRODUCT_ROWS = 512


def _gram(a: Array) -> Array:
    total = np.zeros((a.shape[1], a.shape[1]))
    add_gram(a, total)
    return total


def _squared(Z: Array, single: bool) -> Array:
    """``Z Z'`` by SYRK, half a product; in float32 in little more than half of that time."""
    Z = Z.astype(np.float32) if single else Z
    return Z @ Z.T


class DenseMatrix(MemoryMatrix):
    """An array in C, Fortran or strided order, float32 or float64."""

    def rows(self, i: int, j: int, row_scale: Array | None = None, out: Array | None = None) -> Any:
        X = self.A[i:j]
        if self.columns is not None:
            X = X[:, self.columns]
        if row_scale is None and self.column_scale is None and X.dtype == np.float64:  # unchanged
            return X
        out = np.empty((j - i, self.d)) if out is None else out[: j - i]
        if row_scale is None:
            np.copyto(out, X)  # casts float32
        elif X.dtype == np.float64 and X.flags.c_contiguous:
            tile_kernels.scale_rows(read_only(X), read_only(row_scale[i:j]), out)
        else:
            np.multiply(X, row_scale[i:j, None], out=out)
        if self.column_scale is not None:
            out *= self.column_scale  # powers of two: exact
        return out

    def require_finite(self) -> None:
        require_finite(self.A, "A")

    def _divide_rows(self, exponents: Array) -> None:
        self.A = read_only(np.ldexp(self.A, -exponents.astype(np.int64)[:, None]))

    # Least squares -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._as_it_lies = (
            self.A.dtype == np.float64
            and self.row_scale is None
            and self.column_scale is None
            and self.columns is None
            and suits_blas(self.A)  # else each block is copied
        )
        self._suits_kernels = self.A.flags.c_contiguous  # whose blocks of rows are too

    def load(self, first: int, last: int) -> Array:
        """Rows first..last of the scaled A: a view where nothing has to be done."""
        block = self.A[first:last]
        if self._as_it_lies:
            return block
        if self.columns is not None:
            block = np.take(block, self.columns, axis=1)  # in C order, unlike an index
        if self.column_scale is not None:
            block = np.multiply(block, self.column_scale, dtype=np.float64)
        if self.row_scale is not None:
            block = np.multiply(block, self.row_scale[first:last, None], dtype=np.float64)
        if block.dtype != np.float64:
            block = block.astype(np.float64)
        return block if suits_blas(block) else np.ascontiguousarray(block)

    def load_every(self, step: int) -> Array:
        """Every step-th row of the scaled A, for a first estimate."""
        sample = DenseMatrix(self.A[::step])
        weights = None if self.row_scale is None else self.row_scale[::step]
        sample.rescale(weights, self.column_exponents, self.columns)
        return sample.load(0, sample.n)

    def _sum(
        self,
        block_sum: Callable[[Array, Array], list[Array]],
        B: Array,
        *,
        flops: float,
        n_parts: int,
        block: int,
        compensated: bool = False,
    ) -> list[Array]:
        """Sum of ``block_sum(a, b)`` over blocks of rows, in an order fixed by the shape."""
        bounds = part_bounds(self.n, n_parts)

        @np.errstate(all="ignore")  # a thread has its own; overflow is checked
        def sum_of_part(part: int) -> list[Array]:
            first, last = bounds[part]
            total = CarefulSum(compensated)
            for i in range(first, last, block):
                j = min(i + block, last)
                total.add(block_sum(self.load(i, j), B[i:j]))  # partial sums of one block
            return total.value()

        total = CarefulSum(compensated)
        group = max(min(n_parts, _WAITING_ENTRIES // max(self.d * self.d, 1)), 4)  # parts at a time
        for start in range(0, n_parts, group):
            parts = run_parts(
                lambda k, start=start: sum_of_part(start + k),  # type: ignore[misc]
                min(group, n_parts - start),
                seconds=flops / _FLOPS,
                blas=True,
            )
            for values in parts:
                total.add(values)  # in the order of the parts
        return total.value()

    def _sum_of_products(
        self, block_sum: Callable[[Array, Array], list[Array]], B: Array, width: int
    ) -> list[Array]:
        """`_sum` if a block costs a product of A with its own columns or with `width` others."""
        flops = float(self.n) * self.d * (self.d + width + 2.0 * B.shape[1])
        block = max(_BLOCK_ENTRIES // self.d, 1024, 4 * self.d)  # sums of d^2 entries cost little
        n_parts = int(min(max(flops / _FLOPS_OF_PART, 1), max(self.n // block, 1), 1024))
        return self._sum(block_sum, B, flops=flops, n_parts=n_parts, block=block)

    def _sum_of_vectors(
        self, block_sum: Callable[[Array, Array], list[Array]], B: Array
    ) -> list[Array]:
        """`_sum` if a block is multiplied by k vectors, from both sides."""
        k = B.shape[1]
        flops = 4.0 * self.n * self.d * max(k, 4)  # a single vector is bound by memory
        block = min(max(_BLOCK_ENTRIES // self.d, 64), 1024)
        if self._suits_kernels and self._as_it_lies and k == 1:
            block = self.n  # a kernel needs no blocks
        n_parts = int(min(max(flops / _FLOPS_OF_PART, 1), max(self.n // 64, 1), 1024))
        return self._sum(block_sum, B, flops=flops, n_parts=n_parts, block=block, compensated=True)

    def normal_equations(
        self, B: Array, P: Array | None, *, triangular: bool, single: bool
    ) -> tuple[Array, Array]:
        if P is None:
            gram = (lambda a: _squared(a.T, True)) if single else _gram
            G, C = self._sum_of_products(lambda a, b: [gram(a), a.T @ b], B, 0)
            return G, C
        r = P.shape[1]
        n_panels = 4 if triangular and r >= 160 else 1  # 3/8 of the product saved
        edges = [k * r // n_panels // 8 * 8 for k in range(n_panels)] + [r]
        panels = []  # an upper triangular P is cut into panels that skip its zeros
        for lo, hi in pairwise(edges):
            used = hi if triangular else self.d  # rows of the panel that are not zero
            panels.append((lo, hi, used, np.ascontiguousarray(P[:used, lo:hi].T)))

        def block_sum(a: Array, b: Array) -> list[Array]:
            if n_panels == 1:
                Y = a @ P
                return [_squared(Y.T, single), Y.T @ b]
            Z = np.empty((r, len(a)))  # Y', as panels of rows: panels of columns are slower
            for lo, hi, used, panel in panels:
                np.matmul(panel, a.T[:used], out=Z[lo:hi])  # rows lo..hi of Y' = P'a'
            return [_squared(Z, single), Z @ b]

        G, C = self._sum_of_products(block_sum, B, r)
        return G, C

    def residual_gradient(self, X: Array, B: Array) -> tuple[Array, Array]:
        x = np.ascontiguousarray(X[:, 0])

        def by_kernel(a: Array, b: Array) -> list[Array]:
            g, work = np.empty(self.d), np.empty((2, self.d))  # gradient; partial sum and carry
            squares = kernels.residual_gradient(read_only(a), read_only(b[:, 0]), x, work, g)
            return [g, np.array([squares])]

        def by_vectors(a: Array, b: Array) -> list[Array]:
            r = b[:, 0] - a @ x  # residual of a block
            return [r @ a, np.array([r @ r])]

        def by_columns(a: Array, b: Array) -> list[Array]:
            R = b - a @ X  # (rows, k)
            return [a.T @ R, (R * R).sum(axis=0)]

        block_sum = by_columns
        if X.shape[1] == 1:
            block_sum = by_kernel if self._suits_kernels else by_vectors
        g, squares = self._sum_of_vectors(block_sum, B)
        return g.reshape(X.shape), squares

    def normal_product(self, X: Array) -> Array:
        B = np.broadcast_to(0.0, (self.n, X.shape[1]))  # a shape only
        if X.shape[1] > 1:
            return self._sum_of_vectors(lambda a, b: [a.T @ (a @ X)], B)[0]
        x = np.ascontiguousarray(X[:, 0])

        def block_sum(a: Array, b: Array) -> list[Array]:
            if not self._suits_kernels:
                return [(a @ x) @ a]  # a'(a x)
            out = np.empty(self.d)
            kernels.normal_product(read_only(a), x, out)
            return [out]

        return self._sum_of_vectors(block_sum, B)[0][:, None]

    def image(self, X: Array) -> Array:
        image = np.empty((self.n, X.shape[1]))
        for i in range(0, self.n, _PRODUCT_ROWS):
            j = min(i + _PRODUCT_ROWS, self.n)
            image[i:j] = self.load(i, j) @ X
        return image

    def transposed(self, R: Array) -> Array:
        total = CarefulSum(compensated=True)
        for i in range(0, self.n, _PRODUCT_ROWS):
            j = min(i + _PRODUCT_ROWS, self.n)
            total.add([self.load(i, j).T @ R[i:j]])
        return total.value()[0]

    def weighted_maxima(self) -> Array:
        n_parts = max(min(self.A.size >> 20, 256), 1)
        bounds = part_bounds(self.n, n_parts)

        @np.errstate(all="ignore")
        def maxima(part: int) -> Array:
            first, last = bounds[part]
            top = np.zeros(self.A.shape[1])
            for i in range(first, last, 1024):
                j = min(i + 1024, last)
                block = np.abs(self.A[i:j])  # (1024, d)
                if self.row_scale is not None:
                    block = np.multiply(block, self.row_scale[i:j, None], dtype=np.float64)
                np.maximum(top, block.max(axis=0), out=top)
            return top

        top = np.max(run_parts(maxima, n_parts, seconds=1e-9 * self.A.size), axis=0)
        if not np.isfinite(top).all():
            self.require_finite()
        return top

    def sketch_with(self, S: Any, B: Array | None) -> tuple[Array, Array | None]:
        scale, width = self.row_scale, self.A.shape[1]
        if self.A.dtype == np.float64:
            return S._sketch(self.A, B, row_scale=scale)
        # Sums in float32 would limit the factor to condition numbers of 1e7: cast block by block.
        SA, SB = np.zeros((S.shape[0], width)), None
        step = max(_CAST_ENTRIES // width // 4096, 1) * 4096  # whole blocks of a sketch
        for i in range(0, self.n, step):
            j = min(i + step, self.n)
            part, b = S._sketch(
                self.A[i:j].astype(np.float64),
                None if B is None else B[i:j],
                row_scale=None if scale is None else scale[i:j],
                first_row=i,
            )
            SA += part  # sums in float64
            SB = b if SB is None or b is None else SB + b
        return SA, SB


def suits_blas(A: NDArray[Any]) -> bool:
    """Whether NumPy hands the matrix to BLAS without a copy."""
    if A.flags.c_contiguous or A.flags.f_contiguous:
        return True
    for X in (A, A.T):  # rows of neighboring entries, whole entries apart, that do not overlap
        long, short = X.strides
        if short == X.itemsize and long % short == 0 and long >= short * max(X.shape[1], 1):
            return True
    return False
